//! Signing in, and calling with what that gives.

use http::Method;
use serde_json::{Value, json};
use turnpike_shop::types::Span;

use super::site::{Site, on_both_engines};
use super::world::{ALICE, PASSWORD, Reply, World};

on_both_engines!(
    a_password_gives_a_token_that_works_for_fifteen_minutes,
    a_signed_in_customer_may_buy_but_not_give_trials,
    wrong_logins_are_refused_alike_and_slowed_down,
    a_key_may_come_as_a_bearer_and_x_api_key_wins,
    a_suspended_account_gets_403_at_once_by_either,
);

async fn sign_in(world: &World, body: Value) -> Reply {
    world
        .ask(Method::POST, "/api/auth/token")
        .body(&body.to_string())
        .send()
        .await
}

async fn token(world: &World) -> String {
    let reply = sign_in(world, json!({"email": ALICE, "password": PASSWORD})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["token"].as_str().unwrap().to_owned()
}

async fn plans(world: &World, name: &'static str, value: &str) -> Reply {
    world
        .get("op=plans")
        .without("x-api-key")
        .header(name, value)
        .send()
        .await
}

async fn a_password_gives_a_token_that_works_for_fifteen_minutes(site: &Site) {
    let world = site.world().await;
    let reply = sign_in(&world, json!({"email": ALICE, "password": PASSWORD})).await;
    let body = reply.json();
    assert_eq!(
        (&body["ok"], &body["tokenType"], &body["expiresIn"]),
        (&json!(true), &json!("Bearer"), &json!(900))
    );
    let bearer = format!("Bearer {}", body["token"].as_str().unwrap());
    assert_eq!(plans(&world, "authorization", &bearer).await.status, 200);
    world.advance(Span::minutes(14));
    assert_eq!(plans(&world, "authorization", &bearer).await.status, 200);
    world.advance(Span::minutes(1));
    assert_eq!(
        plans(&world, "authorization", &bearer).await.error(),
        (401, "unauthorized".to_owned())
    );
}

async fn a_signed_in_customer_may_buy_but_not_give_trials(site: &Site) {
    let world = site.world().await;
    let bearer = format!("Bearer {}", token(&world).await);
    let plan = world.plan("NL-AMS", "private").await;
    let ask = |op: &str| {
        let body = json!({"op": op, "planId": plan});
        world
            .post(body)
            .without("x-api-key")
            .header("authorization", &bearer)
            .send()
    };
    assert_eq!(ask("purchase").await.status, 200);
    assert_eq!(ask("trial").await.error(), (403, "trial_not_permitted".to_owned()));
}

async fn wrong_logins_are_refused_alike_and_slowed_down(site: &Site) {
    let world = site.world().await;
    let wrong = sign_in(&world, json!({"email": ALICE, "password": "not the password"})).await;
    let unknown = sign_in(
        &world,
        json!({"email": "nobody@example.com", "password": "not the password"}),
    )
    .await;
    assert_eq!(wrong.error(), (401, "wrong_login".to_owned()));
    assert_eq!(unknown.error(), (401, "wrong_login".to_owned()));
    assert_eq!(wrong.json()["error"], unknown.json()["error"]);
    for (body, field) in [
        (json!({}), "email"),
        (json!({"email": ALICE}), "password"),
        (json!({"email": 7, "password": "x"}), "email"),
        (json!({"email": ALICE, "password": ["x"]}), "password"),
    ] {
        let reply = sign_in(&world, body).await;
        assert_eq!((reply.error().0, &reply.json()["field"]), (400, &json!(field)));
    }
    let mut last = 0;
    for _ in 0..12 {
        last = sign_in(&world, json!({"email": ALICE, "password": "not the password"}))
            .await
            .error()
            .0;
    }
    assert_eq!(last, 429, "guessing gets slower");
}

async fn a_key_may_come_as_a_bearer_and_x_api_key_wins(site: &Site) {
    let world = site.world().await;
    let key = world.key.clone();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(
            plans(&world, "authorization", &format!("{scheme} {key}")).await.status,
            200
        );
    }
    let both = world
        .get("op=plans")
        .header("authorization", "Bearer garbage")
        .send()
        .await;
    assert_eq!(both.status, 200, "x-api-key is good");
    let both = world
        .get("op=plans")
        .header("x-api-key", "garbage")
        .header("authorization", &format!("Bearer {key}"))
        .send()
        .await;
    assert_eq!(both.error().0, 401, "x-api-key is bad");
    for odd in ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "", "garbage", "Bearer a.b.c"] {
        assert_eq!(plans(&world, "authorization", odd).await.error().0, 401, "{odd}");
    }
}

async fn a_suspended_account_gets_403_at_once_by_either(site: &Site) {
    let world = site.world().await;
    let bearer = format!("Bearer {}", token(&world).await);
    world.suspend(ALICE).await;
    let by_key = world.get("op=plans").send().await;
    assert_eq!(by_key.error(), (403, "account_suspended".to_owned()));
    let by_token = plans(&world, "authorization", &bearer).await;
    assert_eq!(by_token.error(), (403, "account_suspended".to_owned()));
    let login = sign_in(&world, json!({"email": ALICE, "password": PASSWORD})).await;
    assert_eq!(login.error(), (403, "account_suspended".to_owned()));
    world.resume(ALICE).await;
    assert_eq!(world.get("op=plans").send().await.status, 200, "a key works again");
    assert_eq!(
        plans(&world, "authorization", &bearer).await.error(),
        (401, "unauthorized".to_owned()),
        "a token from before does not"
    );
}
