//! Ways into a port: one for each protocol by which a client is to use it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use turnpike_shop::subscription::Subscription;

use super::document::Document;
use crate::api::protocols::{SHADOWSOCKS_METHOD, authority, encoded, proxy_url, shadowsocks_url, vless_url};
use crate::error::ApiError;

/// The method for clients from before 2022: Outline, shadowsocks-libev, v2ray 4. Every port takes it with the same password.
pub(super) const AEAD_METHOD: &str = "chacha20-ietf-poly1305";

/// A protocol that clients can be told to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Vless,
    Shadowsocks,
    ShadowsocksAead,
    Socks5,
    Http,
    Https,
}

impl Protocol {
    pub(crate) const ALL: [Self; 6] = [
        Self::Vless,
        Self::Shadowsocks,
        Self::ShadowsocksAead,
        Self::Socks5,
        Self::Http,
        Self::Https,
    ];

    /// Its name in `?protocol=`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Vless => "vless",
            Self::Shadowsocks => "shadowsocks",
            Self::ShadowsocksAead => "shadowsocks-aead",
            Self::Socks5 => "socks5",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// As people write it.
    fn title(self) -> &'static str {
        match self {
            Self::Vless => "VLESS",
            Self::Shadowsocks => "Shadowsocks",
            Self::ShadowsocksAead => "Shadowsocks AEAD",
            Self::Socks5 => "SOCKS5",
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        }
    }

    /// The protocol of this name.
    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The refusal of a name that is none.
    pub(super) fn unknown() -> ApiError {
        Self::refused(&Self::ALL)
    }

    /// The refusal of any but these.
    pub(super) fn refused(possible: &[Self]) -> ApiError {
        let names: Vec<_> = possible.iter().map(|protocol| protocol.name()).collect();
        ApiError::Field {
            field: "protocol".to_owned(),
            rule: format!("here it is one of {}", names.join(", ")),
        }
    }
}

/// One way into a port.
pub(super) struct Way<'a> {
    /// What a client calls it, as no other of the profile.
    pub(super) name: String,
    /// By what.
    pub(super) protocol: Protocol,
    /// Into which port.
    pub(super) subscription: &'a Subscription,
}

/// The two protocols that all clients of today read, the one first that hides what is said from whoever listens. Without TLS that
/// is Shadowsocks; with it VLESS does as well, and does not depend on the client's clock.
fn usual(subscription: &Subscription) -> [Protocol; 2] {
    match subscription.tls {
        Some(_) => [Protocol::Vless, Protocol::Shadowsocks],
        None => [Protocol::Shadowsocks, Protocol::Vless],
    }
}

/// The ways into all ports: by the protocol that is asked for, else by the two usual ones.
pub(super) fn into_all<'a>(document: &Document<'a>, asked: Option<Protocol>) -> Result<Vec<Way<'a>>, ApiError> {
    if asked == Some(Protocol::Https) {
        document.needs_tls("protocol")?;
    }
    let mut ways = Vec::new();
    for port in &document.ports {
        let protocols: &[Protocol] = match &asked {
            Some(Protocol::Https) if port.subscription.tls.is_none() => &[],
            Some(only) => std::slice::from_ref(only),
            None => &usual(port.subscription),
        };
        ways.extend(protocols.iter().map(|protocol| Way {
            name: match asked {
                Some(_) => port.label.clone(),
                None => format!("{} {}", port.label, protocol.title()),
            },
            protocol: *protocol,
            subscription: port.subscription,
        }));
    }
    Ok(ways)
}

impl<'a> Way<'a> {
    /// The one that suits most clients.
    pub(super) fn best(subscription: &'a Subscription, name: &str) -> Self {
        let [protocol, _] = usual(subscription);
        Self {
            name: name.to_owned(),
            protocol,
            subscription,
        }
    }

    /// Its link, with its name behind it.
    pub(super) fn link(&self) -> String {
        let named = |url: String| format!("{url}#{}", encoded(&self.name));
        match self.protocol {
            Protocol::Vless => vless_url(self.subscription, &self.name),
            Protocol::Shadowsocks => shadowsocks_url(self.subscription, &self.name),
            Protocol::ShadowsocksAead => named(aead_url(self.subscription)),
            Protocol::Socks5 => named(proxy_url("socks5", self.subscription)),
            Protocol::Http => named(proxy_url("http", self.subscription)),
            Protocol::Https => named(proxy_url("https", self.subscription)),
        }
    }

    /// Method and password, where it is one of Shadowsocks.
    pub(super) fn shadowsocks(&self) -> Option<(&'static str, String)> {
        let password = &self.subscription.password;
        match self.protocol {
            // The password is a key in base64, less its padding.
            Protocol::Shadowsocks => Some((SHADOWSOCKS_METHOD, format!("{password}=="))),
            Protocol::ShadowsocksAead => Some((AEAD_METHOD, password.clone())),
            Protocol::Vless | Protocol::Socks5 | Protocol::Http | Protocol::Https => None,
        }
    }
}

/// SIP002: the user information of methods from before 2022 is base64.
fn aead_url(subscription: &Subscription) -> String {
    let user = URL_SAFE_NO_PAD.encode(format!("{AEAD_METHOD}:{}", subscription.password));
    format!("ss://{user}@{}", authority(subscription))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::super::document::tests::{of_account, two, written};
    use super::*;

    fn names(asked: Option<Protocol>) -> Vec<String> {
        written(&of_account(two()), |document| {
            let ways = into_all(document, asked).unwrap();
            ways.into_iter().map(|way| way.name).collect()
        })
    }

    #[test]
    fn the_way_that_hides_what_is_said_comes_first() {
        let names = names(None);
        assert_eq!(names[0], "12001 - NL - Private VLESS");
        assert_eq!(names[1], "12001 - NL - Private Shadowsocks");
        assert!(
            names[2].ends_with(" Shadowsocks") && names[3].ends_with(" VLESS"),
            "{names:?}"
        );
    }

    #[test]
    fn one_protocol_gives_one_way_into_each_port_that_has_it() {
        assert_eq!(names(Some(Protocol::Socks5)).len(), 2);
        assert_eq!(names(Some(Protocol::Https)), ["12001 - NL - Private"]);
        let mut without_tls = two();
        without_tls.remove(0);
        written(&of_account(without_tls), |document| {
            assert!(into_all(document, Some(Protocol::Https)).is_err());
        });
    }

    #[test]
    fn every_protocol_has_a_link() {
        let profile = of_account(two().into_iter().take(1).collect());
        let links: Vec<String> = Protocol::ALL
            .into_iter()
            .map(|protocol| {
                written(&profile, |document| {
                    into_all(document, Some(protocol)).unwrap()[0].link()
                })
            })
            .collect();
        let (login, server, label) = (
            "u_6k8s9d:p_2n4m6q",
            "proxy.example.com:12001",
            "12001%20-%20NL%20-%20Private",
        );
        assert_eq!(
            links,
            [
                format!(
                    "vless://00000000-0000-0000-0000-000000000000@{server}?encryption=none&security=tls&sni=proxy.example.com\
                     &alpn=http%2F1.1&fp=chrome&type=tcp&headerType=none&packetEncoding=xudp#{label}"
                ),
                format!("ss://2022-blake3-aes-128-gcm:p_2n4m6q%3D%3D@{server}#{label}"),
                format!("ss://Y2hhY2hhMjAtaWV0Zi1wb2x5MTMwNTpwXzJuNG02cQ@{server}#{label}"),
                format!("socks5://{login}@{server}#{label}"),
                format!("http://{login}@{server}#{label}"),
                format!("https://{login}@{server}#{label}"),
            ]
        );
    }
}
