//! `op=trial`: a free, short subscription.

use serde::Deserialize;
use turnpike_shop::types::PlanId;
use turnpike_shop::{TrialOrder, trial};
use utoipa::ToSchema;

use super::purchase::{PurchaseAnswer, deliver};
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Trialist;

/// A trial of a plan, for keys that may give them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trial {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    plan_id: PlanId,
}

impl Operation for Trial {
    const VERB: Verb = Verb::Post;
    const MOVES_MONEY: bool = true;
    type Caller = Trialist;
    type Answer = PurchaseAnswer;

    async fn call(self, trialist: Trialist, context: &Context<'_>) -> Result<PurchaseAnswer, ApiError> {
        let order = TrialOrder {
            plan: self.plan_id,
            idempotency: context.idempotency.clone(),
            source: Some(context.visit.source),
        };
        let given = trial(&context.app.shop, trialist.account(), order).await?;
        deliver(given, context).await
    }
}
