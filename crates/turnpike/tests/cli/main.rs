//! The command line as scripts and people use it: the real binary, in a folder of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

mod account;
mod apply;
mod beside_server;
mod configuration;
mod doctor;
mod help;
mod key;
mod postgres;
mod site;
mod trouble;
