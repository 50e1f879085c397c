//! Ports: opened, moved, taken by others, closed in time.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::world::{NEVER, Origin, World, eventually, now, route, within};
use crate::{Change, ExitId, PortError, RouteId};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_route_ends_in_time_with_its_tunnels_and_a_renewal_opens_it_again() {
    let world = World::start().await;
    let mut ending = route("a", 12_001);
    ending.ends_at = now() + 700;
    world
        .apply([Change::Route(ending), Change::Route(route("b", 12_002))])
        .await;
    let mut client = world.tunnel(12_001, Origin::echo().await).await;
    assert!(within(2 * SECOND, client.read(&mut [0; 1])).await.is_err());
    let late = now();
    assert!(world.connect(12_001).await.is_err(), "it does not accept any more");
    assert!(world.connect(12_002).await.is_ok(), "others do");
    assert_eq!(world.gateway.ports_open(), 1);

    world.apply([Change::Route(route("a", 12_001))]).await;
    let _client = world.tunnel(12_001, Origin::echo().await).await;
    let mut ended = route("a", 12_001);
    ended.ends_at = late;
    world.apply([Change::Route(ended)]).await;
    assert!(world.connect(12_001).await.is_err(), "told with a time in the past");
    eventually(SECOND, "its tunnel is cut", || world.gateway.tunnels_open() == 0).await;
}

#[tokio::test]
async fn a_taken_port_is_told_and_opened_when_it_is_free() {
    let world = World::start().await;
    let taken = TcpListener::bind((world.address, 12_001)).await.unwrap();
    let applied = world
        .try_apply([Change::Route(route("a", 12_001)), Change::Route(route("b", 12_002))])
        .await;
    let [(id, PortError::Bind { port: 12_001, .. })] = applied.failed.as_slice() else {
        panic!("{:?}", applied.failed)
    };
    assert_eq!(*id, RouteId("a".into()));
    assert_eq!(world.gateway.ports_open(), 1);
    drop(taken);
    eventually(5 * SECOND, "it is tried again", || world.gateway.ports_open() == 2).await;
    let _client = world.tunnel(12_001, Origin::echo().await).await;
}

#[tokio::test]
async fn a_route_without_its_exit_is_told_and_served_once_the_exit_is_known() {
    let world = World::start().await;
    let mut waiting = route("a", 12_001);
    waiting.exit = ExitId("third".into());
    let applied = world.try_apply([Change::Route(waiting)]).await;
    assert!(matches!(applied.failed.as_slice(), [(_, PortError::UnknownExit)]));
    assert!(world.connect(12_001).await.is_err());
    world
        .apply([Change::Exit(super::world::exit("third", "127.0.0.13"))])
        .await;
    let _client = world.tunnel(12_001, Origin::echo().await).await;
}

#[tokio::test]
async fn routes_may_exchange_their_ports_and_keep_their_tunnels() {
    let world = World::start().await;
    world
        .apply([Change::Route(route("a", 12_001)), Change::Route(route("b", 12_002))])
        .await;
    let _tunnel = world.tunnel(12_001, Origin::echo().await).await;
    world
        .apply([Change::Route(route("a", 12_002)), Change::Route(route("b", 12_001))])
        .await;
    assert_eq!(world.gateway.tunnels_open(), 1);
    let _other = world.tunnel(12_001, Origin::echo().await).await;
    let _another = world.tunnel(12_002, Origin::echo().await).await;
    world.apply([Change::RemoveRoute(RouteId("b".into()))]).await;
    eventually(SECOND, "the removed route's tunnel is cut", || {
        world.gateway.tunnels_open() == 2
    })
    .await;
    assert!(world.connect(12_001).await.is_err());
}

#[tokio::test]
async fn a_new_state_replaces_the_old_one_whole() {
    let world = World::start().await;
    world
        .apply([Change::Route(route("a", 12_001)), Change::Route(route("b", 12_002))])
        .await;
    let exits = vec![super::world::exit("first", super::world::FIRST_EXIT)];
    let applied = world
        .gateway
        .replace_all(exits, vec![route("b", 12_002), route("c", 12_003)])
        .await;
    assert!(applied.failed.is_empty());
    assert!(world.connect(12_001).await.is_err());
    for port in [12_002, 12_003] {
        let _client = world.tunnel(port, Origin::echo().await).await;
    }
    assert_eq!(world.gateway.ports_open(), 2);
    assert!(world.gateway.rotate(&ExitId("second".into())).await.is_err());
}

#[tokio::test]
async fn both_families_share_a_port_number() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let world = World::start_with(|config| config.bind = vec!["0.0.0.0".parse().unwrap(), "::".parse().unwrap()]).await;
    world.apply([Change::Route(route("a", free))]).await;
    assert!(TcpStream::connect(("127.0.0.1", free)).await.is_ok());
    if TcpListener::bind("[::1]:0").await.is_ok() {
        assert!(TcpStream::connect(("::1", free)).await.is_ok());
    }
}

#[tokio::test]
async fn udp_is_open_beside_tcp() {
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let taken = tokio::net::UdpSocket::bind((world.address, 12_001)).await;
    assert_eq!(taken.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_thousand_routes_open_at_once() {
    let world = World::start().await;
    let routes = (0..1_000).map(|n| Change::Route(route(&format!("r{n}"), 12_000 + n)));
    let start = std::time::Instant::now();
    world.apply(routes).await;
    eprintln!("1,000 ports opened in {:?}", start.elapsed());
    assert_eq!(world.gateway.ports_open(), 1_000);
    world.gateway.replace_all(Vec::new(), Vec::new()).await;
    assert_eq!(world.gateway.ports_open(), 0);
}

#[tokio::test]
async fn a_shutdown_lets_tunnels_end_and_cuts_what_is_left() {
    let world = World::start().await;
    let mut far = route("a", 12_001);
    far.ends_at = NEVER - 1;
    world.apply([Change::Route(far)]).await;
    let (origin, echo) = (Origin::listen().await, Origin::echo().await);
    let mut finishing = world.tunnel(12_001, origin.address()).await;
    let mut staying = world.tunnel(12_001, echo).await;
    let (mut server, _) = origin.accept().await;

    let gateway = world.gateway.clone();
    let stopping = tokio::spawn(async move { gateway.shut_down(SECOND).await });
    eventually(SECOND, "the port is closed", || world.gateway.ports_open() == 0).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(world.connect(12_001).await.is_err());
    tokio::io::AsyncWriteExt::write_all(&mut server, b"the end")
        .await
        .unwrap();
    drop(server);
    let mut rest = String::new();
    finishing.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "the end");
    drop(finishing);
    assert!(!stopping.is_finished());
    assert!(
        within(2 * SECOND, staying.read(&mut [0; 1])).await.is_err(),
        "the other is cut"
    );
    within(SECOND, stopping).await.unwrap();
    assert_eq!(world.gateway.tunnels_open(), 0);
    assert_eq!(world.traffic("a"), (0, 7));
}

#[tokio::test]
async fn routes_end_and_are_removed_while_a_shutdown_waits_for_tunnels() {
    let world = World::start().await;
    let mut ending = route("a", 12_001);
    ending.ends_at = now() + 1_000;
    world
        .apply([Change::Route(ending), Change::Route(route("b", 12_002))])
        .await;
    let echo = Origin::echo().await;
    let (mut ending, mut removed) = (world.tunnel(12_001, echo).await, world.tunnel(12_002, echo).await);
    let gateway = world.gateway.clone();
    let stopping = tokio::spawn(async move { gateway.shut_down(60 * SECOND).await });
    eventually(SECOND, "the ports are closed", || world.gateway.ports_open() == 0).await;
    world.apply([Change::RemoveRoute(RouteId("b".into()))]).await;
    assert!(within(SECOND, removed.read(&mut [0; 1])).await.is_err(), "it is cut");
    assert!(within(3 * SECOND, ending.read(&mut [0; 1])).await.is_err(), "it is cut");
    within(SECOND, stopping).await.unwrap();
    assert!(
        world
            .try_apply([Change::Route(route("c", 12_003))])
            .await
            .failed
            .is_empty()
    );
    assert_eq!(world.gateway.ports_open(), 0);
}

#[tokio::test]
async fn a_shutdown_without_connections_does_not_wait() {
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let _parked = world.connect(12_001).await.unwrap();
    within(SECOND, world.gateway.shut_down(60 * SECOND)).await;
}
