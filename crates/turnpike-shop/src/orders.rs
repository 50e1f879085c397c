//! What was ordered, with every line of the ledger that it led to, for operators.

use crate::error::{Refusal, Result};
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{
    AccountId, Cents, OrderId, OrderKind, Span, SubscriptionId, SubscriptionState, TransactionId, UnixMillis,
};

/// An order.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Whose.
    pub account: AccountId,
    /// The owner's e-mail address.
    pub email: String,
    /// What for.
    pub kind: OrderKind,
    /// The plan's code.
    pub plan: String,
    /// `NL-AMS`: the plan's network then.
    pub network_code: String,
    /// By how much time and price were multiplied.
    pub repeat: i64,
    /// How many subscriptions.
    pub quantity: i64,
    /// The coupon's code.
    pub coupon: Option<String>,
    /// What one cost.
    pub unit_price: Cents,
    /// What the coupon took off.
    pub discount: Cents,
    /// What was paid.
    pub price: Cents,
    /// When.
    pub created_at: UnixMillis,
    /// When its price was given back.
    pub refunded_at: Option<UnixMillis>,
}

/// A place in the list, which has the newest orders first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// When it was ordered.
    pub created_at: UnixMillis,
    /// The order.
    pub id: OrderId,
}

/// An order with all that came of it.
#[derive(Debug, Clone)]
pub struct Whole {
    /// The order.
    pub order: Order,
    /// What it gave.
    pub lines: Vec<Line>,
    /// What it moved, the first first.
    pub bookings: Vec<Booking>,
}

/// What an order gave to a subscription.
#[derive(Debug, Clone)]
pub struct Line {
    /// Which.
    pub subscription: SubscriptionId,
    /// Its port.
    pub port: i64,
    /// Where it stands now.
    pub state: SubscriptionState,
    /// How much time.
    pub duration: Span,
    /// How much traffic; absent where that is without a limit.
    pub traffic_bytes: Option<i64>,
    /// When the subscription ends now.
    pub ends_at: UnixMillis,
}

/// One posting of a ledger transaction.
#[derive(Debug, Clone)]
pub struct Booking {
    /// The transaction.
    pub transaction: TransactionId,
    /// What for: `purchase`, `renewal`, `trial`, `refund`.
    pub kind: String,
    /// Whose money: the customer's account, or `revenue`.
    pub account: String,
    /// Positive: it got it.
    pub amount: Cents,
    /// Why, where somebody said.
    pub note: String,
    /// When.
    pub at: UnixMillis,
}

macro_rules! orders {
    ($tail:literal) => {
        concat!(
            "SELECT o.id, o.account_id, a.email, o.kind, p.code AS plan, n.code AS network, o.repeat_count, o.quantity,
                    c.code AS coupon, o.unit_price_cents, o.discount_cents, o.price_cents, o.created_at,
                    (SELECT t.created_at FROM ledger_transaction t WHERE t.order_id = o.id AND t.kind = 'refund') AS refunded_at
             FROM shop_order o JOIN account a ON a.id = o.account_id JOIN plan p ON p.id = o.plan_id
             JOIN network n ON n.id = o.network_id LEFT JOIN coupon c ON c.id = o.coupon_id WHERE ",
            $tail
        )
    };
}

/// Everybody's orders or one account's, newest first: those behind `after`, at most `limit`; and whether there are more.
///
/// # Errors
/// Only the database's.
pub async fn orders(
    shop: &Shop,
    account: Option<&AccountId>,
    after: Option<Place>,
    limit: i64,
) -> Result<(Vec<Order>, bool)> {
    let (at, id) = after.map_or((i64::MAX, String::new()), |place| {
        (place.created_at.0, place.id.to_string())
    });
    // One more than asked for tells whether there are more.
    let mut values = vec![Value::Int(at), Value::Text(id), Value::Int(limit + 1)];
    let sql = match account {
        Some(account) => {
            values.push(Value::Text(account.to_string()));
            orders!(
                "o.account_id = $4 AND (o.created_at, o.id) < ($1, $2) ORDER BY o.created_at DESC, o.id DESC LIMIT $3"
            )
        }
        None => orders!("(o.created_at, o.id) < ($1, $2) ORDER BY o.created_at DESC, o.id DESC LIMIT $3"),
    };
    let mut found: Vec<Order> = shop
        .store
        .read(move |tx| {
            let values = values.clone();
            Box::pin(async move { tx.all(sql, &values).await?.iter().map(order).collect() })
        })
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    Ok((found, has_more))
}

/// An order with all that came of it, in one consistent view.
///
/// # Errors
/// [`Refusal::UnknownOrder`].
pub async fn whole(shop: &Shop, id: &OrderId) -> Result<Whole> {
    let key = Value::Text(id.to_string());
    shop.store
        .read(move |tx| {
            let key = key.clone();
            Box::pin(async move {
                let found = tx.optional(orders!("o.id = $1"), std::slice::from_ref(&key)).await?;
                Ok(Whole {
                    order: order(&found.ok_or(Refusal::UnknownOrder)?)?,
                    lines: lines(tx, &key).await?,
                    bookings: bookings(tx, &key).await?,
                })
            })
        })
        .await
}

async fn lines(tx: &mut Tx, order: &Value) -> Result<Vec<Line>> {
    let rows = tx
        .all(
            "SELECT s.id, s.port, s.state, s.ends_at, l.duration_ms, l.traffic_bytes
             FROM order_line l JOIN subscription s ON s.id = l.subscription_id WHERE l.order_id = $1 ORDER BY s.port, s.id",
            std::slice::from_ref(order),
        )
        .await?;
    let read = |row: &Row| {
        Ok(Line {
            subscription: row.parsed("id")?,
            port: row.int("port")?,
            state: row.parsed("state")?,
            duration: Span(row.int("duration_ms")?),
            traffic_bytes: row.optional_int("traffic_bytes")?,
            ends_at: UnixMillis(row.int("ends_at")?),
        })
    };
    rows.iter().map(read).collect()
}

async fn bookings(tx: &mut Tx, order: &Value) -> Result<Vec<Booking>> {
    let rows = tx
        .all(
            "SELECT t.id, t.kind, t.note, t.created_at, p.amount_cents, COALESCE(a.email, p.ledger_account_id) AS account
             FROM ledger_transaction t JOIN posting p ON p.transaction_id = t.id
             LEFT JOIN account a ON a.id = p.ledger_account_id
             WHERE t.order_id = $1 ORDER BY t.created_at, t.id, p.line",
            std::slice::from_ref(order),
        )
        .await?;
    let read = |row: &Row| {
        Ok(Booking {
            transaction: row.parsed("id")?,
            kind: row.text("kind")?,
            account: row.text("account")?,
            amount: Cents(row.int("amount_cents")?),
            note: row.text("note")?,
            at: UnixMillis(row.int("created_at")?),
        })
    };
    rows.iter().map(read).collect()
}

fn order(row: &Row) -> Result<Order> {
    Ok(Order {
        id: row.parsed("id")?,
        account: row.parsed("account_id")?,
        email: row.text("email")?,
        kind: row.parsed("kind")?,
        plan: row.text("plan")?,
        network_code: row.text("network")?,
        repeat: row.int("repeat_count")?,
        quantity: row.int("quantity")?,
        coupon: row.optional_text("coupon")?,
        unit_price: Cents(row.int("unit_price_cents")?),
        discount: Cents(row.int("discount_cents")?),
        price: Cents(row.int("price_cents")?),
        created_at: UnixMillis(row.int("created_at")?),
        refunded_at: row.optional_int("refunded_at")?.map(UnixMillis),
    })
}
