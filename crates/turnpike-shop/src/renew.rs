//! More time for a subscription.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attempt::{self, contended};
use crate::auto_renew;
use crate::coupon;
use crate::error::{Refusal, Result};
use crate::idempotency::{self, IdempotencyKey};
use crate::limits::Limits;
use crate::notices::{self, News, Subject};
use crate::order::{self, NewOrder, Terms};
use crate::price;
use crate::rotation;
use crate::routes;
use crate::shop::Shop;
use crate::slot;
use crate::store::{Tx, Value};
use crate::subscription::{self, Held};
use crate::types::{
    AccountId, Cents, OrderId, OrderKind, PlanId, Quantity, RepeatCount, Span, SubscriptionId, SubscriptionState,
    UnixMillis,
};

/// What a customer wants to renew.
#[derive(Debug, Clone)]
pub struct RenewOrder {
    /// Which subscription.
    pub subscription: SubscriptionId,
    /// By which plan.
    pub plan: PlanId,
    /// Multiplies duration and price.
    pub repeat: RepeatCount,
    /// A discount code.
    pub coupon: Option<String>,
    /// Makes sending it twice safe.
    pub idempotency: Option<IdempotencyKey>,
}

/// What was renewed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Renewed {
    /// The order.
    pub order: OrderId,
    /// What was paid.
    pub price: Cents,
    /// Which subscription.
    pub subscription: SubscriptionId,
    /// When it ends now.
    pub ends_at: UnixMillis,
    /// The gateway that serves it.
    pub gateway: String,
    /// The route revision that carries it.
    pub revision: i64,
    /// Whether this is the remembered answer to an earlier request with the same key.
    #[serde(skip)]
    pub replayed: bool,
}

/// Adds the plan's duration x repeat to the later of now and the present end. An ended subscription can be renewed while
/// its grace period holds its port and a slot of its exit is still free. Trials are renewed like any other.
///
/// From now on the subscription has the renewal plan's limits. That plan's traffic is added to what is left. A plan
/// without a traffic limit lifts it; after one, an allowance counts from the renewal that brings it.
///
/// # Errors
/// [`crate::Refusal::SubscriptionNotFound`], [`crate::Refusal::UnknownPlan`], [`crate::Refusal::NotARenewalPlan`],
/// [`crate::Refusal::RenewalTooLate`], [`crate::Refusal::InvalidCoupon`], [`crate::Refusal::InsufficientBalance`],
/// [`crate::Refusal::AccountSuspended`], and those of the key.
pub async fn renew(shop: &Shop, account: &AccountId, order: RenewOrder) -> Result<Renewed> {
    let (owned, account, order) = (shop.clone(), account.clone(), Arc::new(order));
    attempt::settled(shop, move |tx| {
        let (shop, account, order) = (owned.clone(), account.clone(), Arc::clone(&order));
        Box::pin(async move { extend(&shop, tx, &account, &order, Occasion::Asked).await })
    })
    .await
}

/// What this renewal would cost now, by doing all of it and undoing it.
///
/// # Errors
/// As [`renew`].
pub async fn quote_renewal(shop: &Shop, account: &AccountId, order: RenewOrder) -> Result<Cents> {
    let order = RenewOrder {
        idempotency: None,
        ..order
    };
    let (owned, account, order) = (shop.clone(), account.clone(), Arc::new(order));
    attempt::settled(shop, move |tx| {
        let (shop, account, order) = (owned.clone(), account.clone(), Arc::clone(&order));
        Box::pin(async move {
            tx.undo_at_end();
            Ok(extend(&shop, tx, &account, &order, Occasion::Asked).await?.price)
        })
    })
    .await
}

/// Why something is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Its owner asks for it.
    Asked,
    /// It renews itself.
    ByItself,
}

/// The whole rule. The order of its locks is told in [`crate::order`].
pub(crate) async fn extend(
    shop: &Shop,
    tx: &mut Tx,
    account: &AccountId,
    order: &RenewOrder,
    occasion: Occasion,
) -> Result<Renewed> {
    let now = shop.now();
    let key = order.idempotency.as_ref();
    if let Some(answer) = idempotency::claim(shop, tx, account, key, now).await? {
        return Ok(Renewed {
            replayed: true,
            ..answer
        });
    }
    let (buyer, terms) = order::lock_buyer(tx, account, &order.plan).await?;
    let held = subscription::lock(tx, account, &order.subscription).await?;
    let terms = terms.ok_or(Refusal::UnknownPlan)?;
    if !renews(&terms, &held) {
        return Err(Refusal::NotARenewalPlan.into());
    }
    let coupon = match &order.coupon {
        Some(code) => Some(coupon::redeem(tx, account, code, now).await?),
        None => None,
    };
    let mut changed = come_back(shop, tx, &held, now).await?;
    let discount = coupon.as_ref().map(|coupon| coupon.discount);
    let price = price::of(terms.price, order.repeat, Quantity::ONE, discount)
        .ok_or_else(|| order::beyond_money(buyer.balance))?;
    let id = NewOrder {
        kind: OrderKind::Renewal,
        buyer: &buyer,
        terms: &terms,
        repeat: order.repeat,
        quantity: Quantity::ONE,
        unit: terms.price,
        price,
        coupon: coupon.as_ref(),
        idempotency: key,
    }
    .write(shop, tx, now)
    .await?;
    let added = order::times(terms.duration, order.repeat)?;
    let traffic = terms.limits.traffic_of(order.repeat)?;
    order::add_line(tx, &id, &held.id, added, traffic).await?;
    let ends_at = prolong(tx, &held, added, now).await?;
    let limits = Limits {
        traffic_bytes: traffic,
        ..terms.limits
    };
    take_over(tx, &held, &limits).await?;
    if held.renews_itself {
        auto_renew::reschedule(shop, tx, &held.id, ends_at).await?;
    }
    let news = News::Renewed {
        price: price.total,
        by_itself: occasion == Occasion::ByItself,
    };
    notices::tell(shop, tx, Subject::Subscription(&held.id), news).await?;
    changed.push(held.id.clone());
    routes::publish(tx, &changed).await?;
    let renewed = Renewed {
        order: id,
        price: price.total,
        ends_at,
        revision: routes::revision_of(tx, &held.id).await?,
        subscription: held.id,
        gateway: held.gateway,
        replayed: false,
    };
    idempotency::remember(shop, tx, account, key, &renewed).await?;
    Ok(renewed)
}

/// Whether a plan can renew a subscription: active, its connection type, its present network.
/// [`crate::offers::renewal_plans`] lists by the same rule.
pub(crate) fn renews(terms: &Terms, held: &Held) -> bool {
    terms.is_active && terms.connection_type == held.connection_type && terms.network == held.network
}

/// Sees to it that the subscription has a slot: one that has ended takes a free one of its exit. Answers who had to end for it.
async fn come_back(shop: &Shop, tx: &mut Tx, held: &Held, now: UnixMillis) -> Result<Vec<SubscriptionId>> {
    if held.ends_at.plus(shop.settings.grace) <= now {
        return Err(Refusal::RenewalTooLate.into());
    }
    if held.state == SubscriptionState::Active {
        // Perhaps due, but nobody has taken its slot.
        return Ok(Vec::new());
    }
    slot::lock_exit(tx, &held.exit).await?;
    let mut ended = Vec::new();
    let mut slot = slot::free_of_exit(tx, &held.exit, held.connection_type).await?;
    // One that is over and could not be locked is just being ended by somebody else. Asked before the last look for a slot: where it
    // has been ended by then, the look finds its slot.
    let mut is_any_due = false;
    if slot.is_none() {
        ended = subscription::end_due_of(shop, tx, &held.exit, now).await?;
        is_any_due = subscription::is_any_due_of(tx, &held.exit, now).await?;
        slot = slot::free_of_exit(tx, &held.exit, held.connection_type).await?;
    }
    let Some(slot) = slot else {
        return Err(if is_any_due {
            contended(1)
        } else {
            Refusal::RenewalTooLate.into()
        });
    };
    slot::give(tx, &slot, &held.id).await?;
    rotation::resume(tx, held, slot.exit_can_rotate, now).await?;
    Ok(ended)
}

/// Moves the end, and keeps account of the time that nobody paid for. Answers the new end.
async fn prolong(tx: &mut Tx, held: &Held, added: Span, now: UnixMillis) -> Result<UnixMillis> {
    let from = held.ends_at.max(now);
    let ends_at = from.plus(added);
    tx.execute(
        "UPDATE subscription SET state = 'active', ends_at = $1, lapsed_ms = lapsed_ms + $2,
             ending_notice_at = $3 WHERE id = $4",
        &[
            Value::Int(ends_at.0),
            Value::Int(from.since(held.ends_at).0),
            Value::Int(notices::ending_notice_at(ends_at, added).0),
            Value::Text(held.id.to_string()),
        ],
    )
    .await?;
    Ok(ends_at)
}

/// Gives the subscription the renewal's limits, of whose traffic it gets all that the order gives.
async fn take_over(tx: &mut Tx, held: &Held, given: &Limits) -> Result<()> {
    let [max_connections, max_source_addresses, mbit_per_second, traffic_bytes] = given.values();
    tx.execute(
        "UPDATE subscription SET max_connections = $1, max_source_addresses = $2, mbit_per_second = $3,
             traffic_before = CASE WHEN traffic_bytes IS NULL AND CAST($4 AS BIGINT) IS NOT NULL
                 THEN COALESCE((SELECT t.bytes_up + t.bytes_down FROM traffic_total t WHERE t.subscription_id = $5), 0)
                 ELSE traffic_before END,
             traffic_bytes = CAST($4 AS BIGINT) + COALESCE(traffic_bytes, 0)
         WHERE id = $5",
        &[
            max_connections,
            max_source_addresses,
            mbit_per_second,
            traffic_bytes,
            Value::Text(held.id.to_string()),
        ],
    )
    .await?;
    Ok(())
}
