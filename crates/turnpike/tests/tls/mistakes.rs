//! What anybody can send wrong is not written down: the log is not a stranger's to fill.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use testbed::authority::Authority;
use testbed::client::curl;
use testbed::turnpike::Builder;

use crate::world::{bought, certified};

/// How often each mistake is made.
const TIMES: usize = 5;

/// What the libraries say of what is done here, where they are let.
const SAID: [&str; 6] = [
    "Illegal SNI extension: ignoring IP address",
    "Illegal SNI hostname received",
    "Illegal SNI extension: duplicate host_name",
    "while expecting",
    "TLS alert warning received",
    "recv PING ack that we never sent",
];

/// The same of name servers' answers.
const SAID_OF_NAMES: &str = "ignoring response with wrong message id";

/// Makes every mistake, and gives back what is in the log then.
fn log_of(shop: Builder) -> String {
    let names = UdpSocket::bind("127.0.0.1:0").unwrap();
    let told = format!("[\"{}\"]", names.local_addr().unwrap());
    thread::spawn(move || answer_wrongly(&names));
    let shop = shop.set("gateway.dns_servers", &told).start();
    let (port, http) = bought(&shop);
    let port = SocketAddr::from(([127, 0, 0, 1], port));
    let before = shop.log().lines().filter(|line| !line.contains("request")).count();
    for _ in 0..TIMES {
        for names in [
            &[&b"127.0.0.1"[..]][..],
            &[b"no\xffname"],
            &[b"a.example", b"b.example"],
        ] {
            answered(port, &hello(names, &TLS13));
        }
        // A warning, and then a message that has no place there.
        let after = [&[0x15, 3, 3, 0, 2, 1, 41][..], &[0x16, 3, 3, 0, 4, 0x14, 0, 0, 0]].concat();
        answered(port, &[hello(&[b"a.example"], &TLS12), after].concat());
        acknowledge_what_was_never_sent(shop.api());
    }
    let status = ["--output", "/dev/null", "--write-out", "%{http_code}", "--proxy", &http];
    let fetched = curl(&[&status[..], &["http://nowhere.example/"]].concat());
    assert_eq!(String::from_utf8_lossy(&fetched.stdout), "502", "{fetched:?}");
    let log = shop.log();
    let after = log.lines().filter(|line| !line.contains("request")).count();
    format!("{} more lines\n{log}", after - before)
}

#[test]
fn mistakes_of_strangers_are_not_logged_unless_that_is_asked_for() {
    let authority = Authority::new();
    authority.issue(&["127.0.0.1"], 2090);
    let usual = log_of(certified(&authority));
    assert!(usual.starts_with("0 more lines\n"), "{usual}");
    // They were made.
    let all = log_of(certified(&authority).variable("RUST_LOG", "info"));
    for said in SAID.into_iter().chain([SAID_OF_NAMES]) {
        assert!(all.contains(said), "{said} is not in {all}");
    }
}

#[test]
fn a_filter_that_cannot_be_read_is_told_of() {
    let authority = Authority::new();
    authority.issue(&["127.0.0.1"], 2090);
    let shop = certified(&authority).variable("RUST_LOG", "turnpike=loud").start();
    assert!(shop.log().contains("RUST_LOG is left aside"), "{}", shop.log());
}

/// Sends this, and reads until there is an end.
fn answered(port: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(port).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.is_empty(), "a ServerHello or an alert");
}

/// What tells the version that a client wants: an extension of its own, or the lack of it.
struct Version {
    suite: [u8; 2],
    extensions: &'static [u8],
}

const TLS13: Version = Version {
    suite: [0x13, 0x01],
    // supported_versions, and a key share of x25519 that any 32 bytes are.
    extensions: &[
        0, 43, 0, 3, 2, 3, 4, 0, 51, 0, 38, 0, 36, 0, 29, 0, 32, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
        9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
    ],
};

const TLS12: Version = Version {
    suite: [0xc0, 0x2b],
    extensions: &[],
};

/// A ClientHello in a record (RFC 8446 §4.1.2) with these names in its server_name (RFC 6066 §3).
fn hello(names: &[&[u8]], version: &Version) -> Vec<u8> {
    let long = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let names: Vec<u8> = names.iter().flat_map(|name| [&[0][..], &long(name)].concat()).collect();
    let extensions = [
        &[0, 0][..],
        &long(&long(&names)),
        // supported_groups: x25519; signature_algorithms: ECDSA with P-256.
        &[0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3],
        version.extensions,
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0, 0, 2],
        &version.suite,
        &[1, 0],
        &long(&extensions),
    ]
    .concat();
    let message = [&[1, 0][..], &long(&body)].concat();
    [&[0x16, 3, 1][..], &long(&message)].concat()
}

/// HTTP/2 without TLS (RFC 9113 §3.3): an acknowledged PING of nobody's, and one to be acknowledged, which it is in its turn.
fn acknowledge_what_was_never_sent(api: SocketAddr) {
    let mut stream = TcpStream::connect(api).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let ping = |flags, content: &[u8; 8]| [&[0, 0, 8, 6, flags, 0, 0, 0, 0][..], content].concat();
    let sent = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &settings,
        &ping(1, b"of whom?"),
        &ping(0, b"answered"),
    ]
    .concat();
    stream.write_all(&sent).unwrap();
    let (mut heard, expected) = (Vec::new(), ping(1, b"answered"));
    while !heard.ends_with(&expected) {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the PING is answered");
        heard.extend(byte);
    }
}

/// Says that there is no such name, to somebody else's question first.
fn answer_wrongly(names: &UdpSocket) {
    let mut buffer = [0; 1_500];
    while let Ok((length, from)) = names.recv_from(&mut buffer) {
        let mut answer = buffer[..length].to_vec();
        answer[2..4].copy_from_slice(&[0x81, 0x83]);
        answer[1] ^= 1;
        names.send_to(&answer, from).unwrap();
        answer[1] ^= 1;
        names.send_to(&answer, from).unwrap();
    }
}
