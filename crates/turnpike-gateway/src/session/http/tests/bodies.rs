//! Bodies: framing, both directions at once, and answers that break.

use super::{LOGIN, Origin, World, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn large_bodies_pass_both_ways_unchanged_and_are_counted() {
    const LENGTH: usize = 3 * 1024 * 1024 + 17;
    let bytes: Vec<u8> = (0..LENGTH).map(|at| (at * 31 % 251) as u8).collect();
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let client = world.client().await;
    let (mut from_proxy, mut to_proxy) = client.stream.into_split();
    let request_head =
        format!("POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}Content-Length: {LENGTH}\r\n\r\n");
    let sent = bytes.clone();
    let sending = tokio::spawn(async move {
        to_proxy.write_all(request_head.as_bytes()).await.unwrap();
        to_proxy.write_all(&sent).await.unwrap();
        to_proxy
    });
    let mut server = origin.accept().await;
    let origin_head = format!("POST / HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {LENGTH}\r\n\r\n");
    server.expect(&origin_head).await;
    // The origin sends everything back as it comes, in chunks of any size.
    let answer_head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let echoing = tokio::spawn(async move {
        let (mut read, mut write) = server.stream.into_split();
        write.write_all(answer_head.as_bytes()).await.unwrap();
        let mut left = LENGTH;
        let mut framed = 0;
        while left > 0 {
            let mut portion = vec![0; left.min(50_000)];
            let count = read.read(&mut portion).await.unwrap();
            assert!(count > 0);
            left -= count;
            let line = format!("{count:x}\r\n");
            framed += line.len() + count + 2;
            write.write_all(line.as_bytes()).await.unwrap();
            write.write_all(&portion[..count]).await.unwrap();
            write.write_all(b"\r\n").await.unwrap();
        }
        write.write_all(b"0\r\n\r\n").await.unwrap();
        framed + 5
    });
    let reading = tokio::spawn(async move {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n0\r\n\r\n") {
            assert!(from_proxy.read_buf(&mut answer).await.unwrap() > 0);
        }
        answer
    });
    let answer = patiently(reading).await.unwrap();
    let framed = patiently(echoing).await.unwrap();
    drop(patiently(sending).await.unwrap());

    let mut rest =
        answer.strip_prefix(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".as_slice());
    if rest.is_none() {
        rest = answer.strip_prefix(answer_head.as_bytes());
    }
    let chunked = rest.expect("the head");
    assert_eq!(chunked.len(), framed);
    let mut data = Vec::new();
    let mut reader = turnpike_wire::http::Chunked::new();
    reader
        .recode(chunked, turnpike_wire::http::Form::Data, |piece| {
            data.extend_from_slice(piece)
        })
        .unwrap();
    assert!(data == bytes, "the body came back changed");
    assert_eq!(
        world.traffic(),
        ((origin_head.len() + LENGTH) as u64, answer.len() as u64)
    );
}

#[tokio::test]
async fn an_answer_before_the_body_has_ended_arrives_and_ends_the_connection() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client
        .send(format!(
            "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}Content-Length: 1000000\r\n\r\nthe start"
        ))
        .await;
    let mut server = origin.accept().await;
    server
        .expect(format!(
            "POST / HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 1000000\r\n\r\nthe start"
        ))
        .await;
    server
        .send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        .await;
    client
        .expect("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        .await;
    client.expect_end().await;
    // The origin may want the rest all the same.
    client.send("the rest").await;
    server.expect("the rest").await;
    drop(client);
    server.expect_end().await;
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_the_connection() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client.get(&authority, "/").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    server.send("HTTP/1.0 200 OK\r\nA: b\r\n\r\nall of it").await;
    drop(server);
    client
        .expect("HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nall of it")
        .await;
    client.expect_end().await;
}

#[tokio::test]
async fn an_answer_with_two_lengths_goes_by_its_chunks() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client.get(&authority, "/1").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/1").await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        .await;
    client
        .expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        .await;
    server.expect_end().await;
}

#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    client
        .send(format!(
            "HEAD http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}\r\n"
        ))
        .await;
    let mut server = origin.accept().await;
    server
        .expect(format!("HEAD / HTTP/1.1\r\nHost: {authority}\r\n\r\n"))
        .await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await;
    client.get(&authority, "/").await;
    server.expect_get(&authority, "/").await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_said_to_be_so() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    let mut client = world.client().await;
    for (answer, error) in [
        ("", "connection_terminated"),
        ("HTTP/1.1 200", "connection_terminated"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "http_protocol_error"),
        ("HTTP/1.1 200 OK\nA: b\n\n", "http_protocol_error"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
            "http_protocol_error",
        ),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "http_protocol_error"),
        ("HTTP/2.0 200 OK\r\n\r\n", "http_protocol_error"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
            "http_protocol_error",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "http_response_transfer_coding",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "http_response_transfer_coding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "http_response_transfer_coding",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "http_response_transfer_coding",
        ),
        (
            &format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(201)),
            "http_response_header_section_size",
        ),
    ] {
        client.get(&authority, "/").await;
        let mut server = origin.accept().await;
        server.expect_get(&authority, "/").await;
        server.send(answer).await;
        drop(server);
        let (head, _) = client.answer().await;
        let expected = format!("HTTP/1.1 502 Bad Gateway\r\nProxy-Status: turnpike; error={error}\r\n");
        assert!(head.starts_with(&expected), "{answer:?}: {head:?}");
        assert!(head.contains("\r\nConnection: keep-alive\r\n"), "{head:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_break_off() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    for start in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ] {
        let mut client = world.client().await;
        client.get(&authority, "/").await;
        let mut server = origin.accept().await;
        server.expect_get(&authority, "/").await;
        server.send(start).await;
        drop(server);
        client.expect(start).await;
        client.expect_end().await;
    }
    // Where the close is the end, a break must not look like one.
    let mut client = world.client().await;
    client.get(&authority, "/").await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    server.send("HTTP/1.1 200 OK\r\n\r\nshort").await;
    client.expect("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nshort").await;
    server.stream.set_zero_linger().unwrap();
    drop(server);
    let read = patiently(client.stream.read_to_end(&mut Vec::new())).await;
    assert_eq!(
        read.map_err(|error| error.kind()),
        Err(std::io::ErrorKind::ConnectionReset)
    );
    // So to HTTP/1.0, which gets no chunks.
    let mut client = world.client().await;
    client
        .send(format!("GET http://{authority}/ HTTP/1.0\r\n{LOGIN}\r\n"))
        .await;
    let mut server = origin.accept().await;
    server.expect_get(&authority, "/").await;
    server
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n")
        .await;
    client.expect("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nshort").await;
    server.send("broken").await;
    let read = patiently(client.stream.read_to_end(&mut Vec::new())).await;
    assert_eq!(
        read.map_err(|error| error.kind()),
        Err(std::io::ErrorKind::ConnectionReset)
    );
}

#[tokio::test]
async fn a_broken_request_body_never_ends_well() {
    let world = World::new().await;
    let origin = Origin::new().await;
    let authority = origin.authority();
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff0\r\nx",
        "5\r\nhello!\r\n0\r\n\r\n",
    ] {
        let mut client = world.client().await;
        let fields = format!("Host: {authority}\r\n{LOGIN}Transfer-Encoding: chunked\r\n");
        client
            .send(format!(
                "POST http://{authority}/ HTTP/1.1\r\n{fields}\r\n{body}GET /smuggled HTTP/1.1\r\n\r\n"
            ))
            .await;
        let answer = client.rest().await;
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{body:?}: {answer:?}"
        );
        let seen = origin.accept().await.rest().await;
        assert!(!seen.ends_with("0\r\n\r\n") && !seen.contains("smuggled"), "{seen:?}");
    }
}
