//! Rate limits, from the outside.

use http::Method;
use serde_json::json;

use super::world::{ALICE, World, config, full};
use crate::WebConfig;

#[tokio::test]
async fn each_key_has_its_own_limit_and_is_told_where_it_stands() {
    let world = World::with(WebConfig {
        requests_per_second: 1,
        burst: 4,
        ..config()
    })
    .await;
    let first = world.get("op=plans").send().await;
    assert_eq!(first.header("ratelimit-policy"), Some("\"key\";q=4;w=4"));
    assert_eq!(first.header("ratelimit"), Some("\"key\";r=3;t=1"));
    for _ in 0..3 {
        assert_eq!(world.get("op=plans").send().await.status, 200);
    }
    let refused = world.get("op=plans").send().await;
    assert_eq!(refused.error(), (429, "rate_limited".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit"), Some("\"key\";r=0;t=1"));
    let purchase = world.post(json!({"op": "purchase"})).send().await;
    assert_eq!(
        purchase.json()["charged"],
        false,
        "nothing was done, and the answer says so"
    );
    let other = world.key_of(ALICE, full()).await;
    assert_eq!(
        world.get("op=plans").header("x-api-key", &other).send().await.status,
        200
    );
}

#[tokio::test]
async fn an_address_is_limited_before_anything_is_looked_at() {
    let world = World::with(WebConfig {
        requests_per_second: 1,
        burst: 2,
        ..config()
    })
    .await;
    for _ in 0..8 {
        let reply = world.ask(Method::GET, "/api/proxy?op=plans").send().await;
        assert_eq!(reply.error().0, 401);
        assert!(reply.header("ratelimit-policy").unwrap().starts_with("\"address\""));
    }
    for spoofed in ["203.0.113.1", "203.0.113.2"] {
        let reply = world
            .ask(Method::GET, "/api/proxy?op=plans")
            .header("x-forwarded-for", spoofed)
            .send()
            .await;
        assert_eq!(
            reply.error(),
            (429, "rate_limited".to_owned()),
            "a header does not change the bucket"
        );
    }
    let token = world.ask(Method::POST, "/api/auth/token").body("{}").send().await;
    assert_eq!(token.error().0, 429);
    let elsewhere = world.get("op=plans").from("198.51.100.1").send().await;
    assert_eq!(elsewhere.status, 200);
}

#[tokio::test]
async fn an_address_that_shows_wrong_keys_is_not_listened_to() {
    let world = World::with(WebConfig {
        bad_credentials_per_minute: 20,
        ..config()
    })
    .await;
    for count in 0..20 {
        let reply = world
            .get("op=plans")
            .header("x-api-key", &format!("rk_wrong{count}"))
            .send()
            .await;
        assert_eq!(reply.error(), (401, "unauthorized".to_owned()));
        assert!(reply.header("www-authenticate").is_some());
    }
    let refused = world.get("op=plans").send().await;
    assert_eq!(refused.error(), (429, "too_many_bad_credentials".to_owned()));
    assert_eq!(world.get("op=plans").from("198.51.100.1").send().await.status, 200);
}

#[tokio::test]
async fn ip_and_readiness_are_generous_but_not_endless() {
    let world = World::with(WebConfig {
        requests_per_second: 1,
        burst: 1,
        ..config()
    })
    .await;
    // Those who ask for a report have a share of their own.
    for path in ["/ip", "/readyz"] {
        for _ in 0..25 {
            assert_eq!(world.ask(Method::GET, path).send().await.status, 200);
        }
        // On a busy machine some of the share has come back meanwhile.
        let mut next = world.ask(Method::GET, path).send().await;
        for _ in 0..1_000 {
            if next.status != 200 {
                break;
            }
            next = world.ask(Method::GET, path).send().await;
        }
        assert_eq!(next.error().0, 429);
    }
    assert_eq!(world.ask(Method::GET, "/healthz").send().await.status, 200);
}
