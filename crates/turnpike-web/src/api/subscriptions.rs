//! `op=subscriptions`: what the account has.

use serde::{Deserialize, Serialize};
use turnpike_shop::subscription::{self, Page, Shown};
use turnpike_shop::types::SubscriptionId;
use turnpike_shop::{Error as ShopError, Refusal};
use utoipa::ToSchema;

use super::limits::Usage;
use super::subscription::{SubscriptionItem, subscription_url, unlike};
use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Reader;
use crate::response::{True, Written};

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
    type Answer = Written<SubscriptionsAnswer>;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<Self::Answer, ApiError> {
        let page = Page {
            limit: self.limit,
            after: self.cursor,
        };
        let listed = subscription::listed(&context.app.shop, reader.account(), page)
            .await
            .map_err(of_list)?;
        let last = listed.subscriptions.last().filter(|_| listed.has_more);
        let next_cursor = last.map(|last| last.kept.subscription.id.to_string());
        let public_url = &context.app.config.public_url;
        let around = SubscriptionsAnswer {
            ok: True,
            subscriptions: Vec::new(),
            subscription_url: subscription_url(public_url, &listed.url_token),
            next_cursor,
        };
        let text = written(&around, &listed.subscriptions, public_url)
            .map_err(|error| ShopError::Failed(format!("writing an answer: {error}")))?;
        Ok(Written::new(text))
    }
}

/// The answer's JSON: each subscription as it was written before, with what it has used by now.
fn written(
    around: &SubscriptionsAnswer,
    subscriptions: &[Shown],
    public_url: &str,
) -> Result<String, serde_json::Error> {
    let around = serde_json::to_string(around)?;
    // The first of its members that is a list.
    let (before, after) = around.split_once("[]").ok_or_else(|| unlike("subscriptions"))?;
    let mut text = String::with_capacity(around.len() + 2_048 * subscriptions.len());
    text.push_str(before);
    text.push('[');
    for (index, one) in subscriptions.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(
            one.kept
                .text(|kept| SubscriptionItem::of(kept.clone(), public_url).until_usage())?,
        );
        text.push_str(&serde_json::to_string(&Usage::of(
            &one.usage,
            &one.kept.subscription.limits,
        ))?);
        text.push('}');
    }
    text.push(']');
    text.push_str(after);
    Ok(text)
}
