//! Links as clients read them.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use url::Url;

/// A `vless://` link.
#[derive(Debug)]
pub(crate) struct Vless {
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// What a `vless://` link says of TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) server_name: String,
    pub(crate) protocol: String,
}

/// A `ss://` link (SIP002).
#[derive(Debug)]
pub(crate) struct Shadowsocks {
    pub(crate) method: String,
    pub(crate) password: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Vless {
    /// Reads a link to a server that wants neither TLS nor another transport than TCP.
    #[track_caller]
    pub(crate) fn read(link: &str) -> Self {
        Self::secured(link, "none").0
    }

    /// Reads a link to a server that wants TLS and no other transport than TCP.
    #[track_caller]
    pub(crate) fn inside_tls(link: &str) -> (Self, Tls) {
        let (link, mut settings) = Self::secured(link, "tls");
        let tls = Tls {
            server_name: settings.remove("sni").unwrap(),
            protocol: settings.remove("alpn").unwrap(),
        };
        (link, tls)
    }

    /// Reads what is the same in both, and gives the other settings back.
    #[track_caller]
    fn secured(link: &str, security: &str) -> (Self, HashMap<String, String>) {
        let url = Url::parse(link).unwrap();
        let mut settings: HashMap<_, _> = url.query_pairs().into_owned().collect();
        for (name, only) in [("encryption", "none"), ("security", security), ("type", "tcp")] {
            assert_eq!(settings.remove(name).as_deref(), Some(only), "{name} in {link}");
        }
        assert_eq!((url.scheme(), settings.remove("flow")), ("vless", None), "{link}");
        let server = Self {
            id: decoded(url.username()),
            host: url.host_str().unwrap().to_owned(),
            port: url.port().unwrap(),
        };
        (server, settings)
    }
}

impl Shadowsocks {
    /// Reads a link of the 2022 methods, whose user information is text.
    #[track_caller]
    pub(crate) fn read(link: &str) -> Self {
        let url = Url::parse(link).unwrap();
        assert_eq!((url.scheme(), url.query()), ("ss", None), "{link}");
        Self {
            method: decoded(url.username()),
            password: decoded(url.password().unwrap()),
            host: url.host_str().unwrap().to_owned(),
            port: url.port().unwrap(),
        }
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}
