//! What the codecs cost, by time and by instructions.
//!
//! Run by `cargo bench --package turnpike-wire` it tells the nanoseconds of each routine. `cargo xtask count` runs it under callgrind,
//! once with a routine's usual number of calls and once without any, and compares the difference with what is committed: instructions
//! do not depend on what else the machine does.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a chore, and its inputs are its own"
)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use turnpike_wire::Parse;
use turnpike_wire::http::{
    Chunked, Form, HeadEnd, RequestHead, Target, basic_credentials, request_body, request_for_origin,
};
use turnpike_wire::shadowsocks::datagram::{Header, Reply, SessionId, SessionKey};
use turnpike_wire::shadowsocks::stream::{Handshake, Opener, Sealer, Step};
use turnpike_wire::shadowsocks::{Keys, Method, Salt, TAG};
use turnpike_wire::sniff::{Known, Sniffed, sniff};
use turnpike_wire::{socks4, socks5, vless};

/// 22 characters, as every subscription has.
const PASSWORD: &str = "aJZJWOgeoJk2DX454niuYw";
const ID: [u8; 16] = *b"0123456789abcdef";
const NOW: u64 = 1_800_000_000;
/// One chunk of a bulk transfer.
const CHUNK: usize = 16 * 1024 - 1;

/// How long each routine is timed for.
const TIMED: Duration = Duration::from_millis(300);

struct Routine {
    name: &'static str,
    /// How many calls are counted.
    calls: u32,
    /// Whether what is executed depends on what the processor can do: ciphers choose between several ways.
    is_of_the_processor: bool,
    /// Makes the inputs; what it gives back is what is measured.
    prepare: fn() -> Box<dyn FnMut()>,
}

const fn plain(name: &'static str, prepare: fn() -> Box<dyn FnMut()>) -> Routine {
    Routine {
        name,
        calls: 200,
        is_of_the_processor: false,
        prepare,
    }
}

const fn ciphering(name: &'static str, prepare: fn() -> Box<dyn FnMut()>) -> Routine {
    Routine {
        name,
        calls: 50,
        is_of_the_processor: true,
        prepare,
    }
}

const ROUTINES: [Routine; 19] = [
    plain("http_connect", http_connect),
    plain("http_forward", http_forward),
    plain("http_chunks_16k", http_chunks),
    plain("socks5", socks5_all),
    plain("socks4", socks4_request),
    plain("vless", vless_request),
    plain("sniff_http", || sniffing(connect_head(), Sniffed::Http)),
    plain("sniff_vless", || sniffing(vless_head(), Sniffed::Vless)),
    ciphering("sniff_socks5", || sniffing(vec![5, 1, 2], Sniffed::Socks5)),
    ciphering("sniff_2022", || {
        sniffing(opening_2022(), Sniffed::Shadowsocks(Method::Aes128Gcm2022))
    }),
    ciphering("sniff_aes_256_gcm", || {
        sniffing(opening_of(Method::Aes256Gcm).0, Sniffed::Shadowsocks(Method::Aes256Gcm))
    }),
    ciphering("sniff_nothing", || sniffing(vec![0xa5; 120], Sniffed::Unknown)),
    ciphering("opening_2022", || opening(opening_2022(), Method::Aes128Gcm2022)),
    ciphering("opening_aes_256_gcm", || {
        opening(opening_of(Method::Aes256Gcm).0, Method::Aes256Gcm)
    }),
    ciphering("seal_2022_16k", || sealing(Method::Aes128Gcm2022)),
    ciphering("seal_aes_256_gcm_16k", || sealing(Method::Aes256Gcm)),
    ciphering("seal_chacha20_16k", || sealing(Method::Chacha20Poly1305)),
    ciphering("seal_open_aes_256_16k", chunk_opening),
    ciphering("datagram_2022_1200", datagram),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => ROUTINES.iter().for_each(time),
        ["list"] => {
            println!("processor {}", processor());
            for routine in ROUTINES {
                let kind = if routine.is_of_the_processor {
                    "processor"
                } else {
                    "any"
                };
                println!("{} {} {kind}", routine.name, routine.calls);
            }
        }
        [name, calls] => {
            let routine = ROUTINES.iter().find(|routine| routine.name == *name).unwrap();
            let mut call = (routine.prepare)();
            // What is done once, such as asking what the processor can do, is not to be counted.
            call();
            for _ in 0..calls.parse::<u32>().unwrap() {
                call();
            }
        }
        _ => println!("usage: codecs [list | NAME CALLS]"),
    }
}

fn time(routine: &Routine) {
    let mut call = (routine.prepare)();
    call();
    let (start, mut calls) = (Instant::now(), 0_u32);
    while start.elapsed() < TIMED {
        for _ in 0..routine.calls {
            call();
        }
        calls += routine.calls;
    }
    let each = start.elapsed().as_secs_f64() / f64::from(calls);
    println!("{:<24} {:>12.0} ns", routine.name, each * 1e9);
}

/// Which ways through the ciphers this processor takes.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    let can = [
        ("aes", is_x86_feature_detected!("aes")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512", is_x86_feature_detected!("avx512f")),
        ("sha", is_x86_feature_detected!("sha")),
        ("vaes", is_x86_feature_detected!("vaes")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let can: [(&str, bool); 0] = [];
    let able = can.into_iter().filter(|(_, can)| *can).map(|(name, _)| name);
    std::iter::once(std::env::consts::ARCH)
        .chain(able)
        .collect::<Vec<_>>()
        .join("+")
}

fn connect_head() -> Vec<u8> {
    let login = STANDARD.encode(format!("customer1234:{PASSWORD}"));
    format!(
        "CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com:443\r\nProxy-Authorization: Basic {login}\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nProxy-Connection: keep-alive\r\n\r\n"
    )
    .into_bytes()
}

fn http_connect() -> Box<dyn FnMut()> {
    let bytes = connect_head();
    Box::new(move || {
        let bytes = black_box(&bytes[..]);
        let Parse::Done(_, end) = HeadEnd::first().find(bytes) else {
            panic!()
        };
        let head = RequestHead::parse(&bytes[..end]).unwrap();
        let target = Target::parse(&head).unwrap();
        let login = head
            .fields
            .values("proxy-authorization")
            .next()
            .and_then(basic_credentials);
        black_box((target, login.unwrap()));
    })
}

fn http_forward() -> Box<dyn FnMut()> {
    let bytes = b"GET http://www.example.com/a/path?with=a&query HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: curl/8.14.1\r\n\
        Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: a=1; b=2\r\nConnection: keep-alive\r\n\
        Proxy-Connection: keep-alive\r\n\r\n";
    Box::new(move || {
        let bytes = black_box(&bytes[..]);
        let Parse::Done(_, end) = HeadEnd::first().find(bytes) else {
            panic!()
        };
        let head = RequestHead::parse(&bytes[..end]).unwrap();
        let Ok(Target::Forward(target)) = Target::parse(&head) else {
            panic!()
        };
        request_body(&head).unwrap();
        black_box(request_for_origin(&head, &target, false));
    })
}

fn http_chunks() -> Box<dyn FnMut()> {
    let one = [b"400\r\n", &[b'a'; 0x400][..], b"\r\n"].concat();
    let bytes = [one.repeat(16), b"0\r\n\r\n".to_vec()].concat();
    Box::new(move || {
        let mut length = 0;
        Chunked::new()
            .recode(black_box(&bytes), Form::Chunks, |piece| length += piece.len())
            .unwrap();
        black_box(length);
    })
}

fn done<T, R>(parse: Parse<T, R>) -> T {
    match parse {
        Parse::Done(value, _) => value,
        Parse::Need(_) | Parse::Refuse(_) => panic!(),
    }
}

fn socks5_all() -> Box<dyn FnMut()> {
    let login = [&b"\x01\x0ccustomer1234\x16"[..], PASSWORD.as_bytes()].concat();
    Box::new(move || {
        black_box(done(socks5::greeting(black_box(&[5, 2, 0, 2]))));
        black_box(done(socks5::login(black_box(&login))));
        black_box(done(socks5::request(black_box(
            b"\x05\x01\x00\x03\x0fwww.example.com\x01\xbb",
        ))));
        black_box(socks5::reply(socks5::Reply::Succeeded, None));
    })
}

fn socks4_request() -> Box<dyn FnMut()> {
    let bytes = [
        &b"\x04\x01\x01\xbb\x00\x00\x00\x01customer1234:"[..],
        PASSWORD.as_bytes(),
        b"\0www.example.com\0",
    ]
    .concat();
    Box::new(move || {
        black_box(done(socks4::request(black_box(&bytes))));
    })
}

fn vless_head() -> Vec<u8> {
    [
        &[0][..],
        &ID,
        b"\x00\x01\x01\xbb\x02\x0fwww.example.com",
        b"the first bytes",
    ]
    .concat()
}

fn vless_request() -> Box<dyn FnMut()> {
    let bytes = vless_head();
    Box::new(move || {
        assert_eq!(vless::recognise(&ID, black_box(&bytes)), Some(true));
        black_box(done(vless::request(black_box(&bytes))));
    })
}

fn sniffing(bytes: Vec<u8>, expected: Sniffed) -> Box<dyn FnMut()> {
    let keys = keys();
    Box::new(move || {
        let known = Known {
            vless: &ID,
            shadowsocks: Some(&keys),
            methods: &Method::ALL,
            tls: false,
        };
        assert_eq!(sniff(black_box(&bytes), &known), expected);
    })
}

fn keys() -> Keys {
    Keys::of_password(PASSWORD).unwrap()
}

fn salt(method: Method) -> Salt {
    Salt::of(method, &[0x5a; 32]).unwrap()
}

/// A request of a method before 2022, where both directions look alike, and what seals more behind it.
fn opening_of(method: Method) -> (Vec<u8>, Sealer) {
    let mut sealer = Sealer::new(&keys(), method, salt(method), salt(method)).unwrap();
    let bytes = chunk(&mut sealer, b"\x03\x0fwww.example.com\x01\xbbthe first bytes");
    (bytes, sealer)
}

fn chunk(sealer: &mut Sealer, text: &[u8]) -> Vec<u8> {
    let mut room = vec![0; sealer.headroom()];
    room.extend(text);
    room.extend([0; TAG]);
    sealer.seal(&mut room, NOW).unwrap();
    room
}

/// A request of 2022 as a client makes it (SIP022 §3.1).
fn opening_2022() -> Vec<u8> {
    let own = [0x5a; 16];
    let psk = STANDARD.decode(format!("{PASSWORD}==")).unwrap();
    let key = blake3::derive_key("shadowsocks 2022 session subkey", &[&psk[..], &own].concat());
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key[..16]).unwrap());
    let variable = b"\x03\x0fwww.example.com\x01\xbb\x00\x00the first bytes".to_vec();
    let length = u16::try_from(variable.len()).unwrap().to_be_bytes();
    let fixed = [&[0][..], &NOW.to_be_bytes(), &length].concat();
    let mut bytes = own.to_vec();
    for (counter, mut piece) in [(0, fixed), (1, variable)] {
        let mut nonce = [0; 12];
        nonce[0] = counter;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut piece)
            .unwrap();
        bytes.extend(piece);
    }
    bytes
}

/// From the salt to the destination.
fn opening(bytes: Vec<u8>, method: Method) -> Box<dyn FnMut()> {
    let keys = keys();
    Box::new(move || {
        black_box(opened(&keys, method, &mut black_box(bytes.clone())));
    })
}

fn opened(keys: &Keys, method: Method, bytes: &mut [u8]) -> Opener {
    let salt = Salt::of(method, bytes).unwrap();
    let mut handshake = Handshake::new(keys, method, &salt).unwrap();
    let mut at = method.salt_length();
    loop {
        match handshake.advance(&mut bytes[at..]).unwrap() {
            Step::Proven { used, .. } | Step::Used(used) => at += used,
            Step::Done { .. } => return handshake.into_opener(),
            Step::Need(_) => panic!(),
        }
    }
}

fn sealing(method: Method) -> Box<dyn FnMut()> {
    let mut sealer = Sealer::new(&keys(), method, salt(method), salt(method)).unwrap();
    chunk(&mut sealer, b"the first chunk has a head of its own");
    let mut room = vec![0; sealer.headroom() + CHUNK + TAG];
    Box::new(move || sealer.seal(black_box(&mut room), NOW).unwrap())
}

fn chunk_opening() -> Box<dyn FnMut()> {
    const METHOD: Method = Method::Aes256Gcm;
    let (mut head, mut sealer) = opening_of(METHOD);
    let mut opener = opened(&keys(), METHOD, &mut head);
    let mut room = vec![0; sealer.headroom() + CHUNK + TAG];
    // Each chunk has a nonce of its own, so it is sealed before it is opened: both are measured.
    Box::new(move || {
        sealer.seal(&mut room, NOW).unwrap();
        assert_eq!(opener.open(black_box(&mut room)).unwrap().used, room.len());
    })
}

/// A datagram of 2022 sealed for a client.
fn datagram() -> Box<dyn FnMut()> {
    let keys = keys();
    let (session, client) = (SessionId([7; 8]), SessionId([9; 8]));
    let key = SessionKey::new(&keys, session).unwrap();
    let sender: SocketAddr = "198.51.100.7:53".parse().unwrap();
    let data = vec![0x33; 1_200];
    let (mut packet, mut number) = (Vec::new(), 0);
    Box::new(move || {
        number += 1;
        let reply = Reply {
            header: Header {
                session,
                packet: number,
            },
            client,
            now: NOW,
        };
        key.seal(&keys, reply, sender, black_box(&data), &mut packet).unwrap();
        black_box(&packet);
    })
}
