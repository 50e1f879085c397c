//! mihomo runs what it loads, and reads lists of links. Only the port that it listens at is another one here, since tests run side
//! by side.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::client::{curl, mihomo};
use testbed::ports::Ports;
use testbed::{eventually, http, poll};

use crate::world::{PROTOCOLS, World, loaded};
use testbed::Running;

/// What mihomo says to a configuration as it is.
#[track_caller]
pub(crate) fn is_valid(program: &Path, configuration: &str) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.yaml");
    fs::write(&file, configuration).unwrap();
    let output = Command::new(program)
        .arg("-d")
        .arg(home.path())
        .arg("-t")
        .arg("-f")
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && !said.contains("level=warn"),
        "{said}\n{configuration}"
    );
}

/// Starts it with a controller besides, and does not wait until it serves what it listens for.
fn listening(program: &Path, configuration: &str, control: SocketAddr, root: Option<&str>) -> Running {
    let (first, rest) = configuration.split_once('\n').unwrap();
    assert_eq!(first, "mixed-port: 7890");
    Running::start(|home, port| {
        let file = home.join("config.yaml");
        fs::write(&file, format!("mixed-port: {port}\n{rest}")).unwrap();
        let mut command = Command::new(program);
        command.arg("-d").arg(home).arg("-f").arg(file);
        command.args(["-ext-ctl", &control.to_string()]);
        command.envs(root.map(|root| ("SSL_CERT_FILE", root)));
        command
    })
}

/// A client that is at work, and its controller.
pub(crate) struct Working {
    pub(crate) client: Running,
    control: SocketAddr,
    _ports: Ports,
}

impl Working {
    fn start(program: &Path, configuration: &str) -> Self {
        Self::trusting(program, configuration, None)
    }

    /// With the one authority in this file in place of all that the system knows.
    pub(crate) fn trusting(program: &Path, configuration: &str, root: Option<&str>) -> Self {
        let ports = Ports::reserve(1);
        let control = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.nth(0)));
        Self {
            client: listening(program, configuration, control, root),
            control,
            _ports: ports,
        }
    }

    /// Waits until something comes through: it listens before it serves.
    #[track_caller]
    fn serves(&self, world: &World) {
        let proxy = format!("http://{}", self.client.socks());
        eventually("it serves", || {
            curl(&["--fail", "--proxy", &proxy, &world.origin.url("/")])
                .status
                .success()
        });
    }

    #[track_caller]
    pub(crate) fn leaves_by(&self, world: &World, address: &str) {
        self.serves(world);
        world.leaves_by(&self.client, address);
    }

    /// Whether it goes by the rules or past them.
    #[track_caller]
    fn set_mode(&self, mode: &str) {
        let change = json!({"mode": mode}).to_string();
        let answer = http::request(self.control, "PATCH", "/configs", &[], change.as_bytes());
        let _ = answer.expect_status(204);
    }

    /// What it tells of the provider, once it has loaded its URL.
    pub(crate) fn provided(&self) -> Value {
        let shown = poll(Duration::from_secs(60), || {
            let answer = http::try_request(self.control, "GET", "/providers/proxies/shop", &[], b"").ok()?;
            let shown: Value = serde_json::from_str(&answer.body).ok()?;
            let is_loaded = shown["proxies"].as_array().is_some_and(|proxies| !proxies.is_empty());
            is_loaded.then_some(shown)
        });
        shown.expect("it loads the URL")
    }
}

#[test]
fn it_runs_what_the_account_loads_and_leaves_by_the_first_port() {
    let Some(program) = mihomo() else { return };
    let world = World::new();
    let configuration = loaded(&world.own_url, "format=clash");
    is_valid(&program, &configuration);
    Working::start(&program, &configuration).leaves_by(&world, world.bought[0].1);
}

#[test]
fn every_protocol_is_a_way_out_of_every_port() {
    let Some(program) = mihomo() else { return };
    let world = World::new();
    for (bought, address) in &world.bought {
        for protocol in PROTOCOLS {
            let query = format!("format=clash&protocol={protocol}");
            let configuration = loaded(&bought.subscription_url, &query);
            is_valid(&program, &configuration);
            Working::start(&program, &configuration).leaves_by(&world, address);
        }
    }
}

#[test]
fn nothing_gets_out_when_nothing_is_live() {
    let Some(program) = mihomo() else { return };
    let world = World::new();
    world.suspend();
    let configuration = loaded(&world.own_url, "format=clash");
    is_valid(&program, &configuration);
    let working = Working::start(&program, &configuration);
    // It would, if it went past its rules.
    working.set_mode("direct");
    working.serves(&world);
    working.set_mode("rule");
    world.lets_nothing_out(&working.client);
}

/// One that loads a URL by itself.
pub(crate) fn loading(program: &Path, url: &str, root: Option<&str>) -> Working {
    let configuration = format!(
        "mixed-port: 7890\nproxy-providers: {{shop: {{type: http, url: \"{url}\", path: ./shop.yaml}}}}\n\
         proxy-groups: [{{name: Proxy, type: select, use: [shop]}}]\nrules: [\"MATCH,Proxy\"]\n"
    );
    Working::trusting(program, &configuration, root)
}

fn names(shown: &Value) -> Vec<&str> {
    let proxies = shown["proxies"].as_array().unwrap().iter();
    proxies.map(|proxy| proxy["name"].as_str().unwrap()).collect()
}

#[test]
fn it_loads_lists_of_links_by_itself_and_leaves_by_them() {
    let Some(program) = mihomo() else { return };
    let world = World::new();
    let both = loading(&program, &format!("{}?format=base64", world.own_url), None).provided();
    let kinds: Vec<_> = both["proxies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|proxy| proxy["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["Shadowsocks", "Vless", "Shadowsocks", "Vless"]);
    assert!(names(&both)[0].ends_with(" - NL - Private Shadowsocks"), "{both}");
    let (bought, address) = &world.bought[1];
    for protocol in PROTOCOLS {
        let url = format!("{}?format=base64&protocol={protocol}", bought.subscription_url);
        let working = loading(&program, &url, None);
        assert_eq!(names(&working.provided()).len(), 1);
        working.leaves_by(&world, address);
    }
}

#[test]
fn it_is_known_by_its_name_and_shows_end_and_traffic() {
    let Some(program) = mihomo() else { return };
    let world = World::new();
    let (bought, address) = &world.bought[0];
    let working = loading(&program, &bought.subscription_url, None);
    let shown = working.provided();
    assert_eq!(names(&shown).len(), 2);
    working.leaves_by(&world, address);
    let told = &shown["subscriptionInfo"];
    assert_eq!(told["Expire"], bought.active_until / 1_000, "{shown}");
    for field in ["Upload", "Download", "Total"] {
        assert_eq!(told[field], 0, "{shown}");
    }
}
