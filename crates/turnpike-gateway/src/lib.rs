//! The data plane: it listens on subscriptions' ports, speaks the proxy protocols, and relays bytes through exits.
//!
//! A [`Gateway`] is told [`Change`]s (routes and exits, nothing about money), and gives back [`Event`]s and
//! [`TrafficBatch`]es. It knows no database and no HTTP API; the binary joins it to the shop.
//!
//! The story of a connection is in [`session`]; what a byte costs is in [`relay`], and
//! how many of them a subscription may have in [`limits`].

mod clock;
mod descriptors;
mod dial;
mod egress;
mod exit;
mod gate;
mod gateway;
mod guests;
mod limits;
mod listener;
mod meter;
mod refusals;
mod relay;
mod resolve;
mod route;
mod sealed;
mod session;
#[allow(unsafe_code, reason = "setsockopt with options that neither socket2 nor rustix has")]
mod sockopt;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod udp;

pub use egress::{DestinationPolicy, Verdict};
pub use exit::{CheckTarget, Checked, ExitId, ExitSpec, ExitWay, RotateMethod, Rotated, RotationError, Upstream};
pub use gateway::{Applied, Change, Event, Gateway, GatewayConfig, PortError};
pub use limits::Limits;
pub use meter::{BatchId, TrafficBatch, TrafficRow};
pub use refusals::{RefusalBatch, RefusalRow};
pub use route::{Route, RouteId};
pub use tls::{Certificate, CertificateError};

/// The time of day, injected: milliseconds since 1970-01-01T00:00:00Z.
pub type WallClock = std::sync::Arc<dyn Fn() -> i64 + Send + Sync>;
