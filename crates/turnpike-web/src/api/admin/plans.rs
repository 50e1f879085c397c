//! `/api/admin/plans`: made, changed and retired.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::catalogue::{self, Plan};
use turnpike_shop::limits::GIGABYTE;
use turnpike_shop::types::{Cents, ConnectionType};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::catalogue::text_of;
use super::{ChangesAnswer, actor};
use crate::api::v1::Endpoint;
use crate::api::{Context, wire};
use crate::catalogue_entry::PlanEntry;
use crate::error::ApiError;
use crate::principal::{Operator, OperatorReader};
use crate::response::True;

/// The plans on sale, by code.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ListPlans {}

/// Plans.
#[derive(Serialize, ToSchema)]
pub(crate) struct OperatorPlansAnswer {
    ok: True,
    plans: Vec<OperatorPlanItem>,
}

/// A plan as the catalogue has it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperatorPlanItem {
    #[schema(example = "nl-month")]
    code: String,
    #[schema(example = "NL-AMS")]
    network: String,
    /// `private` or `shared`.
    #[schema(example = "private")]
    connection_type: String,
    #[schema(example = "30d")]
    duration: String,
    price_cents: i64,
    popular: bool,
    /// How long a trial is; absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "1h")]
    trial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max_connections: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max_source_addresses: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    mbit_per_second: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    traffic_gb: Option<i64>,
    /// Subscriptions that run by it.
    running: i64,
}

impl OperatorPlanItem {
    fn of(plan: Plan, running: i64) -> Self {
        Self {
            code: plan.code,
            network: plan.network,
            connection_type: plan.connection_type.to_string(),
            duration: plan.duration.to_string(),
            price_cents: plan.price.0,
            popular: plan.popular,
            trial: plan.trial.map(|trial| trial.to_string()),
            max_connections: plan.limits.max_connections,
            max_source_addresses: plan.limits.max_source_addresses,
            mbit_per_second: plan.limits.mbit_per_second,
            traffic_gb: plan.limits.traffic_bytes.map(|bytes| bytes / GIGABYTE),
            running,
        }
    }
}

impl Endpoint for ListPlans {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/plans";
    const NAME: &'static str = "adminPlans";
    type Caller = OperatorReader;
    type Answer = OperatorPlansAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<OperatorPlansAnswer, ApiError> {
        let seen = catalogue::present(&context.app.shop).await?;
        let running = |plan: &Plan| seen.running.get(&plan.code).copied().unwrap_or(0);
        let plans = seen.plans.into_iter();
        Ok(OperatorPlansAnswer {
            ok: True,
            plans: plans
                .map(|plan| {
                    let running = running(&plan);
                    OperatorPlanItem::of(plan, running)
                })
                .collect(),
        })
    }
}

fn connection_type_schema() -> RefOr<Schema> {
    wire::words_schema([ConnectionType::Private, ConnectionType::Shared].map(ConnectionType::as_str))
}

/// Makes the plan of this code, or gives it other values; one that was retired is sold again. What was bought runs on as it was.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutPlan {
    /// 1 to 64 letters, digits, dots, dashes and underscores.
    #[serde(deserialize_with = "wire::code")]
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "nl-month")]
    code: String,
    /// The network's code.
    #[serde(deserialize_with = "wire::code")]
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "NL-AMS")]
    network: String,
    #[serde(deserialize_with = "wire::word")]
    #[schema(schema_with = connection_type_schema)]
    connection_type: ConnectionType,
    /// A whole number and `s`, `m`, `h` or `d`: from a minute to ten years.
    #[serde(deserialize_with = "wire::duration")]
    #[schema(pattern = "^[0-9]+[smhd]$", example = "30d")]
    duration: String,
    /// In cents.
    #[serde(deserialize_with = "wire::count")]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    price_cents: i64,
    /// Whether lists mark it.
    #[serde(default, deserialize_with = "wire::boolean")]
    #[schema(required = false, default = false)]
    popular: bool,
    /// How long a trial is; there is none where nothing is said.
    #[serde(default, deserialize_with = "wire::duration")]
    #[schema(required = false, pattern = "^[0-9]+[smhd]$", example = "1h")]
    trial: String,
    /// Tunnels at once; no limit where nothing is said. So are the others.
    #[serde(default, deserialize_with = "wire::optional_count")]
    #[schema(required = false, minimum = 1, maximum = 1_000_000)]
    max_connections: Option<i64>,
    /// Addresses that use it at once.
    #[serde(default, deserialize_with = "wire::optional_count")]
    #[schema(required = false, minimum = 1, maximum = 10_000)]
    max_source_addresses: Option<i64>,
    #[serde(default, deserialize_with = "wire::optional_count")]
    #[schema(required = false, minimum = 1, maximum = 100_000)]
    mbit_per_second: Option<i64>,
    /// Traffic of one period, in gigabytes.
    #[serde(default, deserialize_with = "wire::optional_count")]
    #[schema(required = false, minimum = 1, maximum = 100_000)]
    traffic_gb: Option<i64>,
}

impl Endpoint for PutPlan {
    const METHOD: Method = Method::PUT;
    const PATH: &'static str = "/api/admin/plans/{code}";
    const NAME: &'static str = "adminPutPlan";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Operator;
    type Answer = ChangesAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<ChangesAnswer, ApiError> {
        let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let entry = PlanEntry {
            code: &self.code,
            network: &self.network,
            connection_type: self.connection_type,
            duration: &self.duration,
            price: Cents(self.price_cents),
            is_popular: self.popular,
            trial: &self.trial,
            max_connections: &number(self.max_connections),
            max_source_addresses: &number(self.max_source_addresses),
            mbit_per_second: &number(self.mbit_per_second),
            traffic_gb: &number(self.traffic_gb),
        };
        let plan = entry.read(text_of(context)?)?;
        let actor = actor(&operator, context).await?;
        Ok(catalogue::put_plan(&context.app.shop, &actor, plan).await?.into())
    }
}

/// Takes a plan out of sale; what was bought with it runs on. One that is not on sale stays so.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RetirePlan {
    #[serde(deserialize_with = "wire::code")]
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "nl-month")]
    code: String,
}

impl Endpoint for RetirePlan {
    const METHOD: Method = Method::DELETE;
    const PATH: &'static str = "/api/admin/plans/{code}";
    const NAME: &'static str = "adminRetirePlan";
    type Caller = Operator;
    type Answer = ChangesAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<ChangesAnswer, ApiError> {
        let actor = actor(&operator, context).await?;
        let changes = catalogue::retire_plan(&context.app.shop, &actor, &self.code).await?;
        Ok(changes.into())
    }
}
