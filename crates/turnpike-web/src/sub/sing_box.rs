//! A whole configuration of sing-box (1.12 and later), which runs as it is.

use serde::Serialize;
use serde_json::{Value, json};
use turnpike_shop::subscription::Tls;

use super::document::Document;
use super::format::unwritable;
use super::way::{self, Protocol, Way};
use crate::api::protocols::{TLS_ALPN, bare_host};
use crate::error::ApiError;

/// What the user chooses with, and what it offers besides the ways themselves. Their names begin with a port, so none is like these.
const CHOICE: &str = "Proxy";
const FASTEST: &str = "Fastest";

/// Where programs of the user's machine find the proxy: what sing-box's own examples have.
const LOCAL_PORT: u16 = 2080;

/// The sections in the order in which people read them.
#[derive(Serialize)]
struct Configuration {
    log: Value,
    dns: Value,
    inbounds: Vec<Value>,
    outbounds: Vec<Outbound>,
    route: Value,
}

/// A way out, its kind and its name first.
#[derive(Serialize)]
struct Outbound {
    #[serde(rename = "type")]
    kind: &'static str,
    tag: String,
    #[serde(flatten)]
    settings: Value,
}

/// For programs that are told of a proxy on this machine; it takes no rights.
pub(super) fn on_loopback(document: &Document<'_>, protocol: Option<Protocol>) -> Result<String, ApiError> {
    write(document, protocol, false)
}

/// For sing-box's apps, which are the system's VPN: the same, and whatever the system sends.
pub(super) fn with_tun(document: &Document<'_>, protocol: Option<Protocol>) -> Result<String, ApiError> {
    write(document, protocol, true)
}

fn write(document: &Document<'_>, protocol: Option<Protocol>, is_vpn: bool) -> Result<String, ApiError> {
    let ways = way::into_all(document, protocol)?;
    let mut inbounds = vec![json!({
        "type": "mixed", "tag": "mixed-in", "listen": "127.0.0.1", "listen_port": LOCAL_PORT,
    })];
    // The server's own name is resolved without the proxy; nothing else is.
    let mut name_servers = vec![json!({"type": "local", "tag": "local"})];
    let mut rules = Vec::new();
    if is_vpn {
        inbounds.push(json!({
            "type": "tun", "tag": "tun-in", "address": ["172.19.0.1/30", "fdfe:dcba:9876::1/126"],
            "auto_route": true, "strict_route": true,
        }));
        rules.push(json!({"action": "sniff"}));
        if !ways.is_empty() {
            // Other names are asked for by way of the proxy, so that nobody on the way here learns them.
            name_servers.push(json!({"type": "https", "tag": "remote", "server": "1.1.1.1", "detour": CHOICE}));
            rules.push(json!({"protocol": "dns", "action": "hijack-dns"}));
        }
        // The printer next door: no port here reaches private addresses.
        rules.push(json!({"ip_is_private": true, "outbound": "direct"}));
    }
    let mut route = json!({"default_domain_resolver": "local"});
    if is_vpn {
        route["auto_detect_interface"] = true.into();
    }
    if ways.is_empty() {
        // Not "direct": whoever believes in a proxy must not be without one unawares.
        rules.push(json!({"action": "reject"}));
    } else {
        route["final"] = CHOICE.into();
    }
    route["rules"] = rules.into();
    let last_name_server = if name_servers.len() > 1 { "remote" } else { "local" };
    let mut outbounds = groups(&ways);
    outbounds.extend(ways.iter().map(outbound));
    if is_vpn {
        outbounds.push(Outbound {
            kind: "direct",
            tag: "direct".to_owned(),
            settings: json!({}),
        });
    }
    let configuration = Configuration {
        log: json!({"level": "warn", "timestamp": true}),
        dns: json!({"servers": name_servers, "final": last_name_server}),
        inbounds,
        outbounds,
        route,
    };
    serde_json::to_string_pretty(&configuration).map_err(|error| unwritable("a sing-box configuration", error))
}

/// The user's choice: at first the first way, which stays the same exit until he chooses another; or whatever is fastest, where
/// there are several.
fn groups(ways: &[Way<'_>]) -> Vec<Outbound> {
    let names: Vec<&str> = ways.iter().map(|way| way.name.as_str()).collect();
    let Some(first) = names.first() else {
        return Vec::new();
    };
    let mut choices = names.clone();
    let mut groups = Vec::new();
    if names.len() > 1 {
        choices.push(FASTEST);
        groups.push(Outbound {
            kind: "urltest",
            tag: FASTEST.to_owned(),
            settings: json!({"outbounds": names, "interval": "10m"}),
        });
    }
    groups.insert(
        0,
        Outbound {
            kind: "selector",
            tag: CHOICE.to_owned(),
            settings: json!({"outbounds": choices, "default": first, "interrupt_exist_connections": true}),
        },
    );
    groups
}

/// A way as an entry of `outbounds`.
pub(super) fn alone(way: &Way<'_>) -> Result<String, ApiError> {
    serde_json::to_string_pretty(&outbound(way)).map_err(|error| unwritable("a sing-box outbound", error))
}

fn outbound(way: &Way<'_>) -> Outbound {
    let subscription = way.subscription;
    let (username, password) = (&subscription.username, &subscription.password);
    let (kind, mut settings) = match way.protocol {
        Protocol::Vless => ("vless", json!({"uuid": subscription.vpn, "packet_encoding": "xudp"})),
        Protocol::Shadowsocks | Protocol::ShadowsocksAead => {
            let (method, key) = way.shadowsocks().unwrap_or_default();
            ("shadowsocks", json!({"method": method, "password": key}))
        }
        Protocol::Socks5 => (
            "socks",
            json!({"version": "5", "username": username, "password": password}),
        ),
        Protocol::Http | Protocol::Https => ("http", json!({"username": username, "password": password})),
    };
    settings["server"] = bare_host(subscription).into();
    settings["server_port"] = subscription.port.into();
    if let (Protocol::Vless | Protocol::Https, Some(Tls { server_name })) = (way.protocol, &subscription.tls) {
        settings["tls"] = json!({"enabled": true, "server_name": server_name, "alpn": [TLS_ALPN]});
    }
    Outbound {
        kind,
        tag: way.name.clone(),
        settings,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::collections::HashSet;

    use super::super::document::tests::{of_account, two, written};
    use super::*;

    fn parsed(live: Vec<turnpike_shop::subscription::Subscription>, protocol: Option<Protocol>, is_vpn: bool) -> Value {
        let text = written(&of_account(live), |document| write(document, protocol, is_vpn).unwrap());
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn every_way_out_is_there_once_and_can_be_chosen() {
        for is_vpn in [false, true] {
            let configuration = parsed(two(), None, is_vpn);
            let tags: Vec<_> = configuration["outbounds"]
                .as_array()
                .unwrap()
                .iter()
                .map(|outbound| outbound["tag"].as_str().unwrap())
                .collect();
            assert_eq!(tags.len(), if is_vpn { 7 } else { 6 });
            assert_eq!(tags.iter().collect::<HashSet<_>>().len(), tags.len());
            assert_eq!(configuration["outbounds"][0]["outbounds"].as_array().unwrap().len(), 5);
            assert_eq!(configuration["route"]["final"], "Proxy");
        }
    }

    #[test]
    fn only_what_goes_through_tls_says_so() {
        let of = |protocol| parsed(two(), Some(protocol), false)["outbounds"].clone();
        let tls = json!({"enabled": true, "server_name": "proxy.example.com", "alpn": ["http/1.1"]});
        assert_eq!(
            (&of(Protocol::Vless)[2]["tls"], &of(Protocol::Vless)[3]["tls"]),
            (&tls, &Value::Null)
        );
        assert_eq!(of(Protocol::Https)[1]["tls"], tls);
        for protocol in [Protocol::Http, Protocol::Socks5, Protocol::Shadowsocks] {
            assert_eq!(of(protocol)[2]["tls"], Value::Null);
        }
        assert_eq!(of(Protocol::Http)[3]["server"], "2001:db8::1");
    }

    #[test]
    fn where_nothing_can_be_used_nothing_gets_out() {
        for is_vpn in [false, true] {
            let configuration = parsed(Vec::new(), None, is_vpn);
            assert_eq!(
                configuration["route"]["rules"].as_array().unwrap().last(),
                Some(&json!({"action": "reject"}))
            );
            assert_eq!(configuration["route"]["final"], Value::Null);
        }
    }
}
