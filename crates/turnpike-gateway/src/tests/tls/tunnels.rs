//! What goes through a tunnel inside TLS, and how either side ends it.

use std::sync::atomic::AtomicI64;

use tokio::net::TcpSocket;

use super::*;
use crate::tests::world::{Origin, Pattern, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_goes_both_ways_at_once_and_arrives_as_it_was() {
    const MUCH: usize = 64 << 20;
    let (world, identity) = world().await;
    for version in VERSIONS {
        let origin = Origin::listen().await;
        let stream = tunnel(&world, &identity.client(&[version], &[]), origin.address()).await;
        let (server, _) = origin.accept().await;
        let (from_client, to_client) = tokio::io::split(stream);
        let (from_server, to_server) = server.into_split();
        let (up, down) = (AtomicI64::new(0), AtomicI64::new(0));
        let (sent_up, sent_down, got_up, got_down) = tokio::join!(
            Pattern::new(1).send(to_client, MUCH, &up),
            Pattern::new(2).send(to_server, MUCH, &down),
            Pattern::new(1).check(from_server),
            Pattern::new(2).check(from_client),
        );
        sent_up.unwrap();
        sent_down.unwrap();
        assert_eq!((got_up, got_down), (MUCH, MUCH));
    }
    eventually(PATIENCE, "the tunnels end", || world.gateway.tunnels_open() == 0).await;
    let much = u64::try_from(2 * MUCH).unwrap();
    assert_eq!(world.traffic("a"), (much, much));
}

#[tokio::test]
async fn a_slow_reader_gets_everything() {
    const MUCH: usize = 4 << 20;
    let (world, identity) = world().await;
    let origin = Origin::listen().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let socket = socket.connect((world.address, PORT).into()).await.unwrap();
    let mut stream = shake_hands(socket, &identity.client(&VERSIONS, &[])).await.unwrap();
    opened(&mut stream, origin.address()).await;
    let (server, _) = origin.accept().await;
    let sent = AtomicI64::new(0);
    let sending = Pattern::new(3).send(server, MUCH, &sent);
    tokio::pin!(sending);
    // Until nothing fits in any more.
    while tokio::time::timeout(Duration::from_millis(300), async {
        let before = sent.load(std::sync::atomic::Ordering::Relaxed);
        tokio::select! {
            _ = &mut sending => panic!("nobody reads"),
            () = async {
                while sent.load(std::sync::atomic::Ordering::Relaxed) == before {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            } => {}
        }
    })
    .await
    .is_ok()
    {}
    let (sent, got) = tokio::join!(sending, Pattern::new(3).check(&mut stream));
    sent.unwrap();
    assert_eq!(got, MUCH);
}

#[tokio::test]
async fn either_side_may_finish_first_and_the_other_goes_on() {
    let (world, identity) = world().await;
    for version in VERSIONS {
        let client = identity.client(&[version], &[]);
        let origin = Origin::listen().await;
        let mut stream = tunnel(&world, &client, origin.address()).await;
        let (mut server, _) = origin.accept().await;
        stream.write_all(b"question").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut question = String::new();
        within(PATIENCE, server.read_to_string(&mut question)).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        drop(server);
        hears(&mut stream, b"answer").await;
        hears_the_end(&mut stream).await;
        assert_eq!(question, "question");

        let mut stream = tunnel(&world, &client, origin.address()).await;
        let (mut server, _) = origin.accept().await;
        server.write_all(b"greeting").await.unwrap();
        server.shutdown().await.unwrap();
        hears(&mut stream, b"greeting").await;
        hears_the_end(&mut stream).await;
        stream.write_all(b"and still here").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut late = String::new();
        within(PATIENCE, server.read_to_string(&mut late)).await.unwrap();
        assert_eq!(late, "and still here");
    }
    eventually(PATIENCE, "the tunnels end", || world.gateway.tunnels_open() == 0).await;
}

#[tokio::test]
async fn an_end_without_close_notify_is_a_reset_to_the_origin() {
    let (world, identity) = world().await;
    for version in VERSIONS {
        let origin = Origin::listen().await;
        let mut stream = tunnel(&world, &identity.client(&[version], &[]), origin.address()).await;
        let (mut server, _) = origin.accept().await;
        stream.write_all(b"half of it").await.unwrap();
        let mut half = [0; 10];
        within(PATIENCE, server.read_exact(&mut half)).await.unwrap();
        // Below TLS: as whoever sits on the way could.
        stream.get_mut().0.shutdown().await.unwrap();
        let end = within(PATIENCE, server.read(&mut [0])).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_reset_of_the_origins_is_no_end_to_the_client() {
    let (world, identity) = world().await;
    for version in VERSIONS {
        let origin = Origin::listen().await;
        let mut stream = tunnel(&world, &identity.client(&[version], &[]), origin.address()).await;
        let (server, _) = origin.accept().await;
        server.set_zero_linger().unwrap();
        drop(server);
        let end = within(PATIENCE, stream.read(&mut [0])).await;
        assert!(end.is_err(), "a cut download must not look whole");
    }
}

#[tokio::test]
async fn keys_may_be_updated_on_the_way_and_records_may_be_of_any_size() {
    let ((world, identity), echo) = (world().await, Origin::echo().await);
    let mut stream = tunnel(&world, &identity.client(&[&version::TLS13], &[]), echo).await;
    for round in 0..20_usize {
        stream.get_mut().1.refresh_traffic_keys().unwrap();
        let text = vec![u8::try_from(round).unwrap() + b'a'; 1 + round * 2_000];
        let half = text.len() / 2;
        stream.write_all(&text[..half]).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(&text[half..]).await.unwrap();
        hears(&mut stream, &text).await;
    }
    let mut small = Arc::unwrap_or_clone(identity.client(&[&version::TLS12], &[]));
    small.max_fragment_size = Some(33);
    let mut stream = tunnel(&world, &Arc::new(small), echo).await;
    let text = vec![b'z'; 10_000];
    stream.write_all(&text).await.unwrap();
    hears(&mut stream, &text).await;
}

#[tokio::test]
async fn a_record_that_was_tampered_with_breaks_the_tunnel() {
    let (world, identity) = world().await;
    for version in VERSIONS {
        let origin = Origin::listen().await;
        let mut stream = tunnel(&world, &identity.client(&[version], &[]), origin.address()).await;
        let (mut server, _) = origin.accept().await;
        let forged = [&[0x17, 0x03, 0x03, 0x00, 0x40][..], &[0x77; 64]].concat();
        stream.get_mut().0.write_all(&forged).await.unwrap();
        let end = within(PATIENCE, server.read(&mut [0])).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let told = within(PATIENCE, stream.read(&mut [0])).await.unwrap_err();
        assert_ne!(told.kind(), io::ErrorKind::UnexpectedEof);
    }
}
