//! `/api/admin/trials`: who tried what, and what may be abuse.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::trials::{TrialUse, trials};
use utoipa::ToSchema;

use crate::api::v1::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::OperatorReader;
use crate::response::True;

/// The trials of the last 30 days, the newest first, a page at a time.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ListTrials {
    /// At most so many; 50 where nothing is said.
    #[serde(default, deserialize_with = "wire::limit")]
    #[schema(minimum = 1, maximum = 100, required = false)]
    limit: Option<i64>,
    /// The `nextCursor` of the page before.
    #[serde(default, deserialize_with = "wire::number_cursor")]
    #[schema(schema_with = wire::number_cursor_schema, required = false)]
    cursor: Option<i64>,
}

/// Trials.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrialsAnswer {
    ok: True,
    /// How many there are in all.
    given: usize,
    /// How many of their accounts have bought anything since.
    bought: usize,
    /// API keys that may give trials now.
    keys: i64,
    trials: Vec<TrialItem>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = wire::number_cursor_schema, required = false)]
    next_cursor: Option<String>,
}

/// A trial that was given.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrialItem {
    #[schema(schema_with = wire::id_schema)]
    account_id: String,
    email: String,
    #[schema(example = "NL-AMS")]
    network: String,
    /// In Unix milliseconds.
    used_at: i64,
    /// When this account may try this network again.
    next_at: i64,
    /// Whether it has bought anything since.
    has_bought: bool,
    /// Other accounts with trials that browsers or API keys have used from an address that it was used from, within 30 days.
    same_source: usize,
    /// Other accounts with trials of its mail domain.
    same_domain: usize,
}

impl From<TrialUse> for TrialItem {
    fn from(one: TrialUse) -> Self {
        Self {
            account_id: one.account.into(),
            email: one.email,
            network: one.network_code,
            used_at: one.used_at.0,
            next_at: one.next_at.0,
            has_bought: one.has_bought,
            same_source: one.same_source,
            same_domain: one.same_domain,
        }
    }
}

impl Endpoint for ListTrials {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/trials";
    const NAME: &'static str = "adminTrials";
    type Caller = OperatorReader;
    type Answer = TrialsAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<TrialsAnswer, ApiError> {
        let skip = usize::try_from(self.cursor.unwrap_or(0)).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.limit.unwrap_or(wire::USUAL_LIMIT)).unwrap_or(0);
        let found = trials(&context.app.shop, skip, limit).await?;
        let next = skip.saturating_add(limit);
        Ok(TrialsAnswer {
            ok: True,
            given: found.given,
            bought: found.bought,
            keys: found.keys,
            trials: found.uses.into_iter().map(TrialItem::from).collect(),
            next_cursor: (next < found.given).then(|| next.to_string()),
        })
    }
}
