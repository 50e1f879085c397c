//! A subscription's port as URLs, one for each protocol that clients can be given it by.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use turnpike_shop::subscription::{Subscription, Tls};
use utoipa::ToSchema;

/// What may stand in a part of a URL as it is (RFC 3986 §2.3).
const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The method that links name: SIP022's, whose key the password is once `==` stands behind it.
pub(crate) const SHADOWSOCKS_METHOD: &str = "2022-blake3-aes-128-gcm";

/// The one protocol that is spoken inside TLS by name; the others do not ask.
pub(crate) const TLS_ALPN: &str = "http/1.1";

/// What a client's handshake should look like: that of the browser that most people have.
pub(crate) const TLS_FINGERPRINT: &str = "chrome";

/// The subscription's port as URLs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Protocols {
    /// HTTP proxy.
    pub(crate) http: String,
    /// SOCKS5 with user name and password.
    pub(crate) socks5: String,
    /// HTTP proxy inside TLS; only where the gateway has a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) https: Option<String>,
    /// VLESS, as sing-box, Xray and mihomo import it.
    pub(crate) vless: String,
    /// Shadowsocks 2022 (SIP002, SIP022).
    pub(crate) shadowsocks: String,
}

impl Protocols {
    /// `label` is what clients show.
    pub(crate) fn of(subscription: &Subscription, label: &str) -> Self {
        Self {
            http: proxy_url("http", subscription),
            socks5: proxy_url("socks5", subscription),
            https: subscription.tls.is_some().then(|| proxy_url("https", subscription)),
            vless: vless_url(subscription, label),
            shadowsocks: shadowsocks_url(subscription, label),
        }
    }
}

/// The URL of a protocol that takes user name and password.
pub(crate) fn proxy_url(scheme: &str, subscription: &Subscription) -> String {
    let username = encoded(&subscription.username);
    let password = encoded(&subscription.password);
    format!("{scheme}://{username}:{password}@{}", authority(subscription))
}

/// By the proposal that clients have agreed on (XTLS/Xray-core discussion 716); `packetEncoding` is a habit of some, and
/// ignored by others.
pub(crate) fn vless_url(subscription: &Subscription, label: &str) -> String {
    let security = match &subscription.tls {
        None => "security=none".to_owned(),
        Some(Tls { server_name }) => format!(
            "security=tls&sni={}&alpn={}&fp={TLS_FINGERPRINT}",
            encoded(server_name),
            encoded(TLS_ALPN)
        ),
    };
    format!(
        "vless://{}@{}?encryption=none&{security}&type=tcp&headerType=none&packetEncoding=xudp#{}",
        subscription.vpn,
        authority(subscription),
        encoded(label)
    )
}

/// SIP002; the user information of 2022 methods is percent-encoded and never base64.
pub(crate) fn shadowsocks_url(subscription: &Subscription, label: &str) -> String {
    format!(
        "ss://{SHADOWSOCKS_METHOD}:{}%3D%3D@{}#{}",
        encoded(&subscription.password),
        authority(subscription),
        encoded(label)
    )
}

/// Any text as a part of a URL.
pub(crate) fn encoded(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, NOT_UNRESERVED)
}

/// The host as it is, an IPv6 address without brackets.
pub(crate) fn bare_host(subscription: &Subscription) -> &str {
    let host = subscription.host.as_str();
    host.strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(host)
}

/// Host and port, an IPv6 address in brackets.
pub(crate) fn authority(subscription: &Subscription) -> String {
    let host = bare_host(subscription);
    let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
    format!("{open}{host}{close}:{}", subscription.port)
}

#[cfg(test)]
mod tests {
    use super::super::subscription::tests::sample;
    use super::*;

    #[test]
    fn every_protocol_has_its_url() {
        let urls = Protocols::of(&sample(), "12001 - NL - Private");
        assert_eq!(urls.http, "http://u_6k8s9d:p_2n4m6q@proxy.example.com:12001");
        assert_eq!(urls.socks5, "socks5://u_6k8s9d:p_2n4m6q@proxy.example.com:12001");
        assert_eq!(
            urls.vless,
            "vless://00000000-0000-0000-0000-000000000000@proxy.example.com:12001?encryption=none&security=none&type=tcp\
             &headerType=none&packetEncoding=xudp#12001%20-%20NL%20-%20Private"
        );
        assert_eq!(
            urls.shadowsocks,
            "ss://2022-blake3-aes-128-gcm:p_2n4m6q%3D%3D@proxy.example.com:12001#12001%20-%20NL%20-%20Private"
        );
    }

    #[test]
    fn with_tls_vless_goes_through_it_and_https_is_there_too() {
        let server_name = "proxy.example.com".to_owned();
        let urls = Protocols::of(
            &Subscription {
                tls: Some(Tls { server_name }),
                ..sample()
            },
            "NL",
        );
        assert_eq!(
            urls.https.as_deref(),
            Some("https://u_6k8s9d:p_2n4m6q@proxy.example.com:12001")
        );
        assert_eq!(
            urls.vless,
            "vless://00000000-0000-0000-0000-000000000000@proxy.example.com:12001?encryption=none&security=tls\
             &sni=proxy.example.com&alpn=http%2F1.1&fp=chrome&type=tcp&headerType=none&packetEncoding=xudp#NL"
        );
    }

    #[test]
    fn credentials_and_hosts_are_fit_for_a_url() {
        let odd = Subscription {
            password: "a/b+c=d@e:f".to_owned(),
            host: "2001:db8::1".to_owned(),
            ..sample()
        };
        assert_eq!(
            proxy_url("http", &odd),
            "http://u_6k8s9d:a%2Fb%2Bc%3Dd%40e%3Af@[2001:db8::1]:12001"
        );
    }
}
