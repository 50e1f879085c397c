//! `/subscriptions`: what the customer has, found and sorted, a page at a time.

use askama::Template;
use http::StatusCode;
use turnpike_shop::search::{Cursor, Found, Order, Search, search};
use turnpike_shop::types::SubscriptionState;

use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::plans::kind;
use super::texts::ENGLISH;
use super::visitor::Customer;
use super::when::{moment, span};

/// Rows of a page.
const ROWS: i64 = 50;

#[derive(Template)]
#[template(path = "subscriptions.html")]
struct SubscriptionsPage {
    frame: Frame,
    rows: Vec<Line>,
    text: String,
    state: &'static str,
    order: &'static str,
    /// Where the next page begins.
    next: Option<String>,
    /// Whether this is not the first page.
    is_later: bool,
    is_filtered: bool,
}

/// A row.
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) port: i64,
    pub(crate) place: String,
    pub(crate) country: String,
    pub(crate) kind: &'static str,
    pub(crate) note: String,
    pub(crate) ends: String,
    /// How long it still runs.
    pub(crate) left: String,
    pub(crate) is_active: bool,
    /// Less than three days are left.
    pub(crate) is_ending: bool,
}

impl Line {
    pub(crate) fn of(found: &Found, desk: &Desk) -> Self {
        let left = found.ends_at.since(desk.app.shop.now());
        let is_active = found.state == SubscriptionState::Active;
        Self {
            id: found.id.to_string(),
            port: found.port,
            place: format!("{} {}", found.network_code, found.city),
            country: found.country.clone(),
            kind: kind(found.connection_type),
            note: found.user_note.clone(),
            ends: moment(found.ends_at),
            left: span(left),
            is_active,
            is_ending: is_active && left < ENDING,
        }
    }
}

/// How near an end is pointed out.
pub(crate) const ENDING: turnpike_shop::types::Span = turnpike_shop::types::Span::days(3);

/// `GET /subscriptions`
pub(crate) async fn list(customer: Customer, desk: Desk) -> Outcome {
    let fields = &desk.fields;
    let (state, state_word) = match fields.text("state") {
        "active" => (Some(SubscriptionState::Active), "active"),
        "expired" => (Some(SubscriptionState::Expired), "expired"),
        _ => (None, ""),
    };
    let (order, order_word) = match fields.text("order") {
        "end" => (Order::EndsFirst, "end"),
        _ => (Order::Newest, ""),
    };
    let after = cursor(fields.text("after"));
    let is_later = after.is_some();
    let asked = Search {
        text: fields.text("q").to_owned(),
        state,
        order,
        after,
        limit: ROWS,
    };
    let (found, has_more) = search(&desk.app.shop, customer.account(), asked).await?;
    let next = found.last().filter(|_| has_more).map(|last| {
        let cursor = last.cursor(order);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("q", fields.text("q")), ("state", state_word), ("order", order_word)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("after", &format!("{}.{}", cursor.at, cursor.id));
        query.finish()
    });
    let page = SubscriptionsPage {
        frame: desk.frame(Place::Subscriptions, ENGLISH.subscriptions).await?,
        rows: found.iter().map(|one| Line::of(one, &desk)).collect(),
        text: fields.text("q").to_owned(),
        state: state_word,
        order: order_word,
        next,
        is_later,
        is_filtered: !fields.text("q").is_empty() || state.is_some(),
    };
    Ok(html(StatusCode::OK, &page))
}

/// What the link to the next page said; anything else begins at the beginning.
fn cursor(text: &str) -> Option<Cursor> {
    let (at, id) = text.split_once('.')?;
    Some(Cursor {
        at: at.parse().ok()?,
        id: id.parse().ok()?,
    })
}
