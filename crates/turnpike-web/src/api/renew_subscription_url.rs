//! `op=renew-subscription-url`: voids a subscription URL and makes the next one.

use serde::{Deserialize, Serialize};
use turnpike_shop::profile;
use turnpike_shop::types::SubscriptionId;
use utoipa::ToSchema;

use super::subscription::subscription_url;
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Buyer;
use crate::response::True;

/// Voids a subscription's URL, or without `subscriptionId` the account's own, and makes a new one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RenewSubscriptionUrl {
    /// Whose URL; absent: the account's, which tells all its ports.
    #[serde(default, deserialize_with = "wire::optional_id")]
    #[schema(schema_with = wire::optional_id_schema, required = false)]
    subscription_id: Option<SubscriptionId>,
}

/// The new one. The one before does not work any more.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RenewSubscriptionUrlAnswer {
    ok: True,
    subscription_url: String,
}

impl Operation for RenewSubscriptionUrl {
    const VERB: Verb = Verb::Post;
    const MOVES_MONEY: bool = false;
    type Caller = Buyer;
    type Answer = RenewSubscriptionUrlAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<RenewSubscriptionUrlAnswer, ApiError> {
        let token = profile::renew_token(&context.app.shop, buyer.account(), self.subscription_id.as_ref()).await?;
        Ok(RenewSubscriptionUrlAnswer {
            ok: True,
            subscription_url: subscription_url(&context.app.config.public_url, &token),
        })
    }
}
