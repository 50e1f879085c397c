//! Selling new subscriptions.
#![allow(unused_variables)]

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::idempotency::IdempotencyKey;
use crate::shop::Shop;
use crate::subscription::Subscription;
use crate::types::{AccountId, Cents, OrderId, PlanId, Quantity, RepeatCount};

/// What a customer wants to buy.
#[derive(Debug, Clone)]
pub struct PurchaseOrder {
    /// Which plan.
    pub plan: PlanId,
    /// Multiplies duration and price.
    pub repeat: RepeatCount,
    /// How many subscriptions.
    pub quantity: Quantity,
    /// A discount code.
    pub coupon: Option<String>,
    /// Makes sending it twice safe.
    pub idempotency: Option<IdempotencyKey>,
}

/// What was sold.
#[derive(Clone, Serialize, Deserialize)]
pub struct Purchased {
    /// The order.
    pub order: OrderId,
    /// What was paid.
    pub price: Cents,
    /// One or more.
    pub subscriptions: Vec<Subscription>,
    /// Whether this is the remembered answer to an earlier request with the same key.
    #[serde(skip)]
    pub replayed: bool,
}

/// Sells `order.quantity` subscriptions of one plan, all or none. Charges the account once; the ledger's postings and the new
/// subscriptions commit together.
///
/// # Errors
/// [`crate::Refusal::UnknownPlan`], [`crate::Refusal::PlanInactive`], [`crate::Refusal::InvalidCoupon`],
/// [`crate::Refusal::InsufficientBalance`], [`crate::Refusal::SoldOut`], [`crate::Refusal::NoFreePort`],
/// [`crate::Refusal::IdempotencyMismatch`], [`crate::Refusal::IdempotencyInFlight`]; nothing is kept of a refused order.
pub async fn purchase(shop: &Shop, buyer: &AccountId, order: PurchaseOrder) -> Result<Purchased> {
    unimplemented!("S2")
}
