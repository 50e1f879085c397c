//! `/api/v1/subscriptions/{subscriptionId}/note`: your own words on a subscription.

use http::Method;
use serde::Deserialize;
use turnpike_shop::set_note;
use turnpike_shop::types::SubscriptionId;
use utoipa::ToSchema;

use super::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::Buyer;
use crate::response::Done;

/// Sets the `userNote` of a subscription; an empty one takes it away.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetNote {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
    #[serde(deserialize_with = "wire::text")]
    #[schema(
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$",
        example = "for the price watcher"
    )]
    user_note: String,
}

impl Endpoint for SetNote {
    const METHOD: Method = Method::PUT;
    const PATH: &'static str = "/api/v1/subscriptions/{subscriptionId}/note";
    const NAME: &'static str = "setNote";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Buyer;
    type Answer = Done;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<Done, ApiError> {
        set_note(
            &context.app.shop,
            buyer.account(),
            &self.subscription_id,
            &self.user_note,
        )
        .await?;
        Ok(Done::default())
    }
}
