//! UDP ASSOCIATE.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use fast_socks5::SocksError;
use fast_socks5::client::Socks5Datagram;
use fast_socks5::util::target_addr::TargetAddr;
use oracles::{LONGEST_NAME, PASSWORD, USERNAME, World, echo_of_datagrams, name_of_length, within};
use testbed::origin::pattern;
use tokio::net::TcpStream;

use crate::named;

/// The longest payload of UDP over IPv4, without what stands in front of the data: 3 bytes, and an IPv4 address.
const LONGEST: usize = 65_507 - 3 - 7;

/// So long is waited for a datagram before it is sent again.
const AGAIN: Duration = Duration::from_secs(2);

type Client = Socks5Datagram<TcpStream>;

async fn associated(world: &World, password: &str) -> Result<Client, SocksError> {
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let association = Client::bind_with_password(stream, "127.0.0.1:0", USERNAME, password);
    within("an association", association).await
}

/// Sends until the echo comes, as users of datagrams do: one may be lost on its way.
async fn echoes(client: &Client, to: &TargetAddr, from: SocketAddr, data: &[u8]) {
    let mut others = Vec::new();
    for _ in 0..5 {
        let (host, port) = to.clone().into_string_and_port();
        client.send_to(data, (host.as_str(), port)).await.unwrap();
        let mut buffer = vec![0; 65_536];
        while let Ok(received) = tokio::time::timeout(AGAIN, client.recv_from(&mut buffer)).await {
            let (length, address) = received.unwrap();
            if address == TargetAddr::Ip(from) && buffer[..length] == *data {
                return;
            }
            others.push((address, length));
        }
    }
    panic!("no echo of {} bytes from {to}; others: {others:?}", data.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn their_client_is_told_where_to_send_and_datagrams_of_every_length_come_back() {
    let world = World::start().await;
    let echo = echo_of_datagrams(Ipv4Addr::LOCALHOST.into()).await;
    let client = associated(&world, PASSWORD).await.unwrap();
    assert_eq!(*client.proxy_addr().unwrap(), TargetAddr::Ip(world.address()));
    for length in [0, 1, 512, 1_472, 1_473, 9_000, LONGEST - 1, LONGEST] {
        echoes(&client, &TargetAddr::Ip(echo), echo, &pattern(length)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_association_talks_by_both_families_and_by_names() {
    let world = World::start().await;
    let client = associated(&world, PASSWORD).await.unwrap();
    let mut ends = Vec::new();
    let v6 = world.has_v6().then_some(IpAddr::from(Ipv6Addr::LOCALHOST));
    for at in std::iter::once(Ipv4Addr::LOCALHOST.into()).chain(v6) {
        let echo = echo_of_datagrams(at).await;
        ends.push((TargetAddr::Ip(echo), echo));
    }
    for name in [9, 100, LONGEST_NAME].map(name_of_length) {
        let echo = echo_of_datagrams(Ipv4Addr::LOCALHOST.into()).await;
        ends.push((named(name, echo.port()), echo));
    }
    for round in 0..3 {
        for (to, from) in &ends {
            echoes(&client, to, *from, format!("{round} to {to}").as_bytes()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_association_wants_the_password() {
    let world = World::start().await;
    let refused = associated(&world, "wrong").await.map(drop);
    assert!(
        matches!(refused, Err(SocksError::AuthenticationRejected(_))),
        "{refused:?}"
    );
}
