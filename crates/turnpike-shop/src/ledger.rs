//! Double entry: immutable postings, each transaction sums to zero, a balance is the sum of an account's postings.
#![allow(unused_variables)]

use serde::Serialize;

use crate::error::Result;
use crate::shop::Shop;
use crate::types::{Cents, UnixMillis};

/// One line of an account's statement.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// When.
    pub at: UnixMillis,
    /// What for: `credit`, `debit`, `purchase`, `renewal`, `trial`, `refund`.
    pub kind: String,
    /// Positive: the account got it.
    pub amount: Cents,
    /// The balance after it.
    pub balance: Cents,
    /// The operator's or the order's note.
    pub note: String,
}

/// Gives an account money (or takes it, where `amount` is negative) from outside; returns the new balance.
///
/// # Errors
/// [`crate::Refusal::UnknownAccount`], [`crate::Refusal::OverDebit`].
pub async fn adjust(shop: &Shop, actor: &str, email: &str, amount: Cents, note: &str) -> Result<Cents> {
    unimplemented!("S1")
}

/// An account's statement, newest first, at most `limit` lines.
///
/// # Errors
/// [`crate::Refusal::UnknownAccount`].
pub async fn statement(shop: &Shop, email: &str, limit: i64) -> Result<Vec<Line>> {
    unimplemented!("S1")
}
