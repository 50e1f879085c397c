//! Subscriptions that renew themselves.
//!
//! The owner says by which plan. [`crate::Settings::auto_renew_before`] the end, but not before half of that plan's duration has
//! passed, [`run`] renews as he would himself: at the price of that moment, without a coupon. Where it is refused (the balance
//! does not cover it, the plan is no longer sold), that is written down for him and tried again until the end: each hour, once
//! shortly before the end, and as soon as money comes in.
//!
//! # Never twice
//! Any number of processes may run this, end at any point and disagree on the time. Whoever moves a subscription's next try ahead
//! by a conditional update has it for a minute; a process that ends there delays it by that much. The renewal itself is one
//! transaction, which looks again, under the locks, whether the subscription still ends when it was found to end and is still to
//! renew itself. Renewing moves the end. Beside that its order has an idempotency key of the subscription and that end, so that
//! even an end that is moved back (a refund) is not paid for again at once.

use std::fmt;

use crate::attempt;
use crate::error::{Error, Refusal, Result};
use crate::idempotency::IdempotencyKey;
use crate::notices::{self, News, Subject};
use crate::order::{self, Terms};
use crate::renew::{self, Occasion, RenewOrder, Renewed};
use crate::secrets;
use crate::shop::{Settings, Shop};
use crate::store::{Tx, Value};
use crate::subscription::{self, Held};
use crate::types::{AccountId, Cents, PlanId, RepeatCount, Span, SubscriptionId, UnixMillis};

/// How long one process has a subscription to itself: longer than a renewal takes.
const LEASE: Span = Span::minutes(1);
/// How long after a refusal it is tried again.
const PAUSE: Span = Span::hours(1);
/// How long before the end it is tried for the last time.
const LAST_TRY: Span = Span::minutes(5);
/// How many one look finds.
const BATCH: i64 = 100;

/// How a subscription renews itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoRenew {
    /// By which plan; absent: not at all.
    pub plan: Option<PlanId>,
    /// What that costs at present; absent where the plan cannot renew it at present.
    pub price: Option<Cents>,
    /// When it is tried next; absent: not before somebody renews it.
    pub next_at: Option<UnixMillis>,
    /// Why the last try failed.
    pub trouble: Option<Trouble>,
}

/// Why a try failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The rule that said no.
    Refused(Refusal),
    /// As an earlier version wrote it down: in a sentence.
    Told(String),
}

impl Trouble {
    /// As it is kept.
    fn written(why: &Refusal) -> Result<String> {
        serde_json::to_string(why).map_err(|error| Error::Failed(format!("writing down a refusal: {error}")))
    }

    fn read(text: String) -> Self {
        match serde_json::from_str(&text) {
            Ok(why) => Self::Refused(why),
            Err(_) => Self::Told(text),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::Told(sentence) => f.write_str(sentence),
        }
    }
}

/// What an owner wants of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Let it end.
    Off,
    /// Renew by this plan; absent: by that of its last order.
    By(Option<PlanId>),
}

/// How one of an account's subscriptions renews itself.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`].
pub async fn see(shop: &Shop, account: &AccountId, id: &SubscriptionId) -> Result<AutoRenew> {
    let (account, id) = (account.clone(), id.clone());
    shop.store
        .read(move |tx| {
            let (account, id) = (account.clone(), id.clone());
            Box::pin(async move { shown(tx, &account, &id).await })
        })
        .await
}

/// Sets whether and by which plan a subscription renews itself.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`], [`Refusal::SubscriptionEnded`], [`Refusal::UnknownPlan`], [`Refusal::NotARenewalPlan`].
pub async fn set(shop: &Shop, account: &AccountId, id: &SubscriptionId, wish: Wish) -> Result<AutoRenew> {
    let (owned, account, id) = (shop.clone(), account.clone(), id.clone());
    shop.store
        .transaction(move |tx| {
            let (shop, account, id, wish) = (owned.clone(), account.clone(), id.clone(), wish.clone());
            Box::pin(async move {
                let held = subscription::lock(tx, &account, &id).await?;
                match wish {
                    Wish::Off => switch_off(tx, &id).await?,
                    Wish::By(plan) => switch_on(&shop, tx, &held, plan).await?,
                }
                shown(tx, &account, &id).await
            })
        })
        .await
}

async fn shown(tx: &mut Tx, account: &AccountId, id: &SubscriptionId) -> Result<AutoRenew> {
    let row = tx
        .optional(
            "SELECT s.auto_renew_plan_id, s.auto_renew_at, s.auto_renew_trouble, p.price_cents
             FROM subscription s
             LEFT JOIN plan p ON p.id = s.auto_renew_plan_id AND p.active = 1 AND p.network_id = s.network_id
                 AND p.connection_type = s.connection_type
             WHERE s.id = $1 AND s.account_id = $2 AND s.state <> 'released'",
            &[Value::Text(id.to_string()), Value::Text(account.to_string())],
        )
        .await?
        .ok_or(Refusal::SubscriptionNotFound)?;
    Ok(AutoRenew {
        plan: row.optional_parsed("auto_renew_plan_id")?,
        price: row.optional_int("price_cents")?.map(Cents),
        next_at: row.optional_int("auto_renew_at")?.map(UnixMillis),
        trouble: row.optional_text("auto_renew_trouble")?.map(Trouble::read),
    })
}

/// Lets a locked subscription end.
pub(crate) async fn switch_off(tx: &mut Tx, id: &SubscriptionId) -> Result<()> {
    tx.execute(
        "UPDATE subscription SET auto_renew_plan_id = NULL, auto_renew_at = NULL, auto_renew_trouble = NULL WHERE id = $1",
        &[Value::Text(id.to_string())],
    )
    .await?;
    Ok(())
}

async fn switch_on(shop: &Shop, tx: &mut Tx, held: &Held, plan: Option<PlanId>) -> Result<()> {
    if !held.is_running(shop.now()) {
        return Err(Refusal::SubscriptionEnded.into());
    }
    let plan = match plan {
        Some(plan) => plan,
        None => plan_of_last_order(tx, &held.id).await?,
    };
    let terms = Terms::of(tx, &plan).await?;
    if !renew::renews(&terms, held) {
        return Err(Refusal::NotARenewalPlan.into());
    }
    let first = held.ends_at.minus(lead(&shop.settings, terms.duration));
    tx.execute(
        "UPDATE subscription SET auto_renew_plan_id = $1, auto_renew_at = $2, auto_renew_trouble = NULL WHERE id = $3",
        &[
            Value::Text(plan.to_string()),
            Value::Int(first.0),
            Value::Text(held.id.to_string()),
        ],
    )
    .await?;
    Ok(())
}

async fn plan_of_last_order(tx: &mut Tx, id: &SubscriptionId) -> Result<PlanId> {
    tx.one(
        "SELECT o.plan_id FROM order_line l JOIN shop_order o ON o.id = l.order_id
         WHERE l.subscription_id = $1 ORDER BY o.created_at DESC, o.id DESC LIMIT 1",
        &[Value::Text(id.to_string())],
    )
    .await?
    .parsed("plan_id")
}

/// How long before the end a plan of this duration renews by itself.
fn lead(settings: &Settings, duration: Span) -> Span {
    settings.auto_renew_before.min(Span(duration.0 / 2))
}

/// A locked subscription has been renewed: the next time is before its new end.
pub(crate) async fn reschedule(shop: &Shop, tx: &mut Tx, id: &SubscriptionId, ends_at: UnixMillis) -> Result<()> {
    tx.execute(
        "UPDATE subscription SET auto_renew_trouble = NULL, auto_renew_at = CAST($1 AS BIGINT) -
             (SELECT CASE WHEN p.duration_ms / 2 < CAST($2 AS BIGINT) THEN p.duration_ms / 2 ELSE CAST($2 AS BIGINT) END
              FROM plan p WHERE p.id = auto_renew_plan_id)
         WHERE id = $3 AND auto_renew_plan_id IS NOT NULL",
        &[
            Value::Int(ends_at.0),
            Value::Int(shop.settings.auto_renew_before.0),
            Value::Text(id.to_string()),
        ],
    )
    .await?;
    Ok(())
}

/// Money has come in: what could not be renewed is tried again at once. The account's balance is locked.
pub(crate) async fn try_again(tx: &mut Tx, account: &AccountId, now: UnixMillis) -> Result<()> {
    tx.execute(
        "UPDATE subscription SET auto_renew_at = $1
         WHERE account_id = $2 AND auto_renew_trouble IS NOT NULL AND auto_renew_plan_id IS NOT NULL
           AND state = 'active' AND ends_at > $1",
        &[Value::Int(now.0), Value::Text(account.to_string())],
    )
    .await?;
    Ok(())
}

/// One that is to be renewed now.
#[derive(Clone)]
struct Due {
    id: SubscriptionId,
    account: AccountId,
    plan: PlanId,
    ends_at: UnixMillis,
    /// When it was to be tried: whoever finds it otherwise comes too late.
    at: UnixMillis,
}

/// Renews what is due. Safe to run anywhere, any number of times. Returns when the next is due, if any is.
///
/// # Errors
/// Only the database's.
pub async fn run(shop: &Shop) -> Result<Option<UnixMillis>> {
    let due = due(shop).await?;
    for one in &due {
        match attend(shop, one).await {
            Ok(()) => {}
            // One that is damaged must not keep the others waiting.
            Err(Error::Failed(why)) => {
                tracing::error!(subscription = %one.id, %why, "a subscription could not renew itself; it is tried again");
            }
            Err(error) => return Err(error),
        }
    }
    shop.store
        .read(|tx| {
            Box::pin(async move {
                let next = "SELECT MIN(auto_renew_at) AS at FROM subscription WHERE auto_renew_at IS NOT NULL";
                Ok(tx.one(next, &[]).await?.optional_int("at")?.map(UnixMillis))
            })
        })
        .await
}

async fn due(shop: &Shop) -> Result<Vec<Due>> {
    let values = [Value::Int(shop.now().0), Value::Int(BATCH)];
    shop.store
        .read(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT id, account_id, auto_renew_plan_id, ends_at, auto_renew_at FROM subscription
                         WHERE auto_renew_at <= $1 ORDER BY auto_renew_at LIMIT $2",
                        &values,
                    )
                    .await?;
                rows.iter()
                    .map(|row| {
                        Ok(Due {
                            id: row.parsed("id")?,
                            account: row.parsed("account_id")?,
                            plan: row.parsed("auto_renew_plan_id")?,
                            ends_at: UnixMillis(row.int("ends_at")?),
                            at: UnixMillis(row.int("auto_renew_at")?),
                        })
                    })
                    .collect()
            })
        })
        .await
}

/// Takes one, renews it, and writes down where that was refused.
async fn attend(shop: &Shop, due: &Due) -> Result<()> {
    let now = shop.now();
    if due.ends_at <= now {
        // It is over, though nothing has swept it up yet; whoever renews it late does so himself.
        return move_try(shop, due, due.at, None, None).await.map(|_| ());
    }
    let leased_until = now.plus(LEASE);
    if !move_try(shop, due, due.at, Some(leased_until), None).await? {
        return Ok(());
    }
    match renew_one(shop, due).await {
        // Its end was moved back after this was paid: whoever did that decides how it goes on.
        Ok(Some(renewed)) if renewed.replayed => move_try(shop, due, leased_until, None, None).await.map(|_| ()),
        Ok(Some(renewed)) => {
            tracing::info!(subscription = %due.id, order = %renewed.order, "a subscription has renewed itself");
            Ok(())
        }
        // Renewed, ended or told not to, meanwhile.
        Ok(None) => Ok(()),
        Err(Error::Refused(why)) => {
            tracing::info!(subscription = %due.id, %why, "a subscription could not renew itself");
            let next = next_try(shop.now(), due.ends_at);
            // Where the try was moved meanwhile (money came in), that stands.
            move_try(shop, due, leased_until, next, Some(why)).await.map(|_| ())
        }
        Err(error) => Err(error),
    }
}

/// When it is tried again after a refusal; absent when it has been tried for the last time.
fn next_try(now: UnixMillis, ends_at: UnixMillis) -> Option<UnixMillis> {
    let last = ends_at.minus(LAST_TRY);
    (now < last).then(|| now.plus(PAUSE).min(last))
}

/// Moves the next try, if it still is when it was; whether it was. The first trouble since the last renewal is told.
async fn move_try(
    shop: &Shop,
    due: &Due,
    from: UnixMillis,
    to: Option<UnixMillis>,
    trouble: Option<Refusal>,
) -> Result<bool> {
    let (owned, due) = (shop.clone(), due.clone());
    shop.store
        .transaction(move |tx| {
            let (shop, due, trouble) = (owned.clone(), due.clone(), trouble.clone());
            Box::pin(async move {
                let found = tx
                    .optional(
                        "SELECT auto_renew_trouble FROM subscription WHERE id = $1 AND auto_renew_at = $2 AND ends_at = $3
                         FOR NO KEY UPDATE",
                        &[
                            Value::Text(due.id.to_string()),
                            Value::Int(from.0),
                            Value::Int(due.ends_at.0),
                        ],
                    )
                    .await?;
                let Some(found) = found else {
                    return Ok(false);
                };
                let known = found.optional_text("auto_renew_trouble")?;
                if let (Some(why), None) = (&trouble, &known) {
                    notices::tell(&shop, tx, Subject::Subscription(&due.id), News::RenewalFailed { why }).await?;
                }
                let written = trouble.as_ref().map(Trouble::written).transpose()?;
                tx.execute(
                    "UPDATE subscription SET auto_renew_at = $1, auto_renew_trouble = $2 WHERE id = $3",
                    &[
                        to.map_or(Value::NullInt, |at| Value::Int(at.0)),
                        written.or(known).map_or(Value::NullText, Value::Text),
                        Value::Text(due.id.to_string()),
                    ],
                )
                .await?;
                Ok(true)
            })
        })
        .await
}

/// Renews it; absent where it is not as it was found.
async fn renew_one(shop: &Shop, due: &Due) -> Result<Option<Renewed>> {
    let (owned, due) = (shop.clone(), due.clone());
    attempt::settled(shop, move |tx| {
        let (shop, due) = (owned.clone(), due.clone());
        Box::pin(async move {
            // Before the idempotency key, unlike all others: nobody else's request can have a key like this one.
            order::lock_buyer(tx, &due.account, &due.plan).await?;
            if !is_as_found(tx, &due, shop.now()).await? {
                return Ok(None);
            }
            let order = RenewOrder {
                subscription: due.id.clone(),
                plan: due.plan.clone(),
                repeat: RepeatCount::ONE,
                coupon: None,
                idempotency: Some(key(&due)),
            };
            renew::extend(&shop, tx, &due.account, &order, Occasion::ByItself)
                .await
                .map(Some)
        })
    })
    .await
}

async fn is_as_found(tx: &mut Tx, due: &Due, now: UnixMillis) -> Result<bool> {
    let found = tx
        .optional(
            "SELECT id FROM subscription
             WHERE id = $1 AND state = 'active' AND ends_at = $2 AND ends_at > $3 AND auto_renew_plan_id = $4
             FOR NO KEY UPDATE",
            &[
                Value::Text(due.id.to_string()),
                Value::Int(due.ends_at.0),
                Value::Int(now.0),
                Value::Text(due.plan.to_string()),
            ],
        )
        .await?;
    Ok(found.is_some())
}

/// One for each end of a subscription. Customers' keys are ASCII, so that none of theirs is in the way.
fn key(due: &Due) -> IdempotencyKey {
    let key = format!("auto-renewal·{}·{}", due.id, due.ends_at.0);
    IdempotencyKey {
        request_hash: secrets::hash(key.as_bytes()),
        key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_each_hour_and_once_shortly_before_the_end() {
        let end = UnixMillis(Span::days(30).0);
        let before = |span: Span| end.minus(span);
        assert_eq!(next_try(before(Span::hours(24)), end), Some(before(Span::hours(23))));
        assert_eq!(next_try(before(Span::minutes(30)), end), Some(before(LAST_TRY)));
        assert_eq!(next_try(before(LAST_TRY), end), None);
        assert_eq!(next_try(end, end), None);
    }

    #[test]
    fn short_plans_renew_when_half_of_them_has_passed() {
        let settings = Settings::default();
        assert_eq!(lead(&settings, Span::days(30)), Span::hours(24));
        assert_eq!(lead(&settings, Span::hours(2)), Span::hours(1));
    }
}
