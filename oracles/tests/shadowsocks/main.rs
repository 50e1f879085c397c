//! The gateway against the crate `shadowsocks`, of which shadowsocks-rust is made.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

mod codec;
mod datagrams;
mod oracle;
mod streams;
