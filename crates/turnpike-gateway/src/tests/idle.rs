//! How long datagrams' sessions stay when nothing moves (RFC 4787 REQ-5). Time passes at once where nothing else can happen.

use std::net::SocketAddr;
use std::time::Duration;

use testbed::shadowsocks::{Client, ClientSession, Method, address};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::world::{World, eventually, now, route, within};
use crate::{Change, Route};

const PATIENCE: Duration = Duration::from_secs(20);
const PORT: u16 = 12_001;
const PASSWORD: &str = "aJZJWOgeoJk2DX454niuYw";

async fn world() -> World {
    let world = World::start().await;
    let sealed = Route {
        password: PASSWORD.into(),
        ..route("a", PORT)
    };
    world.apply([Change::Route(sealed)]).await;
    world
}

/// How long there is anything open beside the port itself, from now on.
async fn sessions_live_for(world: &World) -> Duration {
    let shared = world.gateway.shared();
    tokio::time::pause();
    let start = Instant::now();
    while shared.connections() > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::resume();
    start.elapsed()
}

#[tokio::test]
async fn shadowsocks_sessions_end_five_minutes_after_their_clients_last_datagram() {
    let world = world().await;
    let gateway = SocketAddr::new(world.address, PORT);
    let used = world.gateway.shared().descriptors.used();
    for client in Method::ALL.map(|method| Client::new(method, PASSWORD)) {
        let (socket, origin) = (bound().await, bound().await);
        let to = address(origin.local_addr().unwrap());
        socket.send_to(&opening(&client, &to), gateway).await.unwrap();
        within(PATIENCE, origin.recv(&mut [0; 64])).await.unwrap();
        let lived = sessions_live_for(&world).await;
        assert!((299..=301).contains(&lived.as_secs()), "{lived:?}");
        assert_eq!(world.gateway.shared().descriptors.used(), used);
    }
}

#[tokio::test]
async fn shadowsocks_sessions_that_only_asked_for_names_end_after_a_minute() {
    let world = world().await;
    let gateway = SocketAddr::new(world.address, PORT);
    for client in Method::ALL.map(|method| Client::new(method, PASSWORD)) {
        let socket = bound().await;
        // Whether anybody listens there makes no difference.
        let packet = opening(&client, &address("127.0.0.1:53".parse().unwrap()));
        socket.send_to(&packet, gateway).await.unwrap();
        let shared = world.gateway.shared();
        eventually(PATIENCE, "the session is open", || shared.connections() > 0).await;
        let lived = sessions_live_for(&world).await;
        assert!((59..=61).contains(&lived.as_secs()), "{lived:?}");
    }
}

/// The first datagram of a new session.
fn opening(client: &Client, to: &[u8]) -> Vec<u8> {
    if client.method().is_2022() {
        let session = ClientSession {
            session: rand::random(),
            number: 0,
            time: u64::try_from(now() / 1_000).unwrap(),
        };
        return client.packet_2022(&session, to, b"hello");
    }
    let salt = rand::random::<[u8; 32]>();
    client.packet(&salt[..client.method().key_length()], to, b"hello")
}

#[tokio::test]
async fn a_vless_stream_of_datagrams_ends_five_minutes_after_the_last() {
    let world = world().await;
    let origin = bound().await;
    let SocketAddr::V4(to) = origin.local_addr().unwrap() else {
        panic!("it is bound by IPv4")
    };
    let to = [&to.port().to_be_bytes()[..], &[1], &to.ip().octets()].concat();
    let head = [&[0][..], &route("a", PORT).uuid, &[0, 2], &to, b"\0\x05hello"].concat();
    let mut stream = world.connect(PORT).await.unwrap();
    stream.write_all(&head).await.unwrap();
    within(PATIENCE, origin.recv(&mut [0; 64])).await.unwrap();
    let lived = sessions_live_for(&world).await;
    assert!((299..=301).contains(&lived.as_secs()), "{lived:?}");
    let mut heard = Vec::new();
    within(PATIENCE, stream.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, [0, 0], "the response, and nothing behind it");
}

async fn bound() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}
