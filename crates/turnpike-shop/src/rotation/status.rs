//! What a status link tells: how a subscription's exit stands. It changes nothing and shows no credentials.

use std::net::IpAddr;

use super::link::token_hash;
use super::{address, links, next_allowed};
use crate::error::{Refusal, Result};
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{
    AccountId, AccountStatus, ConnectionType, ExitId, Health, LinkKind, SubscriptionId, SubscriptionState, UnixMillis,
};

/// How a subscription stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Active or expired.
    pub state: SubscriptionState,
    /// When it ends or ended.
    pub ends_at: UnixMillis,
    /// Its exit; absent once it has ended, since the exit may be somebody else's then.
    pub exit: Option<ExitStatus>,
}

/// How an exit stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitStatus {
    /// Whether it gets out.
    pub health: Health,
    /// The address now, where it is known.
    pub address: Option<IpAddr>,
    /// The address before the last rotation of this subscription's time, where it is known.
    pub previous: Option<IpAddr>,
    /// When that rotation was.
    pub rotated_at: Option<UnixMillis>,
    /// Whether one is under way.
    pub is_rotating: bool,
    /// From when it may be rotated, now or later; absent where it cannot be, or others share it.
    pub next_allowed_at: Option<UnixMillis>,
}

/// How the subscription stands whose status link has this token, for somebody who comes from `source`.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`] (no such token), [`Refusal::LinkNotAllowedFrom`], [`Refusal::AccountSuspended`].
pub async fn status(shop: &Shop, token: &str, source: IpAddr) -> Result<Status> {
    let (owned, hash) = (shop.clone(), Value::Bytes(token_hash(token)));
    shop.store
        .read(move |tx| {
            let (shop, hash) = (owned.clone(), hash.clone());
            Box::pin(async move {
                let subscription = links::with_token(tx, &hash, LinkKind::Status).await?;
                let subscription = subscription.ok_or(Refusal::SubscriptionNotFound)?;
                links::admit(tx, &hash, source).await?;
                look(&shop, tx, &subscription).await
            })
        })
        .await
}

/// How one of an account's own subscriptions stands.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`], [`Refusal::AccountSuspended`].
pub async fn own_status(shop: &Shop, account: &AccountId, subscription: &SubscriptionId) -> Result<Status> {
    let (owned, account, id) = (shop.clone(), account.clone(), subscription.clone());
    shop.store
        .read(move |tx| {
            let (shop, account, id) = (owned.clone(), account.clone(), id.clone());
            Box::pin(async move {
                is_own(tx, &account, &id).await?;
                look(&shop, tx, &id).await
            })
        })
        .await
}

/// The addresses that the present exit of one of an account's subscriptions has had while it was this subscription's, newest first,
/// and since when: the oldest since it was.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`].
pub async fn addresses(
    shop: &Shop,
    account: &AccountId,
    subscription: &SubscriptionId,
    limit: i64,
) -> Result<Vec<(UnixMillis, IpAddr)>> {
    let (account, id) = (account.clone(), subscription.clone());
    shop.store
        .read(move |tx| {
            let (account, id) = (account.clone(), id.clone());
            Box::pin(async move {
                is_own(tx, &account, &id).await?;
                // What was before this customer's time is nobody's business, nor what came after it.
                let rows = tx
                    .all(
                        "SELECT CASE WHEN x.since < h.since THEN h.since ELSE x.since END AS since, x.address
                         FROM (SELECT exit_id, COALESCE(held_since, started_at) AS since FROM subscription
                               WHERE id = $1 AND state = 'active') h
                         JOIN exit_address x ON x.exit_id = h.exit_id
                         WHERE x.since >= COALESCE((SELECT MAX(e.since) FROM exit_address e
                                                    WHERE e.exit_id = h.exit_id AND e.since <= h.since), h.since)
                         ORDER BY x.since DESC LIMIT $2",
                        &[Value::Text(id.to_string()), Value::Int(limit)],
                    )
                    .await?;
                let mut known = Vec::with_capacity(rows.len());
                for row in &rows {
                    if let Some(address) = address(row, "address")? {
                        known.push((UnixMillis(row.int("since")?), address));
                    }
                }
                Ok(known)
            })
        })
        .await
}

async fn is_own(tx: &mut Tx, account: &AccountId, subscription: &SubscriptionId) -> Result<()> {
    tx.optional(
        "SELECT id FROM subscription WHERE id = $1 AND account_id = $2",
        &[Value::Text(subscription.to_string()), Value::Text(account.to_string())],
    )
    .await?
    .map(|_| ())
    .ok_or_else(|| Refusal::SubscriptionNotFound.into())
}

async fn look(shop: &Shop, tx: &mut Tx, subscription: &SubscriptionId) -> Result<Status> {
    let row = tx
        .one(
            "SELECT s.state, COALESCE(s.held_since, s.started_at) AS held_since, s.ends_at, s.connection_type, s.exit_id, a.status,
                    e.can_rotate, e.present_address, e.health, e.rotated_at
             FROM subscription s
             JOIN account a ON a.id = s.account_id
             JOIN network_exit e ON e.id = s.exit_id
             WHERE s.id = $1",
            &[Value::Text(subscription.to_string())],
        )
        .await?;
    let state = row.parsed("state")?;
    if state == SubscriptionState::Released {
        return Err(Refusal::SubscriptionNotFound.into());
    }
    if row.parsed::<AccountStatus>("status")? == AccountStatus::Suspended {
        return Err(Refusal::AccountSuspended.into());
    }
    let ends_at = UnixMillis(row.int("ends_at")?);
    if state != SubscriptionState::Active || ends_at <= shop.now() {
        return Ok(Status {
            state: SubscriptionState::Expired,
            ends_at,
            exit: None,
        });
    }
    Ok(Status {
        state,
        ends_at,
        exit: Some(exit(shop, tx, &row).await?),
    })
}

async fn exit(shop: &Shop, tx: &mut Tx, row: &Row) -> Result<ExitStatus> {
    let exit: ExitId = row.parsed("exit_id")?;
    let key = [Value::Text(exit.to_string())];
    let present = address(row, "present_address")?;
    // What was before this customer's time is nobody's business.
    let since = row.int("held_since")?;
    let rotated_at = row.optional_int("rotated_at")?.filter(|at| *at >= since);
    let previous = match rotated_at {
        Some(_) => previous(tx, &key, present).await?,
        None => None,
    };
    let open = tx
        .optional(
            "SELECT id FROM rotation WHERE exit_id = $1 AND state IN ('queued', 'running')",
            &key,
        )
        .await?;
    let is_private = row.parsed::<ConnectionType>("connection_type")? == ConnectionType::Private;
    let next_allowed_at = if is_private && row.int("can_rotate")? == 1 {
        Some(next_allowed(tx, &exit, row, &shop.settings).await?.max(shop.now()))
    } else {
        None
    };
    Ok(ExitStatus {
        health: row.parsed::<Health>("health")?,
        address: present,
        previous,
        rotated_at: rotated_at.map(UnixMillis),
        is_rotating: open.is_some(),
        next_allowed_at,
    })
}

/// The newest address of an exit that it does not have now.
async fn previous(tx: &mut Tx, exit: &[Value], present: Option<IpAddr>) -> Result<Option<IpAddr>> {
    let rows = tx
        .all(
            "SELECT address FROM exit_address WHERE exit_id = $1 ORDER BY since DESC LIMIT 2",
            exit,
        )
        .await?;
    for row in &rows {
        let known = address(row, "address")?;
        if known != present {
            return Ok(known);
        }
    }
    Ok(None)
}
