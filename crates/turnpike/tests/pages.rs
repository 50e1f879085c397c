//! The pages in a real browser: Chromium, driven by Playwright, judged by axe-core.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and shows what it did"
)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testbed::turnpike::Builder;
use testbed::{node_modules, program, skip};

const EMAIL: &str = "ann@example.com";
const OPERATOR: &str = "root@example.com";

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
    let password = |made: String| {
        let made: Value = serde_json::from_str(&made).expect("the account as JSON");
        made["password"].as_str().expect("a password was made up").to_owned()
    };
    let customers = password(shop.run(&["account", "create", EMAIL, "--json"]));
    let operators = password(shop.run(&["account", "create", OPERATOR, "--admin", "--json"]));
    shop.run(&["key", "create", EMAIL, "--name", "Panel"]);
    shop.run(&["account", "credit", EMAIL, "30000", "--note", "bank transfer"]);
    let walked = Command::new(node)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/pages.mjs"))
        .env("NODE_MODULES", node_modules())
        .env("SHOP", shop.url("").trim_end_matches('/'))
        .env("EMAIL", EMAIL)
        .env("PASSWORD", customers)
        .env("OPERATOR", OPERATOR)
        .env("OPERATOR_PASSWORD", operators)
        .env("CHROMIUM", chromium)
        .env("PICTURES", std::env::var_os(PICTURES).unwrap_or_default())
        .output()
        .expect("starting node");
    println!("{}", String::from_utf8_lossy(&walked.stdout));
    assert!(walked.status.success(), "{}", String::from_utf8_lossy(&walked.stderr));
    shop.audit();
}

fn world(shop: Builder) -> Builder {
    shop.network("NL-AMS")
        .pools(9)
        .network("DE-BER")
        .pools(9)
        .coupon("MYCODE", "percent_off = 10")
}
