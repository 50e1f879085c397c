//! `op=set-allowed-addresses`: from where a port asks no password.

use serde::{Deserialize, Serialize};
use turnpike_shop::address_list::AddressList;
use turnpike_shop::set_allowed_addresses;
use turnpike_shop::types::SubscriptionId;
use utoipa::ToSchema;

use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Buyer;
use crate::response::True;

/// Sets from where HTTP and SOCKS need no password; elsewhere they do, as before. What was opened without one from an address
/// that leaves the list ends at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetAllowedAddresses {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
    /// Addresses and networks, all of them; empty for none.
    #[serde(deserialize_with = "wire::address_list")]
    #[schema(schema_with = wire::address_list_schema)]
    addresses: AddressList,
}

/// The list as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AllowedAddressesAnswer {
    ok: True,
    /// Sorted, each once, networks without what is behind their length.
    addresses: Vec<String>,
}

impl From<AddressList> for AllowedAddressesAnswer {
    fn from(list: AddressList) -> Self {
        Self {
            ok: True,
            addresses: list.entries(),
        }
    }
}

impl Operation for SetAllowedAddresses {
    const VERB: Verb = Verb::Post;
    const MOVES_MONEY: bool = false;
    type Caller = Buyer;
    type Answer = AllowedAddressesAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<AllowedAddressesAnswer, ApiError> {
        let shop = &context.app.shop;
        let set = set_allowed_addresses(shop, buyer.account(), &self.subscription_id, self.addresses).await?;
        context.wait_applied([(set.gateway.as_str(), set.revision)]).await;
        Ok(AllowedAddressesAnswer::from(set.addresses))
    }
}
