//! The gateway as a whole, driven by what the binary tells it and by clients on real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

mod admission;
mod destinations;
mod guests;
mod idle;
mod inside;
mod limits;
mod ports;
mod redirect;
mod refusals;
mod sealed;
mod socks;
mod tls;
mod tunnels;
mod upstream;
mod vless;
mod world;
