//! CONNECT, and connections that become WebSockets.

use super::{LOGIN, Origin, World};

#[tokio::test]
async fn a_tunnel_is_answered_after_the_dial_and_keeps_what_was_sent_ahead() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    for version in ["1.0", "1.1"] {
        let mut client = world.client().await;
        // A length on CONNECT means nothing: all of this is the tunnel's.
        client
            .send(format!(
                "CONNECT {authority} HTTP/{version}\r\nHost: a\r\n{LOGIN}Content-Length: 3\r\n\r\nearly data"
            ))
            .await;
        let mut server = origin.accept().await;
        server.expect("early data").await;
        client.expect("HTTP/1.1 200 Connection established\r\n\r\n").await;
        server.send("hello").await;
        client.expect("hello").await;
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        server.expect("GET / HTTP/1.1\r\n\r\n").await;
        client.half_close().await;
        server.expect_end().await;
        server.send("last words").await;
        drop(server);
        client.expect("last words").await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_tunnel_may_go_to_an_ipv6_address() {
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    };
    let world = World::new().await;
    let mut client = world.client().await;
    let authority = listener.local_addr().unwrap().to_string();
    client
        .send(format!(
            "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}\r\n"
        ))
        .await;
    // The exit has IPv4 addresses only: it says so, and does not take `[` for a host.
    let (head, _) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{head:?}");
    assert!(head.contains("error=destination_ip_unroutable\r\n"), "{head:?}");
}

#[tokio::test]
async fn a_request_and_then_a_tunnel_on_one_connection() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client.get(&authority, "/").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client
        .send(format!(
            "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}\r\n"
        ))
        .await;
    client.expect("HTTP/1.1 200 Connection established\r\n\r\n").await;
    let mut tunnel = origin.accept().await;
    tunnel.send("hello").await;
    client.expect("hello").await;
    server.expect_end().await;
}

fn upgrade(authority: &str) -> String {
    format!(
        "GET http://{authority}/chat HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         {LOGIN}Sec-WebSocket-Key: k\r\n\r\n"
    )
}

fn upgrade_at_origin(authority: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: k\r\n\r\n"
    )
}

#[tokio::test]
async fn a_websocket_opens_through_plain_http() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client.send(upgrade(&authority) + "frame ahead").await;
    let mut server = origin.accept().await;
    server.expect(upgrade_at_origin(&authority)).await;
    let switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\n";
    server.send(format!("{switching}first frame")).await;
    client.expect(format!("{switching}first frame")).await;
    server.expect("frame ahead").await;
    client.send("frame").await;
    server.expect("frame").await;
    drop(client);
    server.expect_end().await;
}

/// Pingora switched before the 101 (CVE-2026-2833): a request behind a refused upgrade went to the origin unseen.
#[tokio::test]
async fn nothing_passes_behind_an_upgrade_that_was_refused() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client
        .send(upgrade(&authority) + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let mut server = origin.accept().await;
    server.expect(upgrade_at_origin(&authority)).await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
    client
        .expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        .await;
    client.expect_end().await;
    server.expect_end().await;
    origin.assert_unvisited();
}

#[tokio::test]
async fn other_upgrades_are_not_passed_on() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client
        .send(format!(
            "GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\n{LOGIN}\r\n"
        ))
        .await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    server
        .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")
        .await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{head:?}");
}
