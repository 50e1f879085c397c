//! Many customers at the same moment, on both engines: nothing is sold twice, nothing is charged twice, nothing is lost.
//!
//! The books are proven after each test, when its shop is dropped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

mod cut;
mod keys;
mod limited;

use std::time::Duration;

use serde_json::Value;
use testbed::http::Answer;
use testbed::turnpike::{Builder, Customer};

/// Sends an order, with its Idempotency-Key again where that is what the answer asks for: one account's orders wait for each
/// other, and on a busy machine for longer than the database lets them.
fn settled(customer: &Customer, order: &Value, key: &str) -> Answer {
    let settled = testbed::poll(Duration::from_secs(60), || {
        let answer = customer.order_with(order, &[("idempotency-key", key)]);
        (answer.status != 503).then_some(answer)
    });
    settled.unwrap_or_else(|| panic!("{key} is answered 503 for a minute"))
}

/// How many answers have this status and, where it is an error, this code. None may have another status than those counted.
fn count(answers: &[Answer], status: u16, code: &str) -> usize {
    let fits = |answer: &&Answer| answer.status == status && (status == 200 || answer.json()["code"] == code);
    answers.iter().filter(fits).count()
}

/// A network of private exits, `127.0.<third>.1` and on.
fn exits(shop: Builder, network: &str, third: u8, count: u8) -> Builder {
    (1..=count).fold(shop.network(network), |shop, number| {
        let address = format!("127.0.{third}.{number}");
        shop.pool(&format!("exit-{number}"), &[&address])
    })
}
