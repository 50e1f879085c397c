//! The shop's verbs, each on both engines.
//!
//! A test is a plain `async fn name(site: &Site)`, listed in its file's `on_both_engines!`. It builds its [`world::World`], acts, and
//! asserts; that the books are in order after it is asserted for it (see [`site::Site::run`]).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

#[macro_use]
mod site;
mod raw;
mod relay;
mod world;

mod accounts_and_keys;
mod allowed_addresses;
mod audit;
mod auto_renew;
mod catalogue;
mod concurrency;
mod coupons;
mod credentials;
mod edits;
mod exits;
mod idempotency;
mod limits;
mod links;
mod lost_writes;
mod model;
mod notices;
mod operators;
mod owners_view;
mod policies;
mod profile;
mod programs;
mod purchase;
mod races;
mod refund;
mod refusals;
mod renew;
mod rotation;
mod routes;
mod schema;
mod sessions;
mod standing;
mod switch_network;
mod together;
mod traffic;
mod trial;
mod trials;
mod unavailable;
mod upgrade;
mod values;
mod view_as;
