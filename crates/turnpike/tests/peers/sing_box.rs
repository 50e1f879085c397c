//! sing-box, which speaks everything.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use testbed::client::sing_box;
use testbed::turnpike::Subscription;

use crate::links::{Shadowsocks, Vless};
use crate::program::Running;
use crate::world::World;

/// From a byte to more than what any client puts into one piece.
const LENGTHS: &[usize] = &[1, 2, 100, 512, 1_200, 1_472, 4_096, 8_000];

/// Runs it with one way out; absent where this machine has none, and that has been said.
pub(crate) fn started(outbound: &Value) -> Option<Running> {
    running(
        |port| json!({"type": "mixed", "listen": "127.0.0.1", "listen_port": port}),
        outbound,
    )
}

/// The same with a port that leads to one destination.
pub(crate) fn leading_to(to: SocketAddr, outbound: &Value) -> Option<Running> {
    let inbound = |port| {
        json!({
            "type": "direct", "listen": "127.0.0.1", "listen_port": port,
            "override_address": to.ip().to_string(), "override_port": to.port(),
        })
    };
    running(inbound, outbound)
}

fn running(inbound: impl FnOnce(u16) -> Value, outbound: &Value) -> Option<Running> {
    let program = sing_box()?;
    Some(Running::start(|home, port| {
        let file = home.join("sing-box.json");
        let configuration = json!({"log": {"level": "warn"}, "inbounds": [inbound(port)], "outbounds": [outbound]});
        fs::write(&file, configuration.to_string()).unwrap();
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(file);
        command
    }))
}

/// The port's SOCKS5 as a way out.
pub(crate) fn socks(bought: &Subscription) -> Value {
    json!({
        "type": "socks", "version": "5", "server": bought.port.ip().to_string(), "server_port": bought.port.port(),
        "username": bought.username, "password": bought.password,
    })
}

/// The way out that a VLESS link describes.
pub(crate) fn vless(bought: &Subscription, packet_encoding: &str) -> Value {
    let link = Vless::read(&bought.vless);
    json!({
        "type": "vless", "server": link.host, "server_port": link.port, "uuid": link.id,
        "packet_encoding": packet_encoding,
    })
}

/// The way out that a Shadowsocks link describes.
pub(crate) fn shadowsocks(bought: &Subscription) -> Value {
    let link = Shadowsocks::read(&bought.shadowsocks);
    json!({
        "type": "shadowsocks", "server": link.host, "server_port": link.port,
        "method": link.method, "password": link.password,
    })
}

/// The same server by a method from before 2022, with the password as the API shows it.
pub(crate) fn older_shadowsocks(bought: &Subscription, method: &str) -> Value {
    let mut outbound = shadowsocks(bought);
    outbound["method"] = method.into();
    outbound["password"] = bought.password.clone().into();
    outbound
}

/// A subscription, and a client that has been told what `outbound` makes of it.
fn configured(outbound: impl FnOnce(&Subscription) -> Value) -> Option<(World, Running)> {
    sing_box()?;
    let world = World::new();
    let client = started(&outbound(&world.bought))?;
    Some((world, client))
}

#[track_caller]
fn serves_shadowsocks(outbound: impl FnOnce(&Subscription) -> Value) {
    let Some((world, client)) = configured(outbound) else {
        return;
    };
    world.connects(&client);
    world.holds_many(&client);
    // Of these streams it has no half: when its user finishes, it closes.
    world.exchanges(&client, LENGTHS);
    // As games and calls need it (RFC 4787 REQ-1).
    assert_eq!(world.talks_to_many(&client), 1);
}

#[test]
fn vless_with_a_connection_for_each_destination() {
    let Some((world, client)) = configured(|bought| vless(bought, "")) else {
        return;
    };
    world.connects(&client);
    world.holds_many(&client);
    world.half_closes(&client);
    world.exchanges(&client, LENGTHS);
    // It cannot pass the answer on: without an address in it, sing-box gives it the name, which its own SOCKS5 does not take.
    let _ = world.sends_by_name(&client);
}

#[test]
fn shadowsocks_2022_as_in_the_link() {
    serves_shadowsocks(|bought| {
        let outbound = shadowsocks(bought);
        assert_eq!(outbound["method"], "2022-blake3-aes-128-gcm");
        outbound
    });
}

#[test]
fn shadowsocks_by_chacha20() {
    serves_shadowsocks(|bought| older_shadowsocks(bought, "chacha20-ietf-poly1305"));
}

#[test]
fn shadowsocks_by_aes_256() {
    serves_shadowsocks(|bought| older_shadowsocks(bought, "aes-256-gcm"));
}

#[test]
fn shadowsocks_by_aes_128() {
    serves_shadowsocks(|bought| older_shadowsocks(bought, "aes-128-gcm"));
}

#[test]
fn socks5_as_in_the_url() {
    let Some((world, client)) = configured(socks) else {
        return;
    };
    world.connects(&client);
    world.holds_many(&client);
    world.half_closes(&client);
    world.exchanges(&client, LENGTHS);
    assert_eq!(world.talks_to_many(&client), 1);
}

#[test]
fn http_as_in_the_url() {
    let http = |bought: &Subscription| {
        let mut outbound = socks(bought);
        outbound["type"] = "http".into();
        outbound.as_object_mut().unwrap().remove("version");
        outbound
    };
    let Some((world, client)) = configured(http) else {
        return;
    };
    world.connects(&client);
    world.holds_many(&client);
    world.half_closes(&client);
}
