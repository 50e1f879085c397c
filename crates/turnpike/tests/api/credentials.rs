//! Keys and tokens: what each may do, and for how long.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};
use testbed::http;
use testbed::on_both_engines;
use testbed::turnpike::Builder;

use crate::errors::assert_error;

on_both_engines!(
    keys_do_what_they_are_made_for_until_they_are_revoked,
    tokens_stand_in_for_keys
);

fn keys_do_what_they_are_made_for_until_they_are_revoked(with: Builder) {
    let shop = with.network("NL-AMS").pools(2).start();
    let reader = shop.key(&shop.email, &["--read-only"]);
    let buyer = shop.key(&shop.email, &[]);
    let plan = shop.plan("NL-AMS", "private");
    let _ = reader.ask("subscriptions").expect_status(200);
    let purchase = json!({"op": "purchase", "planId": plan});
    assert_error(
        &reader.order(&purchase),
        403,
        "read_only_key",
        None,
        "a purchase with a read-only key",
    );
    let trial = json!({"op": "trial", "planId": plan});
    assert_error(
        &buyer.order(&trial),
        403,
        "trial_not_permitted",
        None,
        "a trial without permission",
    );
    let _ = shop.order(&trial).expect_status(200);
    assert_error(&shop.order(&trial), 403, "trial_used", None, "a second trial");

    let listed: Value = serde_json::from_str(&shop.run(&["key", "list", &shop.email, "--json"])).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    for key in listed.as_array().unwrap() {
        shop.run(&["key", "revoke", key["id"].as_str().unwrap()]);
    }
    for customer in [&*shop, &reader, &buyer] {
        assert_error(&customer.ask("plans"), 401, "unauthorized", None, "a revoked key");
    }
}

fn tokens_stand_in_for_keys(with: Builder) {
    const EMAIL: &str = "person@example.com";
    let shop = with.network("NL-AMS").pools(1).start();
    let mut create = shop.command(&["account", "create", EMAIL, "--password-stdin"]);
    let mut create = create.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    create
        .stdin
        .take()
        .unwrap()
        .write_all(b"correct horse battery staple\n")
        .unwrap();
    assert!(create.wait().unwrap().success());

    let log_in = |password: &str| {
        let body = json!({"email": EMAIL, "password": password}).to_string();
        http::request(
            shop.api(),
            "POST",
            "/api/auth/token",
            &[("content-type", "application/json")],
            body.as_bytes(),
        )
    };
    let plans_by = |token: &str| {
        let bearer = format!("Bearer {token}");
        http::request(
            shop.api(),
            "GET",
            "/api/proxy?op=plans",
            &[("authorization", &bearer)],
            b"",
        )
    };
    assert_error(&log_in("wrong horse"), 401, "wrong_login", None, "a wrong password");
    let told = log_in("correct horse battery staple").expect_status(200).json();
    let token = told["token"].as_str().expect("a token");
    let _ = plans_by(token).expect_status(200);
    let forged = format!("{}x", &token[..token.len() - 1]);
    assert_error(&plans_by(&forged), 401, "unauthorized", None, "a forged token");
    shop.run(&["account", "suspend", EMAIL]);
    assert_error(
        &plans_by(token),
        403,
        "account_suspended",
        None,
        "the token of a suspended account",
    );
}
