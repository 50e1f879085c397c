//! `/healthz`, `/readyz`, `/openapi.json`, and a hint at `/`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, note, ready_json};
use crate::error::{ApiError, settle};
use crate::ip::accepts_json;
use crate::limit::Source;
use crate::pages;
use crate::readiness::Finding;
use crate::response;
use crate::visit::Visit;

/// Whether this process should be sent work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadyAnswer {
    /// Whether all checks are passed.
    ok: bool,
    checks: Vec<Finding>,
}

fn read_only(request: &Request) -> Result<(), ApiError> {
    if request.method() == Method::GET || request.method() == Method::HEAD {
        Ok(())
    } else {
        Err(ApiError::Method { allow: "GET, HEAD" })
    }
}

/// `/healthz`: the process runs and answers.
pub(crate) async fn alive(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    settle(
        read_only(&request).map(|()| response::text(StatusCode::OK, "ok\n")),
        &visit,
    )
}

/// `/readyz`: a line per check.
pub(crate) async fn ready(
    State(app): State<Arc<App>>,
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
) -> Response {
    let as_json = accepts_json(request.headers());
    let outcome = match permit(&app, &visit, &request) {
        Ok(()) => Ok(report(&app, as_json).await),
        Err(error) => Err(error),
    };
    settle(outcome, &visit)
}

/// Each report asks the database, so strangers do not get it as often as they like.
fn permit(app: &App, visit: &Visit, request: &Request) -> Result<(), ApiError> {
    read_only(request)?;
    note(visit, app.limits.report.check(&Source::from(visit.source)))
}

async fn report(app: &App, as_json: bool) -> Response {
    let checks = app.ready.run(&app.shop).await;
    let ok = checks.iter().all(Finding::is_passed);
    let status = if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    if as_json {
        response::json(status, &ReadyAnswer { ok, checks })
    } else {
        let lines: String = checks.iter().map(Finding::to_string).collect();
        response::text(status, lines)
    }
}

/// `/openapi.json`
pub(crate) async fn openapi(
    State(app): State<Arc<App>>,
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
) -> Response {
    settle(read_only(&request).map(|()| ready_json(app.openapi.clone())), &visit)
}

/// `/api/admin/openapi.json`
pub(crate) async fn admin_openapi(
    State(app): State<Arc<App>>,
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
) -> Response {
    settle(
        read_only(&request).map(|()| ready_json(app.admin_openapi.clone())),
        &visit,
    )
}

/// `/`: browsers go on to the pages, everybody else is told what is here.
pub(crate) async fn hint(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    if pages::wants_page(request.headers()) && matches!(*request.method(), Method::GET | Method::HEAD) {
        return pages::to_overview();
    }
    const HINT: &str = "This is Turnpike, a proxy shop.\n\n\
        The API is at /api/proxy; /openapi.json describes it.\n\
        /ip tells the address that you come from.\n\
        With a browser, this is the customers' own pages.\n";
    settle(
        read_only(&request).map(|()| response::text(StatusCode::OK, HINT)),
        &visit,
    )
}
