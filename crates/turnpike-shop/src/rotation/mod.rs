//! Rotations: asked for by link or by policy, queued in the store, done by the exit's gateway, told truthfully.
//!
//! A rotation is a row that is queued, running, done or failed. At most one of an exit is open (queued or running): a unique
//! index decides races, and whoever asks meanwhile joins it. Each has a deadline; whoever comes across an open one past it
//! (the asker who waits, the next asker, the scheduler) records that it has failed, so nothing is ever stuck.
//!
//! Cooldown: a rotation that succeeded, whoever asked for it, keeps its exit's address for the whole cooldown. One that
//! failed gave nobody a new address, so it may be tried again after [`AFTER_FAILURE`], or the cooldown where that is shorter.

mod link;
mod links;
mod policy;
mod queue;
mod status;

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

pub(crate) use link::{named_token, own_token, token_hash};
pub use links::{Link, LinkName, MOST_LINKS, NewLink, NotAName, create_link, links, renew_link, revoke_link};
pub(crate) use policy::resume;
pub use policy::set_policy;
pub(crate) use queue::forget;
pub use queue::{Task, claim, finish, schedule};
pub use status::{ExitStatus, Status, addresses, own_status, status};

use crate::audit_log::{self, Actor};
use crate::error::{Error, Refusal, Result};
use crate::shop::{Settings, Shop};
use crate::store::{Row, Tx, Value};
use crate::types::{
    AccountStatus, ConnectionType, ExitId, LinkKind, RotationId, Span, SubscriptionId, SubscriptionState, UnixMillis,
};

/// How long after a failed rotation its exit may be rotated again.
pub const AFTER_FAILURE: Span = Span::seconds(5);

/// How often a waiter looks for what another process has recorded.
const POLL: Duration = Duration::from_millis(150);

/// Queues a rotation for whoever holds this link's token and comes from `source`, or joins the one that is under way.
/// [`wait`] for it then.
///
/// # Errors
/// [`crate::Refusal::SubscriptionNotFound`] (no such token), [`crate::Refusal::LinkNotAllowedFrom`],
/// [`crate::Refusal::AccountSuspended`], [`crate::Refusal::SubscriptionEnded`], [`crate::Refusal::RotationUnavailable`],
/// [`crate::Refusal::RotationCooldown`].
pub async fn request(shop: &Shop, token: &str, source: IpAddr) -> Result<RotationId> {
    let (owned, hash) = (shop.clone(), token_hash(token));
    shop.store
        .transaction(move |tx| {
            let (shop, hash) = (owned.clone(), hash.clone());
            Box::pin(async move { queue_or_join(&shop, tx, hash, source).await })
        })
        .await
}

async fn queue_or_join(shop: &Shop, tx: &mut Tx, token_hash: Vec<u8>, source: IpAddr) -> Result<RotationId> {
    let now = shop.now();
    let asked = Asked::by(tx, token_hash, source, now).await?;
    queue_one(shop, tx, &asked, "request", now).await
}

/// Queues a rotation of any exit that can get another address, shared ones too, or joins the one that is under way. The cooldown
/// holds for operators as well: what is behind it (a modem, a partner's API) needs it.
///
/// # Errors
/// [`crate::Refusal::UnknownExit`], [`crate::Refusal::RotationUnavailable`], [`crate::Refusal::RotationCooldown`].
pub async fn request_by_operator(shop: &Shop, actor: impl Into<Actor>, exit: &ExitId) -> Result<RotationId> {
    let (owned, actor, exit) = (shop.clone(), Actor::of(actor), exit.clone());
    shop.store
        .transaction(move |tx| {
            let (shop, actor, exit) = (owned.clone(), actor.clone(), exit.clone());
            Box::pin(async move {
                let now = shop.now();
                let row = tx
                    .optional(
                        "SELECT e.gateway, e.can_rotate, e.name, n.code FROM network_exit e JOIN network n ON n.id = e.network_id
                         WHERE e.id = $1",
                        &[Value::Text(exit.to_string())],
                    )
                    .await?
                    .ok_or(Refusal::UnknownExit)?;
                if row.int("can_rotate")? == 0 {
                    return Err(Refusal::RotationUnavailable.into());
                }
                let asked = Asked {
                    subscription: None,
                    exit,
                    gateway: row.text("gateway")?,
                };
                let id = queue_one(&shop, tx, &asked, "operator", now).await?;
                let name = format!("{}/{}", row.text("code")?, row.text("name")?);
                audit_log::write(tx, &actor, "exit.rotate", &name, &serde_json::json!({}), now).await?;
                Ok(id)
            })
        })
        .await
}

async fn queue_one(shop: &Shop, tx: &mut Tx, asked: &Asked, reason: &str, now: UnixMillis) -> Result<RotationId> {
    let exit_key = Value::Text(asked.exit.to_string());
    // The exit's row serialises requests and endings, so that no ending slips in between the cooldown and the insertion.
    let exit = tx
        .one(
            "SELECT rotated_at FROM network_exit WHERE id = $1 FOR NO KEY UPDATE",
            std::slice::from_ref(&exit_key),
        )
        .await?;
    let open = tx
        .optional(
            "SELECT id, deadline FROM rotation WHERE exit_id = $1 AND state IN ('queued', 'running')",
            std::slice::from_ref(&exit_key),
        )
        .await?;
    if let Some(open) = open {
        let id: RotationId = open.parsed("id")?;
        if open.int("deadline")? > now.0 {
            return Ok(id);
        }
        queue::expire(shop, tx, &id, now).await?;
    }
    let allowed_at = next_allowed(tx, &asked.exit, &exit, &shop.settings).await?;
    if allowed_at > now {
        let retry_after = allowed_at.since(now);
        return Err(Refusal::RotationCooldown { retry_after }.into());
    }
    let id = RotationId::random();
    let subscription = asked.subscription.as_ref();
    tx.execute(
        "INSERT INTO rotation (id, exit_id, gateway, subscription_id, reason, state, requested_at, deadline)
         VALUES ($1, $2, $3, $4, $5, 'queued', $6, $7)",
        &[
            Value::Text(id.to_string()),
            exit_key,
            Value::Text(asked.gateway.clone()),
            subscription.map_or(Value::NullText, |subscription| Value::Text(subscription.to_string())),
            Value::Text(reason.to_owned()),
            Value::Int(now.0),
            Value::Int(now.plus(shop.settings.rotation_deadline).0),
        ],
    )
    .await?;
    tx.wake();
    Ok(id)
}

/// What is to be rotated: what a link's token leads to, where it may be used, or what an operator names.
struct Asked {
    subscription: Option<SubscriptionId>,
    exit: ExitId,
    gateway: String,
}

impl Asked {
    async fn by(tx: &mut Tx, token_hash: Vec<u8>, source: IpAddr, now: UnixMillis) -> Result<Self> {
        let hash = Value::Bytes(token_hash);
        let named = links::with_token(tx, &hash, LinkKind::Rotate).await?;
        let named_of = named.map(|subscription| Value::Text(subscription.to_string()));
        let row = tx
            .optional(
                "SELECT s.id, s.state, s.ends_at, s.connection_type, s.exit_id, s.gateway, a.status, e.can_rotate
                 FROM subscription s
                 JOIN account a ON a.id = s.account_id
                 JOIN network_exit e ON e.id = s.exit_id
                 WHERE s.rotate_token_hash = $1 OR s.id = $2 FOR NO KEY UPDATE OF s",
                &[hash.clone(), named_of.clone().unwrap_or(Value::NullText)],
            )
            .await?
            .ok_or(Refusal::SubscriptionNotFound)?;
        if named_of.is_some() {
            // Looked at again now that the subscription is locked: it may have been revoked while we waited for that.
            links::admit(tx, &hash, source).await?;
        }
        if row.parsed::<AccountStatus>("status")? == AccountStatus::Suspended {
            return Err(Refusal::AccountSuspended.into());
        }
        let is_active = row.parsed::<SubscriptionState>("state")? == SubscriptionState::Active;
        if !is_active || row.int("ends_at")? <= now.0 {
            return Err(Refusal::SubscriptionEnded.into());
        }
        let is_private = row.parsed::<ConnectionType>("connection_type")? == ConnectionType::Private;
        if !is_private || row.int("can_rotate")? == 0 {
            return Err(Refusal::RotationUnavailable.into());
        }
        Ok(Self {
            subscription: Some(row.parsed("id")?),
            exit: row.parsed("exit_id")?,
            gateway: row.text("gateway")?,
        })
    }
}

/// When an exit may be rotated again, by the rule at the top.
async fn next_allowed(tx: &mut Tx, exit: &ExitId, row: &Row, settings: &Settings) -> Result<UnixMillis> {
    let after_success = row
        .optional_int("rotated_at")?
        .map(|at| UnixMillis(at).plus(settings.rotation_cooldown));
    let failed_at = tx
        .one(
            "SELECT MAX(finished_at) AS at FROM rotation WHERE exit_id = $1 AND state = 'failed'",
            &[Value::Text(exit.to_string())],
        )
        .await?
        .optional_int("at")?;
    let after_failure = failed_at.map(|at| UnixMillis(at).plus(settings.rotation_cooldown.min(AFTER_FAILURE)));
    Ok(after_success.max(after_failure).unwrap_or(UnixMillis(0)))
}

/// What a rotation came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The address now, where it is known.
    pub address: Option<IpAddr>,
    /// The address before, where it was known.
    pub previous: Option<IpAddr>,
    /// From the request to the new address.
    pub took: Span,
    /// When the exit may be rotated again.
    pub next_allowed_at: UnixMillis,
}

/// Waits for a rotation until its deadline; a rotation past it has failed.
///
/// # Errors
/// [`crate::Refusal::RotationFailed`].
pub async fn wait(shop: &Shop, rotation: &RotationId) -> Result<Outcome> {
    // Taken before the first look, so that nothing recorded in between is missed.
    let mut changes = shop.changes();
    let began = Instant::now();
    loop {
        let seen = look(shop, rotation).await?;
        let deadline = match seen {
            Seen::Done(outcome) => return Ok(outcome),
            Seen::Failed => return Err(Refusal::RotationFailed.into()),
            Seen::Open { deadline } => deadline,
        };
        // The second bound holds where the time of day is set back meanwhile.
        let now = shop.now();
        if deadline <= now || began.elapsed() > shop.settings.rotation_deadline.to_duration() {
            let (owned, id) = (shop.clone(), rotation.clone());
            shop.store
                .transaction(move |tx| {
                    let (shop, id) = (owned.clone(), id.clone());
                    Box::pin(async move { queue::expire(&shop, tx, &id, now).await })
                })
                .await?;
            continue;
        }
        let pause = POLL.min(deadline.since(now).to_duration());
        // Either way the row is looked at again; that the time is up is no error.
        let _ = tokio::time::timeout(pause, changes.changed()).await;
    }
}

enum Seen {
    Done(Outcome),
    /// Why is written down for the operator; it may tell of his network and programs.
    Failed,
    Open {
        deadline: UnixMillis,
    },
}

async fn look(shop: &Shop, rotation: &RotationId) -> Result<Seen> {
    let (key, cooldown) = (Value::Text(rotation.to_string()), shop.settings.rotation_cooldown);
    shop.store
        .read(move |tx| {
            let key = key.clone();
            Box::pin(async move {
                let row = tx
                    .optional(
                        "SELECT state, requested_at, finished_at, deadline, previous_address, address
                         FROM rotation WHERE id = $1",
                        &[key],
                    )
                    .await?
                    .ok_or_else(|| Error::Failed("this rotation was never asked for".to_owned()))?;
                seen(&row, cooldown)
            })
        })
        .await
}

fn seen(row: &Row, cooldown: Span) -> Result<Seen> {
    let finished_at = row.optional_int("finished_at")?.map(UnixMillis);
    Ok(match (row.text("state")?.as_str(), finished_at) {
        ("done", Some(at)) => Seen::Done(Outcome {
            address: address(row, "address")?,
            previous: address(row, "previous_address")?,
            took: at.since(UnixMillis(row.int("requested_at")?)),
            next_allowed_at: at.plus(cooldown),
        }),
        ("failed", _) => Seen::Failed,
        _ => Seen::Open {
            deadline: UnixMillis(row.int("deadline")?),
        },
    })
}

fn address(row: &Row, column: &'static str) -> Result<Option<IpAddr>> {
    row.optional_text(column)?
        .map(|text| {
            text.parse()
                .map_err(|_| Error::Failed(format!("{column} of a rotation is \"{text}\"")))
        })
        .transpose()
}
