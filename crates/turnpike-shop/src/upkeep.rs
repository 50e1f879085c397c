//! What time does to the shop: subscriptions end, grace periods run out, remembered answers are forgotten.

use futures_util::future::BoxFuture;

use crate::account;
use crate::error::Result;
use crate::idempotency;
use crate::notices;
use crate::refusals;
use crate::rotation;
use crate::routes;
use crate::session;
use crate::shop::Shop;
use crate::slot;
use crate::sources;
use crate::store::{Tx, Value};
use crate::subscription;
use crate::types::{Span, SubscriptionId, UnixMillis};

/// How many rows one transaction changes, so that no sale waits long for it.
const BATCH: i64 = 100;

/// How long a gateway's run that has gone quiet may still send a traffic batch again.
const RUN_KEPT: Span = Span::days(30);

/// Ends what is due (slot freed, port held), releases what is past its grace period (port freed), forgets old answers,
/// rotations, runs, refusals, notices, failed logins, sessions and from where accounts were used; tells whose subscriptions end
/// soon. Safe to run anywhere, any number of times. Returns when the next subscription ends, if any does.
///
/// # Errors
/// Only the database's.
pub async fn run(shop: &Shop) -> Result<Option<UnixMillis>> {
    let now = shop.now();
    let released_before = now.minus(shop.settings.grace);
    let owned = shop.clone();
    in_batches(shop, move |tx| {
        let shop = owned.clone();
        Box::pin(async move { end(&shop, tx, now).await })
    })
    .await?;
    let owned = shop.clone();
    in_batches(shop, move |tx| {
        let shop = owned.clone();
        Box::pin(async move { notices::tell_ending(&shop, tx, now, BATCH).await })
    })
    .await?;
    in_batches(shop, move |tx| Box::pin(notices::forget(tx, now, BATCH))).await?;
    in_batches(shop, move |tx| Box::pin(release(tx, now, released_before))).await?;
    in_batches(shop, move |tx| Box::pin(idempotency::forget(tx, now, BATCH))).await?;
    in_batches(shop, move |tx| Box::pin(rotation::forget(tx, now, BATCH))).await?;
    in_batches(shop, move |tx| Box::pin(forget_runs(tx, now))).await?;
    in_batches(shop, move |tx| Box::pin(refusals::forget(tx, now, BATCH))).await?;
    in_batches(shop, move |tx| Box::pin(account::forget_old_failures(tx, now, BATCH))).await?;
    in_batches(shop, move |tx| Box::pin(session::forget(tx, now, BATCH))).await?;
    in_batches(shop, move |tx| Box::pin(sources::forget(tx, now, BATCH))).await?;
    next_end(shop).await
}

/// Runs `work` in one transaction after the other until one finds less than a whole batch.
async fn in_batches<F>(shop: &Shop, work: F) -> Result<()>
where
    F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<u64>> + Clone + Send + Sync + 'static,
{
    let whole = BATCH.unsigned_abs();
    while shop.store.transaction(work.clone()).await? >= whole {}
    Ok(())
}

async fn end(shop: &Shop, tx: &mut Tx, now: UnixMillis) -> Result<u64> {
    let ended = subscription::end_due(shop, tx, now, BATCH).await?;
    // Gateways end them by their own clocks; told all the same, they forget them.
    routes::publish(tx, &ended).await?;
    Ok(count(&ended))
}

async fn release(tx: &mut Tx, now: UnixMillis, ended_before: UnixMillis) -> Result<u64> {
    let over = tx
        .all(
            "SELECT id FROM subscription WHERE state = 'expired' AND state <> 'released' AND ends_at <= $1
             ORDER BY ends_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED",
            &[Value::Int(ended_before.0), Value::Int(BATCH)],
        )
        .await?;
    let over: Vec<SubscriptionId> = over.iter().map(|row| row.parsed("id")).collect::<Result<_>>()?;
    for id in &over {
        tx.execute(
            "UPDATE subscription SET state = 'released' WHERE id = $1",
            &[Value::Text(id.to_string())],
        )
        .await?;
        slot::release_port(tx, id, now).await?;
    }
    Ok(count(&over))
}

fn count(ids: &[SubscriptionId]) -> u64 {
    u64::try_from(ids.len()).unwrap_or(u64::MAX)
}

async fn forget_runs(tx: &mut Tx, now: UnixMillis) -> Result<u64> {
    tx.execute(
        "DELETE FROM traffic_cursor WHERE (gateway, run) IN
             (SELECT gateway, run FROM traffic_cursor WHERE at <= $1 ORDER BY at LIMIT $2)",
        &[Value::Int(now.minus(RUN_KEPT).0), Value::Int(BATCH)],
    )
    .await
}

async fn next_end(shop: &Shop) -> Result<Option<UnixMillis>> {
    shop.store
        .read(|tx| {
            Box::pin(async move {
                let next = "SELECT MIN(ends_at) AS at FROM subscription WHERE state = 'active'";
                Ok(tx.one(next, &[]).await?.optional_int("at")?.map(UnixMillis))
            })
        })
        .await
}
