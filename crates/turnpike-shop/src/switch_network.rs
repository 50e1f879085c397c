//! Moving a subscription to another network.
#![allow(unused_variables)]

use crate::error::Result;
use crate::shop::Shop;
use crate::subscription::Subscription;
use crate::types::{AccountId, NetworkId, SubscriptionId};

/// Takes a free slot of the same connection type in an active target network and frees the old one; port, credentials
/// and end time stay (the port number changes only where another gateway has it taken).
///
/// # Errors
/// [`crate::Refusal::SubscriptionNotFound`], [`crate::Refusal::UnknownNetwork`], [`crate::Refusal::SubscriptionEnded`],
/// [`crate::Refusal::SameNetwork`], [`crate::Refusal::NetworkInactive`], [`crate::Refusal::SoldOut`].
pub async fn switch_network(
    shop: &Shop,
    account: &AccountId,
    subscription: &SubscriptionId,
    target: &NetworkId,
) -> Result<Subscription> {
    unimplemented!("S2")
}
