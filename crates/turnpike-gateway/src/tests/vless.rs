//! VLESS, byte by byte: streams, and datagrams to one destination.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::world::{Origin, World, eventually, raise_descriptor_limit, route, within};
use crate::Change;
use crate::resolve::name_server::{NameServer, Reply};

/// What every step comes within.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) const PORT: u16 = 12_001;

/// The first bytes of every answer.
pub(super) const RESPONSE: &[u8] = &[0, 0];

pub(super) const TCP: u8 = 1;
pub(super) const UDP: u8 = 2;

pub(super) async fn world() -> World {
    let names = NameServer::start(|name, _| match name {
        "here.example" => Reply::Addresses(vec![[127, 0, 0, 1].into()], 60),
        _ => Reply::NoSuchName,
    })
    .await;
    let asked = names.address;
    let world = World::start_with(|config| config.dns_servers = vec![asked]).await;
    world.apply([Change::Route(route("a", PORT))]).await;
    world
}

/// `port type address`, for an address and for a name.
pub(super) fn destination(to: SocketAddr) -> Vec<u8> {
    let port = to.port().to_be_bytes();
    match to {
        SocketAddr::V4(v4) => [&port[..], &[1], &v4.ip().octets()].concat(),
        SocketAddr::V6(v6) => [&port[..], &[3], &v6.ip().octets()].concat(),
    }
}

pub(super) fn named(name: &str, port: u16) -> Vec<u8> {
    [
        &port.to_be_bytes()[..],
        &[2, u8::try_from(name.len()).unwrap()],
        name.as_bytes(),
    ]
    .concat()
}

pub(super) fn head(command: u8, destination: &[u8]) -> Vec<u8> {
    // Addons of a field that nobody knows are skipped.
    let addons = [0x1a, 2, 7, 7];
    [&[0][..], &route("a", PORT).uuid, &[4], &addons, &[command], destination].concat()
}

pub(super) fn datagram(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
}

pub(super) async fn opened(world: &World, bytes: &[u8]) -> TcpStream {
    let mut stream = world.connect(PORT).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// The next bytes are exactly these.
pub(super) async fn hears(stream: &mut TcpStream, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    within(PATIENCE, stream.read_exact(&mut heard)).await.unwrap();
    assert!(heard == expected, "{} bytes are others", expected.len());
}

/// Nothing more comes but the end.
pub(super) async fn hears_the_end(stream: &mut TcpStream) {
    assert_eq!(within(PATIENCE, stream.read(&mut [0; 64])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stream_carries_data_both_ways_behind_its_head() {
    let (world, echo) = (world().await, Origin::echo().await);
    for to in [
        destination(echo),
        named("here.example", echo.port()),
        named("127.0.0.1", echo.port()),
    ] {
        let mut stream = opened(&world, &[&head(TCP, &to)[..], b"early"].concat()).await;
        hears(&mut stream, RESPONSE).await;
        hears(&mut stream, b"early").await;
        stream.write_all(b" and late").await.unwrap();
        stream.shutdown().await.unwrap();
        hears(&mut stream, b" and late").await;
        hears_the_end(&mut stream).await;
    }
    eventually(PATIENCE, "the tunnels end", || world.gateway.tunnels_open() == 0).await;
    assert_eq!(world.traffic("a"), (3 * 14, 3 * 14), "neither heads nor responses");
}

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let (world, echo) = (world().await, Origin::echo().await);
    let mut stream = opened(&world, b"").await;
    for byte in [&head(TCP, &destination(echo))[..], b"hello"].concat() {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    hears(&mut stream, b"\0\0hello").await;
}

#[tokio::test]
async fn the_response_goes_before_everything_else_also_where_nothing_follows() {
    let (world, origin) = (world().await, Origin::listen().await);
    let mut stream = opened(&world, &head(TCP, &destination(origin.address()))).await;
    let (server, _) = origin.accept().await;
    drop(server);
    hears(&mut stream, RESPONSE).await;
    hears_the_end(&mut stream).await;
    stream.shutdown().await.unwrap();

    let mut stream = opened(&world, &head(TCP, &destination(origin.address()))).await;
    let (mut server, _) = origin.accept().await;
    server.write_all(b"220 welcome").await.unwrap();
    hears(&mut stream, b"\0\x00220 welcome").await;
}

#[tokio::test]
async fn what_cannot_be_reached_ends_without_a_byte() {
    let world = world().await;
    let nobody = Origin::listen().await.address();
    for command in [TCP, UDP] {
        for to in [
            named("nowhere.example", 80),
            named("localhost", 80),
            destination("10.1.2.3:80".parse().unwrap()),
            destination("[::1]:80".parse().unwrap()),
            destination("127.0.0.1:25".parse().unwrap()),
        ] {
            let mut stream = opened(&world, &head(command, &to)).await;
            hears_the_end(&mut stream).await;
        }
    }
    let mut stream = opened(&world, &head(TCP, &destination(nobody))).await;
    hears_the_end(&mut stream).await;
}

/// An origin for datagrams, and what it has got.
pub(super) async fn socket(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

pub(super) async fn received(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (length, from) = within(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap();
    buffer.truncate(length);
    (buffer, from)
}

#[tokio::test]
async fn datagrams_keep_their_bounds_however_the_stream_is_cut() {
    let (world, (origin, address)) = (world().await, socket("127.0.0.1:0").await);
    let contents: Vec<_> = [1, 100, 0, 1_472, 2, 9_000].map(testbed::origin::pattern).to_vec();
    let longest = testbed::origin::pattern(65_507);
    let mut bytes = head(UDP, &destination(address));
    bytes.extend(contents.iter().flat_map(|content| datagram(content)));
    for piece in [1, 3, 1_000, bytes.len()] {
        let mut stream = opened(&world, b"").await;
        for part in bytes.chunks(piece) {
            stream.write_all(part).await.unwrap();
        }
        let mut answer = RESPONSE.to_vec();
        // One of length 0 is skipped.
        for content in contents.iter().filter(|content| !content.is_empty()) {
            let (got, from) = received(&origin).await;
            assert!(got == *content, "{} of {} bytes", got.len(), content.len());
            assert_eq!(from.ip().to_string(), super::world::FIRST_EXIT);
            origin.send_to(&got, from).await.unwrap();
            answer.extend(datagram(content));
        }
        hears(&mut stream, &answer).await;
        stream.write_all(&datagram(&longest)).await.unwrap();
        let (got, from) = received(&origin).await;
        assert!(got == longest);
        origin.send_to(&got, from).await.unwrap();
        hears(&mut stream, &datagram(&longest)).await;
    }
    let bytes = 4 * (1 + 100 + 1_472 + 2 + 9_000 + 65_507);
    assert_eq!(world.traffic("a"), (bytes, bytes));
}

#[tokio::test]
async fn only_the_destination_is_heard() {
    let (world, (origin, address)) = (world().await, socket("127.0.0.1:0").await);
    let (stranger, _) = socket("127.0.0.1:0").await;
    let to = named("here.example", address.port());
    let mut stream = opened(&world, &[head(UDP, &to), datagram(b"hello")].concat()).await;
    let (_, from) = received(&origin).await;
    stranger.send_to(b"I am somebody else", from).await.unwrap();
    origin.send_to(b"welcome", from).await.unwrap();
    hears(&mut stream, &[RESPONSE, &datagram(b"welcome")].concat()).await;
    assert_eq!(world.traffic("a"), (5, 7));
}

#[tokio::test]
async fn the_end_of_the_stream_is_the_end_of_its_datagrams() {
    let (world, (origin, address)) = (world().await, socket("127.0.0.1:0").await);
    let shared = world.gateway.shared();
    let used = shared.descriptors.used();
    for is_cut in [false, true] {
        let mut stream = opened(&world, &[head(UDP, &destination(address)), datagram(b"hello")].concat()).await;
        let (_, from) = received(&origin).await;
        origin.send_to(b"welcome", from).await.unwrap();
        hears(&mut stream, &[RESPONSE, &datagram(b"welcome")].concat()).await;
        if is_cut {
            world.apply([Change::RemoveRoute(route("a", PORT).id)]).await;
            let ended = within(PATIENCE, stream.read(&mut [0; 1])).await;
            assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
            eventually(PATIENCE, "nothing is left", || shared.descriptors.used() == 0).await;
        } else {
            // In the middle of a datagram.
            stream.write_all(&[0, 10, 1]).await.unwrap();
            drop(stream);
            eventually(PATIENCE, "nothing is left", || shared.descriptors.used() == used).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_in_time_too() {
    let (world, (origin, address)) = (world().await, socket("127.0.0.1:0").await);
    let shared = world.gateway.shared();
    let _stream = opened(&world, &[head(UDP, &destination(address)), datagram(b"hello")].concat()).await;
    let (_, from) = received(&origin).await;
    // More than all buffers on the way hold.
    let counted = |world: &World| world.traffic("a").1;
    let (mut total, mut idle) = (0, 0);
    while idle < 50 {
        let _ = origin.send_to(&[7; 60_000], from).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        let more = counted(&world);
        total += more;
        idle = if more == 0 { idle + 1 } else { 0 };
    }
    assert!(total > 0);
    world.apply([Change::RemoveRoute(route("a", PORT).id)]).await;
    eventually(Duration::from_secs(2), "it is cut", || shared.connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_broken_off_at_any_point_leave_nothing_behind() {
    if !raise_descriptor_limit() {
        return;
    }
    let (world, echo) = (world().await, Origin::echo().await);
    let (origin, address) = socket("127.0.0.1:0").await;
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = origin.recv_from(&mut buffer).await {
            let _ = origin.send_to(&buffer[..length], from).await;
        }
    });
    let shared = world.gateway.shared();
    let requests = [
        [head(TCP, &destination(echo)), vec![1; 10_000]].concat(),
        [
            head(UDP, &destination(address)),
            datagram(&[2; 1_000]),
            datagram(&[3; 9_000]),
        ]
        .concat(),
    ];
    for round in 0..2_000 {
        let request = &requests[round % requests.len()];
        let mut stream = opened(&world, &request[..request.len() * (round / 2 % 8) / 7]).await;
        if round / 2 % 8 == 7 {
            hears(&mut stream, &RESPONSE[..1]).await;
        }
        if round % 3 == 0 {
            stream.set_zero_linger().unwrap();
        }
    }
    eventually(PATIENCE, "every connection has ended", || shared.connections() == 0).await;
    eventually(PATIENCE, "every tunnel has ended", || world.gateway.tunnels_open() == 0).await;
    eventually(PATIENCE, "only the port's own two sockets are left", || {
        shared.descriptors.used() == 2
    })
    .await;
    assert_eq!(shared.buffers.in_use(), 0);
}
