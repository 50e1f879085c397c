//! A whole configuration of mihomo and the programs around it (Clash Verge, FlClash, Stash…), which runs as it is.
//!
//! It is YAML that anybody can read: block style outside, and each value as JSON writes it. JSON strings are YAML's double-quoted
//! ones, so no name or password can be taken for a number, a date or a piece of the file.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use turnpike_shop::subscription::Tls;

use super::document::Document;
use super::format::unwritable;
use super::way::{self, Protocol, Way};
use crate::api::protocols::{TLS_ALPN, TLS_FINGERPRINT, bare_host};
use crate::error::ApiError;

/// What the user chooses with, and what it offers besides the ways themselves. Their names begin with a port, so none is like these.
const CHOICE: &str = "Proxy";
const FASTEST: &str = "Fastest";

/// What is asked for to find the fastest: the page that all these programs ask for.
const PROBE: &str = "https://www.gstatic.com/generate_204";

/// A way out, its name first.
#[derive(Serialize)]
struct Proxy<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    server: &'a str,
    port: u16,
    #[serde(flatten)]
    settings: Value,
}

pub(super) fn write(document: &Document<'_>, protocol: Option<Protocol>) -> Result<String, ApiError> {
    let ways = way::into_all(document, protocol)?;
    let names: Vec<&str> = ways.iter().map(|way| way.name.as_str()).collect();
    let mut choices = names.clone();
    let mut groups = Vec::new();
    if names.len() > 1 {
        choices.push(FASTEST);
        groups.push(json!({
            "name": FASTEST, "type": "url-test", "proxies": names, "url": PROBE, "interval": 600, "lazy": true,
        }));
    }
    // Without a proxy nothing gets out, rather than without it.
    let last_rule = if names.is_empty() {
        "MATCH,REJECT".to_owned()
    } else {
        groups.insert(0, json!({"name": CHOICE, "type": "select", "proxies": choices}));
        format!("MATCH,{CHOICE}")
    };
    let mut text = "mixed-port: 7890\nallow-lan: false\nmode: rule\nlog-level: warning\nipv6: true\n".to_owned();
    list(&mut text, "proxies", ways.iter().map(proxy))?;
    list(&mut text, "proxy-groups", groups)?;
    list(&mut text, "rules", [last_rule])?;
    Ok(text)
}

/// A way as the list `proxies` with one entry.
pub(super) fn alone(way: &Way<'_>) -> Result<String, ApiError> {
    let mut text = String::new();
    list(&mut text, "proxies", [proxy(way)])?;
    Ok(text)
}

fn proxy<'a>(way: &'a Way<'_>) -> Proxy<'a> {
    let subscription = way.subscription;
    let (username, password) = (&subscription.username, &subscription.password);
    let (kind, mut settings) = match way.protocol {
        Protocol::Vless => (
            "vless",
            json!({
                "uuid": subscription.vpn, "network": "tcp", "encryption": "", "udp": true, "packet-encoding": "xudp",
            }),
        ),
        Protocol::Shadowsocks | Protocol::ShadowsocksAead => {
            let (method, key) = way.shadowsocks().unwrap_or_default();
            ("ss", json!({"cipher": method, "password": key, "udp": true}))
        }
        Protocol::Socks5 => (
            "socks5",
            json!({"username": username, "password": password, "udp": true}),
        ),
        Protocol::Http | Protocol::Https => ("http", json!({"username": username, "password": password})),
    };
    match (way.protocol, &subscription.tls) {
        (Protocol::Vless, Some(Tls { server_name })) => {
            settings["tls"] = true.into();
            settings["servername"] = server_name.as_str().into();
            settings["alpn"] = json!([TLS_ALPN]);
            settings["client-fingerprint"] = TLS_FINGERPRINT.into();
        }
        (Protocol::Https, Some(Tls { server_name })) => {
            settings["tls"] = true.into();
            settings["sni"] = server_name.as_str().into();
        }
        _ => {}
    }
    Proxy {
        name: &way.name,
        kind,
        server: bare_host(subscription),
        port: subscription.port,
        settings,
    }
}

/// A list under its key, an item a line.
fn list<T: Serialize>(text: &mut String, key: &str, items: impl IntoIterator<Item = T>) -> Result<(), ApiError> {
    let mut items = items.into_iter().peekable();
    if items.peek().is_none() {
        text.push_str(key);
        text.push_str(": []\n");
        return Ok(());
    }
    text.push_str(key);
    text.push_str(":\n");
    for item in items {
        let item = serde_json::to_string(&item).map_err(|error| unwritable("a mihomo configuration", error))?;
        text.push_str("  - ");
        printable(text, &item);
        text.push('\n');
    }
    Ok(())
}

/// Adds JSON as YAML has it: the characters that JSON leaves as they are and YAML does not (line ends of Unicode, the byte order
/// mark, what cannot be printed) are written by their numbers. In JSON they can only stand inside a string.
fn printable(text: &mut String, json: &str) {
    for letter in json.chars() {
        if matches!(
            letter,
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        ) {
            // Writing to memory cannot fail.
            let _ = write!(text, "\\u{:04x}", u32::from(letter));
        } else {
            text.push(letter);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::super::document::tests::{of_account, two, written};
    use super::*;

    #[test]
    fn it_is_yaml_that_anybody_can_read() {
        let text = written(&of_account(two()), |document| write(document, None).unwrap());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn where_nothing_can_be_used_nothing_gets_out() {
        let text = written(&of_account(Vec::new()), |document| write(document, None).unwrap());
        assert!(
            text.ends_with("proxies: []\nproxy-groups: []\nrules:\n  - \"MATCH,REJECT\"\n"),
            "{text}"
        );
    }

    #[test]
    fn what_yaml_does_not_take_as_it_is_stands_there_by_its_number() {
        let odd = "a\"\\\n\u{85}\u{2028}\u{feff}ü😀";
        let mut text = String::new();
        printable(&mut text, &serde_json::to_string(odd).unwrap());
        assert_eq!(text, r#""a\"\\\n\u0085\u2028\ufeffü😀""#);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), odd);
    }
}
