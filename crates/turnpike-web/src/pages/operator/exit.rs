//! `/operator/exits/{exit}`: one exit, who has it, and what can be done with it.

use askama::Template;
use http::StatusCode;
use turnpike_shop::catalogue::{ExitSpec, ExitWay, RotateMethod};
use turnpike_shop::exits::{self, CheckState, ExitCheck, Holder, PastRotation, WholeExit};
use turnpike_shop::types::{ExitId, ExitStanding};
use turnpike_shop::{Error as ShopError, Refusal, rotation};

use super::exits::{Badge, Row, badge, path};
use super::path_of;
use crate::api::wait_applied;
use crate::error::ApiError;
use crate::pages::desk::{Desk, Outcome, html, see_other};
use crate::pages::frame::{Frame, Place};
use crate::pages::texts::{Notice, operator_texts, texts};
use crate::pages::trouble::{Trouble, refused};
use crate::pages::visitor::{ConfirmedOperator, Operator};
use crate::pages::when::{moment, span};

#[derive(Template)]
#[template(path = "operator/exit.html")]
struct ExitPage {
    frame: Frame,
    row: Row,
    is_shared: bool,
    can_rotate: bool,
    is_disabled: bool,
    way: String,
    rotates_by: String,
    drain: String,
    check: Option<Check>,
    holders: Vec<Holding>,
    rotations: Vec<Past>,
    wrong: Option<String>,
}

/// The last test.
struct Check {
    state: Badge,
    at: String,
    took: Option<i64>,
    address: String,
    detail: String,
}

/// Somebody who has the exit.
struct Holding {
    email: String,
    account: String,
    port: i64,
    ends: String,
}

/// A rotation.
struct Past {
    at: String,
    by: &'static str,
    state: Badge,
    address: String,
    took: String,
    error: String,
}

impl Check {
    fn of(check: &ExitCheck) -> Self {
        Self {
            state: match check.state {
                CheckState::UnderWay => badge(operator_texts().test_waiting, ""),
                CheckState::Works => badge(operator_texts().test_works, "good"),
                CheckState::Fails | CheckState::NoAnswer => badge(operator_texts().test_fails, "bad"),
            },
            at: moment(check.requested_at),
            took: check.took.map(|took| took.0),
            address: check.address.map(|address| address.to_string()).unwrap_or_default(),
            detail: match check.state {
                CheckState::NoAnswer => operator_texts().test_no_answer.to_owned(),
                _ => check.detail.clone().unwrap_or_default(),
            },
        }
    }
}

impl Holding {
    fn of(holder: &Holder) -> Self {
        Self {
            email: holder.email.clone(),
            account: path_of(&holder.account),
            port: holder.port,
            ends: moment(holder.ends_at),
        }
    }
}

impl Past {
    fn of(rotation: &PastRotation) -> Self {
        Self {
            at: moment(rotation.requested_at),
            by: match rotation.reason.as_str() {
                "policy" => operator_texts().by_policy,
                "operator" => operator_texts().by_operator,
                _ => operator_texts().by_customer,
            },
            state: match rotation.state.as_str() {
                "done" => badge(operator_texts().done, "good"),
                "failed" => badge(operator_texts().failed, "bad"),
                "running" => badge(operator_texts().running, "warn"),
                _ => badge(operator_texts().queued, "warn"),
            },
            address: rotation.address.map(|address| address.to_string()).unwrap_or_default(),
            took: rotation.took.map(span).unwrap_or_default(),
            error: rotation.error.clone().unwrap_or_default(),
        }
    }
}

/// How an exit leaves, without credentials.
fn way(spec: &ExitSpec) -> String {
    match &spec.way {
        ExitWay::Addresses(pool) => {
            let pool: Vec<String> = pool.iter().map(ToString::to_string).collect();
            format!("{} {}", operator_texts().way_addresses, pool.join(", "))
        }
        ExitWay::Prefix(prefix) => format!("{} {prefix}", operator_texts().way_prefix),
        ExitWay::Interface(device) => format!("{} {device}", operator_texts().way_interface),
        ExitWay::Upstream(url) => format!("{} {}", operator_texts().way_upstream, spec_url(url)),
    }
}

/// How it rotates, without what may be a password.
fn rotates_by(spec: &ExitSpec) -> String {
    match &spec.rotate {
        Some(RotateMethod::Command(words)) => {
            format!(
                "{} {}",
                operator_texts().by_command,
                words.first().map_or("", String::as_str)
            )
        }
        Some(RotateMethod::Http(url)) => format!("{} {}", operator_texts().by_http, spec_url(url)),
        None if spec.can_rotate() => operator_texts().by_pool.to_owned(),
        None => operator_texts().by_nothing.to_owned(),
    }
}

fn spec_url(url: &str) -> String {
    turnpike_shop::catalogue::without_credentials(url)
}

/// The exit that the path names; an unknown one leads nowhere.
async fn named(desk: &Desk) -> Result<WholeExit, Trouble> {
    let id: ExitId = desk.id("exit")?;
    exits::show(&desk.app.shop, &id).await.map_err(nowhere)
}

fn nowhere(error: ShopError) -> Trouble {
    match error {
        ShopError::Refused(Refusal::UnknownExit) => Trouble::Failed(ApiError::NoSuchPath),
        other => other.into(),
    }
}

/// `GET /operator/exits/{exit}`
pub(crate) async fn show(_: Operator, desk: Desk) -> Outcome {
    shown(&desk, StatusCode::OK, None).await
}

async fn shown(desk: &Desk, status: StatusCode, wrong: Option<String>) -> Outcome {
    let whole = named(desk).await?;
    let page = ExitPage {
        frame: desk.frame(Place::Exits, &whole.exit.name).await?,
        row: Row::of(&whole.exit),
        is_shared: whole.exit.is_shared,
        can_rotate: whole.exit.can_rotate,
        is_disabled: whole.exit.standing == ExitStanding::Disabled,
        way: way(&whole.spec),
        rotates_by: rotates_by(&whole.spec),
        drain: format!("{} {}", whole.spec.drain_seconds, texts().seconds),
        check: whole.check.as_ref().map(Check::of),
        holders: whole.holders.iter().map(Holding::of).collect(),
        rotations: whole.rotations.iter().map(Past::of).collect(),
        wrong,
    };
    Ok(html(status, &page))
}

/// `POST /operator/exits/{exit}/rotate`
pub(crate) async fn rotate(operator: Operator, desk: Desk) -> Outcome {
    let (shop, exit): (_, ExitId) = (&desk.app.shop, desk.id("exit")?);
    let rotated = match rotation::request_by_operator(shop, operator.actor(), &exit).await {
        Ok(queued) => rotation::wait(shop, &queued).await,
        Err(ShopError::Refused(Refusal::UnknownExit)) => return Err(Trouble::Failed(ApiError::NoSuchPath)),
        Err(error) => Err(error),
    };
    match rotated {
        Ok(_) => Ok(desk.done(&path(&exit), Notice::Rotated)),
        Err(error) => {
            let (status, sentence) = refused(error, &desk)?;
            shown(&desk, status, Some(sentence)).await
        }
    }
}

/// `POST /operator/exits/{exit}/test`
pub(crate) async fn test(operator: Operator, desk: Desk) -> Outcome {
    let (shop, exit): (_, ExitId) = (&desk.app.shop, desk.id("exit")?);
    let number = exits::ask_check(shop, operator.actor(), &exit).await.map_err(nowhere)?;
    exits::wait_check(shop, &exit, number).await?;
    Ok(see_other(&format!("{}#test-heading", path(&exit))))
}

#[derive(Template)]
#[template(path = "operator/standing.html")]
struct StandingPage {
    frame: Frame,
    row: Row,
    heading: &'static str,
    lead: &'static str,
    to: &'static str,
    is_dangerous: bool,
    holders: i64,
}

/// What the form or its link asks for.
pub(super) fn wanted(desk: &Desk) -> Result<ExitStanding, Trouble> {
    desk.fields.text("to").parse().map_err(|_| {
        Trouble::Failed(ApiError::Field {
            field: "to".to_owned(),
            rule: operator_texts().rule_exit_standing.to_owned(),
        })
    })
}

/// `GET /operator/exits/{exit}/standing`
pub(crate) async fn standing_form(_: ConfirmedOperator, desk: Desk) -> Outcome {
    let to = wanted(&desk)?;
    let whole = named(&desk).await?;
    let (heading, lead) = match to {
        ExitStanding::Open => (operator_texts().open_it, operator_texts().open_lead),
        ExitStanding::Draining => (operator_texts().drain_it, operator_texts().drain_lead),
        ExitStanding::Disabled => (operator_texts().disable_it, operator_texts().disable_lead),
    };
    let page = StandingPage {
        frame: desk.frame(Place::Exits, heading).await?,
        row: Row::of(&whole.exit),
        heading,
        lead,
        to: to.as_str(),
        is_dangerous: to != ExitStanding::Open,
        holders: whole.exit.taken,
    };
    Ok(html(StatusCode::OK, &page))
}

/// `POST /operator/exits/{exit}/standing`
pub(crate) async fn set_standing(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    let (to, exit): (_, ExitId) = (wanted(&desk)?, desk.id("exit")?);
    let changed = exits::set_standing(&desk.app.shop, operator.actor(), &exit, to)
        .await
        .map_err(nowhere)?;
    wait_applied(&desk.app, &desk.visit, [(changed.gateway.as_str(), changed.revision)]).await;
    let notice = match to {
        ExitStanding::Open => Notice::ExitOpen,
        ExitStanding::Draining => Notice::ExitDraining,
        ExitStanding::Disabled => Notice::ExitDisabled,
    };
    Ok(desk.done(&path(&exit), notice))
}
