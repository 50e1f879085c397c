//! Streams inside a stream.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::tests::world::{SECOND_EXIT, raise_descriptor_limit};

#[tokio::test]
async fn many_streams_carry_data_both_ways_at_once() {
    let (world, echo) = (world().await, Origin::echo().await);
    let mut client = Client::connect(&world).await;
    let contents: Vec<_> = (1..=50_u16)
        .map(|id| testbed::origin::pattern(1_000 * usize::from(id)))
        .collect();
    for (session, content) in (1..).zip(&contents) {
        let to = if session % 2 == 0 {
            destination(echo)
        } else {
            named("here.example", echo.port())
        };
        client.says(Frame::new(session, TCP, &to, &content[..500])).await;
    }
    let mut heard = vec![Vec::new(); contents.len()];
    let (mut read, mut write) = client.0.into_split();
    let says = async {
        for (session, content) in (1..).zip(&contents) {
            for part in content[500..].chunks(20_000) {
                write.write_all(&Frame::keep(session, part).bytes()).await.unwrap();
            }
        }
    };
    let hears = async {
        let mut left: usize = contents.iter().map(Vec::len).sum();
        while left > 0 {
            let mut header = [0; 8];
            read.read_exact(&mut header).await.unwrap();
            let [0, 4, high, low, KEEP, DATA, rest @ ..] = header else {
                panic!("{header:?}")
            };
            let mut data = vec![0; usize::from(u16::from_be_bytes(rest))];
            assert!((1..=8_192).contains(&data.len()), "{}", data.len());
            read.read_exact(&mut data).await.unwrap();
            left -= data.len();
            heard[usize::from(u16::from_be_bytes([high, low])) - 1].extend(data);
        }
    };
    within(PATIENCE, async { tokio::join!(says, hears) }).await;
    assert!(heard == contents);
    let bytes: usize = contents.iter().map(Vec::len).sum();
    let bytes = u64::try_from(bytes).unwrap();
    eventually(PATIENCE, "all are tunnels", || world.gateway.tunnels_open() == 50).await;
    drop((read, write));
    eventually(PATIENCE, "they end", || world.gateway.tunnels_open() == 0).await;
    assert_eq!(world.traffic("a"), (bytes, bytes), "nothing but what is inside");
}

#[tokio::test]
async fn an_origin_that_has_finished_ends_its_session() {
    let (world, origin) = (world().await, Origin::listen().await);
    let mut client = Client::connect(&world).await;
    client
        .says(Frame::new(1, TCP, &destination(origin.address()), b""))
        .await;
    let (mut server, from) = origin.accept().await;
    assert_eq!(from.ip().to_string(), crate::tests::world::FIRST_EXIT);
    let content = testbed::origin::pattern(100_000);
    server.write_all(&content).await.unwrap();
    server.shutdown().await.unwrap();
    assert!(client.hears_stream(1, content.len()).await == content);
    client.hears(Frame::end(1, 0)).await;
    // The other direction may go on.
    client.says(Frame::keep(1, b"more")).await;
    hears(&mut server, b"more").await;
    client.says(Frame::end(1, 0)).await;
    hears_the_end(&mut server).await;
    eventually(PATIENCE, "the tunnel ends", || world.gateway.tunnels_open() == 0).await;
    client.is_served().await;
}

#[tokio::test]
async fn a_client_that_ends_a_session_has_everything_delivered_first() {
    let (world, origin) = (world().await, Origin::listen().await);
    let mut client = Client::connect(&world).await;
    let content = testbed::origin::pattern(60_000);
    client
        .says(Frame::new(1, TCP, &destination(origin.address()), &content))
        .await;
    client.says(Frame::keep(1, &content)).await;
    client.says(Frame::end(1, 0)).await;
    let (mut server, _) = origin.accept().await;
    hears(&mut server, &[&content[..], &content].concat()).await;
    hears_the_end(&mut server).await;
    // Nobody is there to hear it.
    server.write_all(b"answer").await.unwrap();
    eventually(PATIENCE, "the tunnel ends", || world.gateway.tunnels_open() == 0).await;
    client.is_served().await;
}

#[tokio::test]
async fn what_breaks_off_on_one_side_breaks_off_on_the_other() {
    let (world, origin) = (world().await, Origin::listen().await);
    let mut client = Client::connect(&world).await;
    let to = destination(origin.address());
    client.says(Frame::new(1, TCP, &to, b"hello")).await;
    let (server, _) = origin.accept().await;
    server.set_zero_linger().unwrap();
    drop(server);
    client.hears(Frame::end(1, ERROR)).await;

    for ends_connection in [false, true] {
        client.says(Frame::new(2, TCP, &to, b"hello")).await;
        let (mut server, _) = origin.accept().await;
        hears(&mut server, b"hello").await;
        if ends_connection {
            client.0.shutdown().await.unwrap();
        } else {
            client.says(Frame::end(2, ERROR)).await;
        }
        let error = within(PATIENCE, server.read(&mut [0; 1])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    client.hears_the_end().await;
}

#[tokio::test]
async fn what_cannot_be_reached_ends_by_an_error() {
    let world = world().await;
    let nobody = Origin::listen().await.address();
    let mut client = Client::connect(&world).await;
    for to in [
        destination(nobody),
        named("nowhere.example", 80),
        named("localhost", 80),
        destination("10.1.2.3:80".parse().unwrap()),
        destination("[::ffff:10.1.2.3]:80".parse().unwrap()),
        destination("127.0.0.1:25".parse().unwrap()),
        // One inside another would be without an end.
        named("v1.mux.cool", 9_527),
        named("sp.v2.udp-over-tcp.arpa", 0),
    ] {
        client.says(Frame::new(1, TCP, &to, b"hello")).await;
        client.hears(Frame::end(1, ERROR)).await;
    }
}

#[tokio::test]
async fn a_stream_that_its_origin_does_not_read_stops_the_connection_and_takes_little_memory() {
    let (world, origin, echo) = (world().await, Origin::listen().await, Origin::echo().await);
    let shared = world.gateway.shared();
    let mut client = Client::connect(&world).await;
    client
        .says(Frame::new(1, TCP, &destination(origin.address()), b""))
        .await;
    client.says(Frame::new(2, TCP, &destination(echo), b"before")).await;
    client.hears(Frame::keep(2, b"before")).await;
    let (mut server, _) = origin.accept().await;
    let (mut read, mut write) = client.0.into_split();
    let sent = AtomicUsize::new(0);
    let frame = Frame::keep(1, &testbed::origin::pattern(10_000)).bytes();
    let writes = async {
        // More than all that systems and queues hold on the way.
        for _ in 0..6_000 {
            write.write_all(&frame).await.unwrap();
            sent.fetch_add(1, Ordering::Relaxed);
        }
        write.write_all(&Frame::keep(2, b"after").bytes()).await.unwrap();
        write
    };
    let reads = async {
        // Until nothing moves any more.
        let mut before = usize::MAX;
        while before != sent.load(Ordering::Relaxed) {
            before = sent.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(before < 6_000, "the client is not held back");
        // 256 KiB and the frame that went beyond it, and one that its tunnel holds.
        assert!(
            (16..=22).contains(&shared.buffers.in_use()),
            "{} buffers",
            shared.buffers.in_use()
        );
        let mut total = 0;
        let mut room = vec![0; 1 << 20];
        while total < 60_000_000 {
            total += server.read(&mut room).await.unwrap();
        }
        let mut after = vec![0; Frame::keep(2, b"after").bytes().len()];
        read.read_exact(&mut after).await.unwrap();
        assert_eq!(after, Frame::keep(2, b"after").bytes());
        server
    };
    let _ends = within(6 * PATIENCE, async { tokio::join!(writes, reads) }).await;
    eventually(PATIENCE, "nothing is held at rest", || shared.buffers.in_use() == 0).await;
    assert_eq!(world.gateway.tunnels_open(), 2);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_either_and_takes_little_memory() {
    let (world, origin) = (world().await, Origin::listen().await);
    let shared = world.gateway.shared();
    let mut client = Client::connect(&world).await;
    // Streams that have more to say than anybody takes.
    let mut servers = Vec::new();
    for session in 1..=20 {
        client
            .says(Frame::new(session, TCP, &destination(origin.address()), b""))
            .await;
        let (server, _) = origin.accept().await;
        servers.push(tokio::spawn(async move {
            let mut server = server;
            while server.write_all(&[7; 65_536]).await.is_ok() {}
        }));
    }
    // And many small answers.
    let small = Frame::keep(u16::MAX, b"").bytes().repeat(10_000);
    let writes = async { while client.0.write_all(&small).await.is_ok() {} };
    assert!(tokio::time::timeout(Duration::from_secs(3), writes).await.is_err());
    assert!(
        shared.buffers.in_use() <= 20 + 17 + 2,
        "{} buffers",
        shared.buffers.in_use()
    );
    world.apply([Change::RemoveRoute(route("a", PORT).id)]).await;
    eventually(Duration::from_secs(2), "all is cut", || shared.connections() == 0).await;
    assert_eq!(shared.buffers.in_use(), 0);
}

#[tokio::test]
async fn there_are_1024_sessions_and_no_more() {
    if !raise_descriptor_limit() {
        return;
    }
    let (world, origin) = (world().await, Origin::listen().await);
    let to = destination(origin.address());
    let mut client = Client::connect(&world).await;
    let mut servers = Vec::new();
    for session in 1..=1_024 {
        client.says(Frame::new(session, TCP, &to, b"")).await;
        servers.push(origin.accept().await.0);
    }
    for network in [TCP, UDP] {
        client.says(Frame::new(2_000, network, &to, b"too many")).await;
        client.hears(Frame::end(2_000, ERROR)).await;
    }
    drop(servers.pop());
    client.hears(Frame::end(1_024, 0)).await;
    client.says(Frame::end(1_024, 0)).await;
    eventually(PATIENCE, "its tunnel has ended", || {
        world.gateway.tunnels_open() == 1_023
    })
    .await;
    client.says(Frame::new(2_000, TCP, &to, b"not too many")).await;
    let (mut server, _) = origin.accept().await;
    hears(&mut server, b"not too many").await;
}

#[tokio::test]
async fn a_rotation_ends_what_was_dialled_before_it_and_not_the_connection() {
    let (world, origin) = (world().await, Origin::listen().await);
    let to = destination(origin.address());
    let mut client = Client::connect(&world).await;
    client.says(Frame::new(1, TCP, &to, b"before")).await;
    let (mut before, _) = origin.accept().await;
    hears(&mut before, b"before").await;
    let mut first = crate::tests::world::exit("first", SECOND_EXIT);
    first.drain = Duration::ZERO;
    world.apply([Change::Exit(first)]).await;
    client.hears(Frame::end(1, ERROR)).await;
    client.says(Frame::new(2, TCP, &to, b"after")).await;
    let (_server, from) = origin.accept().await;
    assert_eq!(from.ip().to_string(), SECOND_EXIT);
}

#[tokio::test]
async fn each_stream_counts_as_a_connection_and_the_first_has_its_carriers_place() {
    let (world, echo) = (world().await, Origin::echo().await);
    let mut limited = route("a", PORT);
    limited.limits.max_connections = std::num::NonZeroU32::new(2);
    world.apply([Change::Route(limited)]).await;
    let mut client = Client::connect(&world).await;
    for session in [1, 2] {
        client
            .says(Frame::new(session, TCP, &destination(echo), b"hello"))
            .await;
        assert_eq!(client.hears_stream(session, 5).await, b"hello");
    }
    client
        .says(Frame::new(3, TCP, &destination(echo), b"one too many"))
        .await;
    client.hears(Frame::end(3, ERROR)).await;
    client.says(Frame::end(1, 0)).await;
    eventually(PATIENCE, "it has ended", || world.gateway.tunnels_open() == 1).await;
    client.says(Frame::new(4, TCP, &destination(echo), b"again")).await;
    assert_eq!(client.hears_stream(4, 5).await, b"again");
}
