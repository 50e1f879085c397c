use super::*;
use crate::resolve::name_server::Reply;

#[tokio::test]
async fn an_exit_is_probed_at_its_start() {
    let mut world = World::new();
    let _exit = world.exit(pool(&[loopback(11)]));
    assert_eq!(world.event().await.0, "up 127.0.0.11");
    let _absent = world.exit(pool(&[NOT_HERE]));
    let (event, reason) = world.event().await;
    assert_eq!(event, "down");
    assert_eq!(reason, "the address 192.0.2.1 is not on this machine");
    let _empty = world.exit(pool(&[]));
    assert_eq!(world.event().await.0, "down");
    let _device = world.exit(spec(ExitWay::Interface("nodevice0".to_owned())));
    let (event, reason) = world.event().await;
    assert_eq!(event, "down");
    assert!(reason.contains("nodevice0"), "{reason}");
}

#[tokio::test]
async fn an_exit_without_its_address_is_unavailable_and_says_nothing_of_the_network() {
    let world = World::new();
    for exit in [pool(&[NOT_HERE]), spec(ExitWay::Interface("nodevice0".to_owned()))] {
        let exit = world.exit(exit);
        let destination = to(closed_port().await);
        let expected = DialError::ExitUnavailable {
            reason: "its address is not in place".to_owned(),
            retry_after: Duration::from_secs(3),
        };
        assert_eq!(exit.dial(&destination, Opening::Unknown).await.unwrap_err(), expected);
        assert_eq!(exit.udp(loopback(1)).unwrap_err(), expected);
        let by_name = exit.dial(&to_name("example.com", 80), Opening::Unknown).await;
        assert_eq!(by_name.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn an_update_to_a_good_address_brings_it_up() {
    let mut world = World::new();
    let exit = world.exit(pool(&[NOT_HERE]));
    assert_eq!(world.event().await.0, "down");
    exit.update(pool(&[loopback(11)]));
    assert_eq!(world.event().await.0, "up 127.0.0.11");
}

#[tokio::test]
async fn a_silent_destination_alone_does_not_take_an_exit_down() {
    let server = NameServer::start(|_, _| Reply::NoSuchName).await;
    let mut world = World::plan().names(&server).start();
    let exit = world.exit(pool(&[loopback(11)]));
    assert_eq!(world.event().await.0, "up 127.0.0.11");
    // Nothing leads from a loopback address to these: as silent as dead.
    for last in 1..=5 {
        let destination = to(SocketAddr::from(([8, 8, 8, last], 80)));
        let failed = exit.dial(&destination, Opening::Unknown).await.unwrap_err();
        assert_eq!(failed, DialError::NetworkUnreachable);
    }
    // The name server was asked through the exit, and answered.
    soon(|| server.questions() > 0).await;
    soon(|| !exit.health.is_suspect()).await;
    assert!(world.has_no_event());
}

#[tokio::test]
async fn dead_destinations_do_not_take_an_exit_down_while_one_that_has_answered_still_does() {
    // No name server is asked through it: nobody else can tell.
    let origin = Origin::start().await;
    let mut world = World::new();
    let exit = world.exit(pool(&[loopback(11)]));
    assert_eq!(world.event().await.0, "up 127.0.0.11");
    assert!(origin.sees(&exit).await.is_ok());
    for last in 1..=5 {
        let destination = to(SocketAddr::from(([8, 8, 8, last], 80)));
        let failed = exit.dial(&destination, Opening::Unknown).await.unwrap_err();
        assert_eq!(failed, DialError::NetworkUnreachable);
    }
    soon(|| !exit.health.is_suspect()).await;
    assert!(world.has_no_event());
}

#[tokio::test]
async fn silent_destinations_and_silent_name_servers_take_an_exit_down_until_one_answers() {
    let origin = Origin::start().await;
    // A name server that answers nothing, neither by UDP nor by TCP.
    let mute = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    mute.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    mute.listen(0).unwrap();
    let address = mute.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queued.push(stream);
    }
    let mut plan = World::plan();
    plan.name_servers = NameServers::new(&[address]);
    let mut world = plan.start();
    let exit = world.exit(pool(&[loopback(11)]));
    assert_eq!(world.event().await.0, "up 127.0.0.11");
    for last in 1..=3 {
        let destination = to(SocketAddr::from(([8, 8, 8, last], 80)));
        assert!(exit.dial(&destination, Opening::Unknown).await.is_err());
    }
    let (event, reason) = world.event().await;
    assert_eq!(event, "down");
    assert_eq!(reason, "neither destinations nor name servers answer");
    let destination = to(SocketAddr::from(([8, 8, 8, 8], 80)));
    let failed = exit.dial(&destination, Opening::Unknown).await.unwrap_err();
    assert!(matches!(failed, DialError::ExitUnavailable { .. }), "{failed:?}");
    assert!(origin.sees(&exit).await.is_ok());
    assert_eq!(world.event().await.0, "up 127.0.0.11");
}

/// Dials by its other family's address may succeed all the while: it would be up with each, and down with each probe.
#[tokio::test]
async fn an_exit_that_lacks_an_address_is_down_until_the_address_is_there() {
    let mut world = World::new();
    let exit = world.exit(pool(&[NOT_HERE]));
    assert_eq!(world.event().await.0, "down");
    exit.health_good(exit.generation());
    assert!(world.has_no_event());
    assert!(exit.health.down_cause().is_some());
    exit.update(pool(&[loopback(11)]));
    assert_eq!(world.event().await.0, "up 127.0.0.11");
}

#[tokio::test]
async fn a_closed_exit_is_not_told_of() {
    let mut world = World::new();
    let exit = world.exit(pool(&[NOT_HERE]));
    assert_eq!(world.event().await.0, "down");
    exit.close();
    exit.update(pool(&[loopback(11)]));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(world.has_no_event());
}

#[tokio::test]
async fn many_exits_are_probed_within_seconds() {
    let mut world = World::new();
    let started = std::time::Instant::now();
    let _exits: Vec<_> = (0..5_000).map(|_| world.exit(pool(&[loopback(11)]))).collect();
    for _ in 0..5_000 {
        assert_eq!(world.event().await.0, "up 127.0.0.11");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
