//! Shadowsocks: bytes of anybody, and what somebody with the right key may seal.
//!
//! A fuzzer finds no key, so its bytes are sealed for it, by a client on other libraries.

use std::net::SocketAddr;

use testbed::shadowsocks::{Client, ClientSession, Method as Sealing, Request};
use turnpike_wire::shadowsocks::datagram::{Datagram, Header, SessionKey, open_legacy};
use turnpike_wire::shadowsocks::stream::{Handshake, Opener, Step, recognise};
use turnpike_wire::shadowsocks::{Keys, Method, Salt};

use crate::{PASSWORD, choice};

const NOW: u64 = 1_700_000_000;

fn judged_as(method: Sealing) -> Method {
    match method {
        Sealing::Blake3Aes128Gcm => Method::Aes128Gcm2022,
        Sealing::Chacha20Poly1305 => Method::Chacha20Poly1305,
        Sealing::Aes256Gcm => Method::Aes256Gcm,
        Sealing::Aes128Gcm => Method::Aes128Gcm,
    }
}

/// Opens all that can be opened of `bytes`, given `step` bytes more at a time; the text, and whether it broke.
fn opened(method: Method, bytes: &[u8], step: usize) -> (Option<String>, Vec<u8>, bool) {
    let keys = Keys::of_password(PASSWORD).unwrap();
    let mut text = Vec::new();
    let Some(salt) = Salt::of(method, bytes) else {
        return (None, text, false);
    };
    let mut handshake = Some(Handshake::new(&keys, method, &salt).unwrap());
    let mut opener: Option<Opener> = None;
    let mut destination = None;
    let mut buffer: Vec<u8> = Vec::new();
    for piece in bytes[salt.as_bytes().len()..].chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            let used = if let Some(opener) = &mut opener {
                match opener.open(&mut buffer) {
                    Ok(opened) => {
                        text.extend_from_slice(&buffer[opened.text]);
                        opened.used
                    }
                    Err(_) => return (destination, text, true),
                }
            } else {
                match handshake.as_mut().unwrap().advance(&mut buffer) {
                    Ok(Step::Need(needed)) => {
                        assert!(needed > buffer.len());
                        0
                    }
                    Ok(Step::Proven { used, .. } | Step::Used(used)) => {
                        assert!(used > 0);
                        used
                    }
                    Ok(Step::Done {
                        destination: to,
                        used,
                        payload,
                    }) => {
                        assert!(payload.end <= used);
                        text.extend_from_slice(&buffer[payload]);
                        destination = Some(to.to_string());
                        opener = handshake.take().map(Handshake::into_opener);
                        used
                    }
                    Err(_) => return (destination, text, true),
                }
            };
            assert!(used <= buffer.len());
            buffer.drain(..used);
            if used == 0 {
                break;
            }
        }
    }
    (destination, text, false)
}

/// However a stream is cut on its way, the same is opened.
pub(crate) fn stream(data: &[u8]) {
    let (which, data) = choice(data);
    let (step, data) = choice(data);
    let sealing = Sealing::ALL[which % 4];
    let method = judged_as(sealing);
    let client = Client::new(sealing, PASSWORD);
    let salt = vec![0x5a; sealing.key_length()];
    let bytes = match which / 4 % 4 {
        // Of anybody.
        0 => data.to_vec(),
        // The text is the fuzzer's, address and all, in pieces of its choice.
        1 => {
            let mut sealer = client.sealer(&salt);
            let mut bytes = salt.clone();
            let mut rest = data;
            if sealing.is_2022() {
                let (first, behind) = rest.split_at(rest.len() / 2);
                bytes.extend(sealer.header(0, NOW, first.len()));
                bytes.extend(sealer.piece(first));
                rest = behind;
            }
            for piece in rest.chunks(step % 7 + 1) {
                bytes.extend(sealer.chunk(piece));
            }
            bytes
        }
        // The header is the fuzzer's.
        2 => {
            let mut sealer = client.sealer(&salt);
            let (header, rest) = data.split_at(data.len().min(11));
            [salt.clone(), sealer.piece(header), sealer.piece(rest)].concat()
        }
        // A good request, of which one byte has been changed.
        _ => {
            let to = testbed::shadowsocks::named("example.com", 443);
            let payload = data.to_vec();
            let (mut bytes, mut sealer) = client.request(&Request {
                salt,
                time: NOW,
                to,
                payload,
            });
            bytes.extend(sealer.chunk(b"more"));
            let place = (step * 251) % bytes.len();
            bytes[place] ^= data.first().copied().unwrap_or(0);
            bytes
        }
    };
    let keys = Keys::of_password(PASSWORD).unwrap();
    let _ = recognise(&keys, &Method::ALL, &bytes);
    let whole = opened(method, &bytes, usize::MAX);
    assert_eq!(opened(method, &bytes, step % 61 + 1), whole);
}

pub(crate) fn datagram(data: &[u8]) {
    let (which, data) = choice(data);
    let keys = Keys::of_password(PASSWORD).unwrap();
    let sealing = Sealing::ALL[which % 4];
    let client = Client::new(sealing, PASSWORD);
    let session = ClientSession {
        session: [7; 8],
        number: 9,
        time: NOW,
    };
    let packet = match (which / 4 % 3, sealing.is_2022()) {
        (0, _) => data.to_vec(),
        // The body is the fuzzer's.
        (1, true) => client.packet_2022_of(&session, data),
        (1, false) => client.packet(&vec![0x5a; sealing.key_length()], &[], data),
        // A good one, of which one byte has been changed.
        (_, is_2022) => {
            let to = testbed::shadowsocks::address(SocketAddr::from(([192, 0, 2, 1], 53)));
            let mut packet = if is_2022 {
                client.packet_2022(&session, &to, data)
            } else {
                client.packet(&vec![0x5a; sealing.key_length()], &to, data)
            };
            let place = (which * 251) % packet.len();
            packet[place] ^= data.first().copied().unwrap_or(0);
            packet
        }
    };
    let check = |datagram: Datagram, packet: &[u8]| {
        assert!(datagram.data.end <= packet.len());
        assert_ne!(datagram.destination.port, 0);
    };
    if let Some(header) = Header::open(&keys, &packet) {
        let key = SessionKey::new(&keys, header.session).unwrap();
        let mut opened = packet.clone();
        if let Ok(datagram) = key.open(header, &mut opened) {
            check(datagram, &opened);
        }
    }
    for method in Method::ALL
        .into_iter()
        .filter(|method| *method != Method::Aes128Gcm2022)
    {
        let mut opened = packet.clone();
        if let Ok(datagram) = open_legacy(&keys, method, &mut opened) {
            check(datagram, &opened);
        }
    }
}
