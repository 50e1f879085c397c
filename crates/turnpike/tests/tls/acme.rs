//! A certificate ordered from Debian's pebble, which asks over HTTP whether the name is ours.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use testbed::authority::Authority;
use testbed::client::{curl, curled};
use testbed::dns::NameServer;
use testbed::origin::Origin;
use testbed::ports::Ports;
use testbed::{eventually, poll, program, skip};

use crate::world::{EXIT, bought, gauge, protocols};

/// What a certificate is ordered for; only our name server knows it.
const NAME: &str = "proxy.test.example";

/// A directory for trials.
struct Pebble {
    process: Child,
    authority: Authority,
    ports: Ports,
    _names: NameServer,
}

impl Pebble {
    /// Absent where this machine has none, and that has been said.
    fn start(validity_seconds: u64) -> Option<Self> {
        Self::start_for(validity_seconds, &json!({}))
    }

    /// One for those alone who have one of these keys, by id, where there are any.
    fn start_for(validity_seconds: u64, customers: &Value) -> Option<Self> {
        let Some(pebble) = program("pebble") else {
            skip("no pebble on this machine (Debian: pebble)");
            return None;
        };
        let authority = Authority::new();
        authority.issue(&["127.0.0.1"], 2090);
        let names = NameServer::knowing(&[(NAME, Ipv4Addr::LOCALHOST)]);
        let ports = Ports::reserve(4);
        let configuration = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{}", ports.nth(0)),
            "managementListenAddress": format!("127.0.0.1:{}", ports.nth(1)),
            "certificate": authority.path("chain.pem"), "privateKey": authority.path("key.pem"),
            // Where it asks; real directories ask at port 80.
            "httpPort": ports.nth(2), "tlsPort": ports.nth(3),
            "ocspResponderURL": "", "externalAccountBindingRequired": customers != &json!({}),
            "externalAccountMACKeys": customers,
            "certificateValidityPeriod": validity_seconds,
        }});
        let file = authority.path("pebble.json");
        fs::write(&file, configuration.to_string()).unwrap();
        let process = Command::new(pebble)
            .arg("-config")
            .arg(file)
            .args(["-dnsserver", &names.address().to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pebble = Self {
            process,
            authority,
            ports,
            _names: names,
        };
        let listens = poll(Duration::from_secs(30), || {
            TcpStream::connect(("127.0.0.1", pebble.ports.nth(0))).ok()
        });
        assert!(listens.is_some(), "pebble does not listen");
        Some(pebble)
    }

    fn shop(&self) -> testbed::turnpike::Builder {
        testbed::turnpike::Turnpike::with()
            .set("gateway.public_host", &format!("{NAME:?}"))
            .set("gateway.tls.acme", "true")
            .set("gateway.tls.contact", "\"operator@test.example\"")
            .set(
                "gateway.tls.directory",
                &format!("\"https://127.0.0.1:{}/dir\"", self.ports.nth(0)),
            )
            .set("gateway.tls.directory_roots", &format!("{:?}", self.authority.root()))
            .set(
                "gateway.tls.challenge_listen",
                &format!("[\"127.0.0.1:{}\"]", self.ports.nth(2)),
            )
            .network("NL-AMS")
            .pool("nl-1", &[EXIT])
    }

    /// The root of the certificates that it gives, in a file.
    fn root(&self) -> String {
        let management = format!("https://127.0.0.1:{}/roots/0", self.ports.nth(1));
        let file = self.authority.path("given.pem");
        fs::write(&file, curled(&["--cacert", &self.authority.root(), &management])).unwrap();
        file.display().to_string()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_certificate_is_ordered_served_kept_and_renewed() {
    const EXPIRY: &str = "turnpike_certificate_expiry_timestamp_seconds";
    let Some(pebble) = Pebble::start(45) else { return };
    let mut shop = pebble.shop().start();
    let (port, _) = bought(&shop);
    let ordered = poll(Duration::from_secs(60), || {
        protocols(&shop)["https"].as_str().map(str::to_owned)
    });
    assert!(ordered.is_some(), "none is ordered:\n{}", shop.log());
    let https = protocols(&shop)["https"].as_str().unwrap().to_owned();
    let origin = Origin::http();
    let resolve = format!("{NAME}:{port}:127.0.0.1");
    let root = pebble.root();
    let url = origin.url("/");
    let through = || curl(&["--proxy-cacert", &root, "--resolve", &resolve, "--proxy", &https, &url]);
    let seen = through();
    assert_eq!(String::from_utf8_lossy(&seen.stdout), EXIT, "{seen:?}");

    let folder = shop
        .home()
        .join("acme")
        .join(format!("127.0.0.1_{}", pebble.ports.nth(0)));
    for name in ["account.json".to_owned(), format!("{NAME}.pem")] {
        let mode = fs::metadata(folder.join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} is its owner's alone");
    }
    let doctor = String::from_utf8_lossy(&shop.try_run(&["doctor"]).stdout).into_owned();
    assert!(doctor.contains(&format!("the certificate for {NAME} ends")), "{doctor}");

    // Kept over a restart: the first answer already has it, although nobody orders one.
    let first = gauge(&shop, EXPIRY).unwrap();
    shop.stop();
    shop.serve();
    eventually("it is served again", || gauge(&shop, EXPIRY).is_some());
    assert_eq!(gauge(&shop, EXPIRY), Some(first));

    // Two thirds of 45 seconds later.
    let renewed = poll(Duration::from_secs(120), || {
        gauge(&shop, EXPIRY).filter(|expiry| *expiry > first)
    });
    assert!(renewed.is_some(), "it is not renewed:\n{}", shop.log());
    assert_eq!(through().stdout, EXIT.as_bytes());
}

#[test]
fn a_directory_that_cannot_reach_us_is_quoted_and_ports_work_without_tls() {
    let Some(pebble) = Pebble::start(86_400) else { return };
    let elsewhere = Ports::reserve(1);
    let shop = pebble
        .shop()
        .set(
            "gateway.tls.challenge_listen",
            &format!("[\"127.0.0.1:{}\"]", elsewhere.nth(0)),
        )
        .start();
    let (_, http) = bought(&shop);
    eventually("it is told", || {
        shop.log()
            .contains(&format!("no certificate for {NAME} could be ordered"))
    });
    let log = shop.log();
    assert!(log.contains("could not find out that the name is ours"), "{log}");
    assert!(log.contains("it is tried again in 1 min"), "{log}");
    assert!(protocols(&shop)["https"].is_null());
    let origin = Origin::http();
    let proxy = http.replace(NAME, "127.0.0.1");
    assert_eq!(curled(&["--proxy", &proxy, &origin.url("/")]), EXIT);
}

#[test]
fn a_directory_for_its_customers_alone_is_shown_their_key() {
    // 32 bytes, as directories give them.
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wE";
    let Some(pebble) = Pebble::start_for(86_400, &json!({"kid-1": KEY})) else {
        return;
    };
    let stranger = pebble.shop().start();
    eventually("it is told what is wanted", || {
        stranger
            .log()
            .contains("set gateway.tls.eab_key_id and gateway.tls.eab_key")
    });
    assert!(
        stranger.log().contains("it is tried again in 1 min"),
        "{}",
        stranger.log()
    );
    drop(stranger);

    let file = pebble.authority.path("eab.key");
    let customer = |id: &str| {
        let shop = pebble.shop().set("gateway.tls.eab_key_id", &format!("{id:?}"));
        shop.set("gateway.tls.eab_key", &format!("{:?}", file.to_str().unwrap()))
    };
    let mut shop = customer("kid-1").prepare();
    for (content, expected) in [(None, "cannot be read"), (Some("no key!"), "holds no key in base64")] {
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        let served = shop.try_run(&["serve"]);
        let told = String::from_utf8_lossy(&served.stderr).into_owned();
        assert_eq!(served.status.code(), Some(1), "{told}");
        assert!(
            told.contains("gateway.tls.eab_key names ") && told.contains(expected),
            "{told}"
        );
    }
    fs::write(&file, format!("{KEY}\n")).unwrap();
    shop.serve();
    let _ = bought(&shop);
    let ordered = poll(Duration::from_secs(60), || {
        protocols(&shop)["https"].as_str().map(str::to_owned)
    });
    assert!(ordered.is_some(), "none is ordered:\n{}", shop.log());
    drop(shop);

    let other = customer("kid-2").start();
    eventually("another's key is refused", || {
        other
            .log()
            .contains(&format!("no certificate for {NAME} could be ordered"))
    });
}
