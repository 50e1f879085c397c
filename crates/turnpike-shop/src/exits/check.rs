//! Tests of exits: an operator asks, or whoever has the exit; its gateway does it, and the last result of each exit is kept.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::audit_log::{self, Actor};
use crate::error::{Refusal, Result};
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{AccountId, ExitId, Span, SubscriptionId, UnixMillis};

/// How long a test may take in all; longer than a gateway takes for it.
const PATIENCE: Span = Span::seconds(20);

/// A customer who asks again this soon is told what the last test found: each one is a request through the exit.
const FRESH: Span = Span::seconds(10);

/// How long a test tells a customer anything about his connection.
const TELLING: Span = Span::hours(1);

/// How often a waiter looks for what another process has recorded.
const POLL: Duration = Duration::from_millis(150);

/// How a test stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// Its gateway has it, or will take it in a moment.
    UnderWay,
    /// It got out.
    Works,
    /// It did not.
    Fails,
    /// Its gateway has not answered: it is not running, or is busy.
    NoAnswer,
}

/// The last test of an exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitCheck {
    /// How it stands.
    pub state: CheckState,
    /// When it was asked for.
    pub requested_at: UnixMillis,
    /// How long the request through the exit took.
    pub took: Option<Span>,
    /// The address that was seen from outside.
    pub address: Option<IpAddr>,
    /// Why it failed.
    pub detail: Option<String>,
}

/// A test that its gateway should do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckTask {
    /// Of which exit.
    pub exit: ExitId,
    /// Which of its tests.
    pub number: i64,
}

/// Asks for a test of an exit, or joins the one that is under way; its number. [`wait_check`] for it then. The log tells who asked.
///
/// # Errors
/// [`Refusal::UnknownExit`].
pub async fn ask_check(shop: &Shop, actor: impl Into<Actor>, exit: &ExitId) -> Result<i64> {
    let (owned, actor, exit) = (shop.clone(), Actor::of(actor), exit.clone());
    shop.store
        .transaction(move |tx| {
            let (now, actor, exit) = (owned.now(), actor.clone(), exit.clone());
            Box::pin(async move {
                let number = ask(tx, &exit, now, now).await?;
                let row = tx
                    .one(
                        "SELECT e.name, n.code FROM network_exit e JOIN network n ON n.id = e.network_id WHERE e.id = $1",
                        &[Value::Text(exit.to_string())],
                    )
                    .await?;
                let name = format!("{}/{}", row.text("code")?, row.text("name")?);
                audit_log::write(tx, &actor, "exit.test", &name, &serde_json::json!({}), now).await?;
                Ok(number)
            })
        })
        .await
}

/// Asks for a test of the exit that one of an account's subscriptions has, or joins the one that is under way or has just ended; the
/// exit and the test's number. [`wait_check`] for it then.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`], [`Refusal::SubscriptionEnded`].
pub async fn ask_own_check(shop: &Shop, account: &AccountId, subscription: &SubscriptionId) -> Result<(ExitId, i64)> {
    let (owned, account, subscription) = (shop.clone(), account.clone(), subscription.clone());
    shop.store
        .transaction(move |tx| {
            let (now, account, subscription) = (owned.now(), account.clone(), subscription.clone());
            Box::pin(async move {
                let row = held(tx, &account, &subscription).await?;
                if row.text("state")? != "active" || row.int("ends_at")? <= now.0 {
                    return Err(Refusal::SubscriptionEnded.into());
                }
                let exit = row.parsed("exit_id")?;
                let number = ask(tx, &exit, now, now.minus(FRESH)).await?;
                Ok((exit, number))
            })
        })
        .await
}

/// The last test of the exit that one of an account's subscriptions has, where it was in the subscription's time and of late.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`].
pub async fn own_check(shop: &Shop, account: &AccountId, subscription: &SubscriptionId) -> Result<Option<ExitCheck>> {
    let (now, account, subscription) = (shop.now(), account.clone(), subscription.clone());
    shop.store
        .read(move |tx| {
            let (account, subscription) = (account.clone(), subscription.clone());
            Box::pin(async move {
                let row = held(tx, &account, &subscription).await?;
                let since = now.minus(TELLING).0.max(row.int("held_since")?);
                let check = of(tx, &row.parsed("exit_id")?, now).await?;
                Ok(check
                    .filter(|check| check.requested_at.0 >= since && row.int("ends_at").is_ok_and(|end| end > now.0)))
            })
        })
        .await
}

async fn held(tx: &mut Tx, account: &AccountId, subscription: &SubscriptionId) -> Result<Row> {
    tx.optional(
        "SELECT exit_id, state, COALESCE(held_since, started_at) AS held_since, ends_at FROM subscription
         WHERE id = $1 AND account_id = $2",
        &[Value::Text(subscription.to_string()), Value::Text(account.to_string())],
    )
    .await?
    .ok_or(Refusal::SubscriptionNotFound.into())
}

/// Queues a test unless one is under way, or one has ended that was asked for after `stale`; the number of the last one.
async fn ask(tx: &mut Tx, exit: &ExitId, now: UnixMillis, stale: UnixMillis) -> Result<i64> {
    let key = Value::Text(exit.to_string());
    let gateway = tx
        .optional(
            "SELECT gateway FROM network_exit WHERE id = $1",
            std::slice::from_ref(&key),
        )
        .await?
        .ok_or(Refusal::UnknownExit)?
        .text("gateway")?;
    let asked = tx
        .optional(
            "INSERT INTO exit_check (exit_id, number, gateway, state, requested_at, deadline)
             VALUES ($1, 1, $2, 'queued', $3, $4)
             ON CONFLICT (exit_id) DO UPDATE SET number = exit_check.number + 1, gateway = excluded.gateway,
                 state = 'queued', requested_at = excluded.requested_at, deadline = excluded.deadline,
                 finished_at = NULL, took_ms = NULL, address = NULL, detail = NULL
             WHERE (exit_check.state IN ('works', 'fails') AND exit_check.requested_at <= $5) OR exit_check.deadline <= $3
             RETURNING number",
            &[
                key.clone(),
                Value::Text(gateway),
                Value::Int(now.0),
                Value::Int(now.plus(PATIENCE).0),
                Value::Int(stale.0),
            ],
        )
        .await?;
    if let Some(row) = asked {
        tx.wake();
        return row.int("number");
    }
    tx.one("SELECT number FROM exit_check WHERE exit_id = $1", &[key])
        .await?
        .int("number")
}

/// Takes the tests that are queued for a gateway; each is given out once.
///
/// # Errors
/// Only the database's.
pub async fn claim_checks(shop: &Shop, gateway: &str) -> Result<Vec<CheckTask>> {
    let key = Value::Text(gateway.to_owned());
    let queued = key.clone();
    // Gateways ask often and there is seldom anything: look first, without a writer's lock.
    let is_empty = shop
        .store
        .read(move |tx| {
            let key = queued.clone();
            Box::pin(async move {
                let queued = "SELECT exit_id FROM exit_check WHERE gateway = $1 AND state = 'queued' LIMIT 1";
                Ok(tx.optional(queued, &[key]).await?.is_none())
            })
        })
        .await?;
    if is_empty {
        return Ok(Vec::new());
    }
    let now = Value::Int(shop.now().0);
    shop.store
        .transaction(move |tx| {
            let values = [key.clone(), now.clone()];
            Box::pin(async move {
                let rows = tx
                    .all(
                        "UPDATE exit_check SET state = 'running' WHERE gateway = $1 AND state = 'queued' AND deadline > $2
                         RETURNING exit_id, number",
                        &values,
                    )
                    .await?;
                let read = |row: &Row| {
                    Ok(CheckTask {
                        exit: row.parsed("exit_id")?,
                        number: row.int("number")?,
                    })
                };
                rows.iter().map(read).collect()
            })
        })
        .await
}

/// Records what a claimed test found: the address seen from outside, where that was told, and how long it took; or why it failed.
/// A result of a test before the last one changes nothing.
///
/// # Errors
/// Only the database's.
pub async fn finish_check(
    shop: &Shop,
    task: &CheckTask,
    outcome: std::result::Result<(Option<IpAddr>, Span), String>,
) -> Result<()> {
    let (state, address, took, detail) = match outcome {
        Ok((address, took)) => ("works", address, Value::Int(took.0), Value::NullText),
        Err(why) => ("fails", None, Value::NullInt, Value::Text(why)),
    };
    let values = [
        Value::Text(state.to_owned()),
        Value::Int(shop.now().0),
        took,
        address.map_or(Value::NullText, |address| Value::Text(address.to_string())),
        detail,
        Value::Text(task.exit.to_string()),
        Value::Int(task.number),
    ];
    shop.store
        .transaction(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                tx.execute(
                    "UPDATE exit_check SET state = $1, finished_at = $2, took_ms = $3, address = $4, detail = $5
                     WHERE exit_id = $6 AND number = $7 AND state = 'running'",
                    &values,
                )
                .await?;
                tx.wake();
                Ok(())
            })
        })
        .await
}

/// Waits for a test until it has a result or its gateway has not answered in time. Absent where the exit has none.
///
/// # Errors
/// Only the database's.
pub async fn wait_check(shop: &Shop, exit: &ExitId, number: i64) -> Result<Option<ExitCheck>> {
    // Taken before the first look, so that nothing recorded in between is missed.
    let mut changes = shop.changes();
    let began = Instant::now();
    loop {
        let (now, id) = (shop.now(), exit.clone());
        let seen = shop
            .store
            .read(move |tx| {
                let id = id.clone();
                Box::pin(async move { numbered(tx, &id, now).await })
            })
            .await?;
        let Some((last, check)) = seen else { return Ok(None) };
        // The last bound holds where the time of day is set back meanwhile.
        if check.state != CheckState::UnderWay || last > number || began.elapsed() > PATIENCE.to_duration() {
            return Ok(Some(check));
        }
        // Either way the row is looked at again; that the time is up is no error.
        let _ = tokio::time::timeout(POLL, changes.changed()).await;
    }
}

/// The last test of an exit.
pub(super) async fn of(tx: &mut Tx, exit: &ExitId, now: UnixMillis) -> Result<Option<ExitCheck>> {
    Ok(numbered(tx, exit, now).await?.map(|(_, check)| check))
}

async fn numbered(tx: &mut Tx, exit: &ExitId, now: UnixMillis) -> Result<Option<(i64, ExitCheck)>> {
    let row = tx
        .optional(
            "SELECT number, state, requested_at, deadline, took_ms, address, detail FROM exit_check WHERE exit_id = $1",
            &[Value::Text(exit.to_string())],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let state = match row.text("state")?.as_str() {
        "works" => CheckState::Works,
        "fails" => CheckState::Fails,
        _ if row.int("deadline")? <= now.0 => CheckState::NoAnswer,
        _ => CheckState::UnderWay,
    };
    let check = ExitCheck {
        state,
        requested_at: UnixMillis(row.int("requested_at")?),
        took: row.optional_int("took_ms")?.map(Span),
        address: row.optional_parsed("address")?,
        detail: row.optional_text("detail")?,
    };
    Ok(Some((row.int("number")?, check)))
}
