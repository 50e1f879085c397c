//! `/api/v1/account` and `/api/v1/balance`.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::account;
use turnpike_shop::types::Cents;
use utoipa::ToSchema;

use super::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::Reader;
use crate::response::True;

/// The account that you call with.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SeeAccount {}

/// An account.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountAnswer {
    ok: True,
    account: AccountItem,
}

/// What it is and has.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountItem {
    #[schema(schema_with = wire::id_schema)]
    account_id: String,
    #[schema(example = "ann@example.com")]
    email: String,
    /// `customer` or `operator`.
    #[schema(example = "customer")]
    role: String,
    /// `active` or `suspended`.
    #[schema(example = "active")]
    status: String,
    /// What it can spend, in cents.
    balance_cents: i64,
    /// Subscriptions that run now.
    active_subscriptions: i64,
    /// When it was made, in Unix milliseconds.
    created_at: i64,
}

impl From<account::Account> for AccountItem {
    fn from(account: account::Account) -> Self {
        Self {
            account_id: account.id.into(),
            email: account.email,
            role: account.role.to_string(),
            status: account.status.to_string(),
            balance_cents: account.balance.0,
            active_subscriptions: account.active_subscriptions,
            created_at: account.created_at.0,
        }
    }
}

impl From<account::Account> for AccountAnswer {
    fn from(account: account::Account) -> Self {
        Self {
            ok: True,
            account: account.into(),
        }
    }
}

impl Endpoint for SeeAccount {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/v1/account";
    const NAME: &'static str = "account";
    type Caller = Reader;
    type Answer = AccountAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<AccountAnswer, ApiError> {
        Ok(account::by_id(&context.app.shop, reader.account()).await?.into())
    }
}

/// What your account can spend.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SeeBalance {}

/// A balance.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BalanceAnswer {
    ok: True,
    /// In cents.
    balance_cents: i64,
}

impl From<Cents> for BalanceAnswer {
    fn from(Cents(balance_cents): Cents) -> Self {
        Self {
            ok: True,
            balance_cents,
        }
    }
}

impl Endpoint for SeeBalance {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/v1/balance";
    const NAME: &'static str = "balance";
    type Caller = Reader;
    type Answer = BalanceAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<BalanceAnswer, ApiError> {
        let account = account::by_id(&context.app.shop, reader.account()).await?;
        Ok(account.balance.into())
    }
}
