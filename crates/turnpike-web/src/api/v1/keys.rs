//! `/api/v1/keys`: API keys, seen by any caller, made and revoked by whoever has the account's password.

use http::Method;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use turnpike_shop::account;
use turnpike_shop::address_list::AddressList;
use turnpike_shop::api_key::{self, ApiKey, NewApiKey};
use turnpike_shop::types::{ApiKeyId, UnixMillis};
use utoipa::ToSchema;

use super::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::{Owner, Reader};
use crate::response::True;

/// Your API keys, without their secrets, the oldest first.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ListKeys {}

/// Keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeysAnswer {
    ok: True,
    keys: Vec<KeyItem>,
}

/// A key without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyItem {
    #[schema(schema_with = wire::key_id_schema)]
    key_id: String,
    name: String,
    read_only: bool,
    /// It may give trials.
    allow_trial: bool,
    /// It may run the shop, by `/api/admin`.
    operator: bool,
    /// From where it works; empty for everywhere.
    allowed_addresses: Vec<String>,
    /// When it was made, in Unix milliseconds. So are the others.
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    revoked_at: Option<i64>,
    /// To the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_used_at: Option<i64>,
}

impl From<ApiKey> for KeyItem {
    fn from(key: ApiKey) -> Self {
        let millis = |at: Option<UnixMillis>| at.map(|at| at.0);
        Self {
            key_id: key.id.into(),
            name: key.name,
            read_only: key.read_only,
            allow_trial: key.allow_trial,
            operator: key.operator,
            allowed_addresses: key.allowed_sources,
            created_at: key.created_at.0,
            expires_at: millis(key.expires_at),
            revoked_at: millis(key.revoked_at),
            last_used_at: millis(key.last_used_at),
        }
    }
}

impl From<Vec<ApiKey>> for KeysAnswer {
    fn from(keys: Vec<ApiKey>) -> Self {
        Self {
            ok: True,
            keys: keys.into_iter().map(KeyItem::from).collect(),
        }
    }
}

impl Endpoint for ListKeys {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/v1/keys";
    const NAME: &'static str = "listKeys";
    type Caller = Reader;
    type Answer = KeysAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<KeysAnswer, ApiError> {
        let shop = &context.app.shop;
        let owner = account::by_id(shop, reader.account()).await?;
        Ok(api_key::list(shop, Some(&owner.email)).await?.into())
    }
}

/// Makes an API key. The answer is the only one that shows it. It takes a token of `/api/auth/token`: a key makes no keys.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateKey {
    /// What you call it.
    #[serde(deserialize_with = "wire::text")]
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$",
        example = "the scraper"
    )]
    name: String,
    /// It may only read. True where nothing is said.
    #[serde(default = "wire::yes", deserialize_with = "wire::boolean")]
    #[schema(required = false, default = true)]
    read_only: bool,
    /// It may run the shop, by `/api/admin`: only an operator can have such a key.
    #[serde(default, deserialize_with = "wire::boolean")]
    #[schema(required = false, default = false)]
    operator: bool,
    /// From when on it does not work any more, in Unix milliseconds.
    #[serde(default, deserialize_with = "wire::moment")]
    #[schema(schema_with = wire::moment_schema, required = false)]
    expires_at: Option<UnixMillis>,
    /// From where it works; everywhere where nothing is said.
    #[serde(default, deserialize_with = "wire::optional_address_list")]
    #[schema(schema_with = wire::address_list_schema, required = false)]
    allowed_addresses: Option<AddressList>,
}

/// A new key, this once with its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateKeyAnswer {
    ok: True,
    /// The whole key.
    #[schema(example = "rk_…")]
    api_key: String,
    key: KeyItem,
}

impl Endpoint for CreateKey {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/v1/keys";
    const NAME: &'static str = "createKey";
    type Caller = Owner;
    type Answer = CreateKeyAnswer;

    async fn call(self, owner: Owner, context: &Context<'_>) -> Result<CreateKeyAnswer, ApiError> {
        let shop = &context.app.shop;
        let owner = account::by_id(shop, owner.account()).await?;
        let new = NewApiKey {
            name: self.name,
            read_only: self.read_only,
            allow_trial: false,
            operator: self.operator,
            expires_at: self.expires_at,
            allowed_sources: self.allowed_addresses.unwrap_or_default().networks().to_vec(),
        };
        let (key, secret) = api_key::create_own(shop, &owner.email, new).await?;
        Ok(CreateKeyAnswer {
            ok: True,
            api_key: secret.expose_secret().to_owned(),
            key: key.into(),
        })
    }
}

/// Revokes an API key; the next request with it is refused. It takes a token of `/api/auth/token`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevokeKey {
    #[serde(deserialize_with = "wire::key_id")]
    #[schema(schema_with = wire::key_id_schema)]
    key_id: ApiKeyId,
}

/// A key as it is now.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyAnswer {
    ok: True,
    key: KeyItem,
}

impl From<ApiKey> for KeyAnswer {
    fn from(key: ApiKey) -> Self {
        Self {
            ok: True,
            key: key.into(),
        }
    }
}

impl Endpoint for RevokeKey {
    const METHOD: Method = Method::DELETE;
    const PATH: &'static str = "/api/v1/keys/{keyId}";
    const NAME: &'static str = "revokeKey";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Owner;
    type Answer = KeyAnswer;

    async fn call(self, owner: Owner, context: &Context<'_>) -> Result<KeyAnswer, ApiError> {
        let shop = &context.app.shop;
        let owner = account::by_id(shop, owner.account()).await?;
        Ok(api_key::revoke_own(shop, &owner.email, &self.key_id).await?.into())
    }
}
