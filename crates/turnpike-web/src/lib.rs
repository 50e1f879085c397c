//! The shop's web server: the customer API, rotate links, `/ip`, health and OpenAPI.
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
//! | what went wrong, as status, code and sentence | `error` |

mod config;
mod readiness;

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use turnpike_shop::Shop;

pub use config::WebConfig;
pub use readiness::Readiness;

/// The web server, ready to serve.
pub struct Web {
    shop: Shop,
    config: WebConfig,
    ready: Readiness,
}

impl Web {
    /// Puts the server together. `ready` adds the caller's own checks to `/readyz`.
    #[must_use]
    pub fn new(shop: Shop, config: WebConfig, ready: Readiness) -> Self {
        Self { shop, config, ready }
    }

    /// Serves `listener` until `stop`; then takes no new work and lets open requests finish for at most `drain`.
    ///
    /// # Errors
    /// Only where the listener itself is unusable; what goes wrong in one connection ends that connection.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken, drain: Duration) -> io::Result<()> {
        let _ = (self.shop, self.config, self.ready, listener, stop, drain);
        unimplemented!()
    }
}

/// Serves `/metrics` (what `render` gives, in Prometheus's text format) and `/healthz` until `stop`.
///
/// # Errors
/// Only where the listener itself is unusable.
pub async fn serve_metrics(
    listener: TcpListener,
    render: impl Fn() -> String + Send + Sync + 'static,
    stop: CancellationToken,
) -> io::Result<()> {
    let _ = (listener, render(), stop);
    unimplemented!()
}

/// The OpenAPI 3.1 document of the customer API, as `/openapi.json` gives it.
#[must_use]
pub fn openapi(public_url: &str) -> serde_json::Value {
    let _ = public_url;
    unimplemented!()
}
