//! From the shop to the gateway: routes and exits, by revision.
//!
//! The gateway has everything up to one revision; whatever is newer is asked for and applied. A commit of this process
//! wakes at once, one of another process is found by asking for the revision. Where the shop's revision is older than the
//! gateway's (a backup was restored), everything is asked for again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use turnpike_gateway::{Applied, Change, ExitSpec, Gateway};
use turnpike_shop::routes::{self, Changes, RouteExit};
use turnpike_shop::{Result, Shop};

use super::translate;

/// How often the revision is asked for: what another process changes is in force after this at the latest.
const POLL: Duration = Duration::from_millis(200);

/// How long to wait after the database has not answered.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What is written for other processes waits so long at most; they ask less often than that.
const BETWEEN_WRITES: Duration = Duration::from_millis(20);

/// How far the gateway has come, for `/readyz` and metrics.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The newest revision applied; -1 before the first.
    applied: AtomicI64,
    /// Ports that could not be opened when they were last told.
    unopened: AtomicUsize,
}

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            applied: AtomicI64::new(-1),
            ..Self::default()
        })
    }

    /// Ok once the gateway has been told its routes.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        if self.applied.load(Ordering::Relaxed) < 0 {
            return Err("the routes have not been read from the database yet".to_owned());
        }
        match self.unopened.load(Ordering::Relaxed) {
            0 => Ok(()),
            count => Err(format!(
                "{count} ports could not be opened; the log names each, and they are tried again"
            )),
        }
    }
}

/// Keeps the gateway in step until `stop`.
pub(super) async fn follow(
    shop: Shop,
    gateway: Gateway,
    name: String,
    progress: Arc<Progress>,
    stop: CancellationToken,
) {
    let (written, to_write) = watch::channel(-1);
    let writing = tokio::spawn(write_down(shop.clone(), name.clone(), to_write));
    let mut follower = Follower {
        shop,
        gateway,
        name,
        progress,
        applied: None,
        written,
    };
    let mut woken = follower.shop.changes();
    let mut is_failing = false;
    loop {
        let pause = match follower.catch_up().await {
            Ok(()) => {
                is_failing = false;
                POLL
            }
            Err(error) => {
                if !is_failing {
                    tracing::warn!(%error, "the gateway cannot read its routes; it serves those that it knows");
                }
                is_failing = true;
                AFTER_FAILURE
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = woken.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    drop(follower);
    // It has ended once it has written the last one.
    let _ended = writing.await;
}

/// Writes down what the gateway has applied, for those who wait in other processes. Behind the back of those who wait in this one, and
/// the newest for all that came meanwhile: else each purchase would be followed by a second transaction that it waits for.
async fn write_down(shop: Shop, name: String, mut applied: watch::Receiver<i64>) {
    while applied.changed().await.is_ok() {
        let revision = *applied.borrow_and_update();
        if let Err(error) = routes::applied(&shop, &name, revision).await {
            tracing::warn!(%error, revision, "what the gateway has applied could not be written down; it is tried again");
            applied.mark_changed();
            tokio::time::sleep(AFTER_FAILURE).await;
        }
        tokio::time::sleep(BETWEEN_WRITES).await;
    }
}

struct Follower {
    shop: Shop,
    gateway: Gateway,
    name: String,
    progress: Arc<Progress>,
    /// Absent before the first time.
    applied: Option<i64>,
    /// What [`write_down`] is to write.
    written: watch::Sender<i64>,
}

impl Follower {
    async fn catch_up(&mut self) -> Result<()> {
        let newest = routes::revision(&self.shop, &self.name).await?;
        let lag = newest.saturating_sub(self.applied.unwrap_or(0));
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        ::metrics::gauge!("turnpike_route_lag_revisions").set(lag.max(0) as f64);
        if self.applied == Some(newest) {
            return Ok(());
        }
        let after = self.applied.filter(|applied| *applied < newest).unwrap_or(0);
        let changes = routes::changes_since(&self.shop, &self.name, after).await?;
        let revision = changes.revision;
        let told = self.tell(changes, after == 0).await;
        for (route, error) in &told.failed {
            tracing::error!(subscription = %route.0, %error, "a port cannot be opened; it is tried again every few seconds");
        }
        self.progress.unopened.store(told.failed.len(), Ordering::Relaxed);
        routes::applied_here(&self.shop, &self.name, revision);
        self.written.send_replace(revision);
        self.applied = Some(revision);
        self.progress.applied.store(revision, Ordering::Relaxed);
        ::metrics::gauge!("turnpike_route_lag_revisions").set(0.0);
        Ok(())
    }

    async fn tell(&self, changes: Changes, is_everything: bool) -> Applied {
        let exits = changes.exits.into_iter().filter_map(usable);
        let routes = changes.routes.into_iter().map(translate::route);
        if is_everything {
            return self.gateway.replace_all(exits.collect(), routes.collect()).await;
        }
        let removed = changes.removed.iter().map(translate::route_id);
        let changes = exits
            .map(Change::Exit)
            // What leaves first frees its port for what comes.
            .chain(removed.map(Change::RemoveRoute))
            .chain(routes.map(Change::Route));
        self.gateway.apply(changes.collect()).await
    }
}

/// An exit that cannot be used is told to the operator and left out; its routes then say that their exit is unknown.
fn usable(exit: RouteExit) -> Option<ExitSpec> {
    translate::exit(exit).inspect_err(|why| tracing::error!("{why}")).ok()
}
