//! SOCKS5 CONNECT.

use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;
use tokio::net::{TcpListener, TcpSocket};

use super::*;
use crate::tests::world::eventually;

fn handshake(to: SocketAddr) -> Vec<u8> {
    [GREETING, LOGIN, &request(1, to)].concat()
}

#[tokio::test]
async fn a_tunnel_opens_step_by_step_and_only_its_payload_is_counted() {
    let world = world().await;
    let mut client = Script::start(&world).await;
    client.says(GREETING).await;
    client.hears(CHOSEN).await;
    client.says(LOGIN).await;
    client.hears(WELCOME).await;
    client.says(request(1, Origin::echo().await)).await;
    client.hears(CONNECTED).await;
    client.says(b"question").await;
    client.hears(b"question").await;
    client.0.shutdown().await.unwrap();
    client.hears_last([]).await;
    eventually(PATIENCE, "the tunnel ends", || world.gateway.tunnels_open() == 0).await;
    assert_eq!(world.traffic("a"), (8, 8));
}

#[tokio::test]
async fn everything_may_come_in_one_segment() {
    let world = world().await;
    let mut client = Script::start(&world).await;
    let echo = Origin::echo().await;
    client.says([&handshake(echo)[..], b"and payload"].concat()).await;
    client
        .hears([CHOSEN, WELCOME, CONNECTED, b"and payload"].concat())
        .await;
}

#[tokio::test]
async fn a_handshake_may_be_cut_at_any_byte() {
    let world = world().await;
    let echo = Origin::echo().await;
    let whole = [&handshake(echo)[..], b"x"].concat();
    let logged_in = GREETING.len() + LOGIN.len();
    for cut in 1..whole.len() {
        let (first, second) = whole.split_at(cut);
        // What is due is answered before more is waited for.
        let due = match cut {
            cut if cut < GREETING.len() => &[][..],
            cut if cut < logged_in => CHOSEN,
            _ => &[CHOSEN, WELCOME].concat(),
        };
        let mut client = Script::start(&world).await;
        client.says(first).await;
        client.hears(due).await;
        client.says(second).await;
        let all = [CHOSEN, WELCOME, CONNECTED, b"x"].concat();
        client.hears(&all[due.len()..]).await;
    }
}

#[tokio::test]
async fn names_are_resolved_here_and_addresses_of_both_families_reached() {
    let names = name_server().await;
    let address = names.address;
    let dns = move |config: &mut GatewayConfig| {
        config.dns_servers = vec![address];
        config.allow_destinations.push("::1/128".parse().unwrap());
    };
    let echo = Origin::echo().await;
    let v4 = world_with(dns, |_| {}).await;
    let mut client = Script::start(&v4).await;
    client
        .says([GREETING, LOGIN, &request_name(1, "Here.Example.", echo.port()), b"x"].concat())
        .await;
    client.hears([CHOSEN, WELCOME, CONNECTED, b"x"].concat()).await;

    let origin = TcpListener::bind("[::1]:0").await.unwrap();
    let to = origin.local_addr().unwrap();
    let v6 = world_with(dns, leave_by_ipv6).await;
    for request in [request(1, to), request_name(1, "loop.example", to.port())] {
        let mut client = Script::start(&v6).await;
        client.says([GREETING, LOGIN, &request].concat()).await;
        let (mut server, _) = within(PATIENCE, origin.accept()).await.unwrap();
        client.hears([CHOSEN, WELCOME, CONNECTED].concat()).await;
        server.write_all(b"hello").await.unwrap();
        client.hears(b"hello").await;
    }
}

#[tokio::test]
async fn every_failure_has_its_reply() {
    let names = name_server().await;
    let world = world_with(|config| config.dns_servers = vec![names.address], |_| {}).await;
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    for (request, reply) in [
        (request(1, closed), 5),
        (request(1, "10.1.2.3:80".parse().unwrap()), 2),
        (request(1, "[::ffff:10.1.2.3]:80".parse().unwrap()), 2),
        (request(1, "[2606:4700::1111]:80".parse().unwrap()), 3),
        (request_name(1, "private.example", 80), 2),
        (request_name(1, "nowhere.example", 80), 4),
        (request_name(1, &"a".repeat(255), 80), 8),
        (request_name(1, &format!("{}aa", "a.".repeat(126)), 80), 8),
        (request_name(1, "a b", 80), 8),
        (request(1, "127.0.0.1:0".parse().unwrap()), 8),
        (vec![5, 1, 0, 2, 0, 0], 8),
        (request(2, closed), 7),
        (request_name(0xf0, "nowhere.example", 0), 7),
        (vec![4, 1, 0, 80], 1),
    ] {
        let mut client = Script::start(&world).await;
        client.says([GREETING, LOGIN, &request].concat()).await;
        let last = [CHOSEN, WELCOME, &[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        client.hears_last(last).await;
    }
}

#[tokio::test]
async fn an_exit_that_is_not_there_is_a_general_failure() {
    let way_out = |exit: &mut ExitSpec| exit.way = ExitWay::Pool(vec![[192, 0, 2, 77].into()]);
    let world = world_with(|_| {}, way_out).await;
    let mut client = Script::start(&world).await;
    client.says(handshake(Origin::echo().await)).await;
    client
        .hears_last([CHOSEN, WELCOME, &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]].concat())
        .await;
}

/// sing-box answered `05 FF` and went on (CVE-2023-43644).
#[tokio::test]
async fn who_does_not_offer_a_password_gets_nowhere() {
    let world = world().await;
    for greeting in [&[5, 1, 0][..], &[5, 2, 0, 1], &[5, 3, 0, 1, 3]] {
        let origin = Origin::listen().await;
        let request = request(1, origin.address());
        for rest in [&request[..], &[LOGIN, &request].concat(), b""] {
            let mut client = Script::start(&world).await;
            client.says([greeting, rest].concat()).await;
            client.hears_last([5, 0xff]).await;
        }
        let mut client = Script::start(&world).await;
        client.says(greeting).await;
        client.hears([5, 0xff]).await;
        client.says([LOGIN, &request].concat()).await;
        client.hears_last([]).await;
        assert_unvisited(origin);
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_to_be_wrong_and_what_follows_is_not_served() {
    let world = world().await;
    let origin = Origin::listen().await;
    let long = [&[1, 255][..], &[b'u'; 255], &[255], &[b'p'; 255]].concat();
    for login in [
        &b"\x01\x04user\x06Secret"[..],
        b"\x01\x04User\x06secret",
        b"\x01\x04user\x05secre",
        b"\x01\x00\x00",
        &long,
        // No login at all.
        &[5, 1, 0, 1],
    ] {
        let mut client = Script::start(&world).await;
        client
            .says([&[5, 2, 0, 2], login, &request(1, origin.address())].concat())
            .await;
        client.hears_last([5, 2, 1, 1]).await;
    }
    assert_unvisited(origin);
}

#[tokio::test]
async fn stealth_answers_nothing_but_to_the_customer() {
    let world = world_with(
        |config| {
            config.stealth = true;
            config.first_byte_timeout = Duration::from_millis(300);
        },
        |_| {},
    )
    .await;
    let echo = Origin::echo().await;
    let mut client = Script::start(&world).await;
    client.says([5, 1, 0]).await;
    client.hears_last([]).await;
    let mut client = Script::start(&world).await;
    client.says([GREETING, b"\x01\x01a\x01b"].concat()).await;
    client.hears_last([]).await;
    let mut client = Script::start(&world).await;
    client.says([&handshake(echo)[..], b"x"].concat()).await;
    client.hears([CHOSEN, WELCOME, CONNECTED, b"x"].concat()).await;
}

#[tokio::test]
async fn half_a_handshake_ends_at_its_deadline() {
    let world = world_with(|config| config.handshake_timeout = Duration::from_millis(200), |_| {}).await;
    for part in [GREETING, &[GREETING, &LOGIN[..7]].concat()] {
        let mut client = Script::start(&world).await;
        client.says(part).await;
        client.hears_last(CHOSEN).await;
    }
}

/// The parts of a handshake, some of them forged.
fn part(to: SocketAddr) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(GREETING.to_vec()),
        Just(vec![5, 1, 0]),
        Just(vec![5, 2, 2, 0]),
        Just(b"\x01\x04user\x06secreT".to_vec()),
        Just(b"\x01\x04user\x00".to_vec()),
        Just(WELCOME.to_vec()),
        Just(request(1, to)),
        proptest::collection::vec(any::<u8>(), 0..8),
    ]
}

#[test]
fn without_the_password_no_order_of_messages_leads_to_a_dial() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let timeouts = |config: &mut GatewayConfig| {
        config.first_byte_timeout = Duration::from_millis(1);
        config.handshake_timeout = Duration::from_millis(50);
    };
    let (world, origin) = runtime.block_on(async { (world_with(timeouts, |_| {}).await, Origin::listen().await) });
    let parts = proptest::collection::vec(part(origin.address()), 0..6);
    // Each time from another address, since guesses are counted by it.
    proptest!(ProptestConfig::with_cases(200), |(parts in parts, source in 0x7f10_0000_u32..0x7f20_0000)| {
        runtime.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(Ipv4Addr::from_bits(source).into(), 0)).unwrap();
            let mut client = Script(socket.connect((world.address, PORT).into()).await.unwrap());
            client.says([GREETING, &parts.concat()].concat()).await;
            let mut heard = Vec::new();
            within(PATIENCE, client.0.read_to_end(&mut heard)).await.unwrap();
            assert!(!heard.windows(WELCOME.len()).any(|window| window == WELCOME), "{heard:?}");
        });
    });
    assert_unvisited(origin);
}
