//! Thousands who are refused, in every way of being wrong: each gets what the specification says, which is mostly nothing, and
//! none leaves anything behind.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testbed::client::Tunnel;
use testbed::origin::{Origin, pattern};
use testbed::shadowsocks::{Client, ClientSession, Method, Request, address};
use testbed::turnpike::{Subscription, Turnpike};
use testbed::{eventually, race};

use crate::{connect_from, many_files, open_files};

/// How many are refused in all; another number for a longer run.
const VARIABLE: &str = "TURNPIKE_TEST_REFUSALS";
const USUAL: usize = 10_000;

const CLIENTS: usize = 8;

/// What the allocator keeps for the next burst, and what is remembered of thousands of addresses for a minute, in KiB.
const MEMORY: u64 = 24 * 1_024;

/// Each of them has one thing wrong.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Id,
    Version,
    Flow,
    HttpPassword,
    OversizedHead,
    Socks5Password,
    Socks5Login,
    Socks4Password,
    Key,
    OlderKey,
    Replay,
    OlderReplay,
    SlowClock,
    FastClock,
    Truncated,
    TruncatedLate,
    Oversized,
    BrokenChunk,
    Slow,
    Noise,
    StaleDatagram,
    StrangeDatagram,
}

const ALL: [Wrong; 22] = [
    Wrong::Id,
    Wrong::Version,
    Wrong::Flow,
    Wrong::HttpPassword,
    Wrong::OversizedHead,
    Wrong::Socks5Password,
    Wrong::Socks5Login,
    Wrong::Socks4Password,
    Wrong::Key,
    Wrong::OlderKey,
    Wrong::Replay,
    Wrong::OlderReplay,
    Wrong::SlowClock,
    Wrong::FastClock,
    Wrong::Truncated,
    Wrong::TruncatedLate,
    Wrong::Oversized,
    Wrong::BrokenChunk,
    Wrong::Slow,
    Wrong::Noise,
    Wrong::StaleDatagram,
    Wrong::StrangeDatagram,
];

#[test]
fn thousands_who_are_refused_leave_nothing_behind() {
    many_files();
    let wanted = std::env::var(VARIABLE).map_or(USUAL, |number| number.parse().expect("a number of refusals"));
    let shop = Turnpike::with()
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", 2)
        .start();
    let (echo, bought) = (Origin::echo(), shop.buy_shared("NL-AMS"));
    let visitor = Visitor::new(&bought, &echo);
    // The first ones fill pools that stay.
    visitor.tries(0, wanted / 8 + ALL.len() * CLIENTS);
    let mut before = held(&shop);
    eventually("the first ones have ended", || {
        let earlier = std::mem::replace(&mut before, held(&shop));
        (earlier.files, earlier.tasks) == (before.files, before.tasks)
    });
    let visits = echo.visits().len();

    visitor.tries(wanted, wanted);

    let mut after = held(&shop);
    eventually("all descriptors and tasks are back", || {
        after = held(&shop);
        after.files <= before.files && after.tasks <= before.tasks
    });
    // Shown with --nocapture, and where the test fails.
    println!("{wanted} refused: before {before:?}, after {after:?}");
    assert!(
        after.memory <= before.memory + MEMORY,
        "before {before:?}, after {after:?}"
    );
    assert_eq!(echo.visits().len(), visits, "nobody came through");
    let query = format!("refusals&subscriptionId={}", bought.id);
    eventually("its owner is told of the last", || {
        let told = shop.ask(&query).expect_status(200).json();
        told["refusals"].as_array().unwrap().len() == 20
    });
    Tunnel::by_connect(&bought, echo.address()).unwrap().echoes(b"served");
    assert_eq!(metric(&shop, "turnpike_panics_total ").unwrap_or(0), 0);
    shop.audit();
}

/// What the server holds.
#[derive(Debug)]
struct Held {
    files: usize,
    tasks: u64,
    /// Resident, in KiB.
    memory: u64,
}

fn held(shop: &Turnpike) -> Held {
    let status = std::fs::read_to_string(format!("/proc/{}/status", shop.pid())).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    Held {
        files: open_files(shop),
        tasks: metric(shop, "turnpike_tasks ").unwrap(),
        memory: memory.trim().trim_end_matches(" kB").parse().unwrap(),
    }
}

fn metric(shop: &Turnpike, name: &str) -> Option<u64> {
    let metrics = testbed::http::request(shop.metrics(), "GET", "/metrics", &[], b"").expect_status(200);
    let line = metrics.body.lines().find_map(|line| line.strip_prefix(name));
    line?.trim().parse().ok()
}

/// Somebody with one thing wrong each time.
struct Visitor<'a> {
    bought: &'a Subscription,
    id: [u8; 16],
    to: SocketAddr,
    /// Requests that have been served once: of 2022 and of an older method.
    played: [Vec<u8>; 2],
    datagram: Vec<u8>,
}

/// What somebody gets who says something wrong.
enum Gets {
    Nothing,
    /// This, or nothing where it was said too often.
    Beginning(&'static [u8]),
}

impl<'a> Visitor<'a> {
    fn new(bought: &'a Subscription, echo: &Origin) -> Self {
        let id = bought.vless.trim_start_matches("vless://").get(..36).unwrap();
        let id = u128::from_str_radix(&id.replace('-', ""), 16).unwrap().to_be_bytes();
        let to = echo.address();
        let sealed = |method| sealed(method, &bought.password, seconds(), to);
        let played = [sealed(Method::Blake3Aes128Gcm), sealed(Method::Chacha20Poly1305)];
        for request in &played {
            let mut stream = TcpStream::connect(bought.port).unwrap();
            stream.write_all(request).unwrap();
            stream.read_exact(&mut [0; 16]).expect("it is served once");
        }
        // Of a time that is refused: nothing is to be left of it.
        let session = ClientSession {
            session: [7; 8],
            number: 1,
            time: seconds() - 95,
        };
        let datagram =
            Client::new(Method::Blake3Aes128Gcm, &bought.password).packet_2022(&session, &address(to), b"data");
        Self {
            bought,
            id,
            to,
            played,
            datagram,
        }
    }

    /// Tries `count` times, some at once, each from an address that is used a few times only: whoever guesses more often is not
    /// answered any more.
    fn tries(&self, first: usize, count: usize) {
        race::at_once(CLIENTS, |client| {
            for number in (client..count).step_by(CLIENTS) {
                let source = 0x7f80_0000 | u32::try_from((first + number) % 0x003f_ffff).unwrap();
                self.tries_once(ALL[number % ALL.len()], Ipv4Addr::from_bits(source));
            }
        });
    }

    fn tries_once(&self, wrong: Wrong, source: Ipv4Addr) {
        if let Wrong::StaleDatagram | Wrong::StrangeDatagram = wrong {
            let socket = UdpSocket::bind((source, 0)).unwrap();
            let garbage = || (0..80).map(|_| fastrand::u8(..)).collect();
            let datagram = if let Wrong::StaleDatagram = wrong {
                self.datagram.clone()
            } else {
                garbage()
            };
            socket.send_to(&datagram, self.bought.port).unwrap();
            return;
        }
        let (bytes, gets) = self.says(wrong);
        let mut stream = connect_from(source, self.bought.port).unwrap();
        stream.set_nodelay(true).unwrap();
        if let Wrong::Slow = wrong {
            for byte in &bytes {
                stream.write_all(&[*byte]).unwrap();
            }
        } else {
            // It may have been answered and closed before all of it has left.
            let _ = stream.write_all(&bytes);
        }
        let _ = stream.shutdown(Shutdown::Write);
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut got = Vec::new();
        let end = stream.read_to_end(&mut got);
        match gets {
            Gets::Nothing => assert!(end.is_ok() && got.is_empty(), "{wrong:?}: {end:?}, {got:?}"),
            Gets::Beginning(expected) => assert!(got.starts_with(expected), "{wrong:?}: {end:?}, {got:?}"),
        }
    }

    fn says(&self, wrong: Wrong) -> (Vec<u8>, Gets) {
        const OTHER: &str = "bwxiFRNeyZPJR5yGmFAwvQ";
        let own = &self.bought.password;
        let sealed_by = |method, password: &str, time| sealed(method, password, time, self.to);
        let nothing = |bytes| (bytes, Gets::Nothing);
        match wrong {
            Wrong::Id => nothing(self.vless(0, fastrand::u128(..).to_be_bytes(), b"")),
            Wrong::Version => nothing(self.vless(1, self.id, b"")),
            Wrong::Flow => nothing(self.vless(0, self.id, b"\x0a\x10xtls-rprx-vision")),
            Wrong::HttpPassword => {
                let request =
                    "CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: 127.0.0.1:9\r\nProxy-Authorization: Basic dTpw\r\n\r\n";
                (request.into(), Gets::Beginning(b"HTTP/1.1 407 "))
            }
            Wrong::OversizedHead => {
                let head = [b"GET http://a/ HTTP/1.1\r\nA: ".to_vec(), vec![b'a'; 70_000]].concat();
                (head, Gets::Beginning(b""))
            }
            Wrong::Socks5Password => (b"\x05\x01\x02\x01\x01u\x01p".to_vec(), Gets::Beginning(&[5, 2, 1, 1])),
            Wrong::Socks5Login => (vec![5, 1, 0], Gets::Beginning(&[5, 0xff])),
            Wrong::Socks4Password => (b"\x04\x01\0\x50\x7f\0\0\x01u:p\0".to_vec(), Gets::Beginning(&[0, 0x5d])),
            Wrong::Key => nothing(sealed_by(Method::Blake3Aes128Gcm, OTHER, seconds())),
            Wrong::OlderKey => nothing(sealed_by(Method::Aes256Gcm, OTHER, seconds())),
            Wrong::Replay => nothing(self.played[0].clone()),
            Wrong::OlderReplay => nothing(self.played[1].clone()),
            Wrong::SlowClock => nothing(sealed_by(Method::Blake3Aes128Gcm, own, seconds() - 95)),
            Wrong::FastClock => nothing(sealed_by(Method::Blake3Aes128Gcm, own, seconds() + 95)),
            Wrong::Truncated => {
                let length = fastrand::usize(1..60);
                nothing(sealed_by(Method::Aes128Gcm, own, seconds())[..length.min(33)].to_vec())
            }
            Wrong::TruncatedLate | Wrong::Slow => {
                let mut request = sealed_by(Method::Blake3Aes128Gcm, own, seconds());
                request.pop();
                nothing(request)
            }
            Wrong::Oversized => {
                let salt: Vec<u8> = (0..16).map(|_| fastrand::u8(..)).collect();
                let length = Client::new(Method::Aes128Gcm, own).sealer(&salt).piece(&[0x40, 0]);
                nothing([salt, length, vec![7; 300]].concat())
            }
            Wrong::BrokenChunk => {
                let mut request = sealed_by(Method::Blake3Aes128Gcm, own, seconds());
                *request.last_mut().unwrap() ^= 1;
                nothing(request)
            }
            Wrong::Noise => nothing((0..100).map(|_| 0x80 | fastrand::u8(..)).collect()),
            Wrong::StaleDatagram | Wrong::StrangeDatagram => unreachable!("they are no streams"),
        }
    }

    fn vless(&self, version: u8, id: [u8; 16], addons: &[u8]) -> Vec<u8> {
        let length = u8::try_from(addons.len()).unwrap();
        let port = self.to.port().to_be_bytes();
        [
            &[version][..],
            &id,
            &[length],
            addons,
            &[1],
            &port,
            &[1, 127, 0, 0, 1],
            b"hello",
        ]
        .concat()
    }
}

fn sealed(method: Method, password: &str, time: u64, to: SocketAddr) -> Vec<u8> {
    let request = Request {
        salt: (0..method.key_length()).map(|_| fastrand::u8(..)).collect(),
        time,
        to: address(to),
        payload: pattern(100),
    };
    Client::new(method, password).request(&request).0
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
