//! `/operator/exits`: every way out, found and paged.

use askama::Template;
use http::StatusCode;
use turnpike_shop::exits::{self, ExitSearch, ExitView, NetworkView};
use turnpike_shop::types::{ExitId, ExitStanding, Health};

use super::path_of;
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::found::told;
use crate::pages::frame::{Frame, Place};
use crate::pages::plans::line;
use crate::pages::sizes::bytes;
use crate::pages::texts::{operator_texts, texts};
use crate::pages::visitor::Operator;
use crate::pages::when::moment;

/// Rows of a page.
const ROWS: i64 = 50;

#[derive(Template)]
#[template(path = "operator/exits.html")]
struct ExitsPage {
    frame: Frame,
    /// How many rows these are, in words.
    told: String,
    /// How each network stands; on the first page only.
    networks: Vec<NetworkRow>,
    rows: Vec<Row>,
    text: String,
    health: &'static str,
    standing: &'static str,
    /// Where the next page begins.
    next: Option<String>,
    /// Whether this is not the first page.
    is_later: bool,
}

/// A network.
struct NetworkRow {
    code: String,
    /// For the search of its exits.
    query: String,
    place: String,
    line: &'static str,
    up: i64,
    down: i64,
    untried: i64,
    held_back: i64,
    taken: i64,
    free: i64,
    is_sold: bool,
    tunnels: i64,
}

impl NetworkRow {
    fn of(network: NetworkView) -> Self {
        Self {
            query: url::form_urlencoded::Serializer::new(String::new())
                .append_pair("q", &network.code)
                .finish(),
            code: network.code,
            place: format!("{}, {}", network.city, network.country),
            line: line(network.network_type),
            up: network.up,
            down: network.down,
            untried: network.untried,
            held_back: network.held_back,
            taken: network.taken,
            free: network.free,
            is_sold: network.is_sold,
            tunnels: network.tunnels,
        }
    }
}

/// An exit as a list and its own page show it.
pub(super) struct Row {
    pub(super) path: String,
    pub(super) network: String,
    pub(super) name: String,
    pub(super) gateway: String,
    pub(super) health: Badge,
    pub(super) detail: String,
    pub(super) health_since: String,
    pub(super) standing: Badge,
    pub(super) is_open: bool,
    pub(super) is_in_catalogue: bool,
    pub(super) address: String,
    pub(super) rotated: String,
    pub(super) taken: i64,
    pub(super) capacity: i64,
    /// The e-mail address of whoever has it, and the path of his page; of several the one whose subscription ends first.
    pub(super) holder: Option<(String, String)>,
    /// How many others have it.
    pub(super) others: i64,
    pub(super) tunnels: i64,
    pub(super) moved: String,
}

/// A word with its colour.
pub(super) struct Badge {
    pub(super) word: &'static str,
    /// The style sheet's.
    pub(super) kind: &'static str,
}

impl Row {
    pub(super) fn of(exit: &ExitView) -> Self {
        Self {
            path: path(&exit.id),
            network: exit.network_code.clone(),
            name: exit.name.clone(),
            gateway: exit.gateway.clone(),
            health: match exit.health {
                Health::Up => badge(texts().working, "good"),
                Health::Down => badge(texts().down, "bad"),
                Health::Unknown => badge(texts().untried, ""),
            },
            detail: exit.detail.clone().unwrap_or_default(),
            health_since: exit.health_since.map(moment).unwrap_or_default(),
            standing: standing(exit.standing),
            is_open: exit.standing == ExitStanding::Open,
            is_in_catalogue: exit.is_in_catalogue,
            address: exit
                .address
                .map_or_else(|| texts().not_known.to_owned(), |address| address.to_string()),
            rotated: exit
                .rotated_at
                .map_or_else(|| operator_texts().not_rotated.to_owned(), moment),
            taken: exit.taken,
            capacity: exit.capacity,
            holder: exit
                .first_holder
                .as_ref()
                .map(|(account, email)| (email.clone(), path_of(account))),
            others: exit.taken - 1,
            tunnels: exit.tunnels,
            moved: bytes(exit.moved),
        }
    }
}

pub(super) fn badge(word: &'static str, kind: &'static str) -> Badge {
    Badge { word, kind }
}

fn standing(standing: ExitStanding) -> Badge {
    match standing {
        ExitStanding::Open => badge(operator_texts().open, "good"),
        ExitStanding::Draining => badge(operator_texts().draining, "warn"),
        ExitStanding::Disabled => badge(operator_texts().disabled, "bad"),
    }
}

pub(super) fn path(exit: &ExitId) -> String {
    format!("/operator/exits/{exit}")
}

/// `GET /operator/exits`
pub(crate) async fn list(_: Operator, desk: Desk) -> Outcome {
    let fields = &desk.fields;
    let health: Option<Health> = fields.text("health").parse().ok();
    let standing: Option<ExitStanding> = fields.text("standing").parse().ok();
    // Neither a code nor a name has a slash.
    let after = fields.text("after").split_once('/');
    let after = after.map(|(code, name)| (code.to_owned(), name.replace('\0', "")));
    let is_later = after.is_some();
    let search = ExitSearch {
        text: fields.text("q").to_owned(),
        health,
        standing,
        after,
        limit: ROWS,
    };
    let networks = match is_later {
        true => Vec::new(),
        false => exits::networks(&desk.app.shop).await?,
    };
    let (found, has_more) = exits::list(&desk.app.shop, search).await?;
    let (health, standing) = (
        health.map_or("", Health::as_str),
        standing.map_or("", ExitStanding::as_str),
    );
    let next = found.last().filter(|_| has_more).map(|last| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("q", fields.text("q")), ("health", health), ("standing", standing)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("after", &format!("{}/{}", last.network_code, last.name));
        query.finish()
    });
    let page = ExitsPage {
        told: told(found.len(), has_more || is_later),
        frame: desk.frame(Place::Exits, operator_texts().exits).await?,
        networks: networks.into_iter().map(NetworkRow::of).collect(),
        rows: found.iter().map(Row::of).collect(),
        text: fields.text("q").to_owned(),
        health,
        standing,
        next,
        is_later,
    };
    Ok(html(StatusCode::OK, &page))
}
