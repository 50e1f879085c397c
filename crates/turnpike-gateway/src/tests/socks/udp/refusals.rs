//! What is dropped, and who gets no association.

use super::*;
use crate::{Upstream, tests::world::eventually};

/// The only destination that is allowed here.
const ALLOWED: &str = "127.0.0.21:0";

fn only_one_destination(config: &mut GatewayConfig) {
    config.allow_destinations = vec!["127.0.0.21/32".parse().unwrap()];
}

/// 3proxy before 0.9.9 judged the request and nothing after it.
#[tokio::test]
async fn every_destination_is_judged_and_every_reply() {
    let names = name_server().await;
    let address = names.address;
    let config = move |config: &mut GatewayConfig| {
        only_one_destination(config);
        config.dns_servers = vec![address];
    };
    let world = world_with(config, |_| {}).await;
    let client = Associated::new(&world).await;
    let (victim, refused) = origin("127.0.0.1:0").await;
    let (friend, allowed) = origin(ALLOWED).await;
    client.sends(datagram(allowed, b"good")).await;
    let (_, exit) = receive(&friend).await;
    client.sends(datagram(refused, b"bad")).await;
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), refused.port());
    client.sends(datagram(mapped, b"bad")).await;
    client
        .sends(datagram_to_name("127.0.0.1", refused.port(), b"bad"))
        .await;
    client
        .sends(datagram_to_name("here.example", refused.port(), b"bad"))
        .await;
    client
        .sends(datagram_to_name("localhost", refused.port(), b"bad"))
        .await;
    client.sends(datagram(SocketAddr::new(allowed.ip(), 25), b"mail")).await;
    eventually(PATIENCE, "the name has been asked for", || names.questions() > 0).await;
    client.sends(datagram(allowed, b"good again")).await;
    assert_eq!(receive(&friend).await.0, b"good again");

    victim.send_to(b"from a refused range", exit).await.unwrap();
    friend.send_to(b"reply", exit).await.unwrap();
    client.receives(datagram(allowed, b"reply")).await;
    assert_silent(&victim);
    assert_eq!(world.traffic("a"), (14, 5));
}

#[tokio::test]
async fn fragments_and_what_is_no_datagram_are_dropped() {
    let world = world().await;
    let client = Associated::new(&world).await;
    let (origin, to) = origin("127.0.0.1:0").await;
    let good = datagram(to, b"good");
    let fragment = |number| {
        let mut fragment = good.clone();
        fragment[2] = number;
        fragment
    };
    for bad in [
        fragment(1),
        fragment(0x81),
        good[..9].to_vec(),
        Vec::new(),
        vec![0; 3],
        [&[1], &good[1..]].concat(),
        datagram(SocketAddr::new(to.ip(), 0), b"to port 0"),
        datagram_to_name("a b", to.port(), b"no name"),
    ] {
        client.sends(bad).await;
    }
    client.sends(good).await;
    assert_eq!(receive(&origin).await.0, b"good");
    assert_silent(&origin);
}

/// Else the port would answer for anybody, to anybody.
#[tokio::test]
async fn strangers_are_neither_served_nor_answered() {
    let world = world().await;
    let client = Associated::new(&world).await;
    let (origin, to) = origin("127.0.0.1:0").await;
    let echo = echo("127.0.0.1:0").await;
    let (stranger, _) = self::origin("127.0.0.77:0").await;
    for datagram in [datagram(to, b"foreign"), b"hello".to_vec(), Vec::new(), vec![0xff; 60]] {
        stranger.send_to(&datagram, client.relay).await.unwrap();
    }
    client.echoes(echo, b"mine").await;
    stranger.send_to(&datagram(to, b"foreign"), client.relay).await.unwrap();
    client.echoes(echo, b"mine").await;
    assert_silent(&origin);
    assert_silent(&stranger);
}

#[tokio::test]
async fn an_exit_without_datagrams_says_so() {
    let upstream = |exit: &mut ExitSpec| {
        exit.way = ExitWay::HttpUpstream(Upstream {
            host: "127.0.0.1".to_owned(),
            port: 9,
            credentials: None,
        });
    };
    let world = world_with(|_| {}, upstream).await;
    let mut client = Script::start(&world).await;
    let nowhere = "0.0.0.0:0".parse().unwrap();
    client.says([GREETING, LOGIN, &request(3, nowhere)].concat()).await;
    client
        .hears_last([CHOSEN, WELCOME, &[5, 7, 0, 1, 0, 0, 0, 0, 0, 0]].concat())
        .await;
}

#[tokio::test]
async fn a_subscription_has_256_associations_and_no_more() {
    let world = world().await;
    let mut clients = Vec::new();
    for _ in 0..256 {
        clients.push(Associated::new(&world).await);
    }
    let nowhere = "0.0.0.0:0".parse().unwrap();
    let mut refused = Script::start(&world).await;
    refused.says([GREETING, LOGIN, &request(3, nowhere)].concat()).await;
    refused
        .hears_last([CHOSEN, WELCOME, &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]].concat())
        .await;
    let echo = echo("127.0.0.1:0").await;
    clients[0].echoes(echo, b"all the same").await;
    let shared = world.gateway.shared();
    let before = shared.connections();
    clients.truncate(255);
    eventually(PATIENCE, "one has ended", || shared.connections() < before).await;
    Associated::new(&world).await;
}

#[tokio::test]
async fn where_ports_take_no_datagrams_nothing_is_bound_and_clients_are_told() {
    let world = world_with(|config| config.udp = false, |_| {}).await;
    let mut client = Script::start(&world).await;
    let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    client.says([GREETING, LOGIN, &request(3, nowhere)].concat()).await;
    let mut refused = CONNECTED.to_vec();
    refused[1] = 7;
    client.hears([CHOSEN, WELCOME, &refused].concat()).await;
    assert!(
        UdpSocket::bind((world.address, PORT)).await.is_ok(),
        "the port's number is free for datagrams"
    );
}
