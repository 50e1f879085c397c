//! What the survey finds, by what the destination rule says after it.

use secrecy::SecretString;

use super::*;
use crate::egress::Verdict;
use crate::exit::{Survey, Upstream};
use crate::resolve::name_server::Reply;

const OWN: Verdict = Verdict::Refused("an address of this installation");
const UPSTREAM: Verdict = Verdict::Refused("an address of an upstream proxy");

impl World {
    fn survey(&self, public_host: &str) -> Survey {
        Survey::new(Arc::clone(&self.environment), public_host.to_owned(), Vec::new())
    }

    fn judged(&self, address: &str) -> Verdict {
        let address = SocketAddr::new(address.parse().unwrap(), 22);
        self.environment.policy.judge(address, false)
    }
}

fn upstream(host: &str) -> Upstream {
    Upstream {
        host: host.to_owned(),
        port: 1080,
        credentials: Some(("user".to_owned(), SecretString::from("word"))),
    }
}

#[tokio::test]
async fn what_leads_here_by_an_exit_is_refused_while_the_exit_is_there() {
    let world = World::new();
    let ways = [
        ExitWay::Pool(vec!["1.2.3.4".parse().unwrap(), "2606:4700::4".parse().unwrap()]),
        ExitWay::Prefix("2606:4700:7::/48".parse().unwrap()),
        ExitWay::Socks5Upstream(upstream("1.2.3.5")),
        ExitWay::HttpUpstream(upstream("[2606:4700::5]")),
    ];
    let exits: Vec<_> = ways.map(|way| world.exit(spec(way))).into();
    let mut survey = world.survey("1.2.3.6");
    let ours = [
        ("1.2.3.4", OWN),
        ("2606:4700::4", OWN),
        ("2606:4700:7::1", OWN),
        ("2606:4700:7:ffff::1", OWN),
        ("1.2.3.5", UPSTREAM),
        ("2606:4700::5", UPSTREAM),
    ];
    for (address, _) in ours {
        assert_eq!(world.judged(address), Verdict::Allowed, "{address}");
    }
    survey.take(&exits).await;
    for (address, verdict) in ours {
        assert_eq!(world.judged(address), verdict, "{address}");
    }
    assert_eq!(world.judged("2606:4700:8::1"), Verdict::Allowed);
    assert_eq!(world.judged("1.2.3.6"), OWN, "where customers know the gateway");
    survey.take(&[]).await;
    for (address, _) in ours {
        assert_eq!(world.judged(address), Verdict::Allowed, "{address}");
    }
    assert_eq!(world.judged("1.2.3.6"), OWN);
}

#[tokio::test]
async fn what_the_machines_interfaces_have_is_refused() {
    let world = World::new();
    world.survey("1.2.3.6").take(&[]).await;
    let strange = if_addrs::get_if_addrs().unwrap();
    for address in strange
        .iter()
        .map(if_addrs::Interface::ip)
        .filter(|ip| !ip.is_loopback())
    {
        assert_eq!(world.judged(&address.to_string()), OWN, "{address}");
    }
    assert_eq!(
        world.judged("127.0.0.1"),
        Verdict::Allowed,
        "the operator has opened loopback"
    );
}

#[tokio::test]
async fn the_networks_of_exits_devices_stay_closed_in_a_range_that_is_open() {
    let policy = Arc::new(DestinationPolicy::new(vec!["0.0.0.0/0".parse().unwrap()], Vec::new()));
    let (sender, _events) = mpsc::unbounded_channel();
    let name_servers = NameServers::system(PathBuf::from("/nonexistent/resolv.conf"));
    let bounds = Bounds::new(Duration::from_secs(1));
    let descriptors = Descriptors::of_this_process();
    let environment = Environment::with(Arc::clone(&policy), name_servers, bounds, descriptors, sender);
    let loopback = |last| SocketAddr::new(loopback(last), 80);
    let mut survey = Survey::new(Arc::clone(&environment), "1.2.3.6".to_owned(), Vec::new());
    survey.take(&[]).await;
    assert_eq!(policy.judge(loopback(9), false), Verdict::Allowed);
    assert_eq!(policy.judge(loopback(1), false), OWN);
    // Every machine has one device whose network is not public.
    let device = Exit::new(spec(ExitWay::Interface("lo".to_owned())), Arc::clone(&environment));
    survey.take(&[device]).await;
    assert_eq!(
        policy.judge(loopback(9), false),
        Verdict::Refused("an address on the network of an exit's device")
    );
    // A pool's address may be a modem's as well.
    survey.take(&[]).await;
    let pool = Exit::new(pool(&[Ipv4Addr::LOCALHOST.into()]), environment);
    survey.take(&[pool]).await;
    assert_ne!(policy.judge(loopback(9), false), Verdict::Allowed);
}

/// A database that is known by name, in a network that the operator has opened. Of what he wrote, the narrower word wins.
#[tokio::test]
async fn what_the_system_says_of_own_hosts_stays_closed_in_a_range_that_is_open() {
    let ranges = ["10.0.0.0/8", "10.1.2.9/32"].map(|range| range.parse().unwrap());
    let policy = Arc::new(DestinationPolicy::new(ranges.into(), Vec::new()));
    let (sender, _events) = mpsc::unbounded_channel();
    let name_servers = NameServers::system(PathBuf::from("/nonexistent/resolv.conf"));
    let bounds = Bounds::new(Duration::from_secs(1));
    let environment = Environment::with(
        Arc::clone(&policy),
        name_servers,
        bounds,
        Descriptors::of_this_process(),
        sender,
    );
    let judged = |address: &str| policy.judge(address.parse().unwrap(), false);
    // Names that the system knows without asking anybody, as it reads old spellings of addresses; and one that it does not know.
    let hosts = ["10.66051", "10.1.521", "no-such-host.invalid"].map(str::to_owned);
    let mut survey = Survey::new(environment, "1.2.3.6".to_owned(), hosts.into());
    assert_eq!(judged("10.1.2.3:5432"), Verdict::Allowed);
    survey.take(&[]).await;
    assert_eq!(judged("10.1.2.3:5432"), OWN);
    assert_eq!(judged("10.1.2.4:5432"), Verdict::Allowed);
    assert_eq!(judged("10.1.2.9:5432"), Verdict::Allowed, "the operator has named it");
    survey.take(&[]).await;
    assert_eq!(judged("10.1.2.3:5432"), OWN);
}

#[tokio::test]
async fn names_of_ours_are_looked_up_and_remembered() {
    let server = NameServer::start(|name, _| match name {
        "proxy.example.com" => Reply::Addresses(vec!["1.2.3.4".parse().unwrap()], 60),
        "upstream.example.net" => Reply::Addresses(vec!["1.2.3.5".parse().unwrap()], 60),
        _ => Reply::ServerFailure,
    })
    .await;
    let world = World::plan().names(&server).start();
    let exit = world.exit(spec(ExitWay::Socks5Upstream(upstream("upstream.example.net"))));
    let mut survey = world.survey("proxy.example.com");
    survey.take(&[exit]).await;
    assert_eq!(world.judged("1.2.3.4"), OWN);
    assert_eq!(world.judged("1.2.3.5"), UPSTREAM);
    survey.take(&[]).await;
    assert_eq!(world.judged("1.2.3.4"), OWN);
    assert_eq!(world.judged("1.2.3.5"), Verdict::Allowed);
}

#[tokio::test]
async fn a_name_without_an_answer_keeps_the_addresses_that_it_had() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = NameServer::start(
        move |_, _| match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 | 1 => Reply::Addresses(vec!["1.2.3.4".parse().unwrap()], 0),
            _ => Reply::ServerFailure,
        },
    )
    .await;
    let world = World::plan().names(&server).start();
    let mut survey = world.survey("proxy.example.com");
    survey.take(&[]).await;
    world.environment.names.forget();
    survey.take(&[]).await;
    assert!(server.questions() > 2);
    assert_eq!(world.judged("1.2.3.4"), OWN);
}
