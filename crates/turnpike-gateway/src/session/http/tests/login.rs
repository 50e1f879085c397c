//! Credentials: on every request, and a second chance on the same connection.

use super::{LOGIN, Origin, World};

const WRONG: &str = "Proxy-Authorization: Basic dXNlcjp3cm9uZw==\r\n";

fn challenge(connection: &str) -> String {
    let sentence = "This proxy wants the user name and the password of its subscription.\n";
    format!(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"proxy\", charset=\"UTF-8\"\r\n\
         Proxy-Status: turnpike; error=http_request_denied\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: {connection}\r\n\r\n{sentence}",
        sentence.len()
    )
}

#[tokio::test]
async fn a_browser_that_is_challenged_tries_again_on_the_same_connection() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client
        .send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"))
        .await;
    client.expect(challenge("keep-alive")).await;
    client
        .send(format!(
            "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{WRONG}\r\n"
        ))
        .await;
    client.expect(challenge("keep-alive")).await;
    client
        .send(format!(
            "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}\r\n"
        ))
        .await;
    client.expect("HTTP/1.1 200 Connection established\r\n\r\n").await;
    let mut server = origin.accept().await;
    server.send("hello").await;
    client.expect("hello").await;
}

#[tokio::test]
async fn the_third_failure_closes() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    for connection in ["keep-alive", "keep-alive", "close"] {
        client
            .send(format!(
                "GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{WRONG}\r\n"
            ))
            .await;
        client.expect(challenge(connection)).await;
    }
    client.expect_end().await;
    origin.assert_unvisited();
}

#[tokio::test]
async fn every_request_brings_its_credentials() {
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
            "GET http://{authority}/secret HTTP/1.1\r\nHost: {authority}\r\n\r\n"
        ))
        .await;
    client.expect(challenge("keep-alive")).await;
    drop(client);
    server.expect_end().await;
}

#[tokio::test]
async fn what_is_not_one_good_field_is_no_login() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    for fields in [
        &format!("{LOGIN}{LOGIN}"),
        "Authorization: Basic dXNlcjpwYXNz\r\n",
        "Proxy-Authorization: Bearer dXNlcjpwYXNz\r\n",
        "Proxy-Authorization: Basic dXNlcg==\r\n",
        "Proxy-Authorization: Basic dXNlcjpwYXNzCg==\r\n",
        "Proxy-Authorization: Basic VXNlcjpwYXNz\r\n",
    ] {
        let mut client = world.client().await;
        client
            .send(format!(
                "GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n"
            ))
            .await;
        client.expect(challenge("keep-alive")).await;
    }
    origin.assert_unvisited();
}

#[tokio::test]
async fn a_short_body_of_a_challenged_request_is_read_and_a_long_one_ends_the_connection() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let request = |fields: &str| format!("POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n");
    let mut client = world.client().await;
    let short = "x".repeat(64 * 1024);
    client.send(request("Content-Length: 65536\r\n") + &short).await;
    client.expect(challenge("keep-alive")).await;
    client
        .send(request("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n")
        .await;
    client.expect(challenge("keep-alive")).await;
    client
        .send(request(&format!("Content-Length: 5\r\n{LOGIN}")) + "hello")
        .await;
    let mut server = origin.accept().await;
    server
        .expect(format!(
            "POST / HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 5\r\n\r\nhello"
        ))
        .await;

    for (fields, body) in [
        ("Content-Length: 65537\r\n", String::new()),
        (
            "Transfer-Encoding: chunked\r\n",
            format!("20000\r\n{}", "x".repeat(0x12000)),
        ),
        ("Transfer-Encoding: chunked\r\n", "zzz\r\n".to_owned()),
        // It waits for us to say that the body is wanted, and we do not want it.
        ("Expect: 100-continue\r\nContent-Length: 5\r\n", String::new()),
    ] {
        let mut client = world.client().await;
        client.send(request(fields) + &body).await;
        client.expect(challenge("close")).await;
        client.expect_end().await;
    }
    origin.assert_unvisited();
}

#[tokio::test]
async fn a_stealthy_gateway_says_nothing_to_strangers() {
    let world = World::with(|config| {
        config.stealth = true;
        config.first_byte_timeout = std::time::Duration::from_millis(300);
    })
    .await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    for request in [
        format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
        format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{WRONG}\r\n"),
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\nHost: a\n\n".to_owned(),
    ] {
        let mut client = world.client().await;
        client.send(request).await;
        client.expect_end().await;
    }
    let mut client = world.client().await;
    client.get(&authority, "/").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
}
