//! `op=change-credentials`: a new password and VLESS id.

use serde::{Deserialize, Serialize};
use turnpike_shop::change_credentials;
use turnpike_shop::types::SubscriptionId;
use utoipa::ToSchema;

use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Buyer;
use crate::response::True;

/// Makes a subscription's password and VLESS id anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChangeCredentials {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
}

/// The new ones. The user name stays.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangeCredentialsAnswer {
    ok: True,
    password: String,
    /// The VLESS id.
    #[schema(format = "uuid")]
    vpn: String,
}

impl Operation for ChangeCredentials {
    const VERB: Verb = Verb::Post;
    const MOVES_MONEY: bool = false;
    type Caller = Buyer;
    type Answer = ChangeCredentialsAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<ChangeCredentialsAnswer, ApiError> {
        let changed = change_credentials(&context.app.shop, buyer.account(), &self.subscription_id).await?;
        context
            .wait_applied([(changed.gateway.as_str(), changed.revision)])
            .await;
        Ok(ChangeCredentialsAnswer {
            ok: True,
            password: changed.password,
            vpn: changed.vpn.to_string(),
        })
    }
}
