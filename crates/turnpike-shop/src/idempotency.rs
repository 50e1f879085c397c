//! Idempotency-Key: the first answer to a key is given again, and nothing is charged twice.
//!
//! The key's row is written first in a verb's transaction and its answer last, so both are there or neither. A request that
//! meets its key in another transaction waits at the row's insertion until that one ends: it then finds either the answer
//! or, after a refusal, nothing, and is the first itself.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Refusal, Result};
use crate::shop::Shop;
use crate::store::{Tx, Value};
use crate::types::{AccountId, Span, UnixMillis};

/// How long an answer is remembered.
pub(crate) const REMEMBERED: Span = Span::hours(72);

/// A key and what it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// 1 to 255 printable ASCII characters, checked at the edge.
    pub key: String,
    /// SHA-256 of the operation and the request's body, so that the same key with another body is noticed.
    pub request_hash: [u8; 32],
}

/// Takes the key for this transaction, or gives the answer that it got before.
///
/// # Errors
/// [`Refusal::IdempotencyMismatch`]; [`Refusal::IdempotencyInFlight`] where the first request did not end within the engine's
/// lock timeout.
pub(crate) async fn claim<T: DeserializeOwned>(
    shop: &Shop,
    tx: &mut Tx,
    account: &AccountId,
    key: Option<&IdempotencyKey>,
    now: UnixMillis,
) -> Result<Option<T>> {
    let Some(key) = key else { return Ok(None) };
    let inserted = tx
        .execute(
            "INSERT INTO idempotency (account_id, key, request_hash, sealed_outcome, created_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account_id, key) DO UPDATE SET request_hash = excluded.request_hash,
                 sealed_outcome = excluded.sealed_outcome, created_at = excluded.created_at
             WHERE idempotency.created_at <= $6",
            &[
                Value::Text(account.to_string()),
                Value::Text(key.key.clone()),
                Value::Bytes(key.request_hash.to_vec()),
                Value::NullBytes,
                Value::Int(now.0),
                // One that is to be forgotten, and has not been yet, is as good as none.
                Value::Int(now.minus(REMEMBERED).0),
            ],
        )
        .await;
    match inserted {
        Ok(1) => Ok(None),
        Ok(_) => remembered(shop, tx, account, key).await.map(Some),
        // The only thing that this statement waits for is the key's first request. Should the database itself be away, the
        // next attempt says so.
        Err(Error::Unavailable(_)) => Err(Refusal::IdempotencyInFlight.into()),
        Err(error) => Err(error),
    }
}

async fn remembered<T: DeserializeOwned>(
    shop: &Shop,
    tx: &mut Tx,
    account: &AccountId,
    key: &IdempotencyKey,
) -> Result<T> {
    let row = tx
        .optional(
            "SELECT request_hash, sealed_outcome FROM idempotency
             WHERE account_id = $1 AND key = $2 AND sealed_outcome IS NOT NULL",
            &[Value::Text(account.to_string()), Value::Text(key.key.clone())],
        )
        .await?
        // Forgotten between the two statements: the next attempt is the first again.
        .ok_or(Refusal::IdempotencyInFlight)?;
    if row.bytes("request_hash")? != key.request_hash {
        return Err(Refusal::IdempotencyMismatch.into());
    }
    let plain = shop
        .master_key
        .open(&associated(account, key), &row.bytes("sealed_outcome")?)?;
    serde_json::from_slice(&plain).map_err(|error| Error::Failed(format!("reading a remembered answer: {error}")))
}

/// Keeps the answer beside its key, for whoever sends the same again. The last write of a verb.
pub(crate) async fn remember<T: Serialize>(
    shop: &Shop,
    tx: &mut Tx,
    account: &AccountId,
    key: Option<&IdempotencyKey>,
    answer: &T,
) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    let plain =
        serde_json::to_vec(answer).map_err(|error| Error::Failed(format!("writing an answer to remember: {error}")))?;
    let sealed = shop.master_key.seal(&associated(account, key), &plain)?;
    tx.execute(
        "UPDATE idempotency SET sealed_outcome = $1 WHERE account_id = $2 AND key = $3",
        &[
            Value::Bytes(sealed),
            Value::Text(account.to_string()),
            Value::Text(key.key.clone()),
        ],
    )
    .await?;
    Ok(())
}

/// Forgets answers older than [`REMEMBERED`], at most `limit`; how many.
pub(crate) async fn forget(tx: &mut Tx, now: UnixMillis, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM idempotency WHERE (account_id, key) IN
             (SELECT account_id, key FROM idempotency WHERE created_at <= $1 ORDER BY created_at LIMIT $2)",
        &[Value::Int(now.minus(REMEMBERED).0), Value::Int(limit)],
    )
    .await
}

/// What a sealed answer is bound to, so that it cannot be moved to another row.
fn associated(account: &AccountId, key: &IdempotencyKey) -> String {
    format!("answer to {account} {}", key.key)
}
