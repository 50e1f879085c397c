//! `op=plans`: what is sold.

use serde::{Deserialize, Serialize};
use turnpike_shop::Error as ShopError;
use turnpike_shop::catalogue::{NetworkOnSale, PlanOnSale, plans};
use utoipa::ToSchema;

use super::limits::Limits;
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Reader;
use crate::response::{True, Written};

/// Active proxy plans.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Plans {}

/// The plans.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlansAnswer {
    ok: True,
    plans: Vec<Plan>,
}

/// Something sold.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    #[schema(schema_with = wire::id_schema)]
    id: String,
    #[schema(schema_with = connection_type_schema)]
    connection_type: &'static str,
    /// For how long, in milliseconds.
    duration_ms: i64,
    /// For how much, in cents.
    price_amount_cents: i64,
    popular: bool,
    network: PlanNetwork,
    limits: Limits,
}

/// Where a plan's exits are.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanNetwork {
    name: String,
    city: String,
    /// ISO 3166-1 alpha-2.
    country: String,
    #[schema(schema_with = network_type_schema)]
    network_type: &'static str,
}

pub(super) fn connection_type_schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    wire::words_schema(["private", "shared"])
}

fn network_type_schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    wire::words_schema(["mobile", "residential", "datacenter", "isp"])
}

impl From<PlanOnSale> for Plan {
    fn from(plan: PlanOnSale) -> Self {
        Self {
            id: plan.id.into(),
            connection_type: plan.connection_type.as_str(),
            duration_ms: plan.duration.0,
            price_amount_cents: plan.price.0,
            popular: plan.popular,
            network: plan.network.into(),
            limits: plan.limits.into(),
        }
    }
}

impl From<NetworkOnSale> for PlanNetwork {
    fn from(network: NetworkOnSale) -> Self {
        Self {
            name: network.code,
            city: network.city,
            country: network.country,
            network_type: network.network_type.as_str(),
        }
    }
}

impl Operation for Plans {
    const VERB: Verb = Verb::Get;
    const MOVES_MONEY: bool = false;
    type Caller = Reader;
    type Answer = Written<PlansAnswer>;

    async fn call(self, _: Reader, context: &Context<'_>) -> Result<Self::Answer, ApiError> {
        let on_sale = plans(&context.app.shop).await?;
        let write = |plans: &[PlanOnSale]| {
            serde_json::to_string(&PlansAnswer {
                ok: True,
                plans: plans.iter().cloned().map(Plan::from).collect(),
            })
        };
        let text = on_sale
            .text(write)
            .map_err(|error| ShopError::Failed(format!("writing an answer: {error}")))?;
        Ok(Written::new(text.to_owned()))
    }
}
