//! What is kept of refusals for the customer: one word for each reason, whether the gateway is stealthy or not.

mod midway;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use testbed::shadowsocks::{Client, ClientSession, Method, Request, address};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::world::{Origin, World, connect_request, eventually, now, read_head, route};
use crate::{Change, Limits, RefusalRow, Route};

const PATIENCE: Duration = Duration::from_secs(20);
const PORT: u16 = 12_001;
const PASSWORD: &str = "aJZJWOgeoJk2DX454niuYw";
const OTHER: &str = "bwxiFRNeyZPJR5yGmFAwvQ";

async fn world(stealth: bool) -> World {
    let world = World::start_with(|config| {
        config.stealth = stealth;
        config.handshake_timeout = Duration::from_millis(400);
        config.first_byte_timeout = Duration::from_secs(2);
    })
    .await;
    world.apply([Change::Route(own_route())]).await;
    world
}

fn own_route() -> Route {
    Route {
        password: PASSWORD.into(),
        ..route("a", PORT)
    }
}

/// What has been told so far, each entry as it was told last.
#[derive(Default)]
struct Told(BTreeMap<i64, RefusalRow>);

impl Told {
    fn listen(&mut self, world: &World) {
        while let Some(batch) = world.gateway.refusals() {
            world.gateway.acknowledge_refusals(batch.sequence);
            self.0.extend(batch.rows.into_iter().map(|row| (row.number, row)));
        }
    }

    /// Waits until this has been told.
    async fn hears(&mut self, world: &World, protocol: &str, code: &str, times: u64) -> RefusalRow {
        let mut found = None;
        let what = format!("{protocol} {code}");
        eventually(PATIENCE, &what, || {
            self.listen(world);
            let is_it = |row: &&RefusalRow| row.protocol == protocol && row.code == code && row.times == times;
            found = self.0.values().find(is_it).cloned();
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

fn seconds() -> u64 {
    u64::try_from(now() / 1_000).unwrap()
}

fn login(username: &str, password: &str) -> Vec<u8> {
    let said = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    format!("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: 127.0.0.1:9\r\nProxy-Authorization: Basic {said}\r\n\r\n")
        .into_bytes()
}

/// Greeting, login, and a request with this command.
fn socks5(password: &str, command: u8) -> Vec<u8> {
    let length = u8::try_from(password.len()).unwrap();
    let login = [&[1, 4][..], b"user", &[length], password.as_bytes()].concat();
    [&[5, 1, 2][..], &login, &[5, command, 0, 1, 127, 0, 0, 1, 0, 9]].concat()
}

fn vless(version: u8, id: [u8; 16], addons: &[u8], command: u8) -> Vec<u8> {
    let length = u8::try_from(addons.len()).unwrap();
    [
        &[version][..],
        &id,
        &[length],
        addons,
        &[command, 0, 9, 1, 127, 0, 0, 1],
    ]
    .concat()
}

fn sealed(client: &Client, time: u64, to: Vec<u8>) -> Vec<u8> {
    let request = Request {
        salt: rand::random::<[u8; 32]>()[..client.method().key_length()].to_vec(),
        time,
        to,
        payload: vec![7; 100],
    };
    client.request(&request).0
}

/// What is sent, and how it is told: as what, and why.
fn table() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let client = Client::new(Method::Blake3Aes128Gcm, PASSWORD);
    let nowhere = || address("127.0.0.1:9".parse().unwrap());
    let mut changed = sealed(&client, seconds(), nowhere());
    *changed.last_mut().unwrap() ^= 1;
    let cut = sealed(&client, seconds(), nowhere())[..60].to_vec();
    let own = own_route().uuid;
    vec![
        ("a wrong password", login("user", "hush"), "http", "wrong_password"),
        ("another user", login("hush", PASSWORD), "http", "wrong_user"),
        (
            "no password",
            b"GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n".to_vec(),
            "http",
            "no_password",
        ),
        (
            "a page",
            b"GET / HTTP/1.1\r\nHost: hush\r\n\r\n".to_vec(),
            "http",
            "request",
        ),
        ("half a head", b"GET http://hush/ HTT".to_vec(), "http", "cut_short"),
        ("a wrong password", socks5("hush", 1), "socks5", "wrong_password"),
        ("BIND", socks5(PASSWORD, 2), "socks5", "command"),
        ("no login", vec![5, 1, 0], "socks5", "no_password"),
        ("GSSAPI only", vec![5, 1, 1], "socks5", "no_login_offered"),
        (
            "a wrong password",
            b"\x04\x01\0\x50\x7f\0\0\x01user:hush\0".to_vec(),
            "socks4",
            "wrong_password",
        ),
        ("another id", vless(0, [9; 16], b"", 1), "vless", "wrong_id"),
        ("another version", vless(1, own, b"", 1), "vless", "version"),
        ("a flow", vless(0, own, b"\x0a\x10xtls-rprx-vision", 1), "vless", "flow"),
        ("reverse", vless(0, own, b"", 4), "vless", "command"),
        (
            "half a head",
            vless(0, own, b"", 1)[..20].to_vec(),
            "vless",
            "cut_short",
        ),
        (
            "another password",
            sealed(&Client::new(Method::Blake3Aes128Gcm, OTHER), seconds(), nowhere()),
            "shadowsocks",
            "wrong_key",
        ),
        (
            "a slow clock",
            sealed(&client, seconds() - 95, nowhere()),
            "shadowsocks",
            "clock",
        ),
        (
            "before the start",
            sealed(&client, seconds() - 25, nowhere()),
            "shadowsocks",
            "just_started",
        ),
        ("a changed bit", changed, "shadowsocks", "broken_seal"),
        (
            "no address",
            sealed(&client, seconds(), vec![9, 1, 2, 3, 4, 0, 80]),
            "shadowsocks",
            "malformed",
        ),
        ("half a request", cut, "shadowsocks", "cut_short"),
        (
            "TLS",
            [&[0x16, 3, 1, 0, 200, 1][..], &[3; 100]].concat(),
            "tls",
            "no_tls",
        ),
        (
            "something else",
            b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3 and its key exchange\r\n".to_vec(),
            "unknown",
            "unknown_protocol",
        ),
    ]
}

async fn every_refusal_is_told(stealth: bool) {
    let (world, mut told) = (world(stealth).await, Told::default());
    for (what, bytes, protocol, code) in table() {
        let mut stream = world.connect(PORT).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let row = {
            // Some are told when the client has given up.
            stream.shutdown().await.unwrap();
            told.hears(&world, protocol, code, 1).await
        };
        assert_eq!(row.source.to_string(), "127.0.0.1", "{what}");
        assert_eq!((&*row.route.0, row.first_at == row.last_at), ("a", true), "{what}");
        assert!(!row.reason.contains("hush"), "{what}: {}", row.reason);
        assert!(!row.reason.contains(PASSWORD), "{what}: {}", row.reason);
    }
    let clock = told.0.values().find(|row| row.code == "clock");
    if let Some(clock) = clock {
        assert!(clock.reason.contains(" s behind"), "{}", clock.reason);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_is_told_with_its_reason() {
    every_refusal_is_told(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stealthy_gateway_tells_its_customers_the_same() {
    every_refusal_is_told(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_is_told_and_counted() {
    let (world, echo, mut told) = (world(false).await, Origin::echo().await, Told::default());
    for method in Method::ALL {
        let played = sealed(&Client::new(method, PASSWORD), seconds(), address(echo));
        let mut stream = world.connect(PORT).await.unwrap();
        stream.write_all(&played).await.unwrap();
        stream.read_u8().await.unwrap();
        for _ in 0..2 {
            let mut stream = world.connect(PORT).await.unwrap();
            stream.write_all(&played).await.unwrap();
        }
    }
    told.hears(&world, "shadowsocks", "replay", 8).await;
}

#[tokio::test]
async fn who_is_asked_and_then_logs_in_was_not_refused() {
    let (world, echo, mut told) = (world(false).await, Origin::echo().await, Told::default());
    let mut client = world.connect(PORT).await.unwrap();
    for _ in 0..2 {
        let unpaid = format!("CONNECT {echo} HTTP/1.1\r\nHost: {echo}\r\n\r\n");
        client.write_all(unpaid.as_bytes()).await.unwrap();
        assert_eq!(
            read_head(&mut client).await,
            "HTTP/1.1 407 Proxy Authentication Required"
        );
        while client.read_u8().await.unwrap() != b'\n' {}
    }
    client.write_all(&connect_request(echo, PASSWORD)).await.unwrap();
    assert_eq!(read_head(&mut client).await, "HTTP/1.1 200 Connection established");
    drop(client);
    eventually(PATIENCE, "the connection has ended", || {
        world.gateway.shared().connections() == 0
    })
    .await;
    told.listen(&world);
    assert_eq!(told.0.len(), 0, "{:?}", told.0);
}

#[tokio::test]
async fn many_wrong_passwords_are_told_as_what_they_have_led_to() {
    let (world, mut told) = (world(false).await, Told::default());
    for _ in 0..15 {
        let mut client = world.connect(PORT).await.unwrap();
        client.write_all(&socks5("hush", 1)).await.unwrap();
        client.shutdown().await.unwrap();
        // One after the other: which is the eleventh is known then.
        let _ = client.read_to_end(&mut Vec::new()).await;
    }
    told.hears(&world, "socks5", "wrong_password", 10).await;
    told.hears(&world, "socks5", "throttled", 5).await;
}

#[tokio::test]
async fn destinations_and_limits_are_told() {
    let (world, mut told) = (world(false).await, Told::default());
    let ask = async |to: &str| {
        let to: SocketAddr = to.parse().unwrap();
        let mut client = world.connect(PORT).await.unwrap();
        client.write_all(&connect_request(to, PASSWORD)).await.unwrap();
        (read_head(&mut client).await, client)
    };
    let (answer, _) = ask("10.1.2.3:80").await;
    assert_eq!(answer, "HTTP/1.1 403 Forbidden");
    let row = told.hears(&world, "http", "destination", 1).await;
    assert_eq!(row.reason, "this proxy does not connect to a private address");
    ask("127.0.0.1:25").await;
    let row = told.hears(&world, "http", "destination", 2).await;
    assert_eq!(
        row.reason,
        "this proxy does not connect to port 25, by which mail is sent"
    );

    let limits = Limits {
        max_connections: std::num::NonZeroU32::new(1),
        ..Limits::default()
    };
    world.apply([Change::Route(Route { limits, ..own_route() })]).await;
    let echo = Origin::echo().await.to_string();
    let _open = ask(&echo).await;
    let (answer, _) = ask(&echo).await;
    assert_eq!(answer, "HTTP/1.1 429 Too Many Requests");
    told.hears(&world, "http", "connections", 1).await;
}

#[tokio::test]
async fn datagrams_of_strangers_are_told_and_not_answered() {
    let (world, mut told) = (world(false).await, Told::default());
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect((world.address, PORT)).await.unwrap();
    let client = Client::new(Method::Blake3Aes128Gcm, PASSWORD);
    let session = |number, time| ClientSession {
        session: [7; 8],
        number,
        time,
    };
    let nowhere = address("127.0.0.1:9".parse().unwrap());
    let good = client.packet_2022(&session(1, seconds()), &nowhere, b"data");
    for (bytes, protocol, code) in [
        (vec![0x80; 5], "unknown", "strange_datagram"),
        (vec![0x80; 100], "shadowsocks", "strange_datagram"),
        ([&[0, 0, 0][..], &nowhere, b"data"].concat(), "socks5", "no_association"),
        (
            client.packet_2022(&session(0, seconds() - 95), &nowhere, b"data"),
            "shadowsocks",
            "clock",
        ),
    ] {
        socket.send(&bytes).await.unwrap();
        told.hears(&world, protocol, code, 1).await;
    }
    let older = Client::new(Method::Aes256Gcm, PASSWORD).packet(&[7; 32], &nowhere, b"data");
    for bytes in [&older, &older, &good] {
        socket.send(bytes).await.unwrap();
    }
    told.hears(&world, "shadowsocks", "replay", 1).await;
    let private = address("10.1.2.3:53".parse().unwrap());
    let refused = client.packet_2022(&session(2, seconds()), &private, b"data");
    socket.send(&refused).await.unwrap();
    let row = told.hears(&world, "shadowsocks", "destination", 1).await;
    assert_eq!(row.reason, "this proxy does not connect to a private address");
    assert!(socket.try_recv(&mut [0; 1]).is_err(), "nothing was answered");
}

#[tokio::test]
async fn refusals_stay_with_their_subscription_whatever_becomes_of_its_route() {
    let (world, mut told) = (world(false).await, Told::default());
    let refuse = async || {
        let mut client = world.connect(PORT).await.unwrap();
        client.write_all(&login("user", "hush")).await.unwrap();
        read_head(&mut client).await
    };
    refuse().await;
    world
        .apply([Change::Route(Route {
            uuid: [8; 16],
            exit: crate::ExitId(Arc::from("second")),
            ..own_route()
        })])
        .await;
    refuse().await;
    told.hears(&world, "http", "wrong_password", 2).await;
    assert_eq!(told.0.len(), 1);
}
