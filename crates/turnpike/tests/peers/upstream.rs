//! The way out is somebody else's SOCKS5 proxy: what clients of other people send by UDP goes by its UDP ASSOCIATE, and where it has none
//! they are refused, and their owner reads why.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use serde_json::{Value, json};
use testbed::client::sing_box;
use testbed::origin::Origin;
use testbed::turnpike::Turnpike;
use testbed::{Running, eventually, program, skip};

use crate::lanes::{Lane, SING_BOX, SS_TUNNEL, V2RAY};
use crate::sing_box::{shadowsocks, socks, started, vless};
use crate::world::{EXIT, World};
use crate::{dns, quic};

/// A proxy that carries datagrams, and leaves from [`EXIT`]; absent where there is no such program, and that has been said.
fn sing_box_upstream() -> Option<Running> {
    let program = sing_box()?;
    let upstream = Running::start(|home, port| {
        let file = home.join("upstream.json");
        let user = json!({"username": "partner", "password": "p4ss word"});
        let configuration = json!({
            "log": {"level": "warn"},
            "inbounds": [{"type": "socks", "listen": "127.0.0.1", "listen_port": port, "users": [user]}],
            "outbounds": [{"type": "direct", "inet4_bind_address": EXIT}],
        });
        fs::write(&file, configuration.to_string()).unwrap();
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(file);
        command
    });
    Some(upstream)
}

/// The same by an older relative of Xray.
fn v2ray_upstream() -> Option<Running> {
    let Some(program) = program("v2ray") else {
        skip("no v2ray on this machine (Debian: v2ray)");
        return None;
    };
    let upstream = Running::start(|home, port| {
        let file = home.join("upstream.json");
        let account = json!({"user": "partner", "pass": "p4ss word"});
        let configuration = json!({
            "log": {"loglevel": "warning"},
            "inbounds": [{
                "protocol": "socks", "listen": "127.0.0.1", "port": port,
                "settings": {"auth": "password", "accounts": [account], "udp": true, "ip": "127.0.0.1"},
            }],
            "outbounds": [{"protocol": "freedom", "sendThrough": EXIT}],
        });
        fs::write(&file, configuration.to_string()).unwrap();
        let mut command = Command::new(program);
        command.arg("-config").arg(file);
        command
    });
    // Its SOCKS5 is the same as that of its clients, and gives an answer to a socket that is closed now and then.
    Some(upstream.that_mixes_up())
}

/// A shop whose exit is this proxy.
fn world_by(upstream: &Running) -> World {
    let url = format!("socks5://partner:p4ss%20word@{}", upstream.socks());
    World::by_exit(Turnpike::with(), &format!("upstream = {url:?}"))
}

fn dns_and_quic(upstream: Option<Running>, lanes: &[Lane]) {
    let Some(upstream) = upstream else { return };
    let world = world_by(&upstream);
    dns::answers_come_by_in(&world, lanes, upstream.mixes_up());
    quic::streams_pass_by_in(&world, lanes);
}

#[test]
fn dns_and_quic_cross_sing_box_behind_every_protocol_of_sing_box() {
    dns_and_quic(sing_box_upstream(), SING_BOX);
}

#[test]
fn dns_and_quic_cross_sing_box_behind_every_protocol_of_v2ray() {
    dns_and_quic(sing_box_upstream(), V2RAY);
}

#[test]
fn dns_and_quic_cross_sing_box_behind_every_method_of_ss_tunnel() {
    dns_and_quic(sing_box_upstream(), SS_TUNNEL);
}

#[test]
fn dns_and_quic_cross_v2ray_behind_sing_box() {
    dns_and_quic(v2ray_upstream(), SING_BOX);
}

#[test]
fn sing_box_talks_by_udp_to_addresses_and_names_through_another_sing_box() {
    let Some(upstream) = sing_box_upstream() else { return };
    let world = world_by(&upstream);
    for outbound in [
        socks(&world.bought),
        vless(&world.bought, "xudp"),
        shadowsocks(&world.bought),
    ] {
        let client = started(&outbound).unwrap();
        world.exchanges(&client, &[1, 100, 1_200, 1_472, 4_096, 8_000]);
        world.sends_by_name(&client);
    }
}

/// Proxies without datagrams: one that has no word for them, and one that says no.
fn without_datagrams() -> Vec<(Running, &'static str)> {
    let mut found = Vec::new();
    match program("microsocks") {
        Some(program) => {
            let upstream = Running::start(|_, port| {
                let mut command = Command::new(program);
                command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
                command
            });
            found.push((upstream, "socks5"));
        }
        None => skip("no microsocks on this machine (Debian: microsocks)"),
    }
    match program("tinyproxy") {
        Some(program) => {
            let upstream = Running::start(|home, port| {
                let file = home.join("tinyproxy.conf");
                let configuration =
                    format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nLogLevel Critical\n");
                fs::write(&file, configuration).unwrap();
                let mut command = Command::new(program);
                command.arg("-d").arg("-c").arg(file);
                command
            });
            found.push((upstream, "http"));
        }
        None => skip("no tinyproxy on this machine (Debian: tinyproxy)"),
    }
    found
}

#[test]
fn where_the_upstream_carries_no_udp_every_protocol_is_refused_and_the_owner_reads_why() {
    if sing_box().is_none() {
        return;
    }
    for (upstream, scheme) in without_datagrams() {
        let url = format!("{scheme}://{}", upstream.socks());
        let world = World::by_exit(Turnpike::with(), &format!("upstream = {url:?}"));
        let origin = Origin::udp();
        let reader = world.shop.key(&world.shop.email, &["--read-only"]);
        let query = format!("refusals&subscriptionId={}", world.bought.id);
        let told = |protocol: &str| {
            let answer = reader.ask(&query).expect_status(200).json();
            let Value::Array(refusals) = answer["refusals"].clone() else {
                panic!("{answer}");
            };
            let of_it = |one: &&Value| one["protocol"] == protocol && one["code"] == "no_udp";
            let found = refusals.iter().find(of_it).cloned();
            found.map_or((0, String::new()), |one| {
                (
                    one["times"].as_u64().unwrap(),
                    one["reason"].as_str().unwrap().to_owned(),
                )
            })
        };
        for lane in SING_BOX {
            let protocol = match lane.name {
                name if name.contains("SOCKS5") => "socks5",
                name if name.contains("VLESS") => "vless",
                _ => "shadowsocks",
            };
            let (before, _) = told(protocol);
            let client = lane.to(origin.address(), &world.bought).unwrap();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            eventually(lane.name, || {
                socket.send_to(b"does not arrive", client.port()).unwrap();
                let (times, reason) = told(protocol);
                times > before
                    && reason == "this subscription's exit does not carry UDP: switch to another network, or use TCP"
            });
        }
        assert_eq!(origin.visits(), [], "{scheme}");
        // TCP goes by it as ever.
        let web = Origin::http();
        assert_eq!(world.bought.fetch(&web.url("/")).expect_status(200).body, "127.0.0.1");
        world.shop.audit();
    }
}
