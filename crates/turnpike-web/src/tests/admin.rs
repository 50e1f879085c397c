//! `/api/admin/…`: who may ask for what, what it does, and that the audit log tells by which key and from where.

use http::Method;
use serde_json::{Value, json};
use turnpike_shop::api_key::NewApiKey;
use turnpike_shop::audit_log::{self, Entry};
use turnpike_shop::catalogue::{self, Catalogue, Plan};
use turnpike_shop::limits::Limits;
use turnpike_shop::types::{Cents, ConnectionType, Role, Span};
use turnpike_shop::{exits, rotation};

use super::site::{Site, on_both_engines};
use super::world::{ALICE, GATEWAY, Reply, World, ask, config, full, token};
use crate::CatalogueText;
use crate::config::WebConfig;

on_both_engines! {
    every_endpoint_refuses_everybody_but_operators,
    a_read_only_key_sees_all_and_changes_nothing,
    money_is_booked_once_and_the_log_tells_by_which_key,
    an_order_is_refunded_once,
    accounts_are_found_suspended_and_resumed,
    a_key_is_allowed_to_give_trials,
    exits_are_steered_and_rotated_and_tested,
    the_catalogue_is_changed_after_a_look_at_the_difference,
    plans_and_coupons_are_made_and_retired,
    the_shop_is_looked_at,
    an_operators_token_works_and_only_operators_have_operators_keys,
}

const ROOT: &str = "root@example.com";
const NOBODY: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";

/// An operator with two keys: one that may do all, one that may only look.
struct Desk {
    world: World,
    key: String,
    looking: String,
}

fn operators() -> NewApiKey {
    NewApiKey {
        name: "desk".to_owned(),
        operator: true,
        ..NewApiKey::default()
    }
}

/// What reads and writes files is the program's; here a text is one word.
fn reader() -> CatalogueText {
    CatalogueText {
        read: |name, text| match text {
            "nothing" => Ok(Catalogue::default()),
            text if text.contains("code = \"new-plan\"") => Ok(Catalogue {
                plans: vec![new_plan()],
                ..Catalogue::default()
            }),
            text if text.contains("code = \"NEW\"\npercent_off = 25\n") => Ok(Catalogue {
                coupons: vec![catalogue::Coupon {
                    code: "NEW".to_owned(),
                    discount: catalogue::Discount::Percent(25),
                    max_redemptions: None,
                    per_account: None,
                    valid_until: None,
                }],
                ..Catalogue::default()
            }),
            _ => Err(format!("{name}, line 1: that is no catalogue")),
        },
        write: |catalogue| format!("{} plans", catalogue.plans.len()),
    }
}

fn new_plan() -> Plan {
    Plan {
        code: "new-plan".to_owned(),
        network: "NL-AMS".to_owned(),
        connection_type: ConnectionType::Private,
        duration: Span::days(7),
        price: Cents(700),
        popular: true,
        trial: None,
        limits: Limits::default(),
    }
}

impl Desk {
    async fn new(site: &Site) -> Self {
        let world = site
            .world_with(WebConfig {
                catalogue: Some(reader()),
                ..config()
            })
            .await;
        world.person(ROOT, Role::Operator).await;
        let key = world.key_of(ROOT, operators()).await;
        let reading = NewApiKey {
            read_only: true,
            ..operators()
        };
        let looking = world.key_of(ROOT, reading).await;
        Self { world, key, looking }
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Reply {
        ask(&self.world, method, path, &self.key, body).await
    }

    async fn get(&self, path: &str) -> Value {
        let reply = self.ask(Method::GET, &format!("/api/admin/{path}"), Value::Null).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Value {
        let reply = self.ask(method, &format!("/api/admin/{path}"), body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    async fn refused(&self, method: Method, path: &str, body: Value) -> (u16, String) {
        self.ask(method, &format!("/api/admin/{path}"), body).await.error()
    }

    /// Alice's id.
    async fn alice(&self) -> String {
        let found = self.get("accounts?search=alice").await;
        assert_eq!(found["accounts"].as_array().unwrap().len(), 1, "{found}");
        found["accounts"][0]["accountId"].as_str().unwrap().to_owned()
    }

    async fn newest(&self) -> Entry {
        audit_log::newest(&self.world.shop, 1).await.unwrap().remove(0)
    }

    /// The newest entry tells what was done, by this desk's key and from this test's address.
    async fn assert_logged(&self, action: &str, subject: &str) {
        let entry = self.newest().await;
        assert_eq!((entry.action.as_str(), entry.subject.as_str()), (action, subject));
        assert_eq!(entry.actor, ROOT);
        assert_eq!(entry.source.as_deref(), Some("192.0.2.1"));
        let key = entry.key.unwrap().to_string();
        assert!(self.key.contains(&key), "{key} is another key");
    }
}

/// Every endpoint that is described, with ids that exist and the body of its example.
async fn endpoints(desk: &Desk) -> Vec<(Method, String, Value, String)> {
    let bought = desk.world.subscription().await;
    assert!(bought["subscriptionId"].is_string());
    let account = desk.alice().await;
    let keys = desk.get(&format!("accounts/{account}/keys")).await;
    let orders = desk.get("orders").await;
    let found = desk.get("exits?limit=1").await;
    let ids = [
        ("{accountId}", account.as_str()),
        ("{keyId}", keys["keys"][0]["keyId"].as_str().unwrap()),
        ("{orderId}", orders["orders"][0]["orderId"].as_str().unwrap()),
        ("{exitId}", found["exits"][0]["exitId"].as_str().unwrap()),
        ("{code}", "new-plan"),
    ];
    let document = crate::admin_openapi("https://shop.example");
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let filled = ids.iter().fold(path.clone(), |path, (name, id)| path.replace(name, id));
        assert!(!filled.contains('{'), "{filled}");
        for (method, described) in methods.as_object().unwrap() {
            let body = described["requestBody"]["content"]["application/json"]["example"].clone();
            let name = described["operationId"].as_str().unwrap().to_owned();
            let method = method.to_uppercase().parse().unwrap();
            all.push((method, filled.clone(), body, name));
        }
    }
    assert_eq!(all.len(), 28, "{all:?}");
    all
}

async fn every_endpoint_refuses_everybody_but_operators(site: &Site) {
    let desk = Desk::new(site).await;
    let world = &desk.world;
    let endpoints = endpoints(&desk).await;
    world.person("stopped@example.com", Role::Operator).await;
    let stopped = world.key_of("stopped@example.com", operators()).await;
    world.suspend("stopped@example.com").await;
    let elsewhere = NewApiKey {
        allowed_sources: vec!["198.51.100.0/24".parse().unwrap()],
        ..operators()
    };
    let elsewhere = world.key_of(ROOT, elsewhere).await;
    let expired = NewApiKey {
        expires_at: Some(world.shop.now()),
        ..operators()
    };
    let expired = world.key_of(ROOT, expired).await;
    let without = world.key_of(ROOT, full()).await;
    let customers = token(world, ALICE).await;
    let before = audit_log::newest(&world.shop, 500).await.unwrap().len();
    for (method, path, body, name) in &endpoints {
        let nobody = world.ask(method.clone(), path).send().await;
        assert_eq!(nobody.error(), (401, "unauthorized".to_owned()), "{name}");
        for (who, shown, expected) in [
            ("garbage", "rk_garbage", (401, "unauthorized")),
            ("an expired key", &expired, (401, "unauthorized")),
            ("a customer's key", &world.key, (403, "operators_only")),
            ("a customer's token", &customers, (403, "operators_only")),
            (
                "an operator's key without the permission",
                &without,
                (403, "operators_only"),
            ),
            ("a suspended operator", &stopped, (403, "account_suspended")),
            ("a key from elsewhere", &elsewhere, (403, "source_not_allowed")),
        ] {
            let reply = ask(world, method.clone(), path, shown, body.clone()).await;
            let (status, code) = reply.error();
            assert_eq!((status, code.as_str()), expected, "{name} by {who}: {}", reply.text());
        }
        let other = world
            .ask(Method::PATCH, path)
            .header("x-api-key", &desk.key)
            .send()
            .await;
        assert_eq!(other.error(), (405, "method_not_allowed".to_owned()), "{name}");
    }
    assert_eq!(audit_log::newest(&world.shop, 500).await.unwrap().len(), before);
    assert_eq!(world.balance(ALICE).await, 48_800);
}

async fn a_read_only_key_sees_all_and_changes_nothing(site: &Site) {
    let desk = Desk::new(site).await;
    let endpoints = endpoints(&desk).await;
    let before = audit_log::newest(&desk.world.shop, 500).await.unwrap().len();
    for (method, path, body, name) in endpoints {
        let reply = ask(&desk.world, method.clone(), &path, &desk.looking, body).await;
        // Who takes the exits' credentials is written down.
        match method == Method::GET && name != "adminExportCatalogue" {
            true => assert_eq!(reply.status, 200, "{name}: {}", reply.text()),
            false => assert_eq!(reply.error(), (403, "read_only_key".to_owned()), "{name}"),
        }
        assert!(!reply.text().contains("rk_"), "{name}: {}", reply.text());
    }
    assert_eq!(audit_log::newest(&desk.world.shop, 500).await.unwrap().len(), before);
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

async fn exits_are_steered_and_rotated_and_tested(site: &Site) {
    let desk = Desk::new(site).await;
    let shop = &desk.world.shop;
    let (mut path, mut seen) = ("exits?limit=2".to_owned(), Vec::new());
    loop {
        let page = desk.get(&path).await;
        seen.extend(page["exits"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("exits?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    let can_rotate = seen.iter().find(|exit| exit["canRotate"] == true).unwrap();
    let id = can_rotate["exitId"].as_str().unwrap();
    let name = format!(
        "{}/{}",
        can_rotate["network"].as_str().unwrap(),
        can_rotate["name"].as_str().unwrap()
    );
    let standing = format!("exits/{id}/standing");
    for to in ["draining", "disabled", "open"] {
        let set = desk.send(Method::PUT, &standing, json!({"standing": to})).await;
        assert_eq!(set["exit"]["standing"], to);
        desk.assert_logged("exit.standing", &name).await;
    }
    let gone = desk.refused(Method::PUT, &standing, json!({"standing": "gone"})).await;
    assert_eq!(gone, (400, "invalid_field".to_owned()));
    let gateway = async || {
        loop {
            let rotations = rotation::claim(shop, GATEWAY, 9).await.unwrap();
            let checks = exits::claim_checks(shop, GATEWAY).await.unwrap();
            for task in &rotations {
                let address = Some("198.51.100.77".parse().unwrap());
                rotation::finish(shop, &task.id, Ok((address, None))).await.unwrap();
            }
            for task in &checks {
                let why = "no carrier".to_owned();
                exits::finish_check(shop, task, Err(why)).await.unwrap();
            }
            if !rotations.is_empty() || !checks.is_empty() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let rotate = format!("exits/{id}/rotate");
    let (rotated, ()) = tokio::join!(desk.send(Method::POST, &rotate, json!({})), gateway());
    assert_eq!(rotated["address"], "198.51.100.77");
    desk.assert_logged("exit.rotate", &name).await;
    let soon = desk.refused(Method::POST, &rotate, json!({})).await;
    assert_eq!(soon, (429, "rotation_cooldown".to_owned()));
    let test = format!("exits/{id}/test");
    let (tested, ()) = tokio::join!(desk.send(Method::POST, &test, json!({})), gateway());
    assert_eq!(
        (&tested["test"]["state"], &tested["test"]["detail"]),
        (&json!("fails"), &json!("no carrier"))
    );
    let whole = desk.get(&format!("exits/{id}")).await;
    assert_eq!(whole["rotations"][0]["address"], "198.51.100.77");
    assert_eq!(
        (&whole["way"], &whole["rotatesBy"]),
        (&json!("addresses"), &json!("pool"))
    );
    for (method, what, body) in [
        (Method::GET, "", Value::Null),
        (Method::PUT, "/standing", json!({"standing": "open"})),
        (Method::POST, "/rotate", json!({})),
        (Method::POST, "/test", json!({})),
    ] {
        let refused = desk.refused(method, &format!("exits/{NOBODY}{what}"), body).await;
        assert_eq!(refused, (404, "unknown_exit".to_owned()), "{what}");
    }
}

async fn the_catalogue_is_changed_after_a_look_at_the_difference(site: &Site) {
    let desk = Desk::new(site).await;
    let plans = desk.get("plans").await["plans"].as_array().unwrap().len();
    let text = desk.get("catalogue").await["text"].clone();
    assert_eq!(text, format!("{plans} plans"));
    desk.assert_logged("catalogue.export", "catalogue").await;
    let wrong = desk
        .ask(Method::PUT, "/api/admin/catalogue", json!({"text": "x"}))
        .await;
    assert_eq!(wrong.error(), (400, "invalid_catalogue".to_owned()));
    assert!(wrong.text().contains("line 1"), "{}", wrong.text());
    let looked = desk.send(Method::PUT, "catalogue", json!({"text": "nothing"})).await;
    assert_eq!(looked["applied"], false);
    assert!(looked["changes"].as_array().unwrap().len() > plans, "{looked}");
    assert_eq!(desk.get("plans").await["plans"].as_array().unwrap().len(), plans);
    // Something else changes it meanwhile.
    desk.send(
        Method::DELETE,
        &format!("plans/{}", code_of_one(&desk).await),
        Value::Null,
    )
    .await;
    let wish = json!({"text": "nothing", "seen": looked["seen"]});
    let moved = desk.refused(Method::PUT, "catalogue", wish).await;
    assert_eq!(moved, (409, "catalogue_moved".to_owned()));
    let looked = desk.send(Method::PUT, "catalogue", json!({"text": "nothing"})).await;
    let wish = json!({"text": "nothing", "seen": looked["seen"]});
    let applied = desk.send(Method::PUT, "catalogue", wish).await;
    assert_eq!(
        (&applied["applied"], &applied["changes"]),
        (&json!(true), &looked["changes"])
    );
    desk.assert_logged("catalogue.apply", "catalogue").await;
    assert_eq!(desk.get("plans").await["plans"], json!([]));
}

async fn code_of_one(desk: &Desk) -> String {
    let plans = desk.get("plans").await;
    plans["plans"][0]["code"].as_str().unwrap().to_owned()
}

async fn plans_and_coupons_are_made_and_retired(site: &Site) {
    let desk = Desk::new(site).await;
    let wish =
        json!({"network": "NL-AMS", "connectionType": "private", "duration": "7d", "priceCents": 700, "popular": true});
    let made = desk.send(Method::PUT, "plans/new-plan", wish.clone()).await;
    assert_eq!(
        (&made["changes"][0]["change"], &made["changes"][0]["name"]),
        (&json!("create"), &json!("new-plan"))
    );
    desk.assert_logged("catalogue.apply", "catalogue").await;
    let again = desk.send(Method::PUT, "plans/new-plan", wish.clone()).await;
    assert_eq!(again["changes"], json!([]));
    let plans = desk.get("plans").await;
    let plans = plans["plans"].as_array().unwrap();
    let plan = plans.iter().find(|plan| plan["code"] == "new-plan").unwrap();
    assert_eq!(
        (&plan["duration"], &plan["priceCents"], &plan["running"]),
        (&json!("7d"), &json!(700), &json!(0))
    );
    let gone = desk.send(Method::DELETE, "plans/new-plan", Value::Null).await;
    assert_eq!(gone["changes"][0]["change"], "deactivate");
    assert_eq!(
        desk.send(Method::DELETE, "plans/new-plan", Value::Null).await["changes"],
        json!([])
    );
    let other = desk.refused(Method::PUT, "plans/other", wish).await;
    assert_eq!(other, (400, "invalid_catalogue".to_owned()));
    let half = desk
        .refused(Method::PUT, "plans/new-plan", json!({"network": "NL-AMS"}))
        .await;
    assert_eq!(half, (400, "invalid_field".to_owned()));

    let made = desk.send(Method::PUT, "coupons/NEW", json!({"percentOff": 25})).await;
    assert_eq!(made["changes"][0]["kind"], "coupon");
    let coupons = desk.get("coupons").await;
    let coupons = coupons["coupons"].as_array().unwrap();
    let coupon = coupons.iter().find(|coupon| coupon["code"] == "NEW").unwrap();
    assert_eq!((&coupon["percentOff"], &coupon["redeemed"]), (&json!(25), &json!(0)));
    let gone = desk.send(Method::DELETE, "coupons/new", Value::Null).await;
    assert_eq!(gone["changes"][0]["change"], "deactivate");
    desk.assert_logged("catalogue.apply", "catalogue").await;
}

async fn the_shop_is_looked_at(site: &Site) {
    let desk = Desk::new(site).await;
    let bought = desk.world.subscription().await;
    let id = bought["subscriptionId"].as_str().unwrap();
    let refusal = |number: i64, code: &str, times: i64| turnpike_shop::refusals::Refusal {
        subscription: id.parse().unwrap(),
        number,
        first_at: desk.world.shop.now(),
        last_at: desk.world.shop.now(),
        times,
        source: "192.0.2.9".to_owned(),
        protocol: "http".to_owned(),
        code: code.to_owned(),
        reason: "why".to_owned(),
    };
    let told = vec![
        refusal(1, "wrong_password", 3),
        refusal(2, "exit", 1),
        refusal(3, "wrong_password", 4),
    ];
    turnpike_shop::refusals::record(&desk.world.shop, told).await.unwrap();
    let overview = desk.get("overview").await;
    assert_eq!(
        overview["refusals"],
        json!([
            {"code": "wrong_password", "times": 7, "subscriptions": 1},
            {"code": "exit", "times": 1, "subscriptions": 1},
        ])
    );
    assert_eq!(
        (&overview["revenue"]["dayCents"], &overview["activeSubscriptions"]),
        (&json!(1_200), &json!(1))
    );
    let networks = desk.get("networks").await;
    let taken: i64 = networks["stock"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["taken"].as_i64().unwrap())
        .sum();
    assert_eq!(taken, 1, "{networks}");
    let gateways = desk.get("gateways").await;
    assert_eq!(
        (&gateways["gateways"][0]["name"], &gateways["gateways"][0]["portsTaken"]),
        (&json!(GATEWAY), &json!(1))
    );
    let order = json!({"op": "trial", "planId": desk.world.plan("NL-AMS", "private").await});
    assert_eq!(desk.world.post(order).send().await.status, 200);
    let trials = desk.get("trials?limit=1").await;
    assert_eq!(
        (&trials["given"], &trials["trials"][0]["email"]),
        (&json!(1), &json!(ALICE))
    );
    assert_eq!(desk.get("trials?cursor=1").await["trials"], json!([]));
    let (mut path, mut seen) = ("audit?limit=3".to_owned(), Vec::new());
    loop {
        let page = desk.get(&path).await;
        seen.extend(page["entries"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("audit?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(
        seen.len(),
        audit_log::newest(&desk.world.shop, 500).await.unwrap().len()
    );
    let keys = desk.get("audit?action=key.&search=root").await;
    let keys = keys["entries"].as_array().unwrap();
    assert!(keys.iter().all(|entry| entry["action"] == "key.create"), "{keys:?}");
    for wrong in [
        "audit?cursor=1.2",
        "audit?cursor=1.2.X",
        "audit?cursor=x.2.abc",
        "exits?cursor=x",
        "exits?health=fine",
    ] {
        let refused = desk.refused(Method::GET, wrong, Value::Null).await;
        assert_eq!(refused, (400, "invalid_field".to_owned()), "{wrong}");
    }
    // The customer's own path tells nothing of others, and the document of everybody nothing of this.
    assert!(
        !crate::openapi("https://shop.example")
            .to_string()
            .contains("/api/admin/accounts")
    );
    let document = desk.world.ask(Method::GET, "/api/admin/openapi.json").send().await;
    assert_eq!(document.json()["info"]["title"], "Turnpike for operators");
}

async fn an_operators_token_works_and_only_operators_have_operators_keys(site: &Site) {
    let desk = Desk::new(site).await;
    let (world, alice) = (&desk.world, desk.alice().await);
    let (roots, alices) = (token(world, ROOT).await, token(world, ALICE).await);
    let path = format!("/api/admin/accounts/{alice}/status");
    let set = ask(world, Method::PUT, &path, &roots, json!({"status": "suspended"})).await;
    assert_eq!(set.status, 200, "{}", set.text());
    let entry = desk.newest().await;
    assert_eq!((entry.key, entry.source.as_deref()), (None, Some("192.0.2.1")));
    world.resume(ALICE).await;
    let wish = json!({"name": "desk", "operator": true, "readOnly": false});
    let refused = ask(
        world,
        Method::POST,
        "/api/v1/keys",
        &token(world, ALICE).await,
        wish.clone(),
    )
    .await;
    assert_eq!(refused.error(), (403, "not_an_operator".to_owned()));
    let stale = ask(world, Method::POST, "/api/v1/keys", &alices, wish.clone()).await;
    assert_eq!(stale.error(), (401, "unauthorized".to_owned()));
    let made = ask(world, Method::POST, "/api/v1/keys", &roots, wish).await.json();
    assert_eq!(made["key"]["operator"], true);
    let key = made["apiKey"].as_str().unwrap();
    let seen = ask(world, Method::GET, "/api/admin/overview", key, Value::Null).await;
    assert_eq!(seen.status, 200, "{}", seen.text());
}
