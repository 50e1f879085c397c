//! `/operator`: how the shop stands.

use askama::Template;
use http::StatusCode;
use turnpike_shop::overview::{DownExit, Exits, Overview, Refused, Stock, StuckRotation, overview};
use turnpike_shop::types::UnixMillis;

use super::gateways::Way;
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::frame::{Frame, Place};
use crate::pages::plans::kind;
use crate::pages::sizes::bytes;
use crate::pages::texts::texts;
use crate::pages::visitor::Operator;
use crate::pages::when::{moment, span};

#[derive(Template)]
#[template(path = "operator/shop.html")]
struct ShopPage {
    frame: Frame,
    day: String,
    week: String,
    month: String,
    active: i64,
    customers: i64,
    failed_rotations: i64,
    refused: Vec<Refused>,
    down: Vec<Down>,
    stuck: Vec<Stuck>,
    behind: Vec<Way>,
    silent: Vec<Way>,
    stock: Vec<Shelf>,
    exits: Vec<Exits>,
    tunnels: i64,
    moved: String,
}

/// An exit that does not work.
struct Down {
    network: String,
    name: String,
    since: String,
    detail: String,
}

/// A rotation that does not end.
struct Stuck {
    network: String,
    exit: String,
    gateway: String,
    since: String,
    where_: &'static str,
}

/// What is free of a network and a connection type.
struct Shelf {
    code: String,
    place: String,
    kind: &'static str,
    free: i64,
    taken: i64,
    is_sold: bool,
}

/// `GET /operator`
pub(crate) async fn show(_: Operator, desk: Desk) -> Outcome {
    let now = desk.app.shop.now();
    let seen: Overview = overview(&desk.app.shop).await?;
    let ways = || seen.gateways.iter().map(|gateway| Way::of(gateway, now));
    let page = ShopPage {
        frame: desk.frame(Place::Shop, texts().shop).await?,
        day: seen.revenue.day.to_string(),
        week: seen.revenue.week.to_string(),
        month: seen.revenue.month.to_string(),
        active: seen.active_subscriptions,
        customers: seen.customers,
        failed_rotations: seen.failed_rotations,
        refused: seen.refused,
        down: seen.down.into_iter().map(Down::of).collect(),
        stuck: seen.stuck.into_iter().map(|one| Stuck::of(one, now)).collect(),
        tunnels: seen.gateways.iter().map(|gateway| gateway.tunnels).sum(),
        moved: bytes(seen.gateways.iter().map(|gateway| gateway.moved).sum()),
        silent: ways().filter(|way| way.is_silent).collect(),
        behind: ways().filter(|way| way.behind > 0 && !way.is_silent).collect(),
        stock: seen.stock.into_iter().map(Shelf::of).collect(),
        exits: seen.exits,
    };
    Ok(html(StatusCode::OK, &page))
}

impl Down {
    fn of(exit: DownExit) -> Self {
        Self {
            network: exit.network_code,
            name: exit.name,
            since: exit.since.map(moment).unwrap_or_default(),
            detail: exit.detail.unwrap_or_default(),
        }
    }
}

impl Stuck {
    fn of(rotation: StuckRotation, now: UnixMillis) -> Self {
        Self {
            network: rotation.network_code,
            exit: rotation.exit,
            gateway: rotation.gateway,
            since: span(now.since(rotation.requested_at)),
            where_: match rotation.is_running {
                true => texts().running,
                false => texts().waiting,
            },
        }
    }
}

impl Shelf {
    fn of(stock: Stock) -> Self {
        Self {
            place: format!("{}, {}", stock.city, stock.country),
            code: stock.network_code,
            kind: kind(stock.connection_type),
            free: stock.free,
            taken: stock.taken,
            is_sold: stock.is_sold,
        }
    }
}
