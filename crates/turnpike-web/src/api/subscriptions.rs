//! `op=subscriptions`: what the account has.

use serde::{Deserialize, Serialize};
use turnpike_shop::subscription::{self, Page};
use turnpike_shop::types::SubscriptionId;
use turnpike_shop::{Error as ShopError, Refusal};
use utoipa::ToSchema;

use super::subscription::{SubscriptionItem, subscription_url};
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Reader;
use crate::response::True;

/// The account's subscriptions, all of them or a page.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Subscriptions {
    /// At most so many; absent: all.
    #[serde(default, deserialize_with = "wire::limit")]
    #[schema(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// The `nextCursor` of the page before.
    #[serde(default, deserialize_with = "wire::cursor")]
    #[schema(schema_with = wire::id_schema, required = false)]
    cursor: Option<SubscriptionId>,
}

/// Subscriptions, oldest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscriptionsAnswer {
    ok: True,
    subscriptions: Vec<SubscriptionItem>,
    /// What client programs load all of the account's ports from, by themselves and again and again. As secret as the credentials.
    subscription_url: String,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = wire::id_schema, required = false)]
    next_cursor: Option<String>,
}

/// A list has no subscriptionId that could be wrong, only a cursor that is not one of the caller's.
fn of_list(error: ShopError) -> ApiError {
    match error {
        ShopError::Refused(Refusal::SubscriptionNotFound) => ApiError::Field {
            field: "cursor".to_owned(),
            rule: wire::CURSOR_RULE.to_owned(),
        },
        other => ApiError::Shop(other),
    }
}

impl Operation for Subscriptions {
    const VERB: Verb = Verb::Get;
    const MOVES_MONEY: bool = false;
    type Caller = Reader;
    type Answer = SubscriptionsAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<SubscriptionsAnswer, ApiError> {
        let page = Page {
            limit: self.limit,
            after: self.cursor,
        };
        let listed = subscription::listed(&context.app.shop, reader.account(), page)
            .await
            .map_err(of_list)?;
        let found = listed.subscriptions;
        let next_cursor = found.last().filter(|_| listed.has_more).map(|last| last.id.to_string());
        Ok(SubscriptionsAnswer {
            ok: True,
            subscriptions: found.into_iter().map(|one| context.shown(one)).collect(),
            subscription_url: subscription_url(&context.app.config.public_url, &listed.url_token),
            next_cursor,
        })
    }
}
