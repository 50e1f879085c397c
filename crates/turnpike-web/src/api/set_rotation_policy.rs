//! `op=set-rotation-policy`: how often an exit rotates by itself.

use serde::{Deserialize, Serialize};
use turnpike_shop::rotation;
use turnpike_shop::types::{RotationPolicy, SubscriptionId};
use utoipa::ToSchema;

use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Buyer;
use crate::response::True;

/// Sets how often a subscription's exit rotates by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetRotationPolicy {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
    /// Minutes between rotations; 0 switches them off.
    #[serde(deserialize_with = "wire::rotation_policy")]
    #[schema(schema_with = wire::rotation_policy_schema)]
    rotation_policy: RotationPolicy,
}

/// Done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SetRotationPolicyAnswer {
    ok: True,
}

impl Operation for SetRotationPolicy {
    const VERB: Verb = Verb::Post;
    const MOVES_MONEY: bool = false;
    type Caller = Buyer;
    type Answer = SetRotationPolicyAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<SetRotationPolicyAnswer, ApiError> {
        let shop = &context.app.shop;
        rotation::set_policy(shop, buyer.account(), &self.subscription_id, self.rotation_policy).await?;
        Ok(SetRotationPolicyAnswer { ok: True })
    }
}
