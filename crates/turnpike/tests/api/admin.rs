//! The operators' API by the real binary: the catalogue's own rules, an exit that is really rotated, and keys of the command line.

use std::net::TcpStream;

use serde_json::{Value, json};
use testbed::http::Answer;
use testbed::on_both_engines;
use testbed::turnpike::{Builder, Customer};

use crate::errors::assert_error;

on_both_engines!(
    the_catalogue_is_changed_by_its_own_rules_and_read_back,
    an_exit_is_rotated_tested_and_disabled_under_a_customers_feet,
    only_an_operator_has_an_operators_key
);

const ROOT: &str = "root@example.com";

fn send(desk: &Customer, method: &str, path: &str, body: &Value) -> Answer {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    desk.request(method, &format!("/api/admin/{path}"), &[], body.as_bytes())
}

fn done(desk: &Customer, method: &str, path: &str, body: &Value) -> Value {
    send(desk, method, path, body).expect_status(200).json()
}

#[track_caller]
fn refused(desk: &Customer, method: &str, path: &str, body: &Value, status: u16, code: &str) {
    assert_error(&send(desk, method, path, body), status, code, None, path);
}

fn the_catalogue_is_changed_by_its_own_rules_and_read_back(with: Builder) {
    let shop = with.network("NL-AMS").pools(3).start();
    shop.run(&["account", "create", ROOT, "--admin"]);
    let desk = shop.key(ROOT, &["--operator"]);
    let plan = json!({
        "network": "NL-AMS", "connectionType": "private", "duration": "7d", "priceCents": 700, "trial": "1h", "maxConnections": 9,
    });
    let made = done(&desk, "PUT", "plans/nl-week", &plan);
    assert_eq!(made["changes"][0]["change"], "create", "{made}");
    let listed = done(&desk, "GET", "plans", &Value::Null);
    let listed = listed["plans"].as_array().unwrap();
    let ours = listed.iter().find(|plan| plan["code"] == "nl-week").unwrap();
    for (name, value) in plan.as_object().unwrap() {
        assert_eq!(&ours[name], value, "{name}");
    }
    for (member, wrong) in [
        ("duration", json!("5000d")),
        ("network", json!("XX-YYY")),
        ("maxConnections", json!(0)),
    ] {
        let mut other = plan.clone();
        other[member] = wrong;
        refused(&desk, "PUT", "plans/nl-week", &other, 400, "invalid_catalogue");
    }

    let coupon = json!({"percentOff": 50, "maxRedemptions": 2, "validUntil": 4_000_000_000_000_i64});
    let _ = done(&desk, "PUT", "coupons/SPRING", &coupon);
    let listed = done(&desk, "GET", "coupons", &Value::Null);
    assert_eq!(listed["coupons"][0]["validUntil"], 4_000_000_000_000_i64);
    let both = json!({"percentOff": 50, "centsOff": 50});
    refused(&desk, "PUT", "coupons/BOTH", &both, 400, "invalid_catalogue");

    // What is exported is what there is: read back, it changes nothing, until a line of it is changed.
    let exported = done(&desk, "GET", "catalogue", &Value::Null);
    let text = exported["text"].as_str().unwrap();
    let same = done(&desk, "PUT", "catalogue", &json!({"text": text}));
    assert_eq!(same["changes"], json!([]), "{same}");
    let dearer = text.replace("price_cents = 700", "price_cents = 900");
    let looked = done(&desk, "PUT", "catalogue", &json!({"text": dearer}));
    assert_eq!(
        (&looked["applied"], looked["changes"].as_array().unwrap().len()),
        (&json!(false), 1)
    );
    let applied = done(
        &desk,
        "PUT",
        "catalogue",
        &json!({"text": dearer, "seen": looked["seen"]}),
    );
    assert_eq!(applied["applied"], true);
    let week = done(&desk, "GET", "plans", &Value::Null);
    let week = week["plans"].as_array().unwrap();
    assert!(week.iter().any(|plan| plan["priceCents"] == 900), "{week:?}");
    let gone = done(&desk, "DELETE", "plans/nl-week", &Value::Null);
    assert_eq!(gone["changes"][0]["change"], "deactivate");
}

fn an_exit_is_rotated_tested_and_disabled_under_a_customers_feet(with: Builder) {
    let shop = with
        .network("NL-AMS")
        .pool("one", &["127.0.0.11", "127.0.0.12"])
        .start();
    shop.run(&["account", "create", ROOT, "--admin"]);
    let desk = shop.key(ROOT, &["--operator"]);
    let bought = shop.buy("NL-AMS");
    let exits = done(&desk, "GET", "exits?search=one", &Value::Null);
    let id = exits["exits"][0]["exitId"].as_str().unwrap().to_owned();
    assert_eq!(exits["exits"][0]["taken"], 1);
    let rotated = done(&desk, "POST", &format!("exits/{id}/rotate"), &json!({}));
    assert_ne!(rotated["address"], rotated["previousAddress"], "{rotated}");
    let address = rotated["address"].as_str().unwrap();
    assert!(["127.0.0.11", "127.0.0.12"].contains(&address), "{rotated}");
    let tested = done(&desk, "POST", &format!("exits/{id}/test"), &json!({}));
    let state = tested["test"]["state"].as_str().unwrap();
    assert!(["works", "fails"].contains(&state), "{tested}");
    let standing = format!("exits/{id}/standing");
    let _ = done(&desk, "PUT", &standing, &json!({"standing": "disabled"}));
    // The answer comes when the gateway has applied it.
    assert!(TcpStream::connect(bought.port).is_err());
    let _ = done(&desk, "PUT", &standing, &json!({"standing": "open"}));
    assert!(TcpStream::connect(bought.port).is_ok());
    let log = done(&desk, "GET", "audit?action=exit.", &Value::Null);
    let log = log["entries"].as_array().unwrap();
    let actions: Vec<_> = log.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["exit.standing", "exit.standing", "exit.test", "exit.rotate"]);
    for entry in log {
        assert_eq!((&entry["actor"], &entry["source"]), (&json!(ROOT), &json!("127.0.0.1")));
        assert!(desk.key.contains(entry["keyId"].as_str().unwrap()), "{entry}");
    }
}

fn only_an_operator_has_an_operators_key(with: Builder) {
    let shop = with.network("NL-AMS").pools(1).start();
    let refusal = shop.try_run(&["key", "create", &shop.email, "--operator"]);
    let said = String::from_utf8_lossy(&refusal.stderr);
    assert!(
        !refusal.status.success() && said.contains("is a customer's account"),
        "{said}"
    );
    refused(&shop, "GET", "overview", &Value::Null, 403, "operators_only");
    shop.run(&["account", "create", ROOT, "--admin"]);
    let reading = shop.key(ROOT, &["--operator", "--read-only"]);
    let overview = done(&reading, "GET", "overview", &Value::Null);
    assert_eq!(overview["activeSubscriptions"], 0);
    let path = "exits/aaaaaaaaaaaaaaaaaaaaaaaa/standing";
    let opened = json!({"standing": "open"});
    refused(&reading, "PUT", path, &opened, 403, "read_only_key");
    let listed = shop.run(&["key", "list", ROOT]);
    assert!(listed.contains("read, operator"), "{listed}");
}
