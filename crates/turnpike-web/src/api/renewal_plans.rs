//! `op=renewal-plans`: what can renew a subscription.

use serde::{Deserialize, Serialize};
use turnpike_shop::renewal_plans;
use turnpike_shop::types::SubscriptionId;
use utoipa::ToSchema;

use super::limits::Limits;
use super::plans::connection_type_schema;
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Reader;
use crate::response::True;

/// The plans that can renew a subscription.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RenewalPlans {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
}

/// The plans.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RenewalPlansAnswer {
    ok: True,
    renewal_plans: Vec<RenewalPlan>,
}

/// A plan that can renew.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RenewalPlan {
    #[schema(schema_with = wire::id_schema)]
    id: String,
    #[schema(schema_with = connection_type_schema)]
    connection_type: &'static str,
    /// For how long, in milliseconds.
    duration_ms: i64,
    /// For how much, in cents.
    price_amount_cents: i64,
    limits: Limits,
}

impl Operation for RenewalPlans {
    const VERB: Verb = Verb::Get;
    const MOVES_MONEY: bool = false;
    type Caller = Reader;
    type Answer = RenewalPlansAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<RenewalPlansAnswer, ApiError> {
        let plans = renewal_plans(&context.app.shop, reader.account(), &self.subscription_id).await?;
        let renewal_plans = plans
            .into_iter()
            .map(|plan| RenewalPlan {
                id: plan.id.into(),
                connection_type: plan.connection_type.as_str(),
                duration_ms: plan.duration.0,
                price_amount_cents: plan.price.0,
                limits: plan.limits.into(),
            })
            .collect();
        Ok(RenewalPlansAnswer {
            ok: True,
            renewal_plans,
        })
    }
}
