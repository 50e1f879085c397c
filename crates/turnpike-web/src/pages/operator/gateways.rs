//! `/operator/gateways`: the machines that serve the ports.

use askama::Template;
use http::StatusCode;
use turnpike_shop::overview::{Gateway, gateways};
use turnpike_shop::types::UnixMillis;

use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::frame::{Frame, Place};
use crate::pages::sizes::bytes;
use crate::pages::texts::{operator_texts, texts};
use crate::pages::visitor::Operator;
use crate::pages::when::span;

#[derive(Template)]
#[template(path = "operator/gateways.html")]
struct GatewaysPage {
    frame: Frame,
    gateways: Vec<Way>,
}

/// A gateway.
pub(super) struct Way {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) version: String,
    pub(super) ports: String,
    pub(super) taken: i64,
    pub(super) size: i64,
    pub(super) exits: i64,
    pub(super) tunnels: i64,
    pub(super) moved: String,
    pub(super) applied: i64,
    /// How many revisions it has still to apply.
    pub(super) behind: i64,
    pub(super) is_silent: bool,
    /// How long ago it last told that it lives.
    pub(super) seen: String,
}

impl Way {
    pub(super) fn of(gateway: &Gateway, now: UnixMillis) -> Self {
        Self {
            name: gateway.name.clone(),
            host: gateway.public_host.clone(),
            version: gateway.version.clone().unwrap_or_else(|| texts().not_known.to_owned()),
            ports: format!("{}–{}", gateway.first_port, gateway.last_port),
            taken: gateway.ports_taken,
            size: gateway.last_port - gateway.first_port + 1,
            exits: gateway.exits,
            tunnels: gateway.tunnels,
            moved: bytes(gateway.moved),
            applied: gateway.applied_revision,
            behind: gateway.revision.saturating_sub(gateway.applied_revision),
            is_silent: gateway.is_silent(now),
            seen: format!("{} {}", span(now.since(gateway.seen_at)), operator_texts().ago),
        }
    }
}

/// `GET /operator/gateways`
pub(crate) async fn list(_: Operator, desk: Desk) -> Outcome {
    let now = desk.app.shop.now();
    let found = gateways(&desk.app.shop).await?;
    let page = GatewaysPage {
        frame: desk.frame(Place::Gateways, operator_texts().gateways).await?,
        gateways: found.iter().map(|gateway| Way::of(gateway, now)).collect(),
    };
    Ok(html(StatusCode::OK, &page))
}
