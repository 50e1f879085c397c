//! Accounts, money, orders and keys by `/api/admin/…`.

use http::Method;
use serde_json::{Value, json};
use turnpike_shop::api_key::NewApiKey;
use turnpike_shop::types::Span;

use super::{Desk, NOBODY, ROOT};
use crate::tests::site::{Site, on_both_engines};
use crate::tests::world::{ALICE, NOW};

on_both_engines! {
    money_is_booked_once_and_the_log_tells_by_which_key,
    an_order_is_refunded_once,
    accounts_are_found_suspended_and_resumed,
    a_key_is_allowed_to_give_trials,
    what_an_account_has_is_told_page_by_page,
}

async fn money_is_booked_once_and_the_log_tells_by_which_key(site: &Site) {
    let desk = Desk::new(site).await;
    let alice = desk.alice().await;
    let path = format!("accounts/{alice}/bookings");
    let wish = json!({
        "direction": "credit", "amountCents": 1_250, "reason": "<b>transfer</b>", "bookingId": "booking00000000000000001",
    });
    assert_eq!(
        desk.send(Method::POST, &path, wish.clone()).await,
        json!({"ok": true, "balanceCents": 51_250})
    );
    desk.assert_logged("account.credit", ALICE).await;
    let again = desk.refused(Method::POST, &path, wish).await;
    assert_eq!(again, (409, "booked_already".to_owned()));
    let debit = |cents: i64, id: &str| json!({"direction": "debit", "amountCents": cents, "reason": "back", "bookingId": format!("booking0000000000000000{id}")});
    let taken = desk.send(Method::POST, &path, debit(250, "2")).await;
    assert_eq!(taken["balanceCents"], 51_000);
    desk.assert_logged("account.debit", ALICE).await;
    let more = desk.refused(Method::POST, &path, debit(51_001, "3")).await;
    assert_eq!(more, (409, "over_debit".to_owned()));
    for (member, wrong, code) in [
        ("direction", json!("sideways"), "invalid_field"),
        ("amountCents", json!(0), "invalid_field"),
        ("amountCents", json!(-5), "invalid_field"),
        ("amountCents", json!(1.5), "invalid_field"),
        ("amountCents", json!("5"), "invalid_field"),
        ("amountCents", json!(i64::MAX), "invalid_field"),
        ("reason", json!(" "), "unfit_reason"),
        ("reason", json!("a\nb"), "unfit_reason"),
        ("bookingId", json!("x"), "invalid_field"),
        ("bookingId", Value::Null, "invalid_field"),
    ] {
        let mut wish = debit(1, "4");
        wish[member] = wrong.clone();
        let refused = desk.refused(Method::POST, &path, wish).await;
        assert_eq!(refused, (400, code.to_owned()), "{member}: {wrong}");
    }
    let nobody = desk
        .refused(Method::POST, &format!("accounts/{NOBODY}/bookings"), debit(1, "4"))
        .await;
    assert_eq!(nobody, (404, "unknown_account".to_owned()));
    let ledger = desk.get(&format!("accounts/{alice}/ledger?limit=2")).await;
    assert_eq!(ledger["lines"][0]["amountCents"], -250);
    assert_eq!(ledger["lines"][1]["note"], "<b>transfer</b>");
    let next = ledger["nextCursor"].as_str().unwrap();
    let rest = desk
        .get(&format!("accounts/{alice}/ledger?limit=2&cursor={next}"))
        .await;
    assert_eq!(rest["lines"].as_array().unwrap().len(), 1);
    assert_eq!(desk.world.balance(ALICE).await, 51_000);
}

async fn an_order_is_refunded_once(site: &Site) {
    let desk = Desk::new(site).await;
    desk.world.subscription().await;
    desk.world.subscription().await;
    let first = desk.get("orders?limit=1").await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = desk.get(&format!("orders?limit=1&cursor={cursor}")).await;
    assert!(second["nextCursor"].is_null(), "{second}");
    let id = first["orders"][0]["orderId"].as_str().unwrap();
    assert_ne!(second["orders"][0]["orderId"], id);
    let (path, alice) = (format!("orders/{id}"), desk.alice().await);
    let of_alice = desk.get(&format!("orders?accountId={alice}")).await;
    assert_eq!(of_alice["orders"].as_array().unwrap().len(), 2);
    let none = desk.get(&format!("orders?accountId={NOBODY}")).await;
    assert_eq!(none["orders"], json!([]));
    let (wish, to) = (json!({"reason": "it did not work"}), format!("{path}/refund"));
    let refund = desk.send(Method::POST, &to, wish.clone()).await;
    assert_eq!(
        (&refund["amountCents"], &refund["balanceCents"]),
        (&json!(1_200), &json!(48_800))
    );
    desk.assert_logged("order.refund", id).await;
    let again = desk.refused(Method::POST, &to, wish.clone()).await;
    assert_eq!(again, (409, "refunded_already".to_owned()));
    let nobodys = desk
        .refused(Method::POST, &format!("orders/{NOBODY}/refund"), wish)
        .await;
    assert_eq!(nobodys, (404, "unknown_order".to_owned()));
    let unfit = desk.refused(Method::POST, &to, json!({"reason": ""})).await;
    assert_eq!(unfit, (400, "unfit_reason".to_owned()));
    let whole = desk.get(&path).await;
    assert!(whole["order"]["refundedAt"].is_number(), "{whole}");
    assert_eq!(whole["lines"].as_array().unwrap().len(), 1);
    let bookings = whole["bookings"].as_array().unwrap();
    let sum: i64 = bookings.iter().map(|line| line["amountCents"].as_i64().unwrap()).sum();
    assert_eq!((bookings.len(), sum), (4, 0), "{whole}");
}

async fn accounts_are_found_suspended_and_resumed(site: &Site) {
    let desk = Desk::new(site).await;
    let alice = desk.alice().await;
    let (mut path, mut seen) = ("accounts?limit=1".to_owned(), Vec::new());
    loop {
        let page = desk.get(&path).await;
        seen.extend(page["accounts"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("accounts?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    let operators = desk.get("accounts?role=operator&status=active").await;
    assert_eq!(operators["accounts"][0]["email"], ROOT);
    for wrong in ["role=king", "status=", "limit=0", "cursor=x", "cursor=1", "cursor=.x"] {
        let refused = desk
            .refused(Method::GET, &format!("accounts?{wrong}"), Value::Null)
            .await;
        assert_eq!(refused, (400, "invalid_field".to_owned()), "{wrong}");
    }
    let status = format!("accounts/{alice}/status");
    let stopped = desk.send(Method::PUT, &status, json!({"status": "suspended"})).await;
    assert_eq!(stopped["account"]["status"], "suspended");
    desk.assert_logged("account.suspend", ALICE).await;
    assert_eq!(
        desk.world.get("op=plans").send().await.error(),
        (403, "account_suspended".to_owned())
    );
    assert_eq!(
        desk.send(Method::PUT, &status, json!({"status": "active"})).await["account"],
        desk.get(&format!("accounts/{alice}")).await["account"]
    );
    desk.assert_logged("account.resume", ALICE).await;
    assert_eq!(desk.world.get("op=plans").send().await.status, 200);
    let root = operators["accounts"][0]["accountId"].as_str().unwrap();
    let own = format!("accounts/{root}/status");
    let own = desk.refused(Method::PUT, &own, json!({"status": "suspended"})).await;
    assert_eq!(own, (409, "own_account".to_owned()));
    let gone = desk.refused(Method::PUT, &status, json!({"status": "gone"})).await;
    assert_eq!(gone, (400, "invalid_field".to_owned()));
}

async fn a_key_is_allowed_to_give_trials(site: &Site) {
    let desk = Desk::new(site).await;
    let plain = NewApiKey {
        name: "plain".to_owned(),
        ..NewApiKey::default()
    };
    desk.world.key_of(ALICE, plain).await;
    let alice = desk.alice().await;
    let keys = desk.get(&format!("accounts/{alice}/keys")).await;
    let keys = keys["keys"].as_array().unwrap();
    let plain = keys.iter().find(|key| key["name"] == "plain").unwrap();
    let id = plain["keyId"].as_str().unwrap();
    assert_eq!(
        (&plain["allowTrial"], &plain["operator"]),
        (&json!(false), &json!(false))
    );
    let path = format!("accounts/{alice}/keys/{id}/trial");
    let allowed = desk.send(Method::PUT, &path, json!({"allowTrial": true})).await;
    assert_eq!(allowed["key"]["allowTrial"], true);
    desk.assert_logged("key.trial", id).await;
    let root = desk.get("accounts?role=operator").await["accounts"][0]["accountId"].clone();
    let others = format!("accounts/{}/keys/{id}/trial", root.as_str().unwrap());
    let others = desk.refused(Method::PUT, &others, json!({"allowTrial": true})).await;
    assert_eq!(others, (404, "unknown_api_key".to_owned()));
    let unsaid = desk.refused(Method::PUT, &path, json!({})).await;
    assert_eq!(unsaid, (400, "invalid_field".to_owned()));
}

async fn what_an_account_has_is_told_page_by_page(site: &Site) {
    let desk = Desk::new(site).await;
    let alice = desk.alice().await;
    let path = format!("accounts/{alice}/subscriptions");
    assert_eq!(desk.get(&path).await, json!({"ok": true, "subscriptions": []}));
    let mut bought = Vec::new();
    for _ in 0..3 {
        bought.push(desk.world.subscription().await);
        desk.world.advance(Span::hours(1));
    }
    let (mut page, mut seen) = (format!("{path}?limit=1"), Vec::new());
    loop {
        let shown = desk.get(&page).await;
        seen.extend(shown["subscriptions"].as_array().unwrap().clone());
        match shown["nextCursor"].as_str() {
            Some(cursor) => page = format!("{path}?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    let ids: Vec<&Value> = seen.iter().map(|one| &one["subscriptionId"]).collect();
    let newest_first: Vec<&Value> = bought.iter().rev().map(|one| &one["subscriptionId"]).collect();
    assert_eq!(ids, newest_first);
    let (first, told) = (&bought[0], &seen[2]);
    let ends = first["activeUntil"].as_i64().unwrap();
    assert_eq!(
        *told,
        json!({
            "subscriptionId": first["subscriptionId"], "port": 12_001, "status": "active", "connectionType": "private",
            "network": "NL-AMS", "city": "Amsterdam", "country": "NL", "startedAt": NOW.0, "endAt": ends, "userNote": "",
            "renewsItself": false,
        }),
        "and nothing that opens its port"
    );
    let found = desk.get(&format!("{path}?search=12002")).await;
    assert_eq!(found["subscriptions"].as_array().unwrap().len(), 1, "{found}");
    desk.world.advance(Span::days(30));
    assert_eq!(desk.get(&path).await["subscriptions"][2]["status"], "expired");
    for wrong in ["limit=0", "limit=101", "cursor=x", "cursor=1.x"] {
        let refused = desk.refused(Method::GET, &format!("{path}?{wrong}"), Value::Null).await;
        assert_eq!(refused, (400, "invalid_field".to_owned()), "{wrong}");
    }
    let nobodys = format!("accounts/{NOBODY}/subscriptions");
    let nobodys = desk.refused(Method::GET, &nobodys, Value::Null).await;
    assert_eq!(nobodys, (404, "unknown_account".to_owned()));
}
