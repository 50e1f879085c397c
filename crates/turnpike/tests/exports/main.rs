//! Subscription URLs as the programs read them that customers load them with. Each is given a URL and nothing else, and must get
//! out by the exits that were bought.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test's broken assumption should stop it, and what a client complained of should be seen"
)]

mod lists;
mod mihomo;
mod pac;
mod pictures;
mod shadowsocks;
mod sing_box;
mod tls;
mod world;
