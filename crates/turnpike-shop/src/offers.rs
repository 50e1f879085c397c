//! What is on offer for one subscription: the plans that can renew it, the networks that it can move to.

use crate::catalogue::{NetworkOnSale, PlanOnSale};
use crate::error::{Refusal, Result};
use crate::shop::Shop;
use crate::store::{Tx, Value};
use crate::types::{AccountId, SubscriptionId, SubscriptionState, UnixMillis};

/// The plans that can renew this subscription: active, its connection type, its present network; none once it is over for
/// good.
///
/// # Errors
/// [`crate::Refusal::SubscriptionNotFound`].
pub async fn renewal_plans(shop: &Shop, account: &AccountId, subscription: &SubscriptionId) -> Result<Vec<PlanOnSale>> {
    let key = [Value::Text(subscription.to_string()), Value::Text(account.to_string())];
    let (clock, grace) = (shop.clock.clone(), shop.settings.grace);
    shop.store
        .read(move |tx| {
            let (key, over_before) = (key.clone(), clock().minus(grace));
            Box::pin(async move { plans_for(tx, &key, over_before).await })
        })
        .await
}

async fn plans_for(tx: &mut Tx, key: &[Value], over_before: UnixMillis) -> Result<Vec<PlanOnSale>> {
    let (state, ends_at) = own(tx, key).await?;
    if state == SubscriptionState::Released || ends_at <= over_before {
        return Ok(Vec::new());
    }
    let rows = tx
        .all(
            "SELECT p.id, p.connection_type, p.duration_ms, p.price_cents, p.popular, p.trial_ms,
                    p.max_connections, p.max_source_addresses, p.mbit_per_second, p.traffic_bytes,
                    n.id AS network_id, n.code, n.city, n.country, n.network_type
             FROM subscription s
             JOIN plan p ON p.network_id = s.network_id AND p.connection_type = s.connection_type AND p.active = 1
             JOIN network n ON n.id = p.network_id
             WHERE s.id = $1 AND s.account_id = $2
             ORDER BY p.price_cents, p.duration_ms, p.id",
            key,
        )
        .await?;
    rows.iter().map(PlanOnSale::read).collect()
}

/// The networks to which switching this subscription would work now.
///
/// # Errors
/// [`crate::Refusal::SubscriptionNotFound`], [`crate::Refusal::SubscriptionEnded`].
pub async fn available_networks(
    shop: &Shop,
    account: &AccountId,
    subscription: &SubscriptionId,
) -> Result<Vec<NetworkOnSale>> {
    let key = [Value::Text(subscription.to_string()), Value::Text(account.to_string())];
    let clock = shop.clock.clone();
    shop.store
        .read(move |tx| {
            let (key, now) = (key.clone(), clock());
            Box::pin(async move { networks_for(tx, &key, now).await })
        })
        .await
}

async fn networks_for(tx: &mut Tx, key: &[Value], now: UnixMillis) -> Result<Vec<NetworkOnSale>> {
    let (state, ends_at) = own(tx, key).await?;
    if state != SubscriptionState::Active || ends_at <= now {
        return Err(Refusal::SubscriptionEnded.into());
    }
    let [id, account] = key else {
        return Ok(Vec::new());
    };
    let rows = tx
        .all(
            // Beside the free slots there are those whose holder is over: a switch ends it first.
            "SELECT n.id AS network_id, n.code, n.city, n.country, n.network_type
             FROM subscription s
             JOIN network n ON n.active = 1 AND n.id <> s.network_id
             WHERE s.id = $1 AND s.account_id = $2 AND (EXISTS
                 (SELECT 1 FROM slot l
                  JOIN network_exit e ON e.id = l.exit_id
                  WHERE l.network_id = n.id AND l.connection_type = s.connection_type
                    AND l.sellable = 1 AND l.subscription_id IS NULL
                    AND (e.gateway = s.gateway OR EXISTS
                         (SELECT 1 FROM port p WHERE p.gateway = e.gateway AND p.subscription_id IS NULL AND p.in_range = 1)))
               OR EXISTS
                 (SELECT 1 FROM subscription h
                  JOIN slot l ON l.subscription_id = h.id
                  WHERE h.state = 'active' AND h.state <> 'released' AND h.ends_at <= $3
                    AND l.network_id = n.id AND l.connection_type = s.connection_type AND l.sellable = 1
                    AND (h.gateway = s.gateway OR EXISTS
                         (SELECT 1 FROM port p WHERE p.gateway = h.gateway AND p.subscription_id IS NULL AND p.in_range = 1))))
             ORDER BY n.country, n.code",
            &[id.clone(), account.clone(), Value::Int(now.0)],
        )
        .await?;
    rows.iter().map(NetworkOnSale::read).collect()
}

/// Where the caller's subscription stands.
async fn own(tx: &mut Tx, key: &[Value]) -> Result<(SubscriptionState, UnixMillis)> {
    let row = tx
        .optional(
            "SELECT state, ends_at FROM subscription WHERE id = $1 AND account_id = $2",
            key,
        )
        .await?
        .ok_or(Refusal::SubscriptionNotFound)?;
    Ok((row.parsed("state")?, UnixMillis(row.int("ends_at")?)))
}
