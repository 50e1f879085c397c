//! What ends a connection from outside, and what one leaves behind.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::{LOGIN, Origin, World, patiently, route};
use crate::Change;

#[tokio::test]
async fn a_route_that_ends_takes_its_requests_with_it() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut waiting = world.client().await;
    waiting.get(&authority, "/").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    let mut reading = world.client().await;
    reading.get(&authority, "/").await;
    let mut busy = origin.accept().await;
    busy.expect_get(&authority, "/").await;
    busy.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    reading
        .expect("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        .await;

    world.gateway.apply(vec![Change::RemoveRoute(route())]).await;

    let ended = async {
        server.expect_end().await;
        busy.expect_end().await;
        waiting.expect_end().await;
        reading.expect_end().await;
    };
    tokio::time::timeout(Duration::from_secs(1), ended)
        .await
        .expect("within a second");
}

#[tokio::test]
async fn a_client_that_breaks_off_does_not_keep_its_origin() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    // It resets while it waits for its answer.
    let mut client = world.client().await;
    client.get(&authority, "/").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    client.stream.set_zero_linger().unwrap();
    drop(client);
    server.expect_end().await;
    // It closes in the middle of its body.
    let mut client = world.client().await;
    client
        .send(format!(
            "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 9\r\n{LOGIN}\r\nhalf"
        ))
        .await;
    let mut server = origin.accept().await;
    server
        .expect(format!(
            "POST / HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 9\r\n\r\nhalf"
        ))
        .await;
    drop(client);
    server.expect_end().await;
}

#[tokio::test]
async fn connections_at_rest_and_in_the_middle_of_a_body_hold_no_buffer() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut idle = world.client().await;
    idle.get(&authority, "/").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    idle.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;

    let mut halfway = world.client().await;
    halfway.get(&authority, "/").await;
    let mut slow = origin.accept().await;
    slow.expect_get(&authority, "/").await;
    slow.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n")
        .await;
    halfway
        .expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n")
        .await;
    slow.send("ab").await;
    halfway.expect("ab").await;

    patiently(async {
        while world.gateway.shared().buffers.in_use() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn heads_and_bodies_that_are_passed_on_are_counted_and_our_own_words_are_not() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client
        .send(format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n"))
        .await;
    client.answer().await;
    client.get("10.0.0.1", "/").await;
    client.answer().await;
    assert_eq!(world.traffic(), (0, 0));

    client.get(&authority, "/").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
    let up = format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n").len() as u64;
    assert_eq!(world.traffic(), (up, 43));
}

#[tokio::test]
async fn a_client_may_think_for_a_minute_between_two_requests() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client.get(&authority, "/").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    server.send("HTTP/1.1 204 None\r\n\r\n").await;
    client.expect("HTTP/1.1 204 None\r\n\r\n").await;

    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).await.unwrap();
    let waited = start.elapsed().as_secs();
    assert!((59..=61).contains(&waited) && rest.is_empty(), "{waited} s, {rest:?}");
}

#[tokio::test]
async fn a_gateway_that_stops_ends_what_waits_and_lets_answers_finish() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut idle = world.client().await;
    idle.get(&authority, "/").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    server.send("HTTP/1.1 204 None\r\n\r\n").await;
    idle.expect("HTTP/1.1 204 None\r\n\r\n").await;
    let mut waiting = world.client().await;
    waiting.get(&authority, "/").await;
    let mut busy = origin.accept().await;
    busy.expect_get(&authority, "/").await;

    let gateway = world.gateway.clone();
    let stopping = tokio::spawn(async move { gateway.shut_down(Duration::from_secs(8)).await });
    idle.expect_end().await;
    server.expect_end().await;
    busy.send("HTTP/1.1 204 None\r\n\r\n").await;
    waiting.expect("HTTP/1.1 204 None\r\nConnection: close\r\n\r\n").await;
    waiting.expect_end().await;
    drop((idle, waiting));
    patiently(stopping).await.unwrap();
}
