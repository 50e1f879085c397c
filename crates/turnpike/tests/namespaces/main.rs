//! Exits with really different addresses: the gateway is a machine of its own with several uplinks, the internet is another, and
//! its origins tell whom they see.
//!
//! Every test makes its machines out of network namespaces and virtual cables, all of which go when it ends. Where that is not
//! permitted, it says so and is skipped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test's broken assumption should stop it, and what a client complained of should be seen"
)]

mod client;
mod datagrams;
mod destinations;
mod families;
mod faults;
mod loss;
mod naming;
mod page;
mod redirect;
mod rotation;
mod tls;
mod upstream;
mod vanished;
mod world;
