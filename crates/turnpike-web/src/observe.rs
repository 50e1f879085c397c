//! Around every request: its id, its caller's address, its log line and metrics, the header fields of every answer, and the
//! net under a handler that panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt as _;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use turnpike_shop::types::random_lowercase;

use crate::app::App;
use crate::error::{ApiError, response};
use crate::limit::Standing;
use crate::pages;
use crate::source::{self, Peer};
use crate::visit::{Notes, Visit};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The layer around all paths.
pub(crate) async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let visit = Arc::new(arrive(&app, &request));
    // The template, never the path: a rotate link's path is its secret.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    let method = known_method(request.method());
    let wants_page = pages::wants_page(request.headers());
    request.extensions_mut().insert(Arc::clone(&visit));
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut answer = answered.unwrap_or_else(|_| {
        metrics::counter!("turnpike_http_panics_total").increment(1);
        match wants_page {
            true => pages::trouble(&ApiError::Panicked, &visit),
            false => response(&ApiError::Panicked, &visit),
        }
    });
    let notes = visit.notes().clone();
    dress(answer.headers_mut(), &app, &visit, &notes);
    record(&route, method, &answer, &visit, &notes, started);
    answer
}

fn arrive(app: &App, request: &Request) -> Visit {
    let peer = request
        .extensions()
        .get::<Peer>()
        .map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
    let source = source::of_request(peer, request.headers(), &app.config.trusted_proxies);
    Visit::new(request_id(request.headers()), source)
}

/// The client's own id where it cannot do harm in a log, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(|id| (1..=64).contains(&id.len()))
        .filter(|id| {
            id.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        })
        .map_or_else(|| random_lowercase(24), ToOwned::to_owned)
}

/// A label must not be something that a client can make up.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// The header fields of every answer. What is no page may not run, be framed, be kept or be found; pages and their files say
/// themselves what they may do and whether they may be kept.
fn dress(headers: &mut HeaderMap, app: &App, visit: &Visit, notes: &Notes) {
    const FIXED: [(HeaderName, &str); 8] = [
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ];
    for (name, value) in FIXED {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if app.config.public_url.starts_with("https://") {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    if let Ok(id) = HeaderValue::from_str(&visit.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    if notes.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(standing) = &notes.standing {
        rate_limit_fields(headers, standing);
    }
}

/// draft-ietf-httpapi-ratelimit-headers-10: `q` the quota and `w` its window, `r` what remains and `t` the seconds until more.
fn rate_limit_fields(headers: &mut HeaderMap, standing: &Standing) {
    let Standing {
        policy,
        quota,
        window,
        remaining,
        reset,
    } = standing;
    let fields = [
        (RATE_LIMIT_POLICY, format!("\"{policy}\";q={quota};w={window}")),
        (RATE_LIMIT, format!("\"{policy}\";r={remaining};t={reset}")),
    ];
    for (name, text) in fields {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}

fn record(route: &str, method: &'static str, answer: &Response, visit: &Visit, notes: &Notes, started: Instant) {
    let took = started.elapsed();
    let status = answer.status().as_u16();
    let op = notes.op.map_or_else(|| route.to_owned(), ToOwned::to_owned);
    metrics::counter!("turnpike_http_requests_total", "op" => op.clone(), "status" => status.to_string()).increment(1);
    metrics::histogram!("turnpike_http_request_seconds", "op" => op).record(took.as_secs_f64());
    // Probes come every few seconds and say nothing while they are answered well.
    if matches!(route, "/healthz" | "/readyz") && answer.status().is_success() {
        return;
    }
    macro_rules! told {
        ($level:ident) => {
            tracing::$level!(
                request_id = visit.request_id,
                method,
                route,
                op = notes.op,
                status,
                code = notes.code,
                account = notes.account.as_ref().map(|account| account.as_str()),
                source = %visit.source,
                ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "request"
            )
        };
    }
    // Whoever asks beyond an address's share is counted, and nobody knows who it is: a stranger must not fill the log.
    if answer.status() == StatusCode::TOO_MANY_REQUESTS && notes.account.is_none() {
        told!(debug);
    } else {
        told!(info);
    }
}
