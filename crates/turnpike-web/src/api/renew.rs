//! `op=renew`: more time for a subscription.

use serde::{Deserialize, Serialize};
use turnpike_shop::types::{PlanId, RepeatCount, SubscriptionId};
use turnpike_shop::{RenewOrder, renew};
use utoipa::ToSchema;

use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Buyer;
use crate::response::True;

/// Renews a subscription by a plan that can.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Renew {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    plan_id: PlanId,
    /// A discount code.
    #[serde(default, deserialize_with = "wire::coupon")]
    #[schema(schema_with = wire::coupon_schema, required = false)]
    coupon_code: Option<String>,
    /// Multiplies the duration and the price.
    #[serde(default = "wire::one_repeat", deserialize_with = "wire::repeat_count")]
    #[schema(schema_with = wire::count_schema, required = false)]
    repeat_count: RepeatCount,
}

/// Until when.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RenewAnswer {
    ok: True,
    #[schema(schema_with = wire::id_schema)]
    subscription_id: String,
    /// When it ends now, in Unix milliseconds.
    end_at: i64,
}

impl Operation for Renew {
    const VERB: Verb = Verb::Post;
    const MOVES_MONEY: bool = true;
    type Caller = Buyer;
    type Answer = RenewAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<RenewAnswer, ApiError> {
        let order = RenewOrder {
            subscription: self.subscription_id,
            plan: self.plan_id,
            repeat: self.repeat_count,
            coupon: self.coupon_code,
            idempotency: context.idempotency.clone(),
        };
        let renewed = renew(&context.app.shop, buyer.account(), order).await?;
        context.visit.notes().replayed = renewed.replayed;
        context
            .wait_applied([(renewed.gateway.as_str(), renewed.revision)])
            .await;
        Ok(RenewAnswer {
            ok: True,
            subscription_id: renewed.subscription.into(),
            end_at: renewed.ends_at.0,
        })
    }
}
