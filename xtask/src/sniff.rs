//! How often the sniffer is wrong: openings of every protocol by the million, judged as a port judges them.
//!
//! A Shadowsocks stream begins with random bytes, which can look like anything. So this is a matter of numbers: the openings are
//! real, sealed by a client on other libraries, and what is counted is how many of them are taken for something else.

use std::fmt;
use std::ops::AddAssign;
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use fastrand::Rng;
use testbed::shadowsocks::{Client, Method, Request, named};
use turnpike_wire::shadowsocks::{self, Keys};
use turnpike_wire::sniff::{Known, Sniffed, sniff};

const PASSWORD: &str = "aJZJWOgeoJk2DX454niuYw";
const ID: [u8; 16] = *b"0123456789abcdef";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many openings of each kind
    #[arg(long, default_value_t = 10_000_000)]
    count: u64,
    /// Where random numbers begin; a number that has been told before gives the same openings again
    #[arg(long)]
    seed: Option<u64>,
    /// Only the kind of this name, as the table has it
    #[arg(long)]
    kind: Option<String>,
}

/// What a client begins with.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Shadowsocks(Method),
    Http,
    Vless,
    Socks5,
    Socks4,
    Tls,
}

const KINDS: [Kind; 9] = [
    Kind::Shadowsocks(Method::ALL[0]),
    Kind::Shadowsocks(Method::ALL[1]),
    Kind::Shadowsocks(Method::ALL[2]),
    Kind::Shadowsocks(Method::ALL[3]),
    Kind::Http,
    Kind::Vless,
    Kind::Socks5,
    Kind::Socks4,
    Kind::Tls,
];

/// How the openings of one kind were judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    openings: u64,
    /// Taken for something else as they are.
    mistaken: u64,
    /// Taken for something else when only a part of them was there.
    mistaken_when_cut: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.openings += other.openings;
        self.mistaken += other.mistaken;
        self.mistaken_when_cut += other.mistaken_when_cut;
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Shadowsocks(method) => judged_as(*method).name(),
            Self::Http => "http",
            Self::Vless => "vless",
            Self::Socks5 => "socks5",
            Self::Socks4 => "socks4",
            Self::Tls => "tls",
        };
        f.pad(name)
    }
}

/// Judges them all and prints the figures.
pub(crate) fn run(options: &Options) -> Result<()> {
    let is_wanted = |kind: &Kind| options.kind.as_ref().is_none_or(|name| *name == kind.to_string());
    let kinds: Vec<Kind> = KINDS.into_iter().filter(is_wanted).collect();
    let names = || KINDS.map(|kind| kind.to_string()).join(", ");
    ensure!(!kinds.is_empty(), "there is no such kind; there are {}", names());
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{} openings of each kind, random numbers from {seed}\n", options.count);
    println!(
        "{:<24} {:>11} {:>9} {:>18} {:>8}",
        "kind", "openings", "mistaken", "mistaken when cut", "seconds"
    );
    let mut mistaken = 0;
    for kind in kinds {
        let start = Instant::now();
        let tally = judged(kind, options.count, seed);
        println!(
            "{kind:<24} {:>11} {:>9} {:>18} {:>8.1}",
            tally.openings,
            tally.mistaken,
            tally.mistaken_when_cut,
            start.elapsed().as_secs_f64()
        );
        mistaken += tally.mistaken;
    }
    ensure!(mistaken == 0, "{mistaken} openings were taken for something else");
    Ok(())
}

/// Judges `count` openings on all processors.
fn judged(kind: Kind, count: u64, seed: u64) -> Tally {
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let share = count / threads + u64::from(thread < count % threads);
                scope.spawn(move || judged_here(kind, share, Rng::with_seed(seed ^ thread.rotate_right(8))))
            })
            .collect();
        let mut total = Tally::default();
        for thread in running {
            total += thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        total
    })
}

fn judged_here(kind: Kind, count: u64, mut random: Rng) -> Tally {
    let keys = Keys::of_password(PASSWORD);
    let known = Known {
        vless: &ID,
        shadowsocks: keys.as_ref(),
        methods: &shadowsocks::Method::ALL,
        tls: true,
    };
    let expected = match kind {
        Kind::Shadowsocks(method) => Sniffed::Shadowsocks(judged_as(method)),
        Kind::Http => Sniffed::Http,
        Kind::Vless => Sniffed::Vless,
        Kind::Socks5 => Sniffed::Socks5,
        Kind::Socks4 => Sniffed::Socks4,
        Kind::Tls => Sniffed::Tls,
    };
    let mut tally = Tally::default();
    let mut make = maker(kind);
    for _ in 0..count {
        let bytes = make(&mut random);
        tally.openings += 1;
        tally.mistaken += u64::from(sniff(&bytes, &known) != expected);
        let part = sniff(&bytes[..random.usize(1..bytes.len())], &known);
        tally.mistaken_when_cut += u64::from(part != expected && part != Sniffed::Wait);
    }
    tally
}

/// The same method as the sniffer has it.
fn judged_as(method: Method) -> shadowsocks::Method {
    match method {
        Method::Blake3Aes128Gcm => shadowsocks::Method::Aes128Gcm2022,
        Method::Chacha20Poly1305 => shadowsocks::Method::Chacha20Poly1305,
        Method::Aes256Gcm => shadowsocks::Method::Aes256Gcm,
        Method::Aes128Gcm => shadowsocks::Method::Aes128Gcm,
    }
}

/// What makes well-formed openings of a kind.
fn maker(kind: Kind) -> impl FnMut(&mut Rng) -> Vec<u8> {
    let client = match kind {
        Kind::Shadowsocks(method) => Some(Client::new(method, PASSWORD)),
        _ => None,
    };
    move |random| match (&kind, &client) {
        (_, Some(client)) => sealed(client, random),
        (Kind::Vless, _) => vless(random),
        (Kind::Socks5, _) => socks5(random),
        (Kind::Socks4, _) => socks4(random),
        (Kind::Tls, _) => tls(random),
        _ => http(random),
    }
}

fn sealed(client: &Client, random: &mut Rng) -> Vec<u8> {
    let mut salt = vec![0; client.method().key_length()];
    random.fill(&mut salt);
    let request = Request {
        salt,
        time: random.u64(1_700_000_000..1_900_000_000),
        to: named(&letters(random, 1..30), random.u16(1..)),
        payload: noise(random, 0..60),
    };
    client.request(&request).0
}

fn http(random: &mut Rng) -> Vec<u8> {
    const METHODS: [&str; 8] = [
        "CONNECT",
        "GET",
        "POST",
        "PUT",
        "HEAD",
        "OPTIONS",
        "M-SEARCH",
        "VERSION-CONTROL",
    ];
    let method = METHODS[random.usize(..METHODS.len())];
    let host = letters(random, 1..40);
    let target = match method {
        "CONNECT" => format!("{host}:{}", random.u16(1..)),
        _ => format!("http://{host}/{}", text(random, 0..40)),
    };
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nX: ").into_bytes();
    bytes.extend(noise(random, 0..60));
    bytes
}

fn vless(random: &mut Rng) -> Vec<u8> {
    let mut bytes = [&[0][..], &ID, &[0, 1]].concat();
    bytes.extend(noise(random, 0..60));
    bytes
}

/// A greeting alone, or all that a client has to say at once.
fn socks5(random: &mut Rng) -> Vec<u8> {
    let mut methods: Vec<u8> = (0..random.u8(1..5)).map(|_| random.u8(..)).collect();
    let place = random.usize(..methods.len());
    methods[place] = if random.bool() { 2 } else { 0 };
    let mut bytes = vec![5, u8::try_from(methods.len()).unwrap_or(u8::MAX)];
    bytes.extend(methods);
    if random.bool() {
        for (before, word) in [(&[1][..], text(random, 1..30)), (&[], text(random, 1..30))] {
            bytes.extend(before);
            bytes.push(u8::try_from(word.len()).unwrap_or(u8::MAX));
            bytes.extend(word.bytes());
        }
        bytes.extend([5, 1, 0, 1]);
        bytes.extend(noise(random, 6..7));
    }
    bytes
}

fn socks4(random: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![4, random.u8(1..3)];
    bytes.extend(noise(random, 6..7));
    bytes.extend(text(random, 0..60).bytes());
    bytes.push(0);
    bytes
}

fn tls(random: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0x16, 3, random.u8(0..5), random.u8(..), random.u8(..), 1];
    bytes.extend(noise(random, 100..300));
    bytes
}

fn noise(random: &mut Rng, length: std::ops::Range<usize>) -> Vec<u8> {
    let mut bytes = vec![0; random.usize(length)];
    random.fill(&mut bytes);
    bytes
}

fn letters(random: &mut Rng, length: std::ops::Range<usize>) -> String {
    (0..random.usize(length)).map(|_| random.lowercase()).collect()
}

/// Printable, without a blank.
fn text(random: &mut Rng, length: std::ops::Range<usize>) -> String {
    (0..random.usize(length)).map(|_| random.char('!'..='~')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few, since without optimisation each takes its time. The chore judges millions.
    const OPENINGS: u64 = 5_000;

    #[test]
    fn openings_of_each_kind_are_told() {
        for kind in KINDS {
            let tally = judged(kind, OPENINGS, fastrand::u64(..));
            assert_eq!((tally.openings, tally.mistaken), (OPENINGS, 0), "{kind}");
        }
    }
}
