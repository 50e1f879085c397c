//! Noise that anybody on the internet can make: it is neither kept nor written down.

use std::io::Write as _;
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testbed::origin::{Origin, pattern};
use testbed::poll;
use testbed::shadowsocks::{Client, ClientSession, Method, address};
use testbed::turnpike::{Subscription, Turnpike};

/// Datagrams of strangers, and so many of them between two of the customer's.
const DATAGRAMS: usize = 60_000;
const AT_ONCE: usize = 100;

/// Connections of strangers.
const CONNECTIONS: usize = 1_000;

/// Of something that is kept for each stranger there would be more than this many bytes, and of lines more than this many.
const KEPT: usize = 8 * 1024 * 1024;
const LINES: usize = 20;

#[test]
fn a_flood_of_what_does_not_open_is_neither_kept_nor_written_down() {
    let shop = Turnpike::with()
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", 1)
        .start();
    let (origin, bought) = (Origin::udp(), shop.buy_shared("NL-AMS"));
    let mut customer = Customer::new(&bought);
    // What is made once is made now.
    flood(&bought, &mut customer, &origin, DATAGRAMS / 10);
    let (lines, memory) = (shop.log().lines().count(), memory(&shop));
    flood(&bought, &mut customer, &origin, DATAGRAMS);
    let (grown, kept) = (
        shop.log().lines().count() - lines,
        self::memory(&shop).saturating_sub(memory),
    );
    assert!(grown < LINES, "{grown} lines: {}", shop.log());
    assert!(kept < KEPT, "{kept} bytes more");
}

/// Sends garbage of every length, and what opens with another password. All of it has been looked at when this returns.
fn flood(bought: &Subscription, customer: &mut Customer, origin: &Origin, datagrams: usize) {
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let noise = pattern(3_000);
    let others = Client::new(Method::Blake3Aes128Gcm, "bwxiFRNeyZPJR5yGmFAwvQ");
    for number in 0..datagrams {
        let length = number % 1_400;
        let mut bytes = noise[number % 1_500..][..length].to_vec();
        if number % 3 == 0 {
            // A session of its own each time.
            let session = ClientSession {
                session: (number as u64).to_be_bytes(),
                number: u64::MAX,
                time: seconds(),
            };
            bytes = others.packet_2022(&session, &address(origin.address()), &bytes);
        }
        stranger.send_to(&bytes, bought.port).unwrap();
        if number % AT_ONCE == 0 {
            customer.is_served(origin);
        }
    }
    for number in 0..CONNECTIONS {
        let mut connection = TcpStream::connect(bought.port).unwrap();
        let mut bytes = noise[number..][..number % 200 + 1].to_vec();
        bytes[0] |= 0x80;
        // It may have been closed already: there have been many from here.
        let _ = connection.write_all(&bytes);
    }
    customer.is_served(origin);
}

/// Somebody who is served between all the noise.
struct Customer {
    client: Client,
    socket: UdpSocket,
    session: ClientSession,
}

impl Customer {
    fn new(bought: &Subscription) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(bought.port).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        Self {
            client: Client::new(Method::Blake3Aes128Gcm, &bought.password),
            socket,
            session: ClientSession {
                session: *b"customer",
                number: 0,
                time: 0,
            },
        }
    }

    /// Asks until there is an answer: a datagram may be lost amid so many.
    #[track_caller]
    fn is_served(&mut self, origin: &Origin) {
        let answered = poll(Duration::from_secs(30), || {
            self.session.number += 1;
            self.session.time = seconds();
            let packet = self
                .client
                .packet_2022(&self.session, &address(origin.address()), b"hello");
            self.socket.send(&packet).unwrap();
            self.socket.recv(&mut [0; 1_500]).ok()
        });
        assert!(answered.is_some(), "the customer is not served");
    }
}

/// How much memory the server has, in bytes.
fn memory(shop: &Turnpike) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", shop.pid())).expect("the server's state");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    1_024 * kibibytes.expect("its memory").parse::<usize>().expect("a number")
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
