//! What purchases, renewals and trials have in common: the buyer's lock, the plan's terms, the order and its one ledger
//! transaction.
//!
//! # Lock order
//! Every verb takes the rows that it changes in this order, so that no two can wait for each other in a circle:
//!
//! 1. its idempotency key, 2. the buyer's ledger account, 3. its subscription, 4. the coupon, 5. slots, 6. ports,
//! 7. exits and rotations, 8. the gateways' revisions (in [`crate::routes::publish`], once, by name).
//!
//! Setting the standing of exits ([`crate::exits::set_network_standing`]) locks all their holders (3, by id), then the exits (7, by
//! id), and only then changes the exits' slots: whoever has locked one of those without its holder has its exit as well, or waits for
//! nobody.
//!
//! Slots, ports and other people's subscriptions are passed over where they are locked (`SKIP LOCKED`), never waited for.
//!
//! Locks are `FOR NO KEY UPDATE`, as an `UPDATE` takes them: foreign keys that point at the row (a traffic report's at its
//! subscription) then do not wait for them, nor they for those. An exit is locked `FOR KEY SHARE` with its slot; only the
//! catalogue and an exit's standing, which lock exits `FOR UPDATE`, wait for that.

use std::sync::LazyLock;

use crate::coupon::Redeemed;
use crate::error::{Error, Refusal, Result};
use crate::idempotency::IdempotencyKey;
use crate::ledger;
use crate::limits::{Limits, int_or_null};
use crate::price::Price;
use crate::shop::Shop;
use crate::store::{Row, Together, Tx, Value};
use crate::types::{
    AccountId, AccountStatus, Cents, ConnectionType, NetworkId, OrderId, OrderKind, PlanId, Quantity, RepeatCount,
    Span, SubscriptionId, UnixMillis,
};

/// An account whose money this transaction has locked: nobody else changes it until the transaction ends.
pub(crate) struct Buyer {
    /// Which.
    pub(crate) account: AccountId,
    /// What it can spend.
    pub(crate) balance: Cents,
    /// How many postings it has.
    pub(crate) postings: i64,
}

/// The columns that [`Terms::read`] reads of a plan `p` and its network `n`.
macro_rules! terms {
    () => {
        "p.network_id, p.connection_type, p.duration_ms, p.price_cents, p.trial_ms, p.active, p.max_connections,
         p.max_source_addresses, p.mbit_per_second, p.traffic_bytes,
         n.active AS network_active, n.code, n.city, n.country"
    };
}

/// Locks the account's money until the transaction ends, so that its orders happen one after the other. With it come the terms of
/// `plan`, whether it is still sold or not, where there is such a plan.
pub(crate) async fn lock_buyer(tx: &mut Tx, buyer: &AccountId, plan: &PlanId) -> Result<(Buyer, Option<Terms>)> {
    let money = tx
        .one(
            "SELECT balance, postings FROM ledger_account WHERE id = $1 FOR NO KEY UPDATE",
            &[Value::Text(buyer.to_string())],
        )
        .await?;
    // Read once the lock is there, and not with it: who has suspended the account held it until then.
    let row = tx
        .one(
            concat!(
                "SELECT a.status, p.id, ",
                terms!(),
                " FROM account a LEFT JOIN plan p ON p.id = $2 LEFT JOIN network n ON n.id = p.network_id WHERE a.id = $1"
            ),
            &[Value::Text(buyer.to_string()), Value::Text(plan.to_string())],
        )
        .await?;
    if row.parsed::<AccountStatus>("status")? == AccountStatus::Suspended {
        return Err(Refusal::AccountSuspended.into());
    }
    let terms = match row.optional_parsed("id")? {
        Some(plan) => Some(Terms::read(plan, &row)?),
        None => None,
    };
    let buyer = Buyer {
        account: buyer.clone(),
        balance: Cents(money.int("balance")?),
        postings: money.int("postings")?,
    };
    Ok((buyer, terms))
}

/// What a plan promises.
pub(crate) struct Terms {
    /// Which plan.
    pub(crate) plan: PlanId,
    /// Where.
    pub(crate) network: NetworkId,
    /// `NL-AMS`.
    pub(crate) network_code: String,
    /// `Amsterdam`.
    pub(crate) city: String,
    /// `NL`.
    pub(crate) country: String,
    /// Whole exits or slots.
    pub(crate) connection_type: ConnectionType,
    /// For how long.
    pub(crate) duration: Span,
    /// For how much.
    pub(crate) price: Cents,
    /// How long a trial is, where there is one.
    pub(crate) trial: Option<Span>,
    /// What of it may be used.
    pub(crate) limits: Limits,
    /// The plan itself is active.
    pub(crate) is_active: bool,
    /// Its network is active.
    pub(crate) network_is_active: bool,
}

impl Terms {
    /// The terms of a plan, whether it is still sold or not.
    pub(crate) async fn of(tx: &mut Tx, plan: &PlanId) -> Result<Self> {
        let row = tx
            .optional(
                concat!(
                    "SELECT ",
                    terms!(),
                    " FROM plan p JOIN network n ON n.id = p.network_id WHERE p.id = $1"
                ),
                &[Value::Text(plan.to_string())],
            )
            .await?
            .ok_or(Refusal::UnknownPlan)?;
        Self::read(plan.clone(), &row)
    }

    /// Refused unless new subscriptions can be bought of it.
    pub(crate) fn on_sale(self) -> Result<Self> {
        if self.is_active && self.network_is_active {
            Ok(self)
        } else {
            Err(Refusal::PlanInactive.into())
        }
    }

    fn read(plan: PlanId, row: &Row) -> Result<Self> {
        Ok(Self {
            plan,
            network: row.parsed("network_id")?,
            network_code: row.text("code")?,
            city: row.text("city")?,
            country: row.text("country")?,
            connection_type: row.parsed("connection_type")?,
            duration: Span(row.int("duration_ms")?),
            price: Cents(row.int("price_cents")?),
            trial: row.optional_int("trial_ms")?.map(Span),
            limits: Limits::read(row)?,
            is_active: row.int("active")? == 1,
            network_is_active: row.int("network_active")? == 1,
        })
    }
}

/// An order about to be written down.
pub(crate) struct NewOrder<'a> {
    /// What for.
    pub(crate) kind: OrderKind,
    /// Whose.
    pub(crate) buyer: &'a Buyer,
    /// Of which plan, and at which terms.
    pub(crate) terms: &'a Terms,
    /// By how much duration and price are multiplied.
    pub(crate) repeat: RepeatCount,
    /// How many subscriptions.
    pub(crate) quantity: Quantity,
    /// What one costs.
    pub(crate) unit: Cents,
    /// What all cost.
    pub(crate) price: Price,
    /// The coupon used.
    pub(crate) coupon: Option<&'a Redeemed>,
    /// What it was sent with.
    pub(crate) idempotency: Option<&'a IdempotencyKey>,
}

impl NewOrder<'_> {
    /// Writes the order and charges it: one ledger transaction, even where the price is zero.
    pub(crate) async fn write(&self, shop: &Shop, tx: &mut Tx, now: UnixMillis) -> Result<OrderId> {
        let id = OrderId::random();
        let charge = ledger::Charge::of(self.buyer, self.price.total, self.kind, &id, now)?;
        let order = [
            Value::Text(id.to_string()),
            Value::Text(self.buyer.account.to_string()),
            Value::Text(self.kind.to_string()),
            Value::Text(self.terms.plan.to_string()),
            Value::Text(self.terms.network.to_string()),
            Value::Int(self.repeat.value()),
            Value::Int(self.quantity.value()),
            self.coupon
                .map_or(Value::NullText, |coupon| Value::Text(coupon.id.to_string())),
            Value::Int(self.unit.0),
            Value::Int(self.price.discount.0),
            Value::Int(self.price.total.0),
            self.idempotency
                .map_or(Value::NullText, |sent| Value::Text(sent.key.clone())),
            Value::Int(now.0),
        ];
        let changed = tx
            .together(&WRITE, &[&order, &charge.take, &charge.open, &charge.post])
            .await?;
        if changed != [1, 1, 1, 2] {
            return Err(Error::Failed(format!(
                "order {id} was charged otherwise than once: {changed:?}"
            )));
        }
        ledger::tell_if_low(shop, tx, &self.buyer.account, self.price.total, charge.balance).await?;
        Ok(id)
    }
}

/// The order and its charge.
static WRITE: LazyLock<Together> = LazyLock::new(|| {
    Together::of(&[
        "INSERT INTO shop_order (id, account_id, kind, plan_id, network_id, repeat_count, quantity, coupon_id,
                                 unit_price_cents, discount_cents, price_cents, idempotency_key, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        ledger::TAKE,
        ledger::OPEN,
        ledger::POST,
    ])
});

/// The statement that writes down what an order gave to a subscription, and its values; `traffic` is absent where it is without a
/// limit.
pub(crate) const ADD_LINE: &str =
    "INSERT INTO order_line (order_id, subscription_id, duration_ms, traffic_bytes) VALUES ($1, $2, $3, $4)";

/// As [`ADD_LINE`] says.
pub(crate) fn line(order: &OrderId, subscription: &SubscriptionId, duration: Span, traffic: Option<i64>) -> [Value; 4] {
    [
        Value::Text(order.to_string()),
        Value::Text(subscription.to_string()),
        Value::Int(duration.0),
        int_or_null(traffic),
    ]
}

/// Writes down what an order gave to a subscription.
pub(crate) async fn add_line(
    tx: &mut Tx,
    order: &OrderId,
    subscription: &SubscriptionId,
    duration: Span,
    traffic: Option<i64>,
) -> Result<()> {
    tx.execute(ADD_LINE, &line(order, subscription, duration, traffic))
        .await?;
    Ok(())
}

/// A plan's duration so many times over.
pub(crate) fn times(duration: Span, repeat: RepeatCount) -> Result<Span> {
    duration.0.checked_mul(repeat.value()).map(Span).ok_or_else(|| {
        Error::Failed(format!(
            "{} times {} ms is longer than time",
            repeat.value(),
            duration.0
        ))
    })
}

/// The refusal of a price that is larger than money can be, so larger than any balance.
pub(crate) fn beyond_money(balance: Cents) -> Error {
    Refusal::InsufficientBalance {
        balance,
        price: Cents(i64::MAX),
    }
    .into()
}
