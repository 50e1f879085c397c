//! kill -9 at any moment: what was acknowledged is there afterwards, what was not is there wholly or not at all, and sending
//! it again with its Idempotency-Key tells which.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

mod client;
mod commands;
#[path = "../recorded/mod.rs"]
mod recorded;
mod storm;
mod traffic;

use std::time::Duration;

use storm::Storm;
use testbed::turnpike::{Builder, Turnpike};

/// What is for sale in either network. The storm sells them out, so that refusals are part of it.
const SLOTS: u32 = 90;

fn shop() -> Builder {
    Turnpike::with()
        .ports(160)
        .network("NL-AMS")
        .shared("nl-1", "127.0.1.1", SLOTS)
        .network("DE-BER")
        .shared("de-1", "127.0.2.1", SLOTS)
}

#[test]
fn a_hundred_kills_amid_a_storm_of_orders_lose_nothing_and_leave_nothing_half_done() {
    Storm::over(shop()).survives(100);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn kills_amid_a_storm_of_orders_lose_nothing_on_postgres() {
    Storm::over(shop().postgres()).survives(20);
}

#[test]
fn kills_while_it_starts_leave_a_shop_that_starts() {
    let mut shop = shop().prepare();
    for _ in 0..15 {
        shop.launch();
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..200_000)));
        shop.kill();
    }
    shop.serve();
    let bought = shop.buy_shared("NL-AMS");
    assert_eq!(shop.subscriptions(), [bought]);
}
