//! Exits that are other people's proxies: microsocks, tinyproxy, Dante and v2ray as Debian has them, and sing-box, on a
//! machine of their own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use tempfile::TempDir;
use testbed::client::sing_box;
use testbed::dns::Reply;
use testbed::netns::Namespace;
use testbed::origin::Origin;
use testbed::turnpike::{Subscription, Turnpike};
use testbed::{eventually, program, skip};

use crate::client::{Entry, Outcome, of_address, of_name};
use crate::datagrams::Association;
use crate::page::Page;
use crate::world::{ORIGIN, ORIGIN_V6, World, is_up, own, seen};

/// Another of the internet's addresses.
const OTHER_ORIGIN: Ipv4Addr = Ipv4Addr::new(198, 35, 26, 97);

/// A proxy that somebody else runs, and how it is started.
struct Program {
    name: &'static str,
    arguments: &'static [&'static str],
    configuration: &'static str,
    port: u16,
    /// Which machine of the world it has: [`World::neighbour`].
    machine: u8,
    url: &'static str,
    /// The longest datagram that it carries; absent where it carries none.
    longest_datagram: Option<usize>,
}

impl Program {
    fn path(&self) -> Option<PathBuf> {
        match self.name {
            "sing-box" => sing_box(),
            name => program(name),
        }
    }

    /// The address that it leaves from.
    fn address(&self) -> IpAddr {
        Ipv4Addr::new(45, self.machine, 0, 2).into()
    }
}

const MICROSOCKS: Program = Program {
    name: "microsocks",
    arguments: &["-p", "1080", "-u", "turnpike", "-P", "p:ss w%rd"],
    configuration: "",
    port: 1080,
    machine: 30,
    url: "socks5://turnpike:p%3Ass%20w%25rd@45.30.0.2:1080",
    longest_datagram: None,
};

const TINYPROXY: Program = Program {
    name: "tinyproxy",
    arguments: &["-d", "-c", "CONFIGURATION"],
    configuration: "Port 3128\nTimeout 60\nMaxClients 50\nBasicAuth turnpike p4ssword\nLogLevel Critical\n",
    port: 3128,
    machine: 31,
    url: "http://turnpike:p4ssword@45.31.0.2:3128",
    longest_datagram: None,
};

/// It knows its customers by their addresses, and judges what comes back by a rule of its own.
const DANTE: Program = Program {
    name: "danted",
    arguments: &["-f", "CONFIGURATION"],
    configuration: "logoutput: stderr
internal: 0.0.0.0 port = 1080
external: 45.32.0.2
clientmethod: none
socksmethod: none
user.unprivileged: nobody
client pass { from: 45.0.0.11/32 to: 0.0.0.0/0 }
socks pass { from: 45.0.0.11/32 to: 0.0.0.0/0 command: connect udpassociate }
socks pass { from: 0.0.0.0/0 to: 45.0.0.11/32 command: udpreply }
",
    port: 1080,
    machine: 32,
    url: "socks5://45.32.0.2:1080",
    longest_datagram: Some(65_000),
};

const SING_BOX: Program = Program {
    name: "sing-box",
    arguments: &["run", "--config", "CONFIGURATION"],
    configuration: r#"{
        "log": {"level": "warn"},
        "inbounds": [{
            "type": "mixed", "listen": "::", "listen_port": 1080,
            "users": [{"username": "turnpike", "password": "p:ss w%rd"}]
        }],
        "outbounds": [{"type": "direct"}]
    }"#,
    port: 1080,
    machine: 33,
    url: "socks5://turnpike:p%3Ass%20w%25rd@45.33.0.2:1080",
    // It holds one in sixteen kilobytes.
    longest_datagram: Some(16_000),
};

/// It says that its relay is at 127.0.0.1, as proxies behind a NAT say some address of theirs that leads nowhere.
const V2RAY: Program = Program {
    name: "v2ray",
    arguments: &["-config", "CONFIGURATION"],
    configuration: r#"{
        "log": {"loglevel": "warning"},
        "inbounds": [{
            "protocol": "socks", "listen": "0.0.0.0", "port": 1080,
            "settings": {
                "auth": "password", "accounts": [{"user": "turnpike", "pass": "p:ss w%rd"}],
                "udp": true, "ip": "127.0.0.1"
            }
        }],
        "outbounds": [{"protocol": "freedom"}]
    }"#,
    port: 1080,
    machine: 34,
    url: "socks5://turnpike:p%3Ass%20w%25rd@45.34.0.2:1080",
    // It holds one in two kilobytes, with all that stands before it.
    longest_datagram: Some(1_472),
};

/// One that is running on the partner's machine.
struct Proxy {
    process: Child,
    machine: Namespace,
    _directory: TempDir,
}

impl Proxy {
    /// Starts it, or says that there is no such program.
    fn start(world: &World, program: &Program) -> Option<Self> {
        if program.path().is_some() {
            Some(Self::on(world.neighbour(program.machine), program))
        } else {
            skip(&format!(
                "no {} on this machine (`cargo xtask setup` installs it)",
                program.name
            ));
            None
        }
    }

    /// Starts it on a machine, and waits until it listens.
    fn on(machine: Namespace, start: &Program) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let configuration = directory.path().join("configuration");
        fs::write(&configuration, start.configuration).unwrap();
        let configuration = configuration.display().to_string();
        let process = machine
            .command(start.path().unwrap())
            .args(
                start
                    .arguments
                    .iter()
                    .map(|word| word.replace("CONFIGURATION", &configuration)),
            )
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let listens = || machine.enter(|| TcpStream::connect((Ipv4Addr::LOCALHOST, start.port)).is_ok());
        eventually("the proxy listens", listens);
        Self {
            process,
            machine,
            _directory: directory,
        }
    }

    /// Ends it; its machine.
    fn stop(self) -> Namespace {
        self.machine.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn exit(upstream: &str) -> String {
    format!("upstream = \"{upstream}\"")
}

/// Leaves by the upstream in every way, and finds out what it does not carry.
#[track_caller]
fn leaves_by(program: &Program) {
    let Some(world) = World::with_uplinks(0) else { return };
    let Some(proxy) = Proxy::start(&world, program) else {
        return;
    };
    let shop = world.shop().network("NL-AMS").exit("nl-1", &exit(program.url)).start();
    let origin = world.origin();
    let bought = shop.buy("NL-AMS");
    let host = ORIGIN.to_string();
    shop.inside(|| {
        for entry in Entry::ALL {
            let fetched = entry.fetch(&bought, &host, origin.address().port());
            assert_eq!(fetched, Ok(program.address().to_string()), "{entry:?}");
            // The rule holds before the upstream sees anything: it could reach its own machine.
            for host in ["127.0.0.1", &program.address().to_string()] {
                assert_eq!(
                    entry.fetch(&bought, host, program.port),
                    Outcome::Prohibited.by(entry),
                    "{entry:?} {host}"
                );
            }
        }
        if let Some(longest) = program.longest_datagram {
            carries_datagrams(&world, &proxy.machine, &bought, program, longest);
        } else {
            let udp = Association::open(&bought, false);
            assert_eq!(udp.err().as_deref(), Some("5:07"));
        }
    });
    assert_eq!(origin.visitors(), [program.address(); Entry::ALL.len()]);
    assert!(is_up(&shop, "NL-AMS/nl-1"));
}

/// Exchanges datagrams through the upstream, of all lengths, with two that must each be told from the other.
#[track_caller]
fn carries_datagrams(world: &World, machine: &Namespace, bought: &Subscription, program: &Program, longest: usize) {
    let [one, other] = [ORIGIN, OTHER_ORIGIN].map(|at| world.internet.enter(|| Origin::udp_at(at.into())));
    let association = Association::open(bought, false).unwrap();
    assert_eq!(association.relay, bought.port);
    for origin in [&one, &other, &one] {
        let answer = association.ask(&of_address(origin.address()), "ping");
        assert_eq!(answer, (origin.address(), format!("{} ping", program.address())));
    }
    let long = "x".repeat(longest);
    let answer = association.ask(&of_address(one.address()), &long);
    assert!(answer == (one.address(), format!("{} {long}", program.address())));
    // It could reach what is on its own machine.
    let inside = machine.enter(|| Origin::udp_at(Ipv4Addr::UNSPECIFIED.into()));
    for closed in [Ipv4Addr::LOCALHOST.into(), program.address()] {
        association.send(&of_address((closed, inside.address().port()).into()), "closed");
    }
    association.ask(&of_address(one.address()), "sent last");
    assert_eq!(inside.visits(), []);
}

#[test]
fn sing_box_is_an_exit() {
    leaves_by(&SING_BOX);
}

#[test]
fn v2ray_is_an_exit() {
    leaves_by(&V2RAY);
}

#[test]
fn names_for_datagrams_are_resolved_by_the_gateway_and_the_upstream_gets_addresses() {
    let Some(world) = World::with_uplinks(0) else { return };
    let Some(_proxy) = Proxy::start(&world, &DANTE) else {
        return;
    };
    let names = world.names(|_| Reply::Addresses(vec![ORIGIN.into()], 60));
    let shop = world.shop().network("NL-AMS").exit("nl-1", &exit(DANTE.url)).start();
    let origin = world.internet.enter(|| Origin::udp_at(ORIGIN.into()));
    let bought = shop.buy("NL-AMS");
    let answer = shop.inside(|| {
        let association = Association::open(&bought, false).unwrap();
        association.ask(&of_name("echo.example", origin.address().port()), "by name")
    });
    assert_eq!(answer, (origin.address(), format!("{} by name", DANTE.address())));
    assert!(
        names
            .questions()
            .iter()
            .all(|question| question.from.ip() == own(0, 11))
    );
}

#[test]
fn an_association_ends_with_its_upstream_and_another_opens_when_that_is_back() {
    let Some(world) = World::with_uplinks(0) else { return };
    let Some(proxy) = Proxy::start(&world, &SING_BOX) else {
        return;
    };
    let shop = world.shop().network("NL-AMS").exit("nl-1", &exit(SING_BOX.url)).start();
    let origin = world.internet.enter(|| Origin::udp_at(ORIGIN.into()));
    let bought = shop.buy("NL-AMS");
    let ask = || {
        let association = Association::open(&bought, false)?;
        association.ask(&of_address(origin.address()), "ping");
        Ok::<_, String>(association)
    };
    let association = shop.inside(ask).unwrap();
    let machine = proxy.stop();
    association.ends();
    let refused = || shop.inside(|| Association::open(&bought, false)).err().as_deref() == Some("5:01");
    eventually("no other is opened meanwhile", refused);
    let _proxy = Proxy::on(machine, &SING_BOX);
    eventually("another is opened", || shop.inside(ask).is_ok());
}

#[test]
fn microsocks_is_an_exit() {
    leaves_by(&MICROSOCKS);
}

#[test]
fn tinyproxy_is_an_exit() {
    leaves_by(&TINYPROXY);
}

#[test]
fn dante_is_an_exit() {
    leaves_by(&DANTE);
}

#[test]
fn an_upstream_carries_ipv6_where_it_has_it() {
    let Some(world) = World::with_uplinks(0) else { return };
    let Some(_proxy) = Proxy::start(&world, &MICROSOCKS) else {
        return;
    };
    let shop = world
        .shop()
        .network("NL-AMS")
        .exit("nl-1", &exit(MICROSOCKS.url))
        .start();
    let origin = world.origin_v6();
    let bought = shop.buy("NL-AMS");
    let fetched = shop.inside(|| Entry::Socks5.fetch(&bought, &ORIGIN_V6.to_string(), origin.address().port()));
    assert_eq!(fetched, Ok("2a0a:30::2".to_owned()));
}

#[test]
fn an_upstream_that_is_reached_by_ipv6_carries_datagrams_of_both_families() {
    let Some(world) = World::with_uplinks(0) else { return };
    let Some(_proxy) = Proxy::start(&world, &SING_BOX) else {
        return;
    };
    let url = SING_BOX.url.replace("45.33.0.2", "[2a0a:33::2]");
    let shop = world.shop().network("NL-AMS").exit("nl-1", &exit(&url)).start();
    let [v4, v6] = [IpAddr::from(ORIGIN), ORIGIN_V6.into()].map(|at| world.internet.enter(|| Origin::udp_at(at)));
    let bought = shop.buy("NL-AMS");
    shop.inside(|| {
        let association = Association::open(&bought, false).unwrap();
        for (origin, seen) in [(&v4, "45.33.0.2"), (&v6, "2a0a:33::2"), (&v4, "45.33.0.2")] {
            let answer = association.ask(&of_address(origin.address()), "ping");
            assert_eq!(answer, (origin.address(), format!("{seen} ping")));
        }
    });
}

#[test]
fn what_an_upstream_cannot_reach_is_told_of_the_destination_and_not_of_the_exit() {
    let Some(world) = World::with_uplinks(0) else { return };
    for (program, outcome) in [
        (&MICROSOCKS, Outcome::Refused),
        (&DANTE, Outcome::Refused),
        // It does not say what became of the connection.
        (&TINYPROXY, Outcome::HostUnreachable),
    ] {
        let Some(_proxy) = Proxy::start(&world, program) else {
            continue;
        };
        let shop = world.shop().network("NL-AMS").exit("nl-1", &exit(program.url)).start();
        let bought = shop.buy("NL-AMS");
        // Nobody listens there; a scan of many must not bring the exit down.
        for host in ["198.35.26.96", "198.35.26.97", "198.35.26.98", "198.35.26.99"] {
            for entry in [Entry::Connect, Entry::Forward, Entry::Socks4, Entry::Socks5] {
                let fetched = shop.inside(|| entry.fetch(&bought, host, 9));
                assert_eq!(fetched, outcome.by(entry), "{} {entry:?}", program.name);
            }
        }
        assert!(is_up(&shop, "NL-AMS/nl-1"), "{}", program.name);
    }
}

#[test]
fn credentials_that_the_upstream_refuses_are_told_and_can_be_mended() {
    let Some(world) = World::with_uplinks(0) else { return };
    for program in [&MICROSOCKS, &TINYPROXY] {
        let Some(_proxy) = Proxy::start(&world, program) else {
            continue;
        };
        let (scheme, rest) = program.url.split_once("://").unwrap();
        let (_, address) = rest.split_once('@').unwrap();
        let wrong = exit(&format!("{scheme}://turnpike:wrong@{address}"));
        let shop = world.shop().network("NL-AMS").exit("nl-1", &wrong).start();
        let origin = world.origin();
        let bought = shop.buy("NL-AMS");
        let fetch = |entry: Entry| shop.inside(|| entry.fetch(&bought, &ORIGIN.to_string(), origin.address().port()));
        for entry in Entry::ALL {
            assert_eq!(
                fetch(entry),
                Outcome::Unavailable.by(entry),
                "{} {entry:?}",
                program.name
            );
        }
        assert!(!is_up(&shop, "NL-AMS/nl-1"), "{}", program.name);
        let answer = shop.inside(|| bought.fetch(&origin.url("/")));
        assert!(
            answer.body.contains("its upstream proxy refuses the gateway"),
            "{}",
            answer.body
        );
        assert!(shop.log().contains("refused our credentials"), "{}", shop.log());
        assert!(!shop.log().contains("wrong"), "the password is in the log");

        mend(&shop, program.url);
        let mended = || fetch(Entry::Connect) == Ok(program.address().to_string());
        eventually("the exit works with the right password", mended);
        assert!(is_up(&shop, "NL-AMS/nl-1"), "{}", program.name);
    }
}

/// Applies the catalogue with another upstream.
fn mend(shop: &Turnpike, upstream: &str) {
    let catalogue = fs::read_to_string(shop.home().join("catalogue.toml")).unwrap();
    let lines = catalogue.lines().map(|line| match line.starts_with("upstream") {
        true => exit(upstream),
        false => line.to_owned(),
    });
    shop.apply(&lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn an_upstream_that_goes_away_is_down_and_comes_back_by_itself() {
    let Some(world) = World::with_uplinks(1) else { return };
    let Some(proxy) = Proxy::start(&world, &MICROSOCKS) else {
        return;
    };
    let shop = world
        .shop()
        .network("NL-AMS")
        .exit("nl-1", &exit(MICROSOCKS.url))
        .network("DE-BER")
        .pool("de-1", &["45.1.0.11"])
        .start();
    let origin = world.origin();
    let (bought, other) = (shop.buy("NL-AMS"), shop.buy("DE-BER"));
    assert_eq!(seen(&shop, &bought, &origin), MICROSOCKS.address());

    let machine = proxy.stop();
    let answer = shop.inside(|| bought.fetch(&origin.url("/"))).expect_status(503);
    assert!(
        answer.body.contains("its upstream proxy does not answer"),
        "{}",
        answer.body
    );
    assert_eq!(
        answer.header("proxy-status"),
        Some("turnpike; error=destination_unavailable")
    );
    assert!(answer.header("retry-after").is_some());
    assert!(!is_up(&shop, "NL-AMS/nl-1"));
    assert!(is_up(&shop, "DE-BER/de-1"));
    assert_eq!(seen(&shop, &other, &origin), own(1, 11));

    let _proxy = Proxy::on(machine, &MICROSOCKS);
    eventually("it is up again", || is_up(&shop, "NL-AMS/nl-1"));
    assert_eq!(seen(&shop, &bought, &origin), MICROSOCKS.address());
}

#[test]
fn an_upstream_that_is_silent_is_down_and_comes_back_by_itself() {
    let Some(world) = World::with_uplinks(0) else { return };
    let Some(_proxy) = Proxy::start(&world, &MICROSOCKS) else {
        return;
    };
    let shop = world
        .shop()
        .network("NL-AMS")
        .exit("nl-1", &exit(MICROSOCKS.url))
        .start();
    let origin = world.origin();
    let bought = shop.buy("NL-AMS");
    world
        .internet
        .nft("table inet fault {\n chain passing { type filter hook forward priority 0; oifname \"to30\" drop; }\n }");
    for entry in [Entry::Connect, Entry::Socks5] {
        let fetched = shop.inside(|| entry.fetch(&bought, &ORIGIN.to_string(), origin.address().port()));
        assert_eq!(fetched, Outcome::Unavailable.by(entry), "{entry:?}");
    }
    assert!(!is_up(&shop, "NL-AMS/nl-1"));
    world.internet.nft("delete table inet fault");
    eventually("it is up again", || is_up(&shop, "NL-AMS/nl-1"));
    assert_eq!(seen(&shop, &bought, &origin), MICROSOCKS.address());
}

#[test]
fn an_upstream_is_given_another_address_by_a_call_to_the_partner() {
    let Some(world) = World::with_uplinks(0) else { return };
    let Some(proxy) = Proxy::start(&world, &MICROSOCKS) else {
        return;
    };
    let partner = proxy.machine.clone();
    partner.ip("addr add 45.30.0.3/24 dev eth0");
    let mut host = 2;
    let _page = Page::start(
        &proxy.machine,
        "45.30.0.2:8080".parse().unwrap(),
        "/rotate?key=secret",
        move |_| {
            host = 5 - host;
            partner.ip(&format!("route replace default via 45.30.0.1 src 45.30.0.{host}"));
            Ipv4Addr::new(45, 30, 0, host).into()
        },
    );
    let rotate = "rotate = { http = \"http://45.30.0.2:8080/rotate?key=secret\" }";
    let shop = world
        .shop()
        .network("NL-AMS")
        .exit("nl-1", &format!("{}\n{rotate}", exit(MICROSOCKS.url)))
        .start();
    let origin = world.origin();
    let bought = shop.buy("NL-AMS");
    for (now, before) in [("45.30.0.3", None), ("45.30.0.2", Some("45.30.0.3"))] {
        let told = shop.get(&bought.rotate_path).expect_status(200).json();
        assert_eq!((told["ip"].as_str(), told["previousIp"].as_str()), (Some(now), before));
        assert_eq!(seen(&shop, &bought, &origin).to_string(), now);
    }
    assert!(!shop.log().contains("key=secret"), "the partner's key is in the log");
}
