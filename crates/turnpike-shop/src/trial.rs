//! Giving a free, short subscription to try.
#![allow(unused_variables)]

use crate::error::Result;
use crate::idempotency::IdempotencyKey;
use crate::purchase::Purchased;
use crate::shop::Shop;
use crate::types::{AccountId, PlanId};

/// What a customer wants to try.
#[derive(Debug, Clone)]
pub struct TrialOrder {
    /// Which plan.
    pub plan: PlanId,
    /// Makes sending it twice safe.
    pub idempotency: Option<IdempotencyKey>,
}

/// Gives one trial: one per account and network in 30 days, for the plan's trial time, at no price.
///
/// # Errors
/// [`crate::Refusal::UnknownPlan`], [`crate::Refusal::PlanInactive`], [`crate::Refusal::NoTrialOfPlan`],
/// [`crate::Refusal::TrialUsed`], and those of a purchase that concern slots, ports and the key.
pub async fn trial(shop: &Shop, account: &AccountId, order: TrialOrder) -> Result<Purchased> {
    unimplemented!("S2")
}
