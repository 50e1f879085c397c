//! Debian's v2ray, an older relative of Xray.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use testbed::turnpike::Subscription;
use testbed::{program, skip};

use crate::links::{Shadowsocks, Vless};
use crate::program::Running;
use crate::world::World;

/// It holds a datagram in two kilobytes, with all that stands before it.
const LENGTHS: &[usize] = &[1, 2, 100, 512, 1_200, 1_472];

/// A subscription, and a client that has been told what `outbound` makes of it.
fn configured(outbound: impl FnOnce(&Subscription) -> Value) -> Option<(World, Running)> {
    let Some(program) = program("v2ray") else {
        skip("no v2ray on this machine (Debian: v2ray)");
        return None;
    };
    let world = World::new();
    let outbound = outbound(&world.bought);
    let client = Running::start(|home, port| {
        let file = home.join("v2ray.json");
        let inbound = json!({
            "protocol": "socks", "listen": "127.0.0.1", "port": port,
            "settings": {"auth": "noauth", "udp": true, "ip": "127.0.0.1"},
        });
        let configuration = json!({"log": {"loglevel": "warning"}, "inbounds": [inbound], "outbounds": [outbound]});
        fs::write(&file, configuration.to_string()).unwrap();
        let mut command = Command::new(program);
        command.arg("-config").arg(file);
        command
    });
    Some((world, client))
}

/// The way out that a VLESS link describes.
fn vless(bought: &Subscription) -> Value {
    let link = Vless::read(&bought.vless);
    let user = json!({"id": link.id, "encryption": "none"});
    let server = json!({"address": link.host, "port": link.port, "users": [user]});
    json!({"protocol": "vless", "settings": {"vnext": [server]}})
}

/// The server of a Shadowsocks link by a method from before 2022, with the password as the API shows it.
fn older_shadowsocks(bought: &Subscription, method: &str) -> Value {
    let link = Shadowsocks::read(&bought.shadowsocks);
    let server = json!({
        "address": link.host, "port": link.port, "method": method, "password": bought.password,
    });
    json!({"protocol": "shadowsocks", "settings": {"servers": [server]}})
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
