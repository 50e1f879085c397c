//! Deliveries: who takes one, what came of it, when it is tried again.
//!
//! A process takes a delivery by moving its next try ahead by [`LEASE`] and counting the attempt; what it tells of that attempt counts
//! only while no other has begun. One that ends there has its deliveries tried again, so that each is sent at least once.

use rand::RngExt as _;
use secrecy::SecretString;

use super::{Ways, outbox, webhooks};
use crate::error::{Refusal, Result};
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{AccountId, DeliveryId, DeliveryState, NoticeId, NoticeKind, Span, UnixMillis, WebhookId};

/// How long one process has a delivery to itself: longer than any call takes.
const LEASE: Span = Span::minutes(2);

/// How long after each failed attempt the next is made: ten in all, over a day and a quarter. Each a fifth longer or shorter by
/// chance, so that what failed together does not come back together.
const PAUSES: [Span; 9] = [
    Span::seconds(5),
    Span::minutes(1),
    Span::minutes(5),
    Span::minutes(30),
    Span::hours(2),
    Span::hours(5),
    Span::hours(7),
    Span::hours(8),
    Span::hours(8),
];

/// A webhook at which nothing has arrived for so long is given up.
const GIVEN_UP_AFTER: Span = Span::days(5);

/// How long notices and what became of them are kept.
const KEPT: Span = Span::days(14);

/// A delivery to be made now.
pub struct Outgoing {
    /// Which.
    pub delivery: DeliveryId,
    /// Which attempt it is, from 1.
    pub attempt: i64,
    /// Of which notice; the same in each attempt.
    pub notice: NoticeId,
    /// What it is about.
    pub kind: NoticeKind,
    /// JSON: `type`, `timestamp` (RFC 3339) and `data`.
    pub body: String,
    /// To whom.
    pub recipient: Recipient,
}

/// To whom a delivery goes.
pub enum Recipient {
    /// An e-mail address.
    Email(String),
    /// A webhook.
    Webhook {
        /// Where.
        url: String,
        /// `webhook-timestamp`: now, in Unix seconds.
        seconds: i64,
        /// `webhook-signature`.
        signature: SecretString,
    },
}

/// What came of an attempt, with a sentence for the owner's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Delivered(String),
    /// It did not; it may later.
    Failed(String),
    /// It did not and never will.
    Refused(String),
    /// The webhook says that it is no longer there (410).
    Gone(String),
}

/// Takes up to `limit` deliveries that are due, of the ways that are open.
///
/// # Errors
/// Only the database's.
pub async fn claim(shop: &Shop, limit: i64) -> Result<Vec<Outgoing>> {
    // Asked often, and there is seldom anything: look first, without a writer's lock.
    if next_due(shop).await?.is_none_or(|next| next > shop.now()) {
        return Ok(Vec::new());
    }
    let owned = shop.clone();
    shop.store
        .transaction(move |tx| {
            let shop = owned.clone();
            Box::pin(async move { take(&shop, tx, limit).await })
        })
        .await
}

/// When the next delivery is due of the ways that are open.
///
/// # Errors
/// Only the database's.
pub async fn next_due(shop: &Shop) -> Result<Option<UnixMillis>> {
    let Ways { email, webhook, .. } = shop.settings.notices;
    let open = [Value::Int(i64::from(email)), Value::Int(i64::from(webhook))];
    shop.store
        .read(move |tx| {
            let open = open.clone();
            Box::pin(async move {
                let next = tx
                    .optional(
                        "SELECT next_at FROM delivery
                         WHERE next_at IS NOT NULL AND CASE WHEN webhook_id IS NULL THEN CAST($1 AS BIGINT) ELSE CAST($2 AS BIGINT) END = 1
                         ORDER BY next_at LIMIT 1",
                        &open,
                    )
                    .await?;
                next.map(|row| row.int("next_at").map(UnixMillis)).transpose()
            })
        })
        .await
}

async fn take(shop: &Shop, tx: &mut Tx, limit: i64) -> Result<Vec<Outgoing>> {
    let (now, Ways { email, webhook, .. }) = (shop.now(), shop.settings.notices);
    let rows = tx
        .all(
            "SELECT d.id, d.attempts, d.notice_id, n.kind, n.body, a.email, w.id AS webhook_id, w.url, w.sealed_secret
             FROM delivery d
             JOIN notice n ON n.id = d.notice_id
             JOIN account a ON a.id = d.account_id
             LEFT JOIN webhook w ON w.id = d.webhook_id
             WHERE d.next_at <= $1 AND CASE WHEN d.webhook_id IS NULL THEN CAST($2 AS BIGINT) ELSE CAST($3 AS BIGINT) END = 1
             ORDER BY d.next_at LIMIT $4 FOR NO KEY UPDATE OF d SKIP LOCKED",
            &[
                Value::Int(now.0),
                Value::Int(i64::from(email)),
                Value::Int(i64::from(webhook)),
                Value::Int(limit),
            ],
        )
        .await?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in &rows {
        let outgoing = outgoing(shop, row, now)?;
        tx.execute(
            "UPDATE delivery SET attempts = attempts + 1, next_at = $1, tried_at = $2 WHERE id = $3",
            &[
                Value::Int(now.plus(LEASE).0),
                Value::Int(now.0),
                Value::Text(outgoing.delivery.to_string()),
            ],
        )
        .await?;
        taken.push(outgoing);
    }
    Ok(taken)
}

fn outgoing(shop: &Shop, row: &Row, now: UnixMillis) -> Result<Outgoing> {
    let (notice, body): (NoticeId, String) = (row.parsed("notice_id")?, row.text("body")?);
    let recipient = match row.optional_parsed::<WebhookId>("webhook_id")? {
        None => Recipient::Email(row.text("email")?),
        Some(webhook) => {
            let (seconds, sealed) = (now.0.div_euclid(1_000), row.bytes("sealed_secret")?);
            let signature = webhooks::signature(&shop.master_key, &webhook, &sealed, notice.as_str(), seconds, &body)?;
            Recipient::Webhook {
                url: row.text("url")?,
                seconds,
                signature: SecretString::from(signature),
            }
        }
    };
    Ok(Outgoing {
        delivery: row.parsed("id")?,
        attempt: row.int("attempts")? + 1,
        notice,
        kind: row.parsed("kind")?,
        body,
        recipient,
    })
}

/// Records what came of an attempt. Recording twice, or after another attempt has begun, changes nothing.
///
/// # Errors
/// Only the database's.
pub async fn finish(shop: &Shop, delivery: &DeliveryId, attempt: i64, outcome: Outcome) -> Result<()> {
    let (clock, id) = (shop.clock.clone(), delivery.clone());
    shop.store
        .transaction(move |tx| {
            let (now, id, outcome) = (clock(), id.clone(), outcome.clone());
            Box::pin(async move { end(tx, &id, attempt, outcome, now).await })
        })
        .await
}

async fn end(tx: &mut Tx, id: &DeliveryId, attempt: i64, outcome: Outcome, now: UnixMillis) -> Result<()> {
    let (state, next_at, detail) = match &outcome {
        Outcome::Delivered(detail) => (DeliveryState::Delivered, None, detail),
        Outcome::Refused(detail) | Outcome::Gone(detail) => (DeliveryState::Failed, None, detail),
        Outcome::Failed(detail) => match pause(attempt) {
            Some(pause) => (DeliveryState::Waiting, Some(now.plus(pause)), detail),
            None => (DeliveryState::Failed, None, detail),
        },
    };
    let row = tx
        .optional(
            "UPDATE delivery SET state = $1, next_at = $2, detail = $3
             WHERE id = $4 AND attempts = $5 AND state = 'waiting' RETURNING webhook_id",
            &[
                Value::Text(state.to_string()),
                next_at.map_or(Value::NullInt, |at| Value::Int(at.0)),
                Value::Text(printable(detail)),
                Value::Text(id.to_string()),
                Value::Int(attempt),
            ],
        )
        .await?;
    let Some(webhook) = row.map(|row| row.optional_text("webhook_id")).transpose()?.flatten() else {
        return Ok(());
    };
    note_health(tx, &Value::Text(webhook), &outcome, now).await
}

/// Notes how a webhook fares, and gives one up that fares ill for long: what still waits for it has failed then.
async fn note_health(tx: &mut Tx, webhook: &Value, outcome: &Outcome, now: UnixMillis) -> Result<()> {
    let is_given_up = match outcome {
        Outcome::Delivered(_) => {
            let works = "UPDATE webhook SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL";
            tx.execute(works, std::slice::from_ref(webhook)).await?;
            false
        }
        Outcome::Failed(_) | Outcome::Refused(_) | Outcome::Gone(_) => {
            let since = tx
                .one(
                    "UPDATE webhook SET failing_since = COALESCE(failing_since, $1) WHERE id = $2 RETURNING failing_since",
                    &[Value::Int(now.0), webhook.clone()],
                )
                .await?
                .int("failing_since")?;
            matches!(outcome, Outcome::Gone(_)) || since <= now.minus(GIVEN_UP_AFTER).0
        }
    };
    if is_given_up {
        tx.execute(
            "UPDATE webhook SET disabled_at = COALESCE(disabled_at, $1) WHERE id = $2",
            &[Value::Int(now.0), webhook.clone()],
        )
        .await?;
        tx.execute(
            "UPDATE delivery SET state = 'failed', next_at = NULL WHERE webhook_id = $1 AND state = 'waiting'",
            std::slice::from_ref(webhook),
        )
        .await?;
    }
    Ok(())
}

/// How long to wait after this attempt has failed; absent after the last.
fn pause(attempt: i64) -> Option<Span> {
    let index = usize::try_from(attempt - 1).unwrap_or(0);
    let pause = PAUSES.get(index)?.0;
    let jitter = pause / 5;
    Some(Span(rand::rng().random_range(pause - jitter..=pause + jitter)))
}

/// Without what PostgreSQL cannot store, and not longer than anybody reads.
fn printable(detail: &str) -> String {
    detail.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// What became of a notice at a webhook.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Of which notice: `webhook-id`.
    pub notice: NoticeId,
    /// What it is about.
    pub kind: NoticeKind,
    /// How it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was written down.
    pub created_at: UnixMillis,
    /// When it was tried last.
    pub tried_at: Option<UnixMillis>,
    /// When it is tried next.
    pub next_at: Option<UnixMillis>,
    /// What came of the last try; empty before the first.
    pub detail: String,
    /// What is sent.
    pub body: String,
}

/// What was and is to be sent to one of an account's webhooks, the newest first, at most `limit`.
///
/// # Errors
/// [`Refusal::WebhookNotFound`].
pub async fn deliveries(shop: &Shop, account: &AccountId, id: &WebhookId, limit: i64) -> Result<Vec<Delivery>> {
    let webhook = webhooks::webhook(shop, account, id).await?;
    let values = [Value::Text(webhook.id.to_string()), Value::Int(limit)];
    shop.store
        .read(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT d.id, d.notice_id, d.state, d.attempts, d.created_at, d.tried_at, d.next_at, d.detail,
                                n.kind, n.body
                         FROM delivery d JOIN notice n ON n.id = d.notice_id
                         WHERE d.webhook_id = $1 ORDER BY d.created_at DESC, d.id DESC LIMIT $2",
                        &values,
                    )
                    .await?;
                rows.iter().map(read).collect()
            })
        })
        .await
}

fn read(row: &Row) -> Result<Delivery> {
    Ok(Delivery {
        id: row.parsed("id")?,
        notice: row.parsed("notice_id")?,
        kind: row.parsed("kind")?,
        state: row.parsed("state")?,
        attempts: row.int("attempts")?,
        created_at: UnixMillis(row.int("created_at")?),
        tried_at: row.optional_int("tried_at")?.map(UnixMillis),
        next_at: row.optional_int("next_at")?.map(UnixMillis),
        detail: row.text("detail")?,
        body: row.text("body")?,
    })
}

/// Sends a notice to a webhook once more, with the same `webhook-id`. One that still waits is tried at once.
///
/// # Errors
/// [`Refusal::DeliveryNotFound`], [`Refusal::WebhookDisabled`], [`Refusal::WebhooksOff`].
pub async fn redeliver(shop: &Shop, account: &AccountId, id: &DeliveryId) -> Result<WebhookId> {
    if !shop.settings.notices.webhook {
        return Err(Refusal::WebhooksOff.into());
    }
    let (now, account, id) = (shop.now(), account.clone(), id.clone());
    shop.store
        .transaction(move |tx| {
            let (account, id) = (account.clone(), id.clone());
            Box::pin(async move {
                let key = Value::Text(id.to_string());
                let row = tx
                    .optional(
                        "SELECT d.notice_id, d.webhook_id, d.state, w.disabled_at
                         FROM delivery d JOIN webhook w ON w.id = d.webhook_id
                         WHERE d.id = $1 AND d.account_id = $2 FOR NO KEY UPDATE OF d",
                        &[key.clone(), Value::Text(account.to_string())],
                    )
                    .await?
                    .ok_or(Refusal::DeliveryNotFound)?;
                if row.optional_int("disabled_at")?.is_some() {
                    return Err(Refusal::WebhookDisabled.into());
                }
                let webhook: WebhookId = row.parsed("webhook_id")?;
                if row.parsed::<DeliveryState>("state")? == DeliveryState::Waiting {
                    tx.execute(
                        "UPDATE delivery SET next_at = $1 WHERE id = $2",
                        &[Value::Int(now.0), key],
                    )
                    .await?;
                } else {
                    let notice = row.parsed("notice_id")?;
                    outbox::add_delivery(tx, &notice, &account, Some(&webhook), now).await?;
                }
                Ok(webhook)
            })
        })
        .await
}

/// Forgets up to `limit` notices that are old, with all that became of them; how many.
pub(crate) async fn forget(tx: &mut Tx, now: UnixMillis, limit: i64) -> Result<u64> {
    let old = [Value::Int(now.minus(KEPT).0), Value::Int(limit)];
    tx.execute(
        "DELETE FROM delivery WHERE notice_id IN
             (SELECT id FROM notice WHERE created_at <= $1 ORDER BY created_at, id LIMIT $2)",
        &old,
    )
    .await?;
    tx.execute(
        "DELETE FROM notice WHERE id IN (SELECT id FROM notice WHERE created_at <= $1 ORDER BY created_at, id LIMIT $2)",
        &old,
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_tried_for_more_than_a_day_and_then_no_more() {
        let mut all = 0;
        for attempt in 1..=9 {
            let (expected, pause) = (PAUSES[usize::try_from(attempt - 1).unwrap_or(0)].0, pause(attempt));
            let pause = pause.map_or(0, |pause| pause.0);
            assert!(
                (expected * 4 / 5..=expected * 6 / 5).contains(&pause),
                "{attempt}: {pause}"
            );
            all += expected;
        }
        assert_eq!(pause(10), None);
        assert!((Span::hours(24).0..Span::hours(36).0).contains(&all));
    }
}
