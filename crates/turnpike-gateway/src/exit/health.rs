//! Whether an exit gets out, judged by what its dials meet.
//!
//! Some evidence proves that an exit is down: its address is not on this machine, its upstream refuses us. Other
//! evidence only makes suspicious: destinations that do not answer may be dead themselves. Suspicion calls for a probe,
//! and the probe decides. It asks somebody who should answer: the name servers where they are asked through the exit, else
//! destinations that have answered through it before, its witnesses. While an exit is down its dials are still tried: the
//! first that succeeds brings it up, and so does a probe every few seconds, whichever is first.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Exit;
use crate::gateway::Event;

/// So many different destinations in a row without an answer are suspicious.
const SUSPICIOUS_DESTINATIONS: usize = 3;

/// So many destinations that have answered are remembered.
const WITNESSES: usize = 4;

/// How often one is noted: a busy exit has enough to do.
const WITNESS_INTERVAL: Duration = Duration::from_secs(10);

/// Why an exit is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its address or device is not there.
    Source,
    /// Nothing answers through it.
    Silence,
    /// Its upstream proxy cannot be reached, or does not speak its protocol.
    Upstream,
    /// Its upstream proxy refuses our credentials.
    Credentials,
}

impl Cause {
    /// Words that tell customers nothing of the operator's network.
    pub(crate) fn for_customers(self) -> &'static str {
        match self {
            Self::Source => "its address is not in place",
            Self::Silence => "nothing answers through it",
            Self::Upstream => "its upstream proxy does not answer",
            Self::Credentials => "its upstream proxy refuses the gateway",
        }
    }
}

/// What is known of an exit's health.
#[derive(Debug)]
pub(crate) struct Health {
    state: Mutex<State>,
    /// Whether anything but plain success is known, so that a success has something to clear: the one thing that a
    /// dial of a healthy exit reads.
    is_noteworthy: AtomicBool,
    opened: Instant,
    /// From when on another witness is wanted, in milliseconds since it was opened.
    next_witness: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            is_noteworthy: AtomicBool::new(true),
            opened: Instant::now(),
            next_witness: AtomicU64::new(0),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    status: Status,
    /// Different destinations that did not answer since the last success.
    silent: Vec<IpAddr>,
    /// Destinations that have answered, the newest last.
    witnesses: Vec<SocketAddr>,
    /// Whether the exit's name servers did not answer since the last success.
    are_servers_silent: bool,
    is_closed: bool,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Status {
    /// Not probed yet.
    #[default]
    Unknown,
    Up,
    Down(Cause),
}

impl State {
    fn trust(&mut self) {
        self.silent.clear();
        self.are_servers_silent = false;
    }
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Works,
    Fails(Cause, String),
    /// Nothing speaks against it, but nothing has proved it either.
    Unclear,
}

impl Health {
    pub(crate) fn down_cause(&self) -> Option<Cause> {
        if !self.is_noteworthy.load(Ordering::Acquire) {
            return None;
        }
        match self.state().status {
            Status::Down(cause) => Some(cause),
            Status::Unknown | Status::Up => None,
        }
    }

    /// Whether destinations have been silent, so that only an answer from outside clears the exit.
    pub(crate) fn is_suspect(&self) -> bool {
        let state = self.state();
        state.are_servers_silent
            || state.silent.len() >= SUSPICIOUS_DESTINATIONS
            || state.status == Status::Down(Cause::Silence)
    }

    /// The exit goes another way now: what was known against the old one says nothing.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        state.trust();
        if matches!(state.status, Status::Down(_)) {
            state.status = Status::Unknown;
        }
    }

    /// Notes a destination that has just answered, unless one was noted lately.
    pub(super) fn note_witness(&self, witness: SocketAddr) {
        let now = millis(self.opened.elapsed());
        if now < self.next_witness.load(Ordering::Relaxed) {
            return;
        }
        self.next_witness
            .store(now.saturating_add(millis(WITNESS_INTERVAL)), Ordering::Relaxed);
        let mut state = self.state();
        state.witnesses.retain(|known| known.ip() != witness.ip());
        if state.witnesses.len() >= WITNESSES {
            state.witnesses.remove(0);
        }
        state.witnesses.push(witness);
    }

    /// Destinations that have answered through the exit before.
    pub(super) fn witnesses(&self) -> Vec<SocketAddr> {
        self.state().witnesses.clone()
    }

    pub(crate) fn close(&self, name: &str) {
        self.state().is_closed = true;
        // What is not a number is not shown any more.
        gauge(name, f64::NAN);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exit {
    /// Something answered through this exit, in this generation.
    pub(super) fn health_good(&self, generation: u64) {
        if self.health.is_noteworthy.load(Ordering::Acquire)
            && generation == self.generation()
            && !self.lacks_its_source()
        {
            self.mark_up();
        }
    }

    /// Whether it is down for want of an address that still is not there. Another that it has may work all the while, and to
    /// be up and down in turns would tell nobody anything.
    fn lacks_its_source(&self) -> bool {
        self.health.down_cause() == Some(Cause::Source) && self.present.load().choice.source.check().is_err()
    }

    fn is_unknown(&self) -> bool {
        self.health.state().status == Status::Unknown
    }

    /// Proof that it is down.
    pub(super) fn health_bad(self: &Arc<Self>, generation: u64, cause: Cause, detail: String) {
        if generation == self.generation() && !self.is_rotating() {
            self.mark_down(cause, detail);
            self.request_probe();
        }
    }

    /// These destinations did not answer. Enough of them, and a probe shall decide.
    pub(super) fn health_suspect(self: &Arc<Self>, generation: u64, destinations: &[SocketAddr]) {
        let Some(destination) = destinations.first() else {
            return;
        };
        if generation != self.generation() || self.is_rotating() {
            return;
        }
        let mut state = self.health.state();
        self.health.is_noteworthy.store(true, Ordering::Release);
        if state.silent.len() < SUSPICIOUS_DESTINATIONS && !state.silent.contains(&destination.ip()) {
            state.silent.push(destination.ip());
        }
        let is_suspicious = state.silent.len() >= SUSPICIOUS_DESTINATIONS;
        drop(state);
        if is_suspicious {
            self.request_probe();
        }
    }

    /// The name servers did not answer through it: a probe shall decide whether that is the exit's fault.
    pub(super) fn health_doubtful(self: &Arc<Self>, generation: u64) {
        if generation == self.generation() && !self.is_rotating() {
            let mut state = self.health.state();
            self.health.is_noteworthy.store(true, Ordering::Release);
            state.are_servers_silent = true;
            drop(state);
            self.request_probe();
        }
    }

    /// Draws the conclusion of a probe; true where another is due.
    pub(super) fn take_finding(&self, generation: u64, finding: Finding) -> bool {
        if generation != self.generation() || self.is_rotating() {
            return true;
        }
        match finding {
            Finding::Works => self.mark_up(),
            Finding::Fails(cause, detail) => self.mark_down(cause, detail),
            Finding::Unclear if self.health.is_suspect() => {
                let detail = "several destinations in a row did not answer".to_owned();
                self.mark_down(Cause::Silence, detail);
            }
            Finding::Unclear if self.is_unknown() => self.mark_up(),
            Finding::Unclear => {}
        }
        self.health.down_cause().is_some()
    }

    fn mark_up(&self) {
        let mut state = self.health.state();
        state.trust();
        self.health.is_noteworthy.store(false, Ordering::Release);
        if state.is_closed || state.status == Status::Up {
            return;
        }
        state.status = Status::Up;
        let present = self.present.load();
        gauge(&present.spec.name, 1.0);
        tracing::info!(exit = %present.spec.name, address = present.choice.address.map(tracing::field::display), "exit is up");
        // Sent under the lock, so that ups and downs arrive in the order in which they happened.
        let _ = self.environment.events.send(Event::ExitUp {
            exit: self.id.clone(),
            address: present.choice.address,
        });
    }

    fn mark_down(&self, cause: Cause, detail: String) {
        let mut state = self.health.state();
        self.health.is_noteworthy.store(true, Ordering::Release);
        let was_down = matches!(state.status, Status::Down(_));
        if !state.is_closed {
            state.status = Status::Down(cause);
        }
        if state.is_closed || was_down {
            return;
        }
        let present = self.present.load();
        gauge(&present.spec.name, 0.0);
        tracing::warn!(exit = %present.spec.name, reason = %detail, "exit is down");
        let _ = self.environment.events.send(Event::ExitDown {
            exit: self.id.clone(),
            reason: detail,
        });
    }
}

fn gauge(name: &str, value: f64) {
    metrics::gauge!("turnpike_exit_up", "exit" => name.to_owned()).set(value);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn witnesses_are_few_and_the_newest_and_noted_now_and_then() {
        let health = Health::default();
        let witness = |last, port| SocketAddr::from(([192, 0, 2, last], port));
        for last in 1..=6 {
            health.note_witness(witness(last, 80));
            health.note_witness(witness(100, 80));
            tokio::time::advance(WITNESS_INTERVAL).await;
        }
        assert_eq!(health.witnesses(), [3, 4, 5, 6].map(|last| witness(last, 80)));
        health.note_witness(witness(4, 443));
        let expected = [witness(3, 80), witness(5, 80), witness(6, 80), witness(4, 443)];
        assert_eq!(health.witnesses(), expected);
    }
}
