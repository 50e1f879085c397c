//! Going out through somebody else's proxy: HTTP CONNECT (RFC 9110 §9.3.6) and SOCKS5 (RFC 1928, 1929).
//!
//! Three parties can fail here, and customers are told which: the proxy itself ([`UpstreamError::Down`]), the
//! destination behind it as the proxy reports it ([`UpstreamError::Destination`]), or this machine. The proxy's own
//! name is resolved by the gateway's name servers, without a source address: that path is the operator's, not the exit's.

mod http;
mod socks5;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpStream, UdpSocket};

use super::dialling::DialError;
use super::health::{Cause, Finding};
use super::{ExitWay, Source, Upstream, UpstreamAssociation};
use crate::dial::{self, AttemptError, Families};
use crate::egress::{DestinationPolicy, Verdict};
use crate::resolve::Resolver;

/// For reaching the proxy and logging in; what follows is bounded by the dial as a whole.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(4);

/// An exit's upstream proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proxy<'a> {
    protocol: Protocol,
    upstream: &'a Upstream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Socks5,
}

/// Why there is no connection through the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UpstreamError {
    /// The proxy works and says this of the destination.
    Destination(DialError),
    /// The proxy works and has no room for us just now.
    Busy(Duration),
    /// The proxy broke off: its own trouble, or its way to say that it cannot reach the destination.
    BrokeOff(String),
    /// The proxy cannot be used; the words are for the operator.
    Down(Cause, String),
    /// This machine has no port or descriptor left.
    Exhausted(String),
}

/// The upstream of `way`, where it has one.
pub(super) fn of(way: &ExitWay) -> Option<Proxy<'_>> {
    let (protocol, upstream) = match way {
        ExitWay::HttpUpstream(upstream) => (Protocol::Http, upstream),
        ExitWay::Socks5Upstream(upstream) => (Protocol::Socks5, upstream),
        ExitWay::Pool(_) | ExitWay::Prefix(_) | ExitWay::Interface(_) => return None,
    };
    Some(Proxy { protocol, upstream })
}

impl Proxy<'_> {
    /// A connection to `destination` through the proxy, and what arrived behind the proxy's answer.
    pub(super) async fn connect(
        &self,
        resolver: &Arc<Resolver>,
        destination: SocketAddr,
    ) -> Result<(TcpStream, Bytes), UpstreamError> {
        let mut stream = self.log_in(resolver).await?;
        let early = match self.protocol {
            Protocol::Http => {
                let credentials = self.upstream.credentials.as_ref();
                http::connect(&mut stream, destination, credentials).await?
            }
            Protocol::Socks5 => {
                socks5::connect(&mut stream, destination).await?;
                Bytes::new()
            }
        };
        Ok((stream, early))
    }

    /// Whether its protocol has a way for datagrams.
    pub(super) fn may_carry_udp(&self) -> bool {
        self.protocol == Protocol::Socks5
    }

    /// Has the proxy open an association; the socket for its datagrams. Proxies tell clients by their addresses, so the
    /// socket is bound to the address that the connection comes from.
    pub(super) async fn associate(
        &self,
        resolver: &Arc<Resolver>,
        policy: &DestinationPolicy,
    ) -> Result<(UdpSocket, UpstreamAssociation), UpstreamError> {
        if !self.may_carry_udp() {
            return Err(UpstreamError::Destination(DialError::NoUdp));
        }
        let mut control = self.log_in(resolver).await?;
        let bound = socks5::associate(&mut control).await?;
        let (Ok(own), Ok(proxy)) = (control.local_addr(), control.peer_addr()) else {
            return Err(UpstreamError::BrokeOff("closed the association at once".to_owned()));
        };
        let relay = relay(bound, proxy.ip(), policy);
        let source = if relay.ip() == proxy.ip() {
            Source::of_address(own.ip(), false)
        } else {
            Source::Unbound
        };
        let socket = source.udp(relay.ip(), 0).map_err(|error| match error {
            AttemptError::Exhausted(reason) => UpstreamError::Exhausted(reason),
            error => UpstreamError::BrokeOff(format!("its relay at {relay} cannot be reached: {error:?}")),
        })?;
        Ok((socket, UpstreamAssociation { relay, control }))
    }

    /// Whether the proxy can be used, as far as that shows without asking it for a destination; `login_suffices` says
    /// whether that is far enough.
    pub(super) async fn examine(&self, resolver: &Arc<Resolver>, login_suffices: bool) -> Finding {
        match self.log_in(resolver).await {
            Ok(_) if login_suffices => Finding::Works,
            Err(UpstreamError::Down(cause, detail)) => Finding::Fails(cause, detail),
            Ok(_) | Err(_) => Finding::Unclear,
        }
    }

    /// Whether a login that works refutes that the exit is down for `cause`. HTTP has no login apart from a request,
    /// and no login tells whether destinations answer behind the proxy: there only a customer's dial can.
    pub(super) fn login_proves(&self, cause: Cause) -> bool {
        match cause {
            Cause::Source | Cause::Upstream => true,
            Cause::Credentials => self.protocol == Protocol::Socks5,
            Cause::Silence => false,
        }
    }

    /// Reaches the proxy and, where the protocol has a login of its own, logs in.
    async fn log_in(&self, resolver: &Arc<Resolver>) -> Result<TcpStream, UpstreamError> {
        let login = async {
            let mut stream = self.reach(resolver).await?;
            if self.protocol == Protocol::Socks5 {
                socks5::log_in(&mut stream, self.upstream.credentials.as_ref()).await?;
            }
            Ok(stream)
        };
        tokio::time::timeout(LOGIN_TIMEOUT, login)
            .await
            .unwrap_or_else(|_| Err(self.down("did not answer in time")))
    }

    async fn reach(&self, resolver: &Arc<Resolver>) -> Result<TcpStream, UpstreamError> {
        let host = self.upstream.host.as_str();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = match literal.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => resolver
                .addresses(host, Families { v4: true, v6: true })
                .await
                .map_err(|_| self.down("has a name that cannot be resolved"))?,
        };
        let candidates = addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, self.upstream.port))
            .collect();
        let connect = async |address: SocketAddr| {
            let socket = Source::Unbound.tcp(address.ip())?;
            socket
                .connect(address)
                .await
                .map_err(|error| AttemptError::of_connect(&error))
        };
        dial::race(&dial::in_order(candidates), true, connect)
            .await
            .map_err(|error| match error {
                AttemptError::Exhausted(reason) => UpstreamError::Exhausted(reason),
                AttemptError::Refused => self.down("refused the connection"),
                AttemptError::TimedOut => self.down("did not answer in time"),
                AttemptError::NetworkUnreachable | AttemptError::HostUnreachable | AttemptError::Source(_) => {
                    self.down("cannot be reached")
                }
            })
    }

    fn down(&self, what: &str) -> UpstreamError {
        let Upstream { host, port, .. } = self.upstream;
        UpstreamError::Down(Cause::Upstream, format!("the upstream proxy {host}:{port} {what}"))
    }
}

/// Where datagrams are sent. Proxies behind a NAT name an address that is of no use here, others none at all or a name:
/// then the one at which they were reached is meant. So it is where they name what no customer may reach, such as a
/// service of the gateway's own network.
fn relay(bound: socks5::Bound, proxy: IpAddr, policy: &DestinationPolicy) -> SocketAddr {
    let told = bound.address.map(|address| address.to_canonical());
    let address = told.filter(|told| policy.judge(SocketAddr::new(*told, bound.port), true) == Verdict::Allowed);
    SocketAddr::new(address.unwrap_or(proxy), bound.port)
}

fn refuses(what: &str) -> UpstreamError {
    UpstreamError::Down(Cause::Credentials, format!("the upstream proxy {what}"))
}

fn misbehaves(what: &str) -> UpstreamError {
    UpstreamError::Down(Cause::Upstream, format!("the upstream proxy {what}"))
}

fn prohibited() -> DialError {
    DialError::Prohibited("this proxy's upstream does not allow this destination".to_owned())
}
