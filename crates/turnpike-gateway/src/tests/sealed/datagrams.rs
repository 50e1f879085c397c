//! Shadowsocks by UDP: sessions, numbers, times, and who gets no answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use testbed::shadowsocks::{ClientSession, Packet, named};
use tokio::net::UdpSocket;

use super::*;
use crate::resolve::name_server::{NameServer, Reply};
use crate::tests::world::{SECOND_EXIT, exit};

/// Associations of one subscription.
const MOST: u64 = 256;

/// A client's socket, and what it seals with.
pub(super) struct Sender {
    socket: UdpSocket,
    client: Client,
    gateway: SocketAddr,
    /// Of 2022.
    session: ClientSession,
}

impl Sender {
    pub(super) async fn new(world: &World, client: &Client) -> Self {
        Self {
            socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            client: client.clone(),
            gateway: SocketAddr::new(world.address, PORT),
            session: ClientSession {
                session: rand::random(),
                number: 0,
                time: seconds(),
            },
        }
    }

    /// The next packet, which no other is like.
    pub(super) fn packet(&mut self, to: &[u8], data: &[u8]) -> Vec<u8> {
        if !self.client.method().is_2022() {
            let salt = rand::random::<[u8; 32]>();
            return self.client.packet(&salt[..self.client.method().key_length()], to, data);
        }
        let packet = self.client.packet_2022(&self.session, to, data);
        self.session.number += 1;
        packet
    }

    pub(super) async fn send(&self, packet: &[u8]) {
        self.socket.send_to(packet, self.gateway).await.unwrap();
    }

    pub(super) async fn receive(&self) -> Packet {
        let mut packet = vec![0; 65_536];
        let (length, from) = within(PATIENCE, self.socket.recv_from(&mut packet)).await.unwrap();
        assert_eq!(from, self.gateway);
        self.client.open(&packet[..length])
    }

    /// Gets data back from an echo; whatever was sent before has been dealt with then.
    pub(super) async fn echoes(&mut self, echo: SocketAddr, data: &[u8]) -> Packet {
        let packet = self.packet(&address(echo), data);
        self.send(&packet).await;
        let answer = self.receive().await;
        assert_eq!(answer.from, echo);
        assert!(answer.data == data, "{} bytes came back otherwise", data.len());
        answer
    }

    /// Nothing has arrived.
    pub(super) fn assert_silent(&self) {
        let received = self.socket.try_recv_from(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(received.unwrap_err(), std::io::ErrorKind::WouldBlock);
    }
}

fn client_2022() -> Client {
    Client::new(Method::Blake3Aes128Gcm, PASSWORD)
}

/// An origin that the test reads.
pub(super) struct Origin(pub(super) UdpSocket);

impl Origin {
    pub(super) async fn at(address: &str) -> Self {
        Self(UdpSocket::bind(address).await.unwrap())
    }

    /// One that sends everything back.
    pub(super) async fn echo() -> SocketAddr {
        let origin = Self::at("127.0.0.1:0").await;
        let address = origin.address();
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = origin.0.recv_from(&mut buffer).await {
                let _ = origin.0.send_to(&buffer[..length], from).await;
            }
        });
        address
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(super) async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 65_536];
        let (length, from) = within(PATIENCE, self.0.recv_from(&mut buffer)).await.unwrap();
        buffer.truncate(length);
        (buffer, from)
    }

    /// What has come by now.
    pub(super) fn so_far(&self) -> Vec<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        let mut all = Vec::new();
        while let Ok((length, _)) = self.0.try_recv_from(&mut buffer) {
            all.push(buffer[..length].to_vec());
        }
        all
    }
}

#[tokio::test]
async fn every_method_carries_datagrams_both_ways_and_only_their_data_is_counted() {
    let names = NameServer::start(|_, _| Reply::Addresses(vec![[127, 0, 0, 1].into()], 60)).await;
    let asked = names.address;
    let world = world_with(|config| config.dns_servers = vec![asked]).await;
    let echo = Origin::echo().await;
    let mut sent = 0;
    for client in clients() {
        let mut sender = Sender::new(&world, &client).await;
        let mut answers = Vec::new();
        for length in [0, 1, 100, 1_472, 9_000, 65_400] {
            answers.push(sender.echoes(echo, &testbed::origin::pattern(length)).await);
            sent += length as u64;
        }
        let packet = sender.packet(&named("here.example", echo.port()), b"by name");
        sender.send(&packet).await;
        let answer = sender.receive().await;
        assert_eq!((answer.from, answer.data.as_slice()), (echo, &b"by name"[..]));
        sent += 7;
        answers.push(answer);

        let headers: Vec<_> = answers.iter().filter_map(|answer| answer.header).collect();
        for (number, (session, packet, time, theirs)) in headers.iter().enumerate() {
            assert_eq!((*session, *theirs), (headers[0].0, sender.session.session));
            assert_eq!(*packet, number as u64);
            assert!(time.abs_diff(seconds()) <= 5);
        }
        assert_eq!(headers.is_empty(), !client.method().is_2022());
    }
    assert_eq!(world.traffic("a"), (sent, sent));
}

#[tokio::test]
async fn a_packet_that_comes_again_is_dropped_and_does_not_move_the_way_back() {
    let (world, origin, echo) = (world().await, Origin::at("127.0.0.1:0").await, Origin::echo().await);
    let mut sender = Sender::new(&world, &client_2022()).await;
    let first = sender.packet(&address(origin.address()), b"once");
    let late = sender.packet(&address(origin.address()), b"late");
    sender.send(&first).await;
    let (once, from) = origin.receive().await;
    assert_eq!(once, b"once");

    // A recorder who is somewhere else.
    let thief = Sender::new(&world, &client_2022()).await;
    for _ in 0..3 {
        sender.send(&first).await;
        thief.send(&first).await;
    }
    Sender::new(&world, &client_2022())
        .await
        .echoes(echo, b"all has been looked at")
        .await;
    origin.0.send_to(b"news", from).await.unwrap();
    assert_eq!(sender.receive().await.data, b"news");
    thief.assert_silent();
    assert_eq!(origin.so_far(), Vec::<Vec<u8>>::new());

    // What is only late comes through.
    sender.send(&late).await;
    assert_eq!(origin.receive().await.0, b"late");
    // So late that nobody can know whether it came before: it does not.
    let forgotten = sender.packet(&address(origin.address()), b"forgotten");
    sender.session.number += 10_000;
    sender.echoes(echo, b"far ahead").await;
    sender.send(&forgotten).await;
    sender.echoes(echo, b"and on").await;
    assert_eq!(origin.so_far(), Vec::<Vec<u8>>::new());
}

/// From another address it would open a session there, and have its answer sent there: to whomever a forger names.
#[tokio::test]
async fn a_packet_of_the_older_methods_that_comes_again_is_dropped() {
    let (world, origin, echo) = (world().await, Origin::at("127.0.0.1:0").await, Origin::echo().await);
    for client in clients().filter(|client| !client.method().is_2022()) {
        let mut sender = Sender::new(&world, &client).await;
        let recorded = sender.packet(&address(origin.address()), b"once");
        sender.send(&recorded).await;
        assert_eq!(origin.receive().await.0, b"once");
        let used = world.gateway.shared().descriptors.used();
        let thief = Sender::new(&world, &client).await;
        for _ in 0..3 {
            sender.send(&recorded).await;
            thief.send(&recorded).await;
        }
        sender.echoes(echo, b"all has been looked at").await;
        assert_eq!(origin.so_far(), Vec::<Vec<u8>>::new());
        assert_eq!(world.gateway.shared().descriptors.used(), used);
        thief.assert_silent();
    }
}

#[tokio::test]
async fn a_number_near_the_last_one_locks_nobody_out() {
    let (world, echo) = (world().await, Origin::echo().await);
    let client = client_2022();
    let mut sender = Sender::new(&world, &client).await;
    sender.echoes(echo, b"before").await;
    let last = |time| ClientSession {
        session: sender.session.session,
        number: u64::MAX - 1,
        time,
    };
    // A header that is right with a body that is not, and a body that is right but old.
    let forged = client.forged_2022(&last(seconds()), 60);
    let old = client.packet_2022(&last(seconds() - 3_600), &address(echo), b"old");
    let stranger = Sender::new(&world, &client).await;
    for packet in [&forged, &old] {
        stranger.send(packet).await;
        sender.send(packet).await;
    }
    sender.echoes(echo, b"after").await;
    stranger.assert_silent();
    sender.assert_silent();
}

#[tokio::test]
async fn a_client_that_moves_keeps_its_session_and_its_port() {
    let (world, origin) = (world().await, Origin::at("127.0.0.1:0").await);
    let to = address(origin.address());
    let mut here = Sender::new(&world, &client_2022()).await;
    let packet = here.packet(&to, b"from here");
    here.send(&packet).await;
    let (_, before) = origin.receive().await;

    let mut there = Sender::new(&world, &client_2022()).await;
    there.session = here.session.clone();
    let packet = there.packet(&to, b"from there");
    there.send(&packet).await;
    let (data, after) = origin.receive().await;
    assert_eq!((data.as_slice(), after), (&b"from there"[..], before));
    origin.0.send_to(b"welcome", after).await.unwrap();
    assert_eq!(there.receive().await.data, b"welcome");
    here.assert_silent();
}

#[tokio::test]
async fn clients_of_older_methods_are_told_by_where_they_send_from() {
    let (world, origin) = (world().await, Origin::at("127.0.0.1:0").await);
    for client in clients().filter(|client| !client.method().is_2022()) {
        let mut ports = Vec::new();
        let mut senders = [Sender::new(&world, &client).await, Sender::new(&world, &client).await];
        for _ in 0..2 {
            for sender in &mut senders {
                let packet = sender.packet(&address(origin.address()), b"hello");
                sender.send(&packet).await;
                let (data, from) = origin.receive().await;
                origin.0.send_to(&data, from).await.unwrap();
                assert_eq!(sender.receive().await.data, b"hello");
                ports.push(from);
            }
        }
        assert_eq!((ports[0], ports[1]), (ports[2], ports[3]), "the same the second time");
        assert_ne!(ports[0], ports[1]);
    }
}

#[tokio::test]
async fn a_clock_may_be_wrong_by_half_a_minute_and_no_further() {
    let start = now();
    let clock = Arc::new(AtomicI64::new(start));
    let told = Arc::clone(&clock);
    let world = World::start_at(Arc::new(move || told.load(Ordering::Relaxed)), |_| {}).await;
    world.apply([Change::Route(sealed_route())]).await;
    let started = u64::try_from(start / 1_000).unwrap();
    let (origin, echo) = (Origin::at("127.0.0.1:0").await, Origin::echo().await);

    // What is of before the start may have been recorded then.
    let mut sender = Sender::new(&world, &client_2022()).await;
    sender.session.time = started - 1;
    let packet = sender.packet(&address(origin.address()), b"before the start");
    sender.send(&packet).await;
    sender.session.time = started;
    sender.echoes(echo, b"at the start").await;
    assert_eq!(origin.so_far(), Vec::<Vec<u8>>::new());

    clock.fetch_add(40_000, Ordering::Relaxed);
    let now = started + 40;
    for (time, is_good) in [
        (now - 31, false),
        (now - 30, true),
        (now - 29, true),
        (now + 29, true),
        (now + 30, true),
        (now + 31, false),
        (0, false),
        (u64::MAX, false),
    ] {
        // As the first packet of a session, and later.
        let mut sender = Sender::new(&world, &client_2022()).await;
        for round in ["first", "later"] {
            sender.session.time = time;
            let packet = sender.packet(&address(origin.address()), round.as_bytes());
            sender.send(&packet).await;
            sender.session.time = now;
            sender.echoes(echo, b"in between").await;
            let expected: Vec<Vec<u8>> = is_good.then(|| round.into()).into_iter().collect();
            assert_eq!(origin.so_far(), expected, "{time} at {now}");
        }
    }
}

#[tokio::test]
async fn strangers_are_never_answered_and_open_nothing() {
    let (world, echo) = (world().await, Origin::echo().await);
    let shared = world.gateway.shared();
    let used = shared.descriptors.used();
    let stranger = Sender::new(&world, &client_2022()).await;
    let noise = testbed::origin::pattern(300 * 300);
    for length in 0..300 {
        stranger.send(&noise[length * 300..][..length]).await;
    }
    for client in clients() {
        let wrong = Client::new(client.method(), "bwxiFRNeyZPJR5yGmFAwvQ");
        let mut sender = Sender::new(&world, &wrong).await;
        let packet = sender.packet(&address(echo), b"hello");
        stranger.send(&packet).await;
        // The customer's own, but not whole.
        let mut sender = Sender::new(&world, &client).await;
        let packet = sender.packet(&address(echo), b"hello");
        for length in 0..packet.len() {
            stranger.send(&packet[..length]).await;
        }
    }
    // A client's packet that a server would send, and bodies that are none.
    let session = ClientSession {
        session: [9; 8],
        number: 0,
        time: seconds(),
    };
    let time = session.time.to_be_bytes();
    let long = [
        &[0][..],
        &time,
        &901_u16.to_be_bytes(),
        &[0; 901],
        &address(echo),
        b"hello",
    ]
    .concat();
    let beyond = [&[0][..], &time, &[0xff, 0xff], &address(echo), b"hello"].concat();
    let theirs = [&[1][..], &time, &[0, 0], &address(echo), b"hello"].concat();
    let nowhere = [&[0][..], &time, &[0, 0, 9], b"hello"].concat();
    for body in [&long[..], &beyond, &theirs, &nowhere, b"", b"\0"] {
        stranger.send(&client_2022().packet_2022_of(&session, body)).await;
    }
    // Everything has been looked at when this comes back. The customer has a socket to the outside, and nobody else.
    Sender::new(&world, &client_2022())
        .await
        .echoes(echo, b"the customer")
        .await;
    stranger.assert_silent();
    assert_eq!(shared.descriptors.used(), used + 1);
    assert_eq!(world.traffic("a"), (12, 12));
}

#[tokio::test]
async fn each_datagram_is_held_to_the_destination_rule() {
    let world = world_with(|config| config.allow_destinations = vec!["127.0.0.1/32".parse().unwrap()]).await;
    let (closed, echo) = (Origin::at("127.0.0.77:0").await, Origin::echo().await);
    let port = closed.address().port();
    for client in clients() {
        let mut sender = Sender::new(&world, &client).await;
        sender.echoes(echo, b"open").await;
        for to in [
            address(closed.address()),
            named("127.0.0.77", port),
            named("localhost", port),
            address(SocketAddr::new("::ffff:127.0.0.77".parse().unwrap(), port)),
            address(SocketAddr::new(world.address, PORT)),
            address("10.1.2.3:53".parse().unwrap()),
            address("255.255.255.255:67".parse().unwrap()),
            address("224.0.0.251:5353".parse().unwrap()),
        ] {
            let packet = sender.packet(&to, b"closed");
            sender.send(&packet).await;
            sender.echoes(echo, b"still open").await;
        }
        sender.assert_silent();
    }
    assert_eq!(closed.so_far(), Vec::<Vec<u8>>::new());
    let bytes = 4 * (4 + 8 * 10);
    assert_eq!(world.traffic("a"), (bytes, bytes));
}

#[tokio::test]
async fn a_subscription_has_so_many_sessions_and_no_more() {
    let (world, echo) = (world().await, Origin::echo().await);
    let mut senders = Vec::new();
    for number in 0..MOST {
        // All kinds share the places.
        let client = clients().nth((number % 4) as usize).unwrap();
        let mut sender = Sender::new(&world, &client).await;
        sender.echoes(echo, b"a place").await;
        senders.push(sender);
    }
    for client in clients() {
        let mut late = Sender::new(&world, &client).await;
        for _ in 0..3 {
            let packet = late.packet(&address(echo), b"too many");
            late.send(&packet).await;
        }
        for sender in senders.iter_mut().take(4) {
            sender.echoes(echo, b"keeps its place").await;
        }
        late.assert_silent();
    }
    // Another password ends them all, and there is room again.
    let changed = Route {
        password: "bwxiFRNeyZPJR5yGmFAwvQ".into(),
        ..sealed_route()
    };
    world.apply([Change::Route(changed)]).await;
    let mut new = Sender::new(&world, &Client::new(Method::Blake3Aes128Gcm, "bwxiFRNeyZPJR5yGmFAwvQ")).await;
    let shared = world.gateway.shared();
    crate::tests::world::eventually(PATIENCE, "their sockets are closed", || shared.descriptors.used() == 2).await;
    new.echoes(echo, b"hello").await;
    for sender in senders.iter_mut().take(4) {
        let packet = sender.packet(&address(echo), b"the old password");
        sender.send(&packet).await;
        new.echoes(echo, b"hello").await;
        sender.assert_silent();
    }
}

#[tokio::test]
async fn all_methods_and_socks_go_on_side_by_side_from_one_socket() {
    let (world, echo) = (world().await, Origin::echo().await);
    let mut control = world.connect(PORT).await.unwrap();
    let login = [b"\x05\x01\x02\x01\x04user\x16", PASSWORD.as_bytes()].concat();
    control
        .write_all(&[&login[..], &[5, 3, 0, 1, 0, 0, 0, 0, 0, 0]].concat())
        .await
        .unwrap();
    within(PATIENCE, control.read_exact(&mut [0; 2 + 2 + 10]))
        .await
        .unwrap();

    let mut senders = Vec::new();
    for client in clients() {
        senders.push(Sender::new(&world, &client).await);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let gateway = SocketAddr::new(world.address, PORT);
    for round in [b"one", b"two"] {
        for sender in &mut senders {
            let packet = sender.packet(&address(echo), round);
            socket.send_to(&packet, gateway).await.unwrap();
            let mut answer = vec![0; 1_500];
            let (length, _) = within(PATIENCE, socket.recv_from(&mut answer)).await.unwrap();
            assert_eq!(sender.client.open(&answer[..length]).data, round);
        }
        let plain = [&[0, 0, 0][..], &address(echo), round].concat();
        socket.send_to(&plain, gateway).await.unwrap();
        let mut answer = vec![0; 1_500];
        let (length, _) = within(PATIENCE, socket.recv_from(&mut answer)).await.unwrap();
        assert_eq!(&answer[..length], &plain[..]);
    }
}

#[tokio::test]
async fn a_session_leaves_by_its_routes_exit_and_ends_with_it() {
    let (world, origin) = (world().await, Origin::at("127.0.0.1:0").await);
    for client in clients() {
        world.apply([Change::Route(sealed_route())]).await;
        let mut sender = Sender::new(&world, &client).await;
        let packet = sender.packet(&address(origin.address()), b"first");
        sender.send(&packet).await;
        let (_, from) = origin.receive().await;
        assert_eq!(from.ip().to_string(), crate::tests::world::FIRST_EXIT);

        let elsewhere = Route {
            exit: crate::ExitId("second".into()),
            ..sealed_route()
        };
        world
            .apply([Change::Exit(exit("second", SECOND_EXIT)), Change::Route(elsewhere)])
            .await;
        // What was sent to the old way before it had quite gone is lost, as datagrams may be.
        let moved = async {
            loop {
                let packet = sender.packet(&address(origin.address()), b"second");
                sender.send(&packet).await;
                let mut buffer = [0; 64];
                let wait = tokio::time::timeout(Duration::from_millis(50), origin.0.recv_from(&mut buffer));
                if let Ok(received) = wait.await {
                    return received.unwrap().1;
                }
            }
        };
        assert_eq!(within(PATIENCE, moved).await.ip().to_string(), SECOND_EXIT);
    }
}
