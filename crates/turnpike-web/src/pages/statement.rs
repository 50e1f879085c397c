//! `/statement`: every line of the customer's ledger, with the balance after it.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use turnpike_shop::Error;
use turnpike_shop::ledger::{self, Given, NumberedLine};
use turnpike_shop::types::AccountId;

use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::texts::texts;
use super::visitor::Customer;
use super::when::{machine, moment};
use crate::app::App;
use crate::sub::spreadsheet_safe;

/// Lines of a page.
const LINES: i64 = 50;
/// Lines that are read at once for the file.
const BATCH: i64 = 1_000;
/// So many ports of an order are named one by one.
const PORTS: usize = 3;

#[derive(Template)]
#[template(path = "statement.html")]
struct StatementPage {
    frame: Frame,
    lines: Vec<Line>,
    next: Option<i64>,
    is_later: bool,
}

/// A line as it is shown.
pub(crate) struct Line {
    pub(crate) at: String,
    pub(crate) what: &'static str,
    /// What was paid for; absent where an operator booked it by hand.
    pub(crate) order: Option<Ordered>,
    pub(crate) note: String,
    pub(crate) amount: String,
    pub(crate) is_credit: bool,
    pub(crate) balance: String,
}

/// What a line paid for.
pub(crate) struct Ordered {
    pub(crate) id: String,
    pub(crate) plan: String,
    pub(crate) ports: Vec<Port>,
    /// How many ports it gave time to beside those.
    pub(crate) more: usize,
}

/// A port of an order.
pub(crate) struct Port {
    pub(crate) number: i64,
    /// The subscription, where it still holds the port.
    pub(crate) subscription: Option<String>,
}

impl Ordered {
    fn of(order: &ledger::Ordered) -> Self {
        let port = |given: &Given| Port {
            number: given.port,
            subscription: given.is_held.then(|| given.id.to_string()),
        };
        Self {
            id: order.id.to_string(),
            plan: order.plan.clone(),
            ports: order.subscriptions.iter().take(PORTS).map(port).collect(),
            more: order.subscriptions.len().saturating_sub(PORTS),
        }
    }
}

/// `GET /statement`
pub(crate) async fn show(customer: Customer, desk: Desk) -> Outcome {
    let below = desk.fields.text("below").parse().ok();
    let mut lines = ledger::lines(&desk.app.shop, customer.account(), below, LINES + 1).await?;
    let has_more = lines.len() > usize::try_from(LINES).unwrap_or(usize::MAX);
    if has_more {
        lines.pop();
    }
    let page = StatementPage {
        frame: desk.frame(Place::Statement, texts().statement).await?,
        next: lines.last().filter(|_| has_more).map(|last| last.number),
        lines: lines.iter().map(line).collect(),
        is_later: below.is_some(),
    };
    Ok(html(StatusCode::OK, &page))
}

pub(crate) fn line(numbered: &NumberedLine) -> Line {
    let line = &numbered.line;
    Line {
        at: moment(line.at),
        what: what(&line.kind),
        order: numbered.order.as_ref().map(Ordered::of),
        note: line.note.clone(),
        amount: signed(line.amount.0, &line.amount.to_string()),
        is_credit: line.amount.0 > 0,
        balance: line.balance.to_string(),
    }
}

pub(crate) fn signed(cents: i64, amount: &str) -> String {
    if cents > 0 {
        format!("+{amount}")
    } else {
        amount.to_owned()
    }
}

pub(crate) fn what(kind: &str) -> &'static str {
    match kind {
        "credit" => texts().credit,
        "debit" => texts().debit,
        "purchase" => texts().purchase,
        "renewal" => texts().renewal,
        "trial" => texts().trial,
        "refund" => texts().refund,
        _ => texts().booking,
    }
}

/// `GET /statement.csv`: written while it is sent, so that no statement is too long for it.
pub(crate) async fn file(customer: Customer, desk: Desk) -> Outcome {
    let part = Part {
        app: Arc::clone(&desk.app),
        account: customer.account().clone(),
        next: Next::Beginning,
    };
    let parts = stream::try_unfold(part, async |mut part: Part| {
        Ok::<_, Error>(part.write().await?.map(|bytes| (bytes, part)))
    });
    let mut answer = Response::new(Body::from_stream(parts));
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/csv; charset=utf-8"),
    );
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"statement.csv\""),
    );
    Ok(answer)
}

/// The part of the file that is to be written next.
struct Part {
    app: Arc<App>,
    account: AccountId,
    next: Next,
}

enum Next {
    Beginning,
    /// The lines below this number.
    Below(i64),
    End,
}

impl Part {
    /// Writes it; absent where nothing is left.
    async fn write(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let below = match self.next {
            Next::Beginning => None,
            Next::Below(number) => Some(number),
            Next::End => return Ok(None),
        };
        let lines = ledger::lines(&self.app.shop, &self.account, below, BATCH).await?;
        let written =
            records(below.is_none(), &lines).map_err(|error| Error::Failed(format!("a statement: {error}")))?;
        self.next = match lines.last() {
            Some(last) if lines.len() == usize::try_from(BATCH).unwrap_or(usize::MAX) => Next::Below(last.number),
            _ => Next::End,
        };
        Ok(Some(written))
    }
}

fn records(is_first: bool, lines: &[NumberedLine]) -> csv::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if is_first {
        writer.write_record([
            "number", "time", "kind", "amount", "balance", "note", "order", "plan", "ports",
        ])?;
    }
    for NumberedLine { number, line, order } in lines {
        let ports = order.iter().flat_map(|order| &order.subscriptions);
        let ports: Vec<_> = ports.map(|given| given.port.to_string()).collect();
        writer.write_record([
            number.to_string(),
            machine(line.at),
            line.kind.clone(),
            line.amount.to_string(),
            line.balance.to_string(),
            spreadsheet_safe(&line.note),
            order.as_ref().map_or_else(String::new, |order| order.id.to_string()),
            order
                .as_ref()
                .map_or_else(String::new, |order| spreadsheet_safe(&order.plan)),
            ports.join(" "),
        ])?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}
