//! Sending it twice.

use std::sync::Arc;
use std::thread::JoinHandle;

use http::Method;
use serde_json::{Value, json};
use testbed::postgres::Database;

use super::site::{Home, Site, on_both_engines};
use super::world::{ALICE, World, config};

on_both_engines!(
    the_same_key_and_body_give_the_same_bytes_and_one_charge,
    renewals_and_trials_are_remembered_as_well,
    another_body_under_the_same_key_is_refused,
    a_refusal_is_not_remembered,
    a_key_is_1_to_255_printable_characters_once,
    twenty_at_once_are_charged_once_and_answered_alike,
);

async fn send(world: &World, key: &str, body: &Value) -> super::world::Reply {
    world.post(body.clone()).header("idempotency-key", key).send().await
}

async fn the_same_key_and_body_give_the_same_bytes_and_one_charge(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    let order = json!({"op": "purchase", "planId": plan, "quantity": 2});
    let first = send(&world, "k1", &order).await;
    assert_eq!(
        (first.status.as_u16(), first.header("idempotent-replayed")),
        (200, None)
    );
    let again = send(&world, "k1", &order).await;
    assert_eq!(
        (again.status.as_u16(), again.header("idempotent-replayed")),
        (200, Some("true"))
    );
    assert_eq!(first.body, again.body);
    assert_eq!(world.balance(ALICE).await, 50_000 - 2_400);

    let respelled = format!("{{ \"quantity\":2, \"couponCode\":null, \"planId\":\"{plan}\",\"op\":\"purchase\" }}");
    let same = world.post_text(&respelled).header("idempotency-key", "k1").send().await;
    assert_eq!(first.body, same.body);
}

async fn renewals_and_trials_are_remembered_as_well(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    let mine = world.subscription().await["subscriptionId"].clone();
    for (key, order) in [
        ("r", json!({"op": "renew", "subscriptionId": mine, "planId": plan})),
        ("t", json!({"op": "trial", "planId": plan})),
    ] {
        let first = send(&world, key, &order).await;
        assert_eq!(first.status, 200, "{}", first.text());
        let again = send(&world, key, &order).await;
        assert_eq!(first.body, again.body);
    }
    assert_eq!(world.balance(ALICE).await, 50_000 - 2_400);
}

async fn another_body_under_the_same_key_is_refused(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    send(&world, "k1", &json!({"op": "purchase", "planId": plan})).await;
    for other in [
        json!({"op": "purchase", "planId": plan, "quantity": 2}),
        json!({"op": "trial", "planId": plan}),
    ] {
        let reply = send(&world, "k1", &other).await;
        assert_eq!(reply.error(), (409, "idempotency_mismatch".to_owned()), "{other}");
        assert_eq!(reply.json()["charged"], false);
    }
    assert_eq!(world.balance(ALICE).await, 50_000 - 1_200);
}

async fn a_refusal_is_not_remembered(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    let order = json!({"op": "purchase", "planId": plan, "quantity": 3});
    let taken = world.subscription().await;
    assert_eq!(send(&world, "k1", &order).await.error(), (409, "sold_out".to_owned()));
    let target = world.other_network(taken["subscriptionId"].as_str().unwrap()).await;
    let away = json!({"op": "switch-network", "subscriptionId": taken["subscriptionId"], "targetNetwork": target});
    assert_eq!(world.post(away).send().await.status, 200);
    assert_eq!(send(&world, "k1", &order).await.status, 200);
}

async fn a_key_is_1_to_255_printable_characters_once(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "shared").await;
    let order = json!({"op": "purchase", "planId": plan});
    for key in ["", &"k".repeat(256), "tab\there"] {
        let reply = send(&world, key, &order).await;
        assert_eq!(reply.error(), (400, "invalid_idempotency_key".to_owned()), "{key:?}");
    }
    for key in ["k", &"k".repeat(255), "with space ~!"] {
        assert_eq!(send(&world, key, &order).await.status, 200, "{key:?}");
    }
    let ignored = world.get("op=plans").header("idempotency-key", "").send().await;
    assert_eq!(ignored.status, 200, "it counts only where money moves");
}

async fn twenty_at_once_are_charged_once_and_answered_alike(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    let order = json!({"op": "purchase", "planId": plan});
    let replies = futures_util::future::join_all((0..20).map(|_| send(&world, "storm", &order))).await;
    for reply in &replies {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.body, replies[0].body);
    }
    assert_eq!(world.balance(ALICE).await, 50_000 - 1_200);
    let listed = world
        .ask(Method::GET, "/api/proxy?op=subscriptions")
        .header("x-api-key", &world.key)
        .send()
        .await;
    assert_eq!(listed.json()["subscriptions"].as_array().unwrap().len(), 1);
}

/// Takes a key as its first request does, and gives it up without an answer after so many seconds. A first request of our own
/// would be done too soon to be met.
fn hold(database: &Arc<Database>, key: &str, seconds: u32) -> JoinHandle<()> {
    let sql = format!(
        "BEGIN; INSERT INTO idempotency (account_id, key, request_hash, sealed_outcome, created_at)
             SELECT id, '{key}', '\\x00', NULL, 0 FROM account; SELECT pg_sleep({seconds}); ROLLBACK"
    );
    let holding = Arc::clone(database);
    let held = std::thread::spawn(move || drop(holding.query(&sql)));
    let is_held = format!("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%''{key}''%'");
    testbed::eventually("the key is held", || database.query(&is_held) == "1");
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn a_request_that_meets_its_key_in_flight_waits_for_it_but_not_for_ever() {
    let database = Arc::new(Database::fresh());
    let world = World::at(Arc::new(Home::at(database.url())), config()).await;
    let order = json!({"op": "purchase", "planId": world.plan("NL-AMS", "private").await});
    let (short, long) = (hold(&database, "short", 1), hold(&database, "long", 14));
    let (waited, gave_up) = tokio::join!(send(&world, "short", &order), send(&world, "long", &order));
    assert_eq!(waited.status, 200, "{}", waited.text());
    assert_eq!(gave_up.error(), (409, "idempotency_in_flight".to_owned()));
    assert_eq!(gave_up.header("retry-after"), Some("1"));
    assert_eq!(gave_up.json()["charged"], Value::Null, "its first request decides that");
    short.join().unwrap();
    long.join().unwrap();
    assert_eq!(send(&world, "long", &order).await.status, 200);
    assert_eq!(world.balance(ALICE).await, 50_000 - 2 * 1_200);
}
