//! `/subscriptions`: what the customer has, found and sorted, a page at a time.

use askama::Template;
use http::StatusCode;
use turnpike_shop::profile;
use turnpike_shop::search::{Cursor, Found, Order, Search, held_networks, search};
use turnpike_shop::types::{NetworkId, SubscriptionState};

use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::plans::{Choice, kind};
use super::profile::Profile;
use super::texts::{Notice, texts};
use super::visitor::{Confirmed, Customer};
use super::when::{moment, span};
use crate::api::subscription::network_label;

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
    /// Those that the customer has something in.
    networks: Vec<Choice>,
    /// From where programs load all of them.
    profile: Profile,
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
    pub(crate) renews_itself: bool,
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
            renews_itself: is_active && found.renews_itself,
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
    let network = fields.text("network").parse::<NetworkId>().ok();
    let network_word = network.as_ref().map_or("", |_| fields.text("network"));
    let after = cursor(fields.text("after"));
    let is_later = after.is_some();
    let asked = Search {
        text: fields.text("q").to_owned(),
        state,
        network,
        order,
        after,
        limit: ROWS,
    };
    let (found, has_more) = search(&desk.app.shop, customer.account(), asked).await?;
    let next = found.last().filter(|_| has_more).map(|last| {
        let cursor = last.cursor(order);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("q", fields.text("q")),
            ("state", state_word),
            ("network", network_word),
            ("order", order_word),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("after", &format!("{}.{}", cursor.at, cursor.id));
        query.finish()
    });
    let networks = held_networks(&desk.app.shop, customer.account())
        .await?
        .into_iter()
        .map(|held| Choice {
            is_chosen: held.id.as_str() == network_word,
            value: held.id.to_string(),
            label: network_label(&held.code, &held.city),
        })
        .collect();
    let token = profile::account_token(&desk.app.shop, customer.account()).await?;
    let page = SubscriptionsPage {
        frame: desk.frame(Place::Subscriptions, texts().subscriptions).await?,
        rows: found.iter().map(|one| Line::of(one, &desk)).collect(),
        text: fields.text("q").to_owned(),
        state: state_word,
        order: order_word,
        next,
        is_later,
        is_filtered: !fields.text("q").is_empty() || state.is_some() || !network_word.is_empty(),
        networks,
        profile: Profile::new(&desk, &token, "/subscriptions/url".to_owned()),
    };
    Ok(html(StatusCode::OK, &page))
}

/// `POST /subscriptions/url`
pub(crate) async fn renew_url(customer: Confirmed, desk: Desk) -> Outcome {
    profile::renew_token(&desk.app.shop, customer.account(), None).await?;
    Ok(desk.done("/subscriptions", Notice::UrlRenewed))
}

/// What the link to the next page said; anything else begins at the beginning.
fn cursor(text: &str) -> Option<Cursor> {
    let (at, id) = text.split_once('.')?;
    Some(Cursor {
        at: at.parse().ok()?,
        id: id.parse().ok()?,
    })
}
