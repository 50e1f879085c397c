//! A database that goes away, and one that stands still: 503 and when to come back, never a hang.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use testbed::postgres::Cluster;

use super::site::Home;
use super::world::{ALICE, Ask, PASSWORD, Reply, World, config};
use crate::WebConfig;

/// How long a request may take at most where the database does not answer; generous, since it is not speed that is tested.
const BOUND: Duration = Duration::from_secs(20);

async fn world(cluster: &Cluster) -> World {
    let config = WebConfig {
        request_deadline: Duration::from_secs(5),
        rotation_deadline: Duration::from_secs(5),
        ..config()
    };
    World::at(Arc::new(Home::at(&cluster.database())), config).await
}

async fn in_time(ask: Ask<'_>) -> Reply {
    tokio::time::timeout(BOUND, ask.send()).await.expect("an answer")
}

/// Everything that needs the database, asked while it is not to be had.
async fn assert_away(world: &World, order: &Value, link: &str) {
    let login = json!({"email": ALICE, "password": PASSWORD}).to_string();
    let reading = world.get("op=plans");
    let buying = world.post(order.clone()).header("idempotency-key", "k1");
    let signing_in = world.ask(Method::POST, "/api/auth/token").body(&login);
    let rotating = world.ask(Method::GET, link);
    let replies = futures_util::future::join_all([reading, buying, signing_in, rotating].map(in_time)).await;
    for reply in &replies {
        // Checked in `error` as well: the body says the same as the header field.
        let (status, code) = reply.error();
        assert_eq!(status, 503, "{code}");
        assert!(reply.header("retry-after").is_some(), "{code}");
    }
    let charged = &replies[1].json()["charged"];
    assert!(charged == false || charged.is_null(), "{charged}");
    let ready = in_time(world.ask(Method::GET, "/readyz")).await;
    assert_eq!(ready.status, 503);
    assert_eq!(world.ask(Method::GET, "/healthz").send().await.status, 200);
    assert_eq!(world.ask(Method::GET, "/ip").send().await.status, 200);
}

/// The order that was sent meanwhile, sent again until it is answered: it is charged once, whatever became of the first try.
async fn assert_back(world: &World, order: &Value, balance: i64) {
    let began = Instant::now();
    loop {
        let reply = in_time(world.post(order.clone()).header("idempotency-key", "k1")).await;
        if reply.status == 200 {
            break;
        }
        assert!(began.elapsed() < BOUND, "{}", reply.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.balance(ALICE).await, balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn a_database_that_is_stopped_gets_503_until_it_is_back() {
    let mut cluster = Cluster::start();
    let world = world(&cluster).await;
    let bought = world.subscription().await;
    let link = bought["rotate"]["rotatePath"].as_str().unwrap();
    let order = json!({"op": "purchase", "planId": world.plan("NL-AMS", "private").await});
    cluster.stop_immediately();
    assert_away(&world, &order, link).await;
    cluster.resume_service();
    assert_back(&world, &order, 50_000 - 2 * 1_200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn a_database_that_stands_still_gets_503_until_it_moves() {
    let cluster = Cluster::start();
    let world = world(&cluster).await;
    let bought = world.subscription().await;
    let link = bought["rotate"]["rotatePath"].as_str().unwrap();
    let order = json!({"op": "purchase", "planId": world.plan("NL-AMS", "private").await});
    cluster.freeze();
    assert_away(&world, &order, link).await;
    cluster.thaw();
    assert_back(&world, &order, 50_000 - 2 * 1_200).await;
}
