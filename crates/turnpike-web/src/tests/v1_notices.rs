//! `/api/v1/notices`, `/webhooks` and `/deliveries`: the same as the pages show.

use http::Method;
use serde_json::{Value, json};
use turnpike_shop::api_key::NewApiKey;
use turnpike_shop::notices::{self, Outcome, Ways};
use turnpike_shop::types::{Role, Span};

use super::site::{Site, on_both_engines};
use super::world::{ALICE, Reply, World, config, full};

on_both_engines! {
    what_is_told_is_chosen,
    a_webhook_is_made_tried_and_removed,
    nobody_reaches_anothers_webhooks,
    where_webhooks_are_off_none_is_made,
}

async fn open(site: &Site) -> World {
    let ways = Ways {
        webhook: true,
        ..Ways::default()
    };
    site.world_of(config(), ways).await
}

async fn ask(world: &World, method: Method, path: &str, key: &str, body: Value) -> Reply {
    let mut ask = world
        .ask(method.clone(), &format!("/api/v1/{path}"))
        .header("x-api-key", key);
    if method == Method::POST || method == Method::PUT {
        ask = ask.body(&body.to_string());
    }
    ask.send().await
}

async fn done(world: &World, method: Method, path: &str, body: Value) -> Value {
    let reply = ask(world, method, path, &world.key, body).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

async fn what_is_told_is_chosen(site: &Site) {
    let world = open(site).await;
    let seen = done(&world, Method::GET, "notices", Value::Null).await;
    assert_eq!((&seen["canEmail"], &seen["canWebhook"]), (&json!(false), &json!(true)));
    let choices = seen["choices"].as_array().unwrap();
    assert_eq!(choices.len(), notices::KINDS.len());
    assert!(
        choices
            .iter()
            .all(|one| one["email"] == false && one["webhook"] == false)
    );
    let wish = json!({
        "choices": [{"kind": "subscription.ending", "webhook": true, "email": true}, {"kind": "exit.rotated", "webhook": true}],
        "lowBalanceCents": 750,
    });
    let set = done(&world, Method::PUT, "notices", wish).await;
    let on = |seen: &Value, kind: &str| {
        let one = seen["choices"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["kind"] == kind)
            .cloned()
            .unwrap();
        (one["email"].clone(), one["webhook"].clone())
    };
    assert_eq!(set["lowBalanceCents"], 750);
    assert_eq!(on(&set, "subscription.ending"), (json!(true), json!(true)));
    // What is not named stays.
    let wish = json!({"choices": [{"kind": "subscription.ending", "email": false}]});
    let set = done(&world, Method::PUT, "notices", wish).await;
    assert_eq!(set["lowBalanceCents"], 750);
    assert_eq!(on(&set, "subscription.ending"), (json!(false), json!(true)));
    assert_eq!(on(&set, "exit.rotated"), (json!(false), json!(true)));
    assert_eq!(done(&world, Method::GET, "notices", Value::Null).await, set);
    for (wrong, code) in [
        (
            json!({"choices": [{"kind": "webhook.test", "webhook": true}]}),
            "invalid_field",
        ),
        (json!({"choices": [{"kind": "x"}]}), "invalid_field"),
        (json!({"choices": {"kind": "exit.rotated"}}), "invalid_field"),
        (
            json!({"choices": [{"kind": "exit.rotated", "email": 1}]}),
            "invalid_field",
        ),
        (json!({"lowBalanceCents": -1}), "invalid_field"),
        (json!({"lowBalanceCents": 100_000_001}), "unfit_low_balance"),
    ] {
        let refused = ask(&world, Method::PUT, "notices", &world.key, wrong.clone()).await;
        assert_eq!(refused.error(), (400, code.to_owned()), "{wrong}");
        if code == "unfit_low_balance" {
            assert_eq!(refused.json()["field"], "lowBalanceCents");
        }
    }
}

async fn a_webhook_is_made_tried_and_removed(site: &Site) {
    let world = open(site).await;
    let made = done(
        &world,
        Method::POST,
        "webhooks",
        json!({"url": "https://hooks.example.com/a"}),
    )
    .await;
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    let id = made["webhook"]["webhookId"].as_str().unwrap();
    let listed = done(&world, Method::GET, "webhooks", Value::Null).await;
    assert_eq!(listed["webhooks"], json!([made["webhook"]]));
    assert!(!listed.to_string().contains("whsec_"));
    let _ = done(&world, Method::POST, &format!("webhooks/{id}/test"), json!({})).await;
    let log = format!("webhooks/{id}/deliveries");
    let waiting = done(&world, Method::GET, &log, Value::Null).await;
    assert_eq!(
        (&waiting["deliveries"][0]["state"], &waiting["deliveries"][0]["kind"]),
        (&json!("waiting"), &json!("webhook.test"))
    );
    for task in notices::claim(&world.shop, 9).await.unwrap() {
        let outcome = Outcome::Delivered("it answered 204".to_owned());
        notices::finish(&world.shop, &task.delivery, task.attempt, outcome)
            .await
            .unwrap();
    }
    let arrived = done(&world, Method::GET, &format!("{log}?limit=1"), Value::Null).await;
    let arrived = &arrived["deliveries"][0];
    assert_eq!(
        (&arrived["state"], &arrived["attempts"]),
        (&json!("delivered"), &json!(1))
    );
    let again = arrived["deliveryId"].as_str().unwrap();
    // The newest first.
    world.advance(Span::seconds(1));
    let _ = done(
        &world,
        Method::POST,
        &format!("deliveries/{again}/redeliver"),
        json!({}),
    )
    .await;
    let waiting = done(&world, Method::GET, &log, Value::Null).await;
    assert_eq!(waiting["deliveries"][0]["noticeId"], arrived["noticeId"]);
    assert_eq!(waiting["deliveries"][0]["state"], "waiting");
    let _ = done(&world, Method::POST, &format!("webhooks/{id}/enable"), json!({})).await;
    let _ = done(&world, Method::DELETE, &format!("webhooks/{id}"), Value::Null).await;
    assert_eq!(
        done(&world, Method::GET, "webhooks", Value::Null).await["webhooks"],
        json!([])
    );
    for wrong in ["http://hooks.example.com/", "https://u:p@hooks.example.com/", "x", ""] {
        let refused = ask(&world, Method::POST, "webhooks", &world.key, json!({"url": wrong})).await;
        assert_eq!(refused.error(), (400, "unfit_url".to_owned()), "{wrong}");
    }
}

async fn nobody_reaches_anothers_webhooks(site: &Site) {
    let world = open(site).await;
    let made = done(
        &world,
        Method::POST,
        "webhooks",
        json!({"url": "https://hooks.example.com/a"}),
    )
    .await;
    let id = made["webhook"]["webhookId"].as_str().unwrap();
    let _ = done(&world, Method::POST, &format!("webhooks/{id}/test"), json!({})).await;
    let log = done(&world, Method::GET, &format!("webhooks/{id}/deliveries"), Value::Null).await;
    let delivery = log["deliveries"][0]["deliveryId"].as_str().unwrap();
    world.person("bob@example.com", Role::Customer).await;
    let bobs = world.key_of("bob@example.com", full()).await;
    let reading = NewApiKey {
        read_only: true,
        ..full()
    };
    let reading = world.key_of(ALICE, reading).await;
    let calls = [
        (
            Method::GET,
            format!("webhooks/{id}/deliveries"),
            Value::Null,
            "webhook_not_found",
        ),
        (
            Method::POST,
            format!("webhooks/{id}/test"),
            json!({}),
            "webhook_not_found",
        ),
        (
            Method::POST,
            format!("webhooks/{id}/enable"),
            json!({}),
            "webhook_not_found",
        ),
        (
            Method::DELETE,
            format!("webhooks/{id}"),
            Value::Null,
            "webhook_not_found",
        ),
        (
            Method::POST,
            format!("deliveries/{delivery}/redeliver"),
            json!({}),
            "delivery_not_found",
        ),
    ];
    for (method, path, body, code) in calls {
        let refused = ask(&world, method.clone(), &path, &bobs, body.clone()).await;
        assert_eq!(refused.error(), (404, code.to_owned()), "{path}");
        let nobody = world.ask(method.clone(), &format!("/api/v1/{path}")).send().await;
        assert_eq!(nobody.error(), (401, "unauthorized".to_owned()), "{path}");
        if method != Method::GET {
            let refused = ask(&world, method, &path, &reading, body).await;
            assert_eq!(refused.error(), (403, "read_only_key".to_owned()), "{path}");
        }
    }
    for (method, path, body) in [
        (Method::POST, "webhooks", json!({"url": "https://hooks.example.com/b"})),
        (Method::PUT, "notices", json!({"lowBalanceCents": 1})),
    ] {
        let refused = ask(&world, method, path, &reading, body).await;
        assert_eq!(refused.error(), (403, "read_only_key".to_owned()), "{path}");
    }
    assert_eq!(
        ask(&world, Method::GET, "webhooks", &bobs, Value::Null).await.json()["webhooks"],
        json!([])
    );
    assert_eq!(
        done(&world, Method::GET, "webhooks", Value::Null).await["webhooks"],
        json!([made["webhook"]])
    );
}

async fn where_webhooks_are_off_none_is_made(site: &Site) {
    let world = site.world().await;
    let refused = ask(
        &world,
        Method::POST,
        "webhooks",
        &world.key,
        json!({"url": "https://hooks.example.com/"}),
    )
    .await;
    assert_eq!(refused.error(), (409, "webhooks_off".to_owned()));
}
