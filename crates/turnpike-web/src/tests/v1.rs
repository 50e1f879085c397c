//! `/api/v1/…`: who may ask for what, and that it is what the pages show.

use http::Method;
use serde_json::{Value, json};
use turnpike_shop::api_key::NewApiKey;
use turnpike_shop::types::{Cents, Role, Span};
use turnpike_shop::{Refusal, ledger};

use super::pages::Browser;
use super::site::{Site, on_both_engines};
use super::world::{ALICE, World, ask, full, token};

on_both_engines! {
    every_endpoint_by_every_kind_of_caller,
    the_account_and_its_balance_are_told,
    the_ledger_is_read_page_by_page,
    keys_are_made_and_revoked_by_a_token_alone,
    browsers_are_listed_and_signed_out_by_a_token,
    traffic_is_told_by_day_and_only_ones_own,
    a_price_is_what_the_purchase_costs,
    a_note_is_set_and_hostile_ones_are_text,
    a_subscription_is_told_to_renew_itself,
    what_no_endpoint_takes_is_refused,
}

async fn get(world: &World, path: &str) -> Value {
    let reply = ask(world, Method::GET, path, &world.key, Value::Null).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

async fn bought(world: &World) -> String {
    world.subscription().await["subscriptionId"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// What an endpoint needs.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Reading,
    /// And the subscription to be his.
    ReadingHis,
    ChangingHis,
    Owning,
}

async fn every_endpoint_by_every_kind_of_caller(site: &Site) {
    let world = site.world().await;
    let (one, plan) = (bought(&world).await, world.plan("NL-AMS", "private").await);
    let of_one = |what: &str| format!("/api/v1/subscriptions/{one}/{what}");
    let (order, nobodys) = (json!({ "planId": plan }), "aaaaaaaaaaaaaaaaaaaaaaaa");
    let endpoints = [
        (Method::GET, "/api/v1/account".to_owned(), Value::Null, Needs::Reading),
        (Method::GET, "/api/v1/balance".to_owned(), Value::Null, Needs::Reading),
        (Method::GET, "/api/v1/ledger".to_owned(), Value::Null, Needs::Reading),
        (Method::GET, "/api/v1/keys".to_owned(), Value::Null, Needs::Reading),
        (Method::GET, "/api/v1/sessions".to_owned(), Value::Null, Needs::Reading),
        (Method::GET, "/api/v1/traffic".to_owned(), Value::Null, Needs::Reading),
        (
            Method::GET,
            format!("/api/v1/traffic?subscriptionId={one}"),
            Value::Null,
            Needs::ReadingHis,
        ),
        (Method::POST, "/api/v1/price".to_owned(), order.clone(), Needs::Reading),
        (Method::POST, of_one("renewal-price"), order, Needs::ReadingHis),
        (
            Method::PUT,
            of_one("note"),
            json!({"userNote": "x"}),
            Needs::ChangingHis,
        ),
        (Method::GET, of_one("auto-renew"), Value::Null, Needs::ReadingHis),
        (
            Method::PUT,
            of_one("auto-renew"),
            json!({"autoRenew": true}),
            Needs::ChangingHis,
        ),
        (
            Method::POST,
            "/api/v1/keys".to_owned(),
            json!({"name": "x"}),
            Needs::Owning,
        ),
        (
            Method::DELETE,
            format!("/api/v1/sessions/{nobodys}"),
            Value::Null,
            Needs::Owning,
        ),
    ];
    world.person("bob@example.com", Role::Customer).await;
    let reading = NewApiKey {
        read_only: true,
        ..full()
    };
    let (other, read_only) = (
        world.key_of("bob@example.com", full()).await,
        world.key_of(ALICE, reading).await,
    );
    let token = token(&world, ALICE).await;
    for (method, path, body, needs) in endpoints {
        for (who, shown) in [
            ("garbage", "rk_garbage"),
            ("other", &other),
            ("read only", &read_only),
            ("full", &world.key),
            ("token", &token),
        ] {
            let reply = ask(&world, method.clone(), &path, shown, body.clone()).await;
            let expected = match (who, needs) {
                ("garbage", _) => (401, "unauthorized"),
                ("read only", Needs::ChangingHis) => (403, "read_only_key"),
                ("other", Needs::ReadingHis | Needs::ChangingHis) => (404, "subscription_not_found"),
                ("other" | "read only" | "full", Needs::Owning) => (403, "token_wanted"),
                _ => (200, ""),
            };
            let got = match reply.status.is_success() {
                true => (200, String::new()),
                false => reply.error(),
            };
            assert_eq!(
                (got.0, got.1.as_str()),
                expected,
                "{method} {path} by {who}: {}",
                reply.text()
            );
        }
        let nobody = world.ask(method.clone(), &path).send().await;
        assert_eq!(nobody.error(), (401, "unauthorized".to_owned()), "{method} {path}");
    }
    world.suspend(ALICE).await;
    let reply = ask(&world, Method::GET, "/api/v1/balance", &world.key, Value::Null).await;
    assert_eq!(reply.error(), (403, "account_suspended".to_owned()));
}

async fn the_account_and_its_balance_are_told(site: &Site) {
    let world = site.world().await;
    bought(&world).await;
    let account = &get(&world, "/api/v1/account").await["account"];
    assert_eq!(account["email"], ALICE);
    assert_eq!(
        (&account["balanceCents"], &account["activeSubscriptions"]),
        (&json!(48_800), &json!(1))
    );
    assert_eq!(
        (&account["role"], &account["status"]),
        (&json!("customer"), &json!("active"))
    );
    assert_eq!(
        get(&world, "/api/v1/balance").await,
        json!({"ok": true, "balanceCents": 48_800})
    );
}

async fn the_ledger_is_read_page_by_page(site: &Site) {
    let world = site.world().await;
    for cents in 1..=6 {
        ledger::adjust(&world.shop, "test", ALICE, Cents(cents), "<b>a gift</b>")
            .await
            .unwrap();
    }
    let (mut path, mut seen) = ("/api/v1/ledger?limit=3".to_owned(), Vec::new());
    loop {
        let page = get(&world, &path).await;
        seen.extend(page["lines"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/ledger?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    let numbers: Vec<i64> = seen.iter().map(|line| line["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(seen[0]["kind"], "credit");
    assert_eq!(
        (&seen[0]["amountCents"], &seen[0]["balanceCents"]),
        (&json!(6), &json!(50_021))
    );
    assert_eq!(seen[0]["note"], "<b>a gift</b>");
    assert!(seen[0].get("order").is_none());
    let one = world.subscription().await;
    let line = get(&world, "/api/v1/ledger?limit=1").await["lines"][0].clone();
    assert_eq!(
        (&line["kind"], &line["order"]["plan"]),
        (&json!("purchase"), &json!("nl-private-30d"))
    );
    let given = &line["order"]["subscriptions"];
    assert_eq!(given.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&given[0]["subscriptionId"], &given[0]["isHeld"]),
        (&one["subscriptionId"], &json!(true))
    );
    assert!(
        (12_001..=12_040).contains(&given[0]["port"].as_i64().unwrap()),
        "{given}"
    );
    for wrong in [
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "cursor=-1",
        "cursor=+1",
        "cursor=",
    ] {
        let reply = ask(
            &world,
            Method::GET,
            &format!("/api/v1/ledger?{wrong}"),
            &world.key,
            Value::Null,
        )
        .await;
        assert_eq!(reply.error(), (400, "invalid_field".to_owned()), "{wrong}");
    }
}

async fn keys_are_made_and_revoked_by_a_token_alone(site: &Site) {
    let world = site.world().await;
    let token = token(&world, ALICE).await;
    let ends = world.shop.now().plus(Span::days(1)).0;
    let wanted =
        json!({"name": " the <b>van</b> ", "readOnly": false, "expiresAt": ends, "allowedAddresses": ["192.0.2.0/24"]});
    let made = ask(&world, Method::POST, "/api/v1/keys", &token, wanted).await.json();
    let key = made["apiKey"].as_str().unwrap();
    assert_eq!(made["key"]["name"], "the <b>van</b>");
    assert_eq!(
        (&made["key"]["readOnly"], &made["key"]["expiresAt"]),
        (&json!(false), &json!(ends))
    );
    assert_eq!(made["key"]["allowedAddresses"], json!(["192.0.2.0/24"]));
    let reply = ask(&world, Method::GET, "/api/v1/balance", key, Value::Null).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!get(&world, "/api/v1/keys").await.to_string().contains(key));
    let id = made["key"]["keyId"].as_str().unwrap();
    let revoke = |shown: String, id: String| {
        let world = &world;
        async move {
            ask(
                world,
                Method::DELETE,
                &format!("/api/v1/keys/{id}"),
                &shown,
                Value::Null,
            )
            .await
        }
    };
    let revoked = revoke(token.clone(), id.to_owned()).await.json();
    assert!(revoked["key"]["revokedAt"].is_number(), "{revoked}");
    let reply = ask(&world, Method::GET, "/api/v1/balance", key, Value::Null).await;
    assert_eq!(reply.error(), (401, "unauthorized".to_owned()));
    let reply = revoke(token.clone(), "aaaaaaaaaaaa".to_owned()).await;
    assert_eq!(reply.error(), (404, "unknown_api_key".to_owned()));
    // What is not said is the careful choice: a key that may only read.
    let made = ask(&world, Method::POST, "/api/v1/keys", &token, json!({"name": "x"}))
        .await
        .json();
    assert_eq!(
        (&made["key"]["readOnly"], &made["key"]["allowTrial"]),
        (&json!(true), &json!(false))
    );
    for wrong in [
        json!({}),
        json!({"name": ""}),
        json!({"name": "x".repeat(65)}),
        json!({"name": "a\nb"}),
        json!({"name": 7}),
        json!({"name": "x", "readOnly": "no"}),
        json!({"name": "x", "expiresAt": -1}),
        json!({"name": "x", "expiresAt": 1.5}),
        json!({"name": "x", "allowedAddresses": ["everywhere"]}),
    ] {
        let reply = ask(&world, Method::POST, "/api/v1/keys", &token, wrong.clone()).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.text());
    }
}

async fn browsers_are_listed_and_signed_out_by_a_token(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let sessions = get(&world, "/api/v1/sessions").await;
    let id = sessions["sessions"][0]["sessionId"].as_str().unwrap();
    assert_eq!(browser.get("/overview").await.status, 200);
    let token = token(&world, ALICE).await;
    let ended = ask(
        &world,
        Method::DELETE,
        &format!("/api/v1/sessions/{id}"),
        &token,
        Value::Null,
    )
    .await;
    assert_eq!(ended.json(), json!({"ok": true}));
    assert_eq!(browser.get("/overview").await.status, 303);
    assert_eq!(get(&world, "/api/v1/sessions").await["sessions"], json!([]));
}

async fn traffic_is_told_by_day_and_only_ones_own(site: &Site) {
    let world = site.world().await;
    let one = bought(&world).await;
    let days = get(&world, &format!("/api/v1/traffic?days=3&subscriptionId={one}")).await;
    assert_eq!(days["days"].as_array().unwrap().len(), 3);
    assert_eq!(days["days"][2]["bytesUp"], 0);
    assert_eq!(
        get(&world, "/api/v1/traffic").await["days"].as_array().unwrap().len(),
        14
    );
    for wrong in ["days=0", "days=367", "days=1.0", "subscriptionId=x"] {
        let reply = ask(
            &world,
            Method::GET,
            &format!("/api/v1/traffic?{wrong}"),
            &world.key,
            Value::Null,
        )
        .await;
        assert_eq!(reply.error(), (400, "invalid_field".to_owned()), "{wrong}");
    }
}

async fn a_price_is_what_the_purchase_costs(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    let order = json!({"planId": plan, "quantity": 2, "repeatCount": 3, "couponCode": "MYCODE"});
    let price = ask(&world, Method::POST, "/api/v1/price", &world.key, order.clone())
        .await
        .json();
    assert_eq!(price, json!({"ok": true, "priceAmountCents": 6_480}));
    assert_eq!(world.balance(ALICE).await, 50_000);
    let too_many = json!({"planId": plan, "quantity": 100});
    let reply = ask(&world, Method::POST, "/api/v1/price", &world.key, too_many).await;
    assert_eq!(reply.error(), (402, "insufficient_balance".to_owned()));
    let one = bought(&world).await;
    let path = format!("/api/v1/subscriptions/{one}/renewal-price");
    let price = ask(&world, Method::POST, &path, &world.key, json!({"planId": plan}))
        .await
        .json();
    assert_eq!(price["priceAmountCents"], 1_200);
    let elsewhere = json!({"planId": world.plan("DE-BER", "private").await});
    let reply = ask(&world, Method::POST, &path, &world.key, elsewhere).await;
    assert_eq!(reply.error(), (409, "not_a_renewal_plan".to_owned()));
    // The path says which subscription it is, whatever the body says.
    let other = json!({"planId": plan, "subscriptionId": "aaaaaaaaaaaaaaaaaaaaaaaa"});
    assert_eq!(ask(&world, Method::POST, &path, &world.key, other).await.status, 200);
}

async fn a_note_is_set_and_hostile_ones_are_text(site: &Site) {
    let world = site.world().await;
    let path = format!("/api/v1/subscriptions/{}/note", bought(&world).await);
    let longest = "ä".repeat(200);
    for note in [
        "<script>alert(1)</script>",
        "'; DROP TABLE subscription; --",
        "{{7*7}}",
        "\u{202e}x",
        &longest,
        "",
    ] {
        let set = ask(&world, Method::PUT, &path, &world.key, json!({ "userNote": note })).await;
        assert_eq!(set.status, 200, "{note}: {}", set.text());
        let listed = world.get("op=subscriptions").send().await.json();
        assert_eq!(
            listed["subscriptions"][0]["userNote"].as_str().unwrap_or_default(),
            note
        );
    }
    for wrong in [
        json!("a\nb"),
        json!("\u{0}"),
        json!("x".repeat(201)),
        json!(7),
        json!(["x"]),
    ] {
        let reply = ask(&world, Method::PUT, &path, &world.key, json!({ "userNote": wrong })).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.text());
    }
}

async fn a_subscription_is_told_to_renew_itself(site: &Site) {
    let world = site.world().await;
    let path = format!("/api/v1/subscriptions/{}/auto-renew", bought(&world).await);
    assert_eq!(get(&world, &path).await, json!({"ok": true, "autoRenew": false}));
    let on = ask(&world, Method::PUT, &path, &world.key, json!({"autoRenew": true}))
        .await
        .json();
    assert_eq!(
        (&on["autoRenew"], &on["priceAmountCents"]),
        (&json!(true), &json!(1_200))
    );
    assert_eq!(on["planId"], world.plan("NL-AMS", "private").await);
    assert_eq!(on["nextAt"], world.shop.now().plus(Span::days(29)).0);
    assert_eq!(get(&world, &path).await, on);
    let elsewhere = json!({"autoRenew": true, "planId": world.plan("DE-BER", "private").await});
    let refused = ask(&world, Method::PUT, &path, &world.key, elsewhere).await;
    assert_eq!(refused.error(), (409, "not_a_renewal_plan".to_owned()));
    for wrong in [
        json!({}),
        json!({"autoRenew": "yes"}),
        json!({"autoRenew": 1}),
        json!({"autoRenew": true, "planId": "x"}),
    ] {
        let reply = ask(&world, Method::PUT, &path, &world.key, wrong.clone()).await;
        assert_eq!(reply.error(), (400, "invalid_field".to_owned()), "{wrong}");
    }
    let off = ask(&world, Method::PUT, &path, &world.key, json!({"autoRenew": false}))
        .await
        .json();
    assert_eq!(off, json!({"ok": true, "autoRenew": false}));
}

async fn what_no_endpoint_takes_is_refused(site: &Site) {
    let world = site.world().await;
    let deleted = ask(&world, Method::DELETE, "/api/v1/keys", &world.key, Value::Null).await;
    assert_eq!(deleted.error(), (405, "method_not_allowed".to_owned()));
    assert_eq!(deleted.header("allow"), Some("GET, POST"));
    let reply = ask(&world, Method::GET, "/api/v1/nothing", &world.key, Value::Null).await;
    assert_eq!(reply.error(), (404, "not_found".to_owned()));
    for id in [
        "x",
        "AAAAAAAAAAAAAAAAAAAAAAAA",
        "%61aaaaaaaaaaaaaaaaaaaaaaa",
        "..%2f..%2fkeys",
    ] {
        let path = format!("/api/v1/subscriptions/{id}/auto-renew");
        let reply = ask(&world, Method::GET, &path, &world.key, Value::Null).await;
        assert_eq!(reply.error(), (400, "invalid_field".to_owned()), "{id}");
    }
    let path = format!("/api/v1/subscriptions/{}/note", bought(&world).await);
    for (body, code) in [
        ("", "invalid_json"),
        ("[]", "body_not_object"),
        ("{\"userNote\":1,\"userNote\":2}", "invalid_json"),
    ] {
        let ask = world.ask(Method::PUT, &path).header("x-api-key", &world.key).body(body);
        assert_eq!(ask.send().await.error(), (400, code.to_owned()), "{body}");
    }
    let twice = ask(
        &world,
        Method::GET,
        "/api/v1/ledger?limit=1&limit=2",
        &world.key,
        Value::Null,
    )
    .await;
    assert_eq!(twice.error().0, 400);
    assert!(Refusal::TokenWanted.to_string().contains("/api/auth/token"));
}
