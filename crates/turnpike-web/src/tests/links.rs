//! Rotate links, with a gateway that is played by the test.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::json;
use turnpike_shop::types::Span;
use turnpike_shop::{Shop, rotation};

use super::site::{Site, on_both_engines};
use super::world::{ALICE, GATEWAY, World};

on_both_engines!(
    it_rotates_and_tells_the_truth,
    only_an_address_that_is_known_to_differ_is_called_a_change,
    who_only_looks_does_not_rotate,
    links_that_nobody_has_get_404,
    where_it_cannot_be_done_it_says_why,
);

/// Does what is asked for, as `outcome` says; counts how often.
pub(super) struct Gateway {
    task: tokio::task::JoinHandle<()>,
    rotated: Arc<AtomicUsize>,
}

impl Gateway {
    pub(super) fn start(shop: &Shop, outcome: Result<(Option<IpAddr>, Option<IpAddr>), String>) -> Self {
        let (shop, rotated) = (shop.clone(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&rotated);
        let task = tokio::spawn(async move {
            loop {
                for task in rotation::claim(&shop, GATEWAY, 10).await.unwrap() {
                    count.fetch_add(1, Ordering::Relaxed);
                    rotation::finish(&shop, &task.id, outcome.clone()).await.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { task, rotated }
    }

    pub(super) fn rotated(&self) -> usize {
        self.rotated.load(Ordering::Relaxed)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

async fn path(world: &World) -> String {
    world.subscription().await["rotate"]["rotatePath"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn it_rotates_and_tells_the_truth(site: &Site) {
    let world = site.world().await;
    let path = path(&world).await;
    let gateway = Gateway::start(&world.shop, Ok((ip("127.0.0.12"), ip("127.0.0.11"))));
    let reply = world.ask(Method::GET, &path).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body = reply.json();
    assert_eq!(
        (&body["ok"], &body["ip"], &body["previousIp"], &body["changed"]),
        (&json!(true), &json!("127.0.0.12"), &json!("127.0.0.11"), &json!(true))
    );
    assert!(body["tookMs"].is_i64() && body["nextAllowedAt"].is_i64(), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 6);
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-robots-tag", "noindex, nofollow"),
    ] {
        assert_eq!(reply.header(name), Some(value));
    }
    let again = world.ask(Method::POST, &path).send().await;
    assert_eq!(again.error(), (429, "rotation_cooldown".to_owned()));
    world.advance(Span::seconds(11));
    let text = world.ask(Method::POST, &format!("{path}?format=text")).send().await;
    assert_eq!((text.status.as_u16(), text.text().as_str()), (200, "127.0.0.12"));
    assert_eq!(gateway.rotated(), 2);
}

async fn only_an_address_that_is_known_to_differ_is_called_a_change(site: &Site) {
    let world = site.world().await;
    let path = path(&world).await;
    // What the gateway tells of each rotation, and what the customer then reads. An address that the gateway does not know
    // from before is the one that the rotation before gave.
    for (told, ip_now, previous, changed) in [
        ((None, None), None, None, false),
        ((ip("127.0.0.11"), None), Some("127.0.0.11"), None, false),
        (
            (ip("127.0.0.11"), ip("127.0.0.11")),
            Some("127.0.0.11"),
            Some("127.0.0.11"),
            false,
        ),
        ((ip("127.0.0.12"), None), Some("127.0.0.12"), Some("127.0.0.11"), true),
        ((None, None), None, Some("127.0.0.12"), false),
    ] {
        let _gateway = Gateway::start(&world.shop, Ok(told));
        let body = world.ask(Method::GET, &path).send().await.json();
        assert_eq!(
            (&body["ip"], &body["previousIp"], &body["changed"]),
            (&json!(ip_now), &json!(previous), &json!(changed)),
            "{told:?}"
        );
        world.advance(Span::seconds(11));
    }
}

async fn who_only_looks_does_not_rotate(site: &Site) {
    let world = site.world().await;
    let path = path(&world).await;
    let gateway = Gateway::start(&world.shop, Ok((ip("127.0.0.12"), None)));
    assert_eq!(world.ask(Method::HEAD, &path).send().await.status, 405);
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ] {
        let reply = world.ask(Method::GET, &path).header(name, value).send().await;
        assert_eq!(reply.error(), (403, "prefetch".to_owned()), "{name}: {value}");
    }
    assert_eq!(
        world
            .ask(Method::GET, &format!("{path}?format=xml"))
            .send()
            .await
            .error()
            .0,
        400
    );
    assert_eq!(gateway.rotated(), 0);
}

async fn links_that_nobody_has_get_404(site: &Site) {
    let world = site.world().await;
    for path in [
        "/r/abc",
        "/r/%20",
        "/r/%ff",
        "/r/..%2f..",
        &format!("/r/{}", "a".repeat(5_000)),
    ] {
        let reply = world.ask(Method::GET, path).send().await;
        assert_eq!(reply.error(), (404, "unknown_rotate_link".to_owned()), "{path}");
        assert_eq!(reply.json().get("field"), None);
    }
}

async fn where_it_cannot_be_done_it_says_why(site: &Site) {
    let world = site.world().await;
    let shared = world.plan("NL-AMS", "shared").await;
    let sharing = world
        .post(json!({"op": "purchase", "planId": shared}))
        .send()
        .await
        .json();
    let shared_path = sharing["subscription"]["rotate"]["rotatePath"].as_str().unwrap();
    assert_eq!(sharing["subscription"]["rotate"]["available"], false);
    assert_eq!(
        world.ask(Method::GET, shared_path).send().await.error(),
        (409, "rotation_unavailable".to_owned())
    );

    let path = path(&world).await;
    {
        let _gateway = Gateway::start(&world.shop, Err("the modem does not answer".to_owned()));
        let failed = world.ask(Method::GET, &path).send().await;
        assert_eq!(failed.error(), (502, "rotation_failed".to_owned()));
        // Why is for the operator: it may name his programs and addresses.
        let sentence = failed.json()["error"].as_str().unwrap().to_owned();
        assert!(!sentence.contains("modem"), "{sentence}");
    }
    world.suspend(ALICE).await;
    assert_eq!(
        world.ask(Method::GET, &path).send().await.error(),
        (403, "account_suspended".to_owned())
    );
}
