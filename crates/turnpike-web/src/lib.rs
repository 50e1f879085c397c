//! The shop's web server: the customer API, the pages, rotate links, status links, `/ip`, health and OpenAPI.
//!
//! It knows the shop's verbs and nothing of SQL or of the data plane's sockets. One request walks through the files in this
//! order:
//!
//! | step | module |
//! | --- | --- |
//! | a connection, its limits and its end | `server` |
//! | request id, caller's address, log line, metrics, security headers, panics | `observe` |
//! | rate limits per address and per key | `limit` |
//! | who is asking | `auth`, `token`, `principal` |
//! | strict JSON, typed request, the operation | `json`, `fields`, `api` |
//! | pages: who may see them, what they show | `pages` |
//! | notices as letters | `letter` |
//! | what went wrong, as status, code and sentence | `error` |

mod api;
mod app;
mod auth;
mod catalogue_entry;
mod challenge_server;
mod config;
mod error;
mod fields;
mod health;
mod ip;
mod json;
mod letter;
mod limit;
mod link;
mod metrics_server;
mod observe;
mod openapi;
mod pages;
mod principal;
mod readiness;
mod reference;
mod response;
mod server;
mod source;
mod status_link;
mod sub;
mod token;
mod visit;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use turnpike_shop::Shop;

use crate::app::App;

pub use challenge_server::serve_challenges;
pub use config::{CatalogueText, WebConfig};
pub use letter::Letter;
pub use metrics_server::serve_metrics;
pub use openapi::{admin_document as admin_openapi, document as openapi};
pub use readiness::Readiness;

/// How often limits forget those who have not come for a while.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// The web server, ready to serve.
pub struct Web {
    app: Arc<App>,
}

impl Web {
    /// Puts the server together. `ready` adds the caller's own checks to `/readyz`.
    #[must_use]
    pub fn new(shop: Shop, config: WebConfig, ready: Readiness) -> Self {
        describe_metrics();
        Self {
            app: App::new(shop, config, ready),
        }
    }

    /// Serves `listener` until `stop`; then takes no new work and lets open requests finish for at most `drain`.
    ///
    /// # Errors
    /// Only where the listener itself is unusable; what goes wrong in one connection ends that connection.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken, drain: Duration) -> io::Result<()> {
        let caps = server::Caps::from(&self.app.config);
        let serving = server::run(listener, app::router(&self.app), caps, stop, drain);
        tokio::select! {
            served = serving => served,
            never = forget_rested(&self.app) => match never {},
        }
    }
}

async fn forget_rested(app: &App) -> std::convert::Infallible {
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    loop {
        ticks.tick().await;
        app.limits.forget_rested();
    }
}

fn describe_metrics() {
    metrics::describe_counter!(
        "turnpike_http_requests_total",
        "Requests answered, by operation and status."
    );
    metrics::describe_counter!("turnpike_http_panics_total", "Requests whose handler panicked.");
    metrics::describe_counter!(
        "turnpike_http_connections_refused_total",
        "Connections closed because their address has its share."
    );
    metrics::describe_counter!("turnpike_purchase_total", "Purchases, by result.");
    metrics::describe_histogram!(
        "turnpike_http_request_seconds",
        metrics::Unit::Seconds,
        "From a request's head to its answer, by operation."
    );
}

#[cfg(test)]
mod tests;
