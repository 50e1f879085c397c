//! sing-box, which speaks everything.

use std::fs;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::process::Command;

use serde_json::{Value, json};
use testbed::client::sing_box;
use testbed::turnpike::Subscription;

use crate::links::{Shadowsocks, Vless};
use crate::world::World;
use testbed::Running;

/// From a byte to more than what any client puts into one piece.
pub(crate) const LENGTHS: &[usize] = &[1, 2, 100, 512, 1_200, 1_472, 4_096, 8_000];

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
        let configuration = json!({"log": {"level": "debug"}, "inbounds": [inbound(port)], "outbounds": [outbound]});
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
    vless_to(&Vless::read(&bought.vless), packet_encoding)
}

pub(crate) fn vless_to(link: &Vless, packet_encoding: &str) -> Value {
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

/// An outbound whose datagrams go inside its streams.
pub(crate) fn udp_over_tcp(mut outbound: Value, version: u8) -> Value {
    outbound["udp_over_tcp"] = json!({"enabled": true, "version": version});
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
    world.sends_by_name(&client);
}

/// TCP as ever, and datagrams inside a stream: from one socket to many.
#[track_caller]
fn carries_datagrams_inside(outbound: impl FnOnce(&Subscription) -> Value, lengths: &[usize]) {
    let Some((world, client)) = configured(outbound) else {
        return;
    };
    world.connects(&client);
    despite_its_race(&client, || {
        world.exchanges(&client, lengths);
        assert_eq!(world.talks_to_many(&client), 1);
    });
}

/// Repeats what fails because of a race in sing-box: of Shadowsocks 2022 it notes its request's salt only after it has sent the
/// request, so it takes an answer that is quicker than that for another's, and ends the stream. Anything else that is lost is a
/// defect.
#[track_caller]
fn despite_its_race(client: &Running, check: impl Fn()) {
    let raced = || client.said("bad request salt");
    loop {
        let before = raced();
        let Err(failure) = panic::catch_unwind(AssertUnwindSafe(&check)) else {
            return;
        };
        if raced() == before {
            panic::resume_unwind(failure);
        }
    }
}

/// As long as a datagram of XUDP may be with the address that the origin puts in front of it.
const LONGEST_XUDP: usize = 8_192 - "127.0.0.11 ".len();

#[test]
fn vless_with_xudp_as_in_the_link() {
    let lengths = [LENGTHS, &[LONGEST_XUDP]].concat();
    carries_datagrams_inside(
        |bought| {
            assert!(bought.vless.contains("packetEncoding=xudp"), "{}", bought.vless);
            vless(bought, "xudp")
        },
        &lengths,
    );
}

#[test]
fn vless_with_packetaddr() {
    let Some((world, client)) = configured(|bought| vless(bought, "packetaddr")) else {
        return;
    };
    world.connects(&client);
    world.exchanges(&client, LENGTHS);
    // Names cannot be written in it.
    assert_eq!(world.talks_to_many_by_address(&client), 1);
}

#[test]
fn shadowsocks_with_udp_over_tcp() {
    for version in [1, 2] {
        carries_datagrams_inside(|bought| udp_over_tcp(shadowsocks(bought), version), LENGTHS);
        carries_datagrams_inside(
            |bought| udp_over_tcp(older_shadowsocks(bought, "aes-256-gcm"), version),
            LENGTHS,
        );
    }
}

#[test]
fn socks5_with_udp_over_tcp() {
    for version in [1, 2] {
        carries_datagrams_inside(|bought| udp_over_tcp(socks(bought), version), LENGTHS);
    }
}

#[test]
fn its_own_multiplex_is_refused_at_once() {
    let multiplexed = |bought: &Subscription| {
        let mut outbound = vless(bought, "");
        outbound["multiplex"] = json!({"enabled": true, "protocol": "smux"});
        outbound
    };
    let Some((_world, client)) = configured(multiplexed) else {
        return;
    };
    let echo = testbed::origin::Origin::echo();
    let proxy = ["--proxy", &format!("socks5h://{}", client.socks())];
    let url = format!("http://{}/", echo.address());
    let answered = testbed::client::curl(&[&proxy[..], &["--max-time", "20", &url]].concat());
    assert_eq!(answered.stdout, b"");
    // Not 28, which would be patience at its end.
    assert!(
        answered.status.code().is_some_and(|code| code != 0 && code != 28),
        "{answered:?}"
    );
    assert!(echo.visits().is_empty());
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
