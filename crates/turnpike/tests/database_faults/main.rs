//! The database is full, gone, frozen or started anew: tunnels live on, the API says so in time, and all heals by itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

mod calls;
mod disk;
mod load;
mod postgres;
#[path = "../recorded/mod.rs"]
mod recorded;
