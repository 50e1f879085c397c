//! `/metrics` and `/healthz` on an address of their own, which is not for customers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::response;
use crate::server::{self, Caps};

/// Serves `/metrics` (what `render` gives, in Prometheus's text format) and `/healthz` until `stop`.
///
/// # Errors
/// Only where the listener itself is unusable.
pub async fn serve_metrics(
    listener: TcpListener,
    render: impl Fn() -> String + Send + Sync + 'static,
    stop: CancellationToken,
) -> io::Result<()> {
    let render = Arc::new(render);
    let router = Router::new()
        .route("/metrics", get(move || exposition(Arc::clone(&render))))
        .route("/healthz", get(async || response::text(StatusCode::OK, "ok\n")));
    let caps = Caps {
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        last_bytes: server::LAST_BYTES,
        max_connections: 64,
        max_per_address: 64,
        exempt: Vec::new(),
    };
    server::run(listener, router, caps, stop, Duration::from_secs(1)).await
}

async fn exposition(render: Arc<impl Fn() -> String>) -> Response {
    let mut answer = response::text(StatusCode::OK, render());
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    answer
}
