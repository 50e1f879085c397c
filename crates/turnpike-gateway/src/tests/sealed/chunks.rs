//! What a tunnel carries, however it is cut, and how it ends.

use std::io::ErrorKind;

use super::*;
use crate::tests::world::{Origin, eventually};

/// The longest chunks of 2022 and of the older methods.
const LONGEST_2022: usize = 0xffff;
const LONGEST_OLDER: usize = 0x3fff;

fn longest(client: &Client) -> usize {
    if client.method().is_2022() {
        LONGEST_2022
    } else {
        LONGEST_OLDER
    }
}

/// So many bytes in which a lost or doubled one shows.
fn pattern(length: usize) -> Vec<u8> {
    testbed::origin::pattern(length)
}

#[tokio::test]
async fn every_method_carries_data_both_ways_and_only_the_data_is_counted() {
    let (world, echo) = (world().await, Origin::echo().await);
    let mut sent = 0;
    for client in clients() {
        let mut tunnel = Tunnel::open(&world, &client, echo, b"with the request").await;
        assert_eq!(tunnel.receive(16).await, b"with the request");
        tunnel.send(b"and later").await;
        assert_eq!(tunnel.receive(9).await, b"and later");
        tunnel.stream.shutdown().await.unwrap();
        assert_eq!(tunnel.rest().await, b"");
        let told = tunnel.answer.time.map(|time| time.abs_diff(seconds()) <= 5);
        assert_eq!(told, client.method().is_2022().then_some(true));
        sent += 16 + 9;
    }
    eventually(PATIENCE, "the tunnels end", || world.gateway.tunnels_open() == 0).await;
    assert_eq!(world.traffic("a"), (sent, sent));
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    let (world, origin) = (world().await, Origin::listen().await);
    for client in clients() {
        let mut tunnel = Tunnel::open(&world, &client, origin.address(), b"").await;
        let (mut server, _) = origin.accept().await;
        server.write_all(b"220 welcome").await.unwrap();
        assert_eq!(tunnel.receive(11).await, b"220 welcome");
    }
}

#[tokio::test]
async fn it_does_not_matter_how_a_stream_is_cut() {
    let (world, echo) = (world().await, Origin::echo().await);
    for client in clients() {
        for is_cut in [true, false] {
            let request = request(&client, echo, &pattern(700));
            let (mut bytes, mut sealer) = client.request(&request);
            let mut expected = pattern(700);
            for length in [1, 2, 100, longest(&client), 5, 0, 4_096, longest(&client) - 1] {
                bytes.extend(sealer.chunk(&pattern(length)));
                expected.extend(pattern(length));
            }
            // The opening byte by byte, and then pieces of all sizes.
            let pieces = std::iter::repeat_n(1, 1_000).chain((1..).map(|round: usize| round * 7_919 % 5_000 + 1));
            let mut cuts = pieces.map(|length| if is_cut { length } else { usize::MAX });

            let stream = world.connect(PORT).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut read, mut write) = stream.into_split();
            let sending = async {
                let mut rest = bytes.as_slice();
                while let Some(length) = cuts.next().filter(|_| !rest.is_empty()) {
                    let (piece, later) = rest.split_at(length.min(rest.len()));
                    write.write_all(piece).await.unwrap();
                    rest = later;
                    tokio::task::yield_now().await;
                }
                write.shutdown().await.unwrap();
            };
            let mut answer = client.answer(&request.salt);
            let receiving = async {
                let (mut text, mut piece) = (Vec::new(), vec![0; 65_536]);
                loop {
                    let count = read.read(&mut piece).await.unwrap();
                    text.extend(answer.take(&piece[..count]));
                    if count == 0 {
                        return text;
                    }
                }
            };
            let ((), text) = within(PATIENCE, async { tokio::join!(sending, receiving) }).await;
            assert!(
                text == expected,
                "{:?}, {} of {}",
                client.method(),
                text.len(),
                expected.len()
            );
            assert!(answer.is_whole());
            assert!(
                answer.longest <= LONGEST_OLDER,
                "every client takes chunks of this length"
            );
        }
    }
}

#[tokio::test]
async fn an_address_may_be_spread_over_chunks_of_the_older_methods() {
    let (world, echo) = (world().await, Origin::echo().await);
    for client in clients().filter(|client| !client.method().is_2022()) {
        let request = request(&client, echo, b"");
        let mut sealer = client.sealer(&request.salt);
        let mut bytes = request.salt.clone();
        for byte in [&request.to[..], b"data"].concat() {
            bytes.extend(sealer.chunk(&[byte]));
        }
        let mut stream = world.connect(PORT).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let answer = client.answer(&request.salt);
        let mut tunnel = Tunnel { stream, sealer, answer };
        assert_eq!(tunnel.receive(4).await, b"data");
    }
}

#[tokio::test]
async fn either_side_may_finish_first_and_the_other_goes_on() {
    let (world, origin) = (world().await, Origin::listen().await);
    for client in clients() {
        let mut tunnel = Tunnel::open(&world, &client, origin.address(), b"question").await;
        let (mut server, _) = origin.accept().await;
        tunnel.stream.shutdown().await.unwrap();
        let mut question = String::new();
        within(PATIENCE, server.read_to_string(&mut question)).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        drop(server);
        assert_eq!(
            (question.as_str(), tunnel.rest().await),
            ("question", b"answer".to_vec())
        );

        let mut tunnel = Tunnel::open(&world, &client, origin.address(), b"").await;
        let (mut server, _) = origin.accept().await;
        server.write_all(b"greeting").await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(tunnel.rest().await, b"greeting");
        tunnel.send(b"thanks").await;
        tunnel.stream.shutdown().await.unwrap();
        let mut thanks = String::new();
        within(PATIENCE, server.read_to_string(&mut thanks)).await.unwrap();
        assert_eq!(thanks, "thanks");
    }
    eventually(PATIENCE, "all tunnels end", || world.gateway.tunnels_open() == 0).await;
}

/// What breaks a stream that was good so far.
#[derive(Debug, Clone, Copy)]
enum Break {
    /// A chunk whose text has been changed.
    Text,
    /// A chunk whose length has been changed.
    Length,
    /// The end in the middle of a chunk.
    End,
}

#[tokio::test]
async fn a_broken_chunk_ends_the_tunnel_as_a_reset_at_both_ends() {
    let (world, origin) = (world().await, Origin::listen().await);
    for client in clients() {
        for way in [Break::Text, Break::Length, Break::End] {
            let (mut tunnel, mut server) = greeted(&world, &client, &origin).await;
            let mut chunk = tunnel.sealer.chunk(b"to be broken");
            let last = chunk.len() - 1;
            match way {
                Break::Text => chunk[last] ^= 1,
                Break::Length => chunk[0] ^= 1,
                Break::End => chunk.truncate(last),
            }
            tunnel.stream.write_all(&chunk).await.unwrap();
            if matches!(way, Break::End) {
                tunnel.stream.shutdown().await.unwrap();
            }
            for end in [&mut server, &mut tunnel.stream] {
                let error = within(PATIENCE, end.read(&mut [0; 64])).await.unwrap_err();
                assert_eq!(
                    error.kind(),
                    ErrorKind::ConnectionReset,
                    "{:?} {way:?}",
                    client.method()
                );
            }
        }
    }
    eventually(PATIENCE, "all tunnels end", || world.gateway.tunnels_open() == 0).await;
}

#[tokio::test]
async fn a_reset_is_passed_on_both_ways() {
    let (world, origin) = (world().await, Origin::listen().await);
    for client in clients() {
        let (mut tunnel, server) = greeted(&world, &client, &origin).await;
        server.set_zero_linger().unwrap();
        drop(server);
        let error = within(PATIENCE, tunnel.stream.read(&mut [0; 1])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);

        let (tunnel, mut server) = greeted(&world, &client, &origin).await;
        tunnel.stream.set_zero_linger().unwrap();
        drop(tunnel);
        let error = within(PATIENCE, server.read(&mut [0; 1])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

/// A tunnel and its other end, which have heard of each other.
async fn greeted(world: &World, client: &Client, origin: &Origin) -> (Tunnel, TcpStream) {
    let mut tunnel = Tunnel::open(world, client, origin.address(), b"hello").await;
    let (mut server, _) = origin.accept().await;
    within(PATIENCE, server.read_exact(&mut [0; 5])).await.unwrap();
    server.write_all(b"welcome").await.unwrap();
    assert_eq!(tunnel.receive(7).await, b"welcome");
    (tunnel, server)
}

#[tokio::test]
async fn a_destination_that_cannot_be_reached_ends_the_connection_without_a_byte() {
    let world = world().await;
    let nobody = Origin::listen().await.address();
    for client in clients() {
        for to in [nobody, "10.1.2.3:80".parse().unwrap(), "127.0.0.1:25".parse().unwrap()] {
            let mut tunnel = Tunnel::open(&world, &client, to, b"hello").await;
            assert_eq!(within(PATIENCE, tunnel.stream.read(&mut [0; 1])).await.unwrap(), 0);
        }
    }
}
