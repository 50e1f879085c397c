//! `/api/admin/…`: who may ask for what, what it does, and that the audit log tells by which key and from where.

mod accounts;
mod catalogue;
mod exits;

use http::Method;
use serde_json::{Value, json};
use turnpike_shop::api_key::NewApiKey;
use turnpike_shop::audit_log::{self, Entry};
use turnpike_shop::catalogue::{Catalogue, Coupon, Discount, Plan};
use turnpike_shop::limits::Limits;
use turnpike_shop::types::{Cents, ConnectionType, Role, Span};

use super::site::{Site, on_both_engines};
use super::world::{ALICE, GATEWAY, Reply, World, ask, config, full, token};
use crate::CatalogueText;
use crate::config::WebConfig;

on_both_engines! {
    every_endpoint_refuses_everybody_but_operators,
    a_read_only_key_sees_all_and_changes_nothing,
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
                coupons: vec![Coupon {
                    code: "NEW".to_owned(),
                    discount: Discount::Percent(25),
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
        ("{network}", "NL-AMS"),
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
    assert_eq!(all.len(), 30, "{all:?}");
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
