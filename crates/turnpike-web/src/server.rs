//! Connections: accepted within caps, given deadlines for everything a peer controls, and drained at the end.
//!
//! `axum::serve` has none of these, hence a loop of our own on hyper.

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::config::WebConfig;
use crate::limit::Source;
use crate::source::{Peer, is_trusted};

const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
const MAX_STREAMS: u32 = 100;
/// How often an HTTP/2 peer must show that it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const LAST_BYTES: Duration = Duration::from_secs(30);
/// How long accepting rests when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections are held to.
#[derive(Debug, Clone)]
pub(crate) struct Caps {
    pub(crate) head_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    /// How long a peer may take to read the rest of its answers, or to say goodbye, once its connection is being closed.
    pub(crate) last_bytes: Duration,
    pub(crate) max_connections: usize,
    pub(crate) max_per_address: usize,
    /// Proxies carry many customers' connections.
    pub(crate) exempt: Vec<IpNet>,
}

impl From<&WebConfig> for Caps {
    fn from(config: &WebConfig) -> Self {
        Self {
            head_timeout: config.head_timeout,
            idle_timeout: config.idle_timeout,
            last_bytes: LAST_BYTES,
            max_connections: config.max_connections,
            max_per_address: config.max_connections_per_address,
            exempt: config.trusted_proxies.clone(),
        }
    }
}

/// Serves until `stop`, then closes the listener and lets open requests finish for at most `drain`.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    caps: Caps,
    stop: CancellationToken,
    drain: Duration,
) -> io::Result<()> {
    listener.local_addr()?;
    let tasks = TaskTracker::new();
    let hurry = CancellationToken::new();
    let slots = Arc::new(Semaphore::new(caps.max_connections.max(1)));
    let addresses = Arc::new(Addresses::default());
    let connections = Arc::new(Connections::new(router, caps.clone(), stop.clone(), hurry.clone()));
    let mut failing = false;
    while let Some((stream, slot)) = accept(&listener, &slots, &stop, &mut failing).await {
        let Ok(peer) = stream.peer_addr() else {
            continue;
        };
        let Some(place) = addresses.enter(Source::from(peer.ip()), &caps, peer.ip()) else {
            metrics::counter!("turnpike_http_connections_refused_total").increment(1);
            continue;
        };
        let connections = Arc::clone(&connections);
        tasks.spawn(async move {
            connections.serve(stream, Peer(peer)).await;
            drop((slot, place));
        });
    }
    drop(listener);
    tasks.close();
    if timeout(drain, tasks.wait()).await.is_err() {
        tracing::warn!(open = tasks.len(), "closing connections that did not finish in time");
        hurry.cancel();
        tasks.wait().await;
    }
    Ok(())
}

/// The next connection and its share of the cap; none once stopped. What is not accepted waits in the kernel's backlog.
/// `failing` is whether accepting has failed since it last went well: a spell of failures is told once.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    stop: &CancellationToken,
    failing: &mut bool,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    loop {
        let next = async {
            let slot = Arc::clone(slots).acquire_owned().await.ok();
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            next = next => next,
        };
        match (accepted, slot) {
            (Ok((stream, _)), Some(slot)) => {
                if std::mem::take(failing) {
                    tracing::info!("connections are accepted again");
                }
                return Some((stream, slot));
            }
            (Ok(_), None) => return None,
            (Err(error), _) if is_of_one_connection(&error) => {}
            (Err(error), _) => {
                if !std::mem::replace(failing, true) {
                    tracing::error!(%error, "no connection can be accepted; trying again until it works");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A peer that was gone before it was accepted; nothing is wrong with the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Connections per source.
#[derive(Default)]
struct Addresses {
    open: Mutex<HashMap<Source, usize>>,
}

impl Addresses {
    /// A place for one more connection of this source; none where it has its share.
    fn enter(self: &Arc<Self>, source: Source, caps: &Caps, address: std::net::IpAddr) -> Option<Place> {
        if is_trusted(address.to_canonical(), &caps.exempt) {
            return Some(Place(None));
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(source).or_insert(0);
        if *count >= caps.max_per_address.max(1) {
            return None;
        }
        *count += 1;
        Some(Place(Some((Arc::clone(self), source))))
    }

    fn leave(&self, source: Source) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                open.remove(&source);
            }
        }
    }
}

/// One connection's place among its source's; given back when dropped, also by a panic.
struct Place(Option<(Arc<Addresses>, Source)>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((addresses, source)) = self.0.take() {
            addresses.leave(source);
        }
    }
}

/// How connections are served.
struct Connections {
    http: auto::Builder<TokioExecutor>,
    router: Router,
    caps: Caps,
    stop: CancellationToken,
    hurry: CancellationToken,
}

impl Connections {
    fn new(router: Router, caps: Caps, stop: CancellationToken, hurry: CancellationToken) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(caps.head_timeout)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD as u32)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        Self {
            http,
            router,
            caps,
            stop,
            hurry,
        }
    }

    /// One connection, from its first byte to its end.
    async fn serve(&self, stream: TcpStream, peer: Peer) {
        // Answers are small; waiting for more of them to share a packet only costs time.
        let _ = stream.set_nodelay(true);
        let activity = Arc::new(Activity::new());
        let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            let busy = activity.begin();
            let answer = self.router.clone().oneshot(request);
            async move {
                let answer = answer.await;
                drop(busy);
                answer
            }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let mut stage = Stage::Open;
        loop {
            let deadline = match stage {
                Stage::Open => Some(activity.deadline(&self.caps)),
                Stage::Draining => None,
                Stage::Closing { until } => Some(until),
            };
            tokio::select! {
                // How it ended is the peer's business: a reset, a malformed head, a timeout.
                _ = connection.as_mut() => return,
                () = self.hurry.cancelled() => return,
                () = self.stop.cancelled(), if !matches!(stage, Stage::Draining) => {
                    connection.as_mut().graceful_shutdown();
                    stage = Stage::Draining;
                }
                () = at(deadline) => match stage {
                    Stage::Closing { .. } => return,
                    Stage::Open if activity.deadline(&self.caps) <= Instant::now() => {
                        connection.as_mut().graceful_shutdown();
                        stage = Stage::Closing { until: Instant::now() + self.caps.last_bytes };
                    }
                    // Something was asked meanwhile.
                    Stage::Open | Stage::Draining => {}
                },
            }
        }
    }
}

/// Where a connection stands.
#[derive(Clone, Copy)]
enum Stage {
    /// Taking requests.
    Open,
    /// The server is stopping: what is under way finishes, and whoever drains knows how long that may take.
    Draining,
    /// It has been quiet for too long. The peer may still read what it has not read.
    Closing { until: Instant },
}

/// Sleeps until then; for ever where there is no such time.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Whether anything is under way on a connection, and since when nothing has been.
struct Activity {
    open: AtomicUsize,
    quiet: Mutex<(Instant, bool)>,
}

impl Activity {
    fn new() -> Self {
        Self {
            open: AtomicUsize::new(0),
            quiet: Mutex::new((Instant::now(), false)),
        }
    }

    fn begin(self: &Arc<Self>) -> Busy {
        self.open.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// When the connection has been quiet for too long, as far as is known now. A first request is due sooner than another
    /// one: a peer that connects and says nothing wants to hold the connection, not to use it.
    fn deadline(&self, caps: &Caps) -> Instant {
        let (since, has_served) = *self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = if has_served {
            caps.idle_timeout
        } else {
            caps.head_timeout
        };
        if self.open.load(Ordering::Relaxed) > 0 {
            Instant::now() + caps.idle_timeout
        } else {
            since + patience
        }
    }
}

/// A request under way.
struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.quiet.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), true);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
