//! What operators rely on: logs without secrets, metrics by name, deadlines, panics that end one request, and answers that wait
//! for the port.

use std::convert::Infallible;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use http::{Method, Request};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;
use turnpike_shop::routes;

use super::site::{Site, on_both_engines};
use super::world::{ALICE, GATEWAY, PASSWORD, World, config};
use crate::WebConfig;

on_both_engines!(
    logs_and_metrics_tell_what_happened_and_no_secret,
    a_purchase_is_answered_when_its_port_is_open,
    a_gateway_that_is_away_does_not_hold_back_an_answer_for_long,
);

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

async fn logs_and_metrics_tell_what_happened_and_no_secret(site: &Site) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // Whether a line is wanted is remembered for the whole process. With one subscriber alive only the thread that comes to
    // a line first is asked, and that may be another test's, which wants nothing; with two alive both are asked.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let _logging = tracing::subscriber::set_default(subscriber);
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    let _measuring = metrics::set_default_local_recorder(&recorder);

    let world = site.world().await;
    let bought = world.subscription().await;
    let path = bought["rotate"]["rotatePath"].as_str().unwrap();
    world
        .ask(Method::HEAD, path)
        .header("x-request-id", "seen-in-the-log")
        .send()
        .await;
    let login = json!({"email": ALICE, "password": PASSWORD}).to_string();
    let token = world
        .ask(Method::POST, "/api/auth/token")
        .body(&login)
        .send()
        .await
        .json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    world
        .get("op=plans&canary=in-the-query")
        .without("x-api-key")
        .header("authorization", &format!("Bearer {token}"))
        .send()
        .await;
    world
        .get("op=plans")
        .header("x-api-key", "rk_canary-garbage")
        .send()
        .await;

    let (log, metrics) = (log.text(), rendered.render());
    assert!(log.contains("seen-in-the-log") && log.contains("/r/{token}"), "{log}");
    let secrets = [
        world.key.as_str(),
        PASSWORD,
        &token,
        "canary",
        path.trim_start_matches("/r/"),
        bought["credentials"]["password"].as_str().unwrap(),
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
        assert!(!metrics.contains(secret), "{secret} is in the metrics");
    }
    for line in [
        "turnpike_purchase_total{result=\"ok\"} 1",
        "turnpike_http_requests_total{op=\"purchase\",status=\"200\"} 1",
        "turnpike_http_requests_total{op=\"/r/{token}\",status=\"405\"} 1",
        "turnpike_http_request_seconds_count{op=\"purchase\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_gets_503_within_the_deadline() {
    let world = World::with(WebConfig {
        request_deadline: Duration::from_millis(100),
        ..config()
    })
    .await;
    let endless = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>());
    let reply = world.post_text("").stream(endless).send().await;
    assert_eq!(reply.error(), (503, "timeout".to_owned()));
    assert_eq!(
        reply.json()["charged"],
        false,
        "nothing was understood, so nothing was done"
    );
}

#[tokio::test]
async fn a_panic_ends_its_request_with_500() {
    async fn faulty() {
        panic!("on purpose")
    }
    let world = World::new().await;
    let router = Router::new()
        .route("/faulty", any(faulty))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&world.app),
            crate::observe::observe,
        ));
    for _ in 0..2 {
        let request = Request::get("/faulty").body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        assert!(response.headers().contains_key("x-request-id"));
    }
}

async fn a_purchase_is_answered_when_its_port_is_open(site: &Site) {
    let world = site
        .world_with(WebConfig {
            purchase_port_wait: Duration::from_secs(20),
            ..config()
        })
        .await;
    let opened = Arc::new(AtomicBool::new(false));
    let (shop, told) = (world.shop.clone(), Arc::clone(&opened));
    let before = routes::revision(&shop, GATEWAY).await.unwrap();
    let gateway = tokio::spawn(async move {
        loop {
            let revision = routes::revision(&shop, GATEWAY).await.unwrap();
            if revision > before {
                told.store(true, Ordering::SeqCst);
                routes::applied(&shop, GATEWAY, revision).await.unwrap();
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    world.subscription().await;
    assert!(opened.load(Ordering::SeqCst), "the answer waited");
    gateway.await.unwrap();
}

async fn a_gateway_that_is_away_does_not_hold_back_an_answer_for_long(site: &Site) {
    let world = site
        .world_with(WebConfig {
            purchase_port_wait: Duration::from_millis(200),
            ..config()
        })
        .await;
    let started = Instant::now();
    world.subscription().await;
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "it waited {:?}",
        started.elapsed()
    );
}
