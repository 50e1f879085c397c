//! Exits that do not get out: what their customers are told, that others notice nothing, and that they come back by themselves.

use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use testbed::dns::Reply;
use testbed::turnpike::{Subscription, Turnpike};
use testbed::{eventually, poll, tunnel};

use crate::client::{Entry, Outcome};
use crate::world::{ORIGIN, World, is_up, own, seen};

/// Makes the internet treat what it gets by an uplink in this way, until [`heal`].
fn fault(world: &World, rule: &str) {
    world.internet.nft(&format!(
        "table inet fault {{\n chain arriving {{ type filter hook input priority 0; {rule}; }}\n }}"
    ));
}

fn heal(world: &World) {
    world.internet.nft("delete table inet fault");
}

/// What each entry is told about its destination, all asked at once.
fn told(shop: &Turnpike, bought: &Subscription, questions: &[(Entry, &str)]) -> Vec<Result<String, String>> {
    thread::scope(|scope| {
        let ask = |(entry, host): &(Entry, &str)| shop.inside(|| entry.fetch(bought, host, 80));
        let asked: Vec<_> = questions
            .iter()
            .map(|question| scope.spawn(move || ask(question)))
            .collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

/// Every way to be told the same of one destination.
fn all_told(outcome: Outcome) -> [Result<String, String>; 4] {
    ENTRIES.map(|entry| outcome.by(entry))
}

/// One of each protocol, and both of HTTP.
const ENTRIES: [Entry; 4] = [Entry::Connect, Entry::Forward, Entry::Socks5, Entry::Socks4];

/// Whether a tunnel to an echoing origin works.
fn echoes(tunnel: &TcpStream) -> bool {
    tunnel::echoes(tunnel, b"ping").is_ok()
}

#[test]
fn a_silent_exit_is_down_for_all_to_see_until_it_is_back() {
    let Some(world) = World::with_uplinks(3) else { return };
    let _names = world.names(|_| Reply::NoSuchName);
    let shop = world
        .shop()
        .network("NL-AMS")
        .shared("nl-1", "45.1.0.11", 3)
        .shared("nl-2", "45.2.0.11", 3)
        .network("DE-BER")
        .pool("de-1", &["45.3.0.11"])
        .start();
    let (origin, echo) = (world.origin(), world.echo());
    let bought = shop.buy_shared("NL-AMS");
    let address = seen(&shop, &bought, &origin);
    let (number, other) = if address == own(1, 11) { (1, 2) } else { (2, 1) };
    let (exit, port) = (format!("NL-AMS/nl-{number}"), origin.address().port());
    let neighbour = shop.buy("DE-BER");
    let tunnel = shop
        .inside(|| Entry::Connect.open(&neighbour, &ORIGIN.to_string(), echo.address().port()))
        .unwrap();

    fault(&world, &format!("iifname \"to{number}\" drop"));
    let since = Instant::now();
    let (took, answers) = thread::scope(|scope| {
        let answers = scope.spawn(|| {
            told(
                &shop,
                &bought,
                &[
                    (Entry::Connect, "198.35.26.96"),
                    (Entry::Forward, "198.35.26.97"),
                    (Entry::Socks5, "198.35.26.98"),
                    (Entry::Socks4, "198.35.26.99"),
                ],
            )
        });
        eventually("the silent exit is down", || !is_up(&shop, &exit));
        (since.elapsed(), answers.join().unwrap())
    });
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(answers, all_told(Outcome::Unavailable));
    // A purchase goes where it is of use; without the fault the same exit would have been next.
    let elsewhere = shop.buy_shared("NL-AMS");
    assert_eq!(seen(&shop, &elsewhere, &origin), own(other, 11));
    assert!(is_up(&shop, "DE-BER/de-1"));
    assert!(echoes(&tunnel));

    heal(&world);
    eventually("it is up again", || is_up(&shop, &exit));
    assert_eq!(seen(&shop, &bought, &origin), address);
    let back = shop.buy_shared("NL-AMS");
    assert_eq!(seen(&shop, &back, &origin), address);
    assert!(
        shop.inside(|| Entry::Socks5.fetch(&bought, &ORIGIN.to_string(), port))
            .is_ok()
    );
    assert!(echoes(&tunnel));
}

#[test]
fn a_silent_destination_is_told_as_such_and_is_not_the_exits_fault() {
    let Some(world) = World::with_uplinks(1) else { return };
    let shop = world.shop().network("NL-AMS").pool("nl-1", &["45.1.0.11"]).start();
    let origin = world.origin();
    let bought = shop.buy("NL-AMS");
    fault(&world, "ip daddr 198.35.26.99 drop");
    let answers = told(&shop, &bought, &ENTRIES.map(|entry| (entry, "198.35.26.99")));
    assert_eq!(answers, all_told(Outcome::TimedOut));
    assert!(is_up(&shop, "NL-AMS/nl-1"));
    assert_eq!(seen(&shop, &bought, &origin), own(1, 11));
}

#[test]
fn a_reset_ends_the_tunnel_and_new_ones_are_told_that_they_are_refused() {
    let Some(world) = World::with_uplinks(2) else { return };
    let shop = world
        .shop()
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11"])
        .network("DE-BER")
        .pool("de-1", &["45.2.0.11"])
        .start();
    let (origin, echo) = (world.origin(), world.echo());
    let (nl, de) = (shop.buy("NL-AMS"), shop.buy("DE-BER"));
    let open = |bought| {
        shop.inside(|| Entry::Socks5.open(bought, &ORIGIN.to_string(), echo.address().port()))
            .unwrap()
    };
    let (tunnel, other) = (open(&nl), open(&de));
    assert!(echoes(&tunnel) && echoes(&other));

    fault(&world, "iifname \"to1\" meta l4proto tcp reject with tcp reset");
    assert!(!echoes(&tunnel));
    assert!(echoes(&other));
    let asked = ENTRIES.map(|entry| (entry, "198.35.26.96"));
    assert_eq!(told(&shop, &nl, &asked), all_told(Outcome::Refused));
    heal(&world);
    for (way, outcome) in [
        ("icmp host-unreachable", Outcome::HostUnreachable),
        ("icmp net-unreachable", Outcome::NetworkUnreachable),
    ] {
        fault(&world, &format!("iifname \"to1\" meta l4proto tcp reject with {way}"));
        assert_eq!(told(&shop, &nl, &asked), all_told(outcome), "{way}");
        heal(&world);
    }
    // Somebody has answered all the time.
    assert!(is_up(&shop, "NL-AMS/nl-1"));
    assert_eq!(seen(&shop, &nl, &origin), own(1, 11));
    assert!(echoes(&other));
}

#[test]
fn an_exit_whose_device_is_down_says_so_at_once_and_comes_back_with_it() {
    let Some(world) = World::with_uplinks(2) else { return };
    let shop = world
        .shop()
        .network("NL-AMS")
        .exit("nl-1", "interface = \"wan1\"")
        .network("DE-BER")
        .exit("de-1", "interface = \"wan2\"")
        .start();
    let origin = world.origin();
    let (nl, de) = (shop.buy("NL-AMS"), shop.buy("DE-BER"));
    assert_eq!(seen(&shop, &nl, &origin), own(1, 11));

    world.gateway.ip("link set wan1 down");
    unavailable_at_once(&shop, &nl, origin.address());
    eventually("it is down", || !is_up(&shop, "NL-AMS/nl-1"));
    assert!(is_up(&shop, "DE-BER/de-1"));
    assert_eq!(seen(&shop, &de, &origin), own(2, 11));

    world.gateway.ip("link set wan1 up");
    world.gateway.ip("route add default via 45.1.0.1 dev wan1 table 101");
    eventually("it is up again", || is_up(&shop, "NL-AMS/nl-1"));
    assert_eq!(seen(&shop, &nl, &origin), own(1, 11));
}

#[test]
fn an_exit_whose_address_has_gone_says_so_at_once_and_comes_back_with_it() {
    let Some(world) = World::with_uplinks(1) else { return };
    let shop = world.shop().network("NL-AMS").pool("nl-1", &["45.1.0.12"]).start();
    let origin = world.origin();
    let bought = shop.buy("NL-AMS");
    assert_eq!(seen(&shop, &bought, &origin), own(1, 12));

    world.gateway.ip("addr del 45.1.0.12/24 dev wan1");
    unavailable_at_once(&shop, &bought, origin.address());
    assert!(!is_up(&shop, "NL-AMS/nl-1"));

    world.gateway.ip("addr add 45.1.0.12/24 dev wan1");
    eventually("it is up again", || is_up(&shop, "NL-AMS/nl-1"));
    assert_eq!(seen(&shop, &bought, &origin), own(1, 12));
}

/// Every entry is told that the exit is unavailable, without the wait for a destination that does not answer.
#[track_caller]
fn unavailable_at_once(shop: &Turnpike, bought: &Subscription, origin: SocketAddr) {
    let since = Instant::now();
    for entry in Entry::ALL {
        let fetched = shop.inside(|| entry.fetch(bought, &ORIGIN.to_string(), origin.port()));
        assert_eq!(fetched, Outcome::Unavailable.by(entry), "{entry:?}");
    }
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
}

/// A telephone in a lift, a laptop that was shut: nothing says that they are gone.
#[test]
fn a_client_that_has_fallen_asleep_is_let_go() {
    let Some(world) = World::with_uplinks(1) else { return };
    let shop = world
        .shop()
        .set("gateway.bind", "[\"0.0.0.0\"]")
        .set("gateway.public_host", "\"45.0.0.11\"")
        .set("gateway.idle_timeout", "\"1h\"")
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11"])
        .start();
    let (client, echo, bought) = (world.neighbour(20), world.echo(), shop.buy("NL-AMS"));
    let files = || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", shop.pid()));
        open.unwrap().count()
    };
    let open = |entry: Entry| client.enter(|| entry.open(&bought, &ORIGIN.to_string(), echo.address().port()));
    // The first one fills what stays.
    drop(open(Entry::Connect).unwrap());
    eventually("the first one has ended", || tunnels_open(&shop) == 0);
    let before = files();
    let asleep = [Entry::Connect, Entry::Socks5, Entry::Socks4].map(|entry| open(entry).unwrap());
    assert!(asleep.iter().all(echoes));
    assert_eq!(tunnels_open(&shop), 3);
    // Else the system would try again for a quarter of an hour, and the idle time would end them.
    eventually("they have acknowledged everything", || {
        !is_unacknowledged(&shop, bought.port.port())
    });

    world.internet.nft(
        "table inet asleep {
             chain passing { type filter hook forward priority 0; iifname \"to20\" drop; oifname \"to20\" drop; }
         }",
    );
    // Four signs of life are asked for after a minute of silence, fifteen seconds apart.
    let gone = poll(Duration::from_secs(240), || {
        (tunnels_open(&shop) == 0 && files() <= before).then_some(())
    });
    assert!(gone.is_some(), "{} tunnels, {} files", tunnels_open(&shop), files());
    drop(asleep);
}

/// Whether something that was sent from this port has not been acknowledged.
fn is_unacknowledged(shop: &Turnpike, port: u16) -> bool {
    let table = shop.inside(|| std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap());
    let port = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[1].ends_with(&port) && !fields[4].starts_with("00000000:")
    })
}

/// What the metrics say.
fn tunnels_open(shop: &Turnpike) -> u64 {
    let metrics =
        shop.inside(|| testbed::http::request(shop.metrics(), "GET", "/metrics", &[], b"").expect_status(200));
    let line = metrics
        .body
        .lines()
        .find_map(|line| line.strip_prefix("turnpike_tunnels_open "));
    line.expect("the number of tunnels").parse().expect("a number")
}
