//! The pages in a real browser: Chromium, driven by Playwright, judged by axe-core.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and shows what it did"
)]

mod failing;
mod first_operator;
mod heard;
mod many;
mod names;
mod other;
mod seldom;
mod snippets;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use testbed::turnpike::{Builder, Turnpike};
use testbed::{node_modules, program, skip};

const EMAIL: &str = "ann@example.com";
const OPERATOR: &str = "root@example.com";
/// A customer whom operators look after.
const OTHER: &str = "bob@example.com";
/// One who uses the keyboard alone, and whose subscription renews itself.
const THIRD: &str = "cleo@example.com";
const ORDERS: usize = 8;
/// One whose every order is given back for a hostile reason, and how many he has.
const FOURTH: &str = "dan@example.com";
const REASONS: usize = 40;
/// However busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where pictures of the pages are put, where anybody wants them: `cargo xtask screenshots`.
const PICTURES: &str = "TURNPIKE_PICTURES";

testbed::on_both_engines!(customers_and_operators_do_all_that_they_can_do_on_the_pages);

fn customers_and_operators_do_all_that_they_can_do_on_the_pages(shop: Builder) {
    let Some(mut walk) = browser("run.mjs") else { return };
    let shop = world(shop).start();
    let (customers, thirds) = (account(&shop, EMAIL, &[]), account(&shop, THIRD, &[]));
    let operators = account(&shop, OPERATOR, &["--admin"]);
    shop.run(&["key", "create", EMAIL, "--name", "Panel"]);
    shop.run(&["account", "credit", EMAIL, "30000", "--note", "bank transfer"]);
    shop.run(&["account", "credit", THIRD, "20000"]);
    // Orders that operators give back, one in each walk or all in one.
    for (email, orders) in [(OTHER, ORDERS), (FOURTH, REASONS)] {
        let buyer = shop.customer(email, 20_000);
        let order = json!({"op": "purchase", "planId": buyer.plan("AT-VIE", "shared")});
        for _ in 0..orders {
            let _ = buyer.order(&order).expect_status(200);
        }
    }
    walk.env("SHOP", shop.url("").trim_end_matches('/'))
        .env("EMAIL", EMAIL)
        .env("PASSWORD", customers)
        .env("THIRD", THIRD)
        .env("THIRD_PASSWORD", thirds)
        .env("OTHER", OTHER)
        .env("MANY_ORDERS", FOURTH)
        .env("OPERATOR", OPERATOR)
        .env("OPERATOR_PASSWORD", operators)
        // How a page looks does not depend on the engine.
        .env("APPEARANCES", if shop.postgres().is_none() { "all" } else { "one" });
    done(&mut walk);
    shop.audit();
}

/// Runs a script to its end, which must be a good one.
#[track_caller]
fn done(walk: &mut Command) {
    let ended = walk.status().expect("starting node");
    assert!(ended.success(), "what failed is told above");
}

/// The shop's books, for what no page can bring about.
fn database(shop: &Turnpike) -> Connection {
    Connection::open(shop.home().join("turnpike.db")).expect("the database")
}

/// Makes an account; its password.
fn account(shop: &Turnpike, email: &str, options: &[&str]) -> String {
    let made = shop.run(&[&["account", "create", email, "--json"], options].concat());
    let made: Value = serde_json::from_str(&made).expect("the account as JSON");
    made["password"].as_str().expect("a password was made up").to_owned()
}

/// What runs a script of `clients/pages` in Chromium; none where the machine lacks something.
fn browser(script: &str) -> Option<Command> {
    let Some((node, chromium)) = program("node").zip(program("chromium")) else {
        skip("no node or no chromium: cargo xtask setup installs them");
        return None;
    };
    if !node_modules().join("playwright-core").is_dir() {
        skip("no Playwright: cargo xtask setup installs it");
        return None;
    }
    let mut command = Command::new(node);
    command
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/clients/pages")
                .join(script),
        )
        .env("APPEARANCES", "all")
        .env("NODE_MODULES", node_modules())
        .env("CHROMIUM", chromium)
        .env("PICTURES", std::env::var_os(PICTURES).unwrap_or_default());
    Some(command)
}

/// Operators have a network to themselves, so that what they do to exits is in no customer's way.
fn world(shop: Builder) -> Builder {
    shop.set("server.sign_up", "true")
        .set("notices.webhooks", "true")
        .set("notices.allow_destinations", "[\"127.0.0.0/8\"]")
        // Nobody listens there, and no letter is asked for.
        .set(
            "notices.smtp",
            "{ host = \"127.0.0.1\", port = 9, tls = \"off\", from = \"shop@example.com\" }",
        )
        .ports(90)
        .network("AT-VIE")
        .exit(
            "vienna",
            "addresses = [\"127.0.3.1\", \"127.0.3.2\"]\nshared_slots = 60\ndrain_seconds = 0",
        )
        .network("NL-AMS")
        .pools(14)
        .network("DE-BER")
        .pools(14)
        .network_without_plans("FR-PAR")
        .plan("private", "duration = \"1h\"\nprice_cents = 11")
        .plan("private", "duration = \"30d\"\nprice_cents = 333")
        .pools(1)
        .coupon("MYCODE", "percent_off = 10")
}
