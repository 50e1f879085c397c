//! `/api/admin/audit`: what operators did.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use turnpike_shop::audit_log::{Entry, Place, Search, entries};
use turnpike_shop::types::{ID_LENGTH, UnixMillis};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

use crate::api::v1::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::OperatorReader;
use crate::response::True;

/// What operators did, the newest first, a page at a time.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SeeAudit {
    /// Anywhere in who did it, by which key, what he did and on what.
    #[serde(default, deserialize_with = "wire::search")]
    #[schema(max_length = 254, required = false)]
    search: String,
    /// Those whose action begins so.
    #[serde(default, deserialize_with = "wire::search")]
    #[schema(max_length = 254, required = false, example = "account.")]
    action: String,
    /// At most so many; 50 where nothing is said.
    #[serde(default, deserialize_with = "wire::limit")]
    #[schema(minimum = 1, maximum = 100, required = false)]
    limit: Option<i64>,
    /// The `nextCursor` of the page before.
    #[serde(default, deserialize_with = "cursor")]
    #[schema(schema_with = cursor_schema, required = false)]
    cursor: Option<Place>,
}

/// Milliseconds, the number among those of that moment, and an id.
fn cursor<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Place>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let read = || {
        let (at, rest) = text.split_once('.')?;
        let (number, id) = rest.split_once('.')?;
        let is_id = id.len() == ID_LENGTH
            && id
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        Some(Place {
            at: UnixMillis(wire::digits(at)?),
            number: wire::digits(number)?,
            id: is_id.then(|| id.to_owned())?,
        })
    };
    let place = read().ok_or_else(|| serde::de::Error::custom(wire::CURSOR_RULE))?;
    Ok(Some(place))
}

fn cursor_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9]{1,18}\\.[0-9]{1,18}\\.[a-z0-9]{24}$"))
        .examples(["1760000000000.5.k17m3q5v7n9p1r2t4w6y8z0a"])
        .into()
}

/// Entries of the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditAnswer {
    ok: True,
    entries: Vec<EntryItem>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = cursor_schema, required = false)]
    next_cursor: Option<String>,
}

/// One action.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntryItem {
    /// In Unix milliseconds.
    at: i64,
    /// Who: an account's e-mail address, or `cli:` and a system user.
    #[schema(example = "root@example.com")]
    actor: String,
    /// By which API key; absent where it was a page, a token or the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "k17m3q5v7n9p")]
    key_id: Option<String>,
    /// From which address, where a program asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "203.0.113.7")]
    source: Option<String>,
    /// What. More may be added.
    #[schema(example = "account.credit")]
    action: String,
    /// On what.
    #[schema(example = "ann@example.com")]
    subject: String,
    /// More of it; what it holds depends on the action.
    #[schema(schema_with = detail_schema)]
    detail: Value,
}

fn detail_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::SchemaType::AnyValue)
        .into()
}

impl From<Entry> for EntryItem {
    fn from(entry: Entry) -> Self {
        Self {
            at: entry.at.0,
            actor: entry.actor,
            key_id: entry.key.map(String::from),
            source: entry.source,
            action: entry.action,
            subject: entry.subject,
            detail: serde_json::from_str(&entry.detail).unwrap_or(Value::String(entry.detail)),
        }
    }
}

impl Endpoint for SeeAudit {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/audit";
    const NAME: &'static str = "adminAudit";
    type Caller = OperatorReader;
    type Answer = AuditAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<AuditAnswer, ApiError> {
        let search = Search {
            text: self.search,
            action: self.action,
            after: self.cursor,
            limit: self.limit.unwrap_or(wire::USUAL_LIMIT),
        };
        let (found, has_more) = entries(&context.app.shop, search).await?;
        let place = |entry: &Entry| {
            let Place { at, number, id } = &entry.place;
            format!("{}.{number}.{id}", at.0)
        };
        Ok(AuditAnswer {
            ok: True,
            next_cursor: found.last().filter(|_| has_more).map(place),
            entries: found.into_iter().map(EntryItem::from).collect(),
        })
    }
}
