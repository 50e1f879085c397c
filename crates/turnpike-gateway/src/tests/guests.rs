//! Clients of allowed addresses, who need no password.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::world::{Origin, World, connect_request, exit, read_head, route, within};
use crate::{Change, ExitId, Route};

/// Everything that must come, comes within this; what must not change is looked at after what does.
const PATIENCE: Duration = Duration::from_secs(10);

const PORT: u16 = 12_001;
const FRIEND: &str = "127.0.0.201";
const NEIGHBOUR: &str = "127.0.0.202";
const STRANGER: &str = "127.0.0.203";

fn allowing(networks: &[&str]) -> Route {
    Route {
        allowed_addresses: networks.iter().map(|network| network.parse().unwrap()).collect(),
        ..route("a", PORT)
    }
}

async fn world(networks: &[&str]) -> World {
    let world = World::start().await;
    world.apply([Change::Route(allowing(networks))]).await;
    world
}

async fn from(source: &str, world: &World) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    let stream = socket.connect(SocketAddr::new(world.address, PORT)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Says `words` and then hears exactly `answer`.
async fn hears(stream: &mut TcpStream, words: &[u8], answer: &[u8]) {
    stream.write_all(words).await.unwrap();
    let mut heard = vec![0; answer.len()];
    within(PATIENCE, stream.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, answer, "after {words:?}");
}

async fn echoes(stream: &mut TcpStream) {
    hears(stream, b"hello", b"hello").await;
}

/// Waits for its end, whichever.
async fn ends(mut stream: TcpStream) {
    let _ = within(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
}

fn plain_connect(to: SocketAddr) -> Vec<u8> {
    format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").into_bytes()
}

async fn tunnel(mut stream: TcpStream, request: &[u8]) -> TcpStream {
    stream.write_all(request).await.unwrap();
    assert_eq!(read_head(&mut stream).await, "HTTP/1.1 200 Connection established");
    echoes(&mut stream).await;
    stream
}

fn socks5_request(command: u8, to: SocketAddr) -> Vec<u8> {
    let [high, low] = to.port().to_be_bytes();
    vec![5, command, 0, 1, 127, 0, 0, 1, high, low]
}

const SOCKS5_GRANTED: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const SOCKS4_GRANTED: &[u8] = &[0, 0x5a, 0, 0, 0, 0, 0, 0];
const SOCKS4_WRONG_USER: &[u8] = &[0, 0x5d, 0, 0, 0, 0, 0, 0];

fn socks4_request(to: SocketAddr, user: &[u8]) -> Vec<u8> {
    let [high, low] = to.port().to_be_bytes();
    [&[4, 1, high, low, 127, 0, 0, 1], user, &[0]].concat()
}

#[tokio::test]
async fn no_password_is_asked_of_a_friend_by_http_and_all_socks() {
    let (world, echo) = (world(&["127.0.0.201/32"]).await, Origin::echo().await);
    tunnel(from(FRIEND, &world).await, &plain_connect(echo)).await;
    tunnel(from(FRIEND, &world).await, &connect_request(echo, "an old password")).await;
    tunnel(from(FRIEND, &world).await, &connect_request(echo, "secret")).await;

    let mut socks = from(FRIEND, &world).await;
    hears(&mut socks, &[5, 1, 0], &[5, 0]).await;
    hears(&mut socks, &socks5_request(1, echo), SOCKS5_GRANTED).await;
    echoes(&mut socks).await;
    // Who can log in is asked to, since what that opens does not end with the address's permission.
    for login in [
        &b"\x01\x04user\x06secret"[..],
        b"\x01\x04user\x05wrong",
        b"\x01\x00\x00",
    ] {
        let mut socks = from(FRIEND, &world).await;
        hears(&mut socks, &[5, 2, 0, 2], &[5, 2]).await;
        hears(&mut socks, login, &[1, 0]).await;
        hears(&mut socks, &socks5_request(1, echo), SOCKS5_GRANTED).await;
        echoes(&mut socks).await;
    }
    // All at once, as hasty clients do.
    let mut socks = from(FRIEND, &world).await;
    let words = [&[5, 1, 0][..], &socks5_request(1, echo), b"hello"].concat();
    hears(&mut socks, &words, &[&[5, 0], SOCKS5_GRANTED, b"hello"].concat()).await;
    for user in [&b""[..], b"user", b"user:wrong", b"user:secret"] {
        let mut socks = from(FRIEND, &world).await;
        hears(&mut socks, &socks4_request(echo, user), SOCKS4_GRANTED).await;
        echoes(&mut socks).await;
    }
}

#[tokio::test]
async fn strangers_are_asked_as_before() {
    let (world, echo) = (world(&["127.0.0.201/32"]).await, Origin::echo().await);
    let mut http = from(STRANGER, &world).await;
    http.write_all(&plain_connect(echo)).await.unwrap();
    assert!(read_head(&mut http).await.contains(" 407 "));
    hears(&mut from(STRANGER, &world).await, &[5, 1, 0], &[5, 0xff]).await;
    let mut socks = from(STRANGER, &world).await;
    hears(&mut socks, &[5, 2, 0, 2], &[5, 2]).await;
    hears(&mut socks, b"\x01\x00\x00", &[1, 1]).await;
    let mut socks = from(STRANGER, &world).await;
    hears(&mut socks, &socks4_request(echo, b""), SOCKS4_WRONG_USER).await;
    tunnel(from(STRANGER, &world).await, &connect_request(echo, "secret")).await;
    // Nor is a list of one subscription another's.
    world.apply([Change::Route(route("b", 12_002))]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(FRIEND.parse().unwrap(), 0)).unwrap();
    let mut other = socket.connect(SocketAddr::new(world.address, 12_002)).await.unwrap();
    hears(&mut other, &[5, 1, 0], &[5, 0xff]).await;
}

#[tokio::test]
async fn an_address_taken_off_the_list_takes_its_guests_along_and_nobody_else() {
    let (world, echo) = (world(&["127.0.0.201/32", "127.0.0.202/31"]).await, Origin::echo().await);
    let by_http = tunnel(from(FRIEND, &world).await, &plain_connect(echo)).await;
    let by_wrong_password = tunnel(from(FRIEND, &world).await, &connect_request(echo, "wrong")).await;
    let mut by_socks = from(FRIEND, &world).await;
    hears(&mut by_socks, &[5, 1, 0], &[5, 0]).await;
    hears(&mut by_socks, &socks5_request(1, echo), SOCKS5_GRANTED).await;
    // An association for datagrams, whose connection rests.
    let mut by_datagrams = from(FRIEND, &world).await;
    hears(&mut by_datagrams, &[5, 1, 0], &[5, 0]).await;
    hears(&mut by_datagrams, &socks5_request(3, echo), &[5, 0, 0, 1]).await;
    // An exchange whose origin does not answer.
    let origin = Origin::listen().await;
    let mut waiting = from(FRIEND, &world).await;
    let get = format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address());
    waiting.write_all(get.as_bytes()).await.unwrap();
    let (_held, _) = within(PATIENCE, origin.accept()).await;

    let mut by_password = tunnel(from(FRIEND, &world).await, &connect_request(echo, "secret")).await;
    let mut neighbours = tunnel(from(NEIGHBOUR, &world).await, &plain_connect(echo)).await;

    // More time, and more friends, are no reason to end anything.
    let longer = Route {
        ends_at: super::world::NEVER - 1,
        ..allowing(&["127.0.0.201/32", "127.0.0.202/31", "192.0.2.0/24"])
    };
    world.apply([Change::Route(longer)]).await;
    hears(&mut by_socks, b"still", b"still").await;

    world.apply([Change::Route(allowing(&["127.0.0.202/31"]))]).await;
    for guest in [by_http, by_wrong_password, by_socks, by_datagrams, waiting] {
        ends(guest).await;
    }
    echoes(&mut by_password).await;
    echoes(&mut neighbours).await;
    hears(&mut from(FRIEND, &world).await, &[5, 1, 0], &[5, 0xff]).await;
    tunnel(from(NEIGHBOUR, &world).await, &plain_connect(echo)).await;

    // Back on the list it comes in again.
    world.apply([Change::Route(allowing(&["127.0.0.201/32"]))]).await;
    ends(neighbours).await;
    tunnel(from(FRIEND, &world).await, &plain_connect(echo)).await;
    echoes(&mut by_password).await;
    world.apply([Change::Route(route("a", PORT))]).await;
    echoes(&mut by_password).await;
}

#[tokio::test]
async fn a_connection_that_waits_is_not_let_in_once_its_address_is_off_the_list() {
    let (world, echo) = (world(&["127.0.0.201/32"]).await, Origin::echo().await);
    let mut half = from(FRIEND, &world).await;
    half.write_all(b"CONNECT ").await.unwrap();
    let mut with_password = from(FRIEND, &world).await;
    hears(&mut with_password, &[5, 2, 0, 2], &[5, 2]).await;
    world.apply([Change::Route(route("a", PORT))]).await;
    let request = plain_connect(echo);
    half.write_all(&request[b"CONNECT ".len()..]).await.unwrap();
    assert!(read_head(&mut half).await.contains(" 407 "));
    // One that comes to log in is not sent away for having been a friend.
    hears(&mut with_password, b"\x01\x04user\x06secret", &[1, 0]).await;
    hears(&mut with_password, &socks5_request(1, echo), SOCKS5_GRANTED).await;
    echoes(&mut with_password).await;
}

#[tokio::test]
async fn guests_end_with_their_route_as_everybody() {
    let (world, echo) = (world(&["127.0.0.0/8"]).await, Origin::echo().await);
    let guest = tunnel(from(FRIEND, &world).await, &plain_connect(echo)).await;
    world.apply([Change::Exit(exit("third", "127.0.0.13"))]).await;
    let moved = Route {
        exit: ExitId("third".into()),
        ..allowing(&["127.0.0.0/8"])
    };
    world.apply([Change::Route(moved)]).await;
    ends(guest).await;
    // Its route is another now, and so are its guests'.
    let mut guest = tunnel(from(FRIEND, &world).await, &plain_connect(echo)).await;
    echoes(&mut guest).await;
    world.apply([Change::RemoveRoute(route("a", PORT).id)]).await;
    ends(guest).await;
}

#[tokio::test]
async fn vless_and_shadowsocks_ask_everybody() {
    let world = world(&["127.0.0.201/32"]).await;
    let mut vless = from(FRIEND, &world).await;
    let mut head = vec![0];
    head.extend([8; 16]);
    head.extend([0, 1, 0, 80, 1, 127, 0, 0, 1]);
    vless.write_all(&head).await.unwrap();
    let mut answer = Vec::new();
    within(PATIENCE, vless.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty());
}
