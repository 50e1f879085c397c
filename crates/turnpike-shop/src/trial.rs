//! Giving a free, short subscription to try.

use std::net::IpAddr;
use std::sync::Arc;

use crate::attempt;
use crate::error::{Refusal, Result};
use crate::idempotency::{self, IdempotencyKey};
use crate::order::{self, NewOrder};
use crate::price::Price;
use crate::purchase::{Opening, Purchased};
use crate::routes;
use crate::shop::Shop;
use crate::sources;
use crate::store::{Tx, Value};
use crate::types::{AccountId, Cents, NetworkId, OrderKind, PlanId, Quantity, RepeatCount, Span, UnixMillis};

/// How long after a trial the next one of the same network is.
pub const BETWEEN_TRIALS: Span = Span::days(30);

/// What a customer wants to try.
#[derive(Debug, Clone)]
pub struct TrialOrder {
    /// Which plan.
    pub plan: PlanId,
    /// Makes sending it twice safe.
    pub idempotency: Option<IdempotencyKey>,
    /// From where it is asked for.
    pub source: Option<IpAddr>,
}

/// Gives one trial: one per account and network in 30 days, for the plan's trial time, at no price. It has the plan's limits, and
/// of its traffic the share that its time is of the plan's (see [`crate::limits`]).
///
/// # Errors
/// [`crate::Refusal::UnknownPlan`], [`crate::Refusal::PlanInactive`], [`crate::Refusal::NoTrialOfPlan`],
/// [`crate::Refusal::TrialUsed`], and those of a purchase that concern the account, slots, ports and the key.
pub async fn trial(shop: &Shop, account: &AccountId, order: TrialOrder) -> Result<Purchased> {
    let (owned, account, order) = (shop.clone(), account.clone(), Arc::new(order));
    let mut given = attempt::settled(shop, move |tx| {
        let (shop, account, order) = (owned.clone(), account.clone(), Arc::clone(&order));
        Box::pin(async move { give(&shop, tx, &account, &order).await })
    })
    .await?;
    routes::tell(shop, &mut given.subscriptions).await;
    Ok(given)
}

/// The whole rule. The order of its locks is told in [`crate::order`].
async fn give(shop: &Shop, tx: &mut Tx, account: &AccountId, order: &TrialOrder) -> Result<Purchased> {
    let now = shop.now();
    let key = order.idempotency.as_ref();
    if let Some(answer) = idempotency::claim(shop, tx, account, key, now).await? {
        return Purchased::again(answer, tx).await;
    }
    let (buyer, terms) = order::lock_buyer(tx, account, &order.plan).await?;
    let terms = terms.ok_or(Refusal::UnknownPlan)?.on_sale()?;
    let duration = terms.trial.ok_or(Refusal::NoTrialOfPlan)?;
    use_up(tx, account, &terms.network, now).await?;
    if let Some(source) = order.source {
        sources::note(tx, account, source, now).await?;
    }
    let id = NewOrder {
        kind: OrderKind::Trial,
        buyer: &buyer,
        terms: &terms,
        repeat: RepeatCount::ONE,
        quantity: Quantity::ONE,
        unit: Cents(0),
        price: Price {
            full: Cents(0),
            discount: Cents(0),
            total: Cents(0),
        },
        coupon: None,
        idempotency: key,
    }
    .write(shop, tx, now)
    .await?;
    let subscriptions = Opening {
        buyer: account,
        terms: &terms,
        order: &id,
        duration,
        traffic: terms.limits.traffic_of_trial(duration, terms.duration),
        quantity: Quantity::ONE,
        now,
    }
    .run(shop, tx)
    .await?;
    let given = Purchased {
        order: id,
        price: Cents(0),
        subscriptions,
        replayed: false,
    };
    idempotency::remember(shop, tx, account, key, &given).await?;
    Ok(given)
}

/// Takes the account's trial of this network, if it has one now. The row's condition decides.
async fn use_up(tx: &mut Tx, account: &AccountId, network: &NetworkId, now: UnixMillis) -> Result<()> {
    let row = [Value::Text(account.to_string()), Value::Text(network.to_string())];
    let [account, network] = row.clone();
    let used = tx
        .execute(
            "INSERT INTO trial_use (account_id, network_id, used_at) VALUES ($1, $2, $3)
             ON CONFLICT (account_id, network_id) DO UPDATE SET used_at = $3 WHERE trial_use.used_at <= $4",
            &[
                account,
                network,
                Value::Int(now.0),
                Value::Int(now.minus(BETWEEN_TRIALS).0),
            ],
        )
        .await?;
    if used == 1 {
        return Ok(());
    }
    let last = tx
        .one(
            "SELECT used_at FROM trial_use WHERE account_id = $1 AND network_id = $2",
            &row,
        )
        .await?
        .int("used_at")?;
    let retry_after = UnixMillis(last).plus(BETWEEN_TRIALS).since(now);
    Err(Refusal::TrialUsed { retry_after }.into())
}
