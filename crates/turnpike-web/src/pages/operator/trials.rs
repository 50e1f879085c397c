//! `/operator/trials`: who tried what, and what may be abuse.

use askama::Template;
use http::StatusCode;
use turnpike_shop::BETWEEN_TRIALS;
use turnpike_shop::catalogue::{self, Plan};
use turnpike_shop::trials::{TrialUse, trials};
use turnpike_shop::types::Span;

use super::catalogue::query;
use super::path_of;
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::frame::{Frame, Place};
use crate::pages::sizes::bytes;
use crate::pages::texts::operator_texts;
use crate::pages::visitor::Operator;
use crate::pages::when::{moment, span};

/// Rows of a page.
const ROWS: usize = 50;

#[derive(Template)]
#[template(path = "operator/trials.html")]
struct TrialsPage {
    frame: Frame,
    given: usize,
    bought: usize,
    /// How many days are between two trials of one account and network.
    days: i64,
    keys: i64,
    plans: Vec<Offer>,
    rows: Vec<Row>,
    /// How many are before the next page.
    next: Option<usize>,
    /// Whether this is not the first page.
    is_later: bool,
}

/// A plan that can be tried.
struct Offer {
    code: String,
    /// For a link.
    query: String,
    network: String,
    trial: String,
    traffic: String,
}

impl Offer {
    fn of(plan: &Plan) -> Option<Self> {
        let trial = plan.trial?;
        let traffic = plan.limits.traffic_of_trial(trial, plan.duration);
        Some(Self {
            query: query(&plan.code),
            code: plan.code.clone(),
            network: plan.network.clone(),
            trial: span(trial),
            traffic: traffic.map_or_else(|| operator_texts().unlimited.to_owned(), bytes),
        })
    }
}

struct Row {
    email: String,
    account: String,
    network: String,
    used: String,
    next: String,
    has_bought: bool,
    same_source: usize,
    same_domain: usize,
}

impl Row {
    fn of(one: TrialUse) -> Self {
        Self {
            account: path_of(&one.account),
            email: one.email,
            network: one.network_code,
            used: moment(one.used_at),
            next: moment(one.next_at),
            has_bought: one.has_bought,
            same_source: one.same_source,
            same_domain: one.same_domain,
        }
    }
}

/// `GET /operator/trials`
pub(crate) async fn list(_: Operator, desk: Desk) -> Outcome {
    let skip: usize = desk.fields.text("skip").parse().unwrap_or(0);
    let found = trials(&desk.app.shop, skip, ROWS).await?;
    let sold = catalogue::present(&desk.app.shop).await?.plans;
    let next = skip.saturating_add(ROWS);
    let page = TrialsPage {
        frame: desk.frame(Place::Trials, operator_texts().trials).await?,
        given: found.given,
        bought: found.bought,
        days: BETWEEN_TRIALS.0 / Span::days(1).0,
        keys: found.keys,
        plans: sold.iter().filter_map(Offer::of).collect(),
        rows: found.uses.into_iter().map(Row::of).collect(),
        next: (next < found.given).then_some(next),
        is_later: skip > 0,
    };
    Ok(html(StatusCode::OK, &page))
}
