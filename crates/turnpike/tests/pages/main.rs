//! The pages in a real browser: Chromium, driven by Playwright, judged by axe-core.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and shows what it did"
)]

mod failing;
mod first_operator;
mod heard;
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
/// One whose subscription renews itself.
const THIRD: &str = "cleo@example.com";
const ORDERS: usize = 8;
/// One whose every order is given back for a hostile reason, and how many he has.
const FOURTH: &str = "dan@example.com";
const REASONS: usize = 40;
/// However busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
/// Subscriptions of one account that nobody can look through by eye.
const MANY: usize = 10_000;

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
    shop.run(&["account", "credit", THIRD, "5000"]);
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

#[test]
fn ten_thousand_subscriptions_are_searched_sorted_and_leafed_through() {
    let Some(mut walk) = browser("many.mjs") else { return };
    let mut shop = Turnpike::with()
        .network("NL-AMS")
        .shared("exit", "127.0.4.1", 500)
        .start();
    let password = account(&shop, EMAIL, &[]);
    shop.run(&["account", "credit", EMAIL, "5000"]);
    let key = shop.key(EMAIL, &[]);
    let order = json!({"op": "purchase", "planId": key.plan("NL-AMS", "shared")});
    let _ = key.order(&order).expect_status(200);
    let database = Connection::open(shop.home().join("turnpike.db")).expect("the database");
    let kept = shop.home().join("kept.db");
    database
        .execute("VACUUM INTO ?1", [kept.display().to_string()])
        .expect("keeping the database");
    multiply(&database);
    walk.env("SHOP", shop.url("").trim_end_matches('/'))
        .env("EMAIL", EMAIL)
        .env("PASSWORD", password);
    done(&mut walk);
    // Nobody has paid for them, which the audit at the end would tell: the shop becomes what it was.
    drop(database);
    shop.stop();
    for beside in ["turnpike.db-wal", "turnpike.db-shm"] {
        let _ = std::fs::remove_file(shop.home().join(beside));
    }
    std::fs::rename(kept, shop.home().join("turnpike.db")).expect("the database as it was");
}

/// Writes 9,999 more of the one subscription that there is, each with a note and an end of its own. Gateways are not told of them.
fn multiply(database: &Connection) {
    let mut columns = database
        .prepare("SELECT name FROM pragma_table_info('subscription')")
        .expect("asking for the columns");
    let values: Vec<String> = columns
        .query_map([], |row| row.get(0))
        .expect("the columns")
        .map(|name: rusqlite::Result<String>| match name.expect("a name").as_str() {
            "id" => "printf('many%020d', n)".to_owned(),
            "port" => "port + n".to_owned(),
            "username" => "printf('many%d', n)".to_owned(),
            "rotate_token_hash" => "randomblob(32)".to_owned(),
            "user_note" => "printf('Customer %05d', n)".to_owned(),
            "ends_at" => "ends_at + n * 60000".to_owned(),
            other => other.to_owned(),
        })
        .collect();
    let written = database
        .execute(
            &format!(
                "INSERT INTO subscription WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {MANY} - 1)
                 SELECT {} FROM subscription, number",
                values.join(", ")
            ),
            [],
        )
        .expect("writing subscriptions");
    assert_eq!(written, MANY - 1);
}

/// Runs a script to its end, which must be a good one.
#[track_caller]
fn done(walk: &mut Command) {
    let ended = walk.status().expect("starting node");
    assert!(ended.success(), "what failed is told above");
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
