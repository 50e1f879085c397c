//! Datagrams inside a stream by an exit that is somebody else's proxy: it may refuse them, and end what it has opened.

use super::*;
use crate::tests::upstream::{LEAVES_FROM, Manners, Proxy};
use crate::{RefusalRow, tests};

async fn world_by(proxy: &Proxy) -> World {
    let world = world().await;
    world.apply([Change::Exit(proxy.exit())]).await;
    world
}

/// The first frame of a socket with a name.
fn named_socket(session: u16, to: SocketAddr, data: &[u8]) -> Frame {
    let mut frame = Frame::new(session, UDP, &destination(to), data);
    frame.more.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    frame
}

/// What has been refused in all.
fn refused(world: &World, rows: &mut Vec<RefusalRow>) {
    while let Some(batch) = world.gateway.refusals() {
        world.gateway.acknowledge_refusals(batch.sequence);
        for row in batch.rows {
            rows.retain(|known| known.number != row.number);
            rows.push(row);
        }
    }
}

async fn is_given_back(world: &World, proxy: &Proxy, connections: usize) {
    let shared = world.gateway.shared();
    // The port has two sockets, and each connection has room for two.
    eventually(PATIENCE, "nothing is left but the connections", || {
        proxy.open() == 0 && shared.connections() == connections && shared.descriptors.used() == 2 + 2 * connections
    })
    .await;
}

#[tokio::test]
async fn each_session_that_the_upstream_does_not_carry_ends_by_an_error_and_the_connection_stays() {
    for (reply, code) in [(7, "no_udp"), (2, "no_udp"), (8, "no_udp"), (1, "exit")] {
        let proxy = Proxy::start(Manners {
            reply,
            ..Manners::default()
        })
        .await;
        let (world, to) = (world_by(&proxy).await, "127.0.0.1:53".parse().unwrap());
        let mut client = Client::connect(&world).await;
        for session in 0..3 {
            client.says(Frame::new(session, UDP, &destination(to), b"lost")).await;
            client.hears(Frame::end(session, ERROR)).await;
            client.says(named_socket(session, to, b"lost")).await;
            client.hears(Frame::end(session, ERROR)).await;
            // Told once, and a frame that was under way is nobody's.
            client.says(Frame::keep(session, b"late")).await;
            client.hears(Frame::end(session, 0)).await;
        }
        assert_eq!(proxy.asked(), 1, "it is remembered");
        let mut rows = Vec::new();
        eventually(PATIENCE, "all six are told", || {
            refused(&world, &mut rows);
            matches!(&rows[..], [row] if (row.protocol, row.code, row.times) == ("vless", code, 6))
        })
        .await;
        is_given_back(&world, &proxy, 1).await;
    }
}

#[tokio::test]
async fn a_session_ends_by_an_error_with_its_association_and_the_next_one_has_another() {
    let proxy = Proxy::start(Manners::default()).await;
    let (world, (origin, to)) = (world_by(&proxy).await, socket("127.0.0.1:0").await);
    let mut client = Client::connect(&world).await;
    for round in 1..=3 {
        client.says(Frame::new(1, UDP, &destination(to), b"plain")).await;
        client.says(named_socket(2, to, b"named")).await;
        let mut heard = [received(&origin).await, received(&origin).await];
        heard.sort();
        let [(named, from), (plain, _)] = heard;
        assert_eq!(
            (&named[..], &plain[..], from.ip()),
            (&b"named"[..], &b"plain"[..], LEAVES_FROM.into())
        );
        origin.send_to(b"answer", from).await.unwrap();
        client.hears(Frame::keep_to(2, &destination(to), b"answer")).await;
        assert_eq!((proxy.asked(), proxy.open()), (2 * round, 2));

        proxy.end_all();
        let mut ended = [client.next().await, client.next().await];
        ended.sort_by_key(|frame| frame.session);
        assert_eq!(ended, [Frame::end(1, ERROR), Frame::end(2, ERROR)]);
        is_given_back(&world, &proxy, 1).await;
    }
    assert_eq!(world.traffic("a"), (3 * (5 + 5), 3 * 6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_dropped_midway_leave_nothing_here_and_at_the_upstream() {
    if !tests::world::raise_descriptor_limit() {
        return;
    }
    let proxy = Proxy::start(Manners::default()).await;
    let (world, to) = (world_by(&proxy).await, echo_datagrams().await);
    for round in 0..10 {
        let mut client = Client::connect(&world).await;
        for session in 0..100 {
            client.says(Frame::new(session, UDP, &destination(to), b"hello")).await;
            if session % 3 == 0 {
                client.says(Frame::end(session, 0)).await;
            }
        }
        match round % 3 {
            0 => proxy.end_all(),
            1 => client.0.set_zero_linger().unwrap(),
            _ => client.is_served_after_answers().await,
        }
        drop(client);
        is_given_back(&world, &proxy, 0).await;
    }
}
