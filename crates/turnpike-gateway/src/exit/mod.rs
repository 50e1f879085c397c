//! One way out to the internet: how it dials, and how it gets another address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv6Net;
use secrecy::SecretString;
use tokio::net::{TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;

use turnpike_wire::address::Destination;

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

/// An exit in force. Its spec is replaced live; its generation is advanced by each rotation.
#[derive(Debug)]
pub(crate) struct Exit {
    // helper G3 fills in
}

/// A connection through an exit.
#[derive(Debug)]
pub(crate) struct Dialed {
    /// The socket to relay to; an upstream's handshake is over.
    pub(crate) stream: TcpStream,
    /// Bytes that an upstream sent behind its handshake: the first of the downstream.
    pub(crate) early: bytes::Bytes,
    /// Cancelled when tunnels of this generation must close (a rotation's drain time is over, the exit is gone).
    pub(crate) lease: CancellationToken,
}

/// A socket for datagrams through an exit.
#[derive(Debug)]
pub(crate) struct UdpEgress {
    /// Bound like the exit's TCP, not connected; one per association and family.
    pub(crate) socket: UdpSocket,
    /// As [`Dialed::lease`].
    pub(crate) lease: CancellationToken,
}

/// Why nothing could be dialled; every protocol has its own answer to each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    /// Private, this installation's own, port 25: the sentence says which.
    #[error("{0}")]
    Prohibited(String),
    #[error("the name {0} does not exist")]
    NoSuchName(String),
    #[error("the name servers gave no answer for {0}")]
    NameTimeout(String),
    #[error("the destination refused the connection")]
    Refused,
    #[error("the destination's network cannot be reached")]
    NetworkUnreachable,
    #[error("the destination cannot be reached")]
    HostUnreachable,
    #[error("the destination did not answer in time")]
    TimedOut,
    /// The exit is down, rotating, or its upstream refused us.
    #[error("this proxy's exit is unavailable just now: {reason}")]
    ExitUnavailable { reason: String, retry_after: Duration },
    /// This exit carries no datagrams.
    #[error("this proxy's exit does not carry UDP")]
    NoUdp,
}

#[allow(unused_variables)]
impl Exit {
    /// Resolves, judges and dials `destination`, happy eyeballs over the families the exit has.
    pub(crate) async fn dial(&self, destination: &Destination) -> Result<Dialed, DialError> {
        unimplemented!()
    }

    /// Resolves and judges a datagram's destination; the first allowed address of a family that the exit has.
    pub(crate) async fn resolve_udp(&self, destination: &Destination) -> Result<SocketAddr, DialError> {
        unimplemented!()
    }

    /// A socket for datagrams to addresses of the family of `towards`.
    pub(crate) fn udp(&self, towards: IpAddr) -> Result<UdpEgress, DialError> {
        unimplemented!()
    }

    /// Whether a datagram from this source may be handed to the customer.
    pub(crate) fn accepts_reply_from(&self, source: SocketAddr) -> bool {
        unimplemented!()
    }

    /// A number that each rotation advances; idle origin connections of an older one must not be used again.
    pub(crate) fn generation(&self) -> u64 {
        unimplemented!()
    }
}
