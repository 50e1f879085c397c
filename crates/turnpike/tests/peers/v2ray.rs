//! Debian's v2ray, an older relative of Xray.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use testbed::turnpike::Subscription;
use testbed::{program, skip};

use crate::links::{Shadowsocks, Vless};
use crate::world::World;
use testbed::Running;

/// It holds a datagram in two kilobytes, with all that stands before it.
pub(crate) const LENGTHS: &[usize] = &[1, 2, 100, 512, 1_200, 1_472];

/// A subscription, and a client that has been told what `outbound` makes of it.
fn configured(outbound: impl FnOnce(&Subscription) -> Value) -> Option<(World, Running)> {
    let _ = installed()?;
    let world = World::new();
    let client = started(&outbound(&world.bought))?;
    Some((world, client))
}

/// Runs it with one way out; absent where this machine has none, and that has been said.
pub(crate) fn started(outbound: &Value) -> Option<Running> {
    let inbound = |port| {
        json!({
            "protocol": "socks", "listen": "127.0.0.1", "port": port,
            "settings": {"auth": "noauth", "udp": true, "ip": "127.0.0.1"},
        })
    };
    Some(running(installed()?, inbound, outbound))
}

/// Runs it with a port that leads to one destination; absent where this machine has none, and that has been said.
pub(crate) fn leading_to(to: SocketAddr, outbound: &Value) -> Option<Running> {
    let inbound = |port| {
        json!({
            "protocol": "dokodemo-door", "listen": "127.0.0.1", "port": port,
            "settings": {"address": to.ip().to_string(), "port": to.port(), "network": "tcp,udp"},
        })
    };
    Some(running(installed()?, inbound, outbound))
}

/// Whether this machine has it; if not, that has been said.
pub(crate) fn is_installed() -> bool {
    installed().is_some()
}

fn installed() -> Option<PathBuf> {
    let program = program("v2ray");
    if program.is_none() {
        skip("no v2ray on this machine (Debian: v2ray)");
    }
    program
}

fn running(program: PathBuf, inbound: impl FnOnce(u16) -> Value, outbound: &Value) -> Running {
    let client = Running::start(|home, port| {
        let file = home.join("v2ray.json");
        let configuration = json!({
            "log": {"loglevel": "info"}, "inbounds": [inbound(port)], "outbounds": [outbound],
        });
        fs::write(&file, configuration.to_string()).unwrap();
        let mut command = Command::new(program);
        command.arg("-config").arg(file);
        command
    });
    // On a busy machine it gives an answer that has just come for one user's socket to another that is closed already, with that
    // one's source: as seen on the wire, the gateway's datagram to it is right, and its own is not.
    let is_its_own_udp = matches!(outbound["protocol"].as_str(), Some("socks" | "shadowsocks"));
    if is_its_own_udp && outbound["mux"].is_null() {
        client.that_mixes_up()
    } else {
        client
    }
}

/// The port's SOCKS5 as a way out.
pub(crate) fn socks(bought: &Subscription) -> Value {
    let user = json!({"user": bought.username, "pass": bought.password});
    let server = json!({"address": bought.port.ip().to_string(), "port": bought.port.port(), "users": [user]});
    json!({"protocol": "socks", "settings": {"servers": [server]}})
}

/// The port's HTTP proxy as a way out.
fn http(bought: &Subscription) -> Value {
    let mut outbound = socks(bought);
    outbound["protocol"] = "http".into();
    outbound
}

/// The way out that a VLESS link describes.
pub(crate) fn vless(bought: &Subscription) -> Value {
    vless_to(&Vless::read(&bought.vless))
}

pub(crate) fn vless_to(link: &Vless) -> Value {
    let user = json!({"id": link.id, "encryption": "none"});
    let server = json!({"address": link.host, "port": link.port, "users": [user]});
    json!({"protocol": "vless", "settings": {"vnext": [server]}})
}

/// The server of a Shadowsocks link by a method from before 2022, with the password as the API shows it.
pub(crate) fn older_shadowsocks(bought: &Subscription, method: &str) -> Value {
    let link = Shadowsocks::read(&bought.shadowsocks);
    let server = json!({
        "address": link.host, "port": link.port, "method": method, "password": bought.password,
    });
    json!({"protocol": "shadowsocks", "settings": {"servers": [server]}})
}

/// An outbound whose connections and datagrams go inside few of its streams.
pub(crate) fn multiplexed(mut outbound: Value) -> Value {
    outbound["mux"] = json!({"enabled": true, "concurrency": 8});
    outbound
}

#[track_caller]
fn serves_multiplexed(outbound: impl FnOnce(&Subscription) -> Value) {
    let Some((world, client)) = configured(|bought| multiplexed(outbound(bought))) else {
        return;
    };
    world.connects(&client);
    world.holds_many(&client);
    // There are no halves in this protocol: when its user finishes, it closes.
    world.exchanges(&client, LENGTHS);
    // It opens a session of its own for each destination.
    assert_eq!(world.talks_to_many(&client), 4);
}

#[track_caller]
fn serves(outbound: impl FnOnce(&Subscription) -> Value) {
    let Some((world, client)) = configured(outbound) else {
        return;
    };
    world.connects(&client);
    world.holds_many(&client);
    world.half_closes(&client);
    world.exchanges(&client, LENGTHS);
    // It opens a way of its own for each destination.
    assert_eq!(world.talks_to_many(&client), 4);
}

#[test]
fn vless_with_mux() {
    serves_multiplexed(vless);
}

#[test]
fn shadowsocks_with_mux() {
    serves_multiplexed(|bought| older_shadowsocks(bought, "chacha20-ietf-poly1305"));
}

#[test]
fn socks5_with_mux() {
    serves_multiplexed(socks);
}

/// CONNECT to `v1.mux.cool`, and in it what HTTP has no word for.
#[test]
fn http_with_mux() {
    serves_multiplexed(http);
}

#[test]
fn vless_as_in_the_link() {
    serves(vless);
}

#[test]
fn shadowsocks_by_chacha20() {
    serves(|bought| older_shadowsocks(bought, "chacha20-ietf-poly1305"));
}

#[test]
fn shadowsocks_by_aes_256() {
    serves(|bought| older_shadowsocks(bought, "aes-256-gcm"));
}

#[test]
fn shadowsocks_by_aes_128() {
    serves(|bought| older_shadowsocks(bought, "aes-128-gcm"));
}

#[test]
fn socks5_as_in_the_url() {
    serves(socks);
}

#[test]
fn http_as_in_the_url() {
    let Some((world, client)) = configured(http) else {
        return;
    };
    world.connects(&client);
    world.holds_many(&client);
    world.half_closes(&client);
}
