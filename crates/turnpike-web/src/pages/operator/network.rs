//! `/operator/networks/{network}`: all exits of a network drained, disabled or opened at once.

use askama::Template;
use http::StatusCode;
use turnpike_shop::exits::{self, NetworkStanding};
use turnpike_shop::types::ExitStanding;
use turnpike_shop::{Error as ShopError, Refusal};

use super::exit::wanted;
use crate::api::wait_applied;
use crate::error::ApiError;
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::frame::{Frame, Place};
use crate::pages::texts::{Notice, operator_texts};
use crate::pages::trouble::Trouble;
use crate::pages::visitor::{ConfirmedOperator, Operator};

#[derive(Template)]
#[template(path = "operator/network.html")]
struct NetworkPage {
    frame: Frame,
    network: NetworkStanding,
}

/// The network that the path names; an unknown one leads nowhere.
async fn named(desk: &Desk) -> Result<NetworkStanding, Trouble> {
    exits::network(&desk.app.shop, desk.part("network"))
        .await
        .map_err(nowhere)
}

fn nowhere(error: ShopError) -> Trouble {
    match error {
        ShopError::Refused(Refusal::NoSuchNetwork(_)) => Trouble::Failed(ApiError::NoSuchPath),
        other => other.into(),
    }
}

fn path(code: &str) -> String {
    format!("/operator/networks/{code}")
}

/// `GET /operator/networks/{network}`
pub(crate) async fn show(_: Operator, desk: Desk) -> Outcome {
    let network = named(&desk).await?;
    let page = NetworkPage {
        frame: desk.frame(Place::Exits, &network.code).await?,
        network,
    };
    Ok(html(StatusCode::OK, &page))
}

#[derive(Template)]
#[template(path = "operator/network_standing.html")]
struct StandingPage {
    frame: Frame,
    network: NetworkStanding,
    heading: &'static str,
    lead: &'static str,
    to: &'static str,
    is_dangerous: bool,
    /// How many exits stand otherwise.
    changing: i64,
}

/// `GET /operator/networks/{network}/standing`
pub(crate) async fn standing_form(_: ConfirmedOperator, desk: Desk) -> Outcome {
    let to = wanted(&desk)?;
    let network = named(&desk).await?;
    let o = operator_texts();
    let (heading, lead, there) = match to {
        ExitStanding::Open => (o.open_all, o.open_all_lead, network.open),
        ExitStanding::Draining => (o.drain_all, o.drain_all_lead, network.draining),
        ExitStanding::Disabled => (o.disable_all, o.disable_all_lead, network.disabled),
    };
    let page = StandingPage {
        frame: desk.frame(Place::Exits, heading).await?,
        heading,
        lead,
        to: to.as_str(),
        is_dangerous: to != ExitStanding::Open,
        changing: network.open + network.draining + network.disabled - there,
        network,
    };
    Ok(html(StatusCode::OK, &page))
}

/// `POST /operator/networks/{network}/standing`
pub(crate) async fn set_standing(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    let (to, code) = (wanted(&desk)?, desk.part("network"));
    let changed = exits::set_network_standing(&desk.app.shop, operator.actor(), code, to)
        .await
        .map_err(nowhere)?;
    let told = changed.gateways.iter();
    wait_applied(
        &desk.app,
        &desk.visit,
        told.map(|one| (one.gateway.as_str(), one.revision)),
    )
    .await;
    let notice = match to {
        ExitStanding::Open => Notice::NetworkOpen,
        ExitStanding::Draining => Notice::NetworkDraining,
        ExitStanding::Disabled => Notice::NetworkDisabled,
    };
    Ok(desk.done(&path(code), notice))
}
