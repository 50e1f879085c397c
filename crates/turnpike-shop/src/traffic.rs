//! Traffic per subscription and hour, recorded in batches, each exactly once.
#![allow(unused_variables)]

use crate::error::Result;
use crate::shop::Shop;
use crate::types::{SubscriptionId, UnixMillis};

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

/// Adds a batch of one run of a gateway; `batch` counts up from 1 within a run, and one that was recorded before adds nothing.
///
/// # Errors
/// Only the database's; the batch must then be sent again.
pub async fn record(shop: &Shop, gateway: &str, run: &str, batch: u64, rows: &[Row]) -> Result<()> {
    unimplemented!("S1")
}

/// A subscription's hours, oldest first.
///
/// # Errors
/// Only the database's.
pub async fn hours(shop: &Shop, subscription: &SubscriptionId) -> Result<Vec<Row>> {
    unimplemented!("S1")
}
