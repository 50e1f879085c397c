//! `/api/admin/accounts`: found, credited and debited, suspended and resumed; their keys, and which may give trials.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::account_search::{AccountSearch, Place, accounts};
use turnpike_shop::types::{AccountId, AccountStatus, ApiKeyId, Cents, Role, TransactionId, UnixMillis};
use turnpike_shop::{Refusal, account, api_key, ledger, routes};
use utoipa::ToSchema;

use super::actor;
use crate::api::v1::{
    AccountAnswer, AccountItem, BalanceAnswer, Endpoint, KeyAnswer, KeysAnswer, LedgerAnswer, ledger_page,
};
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::{Operator, OperatorReader};
use crate::response::True;

/// Accounts, the newest first, a page at a time.
#[derive(Deserialize, ToSchema)]
pub(crate) struct FindAccounts {
    /// Anywhere in the e-mail address, or the whole id.
    #[serde(default, deserialize_with = "wire::search")]
    #[schema(max_length = 254, required = false)]
    search: String,
    /// Those of this role only.
    #[serde(default, deserialize_with = "wire::optional_word")]
    #[schema(schema_with = wire::role_schema, required = false)]
    role: Option<Role>,
    /// Those of this status only.
    #[serde(default, deserialize_with = "wire::optional_word")]
    #[schema(schema_with = wire::status_schema, required = false)]
    status: Option<AccountStatus>,
    /// At most so many; 50 where nothing is said.
    #[serde(default, deserialize_with = "wire::limit")]
    #[schema(minimum = 1, maximum = 100, required = false)]
    limit: Option<i64>,
    /// The `nextCursor` of the page before.
    #[serde(default, deserialize_with = "wire::place_cursor")]
    #[schema(schema_with = wire::place_cursor_schema, required = false)]
    cursor: Option<(UnixMillis, AccountId)>,
}

/// Accounts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountsAnswer {
    ok: True,
    accounts: Vec<AccountItem>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = wire::place_cursor_schema, required = false)]
    next_cursor: Option<String>,
}

impl Endpoint for FindAccounts {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/accounts";
    const NAME: &'static str = "adminAccounts";
    type Caller = OperatorReader;
    type Answer = AccountsAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<AccountsAnswer, ApiError> {
        let search = AccountSearch {
            text: self.search,
            role: self.role,
            status: self.status,
            after: self.cursor.map(|(created_at, id)| Place { created_at, id }),
            limit: self.limit.unwrap_or(wire::USUAL_LIMIT),
        };
        let (found, has_more) = accounts(&context.app.shop, search).await?;
        let last = found.last().filter(|_| has_more);
        Ok(AccountsAnswer {
            ok: True,
            next_cursor: last.map(|last| wire::place(last.created_at, last.id.as_str())),
            accounts: found.into_iter().map(AccountItem::from).collect(),
        })
    }
}

/// One account.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShowAccount {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    account_id: AccountId,
}

impl Endpoint for ShowAccount {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/accounts/{accountId}";
    const NAME: &'static str = "adminAccount";
    const ERRORS: &'static [u16] = &[404];
    type Caller = OperatorReader;
    type Answer = AccountAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<AccountAnswer, ApiError> {
        Ok(account::by_id(&context.app.shop, &self.account_id).await?.into())
    }
}

/// Every change of an account's balance, the newest first, a page at a time.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShowLedger {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    account_id: AccountId,
    /// At most so many lines; 50 where nothing is said.
    #[serde(default, deserialize_with = "wire::limit")]
    #[schema(minimum = 1, maximum = 100, required = false)]
    limit: Option<i64>,
    /// The `nextCursor` of the page before.
    #[serde(default, deserialize_with = "wire::number_cursor")]
    #[schema(schema_with = wire::number_cursor_schema, required = false)]
    cursor: Option<i64>,
}

impl Endpoint for ShowLedger {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/accounts/{accountId}/ledger";
    const NAME: &'static str = "adminLedger";
    const ERRORS: &'static [u16] = &[404];
    type Caller = OperatorReader;
    type Answer = LedgerAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<LedgerAnswer, ApiError> {
        let account = account::by_id(&context.app.shop, &self.account_id).await?;
        ledger_page(context, &account.id, self.limit, self.cursor).await
    }
}

/// Which way money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Credit,
    Debit,
}

fn direction<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Direction, D::Error> {
    Direction::deserialize(deserializer).map_err(|_| serde::de::Error::custom("it must be credit or debit"))
}

fn direction_schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    wire::words_schema(["credit", "debit"])
}

/// Gives an account money, or takes some; once for each `bookingId`. The reason stands in its statement and in the audit log.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Book {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    account_id: AccountId,
    /// `credit` gives, `debit` takes.
    #[serde(deserialize_with = "direction")]
    #[schema(schema_with = direction_schema)]
    direction: Direction,
    /// How much, in cents.
    #[serde(deserialize_with = "wire::amount")]
    #[schema(schema_with = wire::amount_schema)]
    amount_cents: Cents,
    /// Why.
    #[serde(deserialize_with = "wire::text")]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$",
        example = "bank transfer 4711"
    )]
    reason: String,
    /// An id that you draw for this booking. Sent again with the same id, nothing is booked again: the answer is 409 with the code
    /// `booked_already`. So whatever became of a request, it is safe to send it once more.
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    booking_id: TransactionId,
}

impl Endpoint for Book {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/admin/accounts/{accountId}/bookings";
    const NAME: &'static str = "adminBook";
    const ERRORS: &'static [u16] = &[404, 409];
    type Caller = Operator;
    type Answer = BalanceAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<BalanceAnswer, ApiError> {
        let (shop, actor) = (&context.app.shop, actor(&operator, context).await?);
        let customer = account::by_id(shop, &self.account_id).await?;
        let amount = match self.direction {
            Direction::Credit => self.amount_cents,
            Direction::Debit => Cents(-self.amount_cents.0),
        };
        let balance = ledger::book(shop, &actor, &customer.email, amount, &self.reason, self.booking_id).await?;
        Ok(balance.into())
    }
}

/// Suspends an account or resumes it; its keys are refused and its ports close within a second, or come back.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetStatus {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    account_id: AccountId,
    #[serde(deserialize_with = "wire::word")]
    #[schema(schema_with = wire::status_schema)]
    status: AccountStatus,
}

impl Endpoint for SetStatus {
    const METHOD: Method = Method::PUT;
    const PATH: &'static str = "/api/admin/accounts/{accountId}/status";
    const NAME: &'static str = "adminSetStatus";
    const ERRORS: &'static [u16] = &[404, 409];
    type Caller = Operator;
    type Answer = AccountAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<AccountAnswer, ApiError> {
        let (shop, actor) = (&context.app.shop, actor(&operator, context).await?);
        let customer = account::by_id(shop, &self.account_id).await?;
        let account = account::set_status(shop, &actor, &customer.email, self.status).await?;
        let revisions = routes::revisions_of(shop, &account.id).await?;
        let revisions = revisions
            .iter()
            .map(|(gateway, revision)| (gateway.as_str(), *revision));
        context.wait_applied(revisions).await;
        Ok(account.into())
    }
}

/// An account's API keys, without their secrets, the oldest first.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShowKeys {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    account_id: AccountId,
}

impl Endpoint for ShowKeys {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/accounts/{accountId}/keys";
    const NAME: &'static str = "adminKeys";
    const ERRORS: &'static [u16] = &[404];
    type Caller = OperatorReader;
    type Answer = KeysAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<KeysAnswer, ApiError> {
        let shop = &context.app.shop;
        let owner = account::by_id(shop, &self.account_id).await?;
        Ok(api_key::list(shop, Some(&owner.email)).await?.into())
    }
}

/// Lets an API key give trials, or no longer; the next request with it goes by that.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PermitTrial {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    account_id: AccountId,
    #[serde(deserialize_with = "wire::key_id")]
    #[schema(schema_with = wire::key_id_schema)]
    key_id: ApiKeyId,
    /// Whether it may.
    #[serde(deserialize_with = "wire::boolean")]
    allow_trial: bool,
}

impl Endpoint for PermitTrial {
    const METHOD: Method = Method::PUT;
    const PATH: &'static str = "/api/admin/accounts/{accountId}/keys/{keyId}/trial";
    const NAME: &'static str = "adminPermitTrial";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Operator;
    type Answer = KeyAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<KeyAnswer, ApiError> {
        let (shop, actor) = (&context.app.shop, actor(&operator, context).await?);
        let owner = account::by_id(shop, &self.account_id).await?;
        let keys = api_key::list(shop, Some(&owner.email)).await?;
        if !keys.iter().any(|known| known.id == self.key_id) {
            return Err(Refusal::UnknownApiKey(self.key_id.to_string()).into());
        }
        let key = api_key::permit_trial(shop, &actor, &self.key_id, self.allow_trial).await?;
        Ok(key.into())
    }
}
