//! `/api/v1/traffic`: bytes by day.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::types::SubscriptionId;
use turnpike_shop::{subscription, traffic};
use utoipa::ToSchema;

use super::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::Reader;
use crate::response::True;

/// Days that are told where nothing is said.
const USUAL_DAYS: i64 = 14;

/// What your subscriptions, or one of them, have moved by day (UTC), today's last.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SeeTraffic {
    /// How many days with today; 14 where nothing is said.
    #[serde(default, deserialize_with = "wire::days")]
    #[schema(minimum = 1, maximum = 366, required = false)]
    days: Option<i64>,
    /// Of one subscription only.
    #[serde(default, deserialize_with = "wire::optional_id")]
    #[schema(schema_with = wire::id_schema, required = false)]
    subscription_id: Option<SubscriptionId>,
}

/// Days.
#[derive(Serialize, ToSchema)]
pub(crate) struct TrafficAnswer {
    ok: True,
    days: Vec<TrafficDay>,
}

/// What one day saw.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrafficDay {
    /// When it began, in Unix milliseconds.
    start: i64,
    /// Bytes from you.
    bytes_up: i64,
    /// Bytes to you.
    bytes_down: i64,
}

impl Endpoint for SeeTraffic {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/v1/traffic";
    const NAME: &'static str = "traffic";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Reader;
    type Answer = TrafficAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<TrafficAnswer, ApiError> {
        let (shop, account) = (&context.app.shop, reader.account());
        if let Some(id) = &self.subscription_id {
            // Somebody else's would be told as one that moves nothing.
            subscription::see(shop, account, id).await?;
        }
        let days = self.days.unwrap_or(USUAL_DAYS);
        let days = traffic::days(shop, account, self.subscription_id.as_ref(), days).await?;
        Ok(TrafficAnswer {
            ok: True,
            days: days
                .into_iter()
                .map(|day| TrafficDay {
                    start: day.start.0,
                    bytes_up: day.up,
                    bytes_down: day.down,
                })
                .collect(),
        })
    }
}
