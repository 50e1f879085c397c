//! Requests passed on: what the origin sees, what the client sees, and which connection it takes.

use super::{LOGIN, Origin, World, exit};

#[tokio::test]
async fn a_request_reaches_its_origin_line_by_line_and_the_connections_are_kept() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client
        .send(format!(
            "GET http://{authority}/a?b HTTP/1.1\r\nuSER-aGENT:  x \r\nHOST: other\r\n{LOGIN}Proxy-Connection: keep-alive\r\n\
             X-Forwarded-For: 1.2.3.4\r\nCookie: a\r\nCookie: b\r\n\r\n"
        ))
        .await;
    let mut server = origin.accept().await;
    server
        .expect(format!(
            "GET /a?b HTTP/1.1\r\nuSER-aGENT:  x \r\nHOST: {authority}\r\nConnection: keep-alive\r\n\
             X-Forwarded-For: 1.2.3.4\r\nCookie: a\r\nCookie: b\r\n\r\n"
        ))
        .await;
    server
        .send("HTTP/1.1 200 Fine\r\nsET-cOOKIE: c\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nhi")
        .await;
    client
        .expect("HTTP/1.1 200 Fine\r\nsET-cOOKIE: c\r\nContent-Length: 2\r\n\r\nhi")
        .await;

    // The next one takes the same two connections.
    client.get(&authority, "/again").await;
    server.expect_get(&authority, "/again").await;
    server
        .send("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n")
        .await;
    client
        .expect("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n")
        .await;
}

#[tokio::test]
async fn one_connection_serves_many_hosts_and_tells_no_origin_its_credentials() {
    let world = World::new().await;
    let origins = [Origin::new().await, Origin::new().await];
    let mut client = world.client().await;
    for number in [0, 1, 0] {
        let authority = origins[number].authority();
        client.get(&authority, "/").await;
        let mut server = origins[number].accept().await;
        server.expect_get(&authority, "/").await;
        server.send("HTTP/1.1 204 None\r\n\r\n").await;
        client.expect("HTTP/1.1 204 None\r\n\r\n").await;
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let world = World::new().await;
    let origins = [Origin::new().await, Origin::new().await];
    let mut client = world.client().await;
    let mut requests = String::new();
    for (number, path) in [(0, "/1"), (1, "/2"), (1, "/3")] {
        let authority = origins[number].authority();
        requests += &format!("GET http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}\r\n");
    }
    client.send(requests).await;
    let mut first = origins[0].accept().await;
    first.expect_get(&origins[0].authority(), "/1").await;
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none").await;
    let mut second = origins[1].accept().await;
    for (path, word) in [("/2", "two"), ("/3", "333")] {
        second.expect_get(&origins[1].authority(), path).await;
        second
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{word}"))
            .await;
    }
    for word in ["one", "two", "333"] {
        client
            .expect(format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{word}"))
            .await;
    }
}

#[tokio::test]
async fn a_request_may_arrive_byte_by_byte() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    let request = format!(
        "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}Transfer-Encoding: chunked\r\n\r\n\
         3;x\r\nabc\r\n00A\r\n0123456789\r\n0\r\nT: t\r\n\r\n"
    );
    for byte in request.bytes() {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    let mut server = origin.accept().await;
    server
        .expect(format!(
            "POST / HTTP/1.1\r\nHost: {authority}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n"
        ))
        .await;
    for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" {
        server.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    client
        .expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        .await;
    // An empty line behind a body is forgiven.
    client.send("\r\n").await;
    client.get(&authority, "/next").await;
    server.expect_get(&authority, "/next").await;
}

#[tokio::test]
async fn interim_answers_are_passed_on_as_they_come() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client
        .send(format!(
            "PUT http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        ))
        .await;
    let mut server = origin.accept().await;
    server
        .expect(format!(
            "PUT / HTTP/1.1\r\nHost: {authority}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        ))
        .await;
    server.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("body").await;
    server.expect("body").await;
    server
        .send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .await;
    client
        .expect("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .await;
    client.get(&authority, "/next").await;
    server.expect_get(&authority, "/next").await;
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_chunks_no_interim_answers_and_a_close() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client
        .send(format!("GET http://{authority}/ HTTP/1.0\r\n{LOGIN}\r\n"))
        .await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    server
        .send(
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n\
             3\r\nabc\r\n3;x\r\ndef\r\n0\r\nT: t\r\n\r\n",
        )
        .await;
    client
        .expect("HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nabcdef")
        .await;
    client.expect_end().await;
}

#[tokio::test]
async fn an_http_1_0_client_may_keep_its_connection_alive() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    let mut server = None;
    for _ in 0..2 {
        client
            .send(format!(
                "GET http://{authority}/ HTTP/1.0\r\nProxy-Connection: Keep-Alive\r\n{LOGIN}\r\n"
            ))
            .await;
        let server = match &mut server {
            None => server.insert(origin.accept().await),
            Some(server) => server,
        };
        server
            .expect(format!(
                "GET / HTTP/1.1\r\nHost: {authority}\r\nConnection: keep-alive\r\n\r\n"
            ))
            .await;
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        client
            .expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok")
            .await;
    }
}

#[tokio::test]
async fn a_client_that_wants_to_close_is_closed() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    for field in ["Connection: close", "Proxy-Connection: close"] {
        let mut client = world.client().await;
        client
            .send(format!(
                "GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{field}\r\n{LOGIN}\r\n"
            ))
            .await;
        let mut server = origin.accept().await;
        server.expect_get(&authority, "/").await;
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        client
            .expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            .await;
        client.expect_end().await;
        server.expect_end().await;
    }
}

#[tokio::test]
async fn a_client_that_half_closes_still_gets_its_answer() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client.get(&authority, "/").await;
    client.half_close().await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.expect_end().await;
}

#[tokio::test]
async fn an_idempotent_request_is_sent_again_where_the_kept_connection_has_died() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client.get(&authority, "/1").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/1").await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;

    // The origin closes when it sees the request, as one does whose time for idle connections has just run out.
    client.get(&authority, "/2").await;
    server.expect_get(&authority, "/2").await;
    drop(server);
    let mut fresh = origin.accept().await;
    fresh.expect_get(&authority, "/2").await;
    fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;

    // What may have had an effect is not done twice.
    client
        .send(format!(
            "POST http://{authority}/3 HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}\r\n"
        ))
        .await;
    fresh
        .expect(format!("POST /3 HTTP/1.1\r\nHost: {authority}\r\n\r\n"))
        .await;
    drop(fresh);
    let (head, _) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\nProxy-Status: turnpike; error=connection_terminated\r\n"));
    origin.assert_unvisited();
}

#[tokio::test]
async fn a_kept_connection_that_closes_while_idle_is_noticed_before_it_is_used() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    for number in 0..3 {
        client
            .send(format!(
                "POST http://{authority}/{number} HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}\r\n"
            ))
            .await;
        let mut server = origin.accept().await;
        server
            .expect(format!("POST /{number} HTTP/1.1\r\nHost: {authority}\r\n\r\n"))
            .await;
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        client.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        server.half_close().await;
        server.expect_end().await;
    }
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_end_a_kept_connection() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client.get(&authority, "/1").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/1").await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil!")
        .await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.get(&authority, "/2").await;
    let mut fresh = origin.accept().await;
    fresh.expect_get(&authority, "/2").await;
}

#[tokio::test]
async fn a_rotation_leaves_no_kept_connection_in_use() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client.get(&authority, "/1").await;
    let (mut server, before) = origin.accept_from().await;
    server.expect_get(&authority, "/1").await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;

    world.gateway.rotate(&exit()).await.unwrap();

    client.get(&authority, "/2").await;
    let (mut fresh, after) = origin.accept_from().await;
    assert_ne!(before, after);
    fresh.expect_get(&authority, "/2").await;
    fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
}
