//! `op=allowed-addresses`: from where a port asks no password.

use serde::Deserialize;
use turnpike_shop::allowed_addresses;
use turnpike_shop::types::SubscriptionId;
use utoipa::ToSchema;

use super::set_allowed_addresses::AllowedAddressesAnswer;
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Reader;

/// The addresses and networks from which HTTP and SOCKS need no password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AllowedAddresses {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
}

impl Operation for AllowedAddresses {
    const VERB: Verb = Verb::Get;
    const MOVES_MONEY: bool = false;
    type Caller = Reader;
    type Answer = AllowedAddressesAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<AllowedAddressesAnswer, ApiError> {
        let list = allowed_addresses(&context.app.shop, reader.account(), &self.subscription_id).await?;
        Ok(AllowedAddressesAnswer::from(list))
    }
}
