//! The whole table of spellings by the protocols that have no errors, VLESS and Shadowsocks, by TCP and UDP.
//!
//! All ways out lead through a proxy of the test's, so that whatever the rule lets pass is seen there.

use std::net::{IpAddr, SocketAddr};

use testbed::shadowsocks::{Client, ClientSession, Method, Request, address, named};
use tokio::net::UdpSocket;

use super::*;
use crate::tests::upstream::{Manners, Proxy};
use crate::tests::world::{eventually, now};

const PORT: u16 = 12_001;
const PASSWORD: &str = "aJZJWOgeoJk2DX454niuYw";
const PATIENCE: Duration = Duration::from_secs(20);

/// What the rule does not close.
const OPEN: &str = "1.1.1.1:53";

async fn strict(proxy: &Proxy) -> World {
    let world = World::start_with(|config| config.allow_destinations = Vec::new()).await;
    let sealed = Route {
        password: PASSWORD.into(),
        ..route("a", PORT)
    };
    world.apply([Change::Exit(proxy.exit()), Change::Route(sealed)]).await;
    world
}

/// Everything that is closed, as `type address port` of SOCKS5: each as it is written, in the place of a name, and addresses
/// as such too.
fn closed() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for host in super::closed() {
        all.push(named(host, 53));
        if let Ok(ip) = host.parse::<IpAddr>() {
            all.push(address(SocketAddr::new(ip, 53)));
        }
    }
    all.push(address("1.1.1.1:25".parse().unwrap()));
    all.push(named("example.com", 25));
    assert!(all.len() > 250, "{}", all.len());
    all
}

/// The same as VLESS writes it: `port type address`, by other types.
fn vless(destination: &[u8]) -> Vec<u8> {
    let (rest, port) = destination.split_at(destination.len() - 2);
    let kind = match rest[0] {
        1 => 1,
        3 => 2,
        _ => 3,
    };
    [port, &[kind], &rest[1..]].concat()
}

fn vless_head(command: u8, destination: &[u8]) -> Vec<u8> {
    [&[0][..], &route("a", PORT).uuid, &[0, command], &vless(destination)].concat()
}

fn seconds() -> u64 {
    u64::try_from(now() / 1_000).unwrap()
}

fn shadowsocks_opening(client: &Client, destination: &[u8]) -> Vec<u8> {
    let request = Request {
        salt: rand::random::<[u8; 32]>()[..client.method().key_length()].to_vec(),
        time: seconds(),
        to: destination.to_vec(),
        payload: b"hello".to_vec(),
    };
    client.request(&request).0
}

/// Sends an opening and hears the end, without a byte before it.
async fn ends(world: &World, opening: &[u8], destination: &[u8]) {
    let mut stream = world.connect(PORT).await.unwrap();
    stream.write_all(opening).await.unwrap();
    let mut heard = Vec::new();
    within(PATIENCE, stream.read_to_end(&mut heard)).await.unwrap();
    assert!(heard.is_empty(), "{destination:?}: {heard:?}");
}

#[tokio::test]
async fn by_vless_and_shadowsocks_streams() {
    let proxy = Proxy::start(Manners::default()).await;
    let world = strict(&proxy).await;
    let clients = Method::ALL.map(|method| Client::new(method, PASSWORD));
    let openings = |number: usize, destination: &[u8]| {
        [
            vless_head(1, destination),
            vless_head(2, destination),
            shadowsocks_opening(&clients[number % clients.len()], destination),
        ]
    };
    for (number, destination) in closed().iter().enumerate() {
        for opening in openings(number, destination) {
            ends(&world, &opening, destination).await;
        }
    }
    assert_eq!(proxy.asked(), 0);
    // What is open does get there.
    let open = address(OPEN.parse().unwrap());
    let [vless, _, shadowsocks] = openings(0, &open);
    for (number, opening) in [vless, shadowsocks].iter().enumerate() {
        ends(&world, opening, &open).await;
        assert_eq!(proxy.asked(), number + 1);
    }
}

#[tokio::test]
async fn by_shadowsocks_datagrams() {
    let proxy = Proxy::start(Manners::default()).await;
    let world = strict(&proxy).await;
    let gateway = SocketAddr::new(world.address, PORT);
    for client in Method::ALL.map(|method| Client::new(method, PASSWORD)) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let session = rand::random();
        let open = address(OPEN.parse().unwrap());
        for (number, to) in closed().iter().chain([&open]).enumerate() {
            let packet = if client.method().is_2022() {
                let session = ClientSession {
                    session,
                    number: number as u64,
                    time: seconds(),
                };
                client.packet_2022(&session, to, b"hello")
            } else {
                let salt = rand::random::<[u8; 32]>();
                client.packet(&salt[..client.method().key_length()], to, b"hello")
            };
            socket.send_to(&packet, gateway).await.unwrap();
        }
        eventually(PATIENCE, "the last is carried", || !proxy.carried().is_empty()).await;
        assert_eq!(proxy.take_carried(), [OPEN.parse().unwrap()]);
    }
}
