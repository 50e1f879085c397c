//! TLS on a subscription's port, as customers' programs use it, and where its certificate comes from.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test's broken assumption should stop it, and what a client complained of should be seen"
)]

mod acme;
mod clients;
mod files;
mod limits;
mod mistakes;
mod world;
