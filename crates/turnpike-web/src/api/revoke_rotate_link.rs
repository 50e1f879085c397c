//! `op=revoke-rotate-link`: the end of one link.

use serde::{Deserialize, Serialize};
use turnpike_shop::rotation;
use turnpike_shop::types::{LinkId, SubscriptionId};
use utoipa::ToSchema;

use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Buyer;
use crate::response::True;

/// Ends one link for good; no other link changes. Revoking it again changes nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevokeRotateLink {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    link_id: LinkId,
}

/// Done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevokeRotateLinkAnswer {
    ok: True,
}

impl Operation for RevokeRotateLink {
    const VERB: Verb = Verb::Post;
    const MOVES_MONEY: bool = false;
    type Caller = Buyer;
    type Answer = RevokeRotateLinkAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<RevokeRotateLinkAnswer, ApiError> {
        let shop = &context.app.shop;
        rotation::revoke_link(shop, buyer.account(), &self.subscription_id, &self.link_id).await?;
        Ok(RevokeRotateLinkAnswer { ok: True })
    }
}
