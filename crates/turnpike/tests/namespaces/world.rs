//! The machines that the tests stand on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use testbed::dns::{NameServer, Question, Reply};
use testbed::netns::Namespace;
use testbed::origin::Origin;
use testbed::turnpike::{Builder, Subscription, Turnpike};
use testbed::{eventually, http, program, skip};

/// Where origins are, in an address block that is nobody's but the internet's.
pub(crate) const ORIGIN: Ipv4Addr = Ipv4Addr::new(198, 35, 26, 96);
/// The same machine by IPv6.
pub(crate) const ORIGIN_V6: Ipv6Addr = Ipv6Addr::new(0x2620, 0, 0x862, 0, 0, 0, 0, 0x96);
/// Where the internet's name server is.
pub(crate) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(198, 35, 26, 53);
/// The internet's addresses, beside its ends of the uplinks.
const INTERNET: [&str; 6] = [
    "198.35.26.53/32",
    "198.35.26.96/32",
    "198.35.26.97/32",
    "198.35.26.98/32",
    "198.35.26.99/32",
    "2620:0:862::96/128",
];

/// The gateway's machine and the internet, joined by uplinks.
///
/// Uplink `n` is the gateway's device `wan{n}` with the network 45.n.0.0/24, where .1 is the internet's end and .11, .12, .13
/// are the gateway's addresses, and 2a0a:n::/64, where ::1 and ::11 are. What is bound to one of these addresses or to the
/// device leaves by that uplink. Everything else of the gateway's own leaves by `wan0`.
pub(crate) struct World {
    pub(crate) gateway: Namespace,
    pub(crate) internet: Namespace,
}

impl World {
    /// The machines with so many uplinks beside `wan0`, or nothing where that is not permitted: then it has been said.
    pub(crate) fn with_uplinks(count: u8) -> Option<Self> {
        if program("nft").is_none() {
            skip("no nft on this machine (Debian: nftables)");
            return None;
        }
        let (gateway, internet) = match (Namespace::new(), Namespace::new()) {
            (Ok(gateway), Ok(internet)) => (gateway, internet),
            (Err(why), _) | (_, Err(why)) => {
                skip(&why);
                return None;
            }
        };
        configure(&gateway);
        configure(&internet);
        internet.sysctl("net/ipv4/ip_forward", "1");
        internet.sysctl("net/ipv6/conf/all/forwarding", "1");
        for address in INTERNET {
            internet.ip(&format!("addr add {address} dev lo"));
        }
        let world = Self { gateway, internet };
        for number in 0..=count {
            world.lay_uplink(number);
        }
        world.gateway.ip("route add default via 45.0.0.1 dev wan0");
        world.gateway.ip("-6 route add default via 2a0a:0::1 dev wan0");
        settle(&world.gateway);
        settle(&world.internet);
        Some(world)
    }

    fn lay_uplink(&self, number: u8) {
        let (wan, end) = (format!("wan{number}"), format!("to{number}"));
        self.gateway.connect(&wan, &self.internet, &end);
        self.internet.ip(&format!("addr add 45.{number}.0.1/24 dev {end}"));
        self.internet.ip(&format!("addr add 2a0a:{number}::1/64 dev {end}"));
        for host in [11, 12, 13] {
            self.gateway.ip(&format!("addr add 45.{number}.0.{host}/24 dev {wan}"));
        }
        self.gateway.ip(&format!("addr add 2a0a:{number}::11/64 dev {wan}"));
        let table = 100 + u32::from(number);
        self.gateway.ip(&format!(
            "route add default via 45.{number}.0.1 dev {wan} table {table}"
        ));
        self.gateway.ip(&format!(
            "-6 route add default via 2a0a:{number}::1 dev {wan} table {table}"
        ));
        for rule in [
            format!("-4 rule add from 45.{number}.0.0/24 lookup {table}"),
            format!("-4 rule add oif {wan} lookup {table}"),
            format!("-6 rule add from 2a0a:{number}::/64 lookup {table}"),
            format!("-6 rule add oif {wan} lookup {table}"),
        ] {
            self.gateway.ip(&rule);
        }
    }

    /// A machine of somebody else's on the internet, at 45.n.0.2 and 2a0a:n::2.
    pub(crate) fn neighbour(&self, number: u8) -> Namespace {
        let machine = Namespace::new().expect("as many namespaces as wanted");
        configure(&machine);
        let end = format!("to{number}");
        machine.connect("eth0", &self.internet, &end);
        self.internet.ip(&format!("addr add 45.{number}.0.1/24 dev {end}"));
        self.internet.ip(&format!("addr add 2a0a:{number}::1/64 dev {end}"));
        machine.ip(&format!("addr add 45.{number}.0.2/24 dev eth0"));
        machine.ip(&format!("addr add 2a0a:{number}::2/64 dev eth0"));
        machine.ip(&format!("route add default via 45.{number}.0.1"));
        machine.ip(&format!("-6 route add default via 2a0a:{number}::1"));
        settle(&machine);
        settle(&self.internet);
        machine
    }

    /// Gives the internet another address.
    pub(crate) fn internet_has(&self, address: &str) {
        // Of either family: an address alone is the whole of its network.
        self.internet.ip(&format!("addr add {address} dev lo"));
        settle(&self.internet);
    }

    /// An HTTP server on the internet.
    pub(crate) fn origin(&self) -> Origin {
        self.internet.enter(|| Origin::http_at(ORIGIN.into()))
    }

    /// A server on the internet that sends back what it gets.
    pub(crate) fn echo(&self) -> Origin {
        self.internet.enter(|| Origin::echo_at(ORIGIN.into()))
    }

    /// The internet's name server, which [`World::shop`] asks.
    pub(crate) fn names(&self, script: impl Fn(&Question) -> Reply + Send + Sync + 'static) -> NameServer {
        self.internet
            .enter(move || NameServer::at((NAME_SERVER, 53).into(), script))
    }

    /// An HTTP server on the internet at an address of IPv6.
    pub(crate) fn origin_v6(&self) -> Origin {
        self.internet.enter(|| Origin::http_at(ORIGIN_V6.into()))
    }

    /// An installation on the gateway, with the destination rule as strict as it comes.
    pub(crate) fn shop(&self) -> Builder {
        let shop = Turnpike::with().inside(&self.gateway);
        shop.set("gateway.allow_destinations", "[]")
            .set("gateway.dns_servers", &format!("[\"{NAME_SERVER}:53\"]"))
    }
}

/// An address of uplink `number` on the gateway.
pub(crate) fn own(number: u8, host: u8) -> IpAddr {
    Ipv4Addr::new(45, number, 0, host).into()
}

/// Whom the origin sees.
#[track_caller]
pub(crate) fn seen(shop: &Turnpike, bought: &Subscription, origin: &Origin) -> IpAddr {
    shop.inside(|| bought.address_at(origin))
}

/// What a metric says, such as `turnpike_exit_up{exit="NL-AMS/nl-1"}`; absent where there is none.
pub(crate) fn metric(shop: &Turnpike, name: &str) -> Option<f64> {
    let answer = shop.inside(|| http::request(shop.metrics(), "GET", "/metrics", &[], b""));
    let line = answer.body.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

/// Whether the metrics say that an exit, such as `NL-AMS/nl-1`, is up.
pub(crate) fn is_up(shop: &Turnpike, exit: &str) -> bool {
    metric(shop, &format!("turnpike_exit_up{{exit=\"{exit}\"}}")) == Some(1.0)
}

/// Waits until the machine's addresses of IPv6 can be used, which the kernel sees to a moment after they were given.
fn settle(machine: &Namespace) {
    let tentative = || {
        let listed = machine.command("ip").args(["-6", "addr", "show", "tentative"]).output();
        listed.expect("running ip").stdout
    };
    eventually("addresses of IPv6 can be used", || tentative().is_empty());
}

fn configure(machine: &Namespace) {
    for name in ["default", "all"] {
        // Addresses can be used at once: nobody else can have them.
        machine.sysctl(&format!("net/ipv6/conf/{name}/accept_dad"), "0");
        machine.sysctl(&format!("net/ipv6/conf/{name}/dad_transmits"), "0");
        // An answer may come by another device than the main table would take.
        machine.sysctl(&format!("net/ipv4/conf/{name}/rp_filter"), "0");
        // The first address of a device can go without the others.
        machine.sysctl(&format!("net/ipv4/conf/{name}/promote_secondaries"), "1");
    }
}
