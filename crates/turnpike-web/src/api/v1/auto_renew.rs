//! `/api/v1/subscriptions/{subscriptionId}/auto-renew`: whether a subscription renews itself.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::auto_renew::{self, AutoRenew, Wish};
use turnpike_shop::types::{PlanId, SubscriptionId};
use utoipa::ToSchema;

use super::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::{Buyer, Reader};
use crate::response::True;

/// Whether and by which plan a subscription renews itself.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SeeAutoRenew {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
}

/// How it stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AutoRenewAnswer {
    ok: True,
    /// Whether it renews itself.
    auto_renew: bool,
    /// By which plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = wire::id_schema, required = false)]
    plan_id: Option<String>,
    /// What that costs at present, in cents; it is paid what it costs then. Absent where the plan cannot renew it at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    price_amount_cents: Option<i64>,
    /// When it is tried next, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_at: Option<i64>,
    /// Why the last try failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    trouble: Option<String>,
}

impl From<AutoRenew> for AutoRenewAnswer {
    fn from(stands: AutoRenew) -> Self {
        Self {
            ok: True,
            auto_renew: stands.plan.is_some(),
            plan_id: stands.plan.map(String::from),
            price_amount_cents: stands.price.map(|price| price.0),
            next_at: stands.next_at.map(|at| at.0),
            trouble: stands.trouble.map(|trouble| trouble.to_string()),
        }
    }
}

impl Endpoint for SeeAutoRenew {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/v1/subscriptions/{subscriptionId}/auto-renew";
    const NAME: &'static str = "autoRenew";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Reader;
    type Answer = AutoRenewAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<AutoRenewAnswer, ApiError> {
        let stands = auto_renew::see(&context.app.shop, reader.account(), &self.subscription_id).await?;
        Ok(stands.into())
    }
}

/// Sets whether and by which plan a subscription renews itself. It is paid from the balance before the end, at the price of that
/// moment; where that is refused, it is tried again until the end.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetAutoRenew {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
    /// Whether it is to renew itself.
    #[serde(deserialize_with = "wire::boolean")]
    auto_renew: bool,
    /// One of `op=renewal-plans`; where nothing is said, the plan that it was bought or renewed by last.
    #[serde(default, deserialize_with = "wire::optional_id")]
    #[schema(schema_with = wire::optional_id_schema, required = false)]
    plan_id: Option<PlanId>,
}

impl Endpoint for SetAutoRenew {
    const METHOD: Method = Method::PUT;
    const PATH: &'static str = "/api/v1/subscriptions/{subscriptionId}/auto-renew";
    const NAME: &'static str = "setAutoRenew";
    const ERRORS: &'static [u16] = &[404, 409];
    type Caller = Buyer;
    type Answer = AutoRenewAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<AutoRenewAnswer, ApiError> {
        let wish = match self.auto_renew {
            true => Wish::By(self.plan_id),
            false => Wish::Off,
        };
        let stands = auto_renew::set(&context.app.shop, buyer.account(), &self.subscription_id, wish).await?;
        Ok(stands.into())
    }
}
