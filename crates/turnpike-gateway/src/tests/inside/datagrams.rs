//! Datagrams inside a stream: XUDP and mux.cool, packetaddr.

use super::*;
use crate::resolve::name_server::{NameServer, Reply};
use crate::{ExitWay, Upstream};

/// A stream of datagrams that each have an address: VLESS command 2 to a name that says so.
fn packetaddr_head() -> Vec<u8> {
    super::super::vless::head(UDP, &named("sp.packet-addr.v2fly.arpa", 0))
}

/// `length, type, address, port, data`.
fn packet(to: SocketAddr, data: &[u8]) -> Vec<u8> {
    let address = match to {
        SocketAddr::V4(v4) => [&[1][..], &v4.ip().octets()].concat(),
        SocketAddr::V6(v6) => [&[2][..], &v6.ip().octets()].concat(),
    };
    let content = [&address[..], &to.port().to_be_bytes(), data].concat();
    super::super::vless::datagram(&content)
}

#[tokio::test]
async fn one_socket_talks_to_many_and_hears_everybody() {
    let (world, (first, to_first), (second, to_second)) =
        (world().await, socket("127.0.0.1:0").await, socket("127.0.0.1:0").await);
    let (stranger, from_stranger) = socket("127.0.0.1:0").await;
    let mut client = Client::connect(&world).await;
    client.says(Frame::new(0, UDP, &destination(to_first), b"one")).await;
    let (got, exit) = received(&first).await;
    assert_eq!(
        (got, exit.ip().to_string()),
        (b"one".to_vec(), crate::tests::world::FIRST_EXIT.to_owned())
    );
    // With an address, without, and by name.
    client.says(Frame::keep_to(0, &destination(to_second), b"two")).await;
    assert_eq!(received(&second).await, (b"two".to_vec(), exit));
    client.says(Frame::keep(0, b"three")).await;
    assert_eq!(received(&first).await, (b"three".to_vec(), exit));
    client
        .says(Frame::keep_to(0, &named("here.example", to_second.port()), b"four"))
        .await;
    assert_eq!(received(&second).await, (b"four".to_vec(), exit));
    // A datagram's own address is for that datagram only.
    client.says(Frame::keep(0, b"five")).await;
    assert_eq!(received(&first).await, (b"five".to_vec(), exit));

    for (socket, from) in [(&stranger, from_stranger), (&second, to_second), (&first, to_first)] {
        socket.send_to(b"answer", exit).await.unwrap();
        client.hears(Frame::keep_to(0, &destination(from), b"answer")).await;
    }
    assert_eq!(world.traffic("a"), (3 + 3 + 5 + 4 + 4, 3 * 6));
}

#[tokio::test]
async fn sessions_of_one_connection_have_sockets_of_their_own() {
    let (world, (origin, to)) = (world().await, socket("127.0.0.1:0").await);
    let mut client = Client::connect(&world).await;
    client.says(Frame::new(1, UDP, &destination(to), b"one")).await;
    let (_, first) = received(&origin).await;
    client.says(Frame::new(2, UDP, &destination(to), b"two")).await;
    let (_, second) = received(&origin).await;
    assert_ne!(first, second);
    origin.send_to(b"to the second", second).await.unwrap();
    client
        .hears(Frame::keep_to(2, &destination(to), b"to the second"))
        .await;
    client.says(Frame::end(1, 0)).await;
    client.is_served().await;
    origin.send_to(b"to nobody", first).await.unwrap();
    origin.send_to(b"to the second", second).await.unwrap();
    client
        .hears(Frame::keep_to(2, &destination(to), b"to the second"))
        .await;
}

#[tokio::test]
async fn only_what_every_client_can_take_is_passed_on() {
    let (world, (origin, to)) = (world().await, socket("127.0.0.1:0").await);
    let mut client = Client::connect(&world).await;
    let longest = testbed::origin::pattern(65_507);
    client.says(Frame::new(0, UDP, &destination(to), &longest)).await;
    let (got, exit) = received(&origin).await;
    assert!(got == longest);
    // Some take a longer one for the end of everything, and one without data for none.
    for length in [8_193, 65_507, 0, 8_192, 1] {
        origin.send_to(&longest[..length], exit).await.unwrap();
    }
    for length in [8_192, 1] {
        client
            .hears(Frame::keep_to(0, &destination(to), &longest[..length]))
            .await;
    }
    client.says(Frame::keep(0, b"")).await;
    client
        .says(Frame::keep_to(
            0,
            &destination("127.0.0.1:0".parse().unwrap()),
            b"to no port",
        ))
        .await;
    client
        .says(Frame::of(0, KEEP, vec![UDP, 0, 80, 9], Some(b"of no kind")))
        .await;
    client.says(Frame::keep(0, b"last")).await;
    assert_eq!(received(&origin).await.0, b"last");
    assert_eq!(world.traffic("a"), (65_507 + 4, 8_192 + 1));
}

#[tokio::test]
async fn every_destination_is_judged_and_every_reply() {
    let names = NameServer::start(|name, _| match name {
        "here.example" => Reply::Addresses(vec![[127, 0, 0, 1].into()], 60),
        _ => Reply::NoSuchName,
    })
    .await;
    let asked = names.address;
    let world = World::start_with(|config| {
        config.allow_destinations = vec!["127.0.0.21/32".parse().unwrap()];
        config.dns_servers = vec![asked];
    })
    .await;
    world.apply([Change::Route(route("a", PORT))]).await;
    let (friend, allowed) = socket("127.0.0.21:0").await;
    let (victim, refused) = socket("127.0.0.1:0").await;
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), refused.port());
    let mail = SocketAddr::new(allowed.ip(), 25);

    let mut client = Client::connect(&world).await;
    client.says(Frame::new(0, UDP, &destination(allowed), b"good")).await;
    let (_, exit) = received(&friend).await;
    for to in [
        destination(refused),
        destination(mapped),
        destination(mail),
        named("127.0.0.1", refused.port()),
        named("localhost", refused.port()),
        named("here.example", refused.port()),
        named("sp.v2.udp-over-tcp.arpa", 0),
    ] {
        client.says(Frame::keep_to(0, &to, b"bad")).await;
        client.says(Frame::new(1, UDP, &to, b"bad")).await;
    }
    eventually(PATIENCE, "the name has been asked for", || names.questions() > 0).await;
    client.says(Frame::keep(0, b"good again")).await;
    assert_eq!(received(&friend).await.0, b"good again");
    victim.send_to(b"from a refused range", exit).await.unwrap();
    friend.send_to(b"reply", exit).await.unwrap();
    client.hears(Frame::keep_to(0, &destination(allowed), b"reply")).await;
    assert_silent(&victim);
    assert_eq!(world.traffic("a"), (14, 5));

    let mut stream = opened(&world, &packetaddr_head()).await;
    hears(&mut stream, RESPONSE).await;
    for to in [refused, mapped, mail] {
        stream.write_all(&packet(to, b"bad")).await.unwrap();
    }
    stream.write_all(&packet(allowed, b"good")).await.unwrap();
    let (_, exit) = received(&friend).await;
    victim.send_to(b"from a refused range", exit).await.unwrap();
    friend.send_to(b"reply", exit).await.unwrap();
    hears(&mut stream, &packet(allowed, b"reply")).await;
    assert_silent(&victim);
}

#[tokio::test]
async fn an_exit_without_datagrams_says_so() {
    let world = world().await;
    let mut without = crate::tests::world::exit("first", crate::tests::world::FIRST_EXIT);
    let (host, port) = ("127.0.0.1".to_owned(), 9);
    without.way = ExitWay::HttpUpstream(Upstream {
        host,
        port,
        credentials: None,
    });
    world.apply([Change::Exit(without)]).await;
    let to = destination("127.0.0.1:53".parse().unwrap());
    let mut client = Client::connect(&world).await;
    client.says(Frame::new(3, UDP, &to, b"hello")).await;
    client.hears(Frame::end(3, ERROR)).await;
    for target in ["sp.packet-addr.v2fly.arpa", "127.0.0.1"] {
        let mut stream = opened(&world, &super::super::vless::head(UDP, &named(target, 53))).await;
        hears_the_end(&mut stream).await;
    }
}

#[tokio::test]
async fn a_subscription_has_so_many_associations_in_all() {
    let (world, (origin, to)) = (world().await, socket("127.0.0.1:0").await);
    let mut clients = Vec::new();
    for number in 0..256 {
        if number % 64 == 0 {
            clients.push(Client::connect(&world).await);
        }
        let client = clients.last_mut().unwrap();
        client.says(Frame::new(number, UDP, &destination(to), b"hello")).await;
        received(&origin).await;
    }
    let mut client = Client::connect(&world).await;
    client.says(Frame::new(1, UDP, &destination(to), b"too many")).await;
    client.hears(Frame::end(1, ERROR)).await;
    clients[0].says(Frame::end(1, 0)).await;
    clients[0].is_served().await;
    client.says(Frame::new(1, UDP, &destination(to), b"not too many")).await;
    assert_eq!(received(&origin).await.0, b"not too many");
}

#[tokio::test]
async fn packetaddr_carries_datagrams_to_many_with_true_sources() {
    let (world, (first, to_first), (second, to_second)) =
        (world().await, socket("127.0.0.1:0").await, socket("127.0.0.1:0").await);
    let longest = testbed::origin::pattern(65_507);
    let bytes = [
        packetaddr_head(),
        packet(to_first, b"one"),
        // To no address, and to none that there is: dropped alone.
        super::super::vless::datagram(&[3, 1, 2, 3]),
        super::super::vless::datagram(&[]),
        packet(SocketAddr::new(to_first.ip(), 0), b"to no port"),
        packet(to_first, b""),
        packet(to_second, &longest),
    ]
    .concat();
    for piece in [1, 11, 10_000, bytes.len()] {
        let mut stream = opened(&world, b"").await;
        for part in bytes.chunks(piece) {
            stream.write_all(part).await.unwrap();
        }
        hears(&mut stream, RESPONSE).await;
        let (got, exit) = received(&first).await;
        assert_eq!(got, b"one");
        let (got, from) = received(&second).await;
        assert!(got == longest && from == exit);
        second.send_to(&longest, exit).await.unwrap();
        hears(&mut stream, &packet(to_second, &longest)).await;
        first.send_to(b"answer", exit).await.unwrap();
        hears(&mut stream, &packet(to_first, b"answer")).await;
    }
}
