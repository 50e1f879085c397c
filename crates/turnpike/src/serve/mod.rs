//! The joint: the shop's changes go to the gateway, the gateway's events to the shop, and the web server stands before both.
//!
//! | from | to | what | module |
//! | --- | --- | --- | --- |
//! | shop | gateway | routes and exits, by revision | `routes` |
//! | shop | gateway | rotations that are queued | `rotations` |
//! | shop | gateway | tests of exits that are asked for | `checks` |
//! | gateway | shop | that it lives, traffic, refusals, exits' health | `upkeep` |
//! | files, ACME | gateway, shop | the certificate | `tls` |
//! | time | shop | what ends, what is released | `upkeep` |
//! | time | shop | what renews itself | `renewals` |
//! | shop | e-mail, webhooks | notices, and back what became of them | `notices` |

mod checks;
mod logs;
mod metrics;
mod notices;
mod renewals;
mod rotations;
mod routes;
pub(crate) mod tls;
mod translate;
mod upkeep;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_gateway::{Gateway, GatewayConfig};
use turnpike_shop::Shop;
use turnpike_web::{CatalogueText, Readiness, Web, WebConfig};

use crate::catalogue_file;
use crate::config::{Config, Role};

pub(crate) use logs::start as start_logs;

/// From the first byte of a proxy request to all of it.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Browsers park connections at a proxy before they use them.
const FIRST_BYTE: Duration = Duration::from_secs(60);
/// For dialling all addresses of a name together.
const CONNECT: Duration = Duration::from_secs(10);
/// What is still to be written when everything else has ended gets this long.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Everything that runs.
pub(crate) struct Server {
    shop: Shop,
    gateway: Option<(Gateway, String)>,
    /// Where the API listens, where this process has that role.
    api: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    drain: Duration,
    signals: Signals,
    /// Cancelled when no new work is taken.
    stop: CancellationToken,
    servers: JoinSet<std::io::Result<()>>,
    /// The loops of the joint, which end when `stop` is cancelled.
    loops: TaskTracker,
}

impl Server {
    /// Opens every listener and starts every role. When it returns, the API answers and known ports are being opened.
    ///
    /// # Errors
    /// A sentence for the operator: a listener that cannot be opened.
    pub(crate) async fn start(config: &Config, shop: Shop) -> Result<Self> {
        // First of all: whoever asks it to stop from here on is heard, however early.
        let signals = Signals::listen()?;
        raise_descriptor_limit();
        let certificate = match config.roles.contains(&Role::Gateway) {
            true => tls::Source::open(config)?,
            false => tls::Source::Nothing,
        };
        let listeners = Listeners::open(config).await?;
        let database = Database::of(config).await;
        let sender = notices::Sender::new(config, &database.addresses)?;
        let stop = CancellationToken::new();
        let loops = TaskTracker::new();
        // Before anything is counted or described.
        let exposition = listeners.metrics.is_some().then(metrics::start);
        let mut server = Self {
            gateway: None,
            api: listeners.api.as_ref().map(|(_, address)| *address),
            metrics: listeners.metrics.as_ref().map(|(_, address)| *address),
            drain: config.gateway.drain_timeout,
            stop: stop.clone(),
            signals,
            servers: JoinSet::new(),
            loops: loops.clone(),
            shop: shop.clone(),
        };
        let mut readiness = Readiness::new();
        if config.roles.contains(&Role::Gateway) {
            let progress = server.start_gateway(config, &listeners, database, certificate);
            readiness = readiness.with("gateway", move || {
                let progress = Arc::clone(&progress);
                async move { progress.check() }
            });
        }
        if let Some((listener, _)) = listeners.api {
            let web = Web::new(shop.clone(), web_config(config), readiness);
            let serving = web.serve(listener, stop.clone(), config.gateway.drain_timeout);
            server.servers.spawn(serving);
        }
        if let Some(((listener, _), exposition)) = listeners.metrics.zip(exposition) {
            loops.spawn(metrics::keep(exposition.clone(), stop.clone()));
            let serving = turnpike_web::serve_metrics(listener, move || metrics::render(&exposition), stop.clone());
            server.servers.spawn(serving);
        }
        loops.spawn(upkeep::keep_shop(shop.clone(), stop.clone()));
        loops.spawn(renewals::work(shop.clone(), stop.clone()));
        if let Some(sender) = sender {
            loops.spawn(sender.work(shop.clone(), stop.clone()));
        }
        loops.spawn(upkeep::sum_ledger(shop, stop));
        server.say_where();
        Ok(server)
    }

    fn start_gateway(
        &mut self,
        config: &Config,
        listeners: &Listeners,
        database: Database,
        mut certificate: tls::Source,
    ) -> Arc<routes::Progress> {
        let shop = &self.shop;
        let clock = {
            let shop = shop.clone();
            Arc::new(move || shop.now().0)
        };
        let (gateway, events) = Gateway::start(gateway_config(config, listeners, database), clock);
        if let Some(port) = config.gateway.redirect_port {
            tracing::info!("connections come by port {port}, redirected by the rules that `turnpike firewall` prints");
        }
        let name = config.gateway.name.clone();
        let progress = routes::Progress::new();
        let stop = || self.stop.clone();
        for (listener, answers) in certificate.take_listeners() {
            let answer = move |token: &str| answers.get(token);
            self.servers
                .spawn(turnpike_web::serve_challenges(listener, answer, stop()));
        }
        // Before any port is open.
        self.loops
            .spawn(tls::Keeper::new(shop.clone(), gateway.clone(), config).start(certificate, stop()));
        self.loops.spawn(routes::follow(
            shop.clone(),
            gateway.clone(),
            name.clone(),
            Arc::clone(&progress),
            stop(),
        ));
        self.loops
            .spawn(rotations::work(shop.clone(), gateway.clone(), name.clone(), stop()));
        if let Some(target) = checks::target(&config.server.public_url) {
            self.loops.spawn(checks::work(
                shop.clone(),
                gateway.clone(),
                name.clone(),
                target,
                stop(),
            ));
        }
        self.loops
            .spawn(upkeep::tell_alive(shop.clone(), gateway.clone(), name.clone(), stop()));
        self.loops.spawn(upkeep::record_traffic(
            shop.clone(),
            gateway.clone(),
            name.clone(),
            stop(),
        ));
        // It ends with the gateway, after the last event.
        tokio::spawn(upkeep::note_exits(shop.clone(), events));
        self.gateway = Some((gateway, name));
        progress
    }

    fn say_where(&self) {
        let shown = |address: Option<SocketAddr>| address.map_or("-".to_owned(), |address| address.to_string());
        let gateway = self.gateway.as_ref().map_or("-", |(_, name)| name.as_str());
        tracing::info!(
            api = shown(self.api),
            metrics = shown(self.metrics),
            gateway,
            "turnpike is up"
        );
    }

    /// Where the API listens.
    pub(crate) fn api(&self) -> Option<SocketAddr> {
        self.api
    }

    /// Serves until SIGTERM or SIGINT, then stops.
    ///
    /// # Errors
    /// A server that ended although nobody asked it to.
    pub(crate) async fn run_until_signal(mut self) -> Result<()> {
        let failed = tokio::select! {
            signal = self.signals.next() => {
                tracing::info!(signal, "stopping: no new work, open requests finish, tunnels get their drain time");
                None
            }
            Some(ended) = self.servers.join_next() => Some(why_ended(ended)),
        };
        self.shut_down().await;
        match failed {
            None => Ok(()),
            Some(ended) => Err(anyhow::anyhow!("a listener cannot be used any more: {ended}")),
        }
    }

    /// No new work; open requests and tunnels get the drain time; the last traffic is recorded; the database is closed.
    async fn shut_down(mut self) {
        self.stop.cancel();
        let finish_requests = async { while self.servers.join_next().await.is_some() {} };
        let finish_tunnels = async {
            if let Some((gateway, _)) = &self.gateway {
                gateway.shut_down(self.drain).await;
            }
        };
        tokio::join!(finish_requests, finish_tunnels);
        self.loops.close();
        let last_writes = async {
            self.loops.wait().await;
            if let Some((gateway, name)) = &self.gateway
                && let Err(error) = upkeep::record_waiting(&self.shop, gateway, name).await
            {
                tracing::warn!(%error, "the last seconds of traffic could not be recorded");
            }
            self.shop.close().await;
        };
        if tokio::time::timeout(LAST_WRITES, last_writes).await.is_err() {
            tracing::warn!("the database did not take the last writes in time");
        }
        tracing::info!("stopped");
    }
}

/// A port needs two descriptors and a tunnel two: as many as this process may have.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// The listeners that do not depend on subscriptions, opened before anything is started.
struct Listeners {
    api: Option<(TcpListener, SocketAddr)>,
    metrics: Option<(TcpListener, SocketAddr)>,
}

impl Listeners {
    async fn open(config: &Config) -> Result<Self> {
        let api = match config.roles.contains(&Role::Web) {
            true => Some(listen(config.server.listen, "server.listen").await?),
            false => None,
        };
        let metrics = match config.server.metrics_listen {
            Some(address) => Some(listen(address, "server.metrics_listen").await?),
            None => None,
        };
        Ok(Self { api, metrics })
    }
}

async fn listen(address: SocketAddr, key: &str) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("{key}: {address} cannot be listened on; stop what has it, or set {key} to another address")
    })?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

fn gateway_config(config: &Config, listeners: &Listeners, database: Database) -> GatewayConfig {
    // A web server in front of ours has the port of the public URL.
    let listening = listeners.api.as_ref().map(|(_, address)| address.port());
    let public = url::Url::parse(&config.server.public_url).ok();
    let shop_ports = listening
        .into_iter()
        .chain(public.and_then(|url| url.port_or_known_default()));
    GatewayConfig {
        bind: config.gateway.bind.clone(),
        public_host: config.gateway.public_host.clone(),
        allow_destinations: config.gateway.allow_destinations.clone(),
        own_addresses: database.addresses,
        own_hosts: database.name.into_iter().collect(),
        shop_ports: shop_ports.collect(),
        idle_timeout: config.gateway.idle_timeout,
        peer_timeout: config.gateway.peer_timeout,
        handshake_timeout: HANDSHAKE,
        first_byte_timeout: FIRST_BYTE,
        connect_timeout: CONNECT,
        dns_servers: config.gateway.dns_servers.clone(),
        redirect_port: config.gateway.redirect_port,
        udp: config.gateway.udp,
        stealth: config.gateway.stealth,
    }
}

/// Where the database is, which no customer is to reach.
struct Database {
    /// What its name stands for now, so that it is closed before any port is open; or the address that it is known by.
    addresses: Vec<IpAddr>,
    /// The gateway goes on asking what it stands for.
    name: Option<String>,
}

impl Database {
    async fn of(config: &Config) -> Self {
        use secrecy::ExposeSecret as _;
        let host = turnpike_shop::store::postgres_host(config.database.url.expose_secret());
        let address: Option<IpAddr> = host.as_ref().and_then(|host| host.parse().ok());
        let addresses = match (&host, address) {
            (_, Some(address)) => vec![address],
            (Some(name), None) => addresses_of(name).await,
            (None, None) => Vec::new(),
        };
        Self {
            addresses,
            name: host.filter(|_| address.is_none()),
        }
    }
}

/// What the system says that a name stands for. The database has just been reached by it.
async fn addresses_of(name: &str) -> Vec<IpAddr> {
    let asking = tokio::net::lookup_host((name, 0));
    match tokio::time::timeout(Duration::from_secs(5), asking).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

fn web_config(config: &Config) -> WebConfig {
    WebConfig {
        public_url: config.server.public_url.trim_end_matches('/').to_owned(),
        catalogue: Some(CatalogueText {
            read: |name, text| catalogue_file::parse(name, text).map_err(|mistake| mistake.to_string()),
            write: catalogue_file::text,
        }),
        sign_up: config.server.sign_up,
        trusted_proxies: config.server.trusted_proxies.clone(),
        requests_per_second: config.limits.api_requests_per_second,
        burst: config.limits.api_burst,
        ..WebConfig::default()
    }
}

/// Does `work` again and again until the database takes it, or for so long that whoever waited is gone.
async fn retried<T, F>(what: &str, work: impl Fn() -> F)
where
    F: Future<Output = turnpike_shop::Result<T>>,
{
    let mut pause = Duration::from_millis(100);
    for _ in 0..10 {
        match work().await {
            Ok(_) => return,
            Err(error) => tracing::warn!(%error, "{what} could not be recorded; it is tried again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

/// What asks a server to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("waiting for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("waiting for SIGINT")?,
        })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn why_ended(ended: Result<std::io::Result<()>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "it has stopped by itself".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(join) => join.to_string(),
    }
}
