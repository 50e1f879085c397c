//! Connections as a hostile or unlucky peer makes them, on real sockets with short deadlines.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

/// Deadlines in these tests; long enough that a busy machine does not meet them by accident.
const SHORT: Duration = Duration::from_millis(400);
/// How long a test waits for what should come.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
    /// Lets `/slow` answer.
    go: Arc<Notify>,
    /// Told when `/slow` has been asked.
    asked: Arc<Notify>,
}

fn caps() -> Caps {
    Caps {
        head_timeout: SHORT,
        idle_timeout: SHORT,
        last_bytes: SHORT,
        max_connections: 100,
        max_per_address: 100,
        exempt: Vec::new(),
    }
}

async fn serve(caps: Caps, drain: Duration) -> Server {
    let (go, asked) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inner_go, inner_asked) = (Arc::clone(&go), Arc::clone(&asked));
    let router = Router::new().route("/", get(async || "hello")).route(
        "/slow",
        get(async move || {
            inner_asked.notify_one();
            inner_go.notified().await;
            "at last"
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(listener, router, caps, stop.clone(), drain));
    Server {
        address,
        stop,
        task,
        go,
        asked,
    }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// All that comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match timeout(PATIENCE, stream.read(&mut chunk)).await.unwrap() {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

#[tokio::test]
async fn a_request_is_answered_and_the_connection_kept() {
    let server = serve(caps(), SHORT).await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 1024];
        let count = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_closed() {
    let server = serve(caps(), SHORT).await;
    for start in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(start).await.unwrap();
        assert_eq!(rest(&mut stream).await, "", "after {start:?}");
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let server = serve(caps(), SHORT).await;
    let (mut read, mut write) = server.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        let _ = write.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await;
        while write.write_all(b"X-A: b\r\n").await.is_ok() {
            sleep(SHORT / 8).await;
        }
    });
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, read.read_to_end(&mut answer)).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    trickle.abort();
}

#[tokio::test]
async fn an_http2_connection_without_requests_is_closed() {
    let server = serve(caps(), SHORT).await;
    let mut stream = server.connect().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let empty_settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream.write_all(&empty_settings).await.unwrap();
    rest(&mut stream).await;
}

#[tokio::test]
async fn heads_that_are_too_large_get_431() {
    let server = serve(caps(), SHORT).await;
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Many: 1\r\n".repeat(80));
    for head in [long, many] {
        let mut stream = server.connect().await;
        let _ = stream.write_all(head.as_bytes()).await;
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn one_address_has_a_share_of_the_connections() {
    let server = serve(
        Caps {
            max_per_address: 2,
            head_timeout: PATIENCE,
            ..caps()
        },
        SHORT,
    )
    .await;
    let first = server.connect().await;
    let _second = server.connect().await;
    let mut third = server.connect().await;
    assert_eq!(rest(&mut third).await, "", "over its share");
    drop(first);
    // The place is given back as soon as the server has seen the close.
    let answered = async {
        loop {
            let mut again = server.connect().await;
            let _ = again
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .await;
            if rest(&mut again).await.contains("hello") {
                return;
            }
        }
    };
    timeout(PATIENCE, answered).await.unwrap();
}

#[tokio::test]
async fn stopping_lets_open_requests_finish_and_takes_no_more() {
    let server = serve(caps(), PATIENCE).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    timeout(PATIENCE, server.asked.notified()).await.unwrap();
    let mut idle = server.connect().await;
    server.stop.cancel();
    assert_eq!(rest(&mut idle).await, "", "an idle connection is closed at once");
    let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.unwrap();
    server.go.notify_one();
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("at last"), "{answer}");
    assert!(timeout(PATIENCE, server.task).await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn draining_is_bounded() {
    let server = serve(caps(), SHORT).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    timeout(PATIENCE, server.asked.notified()).await.unwrap();
    server.stop.cancel();
    assert!(timeout(PATIENCE, server.task).await.unwrap().unwrap().is_ok());
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let server = serve(caps(), SHORT).await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n bad: folded\r\n\r\n",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(garbage).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(!answer.contains("200 OK"), "{garbage:?}: {answer}");
    }
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut stream).await.contains("hello"));
}
