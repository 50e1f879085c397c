//! The customer API as its contract promises it, over real connections to the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

mod admin;
mod contract;
mod credentials;
mod errors;
mod money;
mod surroundings;
