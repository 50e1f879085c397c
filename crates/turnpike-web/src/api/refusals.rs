//! `op=refusals`: what a port has refused lately.

use serde::{Deserialize, Serialize};
use turnpike_shop::refusals::{Refusal, refusals};
use turnpike_shop::types::SubscriptionId;
use utoipa::ToSchema;

use super::{Context, Operation, Verb, wire};
use crate::error::ApiError;
use crate::principal::Reader;
use crate::response::True;

/// What the port of a subscription has refused within the last week: who, when, and how to mend it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refusals {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
}

/// At most 20 refusals, the newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct RefusalsAnswer {
    ok: True,
    refusals: Vec<RefusalItem>,
}

/// One refusal, or the same several times.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefusalItem {
    /// When it happened last, in Unix milliseconds.
    last_at: i64,
    /// When it happened first, in Unix milliseconds.
    first_at: i64,
    /// How often since then.
    #[schema(minimum = 1)]
    times: i64,
    /// The client's address. That of a datagram may be made up.
    #[schema(example = "203.0.113.7")]
    source: String,
    /// What the client spoke, as far as could be told: `http`, `socks4`, `socks5`, `vless`, `shadowsocks`, `tls` or `unknown`.
    #[schema(example = "shadowsocks")]
    protocol: String,
    /// Why, in a word that does not change. More may be added.
    #[schema(example = "clock")]
    code: String,
    /// Why, and how to mend it.
    #[schema(
        example = "the client's clock is 95 s behind: set it right (by network time); Shadowsocks 2022 bears 30 s"
    )]
    reason: String,
}

impl From<Refusal> for RefusalItem {
    fn from(refusal: Refusal) -> Self {
        Self {
            last_at: refusal.last_at.0,
            first_at: refusal.first_at.0,
            times: refusal.times,
            source: refusal.source,
            protocol: refusal.protocol,
            code: refusal.code,
            reason: refusal.reason,
        }
    }
}

impl Operation for Refusals {
    const VERB: Verb = Verb::Get;
    const MOVES_MONEY: bool = false;
    type Caller = Reader;
    type Answer = RefusalsAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<RefusalsAnswer, ApiError> {
        let found = refusals(&context.app.shop, reader.account(), &self.subscription_id).await?;
        Ok(RefusalsAnswer {
            ok: True,
            refusals: found.into_iter().map(RefusalItem::from).collect(),
        })
    }
}
