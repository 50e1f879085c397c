//! What their side seals, ours opens, and back, in memory. How often is up to `PROPTEST_CASES`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context as Task, Poll, Waker};

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use shadowsocks::ProxyClientStream;
use shadowsocks::relay::Address;
use shadowsocks::relay::udprelay::crypto_io::{decrypt_server_payload, encrypt_client_payload};
use shadowsocks::relay::udprelay::options::UdpSocketControlData;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turnpike_wire::address::Destination;
use turnpike_wire::shadowsocks::datagram::{Header, Reply, SessionId, SessionKey, open_legacy, seal_legacy};
use turnpike_wire::shadowsocks::stream::{Handshake, Sealer, Step, recognise};
use turnpike_wire::shadowsocks::{Keys, Method, Refused, Salt, TAG};

use crate::oracle::{address, configuration, context, expected, method, password};

/// Nobody is connected to in these tests.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// A wire that never waits: what is written is kept, and what is read has been laid there.
#[derive(Debug, Default)]
struct Wire {
    written: Vec<u8>,
    to_read: Vec<u8>,
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Task<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = buffer.remaining().min(self.to_read.len());
        buffer.put_slice(&self.to_read[..count]);
        self.to_read.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn ready<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("a wire in memory never waits"),
    }
}

/// Writes everything, in as many chunks as they make of it. Nothing at all is a chunk, too.
fn write(client: &mut ProxyClientStream<Wire>, mut bytes: &[u8]) {
    loop {
        let mut task = Task::from_waker(Waker::noop());
        let count = ready(Pin::new(&mut *client).poll_write(&mut task, bytes)).unwrap();
        bytes = &bytes[count..];
        if bytes.is_empty() {
            return;
        }
    }
}

/// Reads as much as there is, or fails as they do.
fn read(client: &mut ProxyClientStream<Wire>) -> io::Result<Vec<u8>> {
    let (mut text, mut buffer) = (Vec::new(), vec![0; 65_536]);
    while !client.get_ref().to_read.is_empty() {
        let mut task = Task::from_waker(Waker::noop());
        let mut piece = ReadBuf::new(&mut buffer);
        ready(Pin::new(&mut *client).poll_read(&mut task, &mut piece))?;
        text.extend_from_slice(piece.filled());
    }
    Ok(text)
}

/// Opens a whole stream of a client's: where it wants to go, and what it says.
fn open(keys: &Keys, method: Method, salt: &Salt, bytes: &[u8]) -> Result<(Destination, Vec<u8>), Refused> {
    let mut rest = bytes[salt.as_bytes().len()..].to_vec();
    let mut handshake = Handshake::new(keys, method, salt).unwrap();
    let (to, mut text) = loop {
        match handshake.advance(&mut rest)? {
            Step::Need(needed) => panic!("{needed} bytes are wanted of a whole request"),
            Step::Proven { used, .. } | Step::Used(used) => drop(rest.drain(..used)),
            Step::Done {
                destination,
                used,
                payload,
            } => {
                let text = rest[payload].to_vec();
                rest.drain(..used);
                break (destination, text);
            }
        }
    };
    let mut opener = handshake.into_opener();
    while !rest.is_empty() {
        let opened = opener.open(&mut rest)?;
        assert_ne!(opened.used, 0, "a chunk is not whole");
        text.extend_from_slice(&rest[opened.text]);
        rest.drain(..opened.used);
    }
    Ok((to, text))
}

/// Whether their first chunk has neither padding nor payload, which SIP022 forbids and they make of nothing once in 901 times.
fn is_bare(method: Method, to: &Address, first: &[u8], opening: usize) -> bool {
    let shortest = method.salt_length() + (1 + 8 + 2 + TAG) + (to.serialized_len() + 2 + TAG);
    method == Method::Aes128Gcm2022 && first.is_empty() && opening == shortest
}

/// Payloads of one stream, of lengths about which chunks are cut.
fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let length = prop_oneof![
        Just(0_usize),
        Just(1),
        0x3ffe_usize..=0x4000,
        0xfffe_usize..=0x1_0001,
        0_usize..70_000,
    ];
    // Random, and cheap to make.
    let payload = (any::<u8>(), length).prop_map(|(first, length)| {
        let bytes = testbed::origin::pattern(length + usize::from(first));
        bytes[usize::from(first)..].to_vec()
    });
    vec(payload, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn what_their_client_seals_we_open(
        method in method(),
        password in password(),
        to in address(),
        // With nothing to say they pad.
        first in prop_oneof![Just(Vec::new()), vec(any::<u8>(), 0..300)],
        later in payloads(),
    ) {
        let configuration = configuration(method, NOWHERE, &password);
        let mut client = ProxyClientStream::from_stream(context(), Wire::default(), &configuration, to.clone());
        write(&mut client, &first);
        let opening = client.get_ref().written.len();
        later.iter().for_each(|payload| write(&mut client, payload));
        let bytes = &client.get_ref().written;

        let keys = Keys::of_password(&password).unwrap();
        prop_assert_eq!(recognise(&keys, &Method::ALL, bytes), Some(method));
        let salt = Salt::of(method, bytes).unwrap();
        let opened = open(&keys, method, &salt, bytes);
        match expected(&to) {
            None => prop_assert_eq!(opened, Err(Refused::Address)),
            Some(_) if is_bare(method, &to, &first, opening) => prop_assert_eq!(opened, Err(Refused::Malformed)),
            Some(destination) => {
                let text = [first, later.concat()].concat();
                prop_assert!(opened == Ok((destination, text)), "{:?}", opened.map(|(to, text)| (to, text.len())));
            }
        }
    }

    #[test]
    fn what_we_seal_their_client_opens(
        method in method(),
        password in password(),
        own in any::<[u8; 32]>(),
        payloads in payloads(),
    ) {
        let configuration = configuration(method, NOWHERE, &password);
        let to = Address::DomainNameAddress("origin.example".into(), 443);
        let mut client = ProxyClientStream::from_stream(context(), Wire::default(), &configuration, to);
        write(&mut client, b"question");

        let keys = Keys::of_password(&password).unwrap();
        let request = Salt::of(method, &client.get_ref().written).unwrap();
        let mut sealer = Sealer::new(&keys, method, Salt::of(method, &own).unwrap(), request).unwrap();
        for payload in &payloads {
            for text in payload.chunks(sealer.longest()) {
                let mut room = [&vec![0; sealer.headroom()][..], text, &[0; TAG]].concat();
                sealer.seal(&mut room, seconds()).unwrap();
                client.get_mut().to_read.extend(room);
            }
        }
        let opened = read(&mut client).unwrap();
        prop_assert!(opened == payloads.concat(), "{} bytes", opened.len());
    }

    #[test]
    fn an_answer_to_another_request_is_none_to_their_client(password in password(), own in any::<[u8; 16]>()) {
        let method = Method::Aes128Gcm2022;
        let configuration = configuration(method, NOWHERE, &password);
        let to = Address::DomainNameAddress("origin.example".into(), 443);
        let mut client = ProxyClientStream::from_stream(context(), Wire::default(), &configuration, to);
        write(&mut client, b"question");
        let keys = Keys::of_password(&password).unwrap();
        let own = Salt::of(method, &own).unwrap();
        let mut sealer = Sealer::new(&keys, method, own, own).unwrap();
        let mut room = vec![0; sealer.headroom() + 2 + TAG];
        sealer.seal(&mut room, seconds()).unwrap();
        client.get_mut().to_read = room;
        prop_assert!(read(&mut client).is_err());
    }

    #[test]
    fn datagrams_that_their_client_seals_we_open(
        method in method(),
        password in password(),
        to in address(),
        session in any::<u64>(),
        packet in any::<u64>(),
        data in vec(any::<u8>(), 0..2_000),
    ) {
        let configuration = configuration(method, NOWHERE, &password);
        let mut control = UdpSocketControlData::default();
        control.client_session_id = session;
        control.packet_id = packet;
        let mut sealed = BytesMut::new();
        encrypt_client_payload(
            &context(), configuration.method(), configuration.key(), &to, &control, &[], &data, &mut sealed,
        );
        let mut bytes = sealed.to_vec();

        let keys = Keys::of_password(&password).unwrap();
        let opened = if method == Method::Aes128Gcm2022 {
            let header = Header::open(&keys, &bytes).unwrap();
            prop_assert_eq!(header, Header { session: SessionId(session.to_be_bytes()), packet });
            SessionKey::new(&keys, header.session).unwrap().open(header, &mut bytes)
        } else {
            open_legacy(&keys, method, &mut bytes)
        };
        let opened = opened.map(|datagram| {
            let is_now = datagram.time.map(|time| time.abs_diff(seconds()) <= 30);
            assert_eq!(is_now, (method == Method::Aes128Gcm2022).then_some(true));
            (datagram.destination, bytes[datagram.data].to_vec())
        });
        prop_assert_eq!(opened, expected(&to).map(|destination| (destination, data)).ok_or(Refused::Address));
    }

    #[test]
    fn datagrams_that_we_seal_their_client_opens(
        method in method(),
        password in password(),
        from in prop_oneof![any::<[u8; 4]>().prop_map(std::net::IpAddr::from), any::<[u8; 16]>().prop_map(std::net::IpAddr::from)],
        port in any::<u16>(),
        salt in any::<[u8; 32]>(),
        packet in any::<u64>(),
        client in any::<u64>(),
        data in vec(any::<u8>(), 0..2_000),
    ) {
        let configuration = configuration(method, NOWHERE, &password);
        let keys = Keys::of_password(&password).unwrap();
        let (from, mut sealed) = (SocketAddr::new(from, port), Vec::new());
        if method == Method::Aes128Gcm2022 {
            let session = SessionId(*salt.first_chunk().unwrap());
            let client = SessionId(client.to_be_bytes());
            let reply = Reply { header: Header { session, packet }, client, now: seconds() };
            SessionKey::new(&keys, session).unwrap().seal(&keys, reply, from, &data, &mut sealed).unwrap();
        } else {
            seal_legacy(&keys, method, &Salt::of(method, &salt).unwrap(), from, &data, &mut sealed).unwrap();
        }

        let (length, address, control) =
            decrypt_server_payload(&context(), configuration.method(), configuration.key(), &mut sealed).unwrap();
        prop_assert_eq!(address, Address::SocketAddress(from));
        prop_assert_eq!(&sealed[..length], &data[..]);
        let told = control.map(|told| (told.server_session_id.to_be_bytes(), told.packet_id, told.client_session_id));
        let is_2022 = method == Method::Aes128Gcm2022;
        prop_assert_eq!(told, is_2022.then_some((*salt.first_chunk().unwrap(), packet, client)));
    }
}

/// So many cases of each property, unless another number is asked for.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

fn seconds() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs()
}
