//! The whole server on a socket.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::world::{World, config};
use crate::{Readiness, Web, serve_metrics};

/// Sends a request and reads until the server closes.
async fn exchange(address: SocketAddr, head: &str, body: &[u8]) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let request = [head.as_bytes(), body].concat();
    let sending = tokio::spawn(async move {
        let _ = write.write_all(&request).await;
        write
    });
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), read.read_to_end(&mut answer))
        .await
        .unwrap();
    drop(sending.await);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let web = Web::new(world.shop.clone(), config(), Readiness::new());
    let serving = tokio::spawn(web.serve(listener, stop.clone(), Duration::from_secs(5)));
    let body = vec![b' '; 600_000];
    let chunked = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    for (key, status) in [
        ("garbage", "401 Unauthorized"),
        (world.key.as_str(), "413 Payload Too Large"),
    ] {
        for (framing, sent) in [
            (format!("Content-Length: {}", body.len()), &body),
            ("Transfer-Encoding: chunked".to_owned(), &chunked),
        ] {
            let head = format!(
                "POST /api/proxy HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\nConnection: close\r\n{framing}\r\n\r\n"
            );
            let answer = exchange(address, &head, sent).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{framing}: {answer:?}"
            );
            assert!(answer.ends_with('}'), "{answer}");
        }
    }
    let ip = exchange(address, &get("/ip"), b"").await;
    assert!(ip.ends_with("\r\n\r\n127.0.0.1"), "{ip}");
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_that_will_be_refused_is_not_asked_for() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let web = Web::new(world.shop.clone(), config(), Readiness::new());
    let serving = tokio::spawn(web.serve(listener, stop.clone(), Duration::from_secs(5)));
    let order = br#"{"op":"purchase"}"#;
    for (key, length, answers) in [
        ("garbage", order.len(), &["401 Unauthorized"][..]),
        (world.key.as_str(), 600_000, &["413 Payload Too Large"]),
        (world.key.as_str(), order.len(), &["100 Continue", "400 Bad Request"]),
    ] {
        let head = format!(
            "POST /api/proxy HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\nConnection: close\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        // A client that is refused does not send the body; one that is asked does.
        let body = if answers.len() > 1 { &order[..] } else { b"" };
        let answer = exchange(address, &head, body).await;
        let statuses: Vec<_> = answer
            .lines()
            .filter_map(|line| line.strip_prefix("HTTP/1.1 "))
            .collect();
        assert_eq!(statuses, answers, "{answer}");
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn metrics_have_a_listener_of_their_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve_metrics(listener, || "up 1\n".to_owned(), stop.clone()));
    let metrics = exchange(address, &get("/metrics"), b"").await;
    assert!(
        metrics.contains("text/plain; version=0.0.4") && metrics.ends_with("\r\n\r\nup 1\n"),
        "{metrics}"
    );
    assert!(exchange(address, &get("/healthz"), b"").await.ends_with("ok\n"));
    assert!(
        exchange(address, &get("/api/proxy"), b"")
            .await
            .starts_with("HTTP/1.1 404")
    );
    stop.cancel();
    serving.await.unwrap().unwrap();
}
