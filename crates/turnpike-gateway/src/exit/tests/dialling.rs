use super::*;
use crate::resolve::name_server::Reply;

#[tokio::test]
async fn the_origin_sees_the_exits_address() {
    let (world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(pool(&[loopback(11), loopback(12)]));
    assert_eq!(origin.sees(&exit).await, Ok(loopback(11)));
    assert_eq!(exit.present_address(), Some(loopback(11)));
    assert_eq!(exit.generation(), 1);
}

#[tokio::test]
async fn a_restart_keeps_the_address() {
    let (world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(ExitSpec {
        present_address: Some(loopback(12)),
        ..pool(&[loopback(11), loopback(12)])
    });
    assert_eq!(origin.sees(&exit).await, Ok(loopback(12)));
}

#[tokio::test]
async fn a_first_address_that_is_not_on_this_machine_is_passed_over() {
    let (world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(pool(&[NOT_HERE, loopback(12)]));
    assert_eq!(origin.sees(&exit).await, Ok(loopback(12)));
}

#[tokio::test]
async fn a_device_dials_with_its_own_address() {
    let (mut world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(spec(ExitWay::Interface("lo".to_owned())));
    assert_eq!(world.event().await.0, "up");
    assert_eq!(origin.sees(&exit).await, Ok(loopback(1)));
    assert_eq!(exit.present_address(), None);
}

#[tokio::test]
async fn a_pool_of_both_families_dials_both() {
    let Ok(origin) = TcpListener::bind("[::1]:0").await else {
        return; // No IPv6 on this machine.
    };
    let world = World::new();
    let exit = world.exit(pool(&[loopback(11), "::1".parse().unwrap()]));
    let dialed = exit.dial(&to(origin.local_addr().unwrap()), Opening::Unknown).await;
    assert!(dialed.is_ok());
    assert_eq!(Origin::start().await.sees(&exit).await, Ok(loopback(11)));
}

#[tokio::test]
async fn an_exit_does_not_dial_a_family_that_it_lacks() {
    let world = World::new();
    let exit = world.exit(pool(&[loopback(11)]));
    let destination = to("[::1]:80".parse().unwrap());
    assert_eq!(
        exit.dial(&destination, Opening::Unknown).await.unwrap_err(),
        DialError::NetworkUnreachable
    );
}

#[tokio::test]
async fn a_refusal_is_the_destinations() {
    let world = World::new();
    let exit = world.exit(pool(&[loopback(11)]));
    let refused = exit.dial(&to(closed_port().await), Opening::Unknown).await.unwrap_err();
    assert_eq!(refused, DialError::Refused);
}

#[tokio::test]
async fn a_destination_that_never_answers_times_out() {
    let world = World::plan()
        .bounds(|bounds| bounds.connect = Duration::from_millis(400))
        .start();
    let exit = world.exit(pool(&[loopback(11)]));
    // A full backlog drops what comes next, as a dead host does.
    let full = FullListener::new().await;
    let outcome = exit.dial(&to(full.address), Opening::Unknown).await.unwrap_err();
    assert_eq!(outcome, DialError::TimedOut);
}

#[tokio::test]
async fn private_addresses_and_port_25_are_prohibited() {
    let world = World::new();
    let exit = world.exit(pool(&[loopback(11)]));
    for prohibited in ["10.0.0.1:80", "127.0.0.1:25"] {
        let outcome = exit.dial(&to(prohibited.parse().unwrap()), Opening::Unknown).await;
        assert!(
            matches!(outcome, Err(DialError::Prohibited(_))),
            "{prohibited}: {outcome:?}"
        );
    }
    let outcome = exit.dial(&to_name("localhost", 80), Opening::Unknown).await;
    assert!(matches!(outcome, Err(DialError::Prohibited(_))), "{outcome:?}");
    let mailing = world.exit(ExitSpec {
        allow_smtp: true,
        ..pool(&[loopback(11)])
    });
    let outcome = mailing
        .dial(&to("127.0.0.1:25".parse().unwrap()), Opening::Unknown)
        .await;
    assert!(!matches!(outcome, Err(DialError::Prohibited(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_name_is_resolved_and_dialled() {
    let origin = Origin::start().await;
    let server = NameServer::start(|_, _| Reply::Addresses(vec![loopback(1)], 60)).await;
    let world = World::plan().names(&server).start();
    let exit = world.exit(pool(&[loopback(11)]));
    let name = to_name("example.com", origin.address.port());
    let dialed = exit.dial(&name, Opening::Unknown).await.unwrap();
    assert_eq!(line(dialed.stream.into_socket()).await, "127.0.0.11");
}

#[tokio::test]
async fn a_names_addresses_take_turns_where_no_more_files_may_be_open() {
    let origin = Origin::start().await;
    let server =
        NameServer::start(|_, _| Reply::Addresses(vec![loopback(2), loopback(3), loopback(4), loopback(1)], 60)).await;
    let mut plan = World::plan().names(&server);
    plan.descriptors = Descriptors::with_limit(2);
    let world = plan.start();
    let exit = world.exit(pool(&[loopback(11)]));
    let name = to_name("example.com", origin.address.port());
    assert!(exit.dial(&name, Opening::Unknown).await.is_ok());
    assert_eq!(world.environment.descriptors.used(), 0);
}

#[tokio::test]
async fn of_a_names_addresses_only_allowed_ones_are_dialled() {
    let origin = Origin::start().await;
    let private = IpAddr::from([10, 0, 0, 1]);
    let server = NameServer::start(move |name, _| match name {
        "mixed.example.com" => Reply::Addresses(vec![private, loopback(1)], 60),
        _ => Reply::Addresses(vec![private], 60),
    })
    .await;
    let world = World::plan().names(&server).start();
    let exit = world.exit(pool(&[loopback(11)]));
    let mixed = to_name("mixed.example.com", origin.address.port());
    assert!(exit.dial(&mixed, Opening::Unknown).await.is_ok());
    let outcome = exit.dial(&to_name("private.example.com", 80), Opening::Unknown).await;
    assert!(matches!(outcome, Err(DialError::Prohibited(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_judged_by_the_answer_that_is_dialled() {
    let origin = Origin::start().await;
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = NameServer::start(move |_, _| {
        let before = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let address = if before == 0 {
            loopback(1)
        } else {
            IpAddr::from([10, 0, 0, 1])
        };
        Reply::Addresses(vec![address], 0)
    })
    .await;
    let world = World::plan().names(&server).start();
    let name = to_name("rebind.example.com", origin.address.port());
    let exit = world.exit(pool(&[loopback(11)]));
    assert!(exit.dial(&name, Opening::Unknown).await.is_ok());
    assert_eq!(server.questions(), 1, "one answer is judged and dialled");
    let other = world.exit(pool(&[loopback(12)]));
    let outcome = other.dial(&name, Opening::Unknown).await;
    assert!(matches!(outcome, Err(DialError::Prohibited(_))), "{outcome:?}");
}

#[tokio::test]
async fn names_fail_in_their_own_ways() {
    let server = NameServer::start(|name, _| match name {
        "missing.example.com" => Reply::NoSuchName,
        _ => Reply::ServerFailure,
    })
    .await;
    let world = World::plan().names(&server).start();
    let exit = world.exit(pool(&[loopback(11)]));
    let outcome = exit.dial(&to_name("missing.example.com", 80), Opening::Unknown).await;
    let missing = DialError::NoSuchName("missing.example.com".to_owned());
    assert_eq!(outcome.unwrap_err(), missing);
    let outcome = exit.dial(&to_name("broken.example.com", 80), Opening::Unknown).await;
    let broken = DialError::NameTimeout("broken.example.com".to_owned());
    assert_eq!(outcome.unwrap_err(), broken);
}

#[tokio::test]
async fn without_a_list_of_name_servers_names_fail_and_addresses_work() {
    let (world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(pool(&[loopback(11)]));
    let outcome = exit.dial(&to_name("example.com", 80), Opening::Unknown).await;
    assert!(matches!(outcome, Err(DialError::NameTimeout(_))), "{outcome:?}");
    assert!(origin.sees(&exit).await.is_ok());
}

#[tokio::test]
async fn datagrams_leave_from_the_exits_address() {
    let world = World::new();
    let exit = world.exit(pool(&[loopback(11)]));
    let origin = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let destination = to(origin.local_addr().unwrap());
    let address = exit.resolve_udp(&destination).await.unwrap();
    let egress = exit.udp(address.ip()).unwrap();
    egress.socket.send_to(b"hello", address).await.unwrap();
    let (_, from) = origin.recv_from(&mut [0; 16]).await.unwrap();
    assert_eq!(from.ip(), loopback(11));
    assert!(exit.accepts_reply_from(address));
    assert!(!exit.accepts_reply_from("10.0.0.1:53".parse().unwrap()));
    assert!(matches!(
        exit.udp("::1".parse().unwrap()),
        Err(DialError::NetworkUnreachable)
    ));
}

/// A listener that accepts nothing and whose queue is full.
struct FullListener {
    address: SocketAddr,
    _socket: socket2::Socket,
    _queued: Vec<TcpStream>,
}

impl FullListener {
    async fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queued.push(stream);
        }
        Self {
            address,
            _socket: socket,
            _queued: queued,
        }
    }
}
