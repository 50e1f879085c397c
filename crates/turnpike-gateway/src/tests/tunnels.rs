//! What happens inside a tunnel, and what ends it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::world::{
    FIRST_EXIT, Origin, Pattern, SECOND_EXIT, World, connect_request, eventually, now, raise_descriptor_limit,
    read_head, route, within,
};
use crate::{Change, ExitId, RouteId};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn data_sent_with_the_request_arrives_first_and_is_counted_once() {
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let echo = Origin::echo().await;
    let mut client = world.connect(12_001).await.unwrap();
    let mut request = connect_request(echo, "secret");
    request.extend_from_slice(b"early");
    client.write_all(&request).await.unwrap();
    assert_eq!(read_head(&mut client).await, "HTTP/1.1 200 Connection established");
    client.write_all(b" and late").await.unwrap();
    client.shutdown().await.unwrap();
    let mut echoed = String::new();
    client.read_to_string(&mut echoed).await.unwrap();
    assert_eq!(echoed, "early and late");
    eventually(SECOND, "the tunnel ends", || world.gateway.tunnels_open() == 0).await;
    assert_eq!(world.traffic("a"), (14, 14));
}

#[tokio::test]
async fn tunnels_are_counted_for_their_exits() {
    let world = World::start().await;
    let (first, mut second) = (route("a", 12_001), route("b", 12_002));
    second.exit = ExitId("second".into());
    world.apply([Change::Route(first), Change::Route(second)]).await;
    let counted = async || {
        let mut counted = world.gateway.tunnels_by_exit().await;
        counted.sort();
        counted
            .into_iter()
            .map(|(exit, tunnels)| (exit.0.to_string(), tunnels))
            .collect::<Vec<_>>()
    };
    assert_eq!(counted().await, []);
    let echo = Origin::echo().await;
    let one = world.tunnel(12_001, echo).await;
    let _two = world.tunnel(12_002, echo).await;
    let _three = world.tunnel(12_002, echo).await;
    assert_eq!(counted().await, [("first".to_owned(), 1), ("second".to_owned(), 2)]);
    drop(one);
    eventually(SECOND, "the tunnel ends", || world.gateway.tunnels_open() == 2).await;
    assert_eq!(counted().await, [("second".to_owned(), 2)]);
}

#[tokio::test]
async fn either_side_may_finish_first_and_the_other_goes_on() {
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let origin = Origin::listen().await;

    let mut client = world.tunnel(12_001, origin.address()).await;
    let (mut server, _) = origin.accept().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = String::new();
    server.read_to_string(&mut question).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));

    let mut client = world.tunnel(12_001, origin.address()).await;
    let (mut server, _) = origin.accept().await;
    server.write_all(b"greeting").await.unwrap();
    server.shutdown().await.unwrap();
    let mut greeting = String::new();
    client.read_to_string(&mut greeting).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.write_all(b"thanks").await.unwrap();
    client.shutdown().await.unwrap();
    let mut thanks = String::new();
    server.read_to_string(&mut thanks).await.unwrap();
    assert_eq!((greeting.as_str(), thanks.as_str()), ("greeting", "thanks"));
    eventually(SECOND, "both tunnels end", || world.gateway.tunnels_open() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_is_spliced_both_ways_intact_and_counted_while_it_moves() {
    const SIZE: usize = 64 * 1024 * 1024;
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let origin = Origin::listen().await;
    let client = world.tunnel(12_001, origin.address()).await;
    let (server, _) = origin.accept().await;

    static SENT: AtomicI64 = AtomicI64::new(0);
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let up = tokio::spawn(Pattern::new(1).send(client_write, SIZE, &SENT));
    let down = tokio::spawn(Pattern::new(2).send(server_write, SIZE, &SENT));
    let up_checked = tokio::spawn(Pattern::new(1).check(server_read));
    let down_checked = tokio::spawn(Pattern::new(2).check(client_read));

    let (mut counted, mut counted_midway, mut was_spliced) = ((0, 0), false, false);
    while !(up_checked.is_finished() && down_checked.is_finished()) {
        let (up, down) = world.traffic("a");
        counted = (counted.0 + up, counted.1 + down);
        let sent = SENT.load(Ordering::Relaxed);
        counted_midway |= counted.0 > 0 && sent < SIZE as i64;
        was_spliced |= world.gateway.shared().pipes.made() > world.gateway.shared().pipes.free();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    up.await.unwrap().unwrap();
    down.await.unwrap().unwrap();
    assert_eq!((up_checked.await.unwrap(), down_checked.await.unwrap()), (SIZE, SIZE));
    assert!(counted_midway, "bytes are counted while they move");
    assert!(was_spliced, "bulk goes through a pipe");

    let shared = world.gateway.shared();
    eventually(SECOND, "the tunnel ends", || world.gateway.tunnels_open() == 0).await;
    let (up, down) = world.traffic("a");
    assert_eq!((counted.0 + up, counted.1 + down), (SIZE as u64, SIZE as u64));
    assert_eq!(shared.buffers.in_use(), 0);
    assert_eq!(shared.pipes.made(), shared.pipes.free());
}

/// A tunnel in which as much as possible is moving down.
async fn busy_tunnel(world: &World, port: u16) -> TcpStream {
    let origin = Origin::listen().await;
    let client = world.tunnel(port, origin.address()).await;
    keep_busy(origin);
    client
}

fn keep_busy(origin: Origin) {
    tokio::spawn(async move {
        let (mut server, _) = origin.accept().await;
        while server.write_all(&[0; 65_536]).await.is_ok() {}
    });
}

/// Reads until the tunnel ends; fails if it does so as if it had finished.
async fn read_until_cut(client: &mut TcpStream) {
    let mut sink = vec![0; 65_536];
    loop {
        match client.read(&mut sink).await {
            Ok(0) => panic!("a cut transfer must not look finished"),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_credentials_cut_a_busy_tunnel_at_once_and_no_other() {
    let world = World::start().await;
    world
        .apply([Change::Route(route("a", 12_001)), Change::Route(route("b", 12_002))])
        .await;
    let mut client = busy_tunnel(&world, 12_001).await;
    let mut neighbour = world.tunnel(12_002, Origin::echo().await).await;
    let mut some = vec![0; 4 << 20];
    client.read_exact(&mut some).await.unwrap();

    let cut = Instant::now();
    let mut changed = route("a", 12_001);
    changed.password = "another".into();
    world.apply([Change::Route(changed)]).await;
    within(SECOND, read_until_cut(&mut client)).await;
    assert!(cut.elapsed() < SECOND);

    neighbour.write_all(b"still here").await.unwrap();
    neighbour.read_exact(&mut some[..10]).await.unwrap();
    assert_eq!(&some[..10], b"still here");
    let mut refused = world.connect(12_001).await.unwrap();
    refused
        .write_all(&connect_request(Origin::echo().await, "secret"))
        .await
        .unwrap();
    assert!(read_head(&mut refused).await.contains(" 407 "));
}

#[tokio::test]
async fn a_stalled_tunnel_is_cut_too_and_gives_its_buffers_back() {
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let client = busy_tunnel(&world, 12_001).await;
    let shared = world.gateway.shared();
    let holds = || shared.buffers.in_use() + shared.pipes.made() - shared.pipes.free() > 0;
    eventually(SECOND, "the client's window is full", holds).await;
    world.apply([Change::RemoveRoute(RouteId("a".into()))]).await;
    eventually(SECOND, "the tunnel is gone", || world.gateway.tunnels_open() == 0).await;
    eventually(SECOND, "nothing is held", || !holds()).await;
    drop(client);
    assert!(world.connect(12_001).await.is_err(), "the port is closed");
    assert!(
        world.traffic("a").1 > 0,
        "what a removed route has moved is not forgotten"
    );
}

#[tokio::test]
async fn another_end_time_cuts_nothing() {
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let mut client = world.tunnel(12_001, Origin::echo().await).await;
    let mut shorter = route("a", 12_001);
    shorter.ends_at = now() + 3_600_000;
    world.apply([Change::Route(shorter)]).await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    world
        .gateway
        .replace_all(vec![super::world::exit("first", FIRST_EXIT)], vec![route("a", 12_001)])
        .await;
    client.write_all(b"ping").await.unwrap();
    let mut pong = [0; 4];
    client.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"ping");
}

#[tokio::test]
async fn another_exit_cuts_old_tunnels_and_serves_new_ones() {
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let origin = Origin::listen().await;
    let mut client = world.tunnel(12_001, origin.address()).await;
    let (_server, source) = origin.accept().await;
    assert_eq!(source.ip().to_string(), FIRST_EXIT);

    let mut moved = route("a", 12_001);
    moved.exit = ExitId("second".into());
    world.apply([Change::Route(moved)]).await;
    within(SECOND, read_until_cut(&mut client)).await;
    let _client = world.tunnel(12_001, origin.address()).await;
    let (_server, source) = origin.accept().await;
    assert_eq!(source.ip().to_string(), SECOND_EXIT);
}

#[tokio::test]
async fn a_silent_tunnel_ends_after_the_idle_timeout_and_a_talking_one_does_not() {
    // Long against the pauses of a busy machine, which must not look like silence.
    let idle_timeout = Duration::from_millis(1500);
    let world = World::start_with(|config| config.idle_timeout = idle_timeout).await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let echo = Origin::echo().await;
    let mut talking = world.tunnel(12_001, echo).await;
    let mut silent = world.tunnel(12_001, echo).await;
    let start = Instant::now();
    let mut end = [0];
    let wait = within(10 * SECOND, silent.read(&mut end));
    let mut byte = [7];
    let talk = async {
        loop {
            talking.write_all(&byte).await.unwrap();
            talking.read_exact(&mut byte).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let ended = tokio::select! {
        ended = wait => ended,
        () = talk => unreachable!("it talks for ever"),
    };
    assert_eq!(ended.unwrap(), 0);
    assert!(start.elapsed() >= idle_timeout - Duration::from_millis(10));
    talking.write_all(&[8]).await.unwrap();
    let mut echoed = [0; 2];
    let count = talking.read(&mut echoed).await.unwrap();
    assert!(count > 0, "the other one is still there");
}

#[tokio::test]
async fn a_reader_that_is_slow_is_not_silent() {
    let world = World::start_with(|config| config.idle_timeout = Duration::from_secs(1)).await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let origin = Origin::listen().await;
    let mut client = world.narrow_tunnel(12_001, origin.address()).await;
    keep_busy(origin);
    let mut sink = vec![0; 4 * 1024];
    let shared = world.gateway.shared();
    while shared.pipes.made() == shared.pipes.free() {
        client.read_exact(&mut sink).await.unwrap();
    }
    // A pipe holds so much that it is not filled again for longer than the timeout.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2500) {
        client.read_exact(&mut sink).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.gateway.tunnels_open(), 1);
}

#[tokio::test]
async fn a_transfer_that_stalls_until_the_idle_timeout_does_not_look_finished() {
    let world = World::start_with(|config| config.idle_timeout = Duration::from_millis(300)).await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let mut client = busy_tunnel(&world, 12_001).await;
    eventually(Duration::from_secs(10), "the tunnel ends", || {
        world.gateway.tunnels_open() == 0
    })
    .await;
    within(SECOND, read_until_cut(&mut client)).await;
}

#[tokio::test]
async fn a_reset_is_passed_on_as_a_reset_both_ways() {
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let origin = Origin::listen().await;

    let mut client = world.tunnel(12_001, origin.address()).await;
    let (server, _) = origin.accept().await;
    server.set_zero_linger().unwrap();
    drop(server);
    let error = within(SECOND, client.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let client = world.tunnel(12_001, origin.address()).await;
    let (mut server, _) = origin.accept().await;
    client.set_zero_linger().unwrap();
    drop(client);
    let error = within(SECOND, server.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    eventually(SECOND, "both tunnels end", || world.gateway.tunnels_open() == 0).await;
}

#[tokio::test]
async fn an_answer_arrives_whole_although_its_origin_takes_no_more() {
    const ANSWER: usize = 48 * 1024;
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let origin = Origin::listen().await;
    let mut client = world.narrow_tunnel(12_001, origin.address()).await;
    let (mut server, _) = origin.accept().await;
    client.write_all(&[1; 1024]).await.unwrap();

    // It answers, finishes, and closes without having read: what the client still sends is reset.
    static SENT: AtomicI64 = AtomicI64::new(0);
    Pattern::new(3).send(&mut server, ANSWER, &SENT).await.unwrap();
    let mut down = 0;
    eventually(SECOND, "the gateway has all of it", || {
        down += world.traffic("a").1;
        down == ANSWER as u64
    })
    .await;
    drop(server);
    for _ in 0..20 {
        client.write_all(&[1; 65_536]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Only now does it read.
    assert_eq!(Pattern::new(3).check(&mut client).await, ANSWER);
    drop(client);
    eventually(SECOND, "the tunnel ends", || world.gateway.tunnels_open() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_tunnels_at_rest_hold_no_buffer() {
    const TUNNELS: usize = 2_000;
    if !raise_descriptor_limit() {
        return;
    }
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let echo = Origin::echo().await;
    let before = resident();
    let mut clients = Vec::new();
    for _ in 0..TUNNELS {
        let mut client = world.tunnel(12_001, echo).await;
        client.write_all(b"x").await.unwrap();
        clients.push(client);
    }
    for client in &mut clients {
        client.read_exact(&mut [0; 1]).await.unwrap();
    }
    assert_eq!(world.gateway.tunnels_open(), TUNNELS as u64);
    let shared = world.gateway.shared();
    eventually(SECOND, "all is at rest", || shared.buffers.in_use() == 0).await;
    assert_eq!(shared.pipes.made(), 0);
    // Both ends of every tunnel and the echo's buffers are in this process too.
    eprintln!(
        "{} bytes resident per tunnel, its client and its origin",
        (resident() - before) / TUNNELS
    );
    drop(clients);
    eventually(5 * SECOND, "all have ended", || world.gateway.tunnels_open() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_broken_off_at_any_point_leave_nothing_behind() {
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let echo = Origin::echo().await;
    let request = connect_request(echo, "secret");
    for round in 0..600 {
        let mut client = world.connect(12_001).await.unwrap();
        let sent = request.len() * (round % 6) / 5;
        client.write_all(&request[..sent]).await.unwrap();
        if round % 2 == 0 {
            client.set_zero_linger().unwrap();
        }
        if round % 3 == 0 && sent == request.len() {
            read_head(&mut client).await;
            client.write_all(&[0; 1024]).await.unwrap();
        }
    }
    let shared = world.gateway.shared();
    eventually(5 * SECOND, "every connection has ended", || shared.connections() == 0).await;
    assert_eq!(world.gateway.tunnels_open(), 0);
    assert_eq!(shared.buffers.in_use(), 0);
    // The port's own two sockets.
    assert_eq!(shared.descriptors.used(), 2);
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_only() {
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    world.gateway.shared().spawn(async { panic!("on purpose") });
    tokio::task::yield_now().await;
    let _client = world.tunnel(12_001, Origin::echo().await).await;
}
