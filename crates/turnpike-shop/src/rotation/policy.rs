//! How often a subscription's exit rotates by itself.

use rand::RngExt as _;

use crate::error::{Refusal, Result};
use crate::shop::Shop;
use crate::store::{Tx, Value};
use crate::subscription::{self, Held};
use crate::types::{AccountId, ConnectionType, RotationPolicy, Span, SubscriptionId, UnixMillis};

/// Sets how often a subscription's exit rotates by itself. Setting what is set already changes nothing, not even when it is
/// next due; switching it off is possible with every exit.
///
/// # Errors
/// [`crate::Refusal::SubscriptionNotFound`], [`crate::Refusal::SubscriptionEnded`], [`crate::Refusal::RotationUnavailable`].
pub async fn set_policy(
    shop: &Shop,
    account: &AccountId,
    subscription: &SubscriptionId,
    policy: RotationPolicy,
) -> Result<()> {
    let (owned, account, id) = (shop.clone(), account.clone(), subscription.clone());
    shop.store
        .transaction(move |tx| {
            let (shop, account, id) = (owned.clone(), account.clone(), id.clone());
            Box::pin(async move { set(&shop, tx, &account, &id, policy).await })
        })
        .await
}

async fn set(shop: &Shop, tx: &mut Tx, account: &AccountId, id: &SubscriptionId, policy: RotationPolicy) -> Result<()> {
    let now = shop.now();
    let held = subscription::lock(tx, account, id).await?;
    if !held.is_running(now) {
        return Err(Refusal::SubscriptionEnded.into());
    }
    if policy != RotationPolicy::OFF {
        let exit = tx
            .one(
                "SELECT can_rotate FROM network_exit WHERE id = $1",
                &[Value::Text(held.exit.to_string())],
            )
            .await?;
        if held.connection_type == ConnectionType::Shared || exit.int("can_rotate")? == 0 {
            return Err(Refusal::RotationUnavailable.into());
        }
    }
    if policy != held.rotation_policy {
        arm(tx, id, policy, now).await?;
        tx.wake();
    }
    Ok(())
}

/// Sets the policy going again on an exit that the subscription has just got: off where that exit cannot rotate.
pub(crate) async fn resume(tx: &mut Tx, held: &Held, exit_can_rotate: bool, now: UnixMillis) -> Result<()> {
    let policy = if exit_can_rotate && held.connection_type == ConnectionType::Private {
        held.rotation_policy
    } else {
        RotationPolicy::OFF
    };
    arm(tx, &held.id, policy, now).await
}

/// The policy falls due one interval after the anchor, two, three… The anchor lies a little after now, at random, so that
/// exits whose policies were set in the same minute do not rotate in the same second for ever.
async fn arm(tx: &mut Tx, id: &SubscriptionId, policy: RotationPolicy, now: UnixMillis) -> Result<()> {
    let (anchor, next) = match policy.interval() {
        None => (Value::NullInt, Value::NullInt),
        Some(interval) => {
            let offset = Span(rand::rng().random_range(0..=interval.0 / 10));
            let anchor = now.plus(offset);
            (Value::Int(anchor.0), Value::Int(anchor.plus(interval).0))
        }
    };
    tx.execute(
        "UPDATE subscription SET rotation_policy = $1, rotation_anchor = $2, next_rotation_at = $3 WHERE id = $4",
        &[Value::Int(policy.minutes()), anchor, next, Value::Text(id.to_string())],
    )
    .await?;
    Ok(())
}
