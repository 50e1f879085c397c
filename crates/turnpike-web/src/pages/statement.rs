//! `/statement`: every line of the customer's ledger, with the balance after it.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use turnpike_shop::ledger::{self, NumberedLine};

use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::texts::texts;
use super::trouble::Trouble;
use super::visitor::Customer;
use super::when::{machine, moment};
use crate::error::ApiError;
use crate::sub::spreadsheet_safe;

/// Lines of a page.
const LINES: i64 = 50;
/// Lines that are read at once for the file.
const BATCH: i64 = 5_000;

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
    pub(crate) note: String,
    pub(crate) amount: String,
    pub(crate) is_credit: bool,
    pub(crate) balance: String,
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

/// `GET /statement.csv`
pub(crate) async fn file(customer: Customer, desk: Desk) -> Outcome {
    let failed = |error: csv::Error| {
        Trouble::Failed(ApiError::Shop(turnpike_shop::Error::Failed(format!(
            "writing a statement: {error}"
        ))))
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["number", "time", "kind", "amount", "balance", "note"])
        .map_err(failed)?;
    let mut below = None;
    loop {
        let lines = ledger::lines(&desk.app.shop, customer.account(), below, BATCH).await?;
        for NumberedLine { number, line } in &lines {
            writer
                .write_record([
                    number.to_string(),
                    machine(line.at),
                    line.kind.clone(),
                    line.amount.to_string(),
                    line.balance.to_string(),
                    spreadsheet_safe(&line.note),
                ])
                .map_err(failed)?;
        }
        match lines.last() {
            Some(last) if lines.len() == usize::try_from(BATCH).unwrap_or(usize::MAX) => below = Some(last.number),
            _ => break,
        }
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    let mut answer = Response::new(Body::from(bytes));
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
