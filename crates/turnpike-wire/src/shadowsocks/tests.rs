#![allow(clippy::unwrap_used, reason = "a test's panic is its failure")]

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::cipher::Cipher;
use super::datagram::{self, Header, SessionId, SessionKey};
use super::stream::{self, Handshake, Opener, Sealer, Step};
use super::*;
use crate::address::{Destination, put_socks_address};
use crate::hex;

const TIME: u64 = 1_700_000_000;

// Made with other programs' primitives, not with ours.
const SUBKEY_REQUEST: &str = "101112131415161718191a1b1c1d1e1ff62b42ac395d4aead07a65d09471860919e806ee8ea58821dd5f47e19e0c3dc0253175322489f04f22537d6c3c80d573941b18deacefb3b3118147daf5726a8805";
const RESPONSE: &str = "202122232425262728292a2b2c2d2e2fcfd439ccd5cb580032874d1521cc11d623310888444d4ba6dd1ab99755d549918b1e537fc57cccb8b7e0e171b68d0ab0491828c36d0a81e1389408daeb";
const SUBKEY_2022: &str = "bc32fb8d5205f7b84f9691dfb9f04ff3";
const SUBKEY_LEGACY: &str = "0cb74297adbba0a7c9c74371c7ab3bae032bbe66957a3a4c0cc0e646b7fc69e7";
const PACKET_2022: &str =
    "18ba69bb4661fee5a7cc9ec1a731e2780f887748f59fbaddc74035aa30f8924119108b76e478c966ef3a3e2aa6c88a5b6866622f63b6";
const MASTER: &str = "9a6b24628311e2969b4c7799261bc47efac716f45b8c3f0e3015e3b428ae1b0b";
const STREAM_LEGACY: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f950d54bb82a381d32300b0f34a699e8bc8951353a62eab3fca1a3780ae873e3c3dd6819fda69af919d8253da29c781043da5b7";
const PACKET_LEGACY: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f94dcddeea051a6d50c72fb3d78a3377cb00b2b28c305adee1254d7";

fn keys() -> Keys {
    let psk: [u8; 16] = hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
    Keys::with_parts(psk, "p_2n4m6q")
}

fn to(text: &str) -> Destination {
    Destination::from_authority(text, None).unwrap()
}

/// A whole request, as a session reads it: the steps, the text behind the address, and what opens the rest.
fn read(keys: &Keys, method: Method, bytes: &mut [u8]) -> (Option<u64>, Destination, Vec<u8>, Opener, usize) {
    let salt = Salt::of(method, bytes).unwrap();
    let mut handshake = Handshake::new(keys, method, &salt).unwrap();
    let mut at = method.salt_length();
    let mut told = None;
    loop {
        match handshake.advance(&mut bytes[at..]).unwrap() {
            Step::Need(count) => panic!("{count} bytes are missing"),
            Step::Proven { used, time } => {
                told = time;
                at += used;
            }
            Step::Used(used) => at += used,
            Step::Done {
                destination,
                used,
                payload,
            } => {
                let text = bytes[at..][payload].to_vec();
                return (told, destination, text, handshake.into_opener(), at + used);
            }
        }
    }
}

#[test]
fn keys_are_made_as_another_program_makes_them() {
    let request = Salt::of(Method::Aes128Gcm2022, &hex(SUBKEY_REQUEST)).unwrap();
    let subkey = keys().subkey(Method::Aes128Gcm2022, request.as_bytes()).unwrap();
    assert_eq!(subkey[..16], hex(SUBKEY_2022));
    let salt = Salt::of(Method::Chacha20Poly1305, &hex(STREAM_LEGACY)).unwrap();
    for method in [Method::Chacha20Poly1305, Method::Aes256Gcm] {
        let subkey = keys().subkey(method, salt.as_bytes()).unwrap();
        assert_eq!(subkey[..], hex(SUBKEY_LEGACY));
    }
}

#[test]
fn a_2022_request_of_another_program_is_read() {
    let mut bytes = hex(SUBKEY_REQUEST);
    let length = bytes.len();
    assert_eq!(
        stream::recognise(&keys(), &Method::ALL, &bytes),
        Some(Method::Aes128Gcm2022)
    );
    let (time, destination, text, _, used) = read(&keys(), Method::Aes128Gcm2022, &mut bytes);
    assert_eq!(
        (time, destination, text.as_slice(), used),
        (Some(TIME), to("example.com:443"), &b"hi"[..], length)
    );
}

#[test]
fn a_2022_answer_is_as_another_program_makes_it() {
    let method = Method::Aes128Gcm2022;
    let own = Salt::of(method, &hex("202122232425262728292a2b2c2d2e2f")).unwrap();
    let request = Salt::of(method, &hex(SUBKEY_REQUEST)).unwrap();
    let mut sealer = Sealer::new(&keys(), method, own, request).unwrap();
    let headroom = sealer.headroom();
    let mut room = vec![0; headroom + 2 + TAG];
    room[headroom..headroom + 2].copy_from_slice(b"ok");
    sealer.seal(&mut room, TIME).unwrap();
    assert_eq!(room, hex(RESPONSE));
}

#[test]
fn older_methods_are_as_another_program_has_them() {
    assert_eq!(keys().master(), hex(MASTER));
    let mut bytes = hex(STREAM_LEGACY);
    assert_eq!(
        stream::recognise(&keys(), &Method::ALL, &bytes),
        Some(Method::Chacha20Poly1305)
    );
    let (time, destination, text, _, _) = read(&keys(), Method::Chacha20Poly1305, &mut bytes);
    assert_eq!(
        (time, destination, text.as_slice()),
        (None, to("example.com:443"), &b"hi"[..])
    );

    let mut packet = hex(PACKET_LEGACY);
    let opened = datagram::open_legacy(&keys(), Method::Chacha20Poly1305, &mut packet).unwrap();
    assert_eq!(opened.destination, to("192.0.2.1:53"));
    assert_eq!(&packet[opened.data], b"ping");

    let salt = Salt::of(Method::Chacha20Poly1305, &hex(PACKET_LEGACY)).unwrap();
    let mut sealed = Vec::new();
    let sender = "192.0.2.1:53".parse().unwrap();
    datagram::seal_legacy(&keys(), Method::Chacha20Poly1305, &salt, sender, b"ping", &mut sealed).unwrap();
    assert_eq!(sealed, hex(PACKET_LEGACY), "a datagram looks alike in both directions");
}

#[test]
fn a_2022_packet_of_another_program_is_read() {
    let mut packet = hex(PACKET_2022);
    let header = Header::open(&keys(), &packet).unwrap();
    let session = SessionId([1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(header, Header { session, packet: 0 });
    let key = SessionKey::new(&keys(), session).unwrap();
    let opened = key.open(header, &mut packet).unwrap();
    assert_eq!((opened.time, opened.destination), (Some(TIME), to("192.0.2.1:53")));
    assert_eq!(&packet[opened.data], b"ping");
}

#[test]
fn a_password_that_is_no_key_is_none() {
    assert!(Keys::of_password("aJZJWOgeoJk2DX454niuYw").is_some());
    for other in [
        "",
        "p_2n4m6q",
        "aJZJWOgeoJk2DX454niuYx",
        "aJZJWOgeoJk2DX454niuY",
        "aJZJWOgeoJk2DX454niuYwAA",
    ] {
        assert!(Keys::of_password(other).is_none(), "{other}");
    }
}

#[test]
fn a_2022_request_keeps_to_the_specification() {
    let refused = |kind: u8, address: &[u8], padding: u16, rest: usize| {
        let mut text = address.to_vec();
        text.extend(padding.to_be_bytes());
        text.extend(vec![0; rest]);
        let mut bytes = sealed_2022(&keys(), kind, TIME, &text);
        let salt = Salt::of(Method::Aes128Gcm2022, &bytes).unwrap();
        let mut handshake = Handshake::new(&keys(), Method::Aes128Gcm2022, &salt).unwrap();
        match handshake.advance(&mut bytes[16..]) {
            Err(refused) => Err(refused),
            Ok(Step::Proven { used, .. }) => handshake.advance(&mut bytes[16 + used..]),
            Ok(other) => panic!("{other:?}"),
        }
    };
    let address = [1, 192, 0, 2, 1, 0, 80];
    assert!(matches!(refused(0, &address, 3, 3), Ok(Step::Done { .. })));
    assert!(matches!(refused(0, &address, 0, 1), Ok(Step::Done { .. })));
    assert_eq!(refused(1, &address, 3, 3), Err(Refused::Malformed), "a server's stream");
    assert_eq!(
        refused(0, &address, 0, 0),
        Err(Refused::Malformed),
        "neither padding nor payload"
    );
    assert_eq!(
        refused(0, &address, 4, 3),
        Err(Refused::Malformed),
        "padding beyond the end"
    );
    assert_eq!(
        refused(0, &address, 901, 901),
        Err(Refused::Malformed),
        "more padding than allowed"
    );
    assert_eq!(refused(0, &[9, 0, 0], 3, 3), Err(Refused::Address));
    assert_eq!(
        refused(0, &[1, 192, 0, 2, 1, 0, 0], 3, 3),
        Err(Refused::Address),
        "port 0"
    );
}

#[test]
fn an_address_comes_or_the_stream_is_refused() {
    let keys = keys();
    let salt = [0x5a; 16];
    let mut cipher = keys.cipher(Method::Aes128Gcm, &salt).unwrap();
    let address = [1, 192, 0];
    let mut bytes = [chunk(&mut cipher, &address), chunk(&mut cipher, &[])].concat();
    let mut handshake = Handshake::new(&keys, Method::Aes128Gcm, &Salt::of(Method::Aes128Gcm, &salt).unwrap()).unwrap();
    let mut at = 0;
    for _ in 0..2 {
        match handshake.advance(&mut bytes[at..]).unwrap() {
            Step::Proven { used, .. } | Step::Used(used) => at += used,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        handshake.advance(&mut bytes[at..]),
        Err(Refused::Malformed),
        "a chunk with nothing in it"
    );
}

/// What a client sends first.
fn sealed_2022(keys: &Keys, kind: u8, time: u64, text: &[u8]) -> Vec<u8> {
    let salt = [0x5a; 16];
    let mut cipher = keys.cipher(Method::Aes128Gcm2022, &salt).unwrap();
    let mut header = vec![kind];
    header.extend(time.to_be_bytes());
    header.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    let mut bytes = salt.to_vec();
    bytes.extend(sealed(&mut cipher, &header));
    bytes.extend(sealed(&mut cipher, text));
    bytes
}

/// A client's first bytes: its salt, and a request behind it.
pub(crate) fn opening(keys: &Keys, method: Method, salt: &[u8; 32]) -> Vec<u8> {
    let salt = &salt[..method.salt_length()];
    let mut cipher = keys.cipher(method, salt).unwrap();
    let address = [1, 192, 0, 2, 1, 0, 80];
    let mut bytes = salt.to_vec();
    if method.is_2022() {
        let text = [&address[..], &[0, 4], &[0; 4]].concat();
        let mut header = vec![0];
        header.extend(TIME.to_be_bytes());
        header.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(sealed(&mut cipher, &header));
        bytes.extend(sealed(&mut cipher, &text));
    } else {
        bytes.extend(chunk(&mut cipher, &address));
    }
    bytes
}

fn sealed(cipher: &mut Cipher, text: &[u8]) -> Vec<u8> {
    let mut room = text.to_vec();
    room.extend([0; TAG]);
    cipher.seal(&mut room).unwrap();
    room
}

fn chunk(cipher: &mut Cipher, text: &[u8]) -> Vec<u8> {
    let mut bytes = sealed(cipher, &u16::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend(sealed(cipher, text));
    bytes
}

fn older_method() -> impl Strategy<Value = Method> {
    prop_oneof![
        Just(Method::Chacha20Poly1305),
        Just(Method::Aes256Gcm),
        Just(Method::Aes128Gcm)
    ]
}

proptest! {
    #[test]
    fn a_stream_of_an_older_method_is_read_however_it_is_cut(
        method in older_method(),
        salt in any::<[u8; 32]>(),
        ip in any::<IpAddr>(),
        port in 1_u16..,
        data in proptest::collection::vec(any::<u8>(), 0..400),
        cuts in proptest::collection::vec(1_usize..60, 1..20),
    ) {
        let keys = keys();
        let salt = &salt[..method.salt_length()];
        let mut cipher = keys.cipher(method, salt).unwrap();
        let mut text = Vec::new();
        put_socks_address(&mut text, SocketAddr::new(ip, port));
        text.extend(&data);
        let mut bytes = salt.to_vec();
        let mut rest = text.as_slice();
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            bytes.extend(chunk(&mut cipher, now));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(stream::recognise(&keys, &Method::ALL, &bytes), Some(method));
        let (_, destination, mut seen, mut opener, mut at) = read(&keys, method, &mut bytes);
        prop_assert_eq!(destination, Destination::new(crate::address::Host::from(ip), port).unwrap());
        while at < bytes.len() {
            let opened = opener.open(&mut bytes[at..]).unwrap();
            seen.extend(&bytes[at..][opened.text.clone()]);
            prop_assert!(opened.used > 0);
            at += opened.used;
        }
        prop_assert_eq!(seen, data);
    }

    #[test]
    fn what_is_sealed_is_opened_and_one_changed_bit_is_seen(
        method in prop_oneof![Just(Method::Aes128Gcm2022), older_method()],
        texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 1..5),
        flip in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let keys = keys();
        let own = Salt::of(method, &[7; 32]).unwrap();
        let request = Salt::of(method, &[9; 32]).unwrap();
        let mut sealer = Sealer::new(&keys, method, own, request).unwrap();
        let mut stream = Vec::new();
        for text in &texts {
            let headroom = sealer.headroom();
            let mut room = vec![0; headroom];
            room.extend(text);
            room.extend([0; TAG]);
            sealer.seal(&mut room, TIME).unwrap();
            stream.extend(room);
        }
        prop_assert_eq!(opened(&keys, method, &stream), Some(texts.concat()));
        let at = flip.index(stream.len());
        stream[at] ^= 1 << bit;
        prop_assert_ne!(opened(&keys, method, &stream), Some(texts.concat()));
    }

    #[test]
    fn packets_are_opened_as_they_are_sealed(
        method in older_method(),
        salt in any::<[u8; 32]>(),
        ip in any::<IpAddr>(),
        port in 1_u16..,
        data in proptest::collection::vec(any::<u8>(), 0..1500),
    ) {
        let sender = SocketAddr::new(ip, port);
        let mut packet = Vec::new();
        let salt = Salt::of(method, &salt).unwrap();
        datagram::seal_legacy(&keys(), method, &salt, sender, &data, &mut packet).unwrap();
        prop_assert!(packet.len() <= data.len() + datagram::LONGEST_OVERHEAD);
        let opened = datagram::open_legacy(&keys(), method, &mut packet).unwrap();
        prop_assert_eq!(&packet[opened.data], &data[..]);
    }

    #[test]
    fn an_answer_of_a_2022_session_is_what_the_specification_says(
        ip in any::<IpAddr>(),
        port in 1_u16..,
        number in any::<u64>(),
        data in proptest::collection::vec(any::<u8>(), 0..1500),
    ) {
        let keys = keys();
        let header = Header { session: SessionId([0xa5; 8]), packet: number };
        let key = SessionKey::new(&keys, header.session).unwrap();
        let reply = datagram::Reply { header, client: SessionId([0x11; 8]), now: TIME };
        let sender = SocketAddr::new(ip, port);
        let mut packet = Vec::new();
        key.seal(&keys, reply, sender, &data, &mut packet).unwrap();
        prop_assert!(packet.len() <= data.len() + datagram::LONGEST_OVERHEAD);

        prop_assert_eq!(Header::open(&keys, &packet), Some(header));
        // Before anything else a client looks at the type; ours must not be taken for another client's.
        prop_assert_eq!(key.open(header, &mut packet.clone()), Err(Refused::Malformed));
        let mut expected = vec![1];
        expected.extend(TIME.to_be_bytes());
        expected.extend([0x11; 8]);
        expected.extend([0, 0]);
        put_socks_address(&mut expected, sender);
        expected.extend(&data);
        let cipher = keys.session_cipher(&[0xa5; 8]).unwrap();
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&[0xa5; 4]);
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        let length = cipher.open_at(nonce, &mut packet[16..]).unwrap();
        prop_assert_eq!(&packet[16..16 + length], &expected[..]);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let keys = keys();
        prop_assert_eq!(stream::recognise(&keys, &Method::ALL, &bytes), None);
        for method in Method::ALL {
            if let Some(salt) = Salt::of(method, &bytes) {
                let mut handshake = Handshake::new(&keys, method, &salt).unwrap();
                let rest = &mut bytes.clone()[method.salt_length()..];
                let is_refused = matches!(handshake.advance(rest), Ok(Step::Need(_)) | Err(Refused::Sealed));
                prop_assert!(is_refused);
            }
        }
        if let Some(header) = Header::open(&keys, &bytes) {
            let key = SessionKey::new(&keys, header.session).unwrap();
            prop_assert!(key.open(header, &mut bytes).is_err());
        }
    }
}

/// As a client opens an answer.
fn opened(keys: &Keys, method: Method, stream: &[u8]) -> Option<Vec<u8>> {
    let (salt, mut rest) = stream.split_at(method.salt_length());
    let mut cipher = keys.cipher(method, salt)?;
    let mut open = |rest: &mut &[u8], length: usize| {
        let (sealed, behind) = rest.split_at_checked(length + TAG)?;
        let mut room = sealed.to_vec();
        let length = cipher.open(&mut room)?;
        *rest = behind;
        room.truncate(length);
        Some(room)
    };
    let mut text = Vec::new();
    if method == Method::Aes128Gcm2022 {
        let header = open(&mut rest, 27)?;
        let length = u16::from_be_bytes([header[25], header[26]]);
        text.extend(open(&mut rest, usize::from(length))?);
    }
    while !rest.is_empty() {
        let length = open(&mut rest, 2)?;
        text.extend(open(
            &mut rest,
            usize::from(u16::from_be_bytes([length[0], length[1]])),
        )?);
    }
    Some(text)
}
