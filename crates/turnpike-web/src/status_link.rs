//! `/status/{token}`: how a subscription stands, for whoever holds the link. It changes nothing and shows no credentials.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode};
use serde::Serialize;
use turnpike_shop::rotation::{self, ExitStatus, Status};
use utoipa::ToSchema;

use crate::api::wire;
use crate::app::{App, note};
use crate::error::{ApiError, settle};
use crate::limit::Source;
use crate::link;
use crate::response::{self, True};
use crate::visit::Visit;

/// How a subscription stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusAnswer {
    ok: True,
    #[schema(schema_with = status_schema)]
    status: &'static str,
    /// When it ends or ended, in Unix milliseconds.
    ends_at: i64,
    /// Whether its exit gets out; null once it has ended, as all that follows.
    #[schema(value_type = Option<String>, required)]
    exit: Option<&'static str>,
    /// The exit's address now; null where it is not known.
    #[schema(value_type = Option<String>, required)]
    ip: Option<IpAddr>,
    /// The address before the last rotation; null where it is not known.
    #[schema(value_type = Option<String>, required)]
    previous_ip: Option<IpAddr>,
    /// When that was, in Unix milliseconds; null where it never was.
    #[schema(required)]
    rotated_at: Option<i64>,
    /// Whether a rotation is under way.
    rotating: bool,
    /// From when the exit may be rotated, now or later, in Unix milliseconds; null where it cannot be.
    #[schema(required)]
    next_allowed_at: Option<i64>,
}

fn status_schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    wire::words_schema(["active", "expired"])
}

impl From<Status> for StatusAnswer {
    fn from(status: Status) -> Self {
        let blank = Self {
            ok: True,
            status: status.state.as_str(),
            ends_at: status.ends_at.0,
            exit: None,
            ip: None,
            previous_ip: None,
            rotated_at: None,
            rotating: false,
            next_allowed_at: None,
        };
        let Some(ExitStatus {
            health,
            address,
            previous,
            rotated_at,
            is_rotating,
            next_allowed_at,
        }) = status.exit
        else {
            return blank;
        };
        Self {
            exit: Some(health.as_str()),
            ip: address,
            previous_ip: previous,
            rotated_at: rotated_at.map(|at| at.0),
            rotating: is_rotating,
            next_allowed_at: next_allowed_at.map(|at| at.0),
            ..blank
        }
    }
}

/// `GET` `/status/{token}`
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(visit): Extension<Arc<Visit>>,
    token: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (head, _) = request.into_parts();
    let work = handle(&app, &visit, token.ok(), &head);
    let outcome = app.in_time(app.config.request_deadline, work).await;
    settle(outcome, &visit)
}

async fn handle(app: &App, visit: &Visit, token: Option<Path<String>>, head: &Parts) -> Result<Response, ApiError> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(ApiError::Method { allow: "GET, HEAD" });
    }
    note(visit, app.limits.link.check(&Source::from(visit.source)))?;
    let as_text = link::wants_text(&head.uri)?;
    let token = link::token(token)?;
    let status = rotation::status(&app.shop, &token, visit.source)
        .await
        .map_err(link::of_link)?;
    let answer = StatusAnswer::from(status);
    if as_text {
        Ok(link::address_as_text(answer.ip))
    } else {
        Ok(response::json(StatusCode::OK, &answer))
    }
}
