//! TLS between two machines. The customer's has its own address, its own name server and the links; the gateway's has a certificate for
//! the name in them.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::authority::Authority;
use testbed::client::{mihomo, sing_box};
use testbed::dns::{NameServer, Reply};
use testbed::netns::Namespace;
use testbed::origin::{Origin, pattern};
use testbed::turnpike::Turnpike;
use testbed::{Running, eventually, poll, program, skip};
use url::Url;

use crate::world::{NAME_SERVER, ORIGIN, World};

/// What the gateway is reached by, and what the origin is.
const GATEWAY: &str = "proxy.example";
const SITE: &str = "origin.example";

/// The exit that is bought, told by its address.
const EXIT: &str = "45.1.0.11";

/// A resolver that people ask by HTTPS.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);

struct Machines {
    world: World,
    customers: Namespace,
    authority: Authority,
    shop: Turnpike,
    /// What the API tells of the subscription.
    protocols: Value,
    /// The path of its subscription URL.
    profile: String,
    origin: Origin,
    names: NameServer,
}

impl Machines {
    /// Absent where namespaces are not permitted, and that has been said.
    fn new() -> Option<Self> {
        let world = World::with_uplinks(1)?;
        let customers = world.neighbour(2);
        customers.resolves_by(NAME_SERVER.into());
        let names = world.names(|question| match (question.name.as_str(), question.v6) {
            (GATEWAY, false) => Reply::Addresses(vec![[45, 0, 0, 11].into()], 60),
            (SITE, false) => Reply::Addresses(vec![ORIGIN.into()], 60),
            (GATEWAY | SITE, true) => Reply::Addresses(Vec::new(), 60),
            _ => Reply::NoSuchName,
        });
        let authority = Authority::new();
        authority.issue(&[GATEWAY, "1.1.1.1"], 2090);
        let shop = world.shop().set("gateway.bind", "[\"45.0.0.11\"]");
        let shop = shop.set("gateway.public_host", &format!("{GATEWAY:?}"));
        let shop = shop
            .certified(&authority)
            .network("NL-AMS")
            .pool("nl-1", &[EXIT])
            .start();
        let order = json!({"op": "purchase", "planId": shop.plan("NL-AMS", "private")});
        let _ = shop.order(&order).expect_status(200);
        let told = || shop.ask("subscriptions").expect_status(200).json()["subscriptions"][0].clone();
        eventually("links tell of TLS", || told()["protocols"]["https"].is_string());
        let bought = told();
        let profile = Url::parse(bought["subscriptionUrl"].as_str().unwrap()).unwrap();
        Some(Self {
            protocols: bought["protocols"].clone(),
            profile: profile.path().to_owned(),
            origin: world.origin(),
            world,
            customers,
            authority,
            shop,
            names,
        })
    }

    fn link(&self, protocol: &str) -> &str {
        self.protocols[protocol].as_str().unwrap()
    }

    /// What the subscription URL gives in a format.
    fn loaded(&self, format: &str) -> String {
        let answer = self.shop.get(&format!("{}?format={format}", self.profile));
        answer.expect_status(200).body.clone()
    }

    /// The origin by its name.
    fn site(&self) -> String {
        format!("http://{SITE}:{}/", self.origin.address().port())
    }

    /// Starts a client on the customer's machine.
    fn start(&self, command: impl FnOnce(&Path, u16) -> Command + Send) -> Running {
        self.customers.enter(|| Running::start(command))
    }

    /// A program on the customer's machine, which trusts the test's authority and no other.
    fn command(&self, program: &Path) -> Command {
        let mut command = self.customers.command(program);
        command.env("SSL_CERT_FILE", self.authority.root());
        command
    }

    /// A megabyte both ways, to the origin by its name and by its address, from the exit's address.
    #[track_caller]
    fn carries(&self, proxy: &[&str]) {
        let bytes = pattern(1 << 20);
        let sent = tempfile::NamedTempFile::new().unwrap();
        fs::write(sent.path(), &bytes).unwrap();
        let data = format!("@{}", sent.path().display());
        for site in [self.site(), self.origin.url("/")] {
            let fetch = |arguments: &[&str]| {
                let mut command = self.customers.command("curl");
                command.args(["--silent", "--show-error", "--noproxy", "", "--max-time", "60"]);
                command.args(proxy).args(arguments).output().unwrap()
            };
            let seen = fetch(&[&site]);
            assert_eq!(String::from_utf8_lossy(&seen.stdout), EXIT, "{site} {seen:?}");
            let echoed = fetch(&["--data-binary", &data, &format!("{site}echo")]);
            assert!(echoed.stdout == bytes, "{site}: it came back otherwise: {echoed:.300?}");
        }
    }

    #[track_caller]
    fn carries_by(&self, client: &Running) {
        self.carries(&["--proxy", &format!("socks5h://{}", client.socks())]);
    }
}

#[test]
fn links_name_the_host_that_other_machines_reach_and_what_its_certificate_is_for() {
    let Some(machines) = Machines::new() else { return };
    let vless = Url::parse(machines.link("vless")).unwrap();
    let said: Vec<_> = vless.query_pairs().collect();
    for (name, value) in [("security", "tls"), ("sni", GATEWAY), ("alpn", "http/1.1")] {
        assert!(said.contains(&(name.into(), value.into())), "{name} in {vless}");
    }
    for protocol in ["vless", "https", "http", "socks5", "shadowsocks"] {
        let link = Url::parse(machines.link(protocol)).unwrap();
        assert_eq!(link.host_str(), Some(GATEWAY), "{link}");
    }
    let root = machines.authority.root();
    machines.carries(&["--proxy-cacert", &root, "--proxy", machines.link("https")]);
    machines.carries(&[
        "--proxytunnel",
        "--proxy-cacert",
        &root,
        "--proxy",
        machines.link("https"),
    ]);
    // The very same port and password without TLS.
    machines.carries(&["--proxy", machines.link("http")]);
    let mut stranger = machines.customers.command("curl");
    stranger.args(["--silent", "--proxy", machines.link("https"), &machines.site()]);
    assert_eq!(
        stranger.status().unwrap().code(),
        Some(60),
        "who does not trust it does not go on"
    );
}

#[test]
fn v2ray_connects_from_another_machine() {
    let Some(machines) = Machines::new() else { return };
    let Some(program) = program("v2ray") else {
        return skip("no v2ray on this machine (Debian: v2ray)");
    };
    let link = Url::parse(machines.link("vless")).unwrap();
    let said = |name| link.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    let root = fs::read_to_string(machines.authority.root()).unwrap();
    let outbound = json!({
        "protocol": "vless",
        "settings": {"vnext": [{
            "address": link.host_str(), "port": link.port(),
            "users": [{"id": link.username(), "encryption": said("encryption")}],
        }]},
        "streamSettings": {"network": said("type"), "security": said("security"), "tlsSettings": {
            "serverName": said("sni"), "alpn": [said("alpn")], "disableSystemRoot": true,
            "certificates": [{"usage": "verify", "certificate": root.lines().collect::<Vec<_>>()}],
        }},
    });
    let client = machines.start(|home, port| {
        let inbound = json!({
            "protocol": "socks", "listen": "127.0.0.1", "port": port, "settings": {"auth": "noauth"},
        });
        let file = home.join("v2ray.json");
        fs::write(
            &file,
            json!({"inbounds": [inbound], "outbounds": [outbound]}).to_string(),
        )
        .unwrap();
        let mut command = machines.command(&program);
        command.arg("-config").arg(file);
        command
    });
    machines.carries_by(&client);
}

#[test]
fn mihomo_connects_from_another_machine_by_what_it_loads() {
    let Some(machines) = Machines::new() else { return };
    let Some(program) = mihomo() else { return };
    // Nobody else on that machine has the port that the file names.
    let configuration = machines.loaded("clash");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.yaml");
    fs::write(&file, configuration).unwrap();
    let mut command = machines.command(&program);
    command.arg("-d").arg(home.path()).arg("-f").arg(file);
    let _client = Beside::start(command, home.path());
    machines.waits_for(7890);
    machines.carries(&["--proxy", "socks5h://127.0.0.1:7890"]);
}

#[test]
fn a_whole_machine_goes_through_the_vpn_of_sing_box_by_what_it_loads() {
    let Some(machines) = Machines::new() else { return };
    let Some(program) = sing_box() else { return };
    if !Path::new("/dev/net/tun").exists() {
        return skip("no /dev/net/tun on this machine");
    }
    let datagrams = machines.world.internet.enter(|| Origin::udp_at(ORIGIN.into()));
    machines.world.internet_has("1.1.1.1/32");
    let Some(unbound) = Unbound::start(&machines) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("sing-box.json");
    fs::write(&file, machines.loaded("sing-box-tun")).unwrap();
    let mut command = machines.command(&program);
    command.arg("run").arg("--config").arg(file);
    let _client = Beside::start(command, home.path());
    machines.waits_for(2080);
    let routed = || {
        let listed = machines
            .customers
            .command("ip")
            .args(["route", "get", "198.35.26.96"])
            .output();
        String::from_utf8_lossy(&listed.unwrap().stdout).contains("dev tun")
    };
    eventually("the VPN is up", routed);

    let asked = machines.names.questions().len();
    // No program is told of a proxy from here on.
    machines.carries(&[]);
    let answer = machines
        .customers
        .command("dig")
        .args(["+short", "+tries=1", "+time=20", SITE])
        .output();
    assert_eq!(String::from_utf8_lossy(&answer.unwrap().stdout), format!("{ORIGIN}\n"));
    assert!(unbound.log().contains(SITE), "{}", unbound.log());
    let behind = machines.names.questions().split_off(asked);
    // The gateway asks for others, such as the page by which sing-box measures; the customer's machine for its name alone.
    let exit: IpAddr = EXIT.parse().unwrap();
    assert!(
        behind
            .iter()
            .all(|question| question.name == GATEWAY || question.from.ip() == exit),
        "names are asked for by way of the proxy alone: {behind:?}"
    );

    let said = "a datagram of some length ".repeat(40);
    let heard = machines.customers.enter(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        socket.connect(datagrams.address()).unwrap();
        let mut buffer = [0; 2_048];
        // It may be lost, as any: it is sent again.
        let length = poll(Duration::from_secs(30), || {
            socket.send(said.as_bytes()).unwrap();
            socket.recv(&mut buffer).ok()
        });
        String::from_utf8_lossy(&buffer[..length.unwrap()]).into_owned()
    });
    assert_eq!(heard, format!("{EXIT} {said}"));
    assert!(
        machines
            .origin
            .visitors()
            .iter()
            .all(|from| *from == EXIT.parse::<IpAddr>().unwrap())
    );
}

impl Machines {
    /// Waits until a client on the customer's machine listens at this port of its loopback.
    fn waits_for(&self, port: u16) {
        let listens = || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        eventually("the client listens", || self.customers.enter(listens));
    }
}

/// A program with its log beside it, which is killed when dropped.
struct Beside {
    process: Child,
    log: PathBuf,
}

impl Beside {
    fn start(mut command: Command, home: &Path) -> Self {
        let log = home.join("log");
        let file = File::create(&log).unwrap();
        let command = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        Self {
            process: command.spawn().unwrap(),
            log,
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            println!("the client's log:\n{}", self.said());
        }
    }
}

/// Debian's unbound at [`RESOLVER`], asked by HTTPS (RFC 8484).
struct Unbound {
    running: Beside,
    _home: TempDir,
}

impl Unbound {
    /// Absent where this machine has none, and that has been said.
    fn start(machines: &Machines) -> Option<Self> {
        let Some(program) = program("unbound") else {
            skip("no unbound on this machine (Debian: unbound)");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        let configuration = format!(
            "server:
                interface: {RESOLVER}@443
                https-port: 443
                tls-service-pem: {chain:?}
                tls-service-key: {key:?}
                access-control: 0.0.0.0/0 allow
                do-daemonize: no
                chroot: \"\"
                username: \"\"
                directory: {home:?}
                pidfile: \"\"
                use-syslog: no
                log-queries: yes
                local-zone: example. static
                local-data: '{SITE}. A {ORIGIN}'
            remote-control:
                control-enable: no
            ",
            chain = machines.authority.path("chain.pem"),
            key = machines.authority.path("key.pem"),
            home = home.path(),
        );
        let file = home.path().join("unbound.conf");
        fs::write(&file, configuration).unwrap();
        let mut command = machines.world.internet.command(program);
        command.args(["-d", "-c"]).arg(file);
        let running = Beside::start(command, home.path());
        let listens = || std::net::TcpStream::connect((RESOLVER, 443)).is_ok();
        eventually("unbound listens", || machines.world.internet.enter(listens));
        Some(Self { running, _home: home })
    }

    fn log(&self) -> String {
        self.running.said()
    }
}
