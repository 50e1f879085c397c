//! Whether an exit gets out, judged by what its dials meet.
//!
//! Some evidence proves that an exit is down: its address is not on this machine, its upstream refuses us. Other
//! evidence only makes suspicious: destinations that do not answer may be dead themselves. Suspicion calls for a probe,
//! and the probe decides. While an exit is down its dials are still tried: the first that succeeds brings it up, and
//! so does a probe every few seconds, whichever is first.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Exit;
use crate::gateway::Event;

/// So many different destinations in a row without an answer are suspicious.
const SUSPICIOUS_DESTINATIONS: usize = 3;

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
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            is_noteworthy: AtomicBool::new(true),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    status: Status,
    /// Different destinations that did not answer since the last success.
    silent: Vec<IpAddr>,
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

    pub(crate) fn close(&self, name: &str) {
        self.state().is_closed = true;
        gauge(name, false);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exit {
    /// Something answered through this exit, in this generation.
    pub(super) fn health_good(&self, generation: u64) {
        if self.health.is_noteworthy.load(Ordering::Acquire) && generation == self.generation() {
            self.mark_up();
        }
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
        gauge(&present.spec.name, true);
        tracing::info!(exit = %present.spec.name, address = ?present.choice.address, "exit is up");
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
        gauge(&present.spec.name, false);
        tracing::warn!(exit = %present.spec.name, reason = %detail, "exit is down");
        let _ = self.environment.events.send(Event::ExitDown {
            exit: self.id.clone(),
            reason: detail,
        });
    }
}

fn gauge(name: &str, is_up: bool) {
    metrics::gauge!("turnpike_exit_up", "exit" => name.to_owned()).set(f64::from(u8::from(is_up)));
}
