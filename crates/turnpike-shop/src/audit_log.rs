//! What operators did, for good.

use serde::Serialize;

use crate::error::Result;
use crate::shop::Shop;
use crate::store::{Tx, Value};
use crate::types::{ID_LENGTH, UnixMillis, random_lowercase};

/// One action of an operator.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When.
    pub at: UnixMillis,
    /// Who: `cli:<system user>` or an operator's e-mail address.
    pub actor: String,
    /// What: `account.create`, `catalogue.apply`, …
    pub action: String,
    /// On what.
    pub subject: String,
    /// JSON, without secrets.
    pub detail: String,
}

/// Writes an entry in the transaction of what it tells of.
pub(crate) async fn write(
    tx: &mut Tx,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &serde_json::Value,
    now: UnixMillis,
) -> Result<()> {
    tx.execute(
        "INSERT INTO audit_log (id, at, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)",
        &[
            Value::Text(random_lowercase(ID_LENGTH)),
            Value::Int(now.0),
            Value::Text(actor.to_owned()),
            Value::Text(action.to_owned()),
            Value::Text(subject.to_owned()),
            Value::Text(detail.to_string()),
        ],
    )
    .await?;
    Ok(())
}

/// The newest entries, at most `limit`.
///
/// # Errors
/// Only the database's.
pub async fn newest(shop: &Shop, limit: i64) -> Result<Vec<Entry>> {
    shop.store
        .read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT at, actor, action, subject, detail FROM audit_log ORDER BY at DESC, id LIMIT $1",
                        &[Value::Int(limit)],
                    )
                    .await?;
                rows.iter()
                    .map(|row| {
                        Ok(Entry {
                            at: UnixMillis(row.int("at")?),
                            actor: row.text("actor")?,
                            action: row.text("action")?,
                            subject: row.text("subject")?,
                            detail: row.text("detail")?,
                        })
                    })
                    .collect()
            })
        })
        .await
}
