//! The other paths, and what every answer carries.

use http::Method;
use serde_json::json;

use super::world::{World, config};
use crate::WebConfig;

#[tokio::test]
async fn every_answer_carries_the_requests_id_and_the_security_fields() {
    let world = World::new().await;
    let paths = [
        "/api/proxy?op=plans",
        "/api/proxy",
        "/r/abc",
        "/ip",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/",
        "/nowhere",
        "/api",
        "/r/",
        "/r/%ff",
        "/sub/abc",
        "/sub/%ff",
    ];
    for path in paths {
        let reply = world.ask(Method::GET, path).send().await;
        assert_eq!(reply.header("x-request-id").map(str::len), Some(24), "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path}");
        }
        assert!(
            reply
                .header("content-security-policy")
                .unwrap()
                .starts_with("default-src 'none'")
        );
        if !reply.status.is_success() {
            reply.error();
        }
    }
    let named = world
        .ask(Method::GET, "/ip")
        .header("x-request-id", "my-id_1.2")
        .send()
        .await;
    assert_eq!(named.header("x-request-id"), Some("my-id_1.2"));
    for odd in ["a b", "a\"b", "<script>", &"a".repeat(65), ""] {
        let reply = world.ask(Method::GET, "/ip").header("x-request-id", odd).send().await;
        assert_ne!(reply.header("x-request-id"), Some(odd));
    }
}

#[tokio::test]
async fn paths_that_are_nothing_get_404_as_json() {
    let world = World::new().await;
    for path in [
        "/nowhere",
        "/api/proxy/",
        "/API/PROXY",
        "/r",
        "/.env",
        "/api/proxy/../../etc/passwd",
    ] {
        assert_eq!(
            world.ask(Method::GET, path).send().await.error(),
            (404, "not_found".to_owned()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn ip_tells_the_callers_address() {
    let world = World::with(WebConfig {
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        ..config()
    })
    .await;
    let reply = world.ask(Method::GET, "/ip").from("198.51.100.7").send().await;
    assert_eq!(
        (reply.text().as_str(), reply.header("content-type")),
        ("198.51.100.7", Some("text/plain; charset=utf-8"))
    );
    let reply = world
        .ask(Method::GET, "/ip")
        .from("2001:db8::7")
        .header("accept", "text/html, application/json;q=0.9")
        .send()
        .await;
    assert_eq!(reply.json(), json!({"ip": "2001:db8::7"}));
    for accept in ["*/*", "text/plain", "application/json;q=0", "application/jsonx"] {
        let reply = world.ask(Method::GET, "/ip").header("accept", accept).send().await;
        assert_eq!(reply.text(), "192.0.2.1", "{accept}");
    }
    let spoofed = world
        .ask(Method::GET, "/ip")
        .header("x-forwarded-for", "203.0.113.9")
        .send()
        .await;
    assert_eq!(spoofed.text(), "192.0.2.1");
    let forwarded = world
        .ask(Method::GET, "/ip")
        .from("10.1.1.1")
        .header("x-forwarded-for", "203.0.113.9")
        .send()
        .await;
    assert_eq!(forwarded.text(), "203.0.113.9");
}

#[tokio::test]
async fn readiness_has_a_line_per_check_and_fails_where_one_does() {
    let world = World::new().await;
    let reply = world.ask(Method::GET, "/readyz").send().await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "database: ok\n"));
    world.shop.close().await;
    let reply = world
        .ask(Method::GET, "/readyz")
        .header("accept", "application/json")
        .send()
        .await;
    assert_eq!(reply.status, 503);
    assert_eq!(
        reply.json(),
        json!({"ok": false, "checks": [{"name": "database", "ok": false, "detail": "it does not answer"}]})
    );
    assert_eq!(world.ask(Method::GET, "/healthz").send().await.text(), "ok\n");
    let api = world.get("op=plans").send().await;
    assert_eq!(api.error(), (503, "unavailable".to_owned()));
}

#[tokio::test]
async fn other_methods_get_405_and_are_told_which() {
    let world = World::new().await;
    for method in [
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::from_bytes(b"BREW").unwrap(),
    ] {
        let reply = world
            .ask(method.clone(), "/api/proxy")
            .header("x-api-key", &world.key)
            .send()
            .await;
        assert_eq!(reply.status, 405, "{method}");
        assert_eq!(reply.header("allow"), Some("GET, POST"));
        for (path, allow) in [("/api/auth/token", "POST"), ("/r/abc", "GET, POST")] {
            let reply = world.ask(method.clone(), path).send().await;
            assert_eq!(
                (reply.status.as_u16(), reply.header("allow")),
                (405, Some(allow)),
                "{method} {path}"
            );
        }
    }
    let own = world.get("op=subscriptions").send().await.json()["subscriptionUrl"].clone();
    let own = own
        .as_str()
        .unwrap()
        .strip_prefix("https://shop.example")
        .unwrap()
        .to_owned();
    for path in ["/ip", "/healthz", "/readyz", "/openapi.json", "/", &own] {
        let reply = world.ask(Method::POST, path).send().await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("allow")),
            (405, Some("GET, HEAD")),
            "{path}"
        );
        assert_eq!(world.ask(Method::HEAD, path).send().await.status, 200, "{path}");
    }
}
