//! `op=purchase`: new subscriptions.

use serde::{Deserialize, Serialize};
use turnpike_shop::types::{PlanId, Quantity, RepeatCount};
use turnpike_shop::{PurchaseOrder, Purchased, purchase};
use utoipa::ToSchema;

use super::subscription::SubscriptionItem;
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Buyer;
use crate::response::True;

/// Buys one or more subscriptions of a plan, all or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Purchase {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    plan_id: PlanId,
    /// A discount code.
    #[serde(default, deserialize_with = "wire::coupon")]
    #[schema(schema_with = wire::coupon_schema, required = false)]
    coupon_code: Option<String>,
    /// Multiplies the duration and the price of each subscription.
    #[serde(default = "wire::one_repeat", deserialize_with = "wire::repeat_count")]
    #[schema(schema_with = wire::count_schema, required = false)]
    repeat_count: RepeatCount,
    /// How many subscriptions.
    #[serde(default = "wire::one_quantity", deserialize_with = "wire::quantity")]
    #[schema(schema_with = wire::count_schema, required = false)]
    quantity: Quantity,
}

/// What was bought.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PurchaseAnswer {
    ok: True,
    /// The first one's.
    #[schema(schema_with = wire::id_schema)]
    subscription_id: String,
    subscription_ids: Vec<String>,
    /// The only one; absent where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    subscription: Option<SubscriptionItem>,
    subscriptions: Vec<SubscriptionItem>,
}

impl PurchaseAnswer {
    /// A trial answers so as well. Made of nothing but what the order left, so that a remembered one gives the same bytes.
    pub(super) fn new(purchased: Purchased, context: &Context<'_>) -> Result<Self, ApiError> {
        let ids: Vec<String> = purchased.subscriptions.iter().map(|one| one.id.to_string()).collect();
        let Some(first) = ids.first().cloned() else {
            return Err(ApiError::Shop(turnpike_shop::Error::Failed(format!(
                "order {} has no subscription",
                purchased.order
            ))));
        };
        let only = match purchased.subscriptions.as_slice() {
            [only] => Some(context.shown(only.clone())),
            _ => None,
        };
        Ok(Self {
            ok: True,
            subscription_id: first,
            subscription_ids: ids,
            subscription: only,
            subscriptions: purchased
                .subscriptions
                .into_iter()
                .map(|one| context.shown(one))
                .collect(),
        })
    }
}

/// Waits for the ports and shapes the answer.
pub(super) async fn deliver(purchased: Purchased, context: &Context<'_>) -> Result<PurchaseAnswer, ApiError> {
    context.visit.notes().replayed = purchased.replayed;
    let revisions = purchased
        .subscriptions
        .iter()
        .map(|one| (one.gateway.as_str(), one.revision));
    context.wait_applied(revisions).await;
    PurchaseAnswer::new(purchased, context)
}

impl Operation for Purchase {
    const VERB: Verb = Verb::Post;
    const MOVES_MONEY: bool = true;
    type Caller = Buyer;
    type Answer = PurchaseAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<PurchaseAnswer, ApiError> {
        let order = PurchaseOrder {
            plan: self.plan_id,
            repeat: self.repeat_count,
            quantity: self.quantity,
            coupon: self.coupon_code,
            idempotency: context.idempotency.clone(),
        };
        let purchased = purchase(&context.app.shop, buyer.account(), order).await?;
        deliver(purchased, context).await
    }
}
