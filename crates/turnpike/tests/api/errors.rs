//! What is refused, with its status and what programs read of it.

use serde_json::{Value, json};
use testbed::http::Answer;
use testbed::on_both_engines;
use testbed::turnpike::Builder;

on_both_engines!(every_row_of_the_error_table, a_foreign_subscription_is_not_found);

fn every_row_of_the_error_table(with: Builder) {
    let shop = with
        .balance(1_500)
        .network("NL-AMS")
        .pools(1)
        .shared("shared", "127.0.3.1", 1)
        .network("DE-BER")
        .plan("private", "duration = \"1d\"\nprice_cents = 1000000")
        .coupon("GONE", "percent_off = 10\nvalid_until = \"2020-01-01T00:00:00Z\"")
        .start();
    let plan = shop.plan("NL-AMS", "private");
    let empty = shop.plan("DE-BER", "private");
    let (shared, own) = (shop.buy_shared("NL-AMS").id, shop.buy("NL-AMS").id);
    let unknown = "a".repeat(24);
    let purchase = |field: &str, value: Value| json!({"op": "purchase", "planId": plan, field: value});
    let of = |op: &str, field: &str, value: Value| json!({"op": op, "subscriptionId": own, field: value});
    for (body, status, code, field) in [
        (json!({}), 400, "unknown_op", Some("op")),
        (json!({"op": "fly"}), 400, "unknown_op", Some("op")),
        (json!({"op": 1}), 400, "unknown_op", Some("op")),
        (json!({"op": "plans"}), 400, "unknown_op", Some("op")),
        (json!({"op": "purchase"}), 400, "invalid_field", Some("planId")),
        (
            json!({"op": "purchase", "planId": 7}),
            400,
            "invalid_field",
            Some("planId"),
        ),
        (
            json!({"op": "purchase", "planId": unknown}),
            400,
            "unknown_plan",
            Some("planId"),
        ),
        (
            json!({"op": "change-credentials"}),
            400,
            "invalid_field",
            Some("subscriptionId"),
        ),
        (
            json!({"op": "renew", "subscriptionId": own}),
            400,
            "invalid_field",
            Some("planId"),
        ),
        (
            json!({"op": "switch-network", "subscriptionId": own}),
            400,
            "invalid_field",
            Some("targetNetwork"),
        ),
        (
            of("switch-network", "targetNetwork", json!(unknown)),
            400,
            "unknown_network",
            Some("targetNetwork"),
        ),
        (
            of("set-rotation-policy", "rotationPolicy", json!(7)),
            400,
            "invalid_field",
            Some("rotationPolicy"),
        ),
        (
            of("set-rotation-policy", "rotationPolicy", json!("10")),
            400,
            "invalid_field",
            Some("rotationPolicy"),
        ),
        (purchase("quantity", json!(0)), 400, "invalid_field", Some("quantity")),
        (purchase("quantity", json!(101)), 400, "invalid_field", Some("quantity")),
        (purchase("quantity", json!(1.5)), 400, "invalid_field", Some("quantity")),
        (purchase("quantity", json!("2")), 400, "invalid_field", Some("quantity")),
        (
            purchase("quantity", json!(true)),
            400,
            "invalid_field",
            Some("quantity"),
        ),
        (
            purchase("repeatCount", json!(-1)),
            400,
            "invalid_field",
            Some("repeatCount"),
        ),
        (
            purchase("repeatCount", json!(2.0)),
            400,
            "invalid_field",
            Some("repeatCount"),
        ),
        (
            purchase("couponCode", json!("UNKNOWN")),
            400,
            "invalid_coupon",
            Some("couponCode"),
        ),
        (
            purchase("couponCode", json!("GONE")),
            400,
            "invalid_coupon",
            Some("couponCode"),
        ),
        (of("renew", "planId", json!(plan)), 402, "insufficient_balance", None),
        (
            json!({"op": "change-credentials", "subscriptionId": unknown}),
            404,
            "subscription_not_found",
            Some("subscriptionId"),
        ),
        (
            of("renew", "planId", json!(empty)),
            409,
            "not_a_renewal_plan",
            Some("planId"),
        ),
        (
            json!({"op": "set-rotation-policy", "subscriptionId": shared, "rotationPolicy": 5}),
            409,
            "rotation_unavailable",
            None,
        ),
    ] {
        assert_error(&shop.order(&body), status, code, field, &body.to_string());
    }
    let post = |body: &[u8]| shop.request("POST", "/api/proxy", &[], body);
    assert_error(&post(b"{"), 400, "invalid_json", None, "half an object");
    assert_error(&post(b"[]"), 400, "body_not_object", None, "an array");
    assert_error(&post(&vec![b' '; 70_000]), 413, "body_too_large", None, "70,000 bytes");
    assert_error(
        &shop.request("PUT", "/api/proxy", &[], b""),
        405,
        "method_not_allowed",
        None,
        "PUT",
    );
    assert_error(&shop.ask("purchase"), 400, "unknown_op", Some("op"), "GET purchase");
    assert_error(
        &shop.request("GET", "/api/proxy", &[], b""),
        400,
        "unknown_op",
        Some("op"),
        "no op",
    );
    assert_error(&shop.get("/api/proxy?op=plans"), 401, "unauthorized", None, "no key");
    assert_error(&shop.get("/api/other"), 404, "not_found", None, "another path");

    // Who has enough money still cannot buy what is not there.
    shop.run(&["account", "credit", &shop.email, "10000000"]);
    assert_error(
        &shop.order(&purchase("quantity", json!(1))),
        409,
        "sold_out",
        None,
        "a sold-out plan",
    );
    assert_error(
        &shop.order(&json!({"op": "purchase", "planId": empty})),
        409,
        "sold_out",
        None,
        "a network without exits",
    );
}

fn a_foreign_subscription_is_not_found(with: Builder) {
    let shop = with.network("NL-AMS").pools(1).start();
    let bought = shop.buy("NL-AMS");
    let stranger = shop.customer("stranger@example.com", 10_000);
    for query in ["renewal-plans", "available-networks"] {
        let answer = stranger.ask(&format!("{query}&subscriptionId={}", bought.id));
        assert_error(&answer, 404, "subscription_not_found", Some("subscriptionId"), query);
    }
    let plan = shop.plan("NL-AMS", "private");
    for op in ["change-credentials", "set-rotation-policy", "switch-network", "renew"] {
        let order = json!({"op": op, "subscriptionId": bought.id, "planId": plan, "rotationPolicy": 5, "targetNetwork": "b".repeat(24)});
        let answer = stranger.order(&order);
        assert_error(&answer, 404, "subscription_not_found", Some("subscriptionId"), op);
    }
    assert_eq!(stranger.subscriptions(), []);
    assert_eq!(shop.subscriptions(), [bought]);
}

/// The whole of an error: its status, what programs read, and that money did not move.
#[track_caller]
pub(crate) fn assert_error(answer: &Answer, status: u16, code: &str, field: Option<&str>, what: &str) {
    let body = answer.json();
    assert_eq!((answer.status, &body["code"]), (status, &json!(code)), "{what}: {body}");
    assert_eq!(
        (&body["ok"], body.get("field")),
        (&json!(false), field.map(|field| json!(field)).as_ref()),
        "{what}: {body}"
    );
    assert!(
        body["error"].as_str().is_some_and(|sentence| sentence.len() > 10),
        "{what}: {body}"
    );
    assert_eq!(body["requestId"].as_str(), answer.header("x-request-id"), "{what}");
    assert_ne!(body.get("charged"), Some(&json!(true)), "{what}");
}
