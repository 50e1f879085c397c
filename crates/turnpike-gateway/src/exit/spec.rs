//! What the gateway is told of an exit, and what a rotation answers.

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

/// A proxy of somebody else's.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User name and password where it wants them.
    pub credentials: Option<(String, SecretString)>,
}

/// How an exit is told to get another address.
#[derive(Debug, Clone)]
pub enum RotateMethod {
    /// Run this program with these arguments; exit code 0 is success.
    Command(Vec<String>),
    /// GET this address; any 2xx is success.
    Http(String),
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
