//! Names: asked for from where the exit stands, and no lie of a name server's gets anybody inside.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use testbed::dns::{NameServer, Question, Reply};
use testbed::netns::Namespace;
use testbed::origin::Origin;

use crate::client::{Entry, Outcome};
use crate::world::{ORIGIN, ORIGIN_V6, World, is_up, own};

/// By these a name can be given.
const BY_NAME: [Entry; 4] = [Entry::Connect, Entry::Forward, Entry::Socks4a, Entry::Socks5Name];

fn addresses(addresses: &[&str]) -> Reply {
    Reply::Addresses(addresses.iter().map(|address| address.parse().unwrap()).collect(), 0)
}

#[test]
fn a_name_is_asked_for_from_the_exits_address_and_means_what_it_means_there() {
    let Some(world) = World::with_uplinks(2) else { return };
    let here = world.origin();
    let there = world.internet.enter(|| Origin::http_at([198, 35, 26, 97].into()));
    // As content networks do it.
    let names = world.names(|question| match question.from.ip() {
        from if from == own(1, 11) => Reply::Addresses(vec![ORIGIN.into()], 60),
        _ => Reply::Addresses(vec![[198, 35, 26, 97].into()], 60),
    });
    let shop = world
        .shop()
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11"])
        .network("DE-BER")
        .exit("de-1", "interface = \"wan2\"")
        .start();
    for (bought, origin, from) in [
        (shop.buy("NL-AMS"), &here, own(1, 11)),
        (shop.buy("DE-BER"), &there, own(2, 11)),
    ] {
        for entry in BY_NAME {
            let fetched = shop.inside(|| entry.fetch(&bought, "cdn.example", origin.address().port()));
            assert_eq!(fetched, Ok(from.to_string()), "{entry:?}");
        }
        assert_eq!(origin.visitors(), [from; BY_NAME.len()]);
    }
    let asked: HashSet<IpAddr> = names.questions().iter().map(|question| question.from.ip()).collect();
    assert_eq!(asked, HashSet::from([own(1, 11), own(2, 11)]));
}

#[test]
fn a_name_that_is_said_to_be_inside_is_not_dialled_whatever_it_was_before() {
    let Some(world) = World::with_uplinks(1) else { return };
    let inside = world.gateway.enter(|| Origin::http_at(Ipv4Addr::LOCALHOST.into()));
    let outside = world.origin();
    let asked = Mutex::new(0);
    let names = world.names(move |question| match question.name.as_str() {
        "mapped.example" => addresses(&["::ffff:127.0.0.1", "64:ff9b::7f00:1", "::1"]),
        "both.example" => addresses(&["127.0.0.1", "::1", "198.35.26.96", "10.0.0.1"]),
        _ if question.v6 => addresses(&[]),
        "inside.example" => addresses(&["127.0.0.1"]),
        // Public for the one who judges, inside for the one who dials: those who ask twice lose.
        _ => {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            addresses(&[if *asked % 2 == 1 { "198.35.26.96" } else { "127.0.0.1" }])
        }
    });
    let shop = world
        .shop()
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11", "45.1.0.12", "2a0a:1::11"])
        .start();
    let bought = shop.buy("NL-AMS");
    for entry in BY_NAME {
        let fetch = |name, origin: &Origin| shop.inside(|| entry.fetch(&bought, name, origin.address().port()));
        for name in ["inside.example", "mapped.example"] {
            assert_eq!(fetch(name, &inside), Outcome::Prohibited.by(entry), "{entry:?} {name}");
        }
        assert_eq!(fetch("both.example", &outside), Ok("45.1.0.11".to_owned()), "{entry:?}");
        assert!(fetch("both.example", &inside).is_err(), "{entry:?}");
    }
    for turn in 0..8 {
        let entry = BY_NAME[turn % BY_NAME.len()];
        let fetched = shop.inside(|| entry.fetch(&bought, "flip.example", inside.address().port()));
        assert!(fetched.is_err(), "{entry:?}");
        // Nothing of what was known is used after a rotation: the name is asked for anew.
        let _ = shop.get(&bought.rotate_path).expect_status(200);
    }
    let flips = names
        .questions()
        .iter()
        .filter(|one| one.name == "flip.example" && !one.v6)
        .count();
    assert!(flips >= 8, "{flips}");
    assert_eq!(inside.visits(), []);
}

#[test]
fn a_name_server_that_fails_is_told_from_a_name_that_is_not_there() {
    let Some(world) = World::with_uplinks(1) else { return };
    let _names = world.names(|question| match question.name.as_str() {
        "good.example" => Reply::Addresses(vec![ORIGIN.into()], 60),
        "hesitant.example" => Reply::After(Duration::from_secs(1), Box::new(addresses(&["198.35.26.96"]))),
        "slow.example" => Reply::After(Duration::from_secs(9), Box::new(addresses(&["198.35.26.96"]))),
        "silent.example" => Reply::Silence,
        "failing.example" => Reply::Failure,
        "loop.example" => Reply::Alias("again.example".to_owned()),
        "again.example" => Reply::Alias("loop.example".to_owned()),
        "empty.example" => addresses(&[]),
        _ => Reply::NoSuchName,
    });
    let shop = world
        .shop()
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11", "2a0a:1::11"])
        .start();
    let origin = world.origin();
    let bought = shop.buy("NL-AMS");
    let cases = [
        ("nowhere.example", Outcome::NoSuchName),
        ("empty.example", Outcome::NoSuchName),
        ("slow.example", Outcome::NameTimeout),
        ("silent.example", Outcome::NameTimeout),
        ("failing.example", Outcome::NameTimeout),
    ];
    let fetch = &|entry: Entry, name| shop.inside(|| entry.fetch(&bought, name, origin.address().port()));
    thread::scope(|scope| {
        for (name, outcome) in cases {
            for entry in BY_NAME {
                scope.spawn(move || assert_eq!(fetch(entry, name), outcome.by(entry), "{entry:?} {name}"));
            }
        }
        scope.spawn(|| assert!(fetch(Entry::Connect, "loop.example").is_err()));
        for name in ["good.example", "hesitant.example"] {
            scope.spawn(move || assert_eq!(fetch(Entry::Connect, name), Ok("45.1.0.11".to_owned()), "{name}"));
        }
    });
    assert_eq!(fetch(Entry::Connect, "good.example"), Ok("45.1.0.11".to_owned()));
    assert!(is_up(&shop, "NL-AMS/nl-1"));
}

#[test]
fn a_name_with_a_dead_address_of_one_family_is_reached_by_the_other() {
    let Some(world) = World::with_uplinks(1) else { return };
    let _names = world.names(|question: &Question| match question.name.as_str() {
        "dead6.example" => addresses(&["2620:0:862::dead", "198.35.26.96"]),
        _ => addresses(&["2620:0:862::96", "198.35.26.99"]),
    });
    world.internet_has("2620:0:862::dead");
    world.internet.nft(
        "table inet fault {
             chain arriving { type filter hook input priority 0;
             ip daddr 198.35.26.99 drop; ip6 daddr 2620:0:862::dead drop; }
         }",
    );
    let shop = world
        .shop()
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11", "2a0a:1::11"])
        .network("DE-BER")
        .pool("de-1", &["45.1.0.12"])
        .start();
    let (origin, origin_v6) = (world.origin(), world.origin_v6());
    let (both, only_v4) = (shop.buy("NL-AMS"), shop.buy("DE-BER"));
    for entry in BY_NAME {
        let since = Instant::now();
        let fetch = |name, origin: &Origin| shop.inside(|| entry.fetch(&both, name, origin.address().port()));
        assert_eq!(fetch("dead6.example", &origin), Ok("45.1.0.11".to_owned()), "{entry:?}");
        assert_eq!(
            fetch("dead4.example", &origin_v6),
            Ok("2a0a:1::11".to_owned()),
            "{entry:?}"
        );
        // A dead address alone takes ten seconds.
        assert!(
            since.elapsed() < Duration::from_secs(8),
            "{entry:?}: {:?}",
            since.elapsed()
        );
    }
    assert_eq!(origin_v6.address().ip(), IpAddr::from(ORIGIN_V6));
    // An exit of one family does not try the other.
    let fetched = shop.inside(|| Entry::Connect.fetch(&only_v4, "dead6.example", origin.address().port()));
    assert_eq!(fetched, Ok("45.1.0.12".to_owned()));
}

/// What a machine's DHCP names in `/etc/resolv.conf` is mostly the router of the network that it is managed by.
#[test]
fn a_name_server_next_door_is_asked_from_next_door_whatever_way_the_exit_leaves() {
    let Some(world) = World::with_uplinks(1) else { return };
    let lan = Namespace::new().expect("as many namespaces as wanted");
    lan.connect("eth0", &world.gateway, "lan0");
    lan.ip("addr add 192.168.1.1/24 dev eth0");
    world.gateway.ip("addr add 192.168.1.10/24 dev lan0");
    let names = lan.enter(|| {
        NameServer::at(([192, 168, 1, 1], 53).into(), |question: &Question| match question.v6 {
            true => addresses(&[]),
            false => Reply::Addresses(vec![ORIGIN.into()], 0),
        })
    });
    let shop = world
        .shop()
        .set("gateway.dns_servers", "[\"192.168.1.1:53\"]")
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11"])
        .network("DE-BER")
        .exit("de-1", "interface = \"wan1\"")
        .start();
    let origin = world.origin();
    for network in ["NL-AMS", "DE-BER"] {
        let bought = shop.buy(network);
        let fetched = shop.inside(|| Entry::Connect.fetch(&bought, "some.example", origin.address().port()));
        assert_eq!(fetched, Ok("45.1.0.11".to_owned()), "{network}");
    }
    let next_door = IpAddr::from([192, 168, 1, 10]);
    assert!(names.questions().iter().all(|question| question.from.ip() == next_door));
}
