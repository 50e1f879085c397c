//! More time for a subscription.
#![allow(unused_variables)]

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::idempotency::IdempotencyKey;
use crate::shop::Shop;
use crate::types::{AccountId, Cents, OrderId, PlanId, RepeatCount, SubscriptionId, UnixMillis};

/// What a customer wants to renew.
#[derive(Debug, Clone)]
pub struct RenewOrder {
    /// Which subscription.
    pub subscription: SubscriptionId,
    /// By which plan.
    pub plan: PlanId,
    /// Multiplies duration and price.
    pub repeat: RepeatCount,
    /// A discount code.
    pub coupon: Option<String>,
    /// Makes sending it twice safe.
    pub idempotency: Option<IdempotencyKey>,
}

/// What was renewed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Renewed {
    /// The order.
    pub order: OrderId,
    /// What was paid.
    pub price: Cents,
    /// Which subscription.
    pub subscription: SubscriptionId,
    /// When it ends now.
    pub ends_at: UnixMillis,
    /// The gateway that serves it.
    pub gateway: String,
    /// The route revision that carries it.
    pub revision: i64,
    /// Whether this is the remembered answer to an earlier request with the same key.
    #[serde(skip)]
    pub replayed: bool,
}

/// Adds the plan's duration x repeat to the later of now and the present end. An ended subscription can be renewed while
/// its grace period holds its port and a slot of its exit is still free.
///
/// # Errors
/// [`crate::Refusal::SubscriptionNotFound`], [`crate::Refusal::UnknownPlan`], [`crate::Refusal::NotARenewalPlan`],
/// [`crate::Refusal::RenewalTooLate`], [`crate::Refusal::InvalidCoupon`], [`crate::Refusal::InsufficientBalance`],
/// and those of the key.
pub async fn renew(shop: &Shop, account: &AccountId, order: RenewOrder) -> Result<Renewed> {
    unimplemented!("S2")
}
