//! What strangers get, whatever they try: no byte, and the same end.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use super::*;
use crate::tests::world::{Origin, raise_descriptor_limit};

/// When silent connections end, counted from their accept.
const END: Duration = Duration::from_secs(3);
/// How long a request may take. Were it added to the end, it would show.
const HANDSHAKE: Duration = Duration::from_millis(2_500);
/// A busy machine may be this late.
const SLACK: Duration = Duration::from_secs(2);

/// How a probe arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    InOnePiece,
    ByteByByte,
    /// And goes on for as long as it is allowed to.
    Endless,
}

/// What is tried, and what to call it.
type Probe = (String, Vec<u8>);

/// Sends all probes at once, each from an address of its own, so that no limit of one source is met.
async fn assert_silence(world: &World, probes: Vec<Probe>, deliveries: &[Delivery]) {
    let to = SocketAddr::new(world.address, PORT);
    let mut running = JoinSet::new();
    let each = probes
        .iter()
        .flat_map(|probe| deliveries.iter().map(move |delivery| (probe, *delivery)));
    for (number, ((name, bytes), delivery)) in (1..).zip(each) {
        let source = Ipv4Addr::from_bits(0x7fa0_0000 | number);
        let (name, bytes) = (format!("{name}, {delivery:?}"), bytes.clone());
        running.spawn(async move {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(source.into(), 0)).unwrap();
            // Before the gateway can have accepted it.
            let start = Instant::now();
            let stream = socket.connect(to).await.unwrap();
            let came = prober(stream, &bytes, delivery).await;
            assert_eq!(came.map_err(|error| error.kind()), Ok(Vec::new()), "{name}");
            let after = start.elapsed();
            assert!(
                END - Duration::from_millis(50) <= after && after <= END + SLACK,
                "{name}: {after:?}"
            );
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

/// All that comes back before the end.
async fn prober(mut stream: TcpStream, bytes: &[u8], delivery: Delivery) -> std::io::Result<Vec<u8>> {
    stream.set_nodelay(true)?;
    let (mut read, mut write) = stream.split();
    let reading = async {
        let mut came = Vec::new();
        read.read_to_end(&mut came).await.map(|_| came)
    };
    let writing = async {
        match delivery {
            Delivery::InOnePiece => write.write_all(bytes).await.unwrap(),
            Delivery::ByteByByte => {
                for byte in bytes {
                    write.write_all(&[*byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
            Delivery::Endless => {
                write.write_all(bytes).await.unwrap();
                loop {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    if write.write_all(&[0x80; 100]).await.is_err() {
                        break;
                    }
                }
            }
        }
        std::future::pending::<()>().await;
    };
    let came = tokio::select! {
        came = within(PATIENCE, reading) => came?,
        () = writing => unreachable!("it waits for the end"),
    };
    if delivery != Delivery::Endless {
        // A reset behind the end, where nothing gave cause for one, would tell that not all bytes were read.
        tokio::time::sleep(Duration::from_millis(50)).await;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
    }
    Ok(came)
}

async fn strict_world() -> World {
    world_with(|config| {
        config.first_byte_timeout = END;
        config.handshake_timeout = HANDSHAKE;
    })
    .await
}

/// A good request to `to`.
fn good(client: &Client, to: SocketAddr) -> Vec<u8> {
    client.request(&request(client, to, b"hello")).0
}

/// Sends `bytes` as a customer does; what comes back until there is `length` of it.
async fn answered(world: &World, bytes: &[u8], length: usize) -> Vec<u8> {
    let mut stream = world.connect(PORT).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![0; length];
    within(PATIENCE, stream.read_exact(&mut answer)).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_customers_gets_no_byte_and_the_same_end() {
    let (world, echo) = (strict_world().await, Origin::echo().await);
    let mut probes: Vec<Probe> = Vec::new();
    for client in clients() {
        let mut add = |what: &str, bytes: Vec<u8>| probes.push((format!("{:?}: {what}", client.method()), bytes));
        add(
            "another password",
            good(&Client::new(client.method(), "bwxiFRNeyZPJR5yGmFAwvQ"), echo),
        );

        let request = request(&client, echo, &[7; 200]);
        let (played, mut sealer) = client.request(&request);
        let theirs = answered(&world, &played, 200).await;
        add("our own stream", theirs);
        // An origin may have the gateway say what reads as a request.
        let told = [&address(echo)[..], b"hello"].concat();
        let (asked, _) = client.request(&self::request(&client, echo, &told));
        let overhead = client.method().key_length() + if client.method().is_2022() { 43 + 16 } else { 34 };
        let theirs = answered(&world, &asked, overhead + told.len()).await;
        add("our own stream, which reads as a request", theirs);
        add("the same once more", played.clone());
        add("the same with more behind it", [played, sealer.chunk(b"more")].concat());

        let mut changed = good(&client, echo);
        *changed.last_mut().unwrap() ^= 1;
        add("a changed bit behind a good beginning", changed);
        let mut elsewhere = self::request(&client, echo, b"hello");
        elsewhere.to = vec![9, 1, 2, 3, 4, 0, 80];
        add("an address that is none", client.request(&elsewhere).0);

        let (salt, shortest) = (client.method().key_length(), client.method().shortest_opening());
        let length = good(&client, echo).len();
        for cut in [
            1,
            salt - 1,
            salt,
            salt + 1,
            shortest - 1,
            shortest,
            shortest + 1,
            length - 1,
        ] {
            let mut head = good(&client, echo);
            head.truncate(cut);
            add(&format!("{cut} bytes of it"), head);
        }
    }
    assert_silence(
        &world,
        probes,
        &[Delivery::InOnePiece, Delivery::ByteByByte, Delivery::Endless],
    )
    .await;
}

/// What is answered openly elsewhere is then like what nobody understands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stealthy_gateway_has_the_same_silence_and_end_for_http_and_socks() {
    let world = world_with(|config| {
        config.stealth = true;
        config.first_byte_timeout = END;
        config.handshake_timeout = HANDSHAKE;
    })
    .await;
    let wrong = "Proxy-Authorization: Basic dXNlcjp3cm9uZw==\r\n";
    let http = |request: String| request.into_bytes();
    let probes = [
        (
            "no password",
            http("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n".to_owned()),
        ),
        (
            "a wrong password",
            http(format!(
                "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n{wrong}\r\n"
            )),
        ),
        (
            "a wrong password and a body",
            http(format!(
                "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\n{wrong}Content-Length: 4\r\n\r\nbody"
            )),
        ),
        ("a page", http("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned())),
        (
            "two lengths",
            http(
                "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
                    .to_owned(),
            ),
        ),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        (
            "TRACE",
            http("TRACE http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned()),
        ),
        ("half a head", b"GET http://a.example/ HTTP/1.1\r\nHo".to_vec()),
        ("SOCKS5 without a password", vec![5, 1, 0]),
        ("SOCKS5 with a login that nobody knows", vec![5, 2, 1, 3]),
        ("SOCKS5 with no login at all", vec![5, 0]),
        (
            "SOCKS4 of another user",
            b"\x04\x01\0\x50\x7f\0\0\x01user:wrong\0".to_vec(),
        ),
        ("SOCKS4 of nobody", b"\x04\x01\0\x50\x7f\0\0\x01\0".to_vec()),
        ("SOCKS4's BIND", b"\x04\x02\0\x50\x7f\0\0\x01user:wrong\0".to_vec()),
        (
            "TLS without a certificate here",
            [&[0x16, 3, 1, 0, 200, 1][..], &[3; 199]].concat(),
        ),
    ];
    let probes = probes.map(|(name, bytes)| (name.to_owned(), bytes)).to_vec();
    assert_silence(
        &world,
        probes,
        &[Delivery::InOnePiece, Delivery::ByteByByte, Delivery::Endless],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_of_every_length_gets_no_byte_and_the_same_end() {
    if !raise_descriptor_limit() {
        return;
    }
    let world = strict_world().await;
    let noise = testbed::origin::pattern(200 * 201);
    let garbage = |length: usize| {
        let mut bytes = noise[length * 200..][..length].to_vec();
        // What looks like the protocols that answer openly is another matter.
        bytes[0] |= 0x80;
        (format!("{length} random bytes"), bytes)
    };
    assert_silence(
        &world,
        (1..=200).map(garbage).collect(),
        &[Delivery::InOnePiece, Delivery::ByteByByte],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vless_that_is_not_served_gets_no_byte_and_the_same_end() {
    let (world, echo) = (strict_world().await, Origin::echo().await);
    let id = sealed_route().uuid;
    let mut others = id;
    others[15] ^= 1;
    let to = [&echo.port().to_be_bytes()[..], &[1, 127, 0, 0, 1]].concat();
    let head = |version: u8, id: [u8; 16], addons: &[u8], command: u8, to: &[u8]| {
        let length = u8::try_from(addons.len()).unwrap();
        [&[version][..], &id, &[length], addons, &[command], to].concat()
    };
    let good = head(0, id, &[], 1, &to);
    let greeted = answered(&world, &[&good[..], b"hello"].concat(), 7).await;
    assert_eq!(greeted, b"\0\0hello", "it would be served");
    let mut probes = vec![
        ("another id".to_owned(), head(0, others, &[], 1, &to)),
        ("another version".to_owned(), head(1, id, &[], 1, &to)),
        ("a command that is not served".to_owned(), head(0, id, &[], 4, &[])),
        ("a flow".to_owned(), head(0, id, b"\x0a\x10xtls-rprx-vision", 1, &to)),
        (
            "an address that is none".to_owned(),
            head(0, id, &[], 1, &[0, 80, 4, 0, 0, 0, 0]),
        ),
        ("port 0".to_owned(), head(0, id, &[], 1, &[0, 0, 1, 127, 0, 0, 1])),
    ];
    probes.extend((1..good.len()).map(|cut| (format!("{cut} bytes of a head"), good[..cut].to_vec())));
    assert_silence(&world, probes, &[Delivery::InOnePiece, Delivery::ByteByByte]).await;
}

/// A gateway whose clock stands still until the test moves it, and that has been there for 40 seconds.
async fn world_at(adjust: impl FnOnce(&mut GatewayConfig)) -> (World, u64, u64) {
    let started = now();
    let clock = Arc::new(AtomicI64::new(started));
    let told = Arc::clone(&clock);
    let world = World::start_at(Arc::new(move || told.load(Ordering::Relaxed)), adjust).await;
    world.apply([Change::Route(sealed_route())]).await;
    clock.fetch_add(40_000, Ordering::Relaxed);
    let started = u64::try_from(started / 1_000).unwrap();
    (world, started, started + 40)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_may_be_wrong_by_half_a_minute_and_no_further() {
    let (world, _, now) = world_at(|config| {
        config.first_byte_timeout = END;
        config.handshake_timeout = HANDSHAKE;
    })
    .await;
    let (echo, client) = (Origin::echo().await, Client::new(Method::Blake3Aes128Gcm, PASSWORD));
    let at = |time: u64| {
        let request = Request {
            time,
            ..request(&client, echo, &[7; 100])
        };
        client.request(&request).0
    };
    for time in [now - 30, now - 29, now, now + 29, now + 30] {
        answered(&world, &at(time), 100).await;
    }
    let wrong = [0, now - 3_600, now - 31, now + 31, now + 3_600, u64::MAX];
    let probes = wrong.map(|time| (format!("a clock that says {time} at {now}"), at(time)));
    assert_silence(&world, probes.to_vec(), &[Delivery::InOnePiece, Delivery::ByteByByte]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_been_recorded_before_the_start_is_not_served() {
    let world = strict_world().await;
    let (echo, client) = (Origin::echo().await, Client::new(Method::Blake3Aes128Gcm, PASSWORD));
    let started = world.gateway.shared().started;
    let at = |time: u64| {
        let request = Request {
            time,
            ..request(&client, echo, &[7; 100])
        };
        client.request(&request).0
    };
    let before = [started - 1, started - 10].map(|time| (format!("{time} at {started}"), at(time)));
    assert_silence(&world, before.to_vec(), &[Delivery::InOnePiece]).await;
    answered(&world, &at(started), 100).await;
}
