//! Datagrams through an upstream proxy's UDP ASSOCIATE.

use super::lifetime::mapping_lives_for;
use super::*;
use crate::tests::upstream::{LEAVES_FROM, Manners, Odd, Proxy};
use crate::tests::world::eventually;
use crate::{ExitId, RouteId};

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

async fn world_by(proxy: &Proxy) -> World {
    let names = name_server().await;
    let asked = names.address;
    world_with(|config| config.dns_servers = vec![asked], |exit| *exit = proxy.exit()).await
}

/// How a client's request for an association is refused.
async fn refusal(world: &World) -> u8 {
    let mut client = Script::start(world).await;
    client.says([GREETING, LOGIN, &request(3, NOWHERE)].concat()).await;
    client.hears([CHOSEN, WELCOME, &[5]].concat()).await;
    let mut code = [0];
    client.0.read_exact(&mut code).await.unwrap();
    client.hears_last([0, 1, 0, 0, 0, 0, 0, 0]).await;
    code[0]
}

#[tokio::test]
async fn datagrams_go_by_the_upstream_and_replies_say_who_sent_them() {
    let proxy = Proxy::start(Manners::default()).await;
    let world = world_by(&proxy).await;
    let client = Associated::new(&world).await;
    assert_eq!(proxy.open(), 1, "it is open before the client is told so");
    let (origin, to) = origin("127.0.0.1:0").await;
    client.sends(datagram(to, b"by address")).await;
    let (payload, from) = receive(&origin).await;
    assert_eq!((&payload[..], from.ip()), (&b"by address"[..], LEAVES_FROM.into()));
    client
        .sends(datagram_to_name("here.example", to.port(), b"by name"))
        .await;
    assert_eq!(receive(&origin).await, (b"by name".to_vec(), from));
    // Anybody may answer.
    let (stranger, stranger_address) = self::origin("127.0.0.1:0").await;
    stranger.send_to(b"hello", from).await.unwrap();
    client.receives(datagram(stranger_address, b"hello")).await;
    assert_eq!(world.traffic("a"), (17, 5), "payload only");
    assert_eq!(proxy.asked(), 1);

    // No IPv4 datagram is longer than 65,507 bytes, with the header.
    client.echoes(echo("127.0.0.1:0").await, &vec![7; 65_497]).await;
    client.echoes(echo("127.0.0.1:0").await, b"").await;
}

#[tokio::test]
async fn the_relay_is_where_the_upstream_says_unless_that_is_of_no_use() {
    for tells in [
        Some("0.0.0.0".parse().unwrap()),
        Some("10.1.2.3".parse().unwrap()),
        Some("169.254.169.254".parse().unwrap()),
        Some("::".parse().unwrap()),
        Some("::ffff:10.1.2.3".parse().unwrap()),
        None,
    ] {
        let proxy = Proxy::start(Manners {
            tells,
            ..Manners::default()
        })
        .await;
        let world = world_by(&proxy).await;
        let client = Associated::new(&world).await;
        client.echoes(echo("127.0.0.1:0").await, b"hello").await;
    }
}

#[tokio::test]
async fn what_does_not_come_as_it_should_is_dropped() {
    for odd in [Odd::Fragment, Odd::Name, Odd::Port, Odd::Private] {
        let proxy = Proxy::start(Manners {
            odd,
            ..Manners::default()
        })
        .await;
        let world = world_by(&proxy).await;
        let client = Associated::new(&world).await;
        let echo = echo("127.0.0.1:0").await;
        client.echoes(echo, b"one").await;
        client.echoes(echo, b"two").await;
        assert_eq!(world.traffic("a"), (6, 6));
    }
}

#[tokio::test]
async fn what_is_closed_is_closed_before_the_upstream_sees_it() {
    let proxy = Proxy::start(Manners::default()).await;
    let world = world_by(&proxy).await;
    let client = Associated::new(&world).await;
    for closed in ["10.1.2.3:53", "169.254.169.254:80", "[::1]:53", "127.0.0.1:25"] {
        client.sends(datagram(closed.parse().unwrap(), b"closed")).await;
    }
    for name in ["private.example", "localhost", "0x7f.1"] {
        client.sends(datagram_to_name(name, 53, b"closed")).await;
    }
    client.echoes(echo("127.0.0.1:0").await, b"open").await;
    assert_eq!(world.traffic("a"), (4, 4));
}

#[tokio::test]
async fn an_upstream_without_datagrams_is_told_by_the_protocol_and_remembered() {
    let proxy = Proxy::start(Manners {
        reply: 7,
        ..Manners::default()
    })
    .await;
    let world = world_by(&proxy).await;
    for _ in 0..5 {
        assert_eq!(refusal(&world).await, 7);
    }
    assert_eq!(proxy.asked(), 1);

    // Another proxy is another matter.
    let better = Proxy::start(Manners::default()).await;
    world.apply([Change::Exit(better.exit())]).await;
    Associated::new(&world)
        .await
        .echoes(echo("127.0.0.1:0").await, b"hello")
        .await;
}

#[tokio::test]
async fn an_upstream_that_fails_is_tried_again_after_a_moment() {
    let proxy = Proxy::start(Manners {
        reply: 1,
        ..Manners::default()
    })
    .await;
    let world = world_by(&proxy).await;
    let ask = async {
        while proxy.asked() < 3 {
            assert_eq!(refusal(&world).await, 1);
        }
    };
    within(PATIENCE, ask).await;
}

#[tokio::test]
async fn a_client_is_told_that_its_upstream_has_ended_its_association() {
    let proxy = Proxy::start(Manners::default()).await;
    let world = world_by(&proxy).await;
    let client = Associated::new(&world).await;
    client.echoes(echo("127.0.0.1:0").await, b"hello").await;
    proxy.end_all();
    client.tcp.hears_last([]).await;
    eventually(PATIENCE, "nothing is left", || {
        world.gateway.shared().connections() == 0 && proxy.open() == 0
    })
    .await;
}

#[tokio::test]
async fn the_upstreams_association_ends_with_the_clients() {
    let proxy = Proxy::start(Manners::default()).await;
    let world = world_by(&proxy).await;
    let client = Associated::new(&world).await;
    drop(client.tcp);
    eventually(PATIENCE, "it is closed", || proxy.open() == 0).await;
    let client = Associated::new(&world).await;
    world.apply([Change::RemoveRoute(RouteId("a".into()))]).await;
    client.tcp.hears_last([]).await;
    eventually(PATIENCE, "it is closed", || proxy.open() == 0).await;
}

#[tokio::test]
async fn an_idle_association_with_the_upstream_is_closed_and_opened_again() {
    let proxy = Proxy::start(Manners::default()).await;
    let world = world_by(&proxy).await;
    let client = Associated::new(&world).await;
    client
        .sends(datagram("127.0.0.99:53".parse().unwrap(), b"question"))
        .await;
    eventually(PATIENCE, "it is sent", || world.traffic("a").0 > 0).await;
    let lived = mapping_lives_for(&world).await;
    assert!((14..=16).contains(&lived.as_secs()), "{lived:?}");
    eventually(PATIENCE, "it is closed", || proxy.open() == 0).await;

    let echo = echo("127.0.0.1:0").await;
    client.echoes(echo, b"again").await;
    assert_eq!((proxy.open(), proxy.asked()), (1, 2));
    let lived = mapping_lives_for(&world).await;
    assert!((299..=301).contains(&lived.as_secs()), "{lived:?}");
    client.echoes(echo, b"and again").await;
}

#[tokio::test]
async fn a_rotation_moves_the_association_to_the_upstreams_new_address() {
    let proxy = Proxy::start(Manners::default()).await;
    let world = world_with(
        |_| {},
        |exit| {
            *exit = proxy.exit();
            exit.rotate = Some(crate::RotateMethod::Command(vec!["true".to_owned()]));
        },
    )
    .await;
    let client = Associated::new(&world).await;
    let echo = echo("127.0.0.1:0").await;
    client.echoes(echo, b"before").await;
    world.gateway.rotate(&ExitId("first".into())).await.unwrap();
    eventually(PATIENCE, "the old one is closed", || proxy.open() == 0).await;
    client.echoes(echo, b"after").await;
    assert_eq!(proxy.asked(), 2);
}

/// 3proxy before 0.9.9 let descriptors pile up.
#[tokio::test]
async fn two_thousand_associations_dropped_midway_leave_nothing() {
    let proxy = Proxy::start(Manners::default()).await;
    let world = world_by(&proxy).await;
    let shared = world.gateway.shared();
    let to = echo("127.0.0.1:0").await;
    let used = |world: &World| (world.gateway.shared().descriptors.used(), shared.connections());
    let before = used(&world);
    for round in 0..20 {
        let mut open = Vec::new();
        for number in 0..100 {
            let mut client = Script::start(&world).await;
            match (round + number) % 4 {
                0 => client.says(GREETING).await,
                1 => client.says([GREETING, LOGIN, &request(3, NOWHERE)].concat()).await,
                2 => open.push(Associated::of(client).await),
                _ => {
                    let client = Associated::of(client).await;
                    client.echoes(to, b"hello").await;
                    open.push(client);
                }
            }
        }
        if round % 3 == 0 {
            proxy.end_all();
        }
    }
    eventually(PATIENCE, "all is as before", || {
        used(&world) == before && proxy.open() == 0
    })
    .await;
    assert!(proxy.asked() >= 1_000);
}
