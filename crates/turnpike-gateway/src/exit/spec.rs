//! What the gateway is told of an exit, and what a rotation answers.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv6Net;
use secrecy::SecretString;

/// An exit's id as the shop spells it; the gateway only compares it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExitId(pub Arc<str>);

/// One exit as the gateway is told of it.
#[derive(Debug, Clone)]
pub struct ExitSpec {
    /// Which exit.
    pub id: ExitId,
    /// Its name in the catalogue, for logs and metrics.
    pub name: String,
    /// How it leaves.
    pub way: ExitWay,
    /// How it gets another address, besides what `way` can do by itself.
    pub rotate: Option<RotateMethod>,
    /// The address it left from last, so that a restart does not change it.
    pub present_address: Option<IpAddr>,
    /// How long tunnels opened before a rotation keep their address.
    pub drain: Duration,
    /// Whether port 25 may be dialled.
    pub allow_smtp: bool,
}

/// How an exit leaves.
#[derive(Debug, Clone)]
pub enum ExitWay {
    /// From one of these addresses of this machine; rotation moves to another.
    Pool(Vec<IpAddr>),
    /// From a random address inside this prefix; rotation draws another.
    Prefix(Ipv6Net),
    /// By this network device.
    Interface(String),
    /// Through an HTTP proxy, by CONNECT.
    HttpUpstream(Upstream),
    /// Through a SOCKS5 proxy.
    Socks5Upstream(Upstream),
}

/// A proxy of somebody else's. It prints without its credentials.
#[derive(Clone)]
pub struct Upstream {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User name and password where it wants them.
    pub credentials: Option<(String, SecretString)>,
}

/// How an exit is told to get another address. It prints without arguments and paths, in which there may be keys.
#[derive(Clone)]
pub enum RotateMethod {
    /// Run this program with these arguments; exit code 0 is success.
    Command(Vec<String>),
    /// GET this address; any 2xx is success.
    Http(String),
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Upstream")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RotateMethod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(words) => formatter
                .debug_struct("Command")
                .field("program", &words.first())
                .finish_non_exhaustive(),
            Self::Http(url) => {
                let url = url::Url::parse(url).ok();
                formatter
                    .debug_struct("Http")
                    .field("host", &url.as_ref().and_then(url::Url::host_str))
                    .finish_non_exhaustive()
            }
        }
    }
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The public address now, where it is known.
    pub address: Option<IpAddr>,
    /// The public address before, where it was known.
    pub previous: Option<IpAddr>,
    /// How long it took.
    pub took: Duration,
}

/// Why a rotation failed. The exit stays usable as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// No such exit here.
    #[error("this gateway has no such exit")]
    UnknownExit,
    /// It has one address only and no method.
    #[error("this exit cannot rotate")]
    CannotRotate,
    /// Another rotation of it is running.
    #[error("this exit is being rotated already")]
    Busy,
    /// It took longer than the bound.
    #[error("the rotation did not finish within {0:?}")]
    TimedOut(Duration),
    /// The command or call failed, in a sentence for the operator.
    #[error("{0}")]
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_an_exit_has_no_secret_in_it() {
        let upstream = |way: fn(Upstream) -> ExitWay| {
            way(Upstream {
                host: "proxy.example".to_owned(),
                port: 1080,
                credentials: Some(("secret-name".to_owned(), SecretString::from("secret-word"))),
            })
        };
        let methods = [
            RotateMethod::Command(vec!["/opt/rotate".to_owned(), "--key=secret".to_owned()]),
            RotateMethod::Http("https://secret:secret@partner.example/rotate/secret?key=secret".to_owned()),
            RotateMethod::Http("secret".to_owned()),
        ];
        for way in [upstream(ExitWay::HttpUpstream), upstream(ExitWay::Socks5Upstream)] {
            for method in &methods {
                let spec = ExitSpec {
                    id: ExitId("exit1".into()),
                    name: "nl-1".to_owned(),
                    way: way.clone(),
                    rotate: Some(method.clone()),
                    present_address: None,
                    drain: Duration::ZERO,
                    allow_smtp: false,
                };
                let printed = format!("{spec:?} {spec:#?}");
                assert!(printed.contains("proxy.example"), "{printed}");
                assert!(!printed.contains("secret"), "{printed}");
            }
        }
        let printed = format!("{methods:?}");
        assert!(
            printed.contains("/opt/rotate") && printed.contains("partner.example"),
            "{printed}"
        );
    }
}
