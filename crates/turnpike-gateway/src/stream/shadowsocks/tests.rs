//! Chunks between a client and an origin, as sockets give them.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use testbed::shadowsocks::{self as peer, Client, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use turnpike_wire::shadowsocks::stream::{Handshake, Step};
use turnpike_wire::shadowsocks::{Keys, Method, Salt};

use std::sync::Arc;

use super::*;
use crate::RouteId;
use crate::clock::SteadyClock;
use crate::refusals::{Caller, Protocol, Refusals};

const PASSWORD: &str = "aJZJWOgeoJk2DX454niuYw";

/// The server's end behind a handshake, and what seals and opens at the client's.
fn ends(method: Method, client: &Client) -> (Shadowsocks, peer::Sealer, peer::Answer) {
    let keys = Keys::of_password(PASSWORD).unwrap();
    let request = Request {
        salt: vec![1; method.salt_length()],
        time: 0,
        to: peer::named("example.com", 80),
        payload: Vec::new(),
    };
    let (mut bytes, sealer) = client.request(&request);
    let salt = Salt::of(method, &bytes).unwrap();
    let mut handshake = Handshake::new(&keys, method, &salt).unwrap();
    let mut at = method.salt_length();
    loop {
        match handshake.advance(&mut bytes[at..]).unwrap() {
            Step::Proven { used, .. } | Step::Used(used) => at += used,
            Step::Done { .. } => break,
            Step::Need(_) => panic!("the request is whole"),
        }
    }
    let own = Salt::of(method, &[2; 32]).unwrap();
    let complaints = Complaints {
        log: Refusals::default().log(&RouteId("a".into())),
        clock: Arc::new(SteadyClock::new(Arc::new(|| 0))),
        caller: Caller {
            source: [127, 0, 0, 1].into(),
            protocol: Protocol::Shadowsocks,
        },
    };
    let seal = Sealer::new(&keys, method, own, salt).unwrap();
    let server = Shadowsocks::new(complaints, handshake.into_opener(), seal, Vec::new());
    (server, sealer, client.answer(&request.salt))
}

async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// Reads until there is nothing more to read for the time being.
async fn read(server: &mut Shadowsocks, socket: &TcpStream, length: usize) -> Vec<u8> {
    let (mut text, mut room) = (Vec::new(), vec![0; 10_000]);
    loop {
        match server.read(socket, &mut room) {
            Ok(count) => text.extend(&room[..count]),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                if text.len() >= length {
                    return text;
                }
                socket.readable().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn between_two_chunks_nothing_is_held() {
    for (method, peers) in Method::ALL.into_iter().zip(peer::Method::ALL) {
        let (mut server, mut sealer, mut answer) = ends(method, &Client::new(peers, PASSWORD));
        let (mut client, socket) = connection().await;
        for length in [1, 16_383, 100] {
            let text = testbed::origin::pattern(length);
            let chunk = sealer.chunk(&text);
            let (head, rest) = chunk.split_at(chunk.len() / 2);
            client.write_all(head).await.unwrap();
            socket.readable().await.unwrap();
            assert_eq!(read(&mut server, &socket, 0).await, b"", "half a chunk is no text");
            client.write_all(rest).await.unwrap();
            assert!(read(&mut server, &socket, length).await == text);
            assert_eq!(server.arrived.capacity(), 0);

            let mut written = 0;
            while written < length {
                written += server.write(&socket, &text[written..]).unwrap();
            }
            assert_eq!(server.leaving.capacity(), 0);
            let (mut back, mut room) = (Vec::new(), vec![0; 10_000]);
            while back.len() < length {
                let count = client.read(&mut room).await.unwrap();
                back.extend(answer.take(&room[..count]));
            }
            assert!(back == text);
        }
    }
}

/// Two sockets on loopback, and how much the writing one takes is bounded.
async fn narrow() -> (TcpStream, TcpStream) {
    let (client, server) = connection().await;
    socket2::SockRef::from(&server).set_send_buffer_size(4096).unwrap();
    (client, server)
}

#[tokio::test]
async fn what_is_opened_is_passed_on_whole_before_a_broken_chunk_is_told() {
    for (method, peers) in Method::ALL.into_iter().zip(peer::Method::ALL) {
        let (mut server, mut sealer, _) = ends(method, &Client::new(peers, PASSWORD));
        let (mut client, socket) = connection().await;
        let (mut origin, outlet) = narrow().await;
        let texts = [10_000, 1, 16_383, 8_000].map(testbed::origin::pattern);
        let mut bytes: Vec<u8> = texts.iter().flat_map(|text| sealer.chunk(text)).collect();
        let mut broken = sealer.chunk(b"not this");
        *broken.last_mut().unwrap() ^= 1;
        bytes.extend(broken);
        client.write_all(&bytes).await.unwrap();

        let expected = texts.concat();
        let (mut passed, mut heard, mut room) = (0, Vec::<u8>::new(), vec![0; 100_000]);
        while passed < expected.len() {
            let mut left = match server.open_all(&socket) {
                Ok(count) => count,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    socket.readable().await.unwrap();
                    continue;
                }
            };
            while left > 0 {
                match server.pass(&outlet) {
                    Ok(count) => (left, passed) = (left - count, passed + count),
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                        tokio::select! {
                            writable = outlet.writable() => writable.unwrap(),
                            count = origin.read(&mut room) => heard.extend(&room[..count.unwrap()]),
                        }
                    }
                }
            }
        }
        while heard.len() < expected.len() {
            let count = origin.read(&mut room).await.unwrap();
            heard.extend(&room[..count]);
        }
        assert!(heard == expected);
        let told = loop {
            match server.open_all(&socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.readable().await.unwrap(),
                told => break told,
            }
        };
        assert_eq!(told.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[tokio::test]
async fn what_is_sealed_where_it_is_read_to_is_told_when_all_of_it_has_left() {
    for (method, peers) in Method::ALL.into_iter().zip(peer::Method::ALL) {
        let (mut server, _, mut answer) = ends(method, &Client::new(peers, PASSWORD));
        let (mut client, socket) = narrow().await;
        let (mut origin, inlet) = connection().await;
        assert!(!server.seals_in_place(), "the first chunk has another head");
        assert_eq!(server.write(&socket, b"first").unwrap(), 5);
        assert!(server.seals_in_place());

        let text = testbed::origin::pattern(200_000);
        let said = text.clone();
        let saying = tokio::spawn(async move {
            origin.write_all(&said).await.unwrap();
        });
        let (mut told, mut heard, mut room) = (0, Vec::new(), vec![0; 100_000]);
        while told < text.len() {
            inlet.readable().await.unwrap();
            let Ok(count) = server.seal_arrived(&socket, &inlet) else {
                continue;
            };
            assert!(!server.seals_in_place(), "it has not been told yet");
            told += loop {
                match server.flush(&socket) {
                    Ok(left) => break left,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
                tokio::select! {
                    writable = socket.writable() => writable.unwrap(),
                    count = client.read(&mut room) => heard.extend(answer.take(&room[..count.unwrap()])),
                }
            };
            assert!(count > 0 && server.seals_in_place());
        }
        saying.await.unwrap();
        while heard.len() < 5 + text.len() {
            let count = client.read(&mut room).await.unwrap();
            heard.extend(answer.take(&room[..count]));
        }
        assert!(heard[..5] == *b"first" && heard[5..] == text);
        inlet.readable().await.unwrap();
        let ended = loop {
            match server.seal_arrived(&socket, &inlet) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => inlet.readable().await.unwrap(),
                ended => break ended,
            }
        };
        assert_eq!(ended.unwrap(), 0);
    }
}
