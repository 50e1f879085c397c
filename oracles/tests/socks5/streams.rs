//! CONNECT, and what is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fast_socks5::client::{Config, Socks5Stream};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{AuthenticationMethod, Socks5Command, SocksError};
use oracles::{LONGEST_NAME, PASSWORD, USERNAME, World, name_of_length, within};
use proptest::prelude::*;
use testbed::origin::{Origin, pattern};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::net::{TcpListener, TcpStream};

use crate::{asked, greeted, named};

/// What refusals are called in RFC 1928 §6.
const NOT_ALLOWED: u8 = 2;
const HOST_UNREACHABLE: u8 = 4;
const CONNECTION_REFUSED: u8 = 5;
const COMMAND_NOT_SUPPORTED: u8 = 7;
const ADDRESS_TYPE_NOT_SUPPORTED: u8 = 8;

/// Sends this and finishes; what has been heard by the end.
async fn heard_of(tunnel: Socks5Stream<TcpStream>, said: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = split(tunnel);
    let sending = async {
        write.write_all(said).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    let receiving = async { read.read_to_end(&mut heard).await.unwrap() };
    within("the tunnel ends", async { tokio::join!(sending, receiving) }).await;
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn their_client_connects_by_both_families_and_by_names() {
    let world = World::start().await;
    let mut ends = Vec::new();
    let v6 = world.has_v6().then_some(IpAddr::from(Ipv6Addr::LOCALHOST));
    for at in std::iter::once(Ipv4Addr::LOCALHOST.into()).chain(v6) {
        let origin = Origin::echo_at(at);
        ends.push((TargetAddr::Ip(origin.address()), origin));
    }
    for name in [9, 64, LONGEST_NAME].map(name_of_length) {
        let origin = Origin::echo();
        ends.push((named(name, origin.address().port()), origin));
    }
    // An address as text where a name is expected.
    let origin = Origin::echo();
    ends.push((named("127.0.0.1", origin.address().port()), origin));
    for (to, _origin) in ends {
        for length in [0, 1, 0x3fff, 0xffff, 0x1_0000, 3_000_000] {
            let tunnel = asked(&world, Socks5Command::TCPConnect, to.clone()).await.unwrap();
            let said = pattern(length);
            let heard = heard_of(tunnel, &said).await;
            assert!(heard == said, "to {to}: {} of {length} bytes", heard.len());
        }
    }
    world.closes_its_tunnels().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_as_their_client_understands_it() {
    let world = World::start().await;
    let long = "p".repeat(255);
    for (username, password) in [
        (USERNAME, "wrong"),
        ("nobody", PASSWORD),
        (USERNAME, ""),
        ("", ""),
        (&long, &long),
    ] {
        let refused = greeted(&world, username, password).await;
        assert!(
            matches!(refused, Err(SocksError::AuthenticationRejected(_))),
            "{refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_password_is_refused_as_their_client_understands_it() {
    let world = World::start().await;
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let refused = within("a refusal", Socks5Stream::use_stream(stream, None, Config::default())).await;
    let Err(SocksError::AuthMethodUnacceptable(methods)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(methods, [0xff]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_the_reply_that_rfc_1928_has_for_it() {
    let world = World::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = |text: &str| TargetAddr::Ip(text.parse().unwrap());
    let connect = || Socks5Command::TCPConnect;
    for (command, to, expected) in [
        (connect(), TargetAddr::Ip(closed), CONNECTION_REFUSED),
        (connect(), named(name_of_length(20), closed.port()), CONNECTION_REFUSED),
        (connect(), address("10.1.2.3:80"), NOT_ALLOWED),
        (connect(), address("169.254.169.254:80"), NOT_ALLOWED),
        (connect(), address("[fd00:ec2::254]:80"), NOT_ALLOWED),
        (connect(), address("[::ffff:10.1.2.3]:80"), NOT_ALLOWED),
        (connect(), address("127.0.0.1:25"), NOT_ALLOWED),
        (connect(), named("private.example", 80), NOT_ALLOWED),
        (connect(), named("nowhere.invalid", 80), HOST_UNREACHABLE),
        (connect(), named("n".repeat(255), 80), ADDRESS_TYPE_NOT_SUPPORTED),
        (connect(), named("no name", 80), ADDRESS_TYPE_NOT_SUPPORTED),
        (connect(), address("127.0.0.1:0"), ADDRESS_TYPE_NOT_SUPPORTED),
        (Socks5Command::TCPBind, TargetAddr::Ip(closed), COMMAND_NOT_SUPPORTED),
    ] {
        match asked(&world, command, to.clone()).await {
            Err(SocksError::ReplyError(reply)) => assert_eq!(reply.as_u8(), expected, "{to}: {reply}"),
            other => panic!("{to}: {other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Passwords of any characters and lengths, and only the right one is let in.
    #[test]
    fn only_the_right_credentials_are_let_in(
        username in prop_oneof![2 => Just(USERNAME.to_owned()), 1 => "[ -~]{0,255}"],
        password in prop_oneof![2 => Just(PASSWORD.to_owned()), 1 => "[ -~]{0,255}", 1 => "[а-я]{0,127}"],
        // Each time from another address, since guesses are counted by it.
        source in 0x7f10_0000_u32..0x7f20_0000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::start().await;
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind((Ipv4Addr::from_bits(source), 0).into()).unwrap();
            let stream = socket.connect(world.address()).await.unwrap();
            let is_right = username == USERNAME && password == PASSWORD;
            let login = AuthenticationMethod::Password { username, password };
            let answer = within("a greeting", Socks5Stream::use_stream(stream, Some(login), Config::default())).await;
            match answer {
                Ok(_) => assert!(is_right),
                Err(SocksError::AuthenticationRejected(_)) => assert!(!is_right),
                Err(other) => panic!("{other}"),
            }
        });
    }
}

/// So many cases of each property, unless another number is asked for.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(32)
}
