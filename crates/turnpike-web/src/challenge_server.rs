//! Answers to an ACME directory that asks whether a name is ours (RFC 8555 §8.3), on an address of their own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::response;
use crate::server::{self, Caps};

/// Serves what `answer` has for a token, and nothing else, until `stop`.
///
/// # Errors
/// Only where the listener itself is unusable.
pub async fn serve_challenges(
    listener: TcpListener,
    answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    stop: CancellationToken,
) -> io::Result<()> {
    let answer = Arc::new(answer);
    let router = Router::new().route(
        "/.well-known/acme-challenge/{token}",
        get(move |Path(token): Path<String>| answered(Arc::clone(&answer), token)),
    );
    let caps = Caps {
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(10),
        last_bytes: server::LAST_BYTES,
        max_connections: 64,
        max_per_address: 16,
        exempt: Vec::new(),
    };
    server::run(listener, router, caps, stop, Duration::from_secs(1)).await
}

async fn answered(answer: Arc<impl Fn(&str) -> Option<String>>, token: String) -> Response {
    match answer(&token) {
        Some(answer) => response::text(StatusCode::OK, answer),
        None => response::text(StatusCode::NOT_FOUND, "there is nothing here\n"),
    }
}
