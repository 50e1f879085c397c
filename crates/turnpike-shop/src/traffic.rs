//! Traffic per subscription and hour, recorded in batches, each exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::shop::Shop;
use crate::store::{self, Tx, Value};
use crate::types::{AccountId, Span, SubscriptionId, UnixMillis};

/// What one subscription moved in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which subscription.
    pub subscription: SubscriptionId,
    /// The hour's start.
    pub hour: UnixMillis,
    /// Bytes from the customer.
    pub up: i64,
    /// Bytes to the customer.
    pub down: i64,
}

/// What was moved in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    /// Bytes from the customer.
    pub up: i64,
    /// Bytes to the customer.
    pub down: i64,
}

impl Total {
    fn add(&mut self, row: &Row) {
        self.up = self.up.saturating_add(row.up);
        self.down = self.down.saturating_add(row.down);
    }
}

/// Adds a batch of one run of a gateway; `batch` counts up from 1 within a run, and one that was recorded before adds nothing.
///
/// # Errors
/// Only the database's; the batch must then be sent again.
pub async fn record(shop: &Shop, gateway: &str, run: &str, batch: u64, rows: &[Row]) -> Result<()> {
    let batch = i64::try_from(batch).map_err(|_| Error::Failed(format!("traffic batch {batch} is beyond counting")))?;
    let (now, gateway, run, rows) = (shop.now(), gateway.to_owned(), run.to_owned(), Arc::<[Row]>::from(rows));
    shop.store
        .transaction(move |tx| {
            let (gateway, run, rows) = (gateway.clone(), run.clone(), Arc::clone(&rows));
            Box::pin(async move {
                // The cursor and the rows commit together, so a batch whose acknowledgement got lost finds its number taken.
                let is_new = tx
                    .optional(
                        "INSERT INTO traffic_cursor (gateway, run, batch, at) VALUES ($1, $2, $3, $4)
                         ON CONFLICT (gateway, run) DO UPDATE SET batch = excluded.batch, at = excluded.at
                         WHERE traffic_cursor.batch < excluded.batch
                         RETURNING batch",
                        &[
                            Value::Text(gateway.clone()),
                            Value::Text(run),
                            Value::Int(batch),
                            Value::Int(now.0),
                        ],
                    )
                    .await?
                    .is_some();
                if !is_new {
                    return Ok(());
                }
                // In one order, so that two gateways' batches do not wait for each other's rows in a circle.
                let mut by_day: BTreeMap<(String, i64), Total> = BTreeMap::new();
                let mut by_hour: BTreeMap<i64, Total> = BTreeMap::new();
                let mut by_exit: BTreeMap<(String, i64), Total> = BTreeMap::new();
                for row in rows.iter() {
                    by_hour.entry(row.hour.0).or_default().add(row);
                    if let Some((account, exit)) = add(tx, row).await? {
                        let day = row.hour.0.div_euclid(Span::days(1).0);
                        by_day.entry((account, day)).or_default().add(row);
                        by_exit.entry((exit, row.hour.0)).or_default().add(row);
                    }
                }
                for ((account, day), total) in by_day {
                    add_to_day(tx, account, day, total).await?;
                }
                for ((exit, hour), total) in by_exit {
                    add_to_exit(tx, exit, hour, total).await?;
                }
                for (hour, total) in by_hour {
                    add_to_gateway(tx, &gateway, hour, total).await?;
                }
                Ok(())
            })
        })
        .await
}

/// What a subscription has moved since it was bought.
pub(crate) async fn total(tx: &mut Tx, subscription: &SubscriptionId) -> Result<Total> {
    let row = tx
        .one(
            "SELECT CAST(COALESCE(SUM(bytes_up), 0) AS BIGINT) AS up, CAST(COALESCE(SUM(bytes_down), 0) AS BIGINT) AS down
             FROM traffic_total WHERE subscription_id = $1",
            &[Value::Text(subscription.to_string())],
        )
        .await?;
    read_total(&row)
}

/// What an account's subscriptions have moved that still hold a port.
pub(crate) async fn total_of_account(tx: &mut Tx, account: &AccountId) -> Result<Total> {
    let row = tx
        .one(
            "SELECT CAST(COALESCE(SUM(t.bytes_up), 0) AS BIGINT) AS up,
                    CAST(COALESCE(SUM(t.bytes_down), 0) AS BIGINT) AS down
             FROM subscription s JOIN traffic_total t ON t.subscription_id = s.id
             WHERE s.account_id = $1 AND s.state <> 'released'",
            &[Value::Text(account.to_string())],
        )
        .await?;
    read_total(&row)
}

fn read_total(row: &store::Row) -> Result<Total> {
    Ok(Total {
        up: row.int("up")?,
        down: row.int("down")?,
    })
}

async fn add_to_exit(tx: &mut Tx, exit: String, hour: i64, total: Total) -> Result<()> {
    tx.execute(
        "INSERT INTO exit_traffic (exit_id, hour, bytes_up, bytes_down) VALUES ($1, $2, $3, $4)
         ON CONFLICT (exit_id, hour) DO UPDATE
         SET bytes_up = exit_traffic.bytes_up + excluded.bytes_up,
             bytes_down = exit_traffic.bytes_down + excluded.bytes_down",
        &[
            Value::Text(exit),
            Value::Int(hour),
            Value::Int(total.up),
            Value::Int(total.down),
        ],
    )
    .await?;
    Ok(())
}

async fn add_to_gateway(tx: &mut Tx, gateway: &str, hour: i64, total: Total) -> Result<()> {
    tx.execute(
        "INSERT INTO gateway_traffic (gateway, hour, bytes_up, bytes_down) VALUES ($1, $2, $3, $4)
         ON CONFLICT (gateway, hour) DO UPDATE
         SET bytes_up = gateway_traffic.bytes_up + excluded.bytes_up,
             bytes_down = gateway_traffic.bytes_down + excluded.bytes_down",
        &[
            Value::Text(gateway.to_owned()),
            Value::Int(hour),
            Value::Int(total.up),
            Value::Int(total.down),
        ],
    )
    .await?;
    Ok(())
}

/// Adds to the hour and to the total; whose subscription it is, and its exit. One that this database does not know (a restored backup) must not
/// stop all others.
async fn add(tx: &mut Tx, row: &Row) -> Result<Option<(String, String)>> {
    let moved = [
        Value::Text(row.subscription.to_string()),
        Value::Int(row.up),
        Value::Int(row.down),
        Value::Int(row.hour.0),
    ];
    let added = tx
        .optional(
            "INSERT INTO traffic (subscription_id, hour, bytes_up, bytes_down)
             SELECT id, $4, $2, $3 FROM subscription WHERE id = $1
             ON CONFLICT (subscription_id, hour) DO UPDATE
             SET bytes_up = traffic.bytes_up + excluded.bytes_up, bytes_down = traffic.bytes_down + excluded.bytes_down
             RETURNING (SELECT s.account_id FROM subscription s WHERE s.id = subscription_id) AS account_id,
                       (SELECT s.exit_id FROM subscription s WHERE s.id = subscription_id) AS exit_id",
            &moved,
        )
        .await?;
    let Some(added) = added else { return Ok(None) };
    let [subscription, up, down, _] = moved;
    tx.execute(
        "INSERT INTO traffic_total (subscription_id, bytes_up, bytes_down)
         SELECT id, $2, $3 FROM subscription WHERE id = $1
         ON CONFLICT (subscription_id) DO UPDATE
         SET bytes_up = traffic_total.bytes_up + excluded.bytes_up, bytes_down = traffic_total.bytes_down + excluded.bytes_down",
        &[subscription, up, down],
    )
    .await?;
    Ok(Some((added.text("account_id")?, added.text("exit_id")?)))
}

async fn add_to_day(tx: &mut Tx, account: String, day: i64, moved: Total) -> Result<()> {
    tx.execute(
        "INSERT INTO traffic_day (account_id, day, bytes_up, bytes_down) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account_id, day) DO UPDATE
         SET bytes_up = traffic_day.bytes_up + excluded.bytes_up, bytes_down = traffic_day.bytes_down + excluded.bytes_down",
        &[
            Value::Text(account),
            Value::Int(day),
            Value::Int(moved.up),
            Value::Int(moved.down),
        ],
    )
    .await?;
    Ok(())
}

/// What one day saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// The day's start, in UTC.
    pub start: UnixMillis,
    /// Bytes from the customer.
    pub up: i64,
    /// Bytes to the customer.
    pub down: i64,
}

/// An account's traffic (of one subscription, where one is named) by day, of the last `days` days with today, oldest first; days
/// without traffic are there too.
///
/// # Errors
/// Only the database's.
pub async fn days(
    shop: &Shop,
    account: &AccountId,
    subscription: Option<&SubscriptionId>,
    days: i64,
) -> Result<Vec<Day>> {
    let day = Span::days(1).0;
    let today = shop.now().0.div_euclid(day);
    let first = today.saturating_sub(days - 1);
    let account = Value::Text(account.to_string());
    let (sql, values) = match subscription {
        None => (
            "SELECT day, bytes_up AS up, bytes_down AS down FROM traffic_day WHERE account_id = $1 AND day >= $2",
            vec![account, Value::Int(first)],
        ),
        Some(subscription) => (
            "SELECT t.hour / $4 AS day, CAST(SUM(t.bytes_up) AS BIGINT) AS up, CAST(SUM(t.bytes_down) AS BIGINT) AS down
             FROM subscription s JOIN traffic t ON t.subscription_id = s.id
             WHERE s.account_id = $1 AND t.hour >= $2 AND s.id = $3
             GROUP BY t.hour / $4",
            vec![
                account,
                Value::Int(first.saturating_mul(day)),
                Value::Text(subscription.to_string()),
                Value::Int(day),
            ],
        ),
    };
    let known: Vec<(i64, i64, i64)> = shop
        .store
        .read(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                let rows = tx.all(sql, &values).await?;
                rows.iter()
                    .map(|row| Ok((row.int("day")?, row.int("up")?, row.int("down")?)))
                    .collect()
            })
        })
        .await?;
    Ok((first..=today)
        .map(|number| {
            let found = known.iter().find(|(known, _, _)| *known == number);
            let (up, down) = found.map_or((0, 0), |(_, up, down)| (*up, *down));
            Day {
                start: UnixMillis(number.saturating_mul(day)),
                up,
                down,
            }
        })
        .collect())
}

/// A subscription's hours, oldest first.
///
/// # Errors
/// Only the database's.
pub async fn hours(shop: &Shop, subscription: &SubscriptionId) -> Result<Vec<Row>> {
    let subscription = subscription.clone();
    shop.store
        .read(move |tx| {
            let subscription = subscription.clone();
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT hour, bytes_up, bytes_down FROM traffic WHERE subscription_id = $1 ORDER BY hour",
                        &[Value::Text(subscription.to_string())],
                    )
                    .await?;
                rows.iter()
                    .map(|row| {
                        Ok(Row {
                            subscription: subscription.clone(),
                            hour: UnixMillis(row.int("hour")?),
                            up: row.int("bytes_up")?,
                            down: row.int("bytes_down")?,
                        })
                    })
                    .collect()
            })
        })
        .await
}
