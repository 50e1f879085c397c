//! The contract's own curl lines, and the shapes of its own answers.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testbed::on_both_engines;
use testbed::turnpike::{Builder, Turnpike};

on_both_engines!(the_contracts_own_curl_lines_give_the_contracts_own_answers);

/// The ids that stand in the contract's examples.
const PLAN: &str = "k17m3q5v7n9p1r2t4w6y8z0a";
const RENEWAL_PLAN: &str = "q2w4e6r8t0y2u4i6o8p0a2s4";
const SUBSCRIPTION: &str = "j97b2f6m1k4n8p3r5t7v9x0z";
const NETWORK: &str = "b1c2d3e4f5g6h7j8k9m0n1p2";

fn the_contracts_own_curl_lines_give_the_contracts_own_answers(with: Builder) {
    let shop = with.network("NL-AMS").pools(2).network("DE-BER").pools(2).start();
    let plan = shop.plan("NL-AMS", "private");
    let mut contract = Contract {
        shop: &shop,
        ids: vec![(PLAN, plan.clone()), (RENEWAL_PLAN, plan)],
    };

    contract.holds(
        r#"curl -sS -H "x-api-key: $API_KEY" "$BASE/api/proxy?op=plans""#,
        &json!({"ok": true, "plans": [{
            "id": "", "connectionType": "private", "durationMs": 1, "priceAmountCents": 1, "popular": true,
            "network": {"name": "", "city": "", "country": "", "networkType": ""}
        }]}),
    );
    let bought = contract.holds(
        r#"curl -sS -X POST -H "x-api-key: $API_KEY" -H "Content-Type: application/json" -d '{"op":"purchase","planId":"k17m3q5v7n9p1r2t4w6y8z0a","repeatCount":3,"quantity":2}' "$BASE/api/proxy""#,
        &json!({"ok": true, "subscriptionId": "", "subscriptionIds": [""], "subscriptions": [subscription()]}),
    );
    let id = bought["subscriptionId"].as_str().unwrap().to_owned();
    assert_eq!(bought["subscriptionIds"].as_array().unwrap().len(), 2);
    contract.ids.push((SUBSCRIPTION, id));
    contract.holds(
        r#"curl -sS -H "x-api-key: $API_KEY" "$BASE/api/proxy?op=subscriptions""#,
        &json!({"ok": true, "subscriptions": [subscription()]}),
    );
    contract.holds(
        r#"SUB_ID="j97b2f6m1k4n8p3r5t7v9x0z"
           curl -sS -H "x-api-key: $API_KEY" "$BASE/api/proxy?op=renewal-plans&subscriptionId=$SUB_ID""#,
        &json!({"ok": true, "renewalPlans": [
            {"id": "", "connectionType": "private", "durationMs": 1, "priceAmountCents": 1}
        ]}),
    );
    let networks = contract.holds(
        r#"SUB_ID="j97b2f6m1k4n8p3r5t7v9x0z"
           curl -sS -H "x-api-key: $API_KEY" "$BASE/api/proxy?op=available-networks&subscriptionId=$SUB_ID""#,
        &json!({"ok": true, "networks": [{"id": "", "networkLabel": "DE-BER Berlin", "country": "DE"}]}),
    );
    contract
        .ids
        .push((NETWORK, networks["networks"][0]["id"].as_str().unwrap().to_owned()));
    contract.holds(
        r#"curl -sS -X POST -H "x-api-key: $API_KEY" -H "Content-Type: application/json" -d '{"op":"renew","subscriptionId":"j97b2f6m1k4n8p3r5t7v9x0z","planId":"q2w4e6r8t0y2u4i6o8p0a2s4","repeatCount":3}' "$BASE/api/proxy""#,
        &json!({"ok": true, "subscriptionId": "", "endAt": 1}),
    );
    contract.holds(
        r#"curl -sS -X POST -H "x-api-key: $API_KEY" -H "Content-Type: application/json" -d '{"op":"change-credentials","subscriptionId":"j97b2f6m1k4n8p3r5t7v9x0z"}' "$BASE/api/proxy""#,
        &json!({"ok": true, "password": "", "vpn": ""}),
    );
    contract.holds(
        r#"curl -sS -X POST -H "x-api-key: $API_KEY" -H "Content-Type: application/json" -d '{"op":"set-rotation-policy","subscriptionId":"j97b2f6m1k4n8p3r5t7v9x0z","rotationPolicy":10}' "$BASE/api/proxy""#,
        &json!({"ok": true}),
    );
    contract.holds(
        r#"curl -sS -X POST -H "x-api-key: $API_KEY" -H "Content-Type: application/json" -d '{"op":"switch-network","subscriptionId":"j97b2f6m1k4n8p3r5t7v9x0z","targetNetwork":"b1c2d3e4f5g6h7j8k9m0n1p2"}' "$BASE/api/proxy""#,
        &json!({"ok": true, "subscription": subscription()}),
    );
}

/// A row of `op=subscriptions`.
fn subscription() -> Value {
    json!({
        "subscriptionId": "", "status": "active", "activeUntil": 1, "userNote": "", "rotationPolicy": 10,
        "label": "12001 - NL - Private", "networkLabel": "NL-AMS Amsterdam",
        "credentials": {"username": "", "password": ""},
        "protocols": {"http": "", "socks5": "", "vless": "", "shadowsocks": ""},
        "rotate": {"rotatePath": "/r/abcd1234", "available": true}
    })
}

/// The contract's lines, with the ids of this shop in the place of the examples'.
struct Contract<'a> {
    shop: &'a Turnpike,
    ids: Vec<(&'static str, String)>,
}

impl Contract<'_> {
    /// Pastes a line into a shell; its answer must have the example's fields and types, no fewer, and none but those that are known to be more.
    #[track_caller]
    fn holds(&self, line: &str, example: &Value) -> Value {
        let line = self
            .ids
            .iter()
            .fold(line.to_owned(), |line, (example, ours)| line.replace(example, ours));
        let mut shell = Command::new("bash");
        shell
            .args(["-euc", &line])
            .env("BASE", self.shop.url(""))
            .env("API_KEY", &self.shop.key)
            .env("no_proxy", "*");
        let output = shell.stdin(Stdio::null()).output().unwrap();
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let answer = serde_json::from_slice(&output.stdout).unwrap();
        assert_same_shape(example, &answer, "answer");
        answer
    }
}

/// What plans, subscriptions and their list tell beyond the contract, which existing clients do not look at.
const MORE: [&str; 3] = ["limits", "subscriptionUrl", "usage"];

#[track_caller]
fn assert_same_shape(example: &Value, answer: &Value, place: &str) {
    match (example, answer) {
        (Value::Object(example), Value::Object(answer)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<BTreeSet<_>>();
            let mut known = names(answer);
            known.retain(|name| !MORE.contains(&name.as_str()));
            assert_eq!(names(example), known, "{place}");
            for (name, value) in example {
                assert_same_shape(value, &answer[name], &format!("{place}.{name}"));
            }
        }
        (Value::Array(example), Value::Array(answer)) => {
            assert!(!answer.is_empty(), "{place} is empty");
            for value in answer {
                assert_same_shape(&example[0], value, &format!("{place}[]"));
            }
        }
        (Value::Number(_), Value::Number(number)) => assert!(number.is_i64(), "{place} is {number}"),
        (Value::Bool(_), Value::Bool(_)) | (Value::String(_), Value::String(_)) => {}
        _ => panic!("{place} is {answer}, and {example} in the contract"),
    }
}
