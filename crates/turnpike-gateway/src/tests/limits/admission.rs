//! Connections at a time, and the addresses that they come from.

use super::*;
use crate::tests::world::read_head;

const TOO_MANY: &str =
    "This subscription may have 2 connections at a time and has them: close some, or buy a plan with more.";
const TOO_FAR: &str = "This subscription may be used from 1 addresses at a time and is: \
                       five minutes after one of them has left, another may come.";

fn two_connections() -> Limits {
    Limits {
        max_connections: at_most(2),
        ..Limits::default()
    }
}

fn one_source() -> Limits {
    Limits {
        max_source_addresses: at_most(1),
        ..Limits::default()
    }
}

#[tokio::test]
async fn one_connection_too_many_is_refused_in_each_protocols_words_and_enters_when_another_has_left() {
    let (world, echo) = (world(two_connections()).await, Origin::echo().await);
    for way in WAYS {
        let first = way.opens_soon(&world, HOME, echo).await;
        let second = way.opens_soon(&world, ELSEWHERE, echo).await;
        assert_refused(
            &world,
            HOME,
            echo,
            "429 Too Many Requests",
            "connection_limit_reached",
            TOO_MANY,
        )
        .await;
        drop(first);
        let third = way.opens_soon(&world, HOME, echo).await;
        drop((second, third));
    }
}

#[tokio::test]
async fn a_refused_connection_dials_nobody() {
    let (world, echo, origin) = (
        world(two_connections()).await,
        Origin::echo().await,
        Origin::listen().await,
    );
    let _open = [
        Way::Http.opens(&world, HOME, echo).await,
        Way::Vless.opens(&world, HOME, echo).await,
    ];
    for way in WAYS {
        let _ = way.refusal(&world, HOME, origin.address()).await;
    }
    let visited = origin.into_std().accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(visited, Err(std::io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn wrong_credentials_are_told_as_such_and_take_no_place() {
    let limits = Limits {
        max_connections: at_most(2),
        ..one_source()
    };
    let (world, echo) = (world(limits).await, Origin::echo().await);
    for _ in 0..3 {
        let answer = Way::Socks5.refusal_of(&world, ELSEWHERE, echo, "wrong").await;
        assert_eq!(answer, [5, 2, 1, 1]);
    }
    let first = Way::Socks5.opens(&world, HOME, echo).await;
    let second = Way::Socks5.opens(&world, HOME, echo).await;
    let answer = Way::Socks5.refusal_of(&world, ELSEWHERE, echo, "wrong").await;
    assert_eq!(answer, [5, 2, 1, 1]);
    drop((first, second));
}

#[tokio::test]
async fn a_kept_connection_is_one_whatever_it_asks_for() {
    let (world, origin) = (world(two_connections()).await, Origin::listen().await);
    let to = origin.address();
    tokio::spawn(async move {
        let (mut server, _) = origin.accept().await;
        for _ in 0..5 {
            read_head(&mut server).await;
            server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
        // It stays until the client has left.
        let _ = server.read(&mut [0]).await;
    });
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("user:{PASSWORD}"));
    let request =
        format!("GET http://{to}/ HTTP/1.1\r\nHost: {to}\r\nProxy-Authorization: Basic {credentials}\r\n\r\n");
    let mut kept = world.connect(PORT).await.unwrap();
    for _ in 0..5 {
        kept.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(read_head(&mut kept).await, "HTTP/1.1 204 No Content");
    }
    let echo = Origin::echo().await;
    let _second = Way::Http.opens(&world, HOME, echo).await;
    assert!(
        Way::Http
            .refusal(&world, HOME, echo)
            .await
            .starts_with(b"HTTP/1.1 429 ")
    );
    drop(kept);
    let _third = Way::Http.opens_soon(&world, HOME, echo).await;
}

#[tokio::test]
async fn an_association_is_its_connection_and_datagrams_without_one_are_none() {
    let (world, echo) = (world(two_connections()).await, Origin::echo().await);
    let login = [
        &b"\x05\x01\x02\x01\x04user\x16"[..],
        PASSWORD.as_bytes(),
        &[5, 3, 0, 1, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let associates = async || {
        let mut client = world.connect(PORT).await.unwrap();
        client.write_all(&login).await.unwrap();
        let mut answer = [0; 14];
        within(PATIENCE, client.read_exact(&mut answer)).await.unwrap();
        (client, answer[5])
    };
    let (association, code) = associates().await;
    assert_eq!(code, 0);
    let _tunnel = Way::Http.opens(&world, HOME, echo).await;
    assert_eq!(associates().await.1, 2);
    let (origin, to) = receiver().await;
    for _ in 0..5 {
        Sender::at(&world, HOME).await.send(to, b"hello").await;
        within(PATIENCE, origin.recv(&mut [0; 8])).await.unwrap();
    }
    drop(association);
    let _other = Way::Http.opens_soon(&world, HOME, echo).await;
}

#[tokio::test]
async fn another_limit_is_in_force_at_once_and_sends_nobody_away() {
    let (world, echo) = (world(Limits::default()).await, Origin::echo().await);
    let mut open = Vec::new();
    for way in WAYS {
        open.push(way.opens(&world, HOME, echo).await);
    }
    world.apply([Change::Route(limited(two_connections()))]).await;
    assert!(
        Way::Http
            .refusal(&world, HOME, echo)
            .await
            .starts_with(b"HTTP/1.1 429 ")
    );
    for entered in &mut open[..4] {
        entered.stream.write_all(b"x").await.unwrap();
        assert_eq!(entered.answer().await, b"x");
    }
    world.apply([Change::Route(limited(Limits::default()))]).await;
    Way::Http.opens(&world, HOME, echo).await;
}

#[tokio::test]
async fn a_second_address_is_refused_in_each_protocols_words() {
    let (world, echo) = (world(one_source()).await, Origin::echo().await);
    let first = Way::Http.opens(&world, HOME, echo).await;
    for way in WAYS {
        way.opens(&world, HOME, echo).await;
    }
    assert_refused(&world, ELSEWHERE, echo, "403 Forbidden", "http_request_denied", TOO_FAR).await;
    drop(first);
    // It has just left; its place is kept for it.
    assert_refused(&world, ELSEWHERE, echo, "403 Forbidden", "http_request_denied", TOO_FAR).await;
}

#[tokio::test]
async fn datagrams_of_a_second_address_are_dropped() {
    let world = world(one_source()).await;
    let (origin, to) = receiver().await;
    let (home, elsewhere) = (Sender::at(&world, HOME).await, Sender::at(&world, ELSEWHERE).await);
    home.send(to, b"first").await;
    let mut heard = [0; 16];
    let heard_first = within(PATIENCE, origin.recv(&mut heard)).await.unwrap();
    assert_eq!(&heard[..heard_first], b"first");
    elsewhere.send(to, b"other").await;
    home.send(to, b"last").await;
    let count = within(PATIENCE, origin.recv(&mut heard)).await.unwrap();
    assert_eq!(&heard[..count], b"last");
    let echo = Origin::echo().await;
    assert!(
        Way::Http
            .refusal(&world, ELSEWHERE, echo)
            .await
            .starts_with(b"HTTP/1.1 403 ")
    );
}

/// A client of 2022 may move to another address; that one counts from then on.
#[tokio::test]
async fn a_session_that_moves_is_counted_where_it_is() {
    let world = world(one_source()).await;
    let (origin, to) = receiver().await;
    let client = Client::new(Method::Blake3Aes128Gcm, PASSWORD);
    let mut session = shadowsocks::ClientSession {
        session: rand::random(),
        number: 0,
        time: u64::try_from(now() / 1_000).unwrap(),
    };
    let mut packet = |data: &[u8]| {
        session.number += 1;
        client.packet_2022(&session, &shadowsocks::address(to), data)
    };
    let gateway = SocketAddr::new(world.address, PORT);
    let sockets = [
        UdpSocket::bind(SocketAddr::new(HOME, 0)).await.unwrap(),
        UdpSocket::bind(SocketAddr::new(ELSEWHERE, 0)).await.unwrap(),
    ];
    let mut heard = [0; 16];
    sockets[0].send_to(&packet(b"home"), gateway).await.unwrap();
    let count = within(PATIENCE, origin.recv(&mut heard)).await.unwrap();
    assert_eq!(&heard[..count], b"home");
    sockets[1].send_to(&packet(b"elsewhere"), gateway).await.unwrap();
    sockets[0].send_to(&packet(b"again"), gateway).await.unwrap();
    let count = within(PATIENCE, origin.recv(&mut heard)).await.unwrap();
    assert_eq!(&heard[..count], b"again");

    let two = Limits {
        max_source_addresses: at_most(2),
        ..Limits::default()
    };
    world.apply([Change::Route(limited(two))]).await;
    sockets[1].send_to(&packet(b"moved"), gateway).await.unwrap();
    let count = within(PATIENCE, origin.recv(&mut heard)).await.unwrap();
    assert_eq!(&heard[..count], b"moved");
}
