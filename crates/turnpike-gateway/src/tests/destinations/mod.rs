//! What the destination rule keeps customers from, by each way that leads to a dial.

mod without_answers;

use std::time::Duration;

use base64::Engine as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::egress::tests::spellings;
use crate::tests::world::{Origin, World, exit, route, within};
use crate::{Change, ExitId, ExitSpec, ExitWay, Route};

/// Whatever a customer may write for a place that is closed.
fn closed() -> impl Iterator<Item = &'static str> {
    // Clients' names for their multiplexing are no destinations: sessions know them.
    let groups = spellings::CLOSED
        .iter()
        .filter(|(what, _)| !what.contains("multiplexing"));
    groups.flat_map(|(_, hosts)| hosts.iter().copied())
}

/// The same as the heads of HTTP can have it: without what is not ASCII, and IPv6 in brackets.
fn closed_in_http() -> impl Iterator<Item = String> {
    closed().filter(|host| host.is_ascii()).map(bracketed)
}

async fn world() -> World {
    let world = World::start_with(|config| config.allow_destinations = Vec::new()).await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    world
}

fn login() -> String {
    let credentials = base64::engine::general_purpose::STANDARD.encode("user:secret");
    format!("Proxy-Authorization: Basic {credentials}\r\n")
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// Sends `request`, and gives the answer once it is `length` long.
async fn answer(world: &World, request: &[u8], length: usize) -> Vec<u8> {
    let mut client = world.connect(12_001).await.unwrap();
    client.write_all(request).await.unwrap();
    let mut answer = vec![0; length];
    let reading = client.read_exact(&mut answer);
    within(Duration::from_secs(10), reading).await.unwrap();
    answer
}

const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nProxy-Status: turnpike; error=destination_ip_prohibited\r\n";

#[tokio::test]
async fn by_connect() {
    let world = world().await;
    for host in closed_in_http() {
        let request = format!("CONNECT {host}:80 HTTP/1.1\r\nHost: {host}:80\r\n{}\r\n", login());
        let answer = answer(&world, request.as_bytes(), FORBIDDEN.len()).await;
        assert_eq!(String::from_utf8_lossy(&answer), FORBIDDEN, "{host}");
    }
}

#[tokio::test]
async fn by_an_absolute_target() {
    let world = world().await;
    for host in closed_in_http() {
        // What the target says counts, whatever Host claims.
        let request = format!("GET http://{host}/ HTTP/1.1\r\nHost: example.com\r\n{}\r\n", login());
        let answer = answer(&world, request.as_bytes(), FORBIDDEN.len()).await;
        assert_eq!(String::from_utf8_lossy(&answer), FORBIDDEN, "{host}");
    }
}

/// A SOCKS5 request for `host`; as a name where `by_name` or it is none of the addresses.
fn socks5(host: &str, by_name: bool) -> Vec<u8> {
    let mut request = b"\x05\x01\x02\x01\x04user\x06secret\x05\x01\x00".to_vec();
    match host.parse() {
        Ok(std::net::IpAddr::V4(address)) if !by_name => {
            request.push(0x01);
            request.extend_from_slice(&address.octets());
        }
        Ok(std::net::IpAddr::V6(address)) if !by_name => {
            request.push(0x04);
            request.extend_from_slice(&address.octets());
        }
        _ => {
            request.extend_from_slice(&[0x03, u8::try_from(host.len()).unwrap()]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&80_u16.to_be_bytes());
    request
}

#[tokio::test]
async fn by_socks5_in_each_of_its_forms() {
    let world = world().await;
    for host in closed() {
        for by_name in [false, true] {
            let answer = answer(&world, &socks5(host, by_name), 2 + 2 + 10).await;
            assert_eq!(answer[..6], [0x05, 0x02, 0x01, 0x00, 0x05, 0x02], "{host} {by_name}");
        }
    }
}

/// A SOCKS4 request for an IPv4 address, a SOCKS4a request for anything else or where `by_name`.
fn socks4(host: &str, by_name: bool) -> Vec<u8> {
    // 0.0.0.1 and its like say that a name follows.
    let is_mark = |address: &std::net::Ipv4Addr| matches!(address.octets(), [0, 0, 0, 1..=255]);
    let address = host.parse().ok().filter(|address| !by_name && !is_mark(address));
    let mut request = vec![0x04, 0x01, 0x00, 80];
    request.extend_from_slice(&address.map_or([0, 0, 0, 1], |address: std::net::Ipv4Addr| address.octets()));
    request.extend_from_slice(b"user:secret\0");
    if address.is_none() {
        request.extend_from_slice(host.as_bytes());
        request.push(0);
    }
    request
}

#[tokio::test]
async fn by_socks4_and_4a() {
    let world = world().await;
    for host in closed() {
        for by_name in [false, true] {
            let answer = answer(&world, &socks4(host, by_name), 8).await;
            assert_eq!(answer[..2], [0x00, 0x5b], "{host} {by_name}");
        }
    }
}

#[tokio::test]
async fn mail_is_not_sent_by_any_way_unless_the_exit_may() {
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let mailing = Route {
        exit: ExitId("mailing".into()),
        ..route("b", 12_002)
    };
    let may_mail = ExitSpec {
        allow_smtp: true,
        ..exit("mailing", "127.0.0.13")
    };
    world.apply([Change::Exit(may_mail), Change::Route(mailing)]).await;
    for (port, expected) in [(12_001, " 403 "), (12_002, " 502 ")] {
        let mut client = world.connect(port).await.unwrap();
        // Nobody listens there, which is how far it has to get.
        let request = format!("CONNECT 127.0.0.77:25 HTTP/1.1\r\nHost: a\r\n{}\r\n", login());
        client.write_all(request.as_bytes()).await.unwrap();
        let head = crate::tests::world::read_head(&mut client).await;
        assert!(head.contains(expected), "{port}: {head}");
    }
}

#[tokio::test]
async fn the_gateways_own_ports_are_closed_where_loopback_is() {
    let world = World::start_with(|config| config.allow_destinations = vec!["127.0.0.1/32".parse().unwrap()]).await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let request = format!("CONNECT {}:12001 HTTP/1.1\r\nHost: a\r\n{}\r\n", world.address, login());
    let answer = answer(&world, request.as_bytes(), FORBIDDEN.len()).await;
    assert_eq!(String::from_utf8_lossy(&answer), FORBIDDEN);
    world.tunnel(12_001, Origin::echo().await).await;
}

#[tokio::test]
async fn an_exits_prefix_is_closed_soon_after_the_exit_is_there() {
    let world = world().await;
    let prefix = ExitSpec {
        way: ExitWay::Prefix("2606:4700:7::/48".parse().unwrap()),
        ..exit("prefix", "127.0.0.13")
    };
    world.apply([Change::Exit(prefix)]).await;
    let request = socks5("2606:4700:7::22", false);
    // Until it is known the exit, which has no IPv6, answers that it cannot be reached.
    let closed = async { while answer(&world, &request, 14).await[5] != 0x02 {} };
    within(Duration::from_secs(10), closed).await;
}
