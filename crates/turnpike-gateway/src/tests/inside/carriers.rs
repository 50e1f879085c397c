//! What every protocol carries inside its stream, asked for by a name instead of a destination.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testbed::shadowsocks::{self, Answer, Method, Request, Sealer};

use super::*;
use crate::Route;
use crate::resolve::name_server::{NameServer, Reply};

const PASSWORD: &str = "aJZJWOgeoJk2DX454niuYw";

/// A protocol that carries streams.
#[derive(Debug, Clone, Copy)]
enum Carrier {
    Http,
    Socks5,
    Socks4a,
    Vless,
    Shadowsocks(Method),
}

const CARRIERS: [Carrier; 8] = [
    Carrier::Http,
    Carrier::Socks5,
    Carrier::Socks4a,
    Carrier::Vless,
    Carrier::Shadowsocks(Method::Blake3Aes128Gcm),
    Carrier::Shadowsocks(Method::Chacha20Poly1305),
    Carrier::Shadowsocks(Method::Aes256Gcm),
    Carrier::Shadowsocks(Method::Aes128Gcm),
];

/// A stream to `name` through a carrier, and what is inside it.
struct Carried {
    stream: TcpStream,
    seal: Option<(Sealer, Answer)>,
    text: Vec<u8>,
}

impl Carried {
    async fn open(world: &World, carrier: Carrier, name: &str, port: u16) -> Self {
        let mut stream = world.connect(PORT).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let socks = shadowsocks::named(name, port);
        let mut seal = None;
        let (opening, answer) = match carrier {
            Carrier::Http => {
                let credentials =
                    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("user:{PASSWORD}"));
                let head = format!(
                    "CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\nProxy-Authorization: Basic {credentials}\r\n\r\n"
                );
                (head.into_bytes(), &b"HTTP/1.1 200 Connection established\r\n\r\n"[..])
            }
            Carrier::Socks5 => {
                let login = [&b"\x01\x04user\x16"[..], PASSWORD.as_bytes()].concat();
                let opening = [&[5, 1, 2][..], &login, &[5, 1, 0], &socks].concat();
                (opening, &[5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0][..])
            }
            Carrier::Socks4a => {
                let user = format!("user:{PASSWORD}\0{name}\0");
                let opening = [&[4, 1][..], &port.to_be_bytes(), &[0, 0, 0, 1], user.as_bytes()].concat();
                (opening, &[0, 90, 0, 0, 0, 0, 0, 0][..])
            }
            Carrier::Vless => (super::super::vless::head(TCP, &named(name, port)), RESPONSE),
            Carrier::Shadowsocks(method) => {
                let client = shadowsocks::Client::new(method, PASSWORD);
                let request = Request {
                    salt: rand::random::<[u8; 32]>()[..method.key_length()].to_vec(),
                    time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
                    to: socks,
                    payload: Vec::new(),
                };
                let (bytes, sealer) = client.request(&request);
                seal = Some((sealer, client.answer(&request.salt)));
                (bytes, &[][..])
            }
        };
        stream.write_all(&opening).await.unwrap();
        hears(&mut stream, answer).await;
        Self {
            stream,
            seal,
            text: Vec::new(),
        }
    }

    async fn says(&mut self, text: &[u8]) {
        // No chunk of the older methods is longer.
        for part in text.chunks(16_000) {
            let bytes = match &mut self.seal {
                Some((sealer, _)) => sealer.chunk(part),
                None => part.to_vec(),
            };
            self.stream.write_all(&bytes).await.unwrap();
        }
    }

    /// The next text is exactly this.
    async fn hears(&mut self, expected: &[u8]) {
        while self.text.len() < expected.len() {
            let mut bytes = vec![0; 65_536];
            let count = within(PATIENCE, self.stream.read(&mut bytes)).await.unwrap();
            assert!(
                count > 0,
                "the end after {} of {} bytes",
                self.text.len(),
                expected.len()
            );
            match &mut self.seal {
                Some((_, answer)) => self.text.extend(answer.take(&bytes[..count])),
                None => self.text.extend(&bytes[..count]),
            }
        }
        let heard: Vec<u8> = self.text.drain(..expected.len()).collect();
        assert!(
            heard == expected,
            "{:.200}\ninstead of\n{:.200}",
            format!("{heard:?}"),
            format!("{expected:?}")
        );
    }

    async fn hears_the_end(mut self) {
        assert!(self.text.is_empty());
        assert_eq!(within(PATIENCE, self.stream.read(&mut [0; 64])).await.unwrap(), 0);
    }
}

/// A gateway whose name servers remember what they were asked.
async fn world_that_remembers() -> (World, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let remembered = Arc::clone(&asked);
    let names = NameServer::start(move |name, _| {
        remembered.lock().unwrap().push(name.to_owned());
        match name {
            "here.example" => Reply::Addresses(vec![[127, 0, 0, 1].into()], 60),
            _ => Reply::NoSuchName,
        }
    })
    .await;
    let address = names.address;
    let world = World::start_with(|config| config.dns_servers = vec![address]).await;
    let route = Route {
        password: PASSWORD.into(),
        ..route("a", PORT)
    };
    world.apply([Change::Route(route)]).await;
    (world, asked)
}

/// `type, address, port, length, data`, with the numbers that UDP over TCP has for types.
fn packet(to: SocketAddr, data: &[u8]) -> Vec<u8> {
    let address = match to {
        SocketAddr::V4(v4) => [&[0][..], &v4.ip().octets()].concat(),
        SocketAddr::V6(v6) => [&[1][..], &v6.ip().octets()].concat(),
    };
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [&address[..], &to.port().to_be_bytes(), &length, data].concat()
}

fn packet_to_name(name: &str, port: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    let name_length = u8::try_from(name.len()).unwrap();
    [&[2, name_length], name.as_bytes(), &port.to_be_bytes(), &length, data].concat()
}

#[tokio::test]
async fn every_carrier_has_mux_inside() {
    let (world, asked) = world_that_remembers().await;
    let (echo, datagrams) = (Origin::echo().await, echo_datagrams().await);
    for carrier in CARRIERS {
        let mut carried = Carried::open(&world, carrier, "v1.mux.cool", 9_527).await;
        let to = destination(datagrams);
        for frame in [
            Frame::new(1, TCP, &destination(echo), b"one"),
            Frame::keep(1, b" and two"),
        ] {
            carried.says(&frame.bytes()).await;
            carried.hears(&Frame::keep(1, &frame.data.unwrap()).bytes()).await;
        }
        carried.says(&Frame::new(2, UDP, &to, b"three").bytes()).await;
        carried.hears(&Frame::keep_to(2, &to, b"three").bytes()).await;
        let long = testbed::origin::pattern(60_000);
        carried.says(&Frame::keep(1, &long).bytes()).await;
        let mut heard = Vec::new();
        while heard.len() < long.len() {
            carried.hears(&[0, 4, 0, 1, KEEP, DATA]).await;
            let length = loop {
                match carried.text.first_chunk() {
                    Some(length) => break usize::from(u16::from_be_bytes(*length)),
                    None => carried.hears(&[]).await,
                }
            };
            carried.hears(&u16::try_from(length).unwrap().to_be_bytes()).await;
            let expected = long[heard.len()..][..length].to_vec();
            carried.hears(&expected).await;
            heard.extend(expected);
        }
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_carrier_has_udp_over_tcp_inside() {
    let (world, asked) = world_that_remembers().await;
    let (first, to_first) = socket("127.0.0.1:0").await;
    let (second, to_second) = socket("127.0.0.1:0").await;
    let longest = testbed::origin::pattern(65_507);
    for carrier in CARRIERS {
        for version in [1, 2] {
            let name = ["sp.udp-over-tcp.arpa", "sp.v2.udp-over-tcp.arpa"][version - 1];
            // sing-box writes port 0, others any.
            let port = if version == 1 { 0 } else { 443 };
            let mut carried = Carried::open(&world, carrier, name, port).await;
            if version == 2 {
                // Not connected; where to does not matter then.
                carried
                    .says(&[&[0][..], &shadowsocks::address(to_first)].concat())
                    .await;
            }
            carried.says(&packet(to_first, b"one")).await;
            let (got, exit) = received(&first).await;
            assert_eq!(got, b"one");
            let both = [
                packet(SocketAddr::new(to_second.ip(), 0), b"to no port"),
                packet_to_name("", 53, b"to no name"),
                packet_to_name("here.example", to_second.port(), &longest),
            ];
            carried.says(&both.concat()).await;
            let (got, from) = received(&second).await;
            assert!(got == longest && from == exit, "{} bytes from {from}", got.len());
            second.send_to(&longest, exit).await.unwrap();
            carried.hears(&packet(to_second, &longest)).await;
            first.send_to(b"answer", exit).await.unwrap();
            carried.hears(&packet(to_first, b"answer")).await;
        }
    }
    assert!(asked.lock().unwrap().iter().all(|name| name == "here.example"));
}

#[tokio::test]
async fn udp_over_tcp_to_one_destination_hears_nobody_else() {
    let (world, _) = world_that_remembers().await;
    let (origin, to) = socket("127.0.0.1:0").await;
    let (stranger, _) = socket("127.0.0.1:0").await;
    let by_name = shadowsocks::named("here.example", to.port());
    for carrier in CARRIERS {
        for address in [shadowsocks::address(to), by_name.clone()] {
            let mut carried = Carried::open(&world, carrier, "sp.v2.udp-over-tcp.arpa", 0).await;
            let first = super::super::vless::datagram(b"one");
            carried.says(&[&[1][..], &address, &first].concat()).await;
            let (got, exit) = received(&origin).await;
            assert_eq!(got, b"one");
            stranger.send_to(b"I am somebody else", exit).await.unwrap();
            origin.send_to(b"answer", exit).await.unwrap();
            carried.hears(&super::super::vless::datagram(b"answer")).await;
        }
    }
}

#[tokio::test]
async fn what_udp_over_tcp_cannot_be_asked_ends_the_stream() {
    let (world, _) = world_that_remembers().await;
    let refused = SocketAddr::from(([10, 1, 2, 3], 53));
    for carrier in CARRIERS {
        for request in [
            [&[1][..], &shadowsocks::address(refused)].concat(),
            [&[1][..], &shadowsocks::named("nowhere.example", 53)].concat(),
            [&[1][..], &shadowsocks::named("sp.v2.udp-over-tcp.arpa", 0)].concat(),
            vec![0, 9],
            [&[0][..], &shadowsocks::address(refused), &[7]].concat(),
        ] {
            let mut carried = Carried::open(&world, carrier, "sp.v2.udp-over-tcp.arpa", 0).await;
            carried.says(&request).await;
            carried.hears_the_end().await;
        }
    }
    // A request that does not come is not waited for.
    let carried = Carried::open(&world, Carrier::Socks5, "sp.v2.udp-over-tcp.arpa", 0).await;
    carried.hears_the_end().await;
    let shared = world.gateway.shared();
    eventually(PATIENCE, "nothing is left", || shared.descriptors.used() == 2).await;
}

#[tokio::test]
async fn what_is_not_served_is_refused_at_once_and_no_such_name_is_ever_asked_for() {
    let (world, asked) = world_that_remembers().await;
    for (name, port) in [("sp.mux.sing-box.arpa", 444), ("sp.packet-addr.v2fly.arpa", 443)] {
        let target = shadowsocks::named(name, port);
        let mut stream = world.connect(PORT).await.unwrap();
        let login = [&b"\x01\x04user\x16"[..], PASSWORD.as_bytes()].concat();
        let opening = [&[5, 1, 2][..], &login, &[5, 1, 0], &target].concat();
        stream.write_all(&opening).await.unwrap();
        hears(&mut stream, &[5, 2, 1, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await;

        let mut stream = opened(&world, &super::super::vless::head(TCP, &named(name, port))).await;
        hears_the_end(&mut stream).await;
    }
    let mut stream = world.connect(PORT).await.unwrap();
    let to = "sp.mux.sing-box.arpa:444";
    let credentials = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("user:{PASSWORD}"));
    let head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nProxy-Authorization: Basic {credentials}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let count = within(PATIENCE, stream.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("switch it off"), "{answer}");
    // Forwarded requests and datagrams do not go there either.
    let mut stream = world.connect(PORT).await.unwrap();
    let head = format!(
        "GET http://v1.mux.cool/ HTTP/1.1\r\nHost: v1.mux.cool\r\nProxy-Authorization: Basic {credentials}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 13];
    within(PATIENCE, stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403 ");
    let mut stream = opened(&world, &super::super::vless::head(UDP, &named("v1.mux.cool", 53))).await;
    hears_the_end(&mut stream).await;
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_carrier_is_cut_with_its_route_whatever_it_carries() {
    for name in ["v1.mux.cool", "sp.udp-over-tcp.arpa", "sp.v2.udp-over-tcp.arpa"] {
        let (world, _) = world_that_remembers().await;
        let shared = world.gateway.shared();
        let mut carried = Vec::new();
        for carrier in CARRIERS {
            carried.push(Carried::open(&world, carrier, name, 1).await);
        }
        world.apply([Change::RemoveRoute(route("a", PORT).id)]).await;
        eventually(Duration::from_secs(1), "nothing is left", || {
            (shared.connections(), shared.descriptors.used()) == (0, 0)
        })
        .await;
    }
}
