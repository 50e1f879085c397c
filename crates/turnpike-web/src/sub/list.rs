//! Lists for programs: a line for each port, tables, JSON.

use std::fmt;

use csv::{Terminator, WriterBuilder};
use serde::Serialize;

use super::document::{Document, Port};
use super::format::unwritable;
use crate::api::protocols::{Protocols, authority, bare_host, proxy_url};
use crate::api::subscription::network_label;
use crate::error::ApiError;

/// What a plain line is made of. It shows itself as `host:port`.
pub(super) struct To<'a> {
    address: String,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
}

impl fmt::Display for To<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// A line for each port, in one of the spellings that programs know. Names, passwords and hosts hold none of the signs between.
pub(super) fn lines(document: &Document<'_>, spelling: impl Fn(&To<'_>) -> String) -> String {
    let line = |port: &Port<'_>| {
        let to = To {
            address: authority(port.subscription),
            user: &port.subscription.username,
            password: &port.subscription.password,
        };
        spelling(&to) + "\n"
    };
    document.ports.iter().map(line).collect()
}

/// A URL for each port; those of HTTPS only for ports that have TLS.
pub(super) fn urls(document: &Document<'_>, scheme: &str) -> String {
    document
        .ports
        .iter()
        .filter(|port| scheme != "https" || port.subscription.tls.is_some())
        .map(|port| proxy_url(scheme, port.subscription) + "\n")
        .collect()
}

/// All that is known of a port but how to rotate it, which is another secret.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    subscription_id: &'a str,
    label: &'a str,
    network_label: String,
    country: &'a str,
    host: &'a str,
    port: u16,
    username: &'a str,
    password: &'a str,
    active_until: i64,
    protocols: Protocols,
}

impl<'a> Listed<'a> {
    fn of(port: &'a Port<'_>) -> Self {
        let subscription = port.subscription;
        Self {
            subscription_id: subscription.id.as_str(),
            label: &port.label,
            network_label: network_label(&subscription.network_code, &subscription.city),
            country: &subscription.country,
            host: bare_host(subscription),
            port: subscription.port,
            username: &subscription.username,
            password: &subscription.password,
            active_until: subscription.ends_at.0,
            protocols: Protocols::of(subscription, &port.label),
        }
    }
}

pub(super) fn json(document: &Document<'_>) -> Result<String, ApiError> {
    let listed: Vec<_> = document.ports.iter().map(Listed::of).collect();
    serde_json::to_string_pretty(&listed).map_err(|error| unwritable("a list of ports", error))
}

/// RFC 4180, with a line of names at its top.
pub(super) fn csv(document: &Document<'_>) -> Result<String, ApiError> {
    let failed = |error: &dyn fmt::Display| unwritable("a table of ports", error);
    let mut table = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(Vec::new());
    let names = [
        "subscriptionId",
        "label",
        "networkLabel",
        "country",
        "host",
        "port",
        "username",
        "password",
        "activeUntil",
        "http",
        "socks5",
        "https",
        "vless",
        "shadowsocks",
    ];
    table.write_record(names).map_err(|error| failed(&error))?;
    for port in &document.ports {
        let listed = Listed::of(port);
        let urls = &listed.protocols;
        let record = [
            listed.subscription_id,
            &no_formula(listed.label),
            &no_formula(&listed.network_label),
            &no_formula(listed.country),
            listed.host,
            &listed.port.to_string(),
            listed.username,
            listed.password,
            &listed.active_until.to_string(),
            &urls.http,
            &urls.socks5,
            urls.https.as_deref().unwrap_or_default(),
            &urls.vless,
            &urls.shadowsocks,
        ];
        table.write_record(record).map_err(|error| failed(&error))?;
    }
    let bytes = table.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// A text for people, such that no spreadsheet takes it for a formula (CWE-1236). Credentials, hosts and URLs begin with a letter or
/// a digit and are left alone.
pub(super) fn no_formula(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::Value;
    use turnpike_shop::subscription::Subscription;

    use super::super::document::tests::{of_account, two, written};
    use super::super::format::Format;
    use super::*;
    use crate::api::subscription::tests::sample;

    fn text(format: Format) -> String {
        written(&of_account(two()), |document| format.write(document, None).unwrap())
    }

    #[test]
    fn a_plain_line_looks_as_its_formats_name() {
        let (at, v6) = ("proxy.example.com:12001", "[2001:db8::1]:12002");
        let (user, password) = ("u_6k8s9d", "p_2n4m6q");
        for (format, line) in [
            (Format::HostPortUserPass, "{}:u_6k8s9d:p_2n4m6q"),
            (Format::UserPassAtHostPort, "u_6k8s9d:p_2n4m6q@{}"),
            (Format::UserPassHostPort, "u_6k8s9d:p_2n4m6q:{}"),
            (Format::HostPortAtUserPass, "{}@u_6k8s9d:p_2n4m6q"),
            (Format::Http, "http://u_6k8s9d:p_2n4m6q@{}"),
            (Format::Socks5, "socks5://u_6k8s9d:p_2n4m6q@{}"),
            (Format::Socks5h, "socks5h://u_6k8s9d:p_2n4m6q@{}"),
        ] {
            let expected = format!("{}\n{}\n", line.replace("{}", at), line.replace("{}", v6));
            assert_eq!(text(format), expected);
            if !line.contains("://") {
                let named = line
                    .replace("{}", "host:port")
                    .replace(user, "user")
                    .replace(password, "pass");
                assert_eq!(named, format.name());
            }
        }
        assert_eq!(
            text(Format::Https),
            "https://u_6k8s9d:p_2n4m6q@proxy.example.com:12001\n"
        );
    }

    #[test]
    fn json_has_everything_but_the_rotate_link() {
        let listed: Value = serde_json::from_str(&text(Format::Json)).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), 2);
        assert_eq!(
            listed[0]["protocols"]["https"],
            "https://u_6k8s9d:p_2n4m6q@proxy.example.com:12001"
        );
        assert_eq!(listed[1]["host"], "2001:db8::1");
        assert_eq!(
            listed[1]["label"],
            "12002 - NL - Private - =HYPERLINK(\"x\"), 'ünï' #: { }"
        );
        assert!(!text(Format::Json).contains("abcd1234"));
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("@x", "'@x"),
            ("-", "'-"),
            ("＝1", "'＝1"),
            ("12001 - NL", "12001 - NL"),
        ] {
            assert_eq!(no_formula(text), cell);
        }
        let odd = Subscription {
            country: "=1".to_owned(),
            network_code: "@SUM".to_owned(),
            user_note: "a,\"b\"\r\nc".to_owned(),
            ..sample()
        };
        let table = written(&of_account(vec![odd]), |document| csv(document).unwrap());
        let row = table.lines().nth(1).unwrap();
        assert!(
            row.starts_with("j97b2f6m1k4n8p3r5t7v9x0z,\"12001 - =1 - Private - a,\"\"b\"\" c\",'@SUM Amsterdam,'=1,"),
            "{row}"
        );
    }
}
