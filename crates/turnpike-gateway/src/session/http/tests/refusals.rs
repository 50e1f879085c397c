//! What is refused, and in which words.

use std::time::Duration;

use super::{LOGIN, Origin, World};

/// Each of these is answered once and closed, and no origin hears of it.
#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_and_closed() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let bodies = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 \t x\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551621\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked;x\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length : 5\r\n",
        " Content-Length: 5\r\n",
        "A: b\r\n Content-Length: 5\r\n",
        "A: b\r\n\tTransfer-Encoding: chunked\r\n",
        "A: b\rContent-Length: 5\r\n",
        "A: b\nContent-Length: 5\r\n",
        "A: b\n",
        "A: \0\r\n",
        ": b\r\n",
        "A\r\n",
        "A b: c\r\n",
        "A\u{e9}: c\r\n",
        "Host: other\r\n",
    ];
    for fields in bodies {
        let request = format!("POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}{fields}\r\nhello");
        refused(&world, &request, "400 Bad Request").await;
    }
    for request in [
        format!("POST http://{authority}/ HTTP/1.0\r\n{LOGIN}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("GET http://{authority}/ HTTP/1.1\r\n{LOGIN}\r\n"),
        format!("GET http://{authority}/  HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\n"),
        format!("GET  http://{authority}/ HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\n"),
        format!("GET http://{authority}/ HTTP/1.1x\r\nHost: a\r\n{LOGIN}\r\n"),
        format!("GET http://{authority}/\r\nHost: a\r\n{LOGIN}\r\n"),
        format!("GET http://user@{authority}/ HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\n"),
        format!("GET http://{authority}/#x HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\n"),
        format!("GET https://{authority}/ HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\n"),
        format!("CONNECT 127.0.0.1 HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\n"),
        format!("CONNECT 127.0.0.1:99999 HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\n"),
        format!("CONNECT {}:443 HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\n", "a".repeat(300)),
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ] {
        refused(&world, &request, "400 Bad Request").await;
    }
    for (request, status) in [
        (
            format!("GET http://{authority}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n{LOGIN}\r\n"),
            "501 Not Implemented",
        ),
        (
            format!("GET ftp://{authority}/ HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\n"),
            "501 Not Implemented",
        ),
        (
            format!("TRACE http://{authority}/ HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\n"),
            "405 Method Not Allowed",
        ),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            "505 HTTP Version Not Supported",
        ),
        (
            format!("GET http://{authority}/ HTTP/1.2\r\nHost: a\r\n{LOGIN}\r\n"),
            "505 HTTP Version Not Supported",
        ),
        (
            format!("GET http://{authority}/{} HTTP/1.1\r\n", "x".repeat(17 * 1024)),
            "414 URI Too Long",
        ),
        (
            format!(
                "GET http://{authority}/ HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "A: b\r\n".repeat(201)
            ),
            "431 Request Header Fields Too Large",
        ),
        (
            format!(
                "GET http://{authority}/ HTTP/1.1\r\nHost: a\r\nA: {}\r\n",
                "x".repeat(65 * 1024)
            ),
            "431 Request Header Fields Too Large",
        ),
    ] {
        refused(&world, &request, status).await;
    }
    origin.assert_unvisited();
}

/// The request is answered with this status, and another one that is sent with it is not.
async fn refused(world: &World, request: &str, status: &str) {
    let mut client = world.client().await;
    client
        .send(format!(
            "{request}GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\n"
        ))
        .await;
    client.half_close().await;
    let answer = client.rest().await;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{request:?}: {answer:?}"));
    assert!(
        head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
        "{request:?}: {answer:?}"
    );
    assert!(
        head.contains("\r\nProxy-Status: turnpike; error=http_request_error\r\n"),
        "{answer:?}"
    );
    assert!(head.ends_with("\r\nConnection: close"), "{answer:?}");
    assert_eq!(body.matches('\n').count(), 1, "{answer:?}");
}

#[tokio::test]
async fn a_browser_that_takes_the_port_for_a_page_is_told_what_it_is() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: proxy.example\r\n\r\n").await;
    let (_, page) = client.answer().await;
    assert!(
        page.starts_with("This is the port of a Turnpike proxy, not a web page."),
        "{page:?}"
    );
}

#[tokio::test]
async fn a_destination_that_cannot_be_reached_is_answered_with_its_cause() {
    let world = World::new().await;
    let closed = Origin::new().await.authority();
    for (authority, status, error) in [
        (closed.as_str(), "502 Bad Gateway", "connection_refused"),
        ("10.1.2.3:80", "403 Forbidden", "destination_ip_prohibited"),
        ("[::ffff:10.1.2.3]:80", "403 Forbidden", "destination_ip_prohibited"),
        ("169.254.169.254:80", "403 Forbidden", "destination_ip_prohibited"),
        ("127.0.0.1:25", "403 Forbidden", "destination_ip_prohibited"),
    ] {
        let expected = format!("HTTP/1.1 {status}\r\nProxy-Status: turnpike; error={error}\r\n");
        // A request may be followed by another.
        let mut client = world.client().await;
        for _ in 0..2 {
            client.get(authority, "/").await;
            let (head, sentence) = client.answer().await;
            assert!(head.starts_with(&expected), "{authority}: {head:?}");
            assert!(head.ends_with("\r\nConnection: keep-alive\r\n\r\n"), "{head:?}");
            assert!(sentence.ends_with(".\n"), "{sentence:?}");
        }
        client
            .send(format!("HEAD http://{authority}/ HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\n"))
            .await;
        client.head().await;
        // A tunnel's client may have spoken already, and a body is on its way: these two close.
        client
            .send(format!("CONNECT {authority} HTTP/1.1\r\nHost: a\r\n{LOGIN}\r\nearly"))
            .await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with(&expected), "{authority}: {head:?}");
        assert!(head.ends_with("\r\nConnection: close\r\n\r\n"), "{head:?}");
        client.expect_end().await;

        let mut client = world.client().await;
        client
            .send(format!(
                "POST http://{authority}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n{LOGIN}\r\nhello"
            ))
            .await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with(&expected), "{authority}: {head:?}");
        client.expect_end().await;
    }
}

#[tokio::test]
async fn an_origin_that_says_nothing_is_given_up() {
    let world = World::with(|config| config.idle_timeout = Duration::from_millis(200)).await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client.get(&authority, "/").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    let (head, _) = client.answer().await;
    assert!(
        head.starts_with("HTTP/1.1 504 Gateway Timeout\r\nProxy-Status: turnpike; error=http_response_timeout\r\n"),
        "{head:?}"
    );
    server.expect_end().await;
}

#[tokio::test]
async fn a_request_that_does_not_arrive_in_time_is_given_up() {
    let world = World::with(|config| config.handshake_timeout = Duration::from_millis(200)).await;
    let mut client = world.client().await;
    client.send("GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: a\r\n").await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{head:?}");
    client.expect_end().await;
}
