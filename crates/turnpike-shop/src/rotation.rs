//! Rotations: asked for by link or by policy, queued in the store, done by the exit's gateway, told truthfully.
#![allow(unused_variables)]

use std::net::IpAddr;

use serde::Serialize;

use crate::error::Result;
use crate::shop::Shop;
use crate::types::{AccountId, ExitId, RotationId, RotationPolicy, Span, SubscriptionId, UnixMillis};

/// Sets how often a subscription's exit rotates by itself.
///
/// # Errors
/// [`crate::Refusal::SubscriptionNotFound`], [`crate::Refusal::SubscriptionEnded`], [`crate::Refusal::RotationUnavailable`].
pub async fn set_policy(
    shop: &Shop,
    account: &AccountId,
    subscription: &SubscriptionId,
    policy: RotationPolicy,
) -> Result<()> {
    unimplemented!("S2")
}

/// Queues a rotation for whoever holds this link's token, or joins the one that is under way. [`wait`] for it then.
///
/// # Errors
/// [`crate::Refusal::SubscriptionNotFound`] (no such token), [`crate::Refusal::AccountSuspended`],
/// [`crate::Refusal::SubscriptionEnded`], [`crate::Refusal::RotationUnavailable`], [`crate::Refusal::RotationCooldown`].
pub async fn request(shop: &Shop, token: &str) -> Result<RotationId> {
    unimplemented!("S2")
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
    unimplemented!("S2")
}

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

/// Takes up to `limit` queued rotations of this gateway's exits, oldest first; each is given out once.
///
/// # Errors
/// Only the database's.
pub async fn claim(shop: &Shop, gateway: &str, limit: i64) -> Result<Vec<Task>> {
    unimplemented!("S2")
}

/// Records what became of a claimed rotation: the addresses, or a sentence why it failed. A failed one of a policy is
/// queued again after a back-off. Recording twice changes nothing.
///
/// # Errors
/// Only the database's.
pub async fn finish(
    shop: &Shop,
    rotation: &RotationId,
    outcome: std::result::Result<(Option<IpAddr>, Option<IpAddr>), String>,
) -> Result<()> {
    unimplemented!("S2")
}

/// Queues the rotations that policies have made due on this gateway, at most `limit`, and fails those past their deadline.
/// Returns when the next one falls due, if any does.
///
/// # Errors
/// Only the database's.
pub async fn schedule(shop: &Shop, gateway: &str, limit: i64) -> Result<Option<UnixMillis>> {
    unimplemented!("S2")
}
