//! The way in: hellos of all kinds, and what comes of those that are none.

use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::HandshakeKind;
use tokio::io::ReadBuf;

use super::*;
use crate::tests::world::{Origin, eventually};

/// A socket whose first write is cut into two segments.
struct Cut {
    socket: TcpStream,
    at: usize,
}

impl AsyncRead for Cut {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, room)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = match std::mem::take(&mut self.at) {
            0 => bytes.len(),
            at => at.min(bytes.len()),
        };
        Pin::new(&mut self.socket).poll_write(cx, &bytes[..count])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// The hello that a client begins with.
fn hello(client: &Arc<ClientConfig>) -> Vec<u8> {
    let mut connection =
        rustls::ClientConnection::new(Arc::clone(client), ServerName::try_from(NAME).unwrap()).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// What comes until the connection ends, in an orderly way.
async fn heard_until_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    within(PATIENCE, stream.read_to_end(&mut heard)).await.unwrap();
    heard
}

#[tokio::test]
async fn a_hello_may_be_cut_anywhere() {
    let ((world, identity), echo) = (world().await, Origin::echo().await);
    for version in VERSIONS {
        let client = identity.client(&[version], &["http/1.1"]);
        for at in 1..hello(&client).len() {
            let socket = world.connect(PORT).await.unwrap();
            socket.set_nodelay(true).unwrap();
            let mut stream = shake_hands(Cut { socket, at }, &client).await.unwrap();
            if at % 50 == 1 {
                opened(&mut stream, echo).await;
            }
        }
    }
}

#[tokio::test]
async fn a_hello_may_come_byte_by_byte_in_as_many_records() {
    let (world, identity) = world().await;
    let hello = hello(&identity.client(&VERSIONS, &[]));
    let mut stream = world.connect(PORT).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in &hello[5..] {
        // The first record must show that it is a hello (rule 4 of the sniffer), which its first byte does.
        for part in [0x16, 0x03, 0x01, 0x00, 0x01, *byte] {
            stream.write_all(&[part]).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
    let mut answer = [0; 6];
    within(PATIENCE, stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!((answer[0], answer[5]), (0x16, 0x02), "a ServerHello");
}

#[tokio::test]
async fn http_1_1_is_named_to_whom_it_can_be_and_nothing_else_ever() {
    let (world, identity) = world().await;
    for version in VERSIONS {
        for (offered, chosen) in [
            (&[][..], None),
            (&["http/1.1"][..], Some("http/1.1")),
            (&["h2", "http/1.1"], Some("http/1.1")),
            (&["h2"], None),
            (&["h2", "acme-tls/1"], None),
        ] {
            let stream = entered(&world, &identity.client(&[version], offered)).await;
            let (_, connection) = stream.get_ref();
            assert_eq!(connection.alpn_protocol(), chosen.map(str::as_bytes), "{offered:?}");
            assert_eq!(connection.protocol_version(), Some(version.version));
        }
    }
}

#[tokio::test]
async fn sessions_are_resumed_on_every_port_and_beyond_the_certificate() {
    let ((world, identity), echo) = (world().await, Origin::echo().await);
    world.apply([Change::Route(route("b", PORT + 1))]).await;
    for version in VERSIONS {
        world.gateway.set_certificate(Some(&identity.certificate)).unwrap();
        let client = identity.client(&[version], &["http/1.1"]);
        let mut first = tunnel(&world, &client, echo).await;
        // Tickets of TLS 1.3 come behind the handshake: what is read has passed them.
        first.write_all(b"x").await.unwrap();
        hears(&mut first, b"x").await;
        assert_eq!(first.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        let socket = world.connect(PORT + 1).await.unwrap();
        let mut again = shake_hands(socket, &client).await.unwrap();
        opened(&mut again, echo).await;
        assert_eq!(again.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));

        let other = Identity::new();
        world.gateway.set_certificate(Some(&other.certificate)).unwrap();
        let last = entered(&world, &client).await;
        assert_eq!(last.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    }
}

#[tokio::test]
async fn another_certificate_is_shown_to_new_clients_and_open_tunnels_go_on() {
    let ((world, identity), echo) = (world().await, Origin::echo().await);
    let client = identity.client(&VERSIONS, &[]);
    let mut open = tunnel(&world, &client, echo).await;
    let other = Identity::new();
    world.gateway.set_certificate(Some(&other.certificate)).unwrap();
    let socket = world.connect(PORT).await.unwrap();
    let fresh = identity.client(&VERSIONS, &[]);
    assert!(
        shake_hands(socket, &fresh).await.is_err(),
        "the old certificate's friends"
    );
    tunnel(&world, &other.client(&VERSIONS, &[]), echo).await;
    open.write_all(b"on").await.unwrap();
    hears(&mut open, b"on").await;

    world.gateway.set_certificate(None).unwrap();
    open.write_all(b" and on").await.unwrap();
    hears(&mut open, b" and on").await;
}

#[tokio::test]
async fn without_a_certificate_a_hello_is_as_unknown_as_anything() {
    let (world, identity) = world_with(|config| config.first_byte_timeout = Duration::from_secs(1)).await;
    world.gateway.set_certificate(None).unwrap();
    let mut stream = world.connect(PORT).await.unwrap();
    let hello = hello(&identity.client(&VERSIONS, &[]));
    stream.write_all(&hello).await.unwrap();
    assert_eq!(heard_until_the_end(&mut stream).await, b"", "silence");
}

/// A fatal alert: its record's kind, any version, its length; then how bad and which.
fn is_alert(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15, 0x03, _, 0x00, 0x02, 0x02, _])
}

#[tokio::test]
async fn what_begins_like_a_hello_and_is_none_gets_an_alert() {
    let (world, identity) = world().await;
    let whole = hello(&identity.client(&VERSIONS, &[]));
    let mut cases = vec![
        // An empty hello; one of nonsense; a record that is too long.
        vec![0x16, 0x03, 0x01, 0x00, 0x04, 0x01, 0x00, 0x00, 0x00],
        [&[0x16, 0x03, 0x01, 0x00, 0x24, 0x01, 0x00, 0x00, 0x20][..], &[0xff; 32]].concat(),
        [&[0x16, 0x03, 0x01, 0xff, 0xff, 0x01][..], &[0x55; 200]].concat(),
    ];
    // A good one, but for its cipher suites.
    let mut none_in_common = hello(&identity.client(&[&version::TLS12], &[]));
    let suites = 9 + 2 + 32 + 1 + usize::from(none_in_common[43]);
    let count = usize::from(none_in_common[suites + 1]);
    none_in_common[suites + 2..suites + 2 + count].fill(0x0a);
    cases.push(none_in_common);
    for case in cases {
        let mut stream = world.connect(PORT).await.unwrap();
        stream.write_all(&case).await.unwrap();
        let heard = heard_until_the_end(&mut stream).await;
        assert!(is_alert(&heard), "{heard:02x?} to {:02x?}", &case[..case.len().min(16)]);
    }
    // Garbage behind a good hello: the server has spoken by then, and breaks off all the same.
    let mut stream = world.connect(PORT).await.unwrap();
    stream.write_all(&[&whole[..], &[0x5a; 4096]].concat()).await.unwrap();
    let heard = heard_until_the_end(&mut stream).await;
    assert_eq!((heard[0], heard[5]), (0x16, 0x02), "a ServerHello");
    // Another kind of record in the middle of a hello.
    let mut stream = world.connect(PORT).await.unwrap();
    let interrupted = [
        0x16, 0x03, 0x01, 0x00, 0x04, 0x01, 0x00, 0x01, 0x00, 0x17, 0x03, 0x03, 0x00, 0x01, 0x00,
    ];
    stream.write_all(&interrupted).await.unwrap();
    stream.shutdown().await.unwrap();
    heard_until_the_end(&mut stream).await;
    eventually(PATIENCE, "no connection is left", || {
        world.gateway.shared().connections() == 0
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut() {
    let (world, identity) = world_with(|config| config.handshake_timeout = Duration::from_millis(300)).await;
    let hello = hello(&identity.client(&VERSIONS, &[]));
    for sent in [6, hello.len() / 2, hello.len()] {
        let mut stream = world.connect(PORT).await.unwrap();
        stream.write_all(&hello[..sent]).await.unwrap();
        let _ = within(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    }
    // A hello without an end is not waited for, however fast it comes.
    let mut stream = world.connect(PORT).await.unwrap();
    stream
        .write_all(&[0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00, 0xff, 0xf0])
        .await
        .unwrap();
    let _ = stream.write_all(&vec![0; 60_000]).await;
    let _ = within(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    eventually(PATIENCE, "no connection is left", || {
        world.gateway.shared().connections() == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_says_nothing_inside_is_let_go() {
    let (world, identity) = world_with(|config| config.handshake_timeout = Duration::from_millis(300)).await;
    let client = identity.client(&VERSIONS, &[]);
    // Half a request.
    let mut stream = entered(&world, &client).await;
    stream.write_all(b"CONN").await.unwrap();
    let _ = within(PATIENCE, stream.read(&mut [0])).await;
    // Nothing at all, and then nobody.
    drop(entered(&world, &client).await);
    eventually(PATIENCE, "no connection is left", || {
        world.gateway.shared().connections() == 0
    })
    .await;
}

/// A customer sees "TLS error" in his program, and here why.
#[tokio::test]
async fn why_a_handshake_has_failed_is_kept_for_the_customer() {
    let (world, _) = world().await;
    let another = Identity::new();
    let mut told = Vec::new();
    let mut hears = async |code: &str| {
        eventually(PATIENCE, code, || {
            while let Some(batch) = world.gateway.refusals() {
                world.gateway.acknowledge_refusals(batch.sequence);
                told.extend(batch.rows);
            }
            told.iter().any(|row| (row.protocol, row.code) == ("tls", code))
        })
        .await;
        told.clear();
    };
    for version in VERSIONS {
        let socket = world.connect(PORT).await.unwrap();
        assert!(shake_hands(socket, &another.client(&[version], &[])).await.is_err());
        hears("certificate_not_trusted").await;
    }
    // A hello of TLS 1.2 with one cipher that nobody speaks any more.
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0, 5, 1, 0]].concat();
    let length = u8::try_from(body.len()).unwrap();
    let hello = [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
    world.connect(PORT).await.unwrap().write_all(&hello).await.unwrap();
    hears("no_common_tls").await;
    let mut half = world.connect(PORT).await.unwrap();
    half.write_all(&hello[..20]).await.unwrap();
    drop(half);
    hears("cut_short").await;
}
