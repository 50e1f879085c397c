//! What every handler shares, and the map of paths.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use axum::{Extension, Router, middleware};
use bytes::Bytes;
use http::StatusCode;
use turnpike_shop::Shop;

use crate::config::WebConfig;
use crate::error::{ApiError, response};
use crate::limit::{Exceeded, Limits, Source, Standing};
use crate::readiness::Readiness;
use crate::reference::Reference;
use crate::token::Tokens;
use crate::visit::Visit;
use crate::{api, auth, health, ip, link, observe, openapi, pages, status_link, sub};

/// What every handler shares.
pub(crate) struct App {
    pub(crate) shop: Shop,
    pub(crate) config: WebConfig,
    pub(crate) ready: Readiness,
    pub(crate) limits: Limits,
    pub(crate) tokens: Tokens,
    /// `/openapi.json`, made once.
    pub(crate) openapi: Bytes,
    /// `/api/admin/openapi.json`, made once.
    pub(crate) admin_openapi: Bytes,
    /// What customers read of it, made once.
    pub(crate) reference: Reference,
    /// What operators read of theirs.
    pub(crate) operators_reference: Reference,
}

impl App {
    pub(crate) fn new(shop: Shop, config: WebConfig, ready: Readiness) -> Arc<Self> {
        let tokens = Tokens::new(&shop);
        let limits = Limits::new(&config);
        let openapi = Bytes::from(openapi::document(&config.public_url).to_string());
        let admin_openapi = Bytes::from(openapi::admin_document(&config.public_url).to_string());
        let reference = Reference::of_customers(&config.public_url);
        let operators_reference = Reference::of_operators(&config.public_url);
        Arc::new(Self {
            shop,
            config,
            ready,
            limits,
            tokens,
            openapi,
            admin_openapi,
            reference,
            operators_reference,
        })
    }

    /// Takes one request from the caller's address's share of the API.
    pub(crate) fn limit_address(&self, visit: &Visit) -> Result<(), ApiError> {
        note(visit, self.limits.address.check(&Source::from(visit.source)))
    }

    /// Bounds what a handler may take in all, the client's sending of the body included.
    pub(crate) async fn in_time(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<Response, ApiError>>,
    ) -> Result<Response, ApiError> {
        tokio::time::timeout(deadline, work)
            .await
            .unwrap_or(Err(ApiError::Overdue))
    }
}

/// Remembers what a limit said, for the RateLimit header fields.
pub(crate) fn note(visit: &Visit, checked: Result<Standing, Exceeded>) -> Result<(), ApiError> {
    match checked {
        Ok(standing) => {
            visit.notes().standing = Some(standing);
            Ok(())
        }
        Err(exceeded) => {
            visit.notes().standing = Some(exceeded.standing);
            Err(ApiError::Limited(exceeded))
        }
    }
}

/// The map of paths. Each handler checks its methods itself, so that 405 has our body and our `Allow`.
pub(crate) fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/", any(health::hint))
        .route("/api/proxy", any(api::proxy))
        .route("/api/auth/token", any(auth::issue))
        .route("/r/{token}", any(link::rotate))
        .route("/status/{token}", any(status_link::show))
        .route("/sub/{token}", any(sub::profile))
        .route("/ip", any(ip::address))
        .route("/healthz", any(health::alive))
        .route("/readyz", any(health::ready))
        .route("/openapi.json", any(health::openapi))
        .route("/api/admin/openapi.json", any(health::admin_openapi))
        .merge(api::v1::routes())
        .merge(pages::routes())
        .fallback(no_such_path)
        .layer(middleware::from_fn_with_state(Arc::clone(app), observe::observe))
        .with_state(Arc::clone(app))
}

async fn no_such_path(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    match pages::wants_page(request.headers()) {
        true => pages::trouble(&ApiError::NoSuchPath, &visit),
        false => response(&ApiError::NoSuchPath, &visit),
    }
}

/// A body that was made before, as JSON.
pub(crate) fn ready_json(body: Bytes) -> Response {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = StatusCode::OK;
    answer.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    answer
}
