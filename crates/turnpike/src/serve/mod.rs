//! The joint: the shop's changes go to the gateway, the gateway's events to the shop, and the web server stands before both.
//!
//! | from | to | what | module |
//! | --- | --- | --- | --- |
//! | shop | gateway | routes and exits, by revision | `routes` |
//! | shop | gateway | rotations that are queued | `rotations` |
//! | gateway | shop | traffic, exits' health | `upkeep` |
//! | time | shop | what ends, what is released | `upkeep` |

mod logs;
mod rotations;
mod routes;
mod translate;
mod upkeep;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_gateway::{Gateway, GatewayConfig};
use turnpike_shop::Shop;
use turnpike_web::{Readiness, Web, WebConfig};

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
        let listeners = Listeners::open(config).await?;
        let stop = CancellationToken::new();
        let loops = TaskTracker::new();
        let mut server = Self {
            gateway: None,
            api: listeners.api.as_ref().map(|(_, address)| *address),
            metrics: listeners.metrics.as_ref().map(|(_, address)| *address),
            drain: config.gateway.drain_timeout,
            stop: stop.clone(),
            servers: JoinSet::new(),
            loops: loops.clone(),
            shop: shop.clone(),
        };
        let mut readiness = Readiness::new();
        if config.roles.contains(&Role::Gateway) {
            let progress = server.start_gateway(config, &listeners);
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
        if let Some((listener, _)) = listeners.metrics {
            let exposition = exposition();
            loops.spawn(upkeep_of_metrics(exposition.clone(), stop.clone()));
            let serving = turnpike_web::serve_metrics(listener, move || exposition.render(), stop.clone());
            server.servers.spawn(serving);
        }
        loops.spawn(upkeep::keep_shop(shop.clone(), stop.clone()));
        loops.spawn(upkeep::sum_ledger(shop, stop));
        server.say_where();
        Ok(server)
    }

    fn start_gateway(&mut self, config: &Config, listeners: &Listeners) -> Arc<routes::Progress> {
        let shop = &self.shop;
        let clock = {
            let shop = shop.clone();
            Arc::new(move || shop.now().0)
        };
        let (gateway, events) = Gateway::start(gateway_config(config, listeners), clock);
        let name = config.gateway.name.clone();
        let progress = routes::Progress::new();
        let stop = || self.stop.clone();
        self.loops.spawn(routes::follow(
            shop.clone(),
            gateway.clone(),
            name.clone(),
            Arc::clone(&progress),
            stop(),
        ));
        self.loops
            .spawn(rotations::work(shop.clone(), gateway.clone(), name.clone(), stop()));
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
            signal = signal() => {
                tracing::info!(signal = signal?, "stopping: no new work, open requests finish, tunnels get their drain time");
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

fn gateway_config(config: &Config, listeners: &Listeners) -> GatewayConfig {
    let own = |listener: &Option<(TcpListener, SocketAddr)>| listener.as_ref().map(|(_, address)| address.ip());
    let own_addresses = [own(&listeners.api), own(&listeners.metrics), database_address(config)];
    GatewayConfig {
        bind: config.gateway.bind.clone(),
        public_host: config.gateway.public_host.clone(),
        allow_destinations: config.gateway.allow_destinations.clone(),
        own_addresses: own_addresses
            .into_iter()
            .flatten()
            .filter(|address| !address.is_unspecified())
            .collect(),
        idle_timeout: config.gateway.idle_timeout,
        handshake_timeout: HANDSHAKE,
        first_byte_timeout: FIRST_BYTE,
        connect_timeout: CONNECT,
        dns_servers: config.gateway.dns_servers.clone(),
        stealth: config.gateway.stealth,
    }
}

/// The database's address, where its URL names one. A name is not resolved: what it stands for may change.
fn database_address(config: &Config) -> Option<IpAddr> {
    use secrecy::ExposeSecret as _;
    let url = url::Url::parse(config.database.url.expose_secret()).ok()?;
    match url.host()? {
        url::Host::Ipv4(address) => Some(IpAddr::V4(address)),
        url::Host::Ipv6(address) => Some(IpAddr::V6(address)),
        url::Host::Domain(name) => name.parse().ok(),
    }
}

fn web_config(config: &Config) -> WebConfig {
    WebConfig {
        public_url: config.server.public_url.trim_end_matches('/').to_owned(),
        trusted_proxies: config.server.trusted_proxies.clone(),
        requests_per_second: config.limits.api_requests_per_second,
        burst: config.limits.api_burst,
        ..WebConfig::default()
    }
}

/// The process's metrics. The recorder belongs to the process and can be installed once.
fn exposition() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed; /metrics stays empty");
    }
    metrics::gauge!("turnpike_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    handle
}

/// Folds histograms, which otherwise grow until somebody asks for `/metrics`.
async fn upkeep_of_metrics(handle: PrometheusHandle, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => handle.run_upkeep(),
        }
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

async fn signal() -> Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

fn why_ended(ended: Result<std::io::Result<()>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "it has stopped by itself".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(join) => join.to_string(),
    }
}
