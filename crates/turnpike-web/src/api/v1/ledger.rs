//! `/api/v1/ledger`: the statement.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::ledger::{self, Given, NumberedLine, Ordered};
use turnpike_shop::types::AccountId;
use utoipa::ToSchema;

use super::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::Reader;
use crate::response::True;

/// Every change of your balance, the newest first, a page at a time.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SeeLedger {
    /// At most so many lines; 50 where nothing is said.
    #[serde(default, deserialize_with = "wire::limit")]
    #[schema(minimum = 1, maximum = 100, required = false)]
    limit: Option<i64>,
    /// The `nextCursor` of the page before.
    #[serde(default, deserialize_with = "wire::number_cursor")]
    #[schema(schema_with = wire::number_cursor_schema, required = false)]
    cursor: Option<i64>,
}

/// Lines of a statement.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LedgerAnswer {
    ok: True,
    lines: Vec<LedgerLine>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = wire::number_cursor_schema, required = false)]
    next_cursor: Option<String>,
}

/// One change of the balance.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LedgerLine {
    /// Counts the account's lines from 1.
    #[schema(minimum = 1)]
    number: i64,
    /// When, in Unix milliseconds.
    at: i64,
    /// `credit`, `debit`, `purchase`, `renewal`, `trial` or `refund`. More may be added.
    #[schema(example = "purchase")]
    kind: String,
    /// In cents; positive where the account got it.
    amount_cents: i64,
    /// The balance after it, in cents.
    balance_cents: i64,
    /// The operator's words on it; often empty.
    note: String,
    /// What it paid for, or gave the price back of; absent where an operator booked it by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    order: Option<LedgerOrder>,
}

/// The order that a line of the ledger belongs to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LedgerOrder {
    /// The order's id.
    order_id: String,
    /// The plan's code.
    #[schema(example = "nl-ams-private-30d")]
    plan: String,
    /// What it gave time to, by port.
    subscriptions: Vec<LedgerSubscription>,
}

/// A subscription that an order gave time to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LedgerSubscription {
    /// The subscription's id.
    subscription_id: String,
    /// The port that it has, or had last.
    port: i64,
    /// Whether it still holds that port; where it does not, its id leads nowhere any more.
    is_held: bool,
}

impl From<Ordered> for LedgerOrder {
    fn from(order: Ordered) -> Self {
        let subscription = |one: Given| LedgerSubscription {
            subscription_id: one.id.to_string(),
            port: one.port,
            is_held: one.is_held,
        };
        Self {
            order_id: order.id.to_string(),
            plan: order.plan,
            subscriptions: order.subscriptions.into_iter().map(subscription).collect(),
        }
    }
}

impl From<NumberedLine> for LedgerLine {
    fn from(NumberedLine { number, line, order }: NumberedLine) -> Self {
        Self {
            number,
            at: line.at.0,
            kind: line.kind,
            amount_cents: line.amount.0,
            balance_cents: line.balance.0,
            note: line.note,
            order: order.map(LedgerOrder::from),
        }
    }
}

impl Endpoint for SeeLedger {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/v1/ledger";
    const NAME: &'static str = "ledger";
    type Caller = Reader;
    type Answer = LedgerAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<LedgerAnswer, ApiError> {
        page(context, reader.account(), self.limit, self.cursor).await
    }
}

/// A page of an account's statement.
pub(in crate::api) async fn page(
    context: &Context<'_>,
    account: &AccountId,
    limit: Option<i64>,
    cursor: Option<i64>,
) -> Result<LedgerAnswer, ApiError> {
    let limit = limit.unwrap_or(wire::USUAL_LIMIT);
    // One more than asked for tells whether there are more.
    let lines = ledger::lines(&context.app.shop, account, cursor, limit + 1).await?;
    let (lines, next_cursor) = wire::page(lines, limit, |last| last.number.to_string());
    Ok(LedgerAnswer {
        ok: True,
        lines: lines.into_iter().map(LedgerLine::from).collect(),
        next_cursor,
    })
}
