//! Names to addresses, per exit: asked from where the exit stands, cached, joined, bounded.
//!
//! Name servers give different answers in different places, so each exit has its own [`Resolver`], whose sockets are
//! bound like the exit's, and its own share of one bounded cache ([`NameService`]). The hosts file and search domains are not
//! used: a customer's name is a name of the internet, not of this machine.
//!
//! hickory sends the questions, follows CNAMEs and joins identical questions in flight. Caching is done here, because
//! hickory would keep whole messages, whose size the answering server decides.

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
pub(crate) mod name_server;
#[cfg(test)]
mod tests;

mod servers;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::DnsUdpSocket;
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioHandle, TokioTime};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use crate::descriptors::{Descriptors, Permit};
use crate::dial::{self, AttemptError, Families};
use crate::exit::Source;

pub(crate) use servers::NameServers;

/// All questions about one name together.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long one name server may take to answer one question before it is asked again.
const PATIENCE: Duration = Duration::from_millis(2_300);

/// How long the second family may hold up the first (RFC 8305 §3, "Resolution Delay").
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// How many questions one resolver has under way. Each holds a few sockets until it is answered or given up, and who
/// owns a domain can make its answers as slow as he likes. Further ones wait for their turn; there are so many that one
/// of the customers who share an exit does not easily take them all.
const MAX_QUESTIONS: usize = 2_048;

/// How many answers all exits of a gateway keep together.
const MAX_CACHED_ANSWERS: u64 = 100_000;

/// How many addresses of one name and family are kept; more are of no use to anybody.
const MAX_ADDRESSES: usize = 16;

/// How long an answer is kept, whatever its TTL says.
const MIN_TTL: Duration = Duration::from_secs(5);
const MAX_TTL: Duration = Duration::from_secs(3_600);

/// How long "no such name" is kept.
const NEGATIVE_TTL: Duration = Duration::from_secs(10);

/// How long it is kept that the servers failed (RFC 9520 §3.2 wants at least 1 s).
const FAILURE_TTL: Duration = Duration::from_secs(2);

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ResolveError {
    /// The servers say that it does not exist, or has no address of a family that the exit has.
    NoSuchName,
    /// The servers gave no answer, or a wrong one; the words are for the operator.
    NoAnswer(Arc<str>),
}

/// What the servers said of one name and family.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Addresses(Arc<[IpAddr]>),
    None,
    Failed(Arc<str>),
}

/// Whether name servers answer through an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServersSay {
    Something,
    Nothing,
    /// There is none that would be asked through the exit.
    NotAsked,
}

/// An answer and how long it may be kept.
#[derive(Debug, Clone)]
struct Cached {
    answer: Answer,
    ttl: Duration,
}

/// What an answer is kept under: the resolver, the family, the name.
type CacheKey = (u64, bool, Box<str>);

/// What all resolvers of a gateway share: whom to ask, the answers of all of them, bounded together, and the files that
/// they may open. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct NameService {
    servers: Arc<NameServers>,
    answers: moka::sync::Cache<CacheKey, Cached>,
    descriptors: Descriptors,
}

impl NameService {
    pub(crate) fn new(servers: NameServers, descriptors: Descriptors) -> Self {
        let answers = moka::sync::Cache::builder()
            .max_capacity(MAX_CACHED_ANSWERS)
            .expire_after(ByTtl)
            .build();
        Self {
            servers: Arc::new(servers),
            answers,
            descriptors,
        }
    }

    /// Forgets all answers, as if their time were over.
    #[cfg(test)]
    pub(crate) fn forget(&self) {
        self.answers.invalidate_all();
    }
}

struct ByTtl;

impl moka::Expiry<CacheKey, Cached> for ByTtl {
    fn expire_after_create(&self, _: &CacheKey, cached: &Cached, _: Instant) -> Option<Duration> {
        Some(cached.ttl)
    }

    fn expire_after_update(&self, _: &CacheKey, cached: &Cached, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(cached.ttl)
    }
}

/// One exit's view of the names, from one source. A rotation or a new source makes a new one, so that answers and
/// connections of the old place are not used in the new.
#[derive(Debug)]
pub(crate) struct Resolver {
    scope: u64,
    source: Source,
    service: NameService,
    client: Mutex<Option<Client>>,
    turns: Arc<Semaphore>,
}

/// hickory's resolver for one list of servers. It is made at the first question: most exits of a large gateway rest.
#[derive(Debug)]
struct Client {
    servers: Arc<[SocketAddr]>,
    resolver: hickory_resolver::Resolver<BoundSockets>,
}

impl Resolver {
    pub(crate) fn new(source: Source, service: NameService) -> Arc<Self> {
        static NEXT_SCOPE: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            scope: NEXT_SCOPE.fetch_add(1, Ordering::Relaxed),
            source,
            service,
            client: Mutex::new(None),
            turns: Arc::new(Semaphore::new(MAX_QUESTIONS)),
        })
    }

    /// The addresses of `name` in these families, never none; at most five seconds.
    pub(crate) async fn addresses(
        self: &Arc<Self>,
        name: &str,
        families: Families,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        let both = async {
            match (families.v4, families.v6) {
                (true, true) => self.both_families(name).await,
                (v4, _) => combine(&[self.answer(name, !v4).await]),
            }
        };
        tokio::time::timeout(DEADLINE, both)
            .await
            .unwrap_or_else(|_| Err(ResolveError::NoAnswer("no name server answered".into())))
    }

    /// Asks for both families at once. Once one has addresses, the other has little time left: some servers never
    /// answer the question for the family that they do not know.
    async fn both_families(self: &Arc<Self>, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let v6 = Box::pin(self.answer(name, true));
        let v4 = Box::pin(self.answer(name, false));
        let (first, other) = future::select(v6, v4).await.factor_first();
        let second = match &first {
            Answer::Addresses(_) => match tokio::time::timeout(RESOLUTION_DELAY, other).await {
                Ok(second) => second,
                Err(_) => Answer::None,
            },
            Answer::None | Answer::Failed(_) => other.await,
        };
        combine(&[first, second])
    }

    /// One question, from the cache where it has the answer. A question that was sent is waited for by a task of its
    /// own, so that its answer is kept even if the one who asked has gone.
    async fn answer(self: &Arc<Self>, name: &str, v6: bool) -> Answer {
        let key: CacheKey = (self.scope, v6, name.into());
        if let Some(cached) = self.service.answers.get(&key) {
            return cached.answer;
        }
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else {
            return Answer::Failed("the resolver has stopped".into());
        };
        // Another may have asked the same while this one waited for its turn.
        if let Some(cached) = self.service.answers.get(&key) {
            return cached.answer;
        }
        let resolver = Arc::clone(self);
        let question = tokio::spawn(async move {
            let cached = resolver.ask(&key.2, v6).await;
            let answer = cached.answer.clone();
            resolver.service.answers.insert(key, cached);
            drop(turn);
            answer
        });
        question
            .await
            .unwrap_or_else(|_| Answer::Failed("the resolver has stopped".into()))
    }

    async fn ask(&self, name: &str, v6: bool) -> Cached {
        let failed = |reason: Arc<str>| Cached {
            answer: Answer::Failed(reason),
            ttl: FAILURE_TTL,
        };
        let Ok(name) = Name::from_ascii(name) else {
            return Cached {
                answer: Answer::None,
                ttl: NEGATIVE_TTL,
            };
        };
        let client = match self.client() {
            Ok(client) => client,
            Err(reason) => return failed(reason),
        };
        let kind = if v6 { RecordType::AAAA } else { RecordType::A };
        // Fully qualified: no search list is applied.
        let lookup = client.lookup(rooted(name), kind);
        let lookup = match tokio::time::timeout(DEADLINE, lookup).await {
            Ok(Ok(lookup)) => lookup,
            Ok(Err(error)) if is_negative(&error) => {
                return Cached {
                    answer: Answer::None,
                    ttl: NEGATIVE_TTL,
                };
            }
            Ok(Err(error)) => return failed(error.to_string().into()),
            Err(_) => return failed("no name server answered".into()),
        };
        let ttl = lookup.answers().iter().map(|record| record.ttl).min();
        let addresses: Arc<[IpAddr]> = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(address) if !v6 => Some(IpAddr::V4(address.0)),
                RData::AAAA(address) if v6 => Some(IpAddr::V6(address.0)),
                _ => None,
            })
            .take(MAX_ADDRESSES)
            .collect();
        if addresses.is_empty() {
            return Cached {
                answer: Answer::None,
                ttl: NEGATIVE_TTL,
            };
        }
        Cached {
            answer: Answer::Addresses(addresses),
            ttl: Duration::from_secs(u64::from(ttl.unwrap_or(0))).clamp(MIN_TTL, MAX_TTL),
        }
    }

    /// Whether all servers are asked from the exit's source, so that their silence says something of the exit.
    pub(crate) fn asks_through_exit(&self) -> bool {
        self.source != Source::Unbound
            && self.service.servers.current().is_ok_and(|servers| {
                servers
                    .iter()
                    .all(|server| self.source.towards_name_server(server.ip()) == self.source)
            })
    }

    /// Looks whether anybody is there, from the exit's source: asks a question that every name server can answer, and
    /// knocks at the servers' TCP ports, since even a refusal has come all the way.
    pub(crate) async fn examine(&self) -> ServersSay {
        let (Ok(servers), Ok(client)) = (self.service.servers.current(), self.client()) else {
            return ServersSay::NotAsked;
        };
        if !self.asks_through_exit() {
            return ServersSay::NotAsked;
        }
        let question = async {
            let lookup = client.lookup(Name::root(), RecordType::NS).await;
            matches!(lookup, Ok(_) | Err(NetError::Dns(_)))
        };
        let knock = async {
            let connect = async |server: SocketAddr| {
                let socket = self.source.tcp(server.ip())?;
                let stream = socket.connect(server).await;
                stream.map_err(|error| AttemptError::of_connect(&error))
            };
            let outcome = dial::race(&servers, true, connect).await;
            matches!(outcome, Ok(_) | Err(AttemptError::Refused))
        };
        let question = tokio::time::timeout(PATIENCE, question);
        let knock = tokio::time::timeout(PATIENCE, knock);
        match tokio::join!(question, knock) {
            (Ok(true), _) | (_, Ok(true)) => ServersSay::Something,
            _ => ServersSay::Nothing,
        }
    }

    /// hickory's resolver for the servers of the moment.
    fn client(&self) -> Result<hickory_resolver::Resolver<BoundSockets>, Arc<str>> {
        let servers = self.service.servers.current()?;
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = client.as_ref()
            && Arc::ptr_eq(&client.servers, &servers)
        {
            return Ok(client.resolver.clone());
        }
        let resolver = build(&servers, self.source.clone(), self.service.descriptors.clone())
            .map_err(|error| Arc::<str>::from(error.to_string()))?;
        *client = Some(Client {
            servers,
            resolver: resolver.clone(),
        });
        Ok(resolver)
    }
}

/// Puts the families' answers together: any address will do, and "no such name" only counts when all say so.
fn combine(answers: &[Answer]) -> Result<Vec<IpAddr>, ResolveError> {
    let mut addresses = Vec::new();
    let mut failure = None;
    for answer in answers {
        match answer {
            Answer::Addresses(found) => addresses.extend_from_slice(found),
            Answer::None => {}
            Answer::Failed(reason) => failure = Some(Arc::clone(reason)),
        }
    }
    match failure {
        _ if !addresses.is_empty() => Ok(addresses),
        Some(reason) => Err(ResolveError::NoAnswer(reason)),
        None => Err(ResolveError::NoSuchName),
    }
}

fn rooted(mut name: Name) -> Name {
    name.set_fqdn(true);
    name
}

/// Whether the servers said that there is no such record, rather than that they cannot say.
fn is_negative(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError)
        }
        _ => false,
    }
}

fn build(
    servers: &[SocketAddr],
    source: Source,
    descriptors: Descriptors,
) -> Result<hickory_resolver::Resolver<BoundSockets>, NetError> {
    let name_servers = servers
        .iter()
        .map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut one| {
                one.port = server.port();
                one
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        })
        .collect();
    let mut options = ResolverOpts::default();
    options.timeout = PATIENCE;
    options.attempts = 1;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.preserve_intermediates = false;
    options.max_active_requests = 1_024;
    // Not hickory's choice of any port from 1,024 on: it could be a subscription's that is about to be opened, and where
    // thousands of those are open, many a choice is taken. The system draws its ports at random as well.
    options.os_port_selection = true;
    let sockets = BoundSockets {
        source: Arc::new(source),
        descriptors,
        tasks: TokioHandle::default(),
    };
    hickory_resolver::Resolver::builder_with_config(ResolverConfig::from_name_servers(name_servers), sockets)
        .with_options(options)
        .build()
}

/// Opens a resolver's sockets where the exit's are.
#[derive(Clone)]
struct BoundSockets {
    source: Arc<Source>,
    descriptors: Descriptors,
    tasks: TokioHandle,
}

impl RuntimeProvider for BoundSockets {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = CountedSocket;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> TokioHandle {
        self.tasks.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _bind: Option<SocketAddr>,
        patience: Option<Duration>,
    ) -> Pin<Box<dyn Future<Output = io::Result<Self::Tcp>> + Send>> {
        let source = self.source.towards_name_server(server.ip());
        Box::pin(async move {
            let socket = source.tcp(server.ip()).map_err(into_io)?;
            let stream = tokio::time::timeout(patience.unwrap_or(PATIENCE), socket.connect(server)).await??;
            Ok(AsyncIoTokioAsStd(stream))
        })
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        server: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<CountedSocket>> + Send>> {
        let source = self.source.towards_name_server(server.ip());
        let descriptor = self.descriptors.take(1);
        Box::pin(async move {
            let descriptor = descriptor.ok_or_else(|| io::Error::other("too many open files"))?;
            let socket = source.udp(server.ip(), local.port()).map_err(into_io)?;
            Ok(CountedSocket {
                socket,
                _descriptor: descriptor,
            })
        })
    }
}

/// A question's socket, within the limit of open files. There are as many as names are asked for; connections to name
/// servers are shared, and so few that nobody counts them.
struct CountedSocket {
    socket: UdpSocket,
    _descriptor: Permit,
}

impl DnsUdpSocket for CountedSocket {
    type Time = TokioTime;

    fn poll_recv_from(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        DnsUdpSocket::poll_recv_from(&self.socket, cx, buffer)
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        DnsUdpSocket::poll_send_to(&self.socket, cx, bytes, to)
    }
}

fn into_io(error: AttemptError) -> io::Error {
    match error {
        AttemptError::Source(reason) | AttemptError::Exhausted(reason) => io::Error::other(reason),
        _ => io::Error::from(io::ErrorKind::NetworkUnreachable),
    }
}
