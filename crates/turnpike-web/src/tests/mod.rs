//! The server as its callers see it: a whole shop behind the router, without sockets. What depends on the store runs on both
//! engines.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod admin;
mod answers;
mod availability;
mod confirmation;
mod edges;
mod idempotency;
mod limits;
mod links;
mod matrix;
mod named_links;
mod operations;
mod operator_desk;
mod operator_pages;
mod pages;
mod paths;
mod profiles;
mod purchase_pages;
mod site;
mod sockets;
mod tokens;
mod v1;
mod v1_notices;
mod world;
