//! UDP through a port, from a client whose router translates its addresses.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use testbed::dns::Reply;
use testbed::netns::Namespace;
use testbed::origin::Origin;
use testbed::turnpike::{Subscription, Turnpike};
use testbed::{eventually, poll};

use crate::client::{connected, log_in, of_address, of_name, request};
use crate::world::{ORIGIN, ORIGIN_V6, World, own};

/// How long a datagram that will not come is waited for.
const SILENCE: Duration = Duration::from_millis(400);

/// A SOCKS5 association, from wherever the test is.
pub(crate) struct Association {
    /// Its end is the association's.
    control: TcpStream,
    socket: UdpSocket,
    /// Where the client was told to send its datagrams to.
    pub(crate) relay: SocketAddr,
}

impl Association {
    /// Opens one; the client declares the address that it sends from, as far as it knows it, or zeros.
    ///
    /// # Errors
    /// The refusal, as `5:07`.
    pub(crate) fn open(bought: &Subscription, declares: bool) -> Result<Self, String> {
        let mut control = connected(bought.port)?;
        log_in(&mut control, bought)?;
        let socket = UdpSocket::bind((control.local_addr().unwrap().ip(), 0)).unwrap();
        let declared = match declares {
            true => socket.local_addr().unwrap(),
            false => (Ipv4Addr::UNSPECIFIED, 0).into(),
        };
        let relay = request(&mut control, 0x03, &of_address(declared))?;
        Ok(Self { control, socket, relay })
    }

    pub(crate) fn send(&self, destination: &[u8], payload: &str) {
        let datagram = [&[0, 0, 0], destination, payload.as_bytes()].concat();
        self.socket.send_to(&datagram, self.relay).unwrap();
    }

    /// The next answer and whom it is from.
    fn receive(&self, limit: Duration) -> Option<(SocketAddr, String)> {
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let mut datagram = [0; 65_536];
        let length = self.socket.recv(&mut datagram).ok()?;
        let (head, rest) = datagram[..length].split_at(4);
        let (from, rest) = match head {
            [0, 0, 0, 1] => {
                let (address, rest) = rest.split_first_chunk::<4>().unwrap();
                (IpAddr::from(*address), rest)
            }
            [0, 0, 0, 4] => {
                let (address, rest) = rest.split_first_chunk::<16>().unwrap();
                (IpAddr::from(*address), rest)
            }
            other => panic!("no datagram's head: {other:?}"),
        };
        let (port, payload) = rest.split_first_chunk::<2>().unwrap();
        let from = SocketAddr::new(from, u16::from_be_bytes(*port));
        Some((from, String::from_utf8_lossy(payload).into_owned()))
    }

    /// Waits until the gateway ends it.
    #[track_caller]
    pub(crate) fn ends(mut self) {
        assert_eq!(self.control.read(&mut [0; 1]).unwrap(), 0);
    }

    /// Sends until there is an answer: a datagram may be lost.
    #[track_caller]
    pub(crate) fn ask(&self, destination: &[u8], payload: &str) -> (SocketAddr, String) {
        let answer = poll(Duration::from_secs(20), || {
            self.send(destination, payload);
            self.receive(Duration::from_secs(1))
        });
        answer.expect("an answer")
    }
}

/// A client at 192.168.50.2, behind a router at 45.20.0.2 that gives its datagrams other ports.
fn behind_nat(world: &World) -> (Namespace, Namespace) {
    let router = world.neighbour(20);
    let client = Namespace::new().unwrap();
    router.connect("lan0", &client, "eth0");
    router.ip("addr add 192.168.50.1/24 dev lan0");
    client.ip("addr add 192.168.50.2/24 dev eth0");
    client.ip("route add default via 192.168.50.1");
    router.sysctl("net/ipv4/ip_forward", "1");
    router.nft(
        "table ip nat {
             chain leaving { type nat hook postrouting priority srcnat;
                 oifname \"eth0\" meta l4proto { tcp, udp } masquerade to :20000-20999; }
         }",
    );
    (client, router)
}

/// A machine at 192.168.60.2, whose router has the public address 45.20.0.2 and passes everything on that comes to it, as those of
/// clouds do.
fn behind_forwarding(world: &World) -> (Namespace, Namespace) {
    let router = world.neighbour(20);
    let inner = Namespace::new().unwrap();
    router.connect("lan0", &inner, "eth0");
    router.ip("addr add 192.168.60.1/24 dev lan0");
    inner.ip("addr add 192.168.60.2/24 dev eth0");
    inner.ip("route add default via 192.168.60.1");
    router.sysctl("net/ipv4/ip_forward", "1");
    router.nft(
        "table ip nat {
             chain arriving { type nat hook prerouting priority dstnat; iifname \"eth0\" ip daddr 45.20.0.2 dnat to 192.168.60.2; }
             chain leaving { type nat hook postrouting priority srcnat; oifname \"eth0\" masquerade; }
         }",
    );
    (inner, router)
}

/// A UDP server on the internet that tells whom it sees.
fn udp(world: &World, address: IpAddr) -> Origin {
    world.internet.enter(|| Origin::udp_at(address))
}

#[test]
fn a_client_behind_nat_gets_its_answers_from_the_exits_address() {
    let Some(world) = World::with_uplinks(1) else { return };
    let _names = world.names(|_| Reply::Addresses(vec![ORIGIN.into()], 60));
    let (client, _router) = behind_nat(&world);
    let shop = world
        .shop()
        .set("gateway.bind", "[\"0.0.0.0\"]")
        .set("gateway.public_host", "\"45.0.0.11\"")
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11", "2a0a:1::11"])
        .start();
    let (origin, origin_v6) = (udp(&world, ORIGIN.into()), udp(&world, ORIGIN_V6.into()));
    let bought = shop.buy("NL-AMS");
    assert_eq!(bought.port.ip(), own(0, 11));
    client.enter(|| {
        for declares in [false, true] {
            let association = Association::open(&bought, declares).unwrap();
            assert_eq!(association.relay, bought.port);
            let (at, at_v6) = (origin.address(), origin_v6.address());
            let answer = association.ask(&of_address(at), "one");
            assert_eq!(answer, (at, "45.1.0.11 one".to_owned()));
            let answer = association.ask(&of_name("echo.example", at.port()), "two");
            assert_eq!(answer, (at, "45.1.0.11 two".to_owned()));
            let answer = association.ask(&of_address(at_v6), "three");
            assert_eq!(answer, (at_v6, "2a0a:1::11 three".to_owned()));

            // It ends with its connection.
            let Association { control, socket, relay } = association;
            drop(control);
            let ended = Association {
                control: connected(bought.port).unwrap(),
                socket,
                relay,
            };
            eventually("the association has ended", || {
                ended.send(&of_address(at), "late");
                ended.receive(SILENCE).is_none()
            });
        }
    });
}

/// The system would answer from the first of them, and a client that has connected its socket would drop that.
/// sing-box tells such clients its private address (#3619).
#[test]
fn a_gateway_behind_nat_is_reached_where_it_says() {
    let Some(world) = World::with_uplinks(0) else { return };
    let (inner, _router) = behind_forwarding(&world);
    let shop = Turnpike::with()
        .inside(&inner)
        .set("gateway.bind", "[\"0.0.0.0\"]")
        .set("gateway.public_host", "\"45.20.0.2\"")
        .set("gateway.allow_destinations", "[]")
        .network("NL-AMS")
        .pool("nl-1", &["192.168.60.2"])
        .start();
    let (origin, bought) = (udp(&world, ORIGIN.into()), shop.buy("NL-AMS"));
    assert_eq!(bought.port.ip(), IpAddr::from([45, 20, 0, 2]));
    world.internet.enter(|| {
        for declares in [false, true] {
            let association = Association::open(&bought, declares).unwrap();
            assert_eq!(association.relay, bought.port);
            let answer = association.ask(&of_address(origin.address()), "hello");
            assert_eq!(answer, (origin.address(), "45.20.0.2 hello".to_owned()));
        }
    });
    // Whoever is inside, too, is told what he can reach.
    let inside = Subscription {
        port: SocketAddr::new([192, 168, 60, 2].into(), bought.port.port()),
        ..bought
    };
    shop.inside(|| {
        let association = Association::open(&inside, false).unwrap();
        assert_eq!(association.relay, inside.port);
        let answer = association.ask(&of_address(origin.address()), "hello");
        assert_eq!(answer, (origin.address(), "45.20.0.2 hello".to_owned()));
    });
}

#[test]
fn answers_come_from_the_address_of_ipv6_that_was_asked() {
    let Some(world) = World::with_uplinks(1) else { return };
    let client = world.neighbour(20);
    for host in ["12", "13"] {
        world.gateway.ip(&format!("addr add 2a0a:0::{host}/64 dev wan0"));
    }
    let shop = world
        .shop()
        .set("gateway.bind", "[\"0.0.0.0\", \"::\"]")
        .set("gateway.public_host", "\"45.0.0.11\"")
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11"])
        .start();
    let origin = udp(&world, ORIGIN.into());
    let bought = shop.buy("NL-AMS");
    for host in ["2a0a:0::11", "2a0a:0::12", "2a0a:0::13"] {
        let asked = Subscription {
            port: SocketAddr::new(host.parse().unwrap(), bought.port.port()),
            ..bought.clone()
        };
        client.enter(|| {
            let association = Association::open(&asked, false).unwrap();
            assert_eq!(association.relay, asked.port);
            association.socket.connect(asked.port).unwrap();
            let answer = association.ask(&of_address(origin.address()), "ping");
            assert_eq!(answer, (origin.address(), "45.1.0.11 ping".to_owned()));
        });
    }
}

/// The gateway hands several datagrams to the system at once, which refuses that where each has to be cut.
#[test]
fn datagrams_that_are_longer_than_the_exits_frames_arrive_all_the_same() {
    let Some(world) = World::with_uplinks(1) else { return };
    world.gateway.ip("link set wan1 mtu 1280");
    world.internet.ip("link set to1 mtu 1280");
    let shop = world
        .shop()
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11", "2a0a:1::11"])
        .start();
    let bought = shop.buy("NL-AMS");
    for (origin, exit) in [
        (udp(&world, ORIGIN.into()), "45.1.0.11"),
        (udp(&world, ORIGIN_V6.into()), "2a0a:1::11"),
    ] {
        shop.inside(|| {
            let association = Association::open(&bought, false).unwrap();
            let destination = of_address(origin.address());
            association.ask(&destination, "open");
            for round in 0..5 {
                let sent: Vec<_> = (0..20)
                    .map(|number| format!("{round} {number} {}", "x".repeat(1_400)))
                    .collect();
                for payload in &sent {
                    association.send(&destination, payload);
                }
                for payload in &sent {
                    let (from, answer) = association.receive(Duration::from_secs(20)).expect("an answer");
                    assert!(
                        from == origin.address() && answer == format!("{exit} {payload}"),
                        "{answer:.20}"
                    );
                }
            }
        });
    }
}

#[test]
fn two_clients_behind_one_router_get_each_their_own_answers() {
    let Some(world) = World::with_uplinks(1) else { return };
    let (client, _router) = behind_nat(&world);
    let shop = world
        .shop()
        .set("gateway.bind", "[\"0.0.0.0\"]")
        .set("gateway.public_host", "\"45.0.0.11\"")
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11"])
        .start();
    let origin = udp(&world, ORIGIN.into());
    let bought = shop.buy("NL-AMS");
    client.enter(|| {
        let destination = of_address(origin.address());
        let one = Association::open(&bought, false).unwrap();
        assert_eq!(one.ask(&destination, "first of one").1, "45.1.0.11 first of one");
        let other = Association::open(&bought, false).unwrap();
        assert_eq!(other.ask(&destination, "first of other").1, "45.1.0.11 first of other");
        assert_eq!(one.ask(&destination, "second of one").1, "45.1.0.11 second of one");
    });
}

#[test]
fn datagrams_leave_by_every_kind_of_exit_of_the_gateways_own() {
    let Some(world) = World::with_uplinks(2) else { return };
    world.gateway.ip("-6 route add local 2a0a:6400:1::/48 dev lo");
    world.gateway.ip("-6 rule add from 2a0a:6400:1::/48 lookup 101");
    world.internet.ip("-6 route add 2a0a:6400:1::/48 via 2a0a:1::11");
    let shop = world
        .shop()
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.12", "45.1.0.13"])
        .network("DE-BER")
        .exit("de-1", "interface = \"wan2\"")
        .network("FR-PAR")
        .exit("fr-1", "prefix = \"2a0a:6400:1::/48\"")
        .start();
    let (origin, origin_v6) = (udp(&world, ORIGIN.into()), udp(&world, ORIGIN_V6.into()));
    let (nl, de, fr) = (shop.buy("NL-AMS"), shop.buy("DE-BER"), shop.buy("FR-PAR"));
    let ask = |bought: &Subscription, origin: &Origin| {
        shop.inside(|| {
            let association = Association::open(bought, false).unwrap();
            association.ask(&of_address(origin.address()), "ping").1
        })
    };
    assert_eq!(ask(&nl, &origin), "45.1.0.12 ping");
    let up = shop
        .log()
        .lines()
        .find(|line| line.contains("exit is up") && line.contains("NL-AMS/nl-1"))
        .map(str::to_owned);
    assert!(
        up.as_ref()
            .is_some_and(|line| line.contains("45.1.0.12") && !line.contains("Some")),
        "{up:?}"
    );
    let told = shop.get(&nl.rotate_path).expect_status(200).json();
    assert_eq!(told["ip"], "45.1.0.13");
    assert_eq!(ask(&nl, &origin), "45.1.0.13 ping");
    // The main table would take wan0.
    assert_eq!(ask(&de, &origin), "45.2.0.11 ping");
    for _ in 0..2 {
        let told = shop.get(&fr.rotate_path).expect_status(200).json();
        assert_eq!(ask(&fr, &origin_v6), format!("{} ping", told["ip"].as_str().unwrap()));
    }
}

#[test]
fn no_datagram_reaches_what_is_private_or_the_gateways_own() {
    let Some(world) = World::with_uplinks(1) else { return };
    let _names = world.names(|_| Reply::Addresses(vec![Ipv4Addr::LOCALHOST.into(), [10, 20, 30, 40].into()], 60));
    for address in ["10.20.30.40", "169.254.169.254"] {
        world.internet_has(address);
    }
    let own = world.gateway.enter(|| Origin::udp_at(Ipv4Addr::UNSPECIFIED.into()));
    let outside = world.internet.enter(|| Origin::udp_at(Ipv4Addr::UNSPECIFIED.into()));
    let shop = world.shop().network("NL-AMS").pool("nl-1", &["45.1.0.11"]).start();
    let bought = shop.buy("NL-AMS");
    let (at_own, at_outside) = (own.address().port(), outside.address().port());
    shop.inside(|| {
        let association = Association::open(&bought, false).unwrap();
        let to = |host: &str, port| of_address(SocketAddr::new(host.parse().unwrap(), port));
        for destination in [
            to("127.0.0.1", at_own),
            to("45.1.0.11", at_own),
            to("45.0.0.11", at_own),
            to("::ffff:127.0.0.1", at_own),
            of_name("localhost", at_own),
            of_name("inside.example", at_own),
            of_name("inside.example", at_outside),
            to("10.20.30.40", at_outside),
            to("169.254.169.254", at_outside),
        ] {
            association.send(&destination, "in");
        }
        // Sent last: had one of the others got out, it would have arrived by now, or would answer.
        let public = to(&ORIGIN.to_string(), at_outside);
        assert_eq!(association.ask(&public, "out").1, "45.1.0.11 out");
        assert_eq!(association.receive(SILENCE), None);
    });
    assert_eq!(own.visits(), []);
    assert!(outside.visits().iter().all(|visit| visit.said == "out"));
}
