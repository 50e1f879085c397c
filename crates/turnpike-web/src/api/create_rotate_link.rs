//! `op=create-rotate-link`: one more link to a subscription.

use serde::{Deserialize, Serialize};
use turnpike_shop::address_list::AddressList;
use turnpike_shop::rotation::{self, LinkName, NewLink};
use turnpike_shop::types::{LinkKind, SubscriptionId};
use utoipa::ToSchema;

use super::link_item::LinkItem;
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Buyer;
use crate::response::True;

/// Makes a link for somebody else: to rotate a subscription's exit, or only to see how it stands. Asked for again, the same one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateRotateLink {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
    /// What to call it; no two links of a subscription have one name.
    #[serde(deserialize_with = "wire::link_name")]
    #[schema(schema_with = wire::link_name_schema)]
    name: LinkName,
    #[serde(default = "wire::rotating_link", deserialize_with = "wire::link_kind")]
    #[schema(schema_with = wire::link_kind_schema, required = false)]
    kind: LinkKind,
    /// Addresses and networks from which alone it works; empty or absent for everywhere.
    #[serde(default, deserialize_with = "wire::address_list")]
    #[schema(schema_with = wire::address_list_schema, required = false)]
    allowed_addresses: AddressList,
}

/// A link.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotateLinkAnswer {
    ok: True,
    link: LinkItem,
}

impl RotateLinkAnswer {
    pub(super) fn new(link: rotation::Link, context: &Context<'_>) -> Self {
        Self {
            ok: True,
            link: LinkItem::new(link, &context.app.config.public_url),
        }
    }
}

impl Operation for CreateRotateLink {
    const VERB: Verb = Verb::Post;
    const MOVES_MONEY: bool = false;
    type Caller = Buyer;
    type Answer = RotateLinkAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<RotateLinkAnswer, ApiError> {
        let new = NewLink {
            name: self.name,
            kind: self.kind,
            allowed: self.allowed_addresses,
        };
        let link = rotation::create_link(&context.app.shop, buyer.account(), &self.subscription_id, new).await?;
        Ok(RotateLinkAnswer::new(link, context))
    }
}
