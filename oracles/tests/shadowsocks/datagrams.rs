//! Their client's datagrams through the gateway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use oracles::{PASSWORD, World, echo_of_datagrams, name_of_length};
use shadowsocks::ProxySocket;
use shadowsocks::net::UdpSocket;
use shadowsocks::relay::Address;
use shadowsocks::relay::udprelay::options::UdpSocketControlData;
use testbed::origin::pattern;
use turnpike_wire::shadowsocks::{Method, TAG};

use crate::oracle::{configuration, context};

/// The longest payload of UDP over IPv4.
const LONGEST: usize = 65_507;

/// So long is waited for a datagram before it is sent again.
const AGAIN: Duration = Duration::from_secs(2);

/// A client of theirs: one session.
struct Client {
    socket: ProxySocket<UdpSocket>,
    session: u64,
    sent: u64,
    /// The server's session and its packets' numbers so far, of 2022.
    received: Vec<(u64, u64)>,
}

impl Client {
    async fn start(world: &World, method: Method, session: u64) -> Self {
        let configuration = configuration(method, world.address(), PASSWORD);
        let mut socket = ProxySocket::connect(context(), &configuration).await.unwrap();
        socket.set_recv_timeout(Some(AGAIN));
        Self {
            socket,
            session,
            sent: 0,
            received: Vec::new(),
        }
    }

    async fn send(&mut self, to: &Address, data: &[u8]) {
        let mut control = UdpSocketControlData::default();
        control.client_session_id = self.session;
        control.packet_id = self.sent;
        self.sent += 1;
        self.socket.send_with_ctrl(to, &control, data).await.unwrap();
    }

    /// A datagram, and from where it is said to be. Absent where none comes in time.
    async fn receive(&mut self) -> Option<(Address, Vec<u8>)> {
        let mut buffer = vec![0; 65_536];
        let (length, from, _, control) = self.socket.recv_with_ctrl(&mut buffer).await.ok()?;
        if let Some(control) = control {
            assert_eq!(control.client_session_id, self.session);
            let packet = (control.server_session_id, control.packet_id);
            assert!(!self.received.contains(&packet), "a number that was used before");
            self.received.push(packet);
        }
        buffer.truncate(length);
        Some((from, buffer))
    }

    /// Sends until the echo comes, as users of datagrams do: one may be lost on its way.
    async fn echoes(&mut self, to: &Address, from: SocketAddr, data: &[u8]) {
        let expected = (Address::SocketAddress(from), data.to_vec());
        let mut others = Vec::new();
        for _ in 0..5 {
            self.send(to, data).await;
            while let Some(came) = self.receive().await {
                if came == expected {
                    return;
                }
                others.push((came.0, came.1.len()));
            }
        }
        panic!("no echo of {} bytes from {to}; others: {others:?}", data.len());
    }
}

/// The longest data there and back: the answer's front is the longer one.
fn longest(method: Method) -> usize {
    let sender = 1 + 4 + 2;
    LONGEST
        - match method {
            Method::Aes128Gcm2022 => 16 + (1 + 8 + 8 + 2) + sender + TAG,
            older => older.salt_length() + sender + TAG,
        }
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_of_every_length_come_back_as_they_went() {
    let world = World::start().await;
    let echo = echo_of_datagrams(Ipv4Addr::LOCALHOST.into()).await;
    for method in Method::ALL {
        let mut client = Client::start(&world, method, 1).await;
        let longest = longest(method);
        for length in [
            0,
            1,
            2,
            100,
            512,
            1_200,
            1_472,
            1_473,
            9_000,
            30_000,
            longest - 1,
            longest,
        ] {
            client.echoes(&echo.into(), echo, &pattern(length)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_that_their_client_can_send_arrives() {
    let world = World::start().await;
    let origin = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = origin.local_addr().unwrap();
    for method in Method::ALL {
        // A client's front is shorter than the answer's, so this would not come back.
        let server_only = if method == Method::Aes128Gcm2022 { 8 } else { 0 };
        let data = pattern(longest(method) + server_only);
        let mut client = Client::start(&world, method, 2).await;
        let mut arrived = vec![0; 65_536];
        let mut tries = 0..5;
        let length = loop {
            assert!(tries.next().is_some(), "{method:?}: it does not arrive");
            client.send(&to.into(), &data).await;
            if let Ok(received) = tokio::time::timeout(AGAIN, origin.recv(&mut arrived)).await {
                break received.unwrap();
            }
        };
        assert!(
            arrived[..length] == data,
            "{method:?}: {length} of {} bytes",
            data.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_talks_by_both_families_and_by_names() {
    let world = World::start().await;
    for method in Method::ALL {
        let mut client = Client::start(&world, method, 3).await;
        let mut ends: Vec<(Address, SocketAddr)> = Vec::new();
        let v6 = world.has_v6().then_some(IpAddr::from(Ipv6Addr::LOCALHOST));
        for at in std::iter::once(Ipv4Addr::LOCALHOST.into()).chain(v6) {
            let echo = echo_of_datagrams(at).await;
            ends.push((echo.into(), echo));
        }
        for length in [9, 100, 253] {
            let echo = echo_of_datagrams(Ipv4Addr::LOCALHOST.into()).await;
            ends.push((Address::DomainNameAddress(name_of_length(length), echo.port()), echo));
        }
        for round in 0..3 {
            for (to, from) in &ends {
                client.echoes(to, *from, format!("{round} to {to}").as_bytes()).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_do_not_hear_each_other() {
    let world = World::start().await;
    let echo = echo_of_datagrams(Ipv4Addr::LOCALHOST.into()).await;
    let mut clients = Vec::new();
    for session in 0..40 {
        let method = Method::ALL[session as usize % Method::ALL.len()];
        clients.push(Client::start(&world, method, session << 32 | 0x5a).await);
    }
    for round in 0..5 {
        for (number, client) in clients.iter_mut().enumerate() {
            client
                .echoes(&echo.into(), echo, format!("{round} of {number}").as_bytes())
                .await;
        }
    }
}
