//! `/r/{token}`: rotates an exit for whoever holds the link, and tells the truth about it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::Serialize;
use turnpike_shop::rotation::{self, Outcome};
use turnpike_shop::{Error as ShopError, Refusal};
use utoipa::ToSchema;

use crate::app::{App, note};
use crate::error::{ApiError, settle};
use crate::limit::Source;
use crate::response::{self, True};
use crate::visit::Visit;

/// Longer than any token; what is longer is not looked up.
const MAX_TOKEN: usize = 128;

/// What a rotation came to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotateAnswer {
    ok: True,
    /// The exit's address now; null where it is not known yet.
    #[schema(value_type = Option<String>, required)]
    ip: Option<IpAddr>,
    /// The address before; null where it was not known.
    #[schema(value_type = Option<String>, required)]
    previous_ip: Option<IpAddr>,
    /// Whether they are known to differ.
    changed: bool,
    /// From the request to the new address, in milliseconds.
    took_ms: i64,
    /// When the exit may be rotated again, in Unix milliseconds.
    next_allowed_at: i64,
}

impl From<Outcome> for RotateAnswer {
    fn from(outcome: Outcome) -> Self {
        // An address that is not known may be the same one as before.
        let changed = matches!((outcome.previous, outcome.address), (Some(before), Some(now)) if before != now);
        Self {
            ok: True,
            ip: outcome.address,
            previous_ip: outcome.previous,
            changed,
            took_ms: outcome.took.0,
            next_allowed_at: outcome.next_allowed_at.0,
        }
    }
}

/// `GET` or `POST` `/r/{token}`
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    Extension(visit): Extension<Arc<Visit>>,
    token: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (head, _) = request.into_parts();
    let work = handle(&app, &visit, token.ok(), &head);
    let outcome = app.in_time(app.config.rotation_deadline, work).await;
    settle(outcome, &visit)
}

async fn handle(app: &App, visit: &Visit, token: Option<Path<String>>, head: &Parts) -> Result<Response, ApiError> {
    // HEAD is what link previews and checkers send: it must not rotate, so it is no method of this path.
    if head.method != Method::GET && head.method != Method::POST {
        return Err(ApiError::Method { allow: "GET, POST" });
    }
    note(visit, app.limits.link.check(&Source::from(visit.source)))?;
    if is_prefetch(&head.headers) {
        return Err(ApiError::Prefetch);
    }
    let as_text = wants_text(&head.uri)?;
    let token = self::token(token)?;
    let rotation = rotation::request(&app.shop, &token, visit.source)
        .await
        .map_err(of_link)?;
    let outcome = rotation::wait(&app.shop, &rotation).await.map_err(of_link)?;
    if as_text {
        Ok(address_as_text(outcome.address))
    } else {
        Ok(response::json(StatusCode::OK, &RotateAnswer::from(outcome)))
    }
}

/// The token, where it can be one.
pub(crate) fn token(token: Option<Path<String>>) -> Result<String, ApiError> {
    token
        .map(|Path(token)| token)
        .filter(|token| token.len() <= MAX_TOKEN)
        .ok_or(ApiError::UnknownRotateLink)
}

/// The bare address, empty where it is not known.
pub(crate) fn address_as_text(address: Option<IpAddr>) -> Response {
    let address = address.map(|address| address.to_string()).unwrap_or_default();
    response::text(StatusCode::OK, address)
}

/// A link has no subscriptionId that could be wrong.
pub(crate) fn of_link(error: ShopError) -> ApiError {
    match error {
        ShopError::Refused(Refusal::SubscriptionNotFound) => ApiError::UnknownRotateLink,
        other => ApiError::Shop(other),
    }
}

/// Whether a browser looks ahead. `Sec-Purpose` is the standard's word; the others are what browsers sent before.
fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"].iter().any(|name| {
        headers.get_all(*name).iter().any(|value| {
            let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            value.contains("prefetch") || value.contains("prerender") || value.contains("preview")
        })
    })
}

/// Whether `format` asks for the bare address.
pub(crate) fn wants_text(uri: &Uri) -> Result<bool, ApiError> {
    let rule = || ApiError::Field {
        field: "format".to_owned(),
        rule: "it is text or json".to_owned(),
    };
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| rule())?;
    match pairs
        .iter()
        .find(|(name, _)| name == "format")
        .map(|(_, format)| format.as_str())
    {
        None | Some("json") => Ok(false),
        Some("text") => Ok(true),
        Some(_) => Err(rule()),
    }
}
