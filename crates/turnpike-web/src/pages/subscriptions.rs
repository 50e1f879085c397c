//! `/subscriptions`: what the customer has, found and sorted, a page at a time.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use http::StatusCode;
use turnpike_shop::profile;
use turnpike_shop::search::{Cursor, Found, HeldNetwork, Order, Search, held_networks, search};
use turnpike_shop::types::{ConnectionType, NetworkId, NetworkType, SubscriptionState};

use super::desk::{Desk, Outcome, html};
use super::form::Fields;
use super::found::told;
use super::frame::{Frame, Place};
use super::plans::{Choice, kind, line};
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
    /// How many these are, in words.
    told: String,
    filter: Filter,
    held: Held,
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

/// What the list's form asks for, each by its word; a word that is none asks for nothing.
struct Filter {
    text: String,
    state: &'static str,
    network: String,
    connection_type: &'static str,
    line: &'static str,
    country: String,
    order: &'static str,
}

impl Filter {
    fn of(fields: &Fields) -> Self {
        Self {
            text: fields.text("q").to_owned(),
            state: match fields.text("state") {
                "active" => "active",
                "expired" => "expired",
                _ => "",
            },
            network: fields
                .text("network")
                .parse()
                .map_or_else(|_| String::new(), |network: NetworkId| network.to_string()),
            connection_type: fields.text("type").parse().map_or("", ConnectionType::as_str),
            line: fields.text("line").parse().map_or("", NetworkType::as_str),
            country: fields.text("country").replace('\0', ""),
            order: match fields.text("order") {
                "oldest" => "oldest",
                "end" => "end",
                "port" => "port",
                _ => "",
            },
        }
    }

    fn order(&self) -> Order {
        match self.order {
            "oldest" => Order::Oldest,
            "end" => Order::EndsFirst,
            "port" => Order::Port,
            _ => Order::Newest,
        }
    }

    fn search(&self, after: Option<Cursor>) -> Search {
        Search {
            text: self.text.clone(),
            state: self.state.parse().ok(),
            network: self.network.parse().ok(),
            connection_type: self.connection_type.parse().ok(),
            line: self.line.parse().ok(),
            country: self.country.clone(),
            after,
            ..Search::first(self.order(), ROWS)
        }
    }

    /// Whether it leaves anything out.
    fn is_narrow(&self) -> bool {
        [
            self.text.as_str(),
            self.state,
            &self.network,
            self.connection_type,
            self.line,
            &self.country,
        ]
        .iter()
        .any(|word| !word.is_empty())
    }

    /// The query of what follows this one.
    fn behind(&self, last: &Found) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("q", self.text.as_str()),
            ("state", self.state),
            ("network", &self.network),
            ("type", self.connection_type),
            ("line", self.line),
            ("country", &self.country),
            ("order", self.order),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        let cursor = last.cursor(self.order());
        query.append_pair("after", &format!("{}.{}", cursor.at, cursor.id));
        query.finish()
    }
}

/// What a list can be narrowed to: what the customer has something of.
struct Held {
    networks: Vec<Choice>,
    lines: Vec<Choice>,
    countries: Vec<Choice>,
}

impl Held {
    fn of(networks: &[HeldNetwork], filter: &Filter) -> Self {
        let choice = |value: &str, label: &str, chosen: &str| Choice {
            value: value.to_owned(),
            label: label.to_owned(),
            is_chosen: value == chosen,
        };
        let lines: BTreeMap<&str, NetworkType> = networks
            .iter()
            .map(|held| (held.network_type.as_str(), held.network_type))
            .collect();
        let countries: BTreeSet<&str> = networks.iter().map(|held| held.country.as_str()).collect();
        Self {
            networks: networks
                .iter()
                .map(|held| {
                    choice(
                        held.id.as_str(),
                        &network_label(&held.code, &held.city),
                        &filter.network,
                    )
                })
                .collect(),
            lines: lines
                .iter()
                .map(|(word, network_type)| choice(word, line(*network_type), filter.line))
                .collect(),
            countries: countries
                .iter()
                .map(|country| choice(country, country, &filter.country))
                .collect(),
        }
    }
}

/// `GET /subscriptions`
pub(crate) async fn list(customer: Customer, desk: Desk) -> Outcome {
    let filter = Filter::of(&desk.fields);
    let after = cursor(desk.fields.text("after"));
    let is_later = after.is_some();
    let (found, has_more) = search(&desk.app.shop, customer.account(), filter.search(after)).await?;
    let held = held_networks(&desk.app.shop, customer.account()).await?;
    let token = profile::account_token(&desk.app.shop, customer.account()).await?;
    let page = SubscriptionsPage {
        frame: desk.frame(Place::Subscriptions, texts().subscriptions).await?,
        rows: found.iter().map(|one| Line::of(one, &desk)).collect(),
        told: match found.is_empty() && !is_later && !filter.is_narrow() {
            true => String::new(),
            false => told(found.len(), has_more || is_later),
        },
        next: found.last().filter(|_| has_more).map(|last| filter.behind(last)),
        is_later,
        is_filtered: filter.is_narrow(),
        held: Held::of(&held, &filter),
        filter,
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
