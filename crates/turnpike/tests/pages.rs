//! The pages in a real browser: Chromium, driven by Playwright, judged by axe-core.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and shows what it did"
)]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testbed::turnpike::Builder;
use testbed::{node_modules, program, skip};

const EMAIL: &str = "ann@example.com";
const OPERATOR: &str = "root@example.com";
/// A customer whom operators look after.
const OTHER: &str = "bob@example.com";
/// One whose subscription renews itself.
const THIRD: &str = "cleo@example.com";
const ORDERS: usize = 8;

/// Where pictures of the pages are put, where anybody wants them: `cargo xtask screenshots`.
const PICTURES: &str = "TURNPIKE_PICTURES";

testbed::on_both_engines!(customers_and_operators_do_all_that_they_can_do_on_the_pages);

fn customers_and_operators_do_all_that_they_can_do_on_the_pages(shop: Builder) {
    let Some((node, chromium)) = program("node").zip(program("chromium")) else {
        return skip("no node or no chromium: cargo xtask setup installs them");
    };
    if !node_modules().join("playwright-core").is_dir() {
        return skip("no Playwright: cargo xtask setup installs it");
    }
    let shop = world(shop).start();
    let account = |email: &str, options: &[&str]| {
        let made = shop.run(&[&["account", "create", email, "--json"], options].concat());
        let made: Value = serde_json::from_str(&made).expect("the account as JSON");
        made["password"].as_str().expect("a password was made up").to_owned()
    };
    let (customers, thirds) = (account(EMAIL, &[]), account(THIRD, &[]));
    let operators = account(OPERATOR, &["--admin"]);
    shop.run(&["key", "create", EMAIL, "--name", "Panel"]);
    shop.run(&["account", "credit", EMAIL, "30000", "--note", "bank transfer"]);
    shop.run(&["account", "credit", THIRD, "5000"]);
    // Orders that operators give back, one in each walk.
    let other = shop.customer(OTHER, 10_000);
    let order = json!({"op": "purchase", "planId": other.plan("AT-VIE", "shared")});
    for _ in 0..ORDERS {
        let _ = other.order(&order).expect_status(200);
    }
    let walked = Command::new(node)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/pages/run.mjs"))
        .env("NODE_MODULES", node_modules())
        .env("SHOP", shop.url("").trim_end_matches('/'))
        .env("EMAIL", EMAIL)
        .env("PASSWORD", customers)
        .env("THIRD", THIRD)
        .env("THIRD_PASSWORD", thirds)
        .env("OTHER", OTHER)
        .env("OPERATOR", OPERATOR)
        .env("OPERATOR_PASSWORD", operators)
        .env("CHROMIUM", chromium)
        // How a page looks does not depend on the engine.
        .env("APPEARANCES", if shop.postgres().is_none() { "all" } else { "one" })
        .env("PICTURES", std::env::var_os(PICTURES).unwrap_or_default())
        .status()
        .expect("starting node");
    assert!(walked.success(), "what failed is told above");
    shop.audit();
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
        .ports(50)
        .network("AT-VIE")
        .exit(
            "vienna",
            "addresses = [\"127.0.3.1\", \"127.0.3.2\"]\nshared_slots = 20\ndrain_seconds = 0",
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
