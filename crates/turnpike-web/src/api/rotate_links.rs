//! `op=rotate-links`: the links of a subscription.

use serde::{Deserialize, Serialize};
use turnpike_shop::rotation;
use turnpike_shop::types::SubscriptionId;
use utoipa::ToSchema;

use super::link_item::LinkItem;
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Reader;
use crate::response::True;

/// The links of a subscription: its own, and those made for others.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotateLinks {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
}

/// The links, the subscription's own first, then by age.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotateLinksAnswer {
    ok: True,
    links: Vec<LinkItem>,
}

impl Operation for RotateLinks {
    const VERB: Verb = Verb::Get;
    const MOVES_MONEY: bool = false;
    type Caller = Reader;
    type Answer = RotateLinksAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<RotateLinksAnswer, ApiError> {
        let found = rotation::links(&context.app.shop, reader.account(), &self.subscription_id).await?;
        let public_url = &context.app.config.public_url;
        let links = found.into_iter().map(|link| LinkItem::new(link, public_url)).collect();
        Ok(RotateLinksAnswer { ok: True, links })
    }
}
