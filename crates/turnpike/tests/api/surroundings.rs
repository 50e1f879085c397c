//! Limits, the description, the health checks and the metrics.

use testbed::http;
use testbed::turnpike::Turnpike;

use crate::errors::assert_error;

#[test]
fn too_many_requests_of_one_key_are_told_when_to_come_back() {
    let shop = Turnpike::with()
        .set("limits.api_requests_per_second", "1")
        .set("limits.api_burst", "5")
        .network("NL-AMS")
        .start();
    let other = shop.customer("other@example.com", 0);
    let refused = (0..20)
        .map(|_| shop.ask("plans"))
        .find(|answer| answer.status != 200)
        .expect("a limit");
    assert_error(&refused, 429, "rate_limited", None, "too many requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.header("ratelimit").is_some(), "{refused:?}");
    let _ = other.ask("plans").expect_status(200);
}

#[test]
fn the_description_and_the_health_checks_need_no_key() {
    let shop = Turnpike::with().network("NL-AMS").start();
    let description = shop.get("/openapi.json").expect_status(200).json();
    assert!(
        description["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1")),
        "{description}"
    );
    assert!(description["paths"]["/api/proxy"].is_object());
    let _ = shop.get("/healthz").expect_status(200);
    let _ = shop.get("/readyz").expect_status(200);
    assert_eq!(shop.get("/ip").expect_status(200).body, "127.0.0.1");
    let metrics = http::request(shop.metrics(), "GET", "/metrics", &[], b"").expect_status(200);
    for name in ["turnpike_build_info", "turnpike_http_request_seconds"] {
        assert!(metrics.body.contains(name), "{name} is missing in {}", metrics.body);
    }
}
