//! What arrives, where, and from whom.

use super::*;
use crate::ExitId;
use crate::tests::world::eventually;

#[tokio::test]
async fn datagrams_go_to_addresses_and_names_and_replies_say_who_sent_them() {
    let names = name_server().await;
    let world = world_with(|config| config.dns_servers = vec![names.address], |_| {}).await;
    let client = Associated::new(&world).await;
    let echo = echo("127.0.0.1:0").await;
    client.echoes(echo, b"by address").await;
    client.echoes(echo, b"").await;
    let literal = datagram_to_name("127.0.0.1", echo.port(), b"by a literal");
    client.sends(literal).await;
    client.receives(datagram(echo, b"by a literal")).await;
    for number in 0..5 {
        let payload = [number; 10];
        client
            .sends(datagram_to_name("here.example", echo.port(), &payload))
            .await;
        client.receives(datagram(echo, &payload)).await;
    }
    let bytes = 10 + 12 + 5 * 10;
    assert_eq!(world.traffic("a"), (bytes, bytes), "payload only, once each way");
}

#[tokio::test]
async fn ipv6_works_on_both_sides() {
    let names = name_server().await;
    let address = names.address;
    let free = std::net::TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap();
    let world = World::start_with(move |config| {
        config.dns_servers = vec![address];
        config.allow_destinations.push("::1/128".parse().unwrap());
        config.bind.push(free.ip());
    })
    .await;
    let mut way_out = exit("first", crate::tests::world::FIRST_EXIT);
    leave_by_ipv6(&mut way_out);
    world
        .apply([Change::Exit(way_out), Change::Route(route("a", free.port()))])
        .await;
    let echo = echo("[::1]:0").await;
    for gateway in [free, SocketAddr::new(world.address, free.port())] {
        let tcp = Script(TcpStream::connect(gateway).await.unwrap());
        let client = Associated::of(tcp).await;
        client.echoes(echo, b"hello").await;
        client
            .sends(datagram_to_name("loop.example", echo.port(), b"by name"))
            .await;
        client.receives(datagram(echo, b"by name")).await;
        // The exit has no IPv4: nothing happens, and nothing breaks.
        client
            .sends(datagram(SocketAddr::from(([127, 0, 0, 1], 9)), b"lost"))
            .await;
        client.echoes(echo, b"still there").await;
    }
}

#[tokio::test]
async fn a_name_is_resolved_once_and_what_waits_for_it_keeps_its_order() {
    let names = NameServer::start(|name, _| match name {
        "late.example" => Reply::Late(Duration::from_millis(100), vec![[127, 0, 0, 1].into()]),
        _ => Reply::Silence,
    })
    .await;
    let world = world_with(|config| config.dns_servers = vec![names.address], |_| {}).await;
    let client = Associated::new(&world).await;
    let (origin, to) = origin("127.0.0.1:0").await;
    let echo = echo("127.0.0.1:0").await;
    client
        .sends(datagram_to_name("silent.example", to.port(), b"never"))
        .await;
    for number in 0..8 {
        client
            .sends(datagram_to_name("late.example", to.port(), &[number]))
            .await;
    }
    // Nobody else waits.
    client.echoes(echo, b"meanwhile").await;
    assert_silent(&origin);
    for number in 0..8 {
        assert_eq!(receive(&origin).await.0, [number]);
    }
    let asked = names.questions();
    client
        .sends(datagram_to_name("late.example", to.port(), b"known"))
        .await;
    assert_eq!(receive(&origin).await.0, b"known");
    assert_eq!(names.questions(), asked);
}

/// RFC 4787: games and calls depend on it.
#[tokio::test]
async fn one_port_of_the_exit_serves_all_destinations_and_anybody_may_answer() {
    let world = world().await;
    let client = Associated::new(&world).await;
    let (first, first_address) = origin("127.0.0.1:0").await;
    let (second, second_address) = origin("127.0.0.1:0").await;
    client.sends(datagram(first_address, b"1")).await;
    client.sends(datagram(second_address, b"2")).await;
    let (_, seen_by_first) = receive(&first).await;
    let (_, seen_by_second) = receive(&second).await;
    assert_eq!(seen_by_first, seen_by_second);
    assert_eq!(seen_by_first.ip().to_string(), crate::tests::world::FIRST_EXIT);
    let (stranger, stranger_address) = origin("127.0.0.1:0").await;
    stranger.send_to(b"hello", seen_by_first).await.unwrap();
    client.receives(datagram(stranger_address, b"hello")).await;
}

#[tokio::test]
async fn associations_from_one_address_are_told_apart() {
    let world = world().await;
    let (origin, to) = origin("127.0.0.1:0").await;
    let one = Associated::new(&world).await;
    let other = Associated::new(&world).await;
    one.sends(datagram(to, b"one")).await;
    let (_, from_one) = receive(&origin).await;
    other.sends(datagram(to, b"other")).await;
    let (_, from_other) = receive(&origin).await;
    assert_ne!(from_one, from_other);
    for (to_whom, client) in [(from_one, &one), (from_other, &other)] {
        origin.send_to(to_whom.to_string().as_bytes(), to_whom).await.unwrap();
        client.receives(datagram(to, to_whom.to_string().as_bytes())).await;
    }
    // A third port of the same address has no association left.
    let third = UdpSocket::bind((one.udp.local_addr().unwrap().ip(), 0)).await.unwrap();
    third.send_to(&datagram(to, b"third"), one.relay).await.unwrap();
    // Each ends with its own connection.
    drop(one.tcp);
    eventually(PATIENCE, "one ends", || world.gateway.shared().connections() == 2).await;
    other.sends(datagram(to, b"after")).await;
    assert_eq!(receive(&origin).await, (b"after".to_vec(), from_other));
}

#[tokio::test]
async fn a_declared_port_decides_whose_datagram_it_is() {
    let world = world().await;
    let mut declared = Script::start(&world).await;
    let udp = UdpSocket::bind((declared.0.local_addr().unwrap().ip(), 0))
        .await
        .unwrap();
    let declaration = request(3, udp.local_addr().unwrap());
    declared.says([GREETING, LOGIN, &declaration].concat()).await;
    let relay = declared.0.peer_addr().unwrap();
    declared.hears([CHOSEN, WELCOME, &request(0, relay)].concat()).await;
    let newer = Associated::new(&world).await;
    let (origin, to) = origin("127.0.0.1:0").await;
    udp.send_to(&datagram(to, b"declared"), relay).await.unwrap();
    let (_, from_declared) = receive(&origin).await;
    newer.sends(datagram(to, b"newer")).await;
    let (_, from_newer) = receive(&origin).await;
    assert_ne!(from_declared, from_newer);
    // Each ends with its own connection.
    drop(declared);
    eventually(PATIENCE, "one association ends", || {
        world.gateway.shared().connections() == 2
    })
    .await;
    origin.send_to(b"reply", from_newer).await.unwrap();
    newer.receives(datagram(to, b"reply")).await;
}

#[tokio::test]
async fn the_longest_datagrams_pass_and_longer_ones_do_no_harm() {
    let world = world().await;
    let client = Associated::new(&world).await;
    let echo = echo("127.0.0.1:0").await;
    // 65,507 bytes with the header: no IPv4 datagram is longer.
    let longest = vec![0xa5; 65_497];
    client.echoes(echo, &longest).await;
    let (origin, to) = origin("127.0.0.1:0").await;
    client.sends(datagram(to, b"x")).await;
    let (_, exit) = receive(&origin).await;
    origin.send_to(&vec![1; 65_507], exit).await.unwrap();
    origin.send_to(&vec![2; 65_497], exit).await.unwrap();
    client.receives(datagram(to, &vec![2; 65_497])).await;
    // What could not be handed over is not counted.
    assert_eq!(world.traffic("a"), (65_497 + 1, 2 * 65_497));
}

#[tokio::test]
async fn replies_leave_from_the_address_that_the_client_sent_to() {
    let free = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap();
    let world = World::start_with(|config| config.bind = vec![free.ip()]).await;
    world.apply([Change::Route(route("a", free.port()))]).await;
    let echo = echo("127.0.0.1:0").await;
    for gateway in ["127.0.0.1", "127.1.2.3", "127.3.2.1"] {
        let gateway = SocketAddr::new(gateway.parse().unwrap(), free.port());
        let tcp = Script(TcpStream::connect(gateway).await.unwrap());
        Associated::of(tcp).await.echoes(echo, b"hello").await;
    }
}

#[tokio::test]
async fn a_burst_arrives_whole() {
    let world = world().await;
    let client = Associated::new(&world).await;
    let (origin, to) = origin("127.0.0.1:0").await;
    for number in 0..100_u8 {
        client.sends(datagram(to, &[number; 100])).await;
    }
    let mut exit = to;
    for number in 0..100_u8 {
        let (payload, from) = receive(&origin).await;
        assert_eq!(payload, [number; 100]);
        exit = from;
    }
    for number in 0..100_u8 {
        origin.send_to(&[number; 50], exit).await.unwrap();
    }
    for number in 0..100_u8 {
        client.receives(datagram(to, &[number; 50])).await;
    }
    assert_eq!(world.traffic("a"), (10_000, 5_000));
}

#[tokio::test]
async fn after_a_rotation_datagrams_leave_from_the_new_address() {
    let both = |exit: &mut ExitSpec| {
        exit.way = ExitWay::Pool(vec![[127, 0, 0, 11].into(), [127, 0, 0, 13].into()]);
        exit.present_address = Some([127, 0, 0, 11].into());
    };
    let world = world_with(|_| {}, both).await;
    let client = Associated::new(&world).await;
    let (origin, to) = origin("127.0.0.1:0").await;
    client.sends(datagram(to, b"before")).await;
    let (_, before) = receive(&origin).await;
    let rotated = world.gateway.rotate(&ExitId("first".into())).await.unwrap();
    eventually(PATIENCE, "the old socket is closed", || {
        world.gateway.shared().connections() == 1
    })
    .await;
    client.sends(datagram(to, b"after")).await;
    let (_, after) = receive(&origin).await;
    assert_ne!(before.ip(), after.ip());
    assert_eq!(Some(after.ip()), rotated.address);
    origin.send_to(b"welcome", after).await.unwrap();
    client.receives(datagram(to, b"welcome")).await;
}
