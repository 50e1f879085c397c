//! `op=switch-network`: moves a subscription to another network.

use serde::{Deserialize, Serialize};
use turnpike_shop::switch_network;
use turnpike_shop::types::{NetworkId, SubscriptionId};
use utoipa::ToSchema;

use super::subscription::SubscriptionItem;
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Buyer;
use crate::response::True;

/// Moves a subscription to another network.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SwitchNetwork {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
    /// An `id` of `op=available-networks`.
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    target_network: NetworkId,
}

/// The subscription as it is now.
#[derive(Serialize, ToSchema)]
pub(crate) struct SwitchNetworkAnswer {
    ok: True,
    subscription: SubscriptionItem,
}

impl Operation for SwitchNetwork {
    const VERB: Verb = Verb::Post;
    const MOVES_MONEY: bool = false;
    type Caller = Buyer;
    type Answer = SwitchNetworkAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<SwitchNetworkAnswer, ApiError> {
        let (subscription, target) = (&self.subscription_id, &self.target_network);
        let switched = switch_network(&context.app.shop, buyer.account(), subscription, target).await?;
        context
            .wait_applied([(switched.gateway.as_str(), switched.revision)])
            .await;
        Ok(SwitchNetworkAnswer {
            ok: True,
            subscription: context.shown(switched),
        })
    }
}
