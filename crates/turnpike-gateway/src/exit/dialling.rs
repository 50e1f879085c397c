//! Through an exit: from a destination to a connection, and what its failure says of the exit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::net::sockopt::set_tcp_quickack;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use turnpike_wire::address::{Destination, Host};

use super::health::Cause;
use super::upstream::{self, UpstreamError};
use super::{Exit, Present};
use crate::dial::{self, AttemptError};
use crate::egress::Verdict;
use crate::resolve::ResolveError;
use crate::stream::Stream;

/// After what time a customer should try an exit again that is unavailable.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(3);

/// Why an exit does not get out while a rotation takes its modem away.
const ROTATING: &str = "it is getting another address";

/// Why an exit does not get out while this machine is short of files or ports.
pub(super) const AT_LIMIT: &str = "the gateway is at its limit";

/// A connection through an exit.
#[derive(Debug)]
pub(crate) struct Dialed {
    /// The socket to relay to; an upstream's handshake is over.
    pub(crate) stream: Stream,
    /// Bytes that an upstream sent behind its handshake: the first of the downstream.
    pub(crate) early: Bytes,
    /// Cancelled when tunnels of this generation must close (a rotation's drain time is over, the exit is gone).
    pub(crate) lease: CancellationToken,
}

/// What is known, before a connection is made, of what will be said on it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Our side speaks first, and has its words ready.
    Ready,
    /// Either may speak first.
    Unknown,
}

impl Opening {
    /// With `words` to be sent as soon as there is a connection.
    pub(crate) fn of(words: &[u8]) -> Self {
        if words.is_empty() { Self::Unknown } else { Self::Ready }
    }

    /// Whether data will follow the handshake at once, or soon: of these ports' protocols the client speaks first.
    fn is_ours(self, port: u16) -> bool {
        self == Self::Ready || matches!(port, 80 | 443 | 8080 | 8443)
    }
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

impl Exit {
    /// Resolves, judges and dials `destination`, happy eyeballs over the families the exit has.
    pub(crate) async fn dial(
        self: &Arc<Self>,
        destination: &Destination,
        opening: Opening,
    ) -> Result<Dialed, DialError> {
        let mut present = self.present.load_full();
        loop {
            let dialed = self.dial_from(&present, destination, opening).await?;
            // A rotation without drain time may have ended the lease meanwhile: the caller wants a tunnel that lives.
            let now = self.present.load_full();
            if !dialed.lease.is_cancelled() || now.generation == present.generation {
                return Ok(dialed);
            }
            present = now;
        }
    }

    async fn dial_from(
        self: &Arc<Self>,
        present: &Arc<Present>,
        destination: &Destination,
        opening: Opening,
    ) -> Result<Dialed, DialError> {
        if self.open.is_cancelled() {
            return Err(unavailable("it has been taken out of service"));
        }
        let candidates = self.candidates(present, destination).await?;
        let candidates = dial::in_order(candidates);
        let connected = match upstream::of(&present.spec.way) {
            Some(proxy) => self.dial_by_proxy(present, &proxy, &candidates).await,
            None => self.dial_directly(present, &candidates, opening).await,
        };
        let (stream, early, answered) = connected?;
        self.health_good(present.generation);
        self.health.note_witness(answered);
        Ok(Dialed {
            stream: stream.into(),
            early,
            lease: present.lease.clone(),
        })
    }

    async fn dial_directly(
        self: &Arc<Self>,
        present: &Arc<Present>,
        candidates: &[SocketAddr],
        opening: Opening,
    ) -> Result<(TcpStream, Bytes, SocketAddr), DialError> {
        let connect = async |address: SocketAddr| {
            let socket = present.choice.source.tcp(address.ip())?;
            if opening.is_ours(address.port()) {
                // The handshake's last packet is then the first data. Without it there is a packet more, and nothing else is lost.
                let _ = set_tcp_quickack(&socket, false);
            }
            match socket.connect(address).await {
                Ok(stream) => Ok((stream, address)),
                Err(error) => Err(AttemptError::of_connect(&error)),
            }
        };
        let silence = self.environment.bounds.silence;
        let deadline = Instant::now() + self.patience();
        let suspect = || self.health_suspect(present.generation, candidates);
        // One file is the connection's own. Where there are none for more, the addresses have to take turns.
        let more = self.environment.descriptors.take(candidates.len().saturating_sub(1));
        let race = dial::race(candidates, more.is_some(), connect);
        match within(silence, deadline, race, suspect).await {
            Some(Ok((stream, address))) => Ok((stream, Bytes::new(), address)),
            Some(Err(error)) => Err(self.failed_directly(present, candidates, error)),
            None => Err(self.failed_directly(present, candidates, AttemptError::TimedOut)),
        }
    }

    /// Draws the conclusion of a failed dial for the exit's health, and words it for the customer.
    pub(super) fn failed_directly(
        self: &Arc<Self>,
        present: &Present,
        candidates: &[SocketAddr],
        error: AttemptError,
    ) -> DialError {
        let answer = match error {
            AttemptError::Refused => {
                // Somebody answered, so the exit gets out.
                self.health_good(present.generation);
                return DialError::Refused;
            }
            AttemptError::Exhausted(reason) => {
                tracing::warn!(exit = %present.spec.name, %reason, "cannot dial");
                return unavailable(AT_LIMIT);
            }
            AttemptError::Source(reason) => {
                self.health_bad(present.generation, Cause::Source, reason);
                return self.unavailable(Cause::Source);
            }
            AttemptError::NetworkUnreachable => DialError::NetworkUnreachable,
            AttemptError::HostUnreachable => DialError::HostUnreachable,
            AttemptError::TimedOut => DialError::TimedOut,
        };
        // A device may have lost its address since it was bound to.
        if let Err(AttemptError::Source(reason)) = present.choice.source.check() {
            self.health_bad(present.generation, Cause::Source, reason);
            return self.unavailable(Cause::Source);
        }
        if self.is_rotating() {
            return unavailable(ROTATING);
        }
        self.health_suspect(present.generation, candidates);
        self.health.down_cause().map_or(answer, |cause| self.unavailable(cause))
    }

    /// The upstream gets addresses, never names: a name could mean another address to it than the one we judged. They
    /// are tried one after the other, IPv4 first, since fewer proxies know IPv6.
    async fn dial_by_proxy(
        self: &Arc<Self>,
        present: &Arc<Present>,
        proxy: &upstream::Proxy<'_>,
        candidates: &[SocketAddr],
    ) -> Result<(TcpStream, Bytes, SocketAddr), DialError> {
        let mut candidates = candidates.to_vec();
        candidates.sort_by_key(SocketAddr::is_ipv6);
        let silence = self.environment.bounds.silence;
        let deadline = Instant::now() + self.patience();
        let mut answer = DialError::TimedOut;
        for candidate in candidates {
            let attempt = proxy.connect(&present.resolver, candidate);
            let suspect = || self.health_suspect(present.generation, &[candidate]);
            let error = match within(silence, deadline, attempt, suspect).await {
                Some(Ok((stream, early))) => return Ok((stream, early, candidate)),
                Some(Err(error)) => error,
                None => {
                    suspect();
                    return Err(self
                        .health
                        .down_cause()
                        .map_or(DialError::TimedOut, |cause| self.unavailable(cause)));
                }
            };
            match error {
                UpstreamError::Destination(error) => {
                    self.health_good(present.generation);
                    answer = error;
                }
                error => {
                    if matches!(error, UpstreamError::BrokeOff(_)) {
                        self.health_suspect(present.generation, &[candidate]);
                    }
                    return Err(self.failed_by_proxy(present, error));
                }
            }
        }
        Err(answer)
    }

    /// Draws the conclusion of what a proxy has failed at for the exit's health, and words it for the customer.
    pub(super) fn failed_by_proxy(self: &Arc<Self>, present: &Present, error: UpstreamError) -> DialError {
        match error {
            UpstreamError::Destination(error) => error,
            UpstreamError::BrokeOff(reason) => {
                tracing::debug!(exit = %present.spec.name, %reason, "the upstream proxy broke off");
                unavailable("its upstream proxy broke off")
            }
            UpstreamError::Busy(retry_after) => DialError::ExitUnavailable {
                reason: "its upstream proxy is busy".to_owned(),
                retry_after,
            },
            UpstreamError::Down(cause, detail) => {
                self.health_bad(present.generation, cause, detail);
                self.unavailable(cause)
            }
            UpstreamError::Exhausted(reason) => {
                tracing::warn!(exit = %present.spec.name, %reason, "cannot dial");
                unavailable(AT_LIMIT)
            }
        }
    }

    /// The addresses of `destination` that may be dialled by this exit; never none.
    pub(super) async fn candidates(
        self: &Arc<Self>,
        present: &Present,
        destination: &Destination,
    ) -> Result<Vec<SocketAddr>, DialError> {
        let policy = &self.environment.policy;
        let allow_smtp = present.spec.allow_smtp;
        let families = present.choice.families();
        let name = match &destination.host {
            Host::Ip(address) => {
                let address = SocketAddr::new(*address, destination.port);
                permitted(policy.judge(address, allow_smtp))?;
                return if families.has(address.ip()) {
                    Ok(vec![address])
                } else {
                    Err(DialError::NetworkUnreachable)
                };
            }
            Host::Name(name) => name,
        };
        permitted(policy.judge_name(name))?;
        let addresses = present
            .resolver
            .addresses(name, families)
            .await
            .map_err(|error| match error {
                ResolveError::NoSuchName => DialError::NoSuchName(name.clone()),
                ResolveError::NoAnswer(reason) => self.failed_name(present, name, &reason),
            })?;
        let mut refusal = None;
        let mut allowed = Vec::with_capacity(addresses.len());
        for address in addresses {
            let address = SocketAddr::new(address, destination.port);
            match permitted(policy.judge(address, allow_smtp)) {
                Ok(()) => allowed.push(address),
                Err(error) => refusal = Some(error),
            }
        }
        match refusal {
            Some(error) if allowed.is_empty() => Err(error),
            _ => Ok(allowed),
        }
    }

    /// A name without an answer may be the exit's fault, whose customers mostly dial names: a dead one shows here first.
    fn failed_name(self: &Arc<Self>, present: &Present, name: &str, reason: &str) -> DialError {
        tracing::debug!(exit = %present.spec.name, %reason, "a name was not resolved");
        match present.choice.source.check() {
            Err(AttemptError::Source(reason)) => {
                self.health_bad(present.generation, Cause::Source, reason);
                return self.unavailable(Cause::Source);
            }
            _ if present.resolver.asks_through_exit() => self.health_doubtful(present.generation),
            _ => {}
        }
        match self.health.down_cause() {
            Some(cause) => self.unavailable(cause),
            None => DialError::NameTimeout(name.to_owned()),
        }
    }

    /// How long a dial may take in all.
    pub(super) fn patience(&self) -> Duration {
        let usual = self.environment.bounds.connect;
        match self.health.down_cause() {
            Some(_) => usual.min(self.environment.bounds.connect_while_down),
            None => usual,
        }
    }

    fn unavailable(&self, cause: Cause) -> DialError {
        unavailable(if self.is_rotating() {
            ROTATING
        } else {
            cause.for_customers()
        })
    }
}

/// What `attempt` comes to before `deadline`; `suspect` is called if it is silent for longer than `silence`.
async fn within<T>(
    silence: Duration,
    deadline: Instant,
    attempt: impl Future<Output = T>,
    suspect: impl FnOnce(),
) -> Option<T> {
    tokio::pin!(attempt);
    let patience = deadline.saturating_duration_since(Instant::now());
    if let Ok(outcome) = tokio::time::timeout(silence.min(patience), &mut attempt).await {
        return Some(outcome);
    }
    suspect();
    tokio::time::timeout_at(deadline, attempt).await.ok()
}

pub(super) fn unavailable(reason: &str) -> DialError {
    DialError::ExitUnavailable {
        reason: reason.to_owned(),
        retry_after: RETRY_AFTER,
    }
}

pub(super) fn permitted(verdict: Verdict) -> Result<(), DialError> {
    match verdict {
        Verdict::Allowed => Ok(()),
        Verdict::Refused(what) => Err(DialError::Prohibited(format!("this proxy does not connect to {what}"))),
    }
}
