//! What time does to the shop: subscriptions end, grace periods run out, remembered answers are forgotten.
#![allow(unused_variables)]

use crate::error::Result;
use crate::shop::Shop;
use crate::types::UnixMillis;

/// Ends what is due (slot freed, port held), releases what is past its grace period (port freed), forgets old answers.
/// Safe to run anywhere, any number of times. Returns when the next subscription ends, if any does.
///
/// # Errors
/// Only the database's.
pub async fn run(shop: &Shop) -> Result<Option<UnixMillis>> {
    unimplemented!("S2")
}
