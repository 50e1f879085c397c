//! A side that goes out of reach in the middle of a transfer: nothing says that it has gone but that it acknowledges nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use testbed::origin::pattern;
use testbed::shadowsocks::{self, Method, Request};
use testbed::turnpike::{Builder, Subscription, Turnpike};
use testbed::{eventually, poll};

use crate::client::{Entry, connected};
use crate::world::{ORIGIN, World, metric};

/// What a tunnel's sides are allowed not to acknowledge anything.
const PEER_TIMEOUT: Duration = Duration::from_secs(4);

/// By then everything must have ended. The system alone would take a quarter of an hour.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than all buffers on the way hold.
const BULK: usize = 48 * 1024 * 1024;

fn shop(world: &World) -> Builder {
    world
        .shop()
        .set("gateway.bind", "[\"0.0.0.0\"]")
        .set("gateway.public_host", "\"45.0.0.11\"")
        .set("gateway.idle_timeout", "\"1h\"")
        .set("gateway.peer_timeout", &format!("\"{}s\"", PEER_TIMEOUT.as_secs()))
        .network_without_plans("NL-AMS")
        .pool("nl-1", &["45.1.0.11"])
}

/// So slow that a transfer is under way for as long as the test.
const SLOW: &str = "duration = \"30d\"\nprice_cents = 1200\nmbit_per_second = 8";
const FAST: &str = "duration = \"30d\"\nprice_cents = 1200";

fn get(origin: SocketAddr) -> Vec<u8> {
    format!("GET /bytes/{BULK} HTTP/1.1\r\nHost: {origin}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// A way to download from an origin: a connection that has been asked for it.
#[derive(Debug, Clone, Copy)]
enum Way {
    Connect,
    Socks5,
    Forward,
    Shadowsocks,
    /// mux.cool inside VLESS.
    Mux,
}

impl Way {
    const ALL: [Self; 5] = [Self::Connect, Self::Socks5, Self::Forward, Self::Shadowsocks, Self::Mux];

    fn begin(self, bought: &Subscription, origin: SocketAddr) -> TcpStream {
        let open = |entry: Entry| entry.open(bought, &origin.ip().to_string(), origin.port()).unwrap();
        let (mut stream, request) = match self {
            Self::Connect => (open(Entry::Connect), get(origin)),
            Self::Socks5 => (open(Entry::Socks5), get(origin)),
            Self::Forward => {
                let basic = bought.basic();
                let head = format!(
                    "GET http://{origin}/bytes/{BULK} HTTP/1.1\r\nHost: {origin}\r\nProxy-Authorization: {basic}\r\n\r\n"
                );
                (connected(bought.port).unwrap(), head.into_bytes())
            }
            Self::Shadowsocks => {
                let method = Method::Blake3Aes128Gcm;
                let request = Request {
                    salt: (0..method.key_length()).map(|_| fastrand::u8(..)).collect(),
                    time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
                    to: shadowsocks::address(origin),
                    payload: get(origin),
                };
                let client = shadowsocks::Client::new(method, &bought.password);
                (connected(bought.port).unwrap(), client.request(&request).0)
            }
            Self::Mux => (connected(bought.port).unwrap(), mux(bought, origin)),
        };
        stream.write_all(&request).unwrap();
        // It has begun.
        stream.read_exact(&mut [0; 100_000]).unwrap();
        stream
    }
}

/// The head of VLESS and a first stream inside.
fn mux(bought: &Subscription, origin: SocketAddr) -> Vec<u8> {
    let id: String = bought.vless["vless://".len()..]
        .chars()
        .take_while(|char| *char != '@')
        .collect();
    let id = u128::from_str_radix(&id.replace('-', ""), 16).unwrap().to_be_bytes();
    let SocketAddr::V4(to) = origin else { panic!("{origin}") };
    let metadata = [&[0, 1, 1, 1, 1][..], &to.port().to_be_bytes(), &[1], &to.ip().octets()].concat();
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let request = get(origin);
    [
        &[0][..],
        &id,
        &[0, 3],
        &length(&metadata),
        &metadata,
        &length(&request),
        &request,
    ]
    .concat()
}

fn tunnels_open(shop: &Turnpike) -> u64 {
    metric(shop, "turnpike_tunnels_open").expect("the number of tunnels") as u64
}

/// How many sockets the server has open. Pipes that bulk went through stay, for the next.
fn sockets(shop: &Turnpike) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", shop.pid())).unwrap();
    let leads_to = open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    leads_to
        .filter(|to| to.to_string_lossy().starts_with("socket:"))
        .count()
}

#[test]
fn a_client_that_is_cut_off_in_the_middle_of_a_download_is_let_go() {
    let Some(world) = World::with_uplinks(1) else { return };
    let shop = shop(&world).plan("private", SLOW).start();
    let (client, origin, bought) = (world.neighbour(20), world.origin(), shop.buy("NL-AMS"));
    // The first one fills what stays.
    drop(client.enter(|| Way::Connect.begin(&bought, origin.address())));
    eventually("the first one has ended", || tunnels_open(&shop) == 0);
    let before = sockets(&shop);
    let downloads: Vec<_> = Way::ALL
        .iter()
        .map(|way| {
            let mut stream = client.enter(|| way.begin(&bought, origin.address()));
            // It goes on reading until nothing comes any more.
            thread::spawn(move || {
                let mut room = vec![0; 65_536];
                while stream.read(&mut room).is_ok_and(|count| count > 0) {}
            })
        })
        .collect();
    // The one that is forwarded is no tunnel.
    assert_eq!(tunnels_open(&shop), 4);
    world.internet.nft(
        "table inet asleep {
             chain passing { type filter hook forward priority 0; iifname \"to20\" drop; oifname \"to20\" drop; }
         }",
    );
    let gone = poll(PATIENCE, || {
        (tunnels_open(&shop) == 0 && sockets(&shop) <= before).then_some(())
    });
    assert!(
        gone.is_some(),
        "{} tunnels, {} sockets",
        tunnels_open(&shop),
        sockets(&shop)
    );
    for download in downloads {
        download.join().unwrap();
    }
}

#[test]
fn an_origin_that_is_cut_off_in_the_middle_of_an_upload_is_told_to_the_client() {
    let Some(world) = World::with_uplinks(1) else { return };
    let shop = shop(&world).plan("private", FAST).start();
    let (client, echo, bought) = (world.neighbour(20), world.echo(), shop.buy("NL-AMS"));
    let mut stream = client.enter(|| {
        let origin = echo.address();
        Entry::Connect
            .open(&bought, &origin.ip().to_string(), origin.port())
            .unwrap()
    });
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
    world
        .internet
        .nft("table inet cut {\n chain arriving { type filter hook input priority 0; iifname \"to1\" drop; }\n }");
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let piece = pattern(65_536);
    let ended = loop {
        if let Err(error) = stream.write_all(&piece) {
            break error.kind();
        }
    };
    assert!(
        matches!(
            ended,
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
        ),
        "{ended}"
    );
    eventually("the tunnel has ended", || tunnels_open(&shop) == 0);
}

/// A video that is paused: his system acknowledges, again and again, that he has no room.
#[test]
fn a_client_that_is_there_and_does_not_read_keeps_his_tunnel() {
    let Some(world) = World::with_uplinks(1) else { return };
    let shop = shop(&world).plan("private", FAST).start();
    let (client, origin, bought) = (world.neighbour(20), world.origin(), shop.buy("NL-AMS"));
    let expected = pattern(BULK);
    let mut stream = client.enter(|| {
        let at: SocketAddr = origin.address();
        let mut stream = Entry::Socks5.open(&bought, &ORIGIN.to_string(), at.port()).unwrap();
        stream.write_all(&get(at)).unwrap();
        stream
    });
    let paused = Instant::now();
    // Each look at the metrics takes its time; the tunnel is there at every one.
    while paused.elapsed() < 3 * PEER_TIMEOUT {
        assert_eq!(tunnels_open(&shop), 1, "after {:?}", paused.elapsed());
        thread::sleep(Duration::from_millis(200));
    }
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert!(heard.ends_with(&expected), "{} bytes", heard.len());
    drop(stream);
    eventually("the tunnel has ended", || tunnels_open(&shop) == 0);
}
