//! The gateway's front: what the binary tells it and what it answers.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use ipnet::IpNet;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::WallClock;
use crate::clock::SteadyClock;
use crate::descriptors::Descriptors;
use crate::egress::DestinationPolicy;
use crate::exit::{CheckTarget, Checked, Environment, ExitId, ExitSpec, Rotated, RotationError, Survey};
use crate::gate::Gate;
use crate::meter::{BatchId, Meters, TrafficBatch};
use crate::refusals::{Caller, Complaints, Protocol, Reason, RefusalBatch, Refusals};
use crate::relay::{Buffers, Pipes};
use crate::route::{ActiveRoute, Route, RouteId};
use crate::session::admission::Admission;
use crate::table::{Counts, Table};
use crate::tls::{self, Certificate, Tickets};
use crate::udp::BoundAddress;

/// How a gateway behaves; all of it is fixed while it runs.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Addresses that every subscription's port listens on.
    pub bind: Vec<IpAddr>,
    /// The public name or address in customers' URLs; told to SOCKS clients when the local one is private.
    pub public_host: String,
    /// Networks that may be dialled although they are private. [`DestinationPolicy`] says what they do not open.
    pub allow_destinations: Vec<IpNet>,
    /// Addresses of this installation that customers never reach through a port, unless `allow_destinations` names them:
    /// the database's. Those of this machine, its exits and `public_host` are found without being told.
    pub own_addresses: Vec<IpAddr>,
    /// The same by name: what these stand for is asked of the system again and again, as whoever connects to them does.
    pub own_hosts: Vec<String>,
    /// Where they do reach them, if the address is public: the shop's ports.
    pub shop_ports: Vec<u16>,
    /// A tunnel in which nothing has moved for this long is closed.
    pub idle_timeout: Duration,
    /// A side of a connection that has acknowledged nothing for this long, although it should, has vanished.
    pub peer_timeout: Duration,
    /// From the first byte to a complete request.
    pub handshake_timeout: Duration,
    /// From the accept to the first byte.
    pub first_byte_timeout: Duration,
    /// For dialling all addresses of a name together.
    pub connect_timeout: Duration,
    /// DNS servers to ask instead of the system's.
    pub dns_servers: Vec<std::net::SocketAddr>,
    /// Connections to all ports come to this one, redirected by the machine's firewall; absent: every port is listened on.
    pub redirect_port: Option<u16>,
    /// Whether the ports take datagrams, each by a socket of its own. UDP inside of TCP streams works in any case.
    pub udp: bool,
    /// Refuse without a word instead of by 407, `05 FF` and `00 5D`.
    pub stealth: bool,
}

/// What the gateway is told.
#[derive(Debug, Clone)]
pub enum Change {
    /// This exit is new or is different now.
    Exit(ExitSpec),
    /// No route leaves by this exit any more.
    RemoveExit(ExitId),
    /// This route is new or is different now. Its exit must have been told before.
    Route(Route),
    /// This route ends at once, with its tunnels.
    RemoveRoute(RouteId),
}

/// What came of a batch of changes.
#[derive(Debug, Default)]
pub struct Applied {
    /// Routes whose port could not be opened. They are tried again every few seconds.
    pub failed: Vec<(RouteId, PortError)>,
}

/// Why a route has no port.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PortError {
    /// Another program has it, or it may not be opened.
    #[error("port {port} cannot be opened on {address}: {reason}")]
    Bind {
        /// The address that was tried.
        address: IpAddr,
        /// The port that was tried.
        port: u16,
        /// What the system said.
        reason: String,
    },
    /// The route names an exit that was never told.
    #[error("its exit is unknown to this gateway")]
    UnknownExit,
}

/// What the gateway tells.
#[derive(Debug, Clone)]
pub enum Event {
    /// An exit works, and this is its public address where it is known.
    ExitUp {
        /// Which exit.
        exit: ExitId,
        /// Its public address.
        address: Option<IpAddr>,
    },
    /// An exit does not get out.
    ExitDown {
        /// Which exit.
        exit: ExitId,
        /// What was tried and what came of it, in a sentence for the operator.
        reason: String,
    },
}

/// What all connections of a gateway share.
pub(crate) struct Shared {
    pub(crate) config: Arc<GatewayConfig>,
    pub(crate) clock: Arc<SteadyClock>,
    /// When the gateway started, in seconds since 1970.
    pub(crate) started: u64,
    pub(crate) buffers: Buffers,
    pub(crate) large_buffers: Buffers,
    pub(crate) pipes: Pipes,
    pub(crate) descriptors: Descriptors,
    /// Absent where every port is listened on.
    pub(crate) gate: Option<Gate>,
    pub(crate) admission: Admission,
    pub(crate) refusals: Refusals,
    pub(crate) bound_address: BoundAddress,
    /// Absent where no TLS is spoken.
    pub(crate) tls: ArcSwapOption<tls::Server>,
    tickets: Tickets,
    /// Cancelled when the gateway accepts no more; the parent of every port's token.
    pub(crate) draining: CancellationToken,
    /// Cancelled when everything must end; the parent of every route's `cut`.
    pub(crate) stop: CancellationToken,
    tasks: TaskTracker,
    tunnels: AtomicU64,
    /// The same for whoever watches. Looked up once: that costs more than to count.
    tunnels_open: metrics::Gauge,
    /// Connections by what they speak, in the order of [`Protocol::ALL`]; looked up once, too.
    connections: [metrics::Counter; Protocol::ALL.len()],
}

impl Shared {
    fn new(config: Arc<GatewayConfig>, clock: Arc<SteadyClock>, descriptors: Descriptors) -> Self {
        Self {
            started: clock.seconds(),
            clock,
            buffers: Buffers::default(),
            large_buffers: Buffers::large(),
            pipes: Pipes::new(descriptors.clone()),
            gate: config.redirect_port.map(Gate::on),
            admission: Admission::default(),
            refusals: Refusals::default(),
            bound_address: BoundAddress::new(&config.public_host, &config.dns_servers, descriptors.clone()),
            descriptors,
            tls: ArcSwapOption::empty(),
            tickets: Tickets::new(),
            draining: CancellationToken::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            tunnels: AtomicU64::new(0),
            tunnels_open: metrics::gauge!("turnpike_tunnels_open"),
            connections: Protocol::ALL
                .map(|protocol| metrics::counter!("turnpike_connections_total", "protocol" => protocol.name())),
            config,
        }
    }

    /// Runs one connection's work in a task of its own. A panic in it ends that connection and is counted.
    ///
    /// Combinators instead of an `async` block around `work`: the block would be twice the size of what it awaits.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(AssertUnwindSafe(work).catch_unwind().map(|outcome| {
            if outcome.is_err() {
                metrics::counter!("turnpike_panics_total").increment(1);
                tracing::error!("a connection's task has panicked and was ended; this is a bug in turnpike");
            }
        }));
    }

    /// Counts a refusal, and keeps it for the customer.
    pub(crate) fn refused(&self, route: &ActiveRoute, caller: Caller, reason: Reason) {
        let complaints = Complaints {
            log: Arc::clone(&route.refusals),
            clock: Arc::clone(&self.clock),
            caller,
        };
        complaints.note(reason);
    }

    /// Connections that have a task now.
    #[cfg(test)]
    pub(crate) fn connections(&self) -> usize {
        self.tasks.len()
    }

    /// Counts a connection by what it speaks.
    pub(crate) fn connection_speaks(&self, protocol: Protocol) {
        if let Some(counter) = self.connections.get(protocol as usize) {
            counter.increment(1);
        }
    }

    pub(crate) fn tunnel_opened(&self) {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
        self.tunnels_open.increment(1.0);
    }

    pub(crate) fn tunnel_closed(&self) {
        self.tunnels.fetch_sub(1, Ordering::Relaxed);
        self.tunnels_open.decrement(1.0);
    }
}

/// How often what is due is looked for: the end of subscriptions and of their traffic, bytes to be booked.
const TICK: Duration = Duration::from_millis(250);

/// Ticks between two tries to open ports that could not be opened.
const TICKS_PER_RETRY: u64 = 12;

/// Ticks between two collections of the meters.
const TICKS_PER_COLLECTION: u64 = 4;

/// Ticks between two sweeps of what is remembered of sources.
const TICKS_PER_SWEEP: u64 = 240;

/// What is left of connections gets this long to end once it has been cut.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// A running gateway. Cheap to clone; dropping the last handle does not stop it, [`Gateway::shut_down`] does.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    meters: Arc<Meters>,
    clock: Arc<SteadyClock>,
    /// The one writer's state. Nothing that a byte waits for is behind this lock.
    table: tokio::sync::Mutex<Table>,
    /// Kept beside the table, so that asking does not wait for a long change.
    counts: Arc<Counts>,
}

impl Gateway {
    /// Starts with no routes and no exits, in the runtime that it is called in. Events arrive on the receiver; it must
    /// be read.
    #[must_use]
    pub fn start(config: GatewayConfig, clock: WallClock) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (events, told) = mpsc::unbounded_channel();
        let descriptors = Descriptors::of_this_process();
        let policy = DestinationPolicy::new(config.allow_destinations.clone(), config.own_addresses.clone());
        let policy = Arc::new(policy.with_shop_ports(config.shop_ports.clone()));
        let environment = Environment::new(&config, policy, descriptors.clone(), events);
        let survey = Survey::new(
            Arc::clone(&environment),
            config.public_host.clone(),
            config.own_hosts.clone(),
        );
        let clock = Arc::new(SteadyClock::new(clock));
        let shared = Arc::new(Shared::new(Arc::new(config), Arc::clone(&clock), descriptors));
        let meters = Arc::new(Meters::new());
        let counts = Arc::new(Counts::default());
        let table = Table::new(
            Arc::clone(&shared),
            environment,
            Arc::clone(&meters),
            Arc::clone(&clock),
            Arc::clone(&counts),
        );
        let inner = Arc::new(Inner {
            shared,
            meters,
            clock,
            table: tokio::sync::Mutex::new(table),
            counts,
        });
        tokio::spawn(Arc::clone(&inner).keep_house());
        tokio::spawn(Arc::clone(&inner).keep_looking(survey));
        (Self { inner }, told)
    }

    /// Applies changes in order. When it returns, every port that could be opened accepts connections.
    pub async fn apply(&self, changes: Vec<Change>) -> Applied {
        self.inner.table.lock().await.apply(changes).await
    }

    /// Forgets every route and exit that is not in `exits` and `routes`, and applies those: the state after a
    /// (re)connection to the shop.
    pub async fn replace_all(&self, exits: Vec<ExitSpec>, routes: Vec<Route>) -> Applied {
        self.inner.table.lock().await.replace_all(exits, routes).await
    }

    /// Speaks TLS with this certificate from now on, on every port; with none, not any more. Open connections go on.
    ///
    /// # Errors
    /// A sentence of the TLS library's, for a certificate that it cannot serve; the one before stays.
    pub fn set_certificate(&self, certificate: Option<&Certificate>) -> Result<(), String> {
        let shared = &self.inner.shared;
        let server = certificate.map(|certificate| tls::Server::new(certificate, &shared.tickets));
        let server = server.transpose().map_err(|error| error.to_string())?;
        shared.tls.store(server.map(Arc::new));
        Ok(())
    }

    /// Gives an exit a new public address. One at a time per exit.
    ///
    /// # Errors
    /// [`RotationError`]; the exit stays usable as it was.
    pub async fn rotate(&self, exit: &ExitId) -> Result<Rotated, RotationError> {
        let exit = self
            .inner
            .table
            .lock()
            .await
            .exit(exit)
            .ok_or(RotationError::UnknownExit)?;
        // A stop waits for it as for a tunnel: a redial that is cut in the middle may leave the modem without a line.
        let _under_way = self.inner.shared.tasks.token();
        exit.rotate().await
    }

    /// Tests an exit by a small request through it, the same way as customers' connections.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn check(&self, exit: &ExitId, target: &CheckTarget) -> Result<Checked, String> {
        let exit = self.inner.table.lock().await.exit(exit);
        let exit = exit.ok_or_else(|| RotationError::UnknownExit.to_string())?;
        exit.check(target).await
    }

    /// The traffic that waits to be recorded, the same until it is acknowledged; absent where nothing moved.
    #[must_use]
    pub fn traffic(&self) -> Option<TrafficBatch> {
        self.inner.meters.offer(self.inner.clock.now())
    }

    /// The batch has been recorded: forget it.
    pub fn acknowledge(&self, batch: &BatchId) {
        self.inner.meters.acknowledge(batch);
    }

    /// The refusals that wait to be recorded, the same until they are acknowledged; absent where there are none.
    #[must_use]
    pub fn refusals(&self) -> Option<RefusalBatch> {
        self.inner.shared.refusals.offer()
    }

    /// The batch of refusals of this number has been recorded: forget it.
    pub fn acknowledge_refusals(&self, sequence: u64) {
        self.inner.shared.refusals.acknowledge(sequence);
    }

    /// Tunnels open now.
    #[must_use]
    pub fn tunnels_open(&self) -> u64 {
        self.inner.shared.tunnels.load(Ordering::Relaxed)
    }

    /// The exits that tunnels are open through now, and how many.
    pub async fn tunnels_by_exit(&self) -> Vec<(ExitId, u64)> {
        let exits = self.inner.table.lock().await.exits();
        let counted = exits.iter().map(|exit| (exit.id().clone(), exit.tunnels()));
        counted.filter(|(_, tunnels)| *tunnels > 0).collect()
    }

    /// Ports open now (routes being served).
    #[must_use]
    pub fn ports_open(&self) -> usize {
        self.inner.counts.open_ports()
    }

    /// What its connections share, for tests that count buffers and pipes.
    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// Stops accepting, gives open tunnels `drain` to end by themselves, then cuts them.
    pub async fn shut_down(&self, drain: Duration) {
        let shared = &self.inner.shared;
        shared.draining.cancel();
        self.inner.table.lock().await.close_ports().await;
        shared.tasks.close();
        if tokio::time::timeout(drain, shared.tasks.wait()).await.is_err() {
            tracing::info!(
                tunnels = self.tunnels_open(),
                "the drain time is over: what is open is cut"
            );
        }
        shared.stop.cancel();
        if tokio::time::timeout(LAST_BREATH, shared.tasks.wait()).await.is_err() {
            tracing::warn!(
                connections = shared.tasks.len(),
                "some connections did not end when they were cut"
            );
        }
        self.inner.table.lock().await.close_exits();
        self.inner.meters.collect(self.inner.clock.now());
    }
}

impl Inner {
    /// Does what falls due by time, until the gateway stops.
    async fn keep_house(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for count in 1_u64.. {
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let now = self.clock.now();
            if count % TICKS_PER_COLLECTION == 0 {
                self.meters.collect(now);
            }
            if count % TICKS_PER_SWEEP == 0 {
                self.shared.admission.sweep();
                self.shared.refusals.sweep(now);
            }
            let mut table = self.table.lock().await;
            table.expire(now);
            table.cut_used_up();
            if count % TICKS_PER_RETRY == 0 {
                table.retry();
            }
        }
    }

    /// Looks at what is the installation's own, until the gateway stops.
    async fn keep_looking(self: Arc<Self>, mut survey: Survey) {
        let looking = async {
            loop {
                let exits = self.table.lock().await.exits();
                survey.take(&exits).await;
                drop(exits);
                survey.due().await;
            }
        };
        self.shared.stop.run_until_cancelled(looking).await;
    }
}
