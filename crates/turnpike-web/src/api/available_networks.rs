//! `op=available-networks`: where a subscription can move.

use serde::{Deserialize, Serialize};
use turnpike_shop::available_networks;
use turnpike_shop::types::SubscriptionId;
use utoipa::ToSchema;

use super::subscription::network_label;
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Reader;
use crate::response::True;

/// The networks to which a subscription can be switched now.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AvailableNetworks {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
}

/// The networks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AvailableNetworksAnswer {
    ok: True,
    networks: Vec<AvailableNetwork>,
}

/// A network to switch to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AvailableNetwork {
    /// The `targetNetwork` of `switch-network`.
    #[schema(schema_with = wire::id_schema)]
    id: String,
    #[schema(example = "DE-BER Berlin")]
    network_label: String,
    /// ISO 3166-1 alpha-2.
    country: String,
}

impl Operation for AvailableNetworks {
    const VERB: Verb = Verb::Get;
    const MOVES_MONEY: bool = false;
    type Caller = Reader;
    type Answer = AvailableNetworksAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<AvailableNetworksAnswer, ApiError> {
        let found = available_networks(&context.app.shop, reader.account(), &self.subscription_id).await?;
        let networks = found
            .into_iter()
            .map(|network| AvailableNetwork {
                network_label: network_label(&network.code, &network.city),
                id: network.id.into(),
                country: network.country,
            })
            .collect();
        Ok(AvailableNetworksAnswer { ok: True, networks })
    }
}
