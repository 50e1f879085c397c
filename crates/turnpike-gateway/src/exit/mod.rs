//! One way out to the internet: how it dials, and how it gets another address.
//!
//! An [`Exit`] lives as long as the shop tells of it. What it is at this moment (its spec, the address it leaves from,
//! its names) is one immutable [`Present`] that is replaced whole, by [`Exit::update`] or by a rotation; a dial takes
//! the present of its start and knows nothing of the next. Each present has a generation and a lease: tunnels hold the
//! lease of the present they were dialled under, and end when it is cancelled.
//!
//! - [`choice`]: which address of a pool or a prefix, and which next
//! - [`source`], [`device`]: sockets bound to it
//! - [`upstream`]: the handshakes with other people's proxies
//! - [`rotate`], [`method`]: getting another address
//! - [`health`], [`probe`]: whether it gets out at all

mod choice;
mod device;
mod health;
mod method;
mod probe;
mod rotate;
mod source;
mod upstream;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use ipnet::Ipv6Net;
use secrecy::SecretString;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use turnpike_wire::address::{Destination, Host};

use crate::dial::{self, AttemptError};
use crate::egress::{DestinationPolicy, Verdict};
use crate::gateway::{Event, GatewayConfig};
use crate::resolve::{AnswerCache, NameServers, ResolveError, Resolver};

use choice::Choice;
use health::{Cause, Health};
pub(crate) use source::Source;
use upstream::UpstreamError;

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

/// What all exits of a gateway share.
pub(crate) struct Environment {
    policy: Arc<DestinationPolicy>,
    name_servers: Arc<NameServers>,
    answers: AnswerCache,
    connect_timeout: Duration,
    events: mpsc::UnboundedSender<Event>,
    /// Exits that want to be probed; one task does that for all.
    probes: mpsc::UnboundedSender<Weak<Exit>>,
    http: method::HttpClient,
}

impl Environment {
    /// Starts the task that probes exits; it ends with the environment.
    pub(crate) fn new(
        config: &GatewayConfig,
        policy: Arc<DestinationPolicy>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Arc<Self> {
        let (probes, wanted) = mpsc::unbounded_channel();
        tokio::spawn(probe::run(wanted));
        Arc::new(Self {
            policy,
            name_servers: Arc::new(NameServers::new(&config.dns_servers)),
            answers: AnswerCache::new(),
            connect_timeout: config.connect_timeout,
            events,
            probes,
            http: method::HttpClient::default(),
        })
    }
}

/// An exit in force.
pub(crate) struct Exit {
    id: ExitId,
    environment: Arc<Environment>,
    present: ArcSwap<Present>,
    /// Held while `present` is replaced, so that an update and a rotation do not undo each other.
    replacing: Mutex<()>,
    /// The parent of all leases.
    open: CancellationToken,
    is_rotating: AtomicBool,
    /// Whether a probe is asked for or under way.
    is_probing: AtomicBool,
    health: Health,
}

/// What an exit is between two changes.
struct Present {
    spec: ExitSpec,
    choice: Choice,
    generation: u64,
    lease: CancellationToken,
    resolver: Arc<Resolver>,
}

impl fmt::Debug for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = self.present.load();
        formatter
            .debug_struct("Exit")
            .field("id", &self.id)
            .field("name", &present.spec.name)
            .field("choice", &present.choice)
            .field("generation", &present.generation)
            .finish_non_exhaustive()
    }
}

/// A connection through an exit.
#[derive(Debug)]
pub(crate) struct Dialed {
    /// The socket to relay to; an upstream's handshake is over.
    pub(crate) stream: TcpStream,
    /// Bytes that an upstream sent behind its handshake: the first of the downstream.
    pub(crate) early: Bytes,
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
    ExitUnavailable {
        reason: String,
        retry_after: Duration,
    },
    /// This exit carries no datagrams.
    #[error("this proxy's exit does not carry UDP")]
    NoUdp,
}

/// How long an attempt may hang before it counts as a sign that the exit is dead, while it is still waited for.
const SUSPICIOUS_SILENCE: Duration = Duration::from_secs(3);

/// How long a dial takes at most while the exit is known to be down: still tried, since it may be back.
const CONNECT_TIMEOUT_WHILE_DOWN: Duration = Duration::from_secs(4);

impl Exit {
    /// Opens an exit and has it probed; the first event about it follows.
    pub(crate) fn new(spec: ExitSpec, environment: Arc<Environment>) -> Arc<Self> {
        let open = CancellationToken::new();
        let choice = Choice::first(&spec);
        let present = Present {
            resolver: resolver(&choice, &environment),
            generation: 1,
            lease: open.child_token(),
            choice,
            spec,
        };
        let exit = Arc::new(Self {
            id: present.spec.id.clone(),
            environment,
            present: ArcSwap::from_pointee(present),
            replacing: Mutex::new(()),
            open,
            is_rotating: AtomicBool::new(false),
            is_probing: AtomicBool::new(false),
            health: Health::default(),
        });
        exit.request_probe();
        exit
    }

    /// Takes a new spec. Tunnels stay as they are unless the way they go has been taken away: then they end after the
    /// drain time, as at a rotation.
    ///
    /// The gateway knows best which address the exit has just now: a present address in `spec` counts only where it is
    /// news, and no rotation has happened since the last spec.
    pub(crate) fn update(self: &Arc<Self>, spec: ExitSpec) {
        let guard = self.replacing();
        let before = self.present.load_full();
        let told_another = spec.present_address.is_some()
            && spec.present_address != before.spec.present_address
            && spec.present_address != before.choice.address
            && !before.choice.is_rotated;
        let kept = before.choice.kept_by(&before.spec.way, &spec.way);
        let is_same_way = kept.is_some();
        let choice = kept
            .filter(|_| !told_another)
            .unwrap_or_else(|| Choice::first(&spec));
        let (generation, lease, resolver) = if is_same_way && choice.source == before.choice.source
        {
            (
                before.generation,
                before.lease.clone(),
                Arc::clone(&before.resolver),
            )
        } else {
            (
                before.generation + 1,
                self.open.child_token(),
                resolver(&choice, &self.environment),
            )
        };
        let has_moved = generation != before.generation;
        let drain = spec.drain;
        self.present.store(Arc::new(Present {
            spec,
            choice: choice.told(),
            generation,
            lease,
            resolver,
        }));
        drop(guard);
        if has_moved {
            self.end_later(before.lease.clone(), drain);
            self.health.forget();
            self.request_probe();
        }
    }

    /// Ends all tunnels through this exit. It dials no more.
    pub(crate) fn close(&self) {
        self.open.cancel();
        self.health.close(&self.present.load().spec.name);
    }

    /// Its id.
    pub(crate) fn id(&self) -> &ExitId {
        &self.id
    }

    /// The public address it leaves from just now, where that is known.
    pub(crate) fn present_address(&self) -> Option<IpAddr> {
        self.present.load().choice.address
    }

    /// A number that each change of address advances; idle origin connections of an older one must not be used again.
    pub(crate) fn generation(&self) -> u64 {
        self.present.load().generation
    }

    /// Resolves, judges and dials `destination`, happy eyeballs over the families the exit has.
    pub(crate) async fn dial(
        self: &Arc<Self>,
        destination: &Destination,
    ) -> Result<Dialed, DialError> {
        let mut present = self.present.load_full();
        loop {
            let dialed = self.dial_from(&present, destination).await?;
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
    ) -> Result<Dialed, DialError> {
        if self.open.is_cancelled() {
            return Err(unavailable("it has been taken out of service"));
        }
        let candidates = self.candidates(present, destination).await?;
        let candidates = dial::in_order(candidates);
        let connected = match upstream::of(&present.spec.way) {
            Some(proxy) => self.dial_by_proxy(present, &proxy, &candidates).await,
            None => self.dial_directly(present, &candidates).await,
        };
        let (stream, early) = connected?;
        self.health_good(present.generation);
        Ok(Dialed {
            stream,
            early,
            lease: present.lease.clone(),
        })
    }

    async fn dial_directly(
        self: &Arc<Self>,
        present: &Arc<Present>,
        candidates: &[SocketAddr],
    ) -> Result<(TcpStream, Bytes), DialError> {
        let connect = async |address: SocketAddr| {
            let socket = present.choice.source.tcp(address.ip())?;
            socket
                .connect(address)
                .await
                .map_err(|error| AttemptError::of_connect(&error))
        };
        let deadline = Instant::now() + self.patience();
        let suspect = || self.health_suspect(present.generation, candidates);
        match within(deadline, dial::race(candidates, connect), suspect).await {
            Some(Ok(stream)) => Ok((stream, Bytes::new())),
            Some(Err(error)) => Err(self.failed_directly(present, candidates, error)),
            None => Err(self.failed_directly(present, candidates, AttemptError::TimedOut)),
        }
    }

    /// Draws the conclusion of a failed dial for the exit's health, and words it for the customer.
    fn failed_directly(
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
                return unavailable("the gateway is at its limit");
            }
            AttemptError::Source(reason) => {
                self.health_bad(present.generation, Cause::Source, reason);
                return self.unavailable(Cause::Source);
            }
            AttemptError::NetworkUnreachable => DialError::NetworkUnreachable,
            AttemptError::HostUnreachable => DialError::HostUnreachable,
            AttemptError::TimedOut => DialError::TimedOut,
        };
        self.health_suspect(present.generation, candidates);
        self.health
            .down_cause()
            .map_or(answer, |cause| self.unavailable(cause))
    }

    /// The upstream gets addresses, never names: a name could mean another address to it than the one we judged. They
    /// are tried one after the other, IPv4 first, since fewer proxies know IPv6.
    async fn dial_by_proxy(
        self: &Arc<Self>,
        present: &Arc<Present>,
        proxy: &upstream::Proxy<'_>,
        candidates: &[SocketAddr],
    ) -> Result<(TcpStream, Bytes), DialError> {
        let mut candidates = candidates.to_vec();
        candidates.sort_by_key(SocketAddr::is_ipv6);
        let deadline = Instant::now() + self.patience();
        let mut answer = DialError::TimedOut;
        for candidate in candidates {
            let attempt = proxy.connect(&present.resolver, candidate);
            let suspect = || self.health_suspect(present.generation, &[candidate]);
            let error = match within(deadline, attempt, suspect).await {
                Some(Ok(connected)) => return Ok(connected),
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
                UpstreamError::BrokeOff(reason) => {
                    tracing::debug!(exit = %present.spec.name, %reason, "the upstream proxy broke off");
                    self.health_suspect(present.generation, &[candidate]);
                    return Err(unavailable("its upstream proxy broke off"));
                }
                UpstreamError::Busy(retry_after) => {
                    return Err(DialError::ExitUnavailable {
                        reason: "its upstream proxy is busy".to_owned(),
                        retry_after,
                    });
                }
                UpstreamError::Down(cause, detail) => {
                    self.health_bad(present.generation, cause, detail);
                    return Err(self.unavailable(cause));
                }
                UpstreamError::Exhausted(reason) => {
                    tracing::warn!(exit = %present.spec.name, %reason, "cannot dial");
                    return Err(unavailable("the gateway is at its limit"));
                }
            }
        }
        Err(answer)
    }

    /// Resolves and judges a datagram's destination; the first allowed address of a family that the exit has.
    pub(crate) async fn resolve_udp(
        self: &Arc<Self>,
        destination: &Destination,
    ) -> Result<SocketAddr, DialError> {
        let present = self.present.load_full();
        if upstream::of(&present.spec.way).is_some() {
            return Err(DialError::NoUdp);
        }
        let candidates = self.candidates(&present, destination).await?;
        candidates
            .first()
            .copied()
            .ok_or(DialError::NetworkUnreachable)
    }

    /// A socket for datagrams to addresses of the family of `towards`.
    pub(crate) fn udp(self: &Arc<Self>, towards: IpAddr) -> Result<UdpEgress, DialError> {
        let present = self.present.load_full();
        if upstream::of(&present.spec.way).is_some() {
            return Err(DialError::NoUdp);
        }
        if self.open.is_cancelled() {
            return Err(unavailable("it has been taken out of service"));
        }
        match present.choice.source.udp(towards, 0) {
            Ok(socket) => Ok(UdpEgress {
                socket,
                lease: present.lease.clone(),
            }),
            Err(AttemptError::NetworkUnreachable) => Err(DialError::NetworkUnreachable),
            Err(error) => Err(self.failed_directly(&present, &[], error)),
        }
    }

    /// Whether a datagram from this source may be handed to the customer.
    pub(crate) fn accepts_reply_from(&self, source: SocketAddr) -> bool {
        // Which port it comes from does not matter, so mail's is as good as any.
        self.environment.policy.judge(source, true) == Verdict::Allowed
    }

    /// The addresses of `destination` that may be dialled by this exit; never none.
    async fn candidates(
        &self,
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
                ResolveError::NoAnswer(reason) => {
                    tracing::debug!(exit = %present.spec.name, %reason, "a name was not resolved");
                    DialError::NameTimeout(name.clone())
                }
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

    /// How long a dial may take in all.
    fn patience(&self) -> Duration {
        let usual = self.environment.connect_timeout;
        match self.health.down_cause() {
            Some(_) => usual.min(CONNECT_TIMEOUT_WHILE_DOWN),
            None => usual,
        }
    }

    /// Cancels `lease` after `drain`.
    fn end_later(&self, lease: CancellationToken, drain: Duration) {
        if drain.is_zero() {
            lease.cancel();
            return;
        }
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(drain) => lease.cancel(),
                () = lease.cancelled() => {}
            }
        });
    }

    fn replacing(&self) -> MutexGuard<'_, ()> {
        self.replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn unavailable(&self, cause: Cause) -> DialError {
        unavailable(if self.is_rotating() {
            "it is getting another address"
        } else {
            cause.for_customers()
        })
    }
}

/// What `attempt` comes to before `deadline`; `suspect` is called if it takes suspiciously long.
async fn within<T>(
    deadline: Instant,
    attempt: impl Future<Output = T>,
    suspect: impl FnOnce(),
) -> Option<T> {
    tokio::pin!(attempt);
    let patience = deadline.saturating_duration_since(Instant::now());
    if let Ok(outcome) = tokio::time::timeout(SUSPICIOUS_SILENCE.min(patience), &mut attempt).await
    {
        return Some(outcome);
    }
    suspect();
    tokio::time::timeout_at(deadline, attempt).await.ok()
}

fn unavailable(reason: &str) -> DialError {
    DialError::ExitUnavailable {
        reason: reason.to_owned(),
        retry_after: probe::INTERVAL,
    }
}

fn permitted(verdict: Verdict) -> Result<(), DialError> {
    match verdict {
        Verdict::Allowed => Ok(()),
        Verdict::Refused(what) => Err(DialError::Prohibited(format!(
            "this proxy does not connect to {what}"
        ))),
    }
}

fn resolver(choice: &Choice, environment: &Environment) -> Arc<Resolver> {
    Resolver::new(
        choice.source.clone(),
        Arc::clone(&environment.name_servers),
        environment.answers.clone(),
    )
}
