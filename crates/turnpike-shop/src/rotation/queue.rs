//! The queue between those who want rotations (links, policies) and the gateways that do them.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::LazyLock;

use super::address;
use crate::error::Result;
use crate::notices::{self, News, Subject};
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{AccountStatus, ExitId, RotationId, Span, SubscriptionId, SubscriptionState, UnixMillis};

/// How long ended rotations are kept. The addresses that exits have had are kept apart from them, for good.
const KEPT: Span = Span::days(7);

/// How long after a failed rotation its policy tries again: after the first in a row, the second, and all further ones.
/// Never later than the policy falls due anyway.
const BACK_OFF: [Span; 3] = [Span::minutes(1), Span::minutes(2), Span::minutes(5)];

/// A rotation that its gateway should do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Which rotation.
    pub id: RotationId,
    /// Of which exit.
    pub exit: ExitId,
    /// When it has failed, whatever becomes of it.
    pub deadline: UnixMillis,
}

/// Takes up to `limit` queued rotations of this gateway's exits, those that somebody waits for before those of policies,
/// then oldest first; each is given out once.
///
/// # Errors
/// Only the database's.
pub async fn claim(shop: &Shop, gateway: &str, limit: i64) -> Result<Vec<Task>> {
    let (clock, gateway) = (shop.clock.clone(), gateway.to_owned());
    // Gateways ask often and there is seldom anything: look first, without a writer's lock.
    let key = Value::Text(gateway.clone());
    let is_empty = shop
        .store
        .read(move |tx| {
            let key = key.clone();
            Box::pin(async move {
                let queued = "SELECT id FROM rotation WHERE gateway = $1 AND state = 'queued' LIMIT 1";
                Ok(tx.optional(queued, &[key]).await?.is_none())
            })
        })
        .await?;
    if is_empty {
        return Ok(Vec::new());
    }
    shop.store
        .transaction(move |tx| {
            let (now, gateway) = (clock(), gateway.clone());
            Box::pin(async move { give_out(tx, &gateway, limit, now).await })
        })
        .await
}

async fn give_out(tx: &mut Tx, gateway: &str, limit: i64, now: UnixMillis) -> Result<Vec<Task>> {
    let rows = tx
        .all(
            "SELECT id, exit_id, deadline FROM rotation WHERE gateway = $1 AND state = 'queued' AND deadline > $2
             ORDER BY CASE WHEN reason = 'policy' THEN 1 ELSE 0 END, requested_at, id
             LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED",
            &[Value::Text(gateway.to_owned()), Value::Int(now.0), Value::Int(limit)],
        )
        .await?;
    let mut tasks = Vec::with_capacity(rows.len());
    for row in rows {
        let task = Task {
            id: row.parsed("id")?,
            exit: row.parsed("exit_id")?,
            deadline: UnixMillis(row.int("deadline")?),
        };
        tx.execute(
            "UPDATE rotation SET state = 'running', started_at = $1 WHERE id = $2",
            &[Value::Int(now.0), Value::Text(task.id.to_string())],
        )
        .await?;
        tasks.push(task);
    }
    Ok(tasks)
}

/// Records what became of a claimed rotation: the addresses (now, before), or a sentence why it failed. A failed one of a
/// policy is tried again after a back-off. Recording twice changes nothing; but a success that comes after the deadline still
/// tells where the exit is.
///
/// # Errors
/// Only the database's.
pub async fn finish(
    shop: &Shop,
    rotation: &RotationId,
    outcome: std::result::Result<(Option<IpAddr>, Option<IpAddr>), String>,
) -> Result<()> {
    let ending = match outcome {
        Ok((address, previous)) => Ending::Done { address, previous },
        Err(why) => Ending::Failed(why),
    };
    let (owned, id) = (shop.clone(), rotation.clone());
    shop.store
        .transaction(move |tx| {
            let (shop, id, ending) = (owned.clone(), id.clone(), ending.clone());
            Box::pin(async move {
                let now = shop.now();
                end(&shop, tx, &id, &ending, now).await
            })
        })
        .await
}

#[derive(Clone)]
enum Ending {
    Done {
        address: Option<IpAddr>,
        previous: Option<IpAddr>,
    },
    Failed(String),
    /// Failed at its deadline, whenever that is noticed: were it when it is noticed, an asker who is told to wait a little
    /// (so that nothing of his request is kept) would be told so again each time.
    Overdue,
}

/// Records that an open rotation is past its deadline.
pub(super) async fn expire(shop: &Shop, tx: &mut Tx, id: &RotationId, now: UnixMillis) -> Result<()> {
    end(shop, tx, id, &Ending::Overdue, now).await
}

/// Ends an open rotation. Locks the policy's subscription, then the exit, then the rotation.
async fn end(shop: &Shop, tx: &mut Tx, id: &RotationId, ending: &Ending, now: UnixMillis) -> Result<()> {
    let key = Value::Text(id.to_string());
    let Some(row) = tx
        .optional(
            "SELECT exit_id, subscription_id, reason, deadline FROM rotation WHERE id = $1",
            std::slice::from_ref(&key),
        )
        .await?
    else {
        // So late that it has been forgotten.
        return Ok(());
    };
    let exit: ExitId = row.parsed("exit_id")?;
    let of_policy = match row.text("reason")?.as_str() {
        "policy" => row.optional_text("subscription_id")?.map(Value::Text),
        _ => None,
    };
    if let Some(subscription) = &of_policy {
        let lock = "SELECT id FROM subscription WHERE id = $1 FOR NO KEY UPDATE";
        tx.one(lock, std::slice::from_ref(subscription)).await?;
    }
    let present = tx
        .one(
            "SELECT present_address FROM network_exit WHERE id = $1 FOR NO KEY UPDATE",
            &[Value::Text(exit.to_string())],
        )
        .await?;
    let present = address(&present, "present_address")?;
    let (state, now_at, before, why) = match ending {
        Ending::Done { address, previous } => ("done", *address, previous.or(present), None),
        Ending::Failed(why) => ("failed", None, None, Some(why.clone())),
        Ending::Overdue => ("failed", None, None, Some("it took too long".to_owned())),
    };
    let finished_at = match ending {
        Ending::Overdue => now.min(UnixMillis(row.int("deadline")?)),
        Ending::Done { .. } | Ending::Failed(_) => now,
    };
    let ended = tx
        .execute(
            "UPDATE rotation SET state = $1, finished_at = $2, address = $3, previous_address = $4, error = $5
             WHERE id = $6 AND state IN ('queued', 'running')",
            &[
                Value::Text(state.to_owned()),
                Value::Int(finished_at.0),
                optional(now_at),
                optional(before),
                why.map_or(Value::NullText, Value::Text),
                key.clone(),
            ],
        )
        .await?;
    match ending {
        Ending::Done { address, .. } if ended == 1 || has_failed(tx, key).await? => {
            moved(shop, tx, &exit, present, *address, now).await?;
        }
        Ending::Failed(_) | Ending::Overdue if ended == 1 => {
            if let Some(subscription) = of_policy {
                try_again_later(tx, &exit, subscription, now).await?;
            }
        }
        _ => {}
    }
    tx.wake();
    Ok(())
}

fn optional(address: Option<IpAddr>) -> Value {
    address.map_or(Value::NullText, |address| Value::Text(address.to_string()))
}

async fn has_failed(tx: &mut Tx, key: Value) -> Result<bool> {
    let row = tx.one("SELECT state FROM rotation WHERE id = $1", &[key]).await?;
    Ok(row.text("state")? == "failed")
}

/// The exit has rotated: its address, its history, its cooldown. No revision is advanced, for its gateway knows already.
async fn moved(
    shop: &Shop,
    tx: &mut Tx,
    exit: &ExitId,
    from: Option<IpAddr>,
    to: Option<IpAddr>,
    now: UnixMillis,
) -> Result<()> {
    tx.execute(
        "UPDATE network_exit SET present_address = $1, rotated_at = $2 WHERE id = $3",
        &[optional(to), Value::Int(now.0), Value::Text(exit.to_string())],
    )
    .await?;
    if let Some(to) = to.filter(|_| to != from) {
        tx.execute(
            "INSERT INTO exit_address (exit_id, since, address) VALUES ($1, $2, $3)
             ON CONFLICT (exit_id, since) DO UPDATE SET address = excluded.address",
            &[
                Value::Text(exit.to_string()),
                Value::Int(now.0),
                Value::Text(to.to_string()),
            ],
        )
        .await?;
    }
    if to != from {
        tell_holder(shop, tx, exit, from, to).await?;
    }
    Ok(())
}

/// Tells whoever has the exit to himself that its address is another one.
async fn tell_holder(shop: &Shop, tx: &mut Tx, exit: &ExitId, from: Option<IpAddr>, to: Option<IpAddr>) -> Result<()> {
    if !shop.settings.notices.is_any_open() {
        return Ok(());
    }
    let holder = tx
        .optional(
            "SELECT id FROM subscription WHERE exit_id = $1 AND state = 'active' AND connection_type = 'private'",
            &[Value::Text(exit.to_string())],
        )
        .await?;
    if let Some(row) = holder {
        let id: SubscriptionId = row.parsed("id")?;
        let (to, from) = (
            to.map(|address| address.to_string()),
            from.map(|address| address.to_string()),
        );
        let news = News::Rotated {
            address: to.as_deref(),
            previous: from.as_deref(),
        };
        notices::tell(shop, tx, Subject::Subscription(&id), news).await?;
    }
    Ok(())
}

/// Brings a policy's next try forward, by how often its exit has failed in a row.
async fn try_again_later(tx: &mut Tx, exit: &ExitId, subscription: Value, now: UnixMillis) -> Result<()> {
    let in_a_row = tx
        .one(
            "SELECT CAST(COUNT(*) AS BIGINT) AS failed FROM rotation
             WHERE exit_id = $1 AND state = 'failed' AND reason = 'policy' AND finished_at > COALESCE(
                 (SELECT MAX(finished_at) FROM rotation WHERE exit_id = $1 AND state = 'done' AND finished_at > $2), $2)",
            &[Value::Text(exit.to_string()), Value::Int(now.minus(Span::hours(1)).0)],
        )
        .await?
        .int("failed")?;
    let step = usize::try_from(in_a_row - 1).unwrap_or(0);
    let pause = BACK_OFF.get(step).or(BACK_OFF.last()).copied().unwrap_or_default();
    tx.execute(
        "UPDATE subscription SET next_rotation_at = $1 WHERE id = $2 AND exit_id = $3 AND next_rotation_at > $1",
        &[
            Value::Int(now.plus(pause).0),
            subscription,
            Value::Text(exit.to_string()),
        ],
    )
    .await?;
    Ok(())
}

/// Queues the rotations that policies have made due on this gateway, longest overdue first, as long as fewer than `limit`
/// are open there; fails those past their deadline. Returns when it should run next at the latest, if anything is to come.
///
/// # Errors
/// Only the database's.
pub async fn schedule(shop: &Shop, gateway: &str, limit: i64) -> Result<Option<UnixMillis>> {
    let before = agenda(shop, gateway).await?;
    let now = shop.now();
    if before.deadline.is_some_and(|deadline| deadline <= now) {
        for id in overdue(shop, gateway, now).await? {
            let owned = shop.clone();
            shop.store
                .transaction(move |tx| {
                    let (shop, id) = (owned.clone(), id.clone());
                    Box::pin(async move { expire(&shop, tx, &id, now).await })
                })
                .await?;
        }
    }
    if before.due.is_none_or(|due| due > now) {
        return Ok(before.due.min_some(before.deadline.filter(|deadline| *deadline > now)));
    }
    let (cooldown, deadline) = (
        shop.settings.rotation_cooldown,
        now.plus(shop.settings.rotation_deadline),
    );
    let owned = gateway.to_owned();
    shop.store
        .transaction(move |tx| {
            let gateway = owned.clone();
            Box::pin(async move { queue_due(tx, &gateway, limit, now, cooldown, deadline).await })
        })
        .await?;
    let after = agenda(shop, gateway).await?;
    // What is still due waits for room in the queue; each rotation that ends wakes the gateway, so this is only the longstop.
    let due = after.due.map(|due| due.max(now.plus(Span::seconds(1))));
    Ok(due.min_some(after.deadline))
}

/// What is to come on a gateway.
struct Agenda {
    /// The next policy.
    due: Option<UnixMillis>,
    /// The next open rotation's deadline.
    deadline: Option<UnixMillis>,
}

async fn agenda(shop: &Shop, gateway: &str) -> Result<Agenda> {
    let key = Value::Text(gateway.to_owned());
    shop.store
        .read(move |tx| {
            let key = [key.clone()];
            Box::pin(async move {
                let due = "SELECT MIN(next_rotation_at) AS at FROM subscription
                           WHERE gateway = $1 AND next_rotation_at IS NOT NULL";
                let deadline = "SELECT MIN(deadline) AS at FROM rotation
                                WHERE gateway = $1 AND state IN ('queued', 'running')";
                Ok(Agenda {
                    due: tx.one(due, &key).await?.optional_int("at")?.map(UnixMillis),
                    deadline: tx.one(deadline, &key).await?.optional_int("at")?.map(UnixMillis),
                })
            })
        })
        .await
}

/// The earlier of two moments that may be absent.
trait Earlier {
    fn min_some(self, other: Self) -> Self;
}

impl Earlier for Option<UnixMillis> {
    fn min_some(self, other: Self) -> Self {
        match (self, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}

async fn overdue(shop: &Shop, gateway: &str, now: UnixMillis) -> Result<Vec<RotationId>> {
    let values = [Value::Text(gateway.to_owned()), Value::Int(now.0)];
    shop.store
        .read(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT id FROM rotation
                         WHERE gateway = $1 AND state IN ('queued', 'running') AND deadline <= $2 ORDER BY deadline",
                        &values,
                    )
                    .await?;
                rows.iter().map(|row| row.parsed("id")).collect()
            })
        })
        .await
}

/// Moves due policies into the queue and on to their next moment.
async fn queue_due(
    tx: &mut Tx,
    gateway: &str,
    limit: i64,
    now: UnixMillis,
    cooldown: Span,
    deadline: UnixMillis,
) -> Result<()> {
    let open = tx
        .one(
            "SELECT CAST(COUNT(*) AS BIGINT) AS open FROM rotation WHERE gateway = $1 AND state IN ('queued', 'running')",
            &[Value::Text(gateway.to_owned())],
        )
        .await?
        .int("open")?;
    let room = (limit - open).max(0);
    let due = tx
        .all(
            "SELECT s.id, s.exit_id, s.next_rotation_at, s.state, s.ends_at, a.status, e.can_rotate, e.rotated_at
             FROM subscription s
             JOIN account a ON a.id = s.account_id
             JOIN network_exit e ON e.id = s.exit_id
             WHERE s.gateway = $1 AND s.next_rotation_at <= $2
             ORDER BY s.next_rotation_at, s.id LIMIT $3 FOR NO KEY UPDATE OF s SKIP LOCKED",
            &[Value::Text(gateway.to_owned()), Value::Int(now.0), Value::Int(room)],
        )
        .await?;
    let mut wanted = Vec::new();
    let mut done_with = Vec::with_capacity(due.len());
    for row in &due {
        let cool_at = row.optional_int("rotated_at")?.map(|at| UnixMillis(at).plus(cooldown));
        if let Some(cool_at) = cool_at.filter(|cool_at| *cool_at > now) {
            // Rotated by link a moment ago: the policy follows when the cooldown is over.
            tx.execute(
                "UPDATE subscription SET next_rotation_at = $1 WHERE id = $2",
                &[Value::Int(cool_at.0), Value::Text(row.text("id")?)],
            )
            .await?;
            continue;
        }
        if may_rotate(row, now)? {
            wanted.push(row);
        }
        done_with.push(Value::Text(row.text("id")?));
    }
    for batch in wanted.chunks(BATCH) {
        insert(tx, gateway, batch, deadline).await?;
    }
    for batch in done_with.chunks(BATCH) {
        let mut values = vec![Value::Int(now.0)];
        values.extend(padded(batch).cloned());
        tx.execute(&MOVE_ON, &values).await?;
    }
    if !wanted.is_empty() {
        tx.wake();
    }
    Ok(())
}

/// Whether a due policy still has somebody and something to rotate; if not, its moment passes.
fn may_rotate(row: &Row, now: UnixMillis) -> Result<bool> {
    Ok(row.parsed::<SubscriptionState>("state")? == SubscriptionState::Active
        && row.int("ends_at")? > now.0
        && row.parsed::<AccountStatus>("status")? == AccountStatus::Active
        && row.int("can_rotate")? == 1)
}

async fn insert(tx: &mut Tx, gateway: &str, due: &[&Row], deadline: UnixMillis) -> Result<()> {
    let mut rows = Vec::with_capacity(due.len());
    for row in due {
        rows.push([
            Value::Text(RotationId::random().to_string()),
            Value::Text(row.text("exit_id")?),
            Value::Text(gateway.to_owned()),
            Value::Text(row.text("id")?),
            Value::Int(row.int("next_rotation_at")?),
            Value::Int(deadline.0),
        ]);
    }
    let values: Vec<Value> = padded(&rows).flatten().cloned().collect();
    tx.execute(&QUEUE, &values).await?;
    Ok(())
}

/// Rows of one statement, so that thousands that fall due in the same minute take few round trips. The text is fixed (one
/// prepared statement), so a smaller batch is [`padded`].
const BATCH: usize = 50;

/// The batch, filled up to [`BATCH`] with copies of its last row: a copy conflicts with its original and does nothing.
fn padded<T>(batch: &[T]) -> impl Iterator<Item = &T> {
    let last = batch.last();
    batch
        .iter()
        .chain(std::iter::repeat_with(move || last).map_while(|last| last))
        .take(BATCH)
}

/// An exit that has an open rotation keeps that one: it serves the policy as well.
static QUEUE: LazyLock<String> = LazyLock::new(|| {
    let mut sql =
        "INSERT INTO rotation (id, exit_id, gateway, subscription_id, requested_at, deadline, reason, state) VALUES"
            .to_owned();
    for row in 0..BATCH {
        let comma = if row == 0 { "" } else { "," };
        let [a, b, c, d, e, f] = std::array::from_fn(|column| row * 6 + column + 1);
        // Writing to a string cannot fail.
        let _ = write!(sql, "{comma} (${a}, ${b}, ${c}, ${d}, ${e}, ${f}, 'policy', 'queued')");
    }
    sql.push_str(" ON CONFLICT DO NOTHING");
    sql
});

/// The first moment of the policy after now, counted from its anchor: late rotations do not make the next ones late, and
/// those missed while nothing ran are left out.
static MOVE_ON: LazyLock<String> = LazyLock::new(|| {
    let ids: Vec<String> = (0..BATCH).map(|index| format!("${}", index + 2)).collect();
    format!(
        "UPDATE subscription SET next_rotation_at = rotation_anchor
             + (($1 - rotation_anchor) / (rotation_policy * 60000) + 1) * (rotation_policy * 60000)
         WHERE rotation_policy > 0 AND id IN ({})",
        ids.join(", ")
    )
});

/// Forgets rotations that ended long ago, at most `limit`; how many.
pub(crate) async fn forget(tx: &mut Tx, now: UnixMillis, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM rotation WHERE id IN
             (SELECT id FROM rotation WHERE finished_at <= $1 ORDER BY finished_at LIMIT $2)",
        &[Value::Int(now.minus(KEPT).0), Value::Int(limit)],
    )
    .await
}
