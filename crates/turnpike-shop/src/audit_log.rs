//! What operators did, for good.
#![allow(unused_variables)]

use serde::Serialize;

use crate::error::Result;
use crate::shop::Shop;
use crate::types::UnixMillis;

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

/// The newest entries, at most `limit`.
///
/// # Errors
/// Only the database's.
pub async fn newest(shop: &Shop, limit: i64) -> Result<Vec<Entry>> {
    unimplemented!("S1")
}
