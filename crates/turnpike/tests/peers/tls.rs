//! The same inside TLS, by a certificate of an authority that only these clients trust.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use testbed::authority::Authority;
use testbed::client::{curl, mihomo};
use testbed::origin::Origin;
use testbed::turnpike::{Subscription, Turnpike};
use testbed::{Running, eventually};
use url::Url;

use crate::links::Vless;
use crate::world::World;
use crate::{sing_box, v2ray};

/// A subscription whose links tell of TLS, and who vouches for its gateway.
struct Certified {
    world: World,
    authority: Authority,
    https: Url,
}

impl Certified {
    fn new() -> Self {
        let authority = Authority::new();
        // A name: v2ray verifies nothing else.
        authority.issue(&["localhost"], 2090);
        let shop = Turnpike::with().certified(&authority);
        let mut world = World::of(shop.set("gateway.public_host", "\"localhost\""));
        let protocols =
            || world.shop.ask("subscriptions").expect_status(200).json()["subscriptions"][0]["protocols"].clone();
        eventually("links tell of TLS", || protocols()["https"].is_string());
        let https = Url::parse(protocols()["https"].as_str().unwrap()).unwrap();
        world.bought = world.subscription();
        Self {
            world,
            authority,
            https,
        }
    }

    fn bought(&self) -> &Subscription {
        &self.world.bought
    }

    /// What `authority` has signed, as v2ray wants to be given it.
    fn lines_of_root(&self) -> Vec<String> {
        let root = fs::read_to_string(self.authority.root()).unwrap();
        root.lines().map(str::to_owned).collect()
    }
}

/// The way out that a VLESS link describes.
fn sing_box_by_vless(certified: &Certified, packet_encoding: &str) -> Value {
    let (link, tls) = Vless::inside_tls(&certified.bought().vless);
    let mut outbound = sing_box::vless_to(&link, packet_encoding);
    outbound["tls"] = json!({
        "enabled": true, "server_name": tls.server_name, "alpn": [tls.protocol],
        "certificate_path": certified.authority.root(),
    });
    outbound
}

#[test]
fn sing_box_by_vless_with_a_connection_for_each_destination() {
    if testbed::client::sing_box().is_none() {
        return;
    }
    let certified = Certified::new();
    let client = sing_box::started(&sing_box_by_vless(&certified, "")).unwrap();
    let world = &certified.world;
    world.connects(&client);
    world.holds_many(&client);
    world.half_closes(&client);
    world.exchanges(&client, sing_box::LENGTHS);
    world.sends_by_name(&client);
}

#[test]
fn sing_box_by_vless_with_xudp_as_in_the_link() {
    if testbed::client::sing_box().is_none() {
        return;
    }
    let certified = Certified::new();
    let vless = &certified.bought().vless;
    assert!(vless.contains("packetEncoding=xudp"), "{vless}");
    let client = sing_box::started(&sing_box_by_vless(&certified, "xudp")).unwrap();
    let world = &certified.world;
    world.connects(&client);
    world.exchanges(&client, sing_box::LENGTHS);
    assert_eq!(world.talks_to_many(&client), 1);
}

#[test]
fn sing_box_by_an_https_proxy() {
    if testbed::client::sing_box().is_none() {
        return;
    }
    let certified = Certified::new();
    let url = &certified.https;
    let outbound = json!({
        "type": "http", "server": url.host_str(), "server_port": url.port(),
        "username": url.username(), "password": url.password(),
        "tls": {"enabled": true, "server_name": url.host_str(), "certificate_path": certified.authority.root()},
    });
    let client = sing_box::started(&outbound).unwrap();
    certified.world.connects(&client);
    certified.world.holds_many(&client);
    certified.world.half_closes(&client);
}

fn v2ray_by_vless(certified: &Certified) -> Value {
    let (link, tls) = Vless::inside_tls(&certified.bought().vless);
    let mut outbound = v2ray::vless_to(&link);
    outbound["streamSettings"] = json!({"network": "tcp", "security": "tls", "tlsSettings": {
        "serverName": tls.server_name, "alpn": [tls.protocol], "disableSystemRoot": true,
        "certificates": [{"usage": "verify", "certificate": certified.lines_of_root()}],
    }});
    outbound
}

#[test]
fn v2ray_by_vless_as_in_the_link() {
    if !v2ray::is_installed() {
        return;
    }
    let certified = Certified::new();
    let client = v2ray::started(&v2ray_by_vless(&certified)).unwrap();
    let world = &certified.world;
    world.connects(&client);
    world.holds_many(&client);
    world.half_closes(&client);
    world.exchanges(&client, v2ray::LENGTHS);
    assert_eq!(world.talks_to_many(&client), 4);
}

#[test]
fn v2ray_by_vless_with_mux() {
    if !v2ray::is_installed() {
        return;
    }
    let certified = Certified::new();
    let client = v2ray::started(&v2ray::multiplexed(v2ray_by_vless(&certified))).unwrap();
    let world = &certified.world;
    world.connects(&client);
    world.holds_many(&client);
    world.exchanges(&client, v2ray::LENGTHS);
    assert_eq!(world.talks_to_many(&client), 4);
}

/// SOCKS5 itself inside TLS; its datagrams come beside it, as ever.
#[test]
fn mihomo_by_socks5() {
    let Some(program) = mihomo() else { return };
    let certified = Certified::new();
    let (bought, root) = (certified.bought(), certified.authority.root());
    let proxy = json!({
        "name": "bought", "type": "socks5", "server": "localhost", "port": bought.port.port(), "udp": true,
        "username": bought.username, "password": bought.password, "tls": true, "sni": "localhost",
    });
    let client = Running::start(|home, port| {
        let file = home.join("config.yaml");
        let configuration = json!({
            "mixed-port": port, "bind-address": "127.0.0.1", "mode": "rule", "ipv6": true,
            "proxies": [proxy], "rules": ["MATCH,bought"],
        });
        // JSON is YAML.
        fs::write(&file, configuration.to_string()).unwrap();
        let mut command = Command::new(program);
        command
            .arg("-d")
            .arg(home)
            .arg("-f")
            .arg(file)
            .env("SSL_CERT_FILE", root);
        command
    });
    // It listens before it serves.
    let (origin, proxy) = (Origin::http(), format!("http://{}", client.socks()));
    eventually("it serves", || {
        curl(&["--fail", "--proxy", &proxy, &origin.url("/")]).status.success()
    });
    let world = &certified.world;
    world.connects(&client);
    world.holds_many(&client);
    world.half_closes(&client);
    world.exchanges(&client, sing_box::LENGTHS);
}
