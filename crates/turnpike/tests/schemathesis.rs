//! Schemathesis reads `/openapi.json` and `/api/admin/openapi.json` and sends the server what that allows and what it does not. Nothing may fail inside the
//! server, nothing may come that is not in the document, and what the document forbids must be refused.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and shows what it did"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use testbed::turnpike::{Builder, Turnpike};
use testbed::{python, python_environment, skip};

/// How many requests are made up for each path and method, beside those that try every limit of every field.
const EXAMPLES: &str = "50";

/// The same for the one path that all operations share.
const EXAMPLES_OF_OPERATIONS: u32 = 150;

/// Where it is told; the command line has no such option.
fn settings() -> String {
    format!(
        "[[operations]]\ninclude-path = \"/api/proxy\"\n[operations.generation]\nmax-examples = {EXAMPLES_OF_OPERATIONS}\n"
    )
}

/// What must have succeeded at least once; else the requests never got past the first checks and prove little.
const MUST_SUCCEED: [&str; 37] = [
    "plans",
    "subscriptions",
    "available-networks",
    "renewal-plans",
    "purchase",
    "renew",
    "trial",
    "change-credentials",
    "set-rotation-policy",
    "switch-network",
    "set-allowed-addresses",
    "allowed-addresses",
    "refusals",
    "rotate-links",
    "create-rotate-link",
    "renew-rotate-link",
    "revoke-rotate-link",
    "renew-subscription-url",
    "GET /r/{token}",
    "GET /status/{token}",
    "GET /sub/{token}",
    "GET /ip",
    "GET /readyz",
    "GET /api/v1/account",
    "GET /api/v1/balance",
    "GET /api/v1/ledger",
    "GET /api/v1/keys",
    "GET /api/v1/sessions",
    "GET /api/v1/traffic",
    "POST /api/v1/price",
    "POST /api/v1/subscriptions/{subscriptionId}/renewal-price",
    "PUT /api/v1/subscriptions/{subscriptionId}/note",
    "GET /api/v1/subscriptions/{subscriptionId}/auto-renew",
    "PUT /api/v1/subscriptions/{subscriptionId}/auto-renew",
    "GET /api/v1/notices",
    "PUT /api/v1/notices",
    "GET /api/v1/webhooks",
];

/// The same of operators.
const OPERATORS_MUST_SUCCEED: [&str; 28] = [
    "GET /api/admin/overview",
    "GET /api/admin/networks",
    "GET /api/admin/gateways",
    "GET /api/admin/accounts",
    "GET /api/admin/accounts/{accountId}",
    "GET /api/admin/accounts/{accountId}/ledger",
    "POST /api/admin/accounts/{accountId}/bookings",
    "PUT /api/admin/accounts/{accountId}/status",
    "GET /api/admin/accounts/{accountId}/keys",
    "PUT /api/admin/accounts/{accountId}/keys/{keyId}/trial",
    "GET /api/admin/orders",
    "GET /api/admin/orders/{orderId}",
    "POST /api/admin/orders/{orderId}/refund",
    "GET /api/admin/exits",
    "GET /api/admin/exits/{exitId}",
    "PUT /api/admin/exits/{exitId}/standing",
    "PUT /api/admin/networks/{network}/standing",
    "POST /api/admin/exits/{exitId}/rotate",
    "POST /api/admin/exits/{exitId}/test",
    "GET /api/admin/plans",
    "PUT /api/admin/plans/{code}",
    "DELETE /api/admin/plans/{code}",
    "GET /api/admin/coupons",
    "PUT /api/admin/coupons/{code}",
    "DELETE /api/admin/coupons/{code}",
    "GET /api/admin/catalogue",
    "GET /api/admin/trials",
    "GET /api/admin/audit",
];

const COUPON: &str = "MYCODE";

#[test]
fn the_server_keeps_to_its_openapi_document() {
    check(shop());
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn the_server_keeps_to_its_openapi_document_on_postgres() {
    check(shop().postgres());
}

#[test]
fn the_server_keeps_to_its_operators_document() {
    check_operators(shop());
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn the_server_keeps_to_its_operators_document_on_postgres() {
    check_operators(shop().postgres());
}

fn shop() -> Builder {
    Turnpike::with()
        // So that wrong keys can come from many addresses: one address is soon not listened to any more.
        .set("server.trusted_proxies", "[\"127.0.0.1\"]")
        .ports(120)
        .network("NL-AMS")
        .pool("nl-1", &["127.0.0.11", "127.0.0.12"])
        .pool("nl-2", &["127.0.0.13", "127.0.0.14"])
        .shared("nl-shared", "127.0.0.21", 40)
        .network("DE-BER")
        .pool("de-1", &["127.0.0.31", "127.0.0.32"])
        .pool("de-2", &["127.0.0.33", "127.0.0.34"])
        .shared("de-shared", "127.0.0.41", 40)
        .coupon(COUPON, "percent_off = 10")
}

fn check(shop: Builder) {
    let Some(program) = program() else { return };
    let shop = shop.start();
    for (network, connection_type) in [("NL-AMS", "private"), ("DE-BER", "shared"), ("NL-AMS", "shared")] {
        let order = json!({"op": "purchase", "planId": shop.plan(network, connection_type)});
        let _bought = shop.order(&order).expect_status(200);
    }
    let key = shop.key.clone();
    run(&program, &shop, "/openapi.json", &key, &hooks(""), &MUST_SUCCEED);
}

fn check_operators(shop: Builder) {
    let Some(program) = program() else { return };
    let shop = shop.start();
    for _ in 0..20 {
        let order = json!({"op": "purchase", "planId": shop.plan("NL-AMS", "shared")});
        let _bought = shop.order(&order).expect_status(200);
    }
    shop.run(&["account", "create", "root@example.com", "--admin"]);
    let key = shop.key("root@example.com", &["--operator"]).key.clone();
    let document = "/api/admin/openapi.json";
    run(
        &program,
        &shop,
        document,
        &key,
        &hooks("_admin"),
        &OPERATORS_MUST_SUCCEED,
    );
    shop.audit();
}

fn program() -> Option<PathBuf> {
    let program = python_environment().join("bin/schemathesis");
    let is_there = python().is_some() && program.is_file();
    if !is_there {
        skip("no Schemathesis: cargo xtask setup installs it");
    }
    is_there.then_some(program)
}

fn run(program: &Path, shop: &Turnpike, document: &str, key: &str, hooks: &Path, must_succeed: &[&str]) {
    let record = shop.home().join("record.json");
    fs::write(shop.home().join("schemathesis.toml"), settings()).expect("writing Schemathesis' settings");
    let run = Command::new(program)
        .current_dir(shop.home())
        .arg("run")
        .arg(shop.url(document))
        .args(["--header", &format!("x-api-key: {key}")])
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            EXAMPLES,
            "--continue-on-failure",
        ])
        // A document cannot say which ids exist, so what it allows is not always accepted. The rest of the checks count.
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        // The same requests in every run. Without the database of earlier examples, too.
        .args([
            "--seed",
            "1",
            "--generation-database",
            "none",
            "--warnings",
            "off",
            "--no-color",
        ])
        .env("NO_PROXY", "127.0.0.1")
        .env("SCHEMATHESIS_HOOKS", hooks)
        .env("SHOP", shop.url(""))
        .env("KEY", key)
        .env("COUPON", COUPON)
        .env("RECORD", &record)
        .output()
        .expect("starting Schemathesis");
    let (said, complained) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert!(run.status.success(), "{said}{complained}");
    let record = fs::read(record).expect("the record of what came");
    let record: BTreeMap<String, BTreeMap<String, u32>> = serde_json::from_slice(&record).expect("a record");
    for operation in must_succeed {
        let statuses = record.get(*operation);
        assert!(
            statuses.is_some_and(|statuses| statuses.contains_key("200")),
            "{operation} never succeeded: {statuses:?} of {record:?}"
        );
    }
    println!("{record:?}");
}

fn hooks(whose: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/clients/schemathesis{whose}_hooks.py"))
}
