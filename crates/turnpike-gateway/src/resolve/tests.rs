#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::net::Ipv4Addr;

use hickory_resolver::proto::op::Message;
use tokio::net::UdpSocket;

use super::name_server::{NameServer, Reply, answer};
use super::servers::SYSTEM_CHECK_INTERVAL;
use super::*;

const V4: Families = Families { v4: true, v6: false };
const BOTH: Families = Families { v4: true, v6: true };

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn service(server: &NameServer) -> NameService {
    NameService::new(NameServers::new(&[server.address]), Descriptors::of_this_process())
}

fn resolver_of(server: &NameServer) -> Arc<Resolver> {
    let source = Source::of_address(Ipv4Addr::new(127, 0, 0, 9).into(), false);
    Resolver::new(source, service(server))
}

#[tokio::test]
async fn a_name_is_asked_once_from_the_exit_s_address_and_kept_although_its_ttl_is_0() {
    let server = NameServer::start(|_, _| Reply::Addresses(vec![v4(1)], 0)).await;
    let resolver = resolver_of(&server);
    for _ in 0..5 {
        let addresses = resolver.addresses("example.com", V4).await;
        assert_eq!(addresses, Ok(vec![v4(1)]));
    }
    assert_eq!(server.questions(), 1);
    let source = server.last_source().unwrap();
    assert_eq!(source.ip(), IpAddr::from([127, 0, 0, 9]));
}

#[tokio::test]
async fn identical_questions_in_flight_are_joined() {
    let server = NameServer::start(|_, _| Reply::Late(Duration::from_millis(200), vec![v4(1)])).await;
    let resolver = resolver_of(&server);
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let resolver = Arc::clone(&resolver);
            tokio::spawn(async move { resolver.addresses("example.com", V4).await })
        })
        .collect();
    for one in asked {
        assert_eq!(one.await.unwrap(), Ok(vec![v4(1)]));
    }
    assert_eq!(server.questions(), 1);
}

#[tokio::test]
async fn both_families_are_asked_at_once_and_a_silent_one_does_not_hold_up_the_other() {
    let server = NameServer::start(|_, kind| match kind {
        RecordType::A => Reply::Addresses(vec![v4(1)], 60),
        _ => Reply::Silence,
    })
    .await;
    let resolver = resolver_of(&server);
    let started = Instant::now();
    let addresses = resolver.addresses("example.com", BOTH).await;
    assert_eq!(addresses, Ok(vec![v4(1)]));
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_family_that_the_exit_lacks_is_not_asked_for() {
    let server = NameServer::start(|_, kind| match kind {
        RecordType::A => Reply::Addresses(vec![v4(1)], 60),
        other => panic!("asked for {other}"),
    })
    .await;
    let addresses = resolver_of(&server).addresses("example.com", V4).await;
    assert_eq!(addresses, Ok(vec![v4(1)]));
    assert_eq!(server.questions(), 1);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_remembered() {
    let server = NameServer::start(|_, _| Reply::NoSuchName).await;
    let resolver = resolver_of(&server);
    for _ in 0..3 {
        let addresses = resolver.addresses("missing.example.com", BOTH).await;
        assert_eq!(addresses, Err(ResolveError::NoSuchName));
    }
    assert_eq!(server.questions(), 2, "one for each family");
}

#[tokio::test]
async fn a_name_without_addresses_of_the_family_is_no_such_name() {
    let server = NameServer::start(|_, _| Reply::Addresses(Vec::new(), 60)).await;
    let addresses = resolver_of(&server).addresses("example.com", V4).await;
    assert_eq!(addresses, Err(ResolveError::NoSuchName));
}

#[tokio::test]
async fn a_server_that_fails_gives_no_answer() {
    let server = NameServer::start(|_, _| Reply::ServerFailure).await;
    let addresses = resolver_of(&server).addresses("example.com", V4).await;
    assert!(matches!(addresses, Err(ResolveError::NoAnswer(_))), "{addresses:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_costs_five_seconds_at_most() {
    let server = NameServer::start(|_, _| Reply::Silence).await;
    let resolver = resolver_of(&server);
    let started = Instant::now();
    let addresses = resolver.addresses("example.com", BOTH).await;
    assert!(matches!(addresses, Err(ResolveError::NoAnswer(_))), "{addresses:?}");
    assert!(
        started.elapsed() < Duration::from_millis(5_300),
        "{:?}",
        started.elapsed()
    );
    // Whoever asks next is told at once.
    let started = Instant::now();
    assert!(resolver.addresses("example.com", BOTH).await.is_err());
    assert!(started.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn an_alias_that_leads_back_to_itself_ends() {
    let server = NameServer::start(|name, _| match name {
        "one.example.com" => Reply::Alias("two.example.com."),
        _ => Reply::Alias("one.example.com."),
    })
    .await;
    let started = Instant::now();
    let addresses = resolver_of(&server).addresses("one.example.com", V4).await;
    assert!(addresses.is_err());
    assert!(started.elapsed() < Duration::from_millis(5_300));
    assert!(server.questions() < 100, "{}", server.questions());
}

#[tokio::test]
async fn an_alias_is_followed() {
    let server = NameServer::start(|name, _| match name {
        "www.example.com" => Reply::Alias("host.example.net."),
        _ => Reply::Addresses(vec![v4(7)], 60),
    })
    .await;
    let addresses = resolver_of(&server).addresses("www.example.com", V4).await;
    assert_eq!(addresses, Ok(vec![v4(7)]));
}

#[tokio::test]
async fn of_a_thousand_addresses_a_few_are_kept() {
    let many = || (0..1_000_u32).map(|number| IpAddr::from(Ipv4Addr::from_bits(number + (8 << 24))));
    let server = NameServer::start(move |_, _| Reply::Addresses(many().collect(), 60)).await;
    let addresses = resolver_of(&server).addresses("example.com", V4).await;
    assert_eq!(addresses.unwrap().len(), MAX_ADDRESSES);
}

#[tokio::test]
async fn a_new_resolver_asks_anew() {
    let server = NameServer::start(|_, _| Reply::Addresses(vec![v4(1)], 3_600)).await;
    let service = service(&server);
    for asked in 1..=2 {
        let source = Source::of_address(Ipv4Addr::LOCALHOST.into(), false);
        let resolver = Resolver::new(source, service.clone());
        assert!(resolver.addresses("example.com", V4).await.is_ok());
        assert_eq!(server.questions(), asked);
    }
}

#[tokio::test]
async fn a_missing_list_of_servers_is_said_and_a_later_one_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("resolv.conf");
    let servers = NameServers::system(path.clone());
    let error = servers.current().unwrap_err();
    assert!(error.contains("resolv.conf"), "{error}");
    std::fs::write(&path, "nameserver 192.0.2.53\noptions ndots:5\n").unwrap();
    if let NameServers::System { read, .. } = &servers {
        read.lock().unwrap().as_mut().unwrap().looked_at -= SYSTEM_CHECK_INTERVAL;
    }
    assert_eq!(*servers.current().unwrap(), [SocketAddr::new(v4(53), 53)]);
}

#[test]
fn a_public_address_does_not_ask_a_resolver_on_loopback() {
    let source = Source::of_address(v4(1), false);
    assert_eq!(source.towards_name_server([127, 0, 0, 53].into()), Source::Unbound);
    assert_eq!(source.towards_name_server([192, 0, 2, 53].into()), source);
    let demo = Source::of_address([127, 0, 0, 11].into(), false);
    assert_eq!(demo.towards_name_server([192, 0, 2, 53].into()), Source::Unbound);
    assert_eq!(demo.towards_name_server([127, 0, 0, 53].into()), demo);
}

/// So many turns there are in these tests.
const FEW: usize = 64;

/// A resolver with few turns.
fn busy_resolver_of(server: &NameServer) -> Arc<Resolver> {
    let resolver = resolver_of(server);
    resolver.turns.forget_permits(MAX_QUESTIONS - FEW);
    resolver
}

/// Asks for `count` different names at the same time.
fn ask(resolver: &Arc<Resolver>, count: usize) -> Vec<tokio::task::JoinHandle<Result<Vec<IpAddr>, ResolveError>>> {
    (0..count)
        .map(|number| {
            let resolver = Arc::clone(resolver);
            tokio::spawn(async move { resolver.addresses(&format!("n{number}.example.com"), V4).await })
        })
        .collect()
}

#[tokio::test]
async fn names_that_are_never_answered_hold_a_bounded_number_of_sockets() {
    let server = NameServer::start(|_, _| Reply::Silence).await;
    let resolver = busy_resolver_of(&server);
    let asked = ask(&resolver, 10 * FEW);
    let start = Instant::now();
    while server.questions() < FEW {
        assert!(start.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(resolver.turns.available_permits(), 0);
    // Each may be repeated a few times before it is given up.
    let mut most = 0;
    while start.elapsed() < PATIENCE {
        most = most.max(resolver.service.descriptors.used());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!((FEW..=FEW * 3).contains(&most), "{most}");
    // Those who do not wait any more have no turn.
    asked.iter().for_each(tokio::task::JoinHandle::abort);
    while resolver.service.descriptors.used() > 0 {
        assert!(start.elapsed() < 3 * DEADLINE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn more_names_than_have_room_are_answered_in_turn() {
    let server = NameServer::start(|_, _| Reply::Late(Duration::from_millis(50), vec![v4(1)])).await;
    let resolver = busy_resolver_of(&server);
    for one in ask(&resolver, FEW * 10) {
        assert_eq!(one.await.unwrap(), Ok(vec![v4(1)]));
    }
    assert_eq!(resolver.service.descriptors.used(), 0);
}

#[tokio::test]
async fn no_name_is_asked_for_with_files_that_others_need() {
    let server = NameServer::start(|_, _| Reply::Addresses(vec![v4(1)], 60)).await;
    let full = Descriptors::with_limit(1);
    let resolver = Resolver::new(
        Source::Unbound,
        NameService::new(NameServers::new(&[server.address]), full.clone()),
    );
    let others = full.take(1);
    let refused = resolver.addresses("example.com", V4).await;
    assert!(matches!(refused, Err(ResolveError::NoAnswer(_))), "{refused:?}");
    assert_eq!(server.questions(), 0);
    drop(others);
    assert_eq!(resolver.addresses("example.org", V4).await, Ok(vec![v4(1)]));
}

#[tokio::test]
async fn questions_leave_subscriptions_their_ports() {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let ends: Vec<u16> = range.split_whitespace().map(|end| end.parse().unwrap()).collect();
    let server = NameServer::start(|_, _| Reply::Addresses(vec![v4(1)], 60)).await;
    let resolver = resolver_of(&server);
    for number in 0..50 {
        assert!(resolver.addresses(&format!("n{number}.example.com"), V4).await.is_ok());
        let port = server.last_source().unwrap().port();
        assert!((ends[0]..=ends[1]).contains(&port), "{port}");
    }
}

/// 3proxy took an answer from whoever sent one until 0.9.9.
#[tokio::test]
async fn an_answer_of_somebody_else_or_to_something_else_is_not_believed() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let elsewhere = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let next_door = UdpSocket::bind(("127.0.0.2", address.port())).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = server.recv_from(&mut buffer).await {
            let say = async |last: u8| {
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let rule = move |_: &str, _| Reply::Addresses(vec![v4(last)], 60);
                answer(question, &rule, 1_232).await.unwrap()
            };
            // Whoever has seen the question, but does not sit where it went to.
            elsewhere.send_to(&say(66).await, from).await.unwrap();
            next_door.send_to(&say(66).await, from).await.unwrap();
            // Whoever can write the server's address, but has not seen the question: another number, another name.
            let mut another_number = say(66).await;
            another_number[0] ^= 1;
            server.send_to(&another_number, from).await.unwrap();
            let mut another_name = say(66).await;
            another_name[13] = b'x';
            server.send_to(&another_name, from).await.unwrap();
            server.send_to(&say(1).await, from).await.unwrap();
        }
    });
    let servers = NameServers::new(&[address]);
    let source = Source::of_address(Ipv4Addr::new(127, 0, 0, 9).into(), false);
    let resolver = Resolver::new(source, NameService::new(servers, Descriptors::of_this_process()));
    assert_eq!(resolver.addresses("origin.example", V4).await, Ok(vec![v4(1)]));
}
