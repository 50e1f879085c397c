//! What subscriptions' ports have refused lately, for their owners. The gateways tell it; a few rows of each are kept.

use std::sync::Arc;

use crate::error::{Refusal as Refused, Result};
use crate::shop::Shop;
use crate::store::{self, Tx, Value};
use crate::types::{AccountId, Span, SubscriptionId, UnixMillis};

/// Rows of one subscription.
pub const KEPT: i64 = 20;

/// How long a row is kept after it happened last.
const REMEMBERED: Span = Span::days(7);

/// One refusal, or the same several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whose port.
    pub subscription: SubscriptionId,
    /// Drawn by the gateway: a row with the same number replaces the one before.
    pub number: i64,
    /// When it happened first.
    pub first_at: UnixMillis,
    /// When it happened last.
    pub last_at: UnixMillis,
    /// How often, at least 1.
    pub times: i64,
    /// The client's address.
    pub source: String,
    /// What it spoke, as far as could be told.
    pub protocol: String,
    /// Why, in a word that does not change.
    pub code: String,
    /// Why, in a sentence for the customer.
    pub reason: String,
}

/// Writes down what a gateway tells. Told again, it changes nothing; what is new pushes the oldest out.
///
/// # Errors
/// Only the database's; it must then be told again.
pub async fn record(shop: &Shop, mut rows: Vec<Refusal>) -> Result<()> {
    // In one order, so that two gateways that tell of one subscription do not wait for each other in a circle.
    rows.sort_by(|a, b| (&a.subscription, a.number).cmp(&(&b.subscription, b.number)));
    let rows = Arc::<[Refusal]>::from(rows);
    shop.store
        .transaction(move |tx| {
            let rows = Arc::clone(&rows);
            Box::pin(async move {
                for of_one in rows.chunk_by(|a, b| a.subscription == b.subscription) {
                    for row in of_one {
                        put(tx, row).await?;
                    }
                    if let Some(row) = of_one.first() {
                        prune(tx, &row.subscription).await?;
                    }
                }
                Ok(())
            })
        })
        .await
}

/// A subscription that this database does not know (a restored backup) must not stop all others.
async fn put(tx: &mut Tx, row: &Refusal) -> Result<()> {
    tx.execute(
        "INSERT INTO refusal (subscription_id, number, first_at, last_at, times, source, protocol, code, reason)
         SELECT id, $2, $3, $4, $5, $6, $7, $8, $9 FROM subscription WHERE id = $1
         ON CONFLICT (subscription_id, number) DO UPDATE
         SET first_at = excluded.first_at, last_at = excluded.last_at, times = excluded.times, source = excluded.source,
             protocol = excluded.protocol, code = excluded.code, reason = excluded.reason",
        &[
            Value::Text(row.subscription.to_string()),
            Value::Int(row.number),
            Value::Int(row.first_at.0),
            Value::Int(row.last_at.0),
            Value::Int(row.times),
            Value::Text(row.source.clone()),
            Value::Text(row.protocol.clone()),
            Value::Text(row.code.clone()),
            Value::Text(row.reason.clone()),
        ],
    )
    .await?;
    Ok(())
}

async fn prune(tx: &mut Tx, subscription: &SubscriptionId) -> Result<()> {
    tx.execute(
        "DELETE FROM refusal WHERE subscription_id = $1 AND number NOT IN
             (SELECT number FROM refusal WHERE subscription_id = $1 ORDER BY last_at DESC, number DESC LIMIT $2)",
        &[Value::Text(subscription.to_string()), Value::Int(KEPT)],
    )
    .await?;
    Ok(())
}

/// The refusals of a subscription, the newest first.
///
/// # Errors
/// [`Refused::SubscriptionNotFound`].
pub async fn refusals(shop: &Shop, account: &AccountId, subscription: &SubscriptionId) -> Result<Vec<Refusal>> {
    let asked = [Value::Text(subscription.to_string()), Value::Text(account.to_string())];
    shop.store
        .read(move |tx| {
            let asked = asked.clone();
            Box::pin(async move {
                tx.optional("SELECT id FROM subscription WHERE id = $1 AND account_id = $2", &asked)
                    .await?
                    .ok_or(Refused::SubscriptionNotFound)?;
                let [id, _] = asked;
                let rows = tx
                    .all(
                        "SELECT subscription_id, number, first_at, last_at, times, source, protocol, code, reason
                         FROM refusal WHERE subscription_id = $1 ORDER BY last_at DESC, number DESC LIMIT $2",
                        &[id, Value::Int(KEPT)],
                    )
                    .await?;
                rows.iter().map(of_row).collect()
            })
        })
        .await
}

fn of_row(row: &store::Row) -> Result<Refusal> {
    Ok(Refusal {
        subscription: row.parsed("subscription_id")?,
        number: row.int("number")?,
        first_at: UnixMillis(row.int("first_at")?),
        last_at: UnixMillis(row.int("last_at")?),
        times: row.int("times")?,
        source: row.text("source")?,
        protocol: row.text("protocol")?,
        code: row.text("code")?,
        reason: row.text("reason")?,
    })
}

/// Forgets what has not happened for a week, at most `batch` rows of it. How many they were.
pub(crate) async fn forget(tx: &mut Tx, now: UnixMillis, batch: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM refusal WHERE (subscription_id, number) IN
             (SELECT subscription_id, number FROM refusal WHERE last_at <= $1 ORDER BY last_at LIMIT $2)",
        &[Value::Int(now.minus(REMEMBERED).0), Value::Int(batch)],
    )
    .await
}
