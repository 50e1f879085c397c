//! The server as its callers see it: a whole shop on SQLite behind the router, without sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod answers;
mod edges;
mod idempotency;
mod limits;
mod links;
mod matrix;
mod operations;
mod paths;
mod sockets;
mod tokens;
mod world;
