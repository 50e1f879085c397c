//! VLESS, Shadowsocks, SOCKS5 and HTTP as clients of other people speak them. Each is configured with what the API's links say
//! and nothing else, and gives its user a SOCKS5 port of its own, behind which everything must work as without it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test's broken assumption should stop it, and what a client complained of should be seen"
)]

mod dns;
mod effect;
mod lanes;
mod libev;
mod links;
mod quic;
#[path = "../recorded/mod.rs"]
mod recorded;
mod refusals;
mod shadowsocks_rust;
mod sing_box;
mod socks;
mod tls;
mod upstream;
mod v2ray;
mod world;
