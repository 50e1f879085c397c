//! `op=renew-rotate-link`: another token for one link.

use serde::Deserialize;
use turnpike_shop::rotation;
use turnpike_shop::types::{LinkId, SubscriptionId};
use utoipa::ToSchema;

use super::create_rotate_link::RotateLinkAnswer;
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Buyer;

/// Gives one link another address, such as one that has leaked; its old address works no more, and no other link changes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RenewRotateLink {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
    /// The subscription's own link, its `rotatePath`, has the subscription's id.
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    link_id: LinkId,
}

impl Operation for RenewRotateLink {
    const VERB: Verb = Verb::Post;
    const MOVES_MONEY: bool = false;
    type Caller = Buyer;
    type Answer = RotateLinkAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<RotateLinkAnswer, ApiError> {
        let shop = &context.app.shop;
        let link = rotation::renew_link(shop, buyer.account(), &self.subscription_id, &self.link_id).await?;
        Ok(RotateLinkAnswer::new(link, context))
    }
}
