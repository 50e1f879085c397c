//! Finding out whether exits get out: each once at its start, when dials make it suspect, and every few seconds while
//! it is down. One task does it for all exits, a bounded number at a time; an exit at rest costs nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::health::{Cause, Finding};
use super::upstream::{self, UpstreamError};
use super::{Exit, Present};
use crate::dial::{self, AttemptError};
use crate::resolve::ServersSay;

/// How many exits are probed at the same time.
const AT_ONCE: usize = 64;

/// How long destinations that have answered before may take to answer again.
const WITNESS_PATIENCE: Duration = Duration::from_millis(2_500);

/// Serves requests for probes until nobody can make one any more; `interval` lies between two probes of an exit that
/// is down.
pub(super) async fn run(mut wanted: mpsc::UnboundedReceiver<Weak<Exit>>, interval: Duration) {
    // Those that are down, in the order in which they are due: all wait equally long.
    let mut due: VecDeque<(Instant, Weak<Exit>)> = VecDeque::new();
    let mut ready: VecDeque<Weak<Exit>> = VecDeque::new();
    let mut running: JoinSet<Option<Weak<Exit>>> = JoinSet::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(exit) = ready.pop_front()
        {
            running.spawn(probe(exit));
        }
        let next_due = due.front().map(|(at, _)| *at);
        tokio::select! {
            request = wanted.recv() => match request {
                Some(exit) => ready.push_back(exit),
                None => return,
            },
            Some(done) = running.join_next() => {
                if let Ok(Some(exit)) = done {
                    due.push_back((Instant::now() + interval, exit));
                }
            }
            () = tokio::time::sleep_until(next_due.unwrap_or_else(Instant::now)), if next_due.is_some() => {
                ready.extend(due.pop_front().map(|(_, exit)| exit));
            }
        }
    }
}

/// Probes one exit; gives it back where another probe is due.
async fn probe(weak: Weak<Exit>) -> Option<Weak<Exit>> {
    let exit = weak.upgrade().filter(|exit| !exit.open.is_cancelled())?;
    let present = exit.present.load_full();
    let finding = tokio::select! {
        finding = caught(exit.examine(&present)) => finding,
        () = exit.open.cancelled() => return None,
    };
    if exit.take_finding(present.generation, finding) {
        return Some(weak);
    }
    exit.is_probing.store(false, Ordering::Release);
    // Evidence that came between the finding and the line above found the flag set and asked for nothing.
    if exit.health.is_suspect() || exit.health.down_cause().is_some() {
        exit.request_probe();
    }
    None
}

/// A probe that panics has found nothing. The exit's next one comes as it would after any other.
async fn caught(examination: impl Future<Output = Finding>) -> Finding {
    let outcome = AssertUnwindSafe(examination).catch_unwind().await;
    outcome.unwrap_or_else(|_| {
        metrics::counter!("turnpike_panics_total").increment(1);
        tracing::error!("the probe of an exit has panicked; this is a bug in turnpike");
        Finding::Unclear
    })
}

impl Exit {
    /// Has the exit probed soon, unless that is under way.
    pub(super) fn request_probe(self: &Arc<Self>) {
        if !self.is_probing.swap(true, Ordering::AcqRel) {
            let _ = self.environment.probes.send(Arc::downgrade(self));
        }
    }

    async fn examine(&self, present: &Present) -> Finding {
        if let Some(proxy) = upstream::of(&present.spec.way) {
            let suspected = match self.health.down_cause() {
                None if self.health.is_suspect() => Some(Cause::Silence),
                cause => cause,
            };
            let suffices = suspected.is_none_or(|cause| proxy.login_proves(cause));
            return match proxy.examine(&present.resolver, suffices).await {
                Finding::Unclear if suspected == Some(Cause::Silence) => self.ask_witnesses(present).await,
                finding => finding,
            };
        }
        match present.choice.source.check() {
            Ok(()) => {}
            Err(AttemptError::Source(reason)) => return Finding::Fails(Cause::Source, reason),
            Err(_) => return Finding::Unclear,
        }
        if !self.health.is_suspect() {
            return Finding::Works;
        }
        // Binding proves nothing of a modem without a signal: somebody outside must answer.
        match present.resolver.examine().await {
            ServersSay::Something => Finding::Works,
            ServersSay::Nothing => Finding::Fails(
                Cause::Silence,
                "neither destinations nor name servers answer".to_owned(),
            ),
            ServersSay::NotAsked => self.ask_witnesses(present).await,
        }
    }

    /// Dials destinations that have answered before. That others are dead says nothing of the exit where one of these lives.
    async fn ask_witnesses(&self, present: &Present) -> Finding {
        let witnesses = self.health.witnesses();
        if witnesses.is_empty() {
            return Finding::Unclear;
        }
        let ask = async |witness: SocketAddr| match upstream::of(&present.spec.way) {
            Some(proxy) => match proxy.connect(&present.resolver, witness).await {
                Ok(_) | Err(UpstreamError::Destination(_)) => Ok(()),
                Err(_) => Err(AttemptError::TimedOut),
            },
            None => {
                let socket = present.choice.source.tcp(witness.ip())?;
                let connected = socket.connect(witness).await;
                connected.map(drop).map_err(|error| AttemptError::of_connect(&error))
            }
        };
        let asked = tokio::time::timeout(WITNESS_PATIENCE, dial::race(&witnesses, true, ask)).await;
        match asked {
            Ok(Ok(()) | Err(AttemptError::Refused)) => Finding::Works,
            _ => Finding::Fails(
                Cause::Silence,
                "several destinations in a row did not answer, nor do those that have answered before".to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probe_that_panics_has_found_nothing() {
        assert_eq!(caught(async { panic!("a bug") }).await, Finding::Unclear);
        assert_eq!(caught(async { Finding::Works }).await, Finding::Works);
    }
}
