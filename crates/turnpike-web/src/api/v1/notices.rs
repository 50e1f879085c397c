//! `/api/v1/notices`: what the account is told, and by which ways.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::notices::{self, Choices, KINDS};
use turnpike_shop::types::{AccountId, Cents, NoticeKind, NoticeWay};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

use super::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::{Buyer, Reader};
use crate::response::True;

/// What you are told, and by which ways.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SeeNotices {}

/// What is told by which ways.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NoticesAnswer {
    ok: True,
    /// Whether this shop sends e-mail; what is chosen counts from when it does.
    can_email: bool,
    /// Whether this shop calls webhooks.
    can_webhook: bool,
    /// Everything that can be told.
    choices: Vec<NoticeItem>,
    /// A balance that falls below this is low, in cents.
    low_balance_cents: i64,
}

/// Something that can be told.
#[derive(Serialize, ToSchema)]
pub(crate) struct NoticeItem {
    /// What. More may be added.
    #[schema(example = "subscription.ending")]
    kind: String,
    /// Whether it is told by e-mail.
    email: bool,
    /// Whether it is told to your webhooks.
    webhook: bool,
}

async fn seen(account: &AccountId, context: &Context<'_>) -> Result<NoticesAnswer, ApiError> {
    let shop = &context.app.shop;
    let (chosen, ways) = (notices::choices(shop, account).await?, notices::ways(shop));
    Ok(NoticesAnswer {
        ok: True,
        can_email: ways.email,
        can_webhook: ways.webhook,
        choices: KINDS
            .into_iter()
            .map(|kind| NoticeItem {
                kind: kind.to_string(),
                email: chosen.has(kind, NoticeWay::Email),
                webhook: chosen.has(kind, NoticeWay::Webhook),
            })
            .collect(),
        low_balance_cents: chosen.low_balance.0,
    })
}

impl Endpoint for SeeNotices {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/v1/notices";
    const NAME: &'static str = "notices";
    type Caller = Reader;
    type Answer = NoticesAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<NoticesAnswer, ApiError> {
        seen(reader.account(), context).await
    }
}

/// Says what you are told, and by which ways; what is not named stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetNotices {
    /// What changes.
    #[serde(default, deserialize_with = "wishes")]
    #[schema(schema_with = wishes_schema, required = false)]
    choices: Vec<Wish>,
    /// A balance that falls below this is low, in cents.
    #[serde(default, deserialize_with = "wire::optional_count")]
    #[schema(required = false, minimum = 0, maximum = 100_000_000, example = 500)]
    low_balance_cents: Option<i64>,
}

/// A change of one kind.
#[derive(Deserialize)]
struct Wish {
    kind: NoticeKind,
    email: Option<bool>,
    webhook: Option<bool>,
}

fn wishes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Wish>, D::Error> {
    let rule = || {
        let kinds = KINDS.map(NoticeKind::as_str).join(", ");
        serde::de::Error::custom(format_args!(
            "it must be a list such as [{{\"kind\": \"subscription.ending\", \"email\": true}}], with the kinds {kinds}"
        ))
    };
    let wishes = Vec::<Wish>::deserialize(deserializer).map_err(|_| rule())?;
    match wishes.iter().all(|wish| KINDS.contains(&wish.kind)) {
        true => Ok(wishes),
        false => Err(rule()),
    }
}

fn wishes_schema() -> RefOr<Schema> {
    // Null says as much as nothing.
    let boolean = || ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::Boolean, Type::Null]));
    ArrayBuilder::new()
        .items(
            ObjectBuilder::new()
                .property("kind", wire::words_schema(KINDS.map(NoticeKind::as_str)))
                .required("kind")
                .property("email", boolean())
                .property("webhook", boolean()),
        )
        .into()
}

impl SetNotices {
    fn change(self, choices: &mut Choices) {
        for wish in self.choices {
            for (way, is_wanted) in [(NoticeWay::Email, wish.email), (NoticeWay::Webhook, wish.webhook)] {
                let Some(is_wanted) = is_wanted else { continue };
                choices.wanted.retain(|known| *known != (wish.kind, way));
                if is_wanted {
                    choices.wanted.push((wish.kind, way));
                }
            }
        }
        if let Some(cents) = self.low_balance_cents {
            choices.low_balance = Cents(cents);
        }
    }
}

impl Endpoint for SetNotices {
    const METHOD: Method = Method::PUT;
    const PATH: &'static str = "/api/v1/notices";
    const NAME: &'static str = "setNotices";
    type Caller = Buyer;
    type Answer = NoticesAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<NoticesAnswer, ApiError> {
        let shop = &context.app.shop;
        let mut choices = notices::choices(shop, buyer.account()).await?;
        self.change(&mut choices);
        notices::set_choices(shop, buyer.account(), choices).await?;
        seen(buyer.account(), context).await
    }
}
