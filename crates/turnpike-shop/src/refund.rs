//! Giving an order's price back.
//!
//! A refund is the order's reversing entry in the ledger: all of its price, once. What the order gave is taken back: each of its
//! subscriptions loses the order's time as far as that is still to come, ends where nothing is left, and renews itself no more.
//! Traffic that was given stays, and the coupon stays redeemed. Whoever is to keep what he has is credited instead
//! ([`crate::ledger::book`]), which is also how a part is given back.

use crate::audit_log::{self, Actor};
use crate::auto_renew;
use crate::error::{Refusal, Result};
use crate::ledger;
use crate::notices;
use crate::routes;
use crate::shop::Shop;
use crate::store::{Tx, Value};
use crate::subscription;
use crate::types::{AccountId, Cents, OrderId, Span, SubscriptionId, SubscriptionState, UnixMillis};

/// What was given back.
#[derive(Debug, Clone)]
pub struct Refunded {
    /// Whose order it was.
    pub account: AccountId,
    /// The order's price.
    pub amount: Cents,
    /// The account's balance with it.
    pub balance: Cents,
    /// What lost time by it.
    pub shortened: Vec<Shortened>,
}

/// A subscription that lost time.
#[derive(Debug, Clone)]
pub struct Shortened {
    /// Which.
    pub subscription: SubscriptionId,
    /// When it ends now.
    pub ends_at: UnixMillis,
    /// The gateway that serves it.
    pub gateway: String,
    /// The route revision that tells it.
    pub revision: i64,
}

/// Gives an order's price back, once however often and however parallel that is asked for, and takes back what it gave.
///
/// # Errors
/// [`Refusal::UnfitReason`], [`Refusal::UnknownOrder`], [`Refusal::NothingToRefund`], [`Refusal::RefundedAlready`],
/// [`Refusal::BeyondMoney`].
pub async fn refund(shop: &Shop, actor: impl Into<Actor>, order: &OrderId, reason: &str) -> Result<Refunded> {
    let reason = ledger::fit_reason(reason)?.to_owned();
    let (owned, actor, order) = (shop.clone(), Actor::of(actor), order.clone());
    shop.store
        .transaction(move |tx| {
            let (shop, actor, order, reason) = (owned.clone(), actor.clone(), order.clone(), reason.clone());
            Box::pin(async move {
                let now = shop.now();
                let (account, amount) = price_of(tx, &order).await?;
                // The ledger's unique index on orders and kinds decides who is first. The buyer's balance is locked from here on,
                // so that no renewal comes between.
                let balance = ledger::give_back(tx, &account, amount, &order, &reason, now).await?;
                let shortened = take_back(&shop, tx, &order, now).await?;
                let detail = serde_json::json!({ "account": account, "cents": amount.0, "reason": reason });
                audit_log::write(tx, &actor, "order.refund", order.as_str(), &detail, now).await?;
                Ok(Refunded {
                    account,
                    amount,
                    balance,
                    shortened,
                })
            })
        })
        .await
}

async fn price_of(tx: &mut Tx, order: &OrderId) -> Result<(AccountId, Cents)> {
    let row = tx
        .optional(
            "SELECT account_id, price_cents FROM shop_order WHERE id = $1",
            &[Value::Text(order.to_string())],
        )
        .await?
        .ok_or(Refusal::UnknownOrder)?;
    match Cents(row.int("price_cents")?) {
        Cents(0) => Err(Refusal::NothingToRefund.into()),
        price => Ok((row.parsed("account_id")?, price)),
    }
}

/// Shortens what the order prolonged, and ends what has nothing left.
async fn take_back(shop: &Shop, tx: &mut Tx, order: &OrderId, now: UnixMillis) -> Result<Vec<Shortened>> {
    let rows = tx
        .all(
            "SELECT s.id, s.state, s.ends_at, l.duration_ms FROM order_line l JOIN subscription s ON s.id = l.subscription_id
             WHERE l.order_id = $1 AND s.ends_at > $2 ORDER BY s.id FOR NO KEY UPDATE OF s",
            &[Value::Text(order.to_string()), Value::Int(now.0)],
        )
        .await?;
    let mut changed = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: SubscriptionId = row.parsed("id")?;
        let ended_at = UnixMillis(row.int("ends_at")?);
        let ends_at = ended_at.minus(Span(row.int("duration_ms")?)).max(now);
        tx.execute(
            "UPDATE subscription SET ends_at = $1, cut_ms = cut_ms + $2, ending_notice_at = $3 WHERE id = $4",
            &[
                Value::Int(ends_at.0),
                Value::Int(ended_at.since(ends_at).0),
                Value::Int(notices::ending_notice_at(ends_at, ends_at.since(now)).0),
                Value::Text(id.to_string()),
            ],
        )
        .await?;
        if ends_at <= now && row.parsed::<SubscriptionState>("state")? == SubscriptionState::Active {
            subscription::end(shop, tx, &id, now).await?;
        }
        // Else it would be paid for again at once.
        auto_renew::switch_off(tx, &id).await?;
        changed.push((id, ends_at));
    }
    let ids: Vec<SubscriptionId> = changed.iter().map(|(id, _)| id.clone()).collect();
    routes::publish(tx, &ids).await?;
    let mut shortened = Vec::with_capacity(changed.len());
    for (subscription, ends_at) in changed {
        let told = tx
            .one(
                "SELECT gateway, revision FROM subscription WHERE id = $1",
                &[Value::Text(subscription.to_string())],
            )
            .await?;
        shortened.push(Shortened {
            subscription,
            ends_at,
            gateway: told.text("gateway")?,
            revision: told.int("revision")?,
        });
    }
    Ok(shortened)
}
