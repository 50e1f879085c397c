//! When associations and their sockets end.

use tokio::time::Instant;

use super::*;
use crate::tests::world::{eventually, now};
use crate::{ExitId, RouteId};

#[tokio::test]
async fn an_association_ends_with_its_connection_and_no_sooner() {
    let world = world().await;
    let (origin, to) = origin("127.0.0.1:0").await;
    let echo = echo("127.0.0.1:0").await;
    let witness = Associated::new(&world).await;
    witness.echoes(echo, b"mine").await;
    let mut client = Associated::new(&world).await;
    // What is said on the connection means nothing.
    client.tcp.says(vec![5; 100_000]).await;
    client.sends(datagram(to, b"before")).await;
    let (_, exit) = receive(&origin).await;
    let Associated { tcp, udp, relay } = client;
    drop(tcp);
    eventually(PATIENCE, "it ends", || world.gateway.shared().connections() == 2).await;
    udp.send_to(&datagram(to, b"after"), relay).await.unwrap();
    origin.send_to(b"late", exit).await.unwrap();
    witness.echoes(echo, b"mine").await;
    assert_silent(&origin);
    assert_silent(&udp);
}

#[tokio::test]
async fn a_cut_route_ends_its_associations_at_once() {
    let changes: [fn(&mut crate::Route); 4] = [
        |route| route.password = "another".into(),
        |route| route.exit = ExitId("second".into()),
        |route| route.ends_at = now(),
        |route| route.port += 1,
    ];
    for change in changes {
        let world = world().await;
        let client = Associated::new(&world).await;
        client.echoes(echo("127.0.0.1:0").await, b"before").await;
        let mut changed = route("a", PORT);
        change(&mut changed);
        world.apply([Change::Route(changed)]).await;
        client.tcp.hears_last([]).await;
        eventually(PATIENCE, "its tasks end", || world.gateway.shared().connections() == 0).await;
    }
    let world = world().await;
    let client = Associated::new(&world).await;
    world.apply([Change::RemoveRoute(RouteId("a".into()))]).await;
    client.tcp.hears_last([]).await;
}

#[tokio::test]
async fn a_renewed_route_keeps_them() {
    let world = world().await;
    let client = Associated::new(&world).await;
    let (origin, to) = origin("127.0.0.1:0").await;
    client.sends(datagram(to, b"before")).await;
    let (_, before) = receive(&origin).await;
    let mut renewed = route("a", PORT);
    renewed.ends_at -= 1;
    world.apply([Change::Route(renewed)]).await;
    client.sends(datagram(to, b"after")).await;
    assert_eq!(receive(&origin).await, (b"after".to_vec(), before));
    assert_eq!(world.traffic("a"), (11, 0));
}

#[tokio::test]
async fn a_gateway_that_stops_does_not_wait_for_associations() {
    let world = world().await;
    let client = Associated::new(&world).await;
    client.echoes(echo("127.0.0.1:0").await, b"before").await;
    within(PATIENCE, world.gateway.shut_down(60 * PATIENCE)).await;
    client.tcp.hears_last([]).await;
}

/// How long the one socket to the outside stays, from now on.
pub(super) async fn mapping_lives_for(world: &World) -> Duration {
    let used = || world.gateway.shared().descriptors.used();
    let open = used();
    // Where nothing can happen but time, time passes at once.
    tokio::time::pause();
    let start = Instant::now();
    while used() == open {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::resume();
    start.elapsed()
}

#[tokio::test]
async fn an_idle_socket_closes_and_the_association_opens_another() {
    let world = world().await;
    let client = Associated::new(&world).await;
    let (origin, to) = origin("127.0.0.1:0").await;
    let name_server = SocketAddr::from(([127, 0, 0, 99], 53));
    client.sends(datagram(name_server, b"question")).await;
    client.sends(datagram(name_server, b"question")).await;
    eventually(PATIENCE, "they are sent", || world.traffic("a").0 > 0).await;
    let lived = mapping_lives_for(&world).await;
    assert!((14..=16).contains(&lived.as_secs()), "{lived:?}");

    client.sends(datagram(name_server, b"question")).await;
    client.sends(datagram(to, b"something else")).await;
    let (_, before) = receive(&origin).await;
    let lived = mapping_lives_for(&world).await;
    assert!((299..=301).contains(&lived.as_secs()), "{lived:?}");

    client.sends(datagram(to, b"again")).await;
    let (_, after) = receive(&origin).await;
    assert_eq!(before.ip(), after.ip());
    origin.send_to(b"reply", after).await.unwrap();
    client.receives(datagram(to, b"reply")).await;
}

#[tokio::test]
async fn two_thousand_associations_dropped_midway_leave_nothing() {
    let world = world().await;
    let shared = world.gateway.shared();
    let to = echo("127.0.0.1:0").await;
    let before = (shared.descriptors.used(), shared.connections());
    for round in 0..20 {
        let mut open = Vec::new();
        for number in 0..100 {
            match (round + number) % 4 {
                0 => {
                    let mut half = Script::start(&world).await;
                    half.says(GREETING).await;
                }
                1 => {
                    let mut unread = Script::start(&world).await;
                    let nowhere = "0.0.0.0:0".parse().unwrap();
                    unread.says([GREETING, LOGIN, &request(3, nowhere)].concat()).await;
                }
                2 => open.push(Associated::new(&world).await),
                _ => {
                    let client = Associated::new(&world).await;
                    client.echoes(to, b"hello").await;
                    client.sends(datagram_to_name("nowhere.example", 9, b"x")).await;
                    open.push(client);
                }
            }
        }
    }
    eventually(PATIENCE, "all is as before", || {
        (shared.descriptors.used(), shared.connections()) == before
    })
    .await;
}
