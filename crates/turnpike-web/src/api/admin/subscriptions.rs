//! `/api/admin/accounts/{accountId}/subscriptions`: what an account has.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::account;
use turnpike_shop::search::{Cursor, Found, Order, Search, search};
use turnpike_shop::types::{AccountId, SubscriptionId, UnixMillis};
use utoipa::ToSchema;

use crate::api::v1::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::OperatorReader;
use crate::response::True;

/// An account's subscriptions that hold a port, those bought last first, a page at a time; without their credentials.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShowSubscriptions {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    account_id: AccountId,
    /// Anywhere in the note, the network's code and city, the port.
    #[serde(default, deserialize_with = "wire::search")]
    #[schema(max_length = 254, required = false)]
    search: String,
    /// At most so many; 50 where nothing is said.
    #[serde(default, deserialize_with = "wire::limit")]
    #[schema(minimum = 1, maximum = 100, required = false)]
    limit: Option<i64>,
    /// The `nextCursor` of the page before.
    #[serde(default, deserialize_with = "wire::place_cursor")]
    #[schema(schema_with = wire::place_cursor_schema, required = false)]
    cursor: Option<(UnixMillis, SubscriptionId)>,
}

/// Subscriptions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountSubscriptionsAnswer {
    ok: True,
    subscriptions: Vec<AccountSubscriptionItem>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = wire::place_cursor_schema, required = false)]
    next_cursor: Option<String>,
}

/// A subscription as operators see it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountSubscriptionItem {
    #[schema(schema_with = wire::id_schema)]
    subscription_id: String,
    port: i64,
    /// `active`, or `expired` while its port is kept for a renewal.
    #[schema(example = "active")]
    status: String,
    /// `private` or `shared`.
    #[schema(example = "private")]
    connection_type: String,
    #[schema(example = "NL-AMS")]
    network: String,
    #[schema(example = "Amsterdam")]
    city: String,
    #[schema(example = "NL")]
    country: String,
    /// When it was bought, in Unix milliseconds.
    started_at: i64,
    /// When it ends, or has ended.
    end_at: i64,
    user_note: String,
    /// Whether it renews itself before it ends.
    renews_itself: bool,
}

impl From<Found> for AccountSubscriptionItem {
    fn from(found: Found) -> Self {
        Self {
            subscription_id: found.id.into(),
            port: found.port,
            status: found.state.to_string(),
            connection_type: found.connection_type.to_string(),
            network: found.network_code,
            city: found.city,
            country: found.country,
            started_at: found.started_at.0,
            end_at: found.ends_at.0,
            user_note: found.user_note,
            renews_itself: found.renews_itself,
        }
    }
}

impl Endpoint for ShowSubscriptions {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/accounts/{accountId}/subscriptions";
    const NAME: &'static str = "adminSubscriptions";
    const ERRORS: &'static [u16] = &[404];
    type Caller = OperatorReader;
    type Answer = AccountSubscriptionsAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<AccountSubscriptionsAnswer, ApiError> {
        let shop = &context.app.shop;
        let owner = account::by_id(shop, &self.account_id).await?;
        let asked = Search {
            text: self.search,
            after: self.cursor.map(|(at, id)| Cursor { at: at.0, id }),
            ..Search::first(Order::Newest, self.limit.unwrap_or(wire::USUAL_LIMIT))
        };
        let (found, has_more) = search(shop, &owner.id, asked).await?;
        let last = found.last().filter(|_| has_more);
        Ok(AccountSubscriptionsAnswer {
            ok: True,
            next_cursor: last.map(|last| wire::place(last.started_at, last.id.as_str())),
            subscriptions: found.into_iter().map(AccountSubscriptionItem::from).collect(),
        })
    }
}
