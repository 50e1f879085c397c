//! `/ip`: the caller's address. Asked through a proxy port, it is how a customer sees which exit he leaves from.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, note};
use crate::error::{ApiError, settle};
use crate::limit::Source;
use crate::response;
use crate::visit::Visit;

/// The caller's address.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IpAnswer {
    ip: String,
}

/// `GET /ip`
pub(crate) async fn address(
    State(app): State<Arc<App>>,
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
) -> Response {
    settle(handle(&app, &visit, &request), &visit)
}

fn handle(app: &App, visit: &Visit, request: &Request) -> Result<Response, ApiError> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Err(ApiError::Method { allow: "GET, HEAD" });
    }
    note(visit, app.limits.ip.check(&Source::from(visit.source)))?;
    let ip = visit.source.to_string();
    if accepts_json(request.headers()) {
        Ok(response::json(StatusCode::OK, &IpAnswer { ip }))
    } else {
        Ok(response::text(StatusCode::OK, ip))
    }
}

/// Whether the client names JSON among what it accepts. `*/*` gets plain text, which is what a person with curl wants.
pub(crate) fn accepts_json(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_json = parts
                .next()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
            let is_refused = parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            is_json && !is_refused
        })
}
