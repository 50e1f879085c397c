//! One way out to the internet: how it dials, and how it gets another address.
//!
//! An [`Exit`] lives as long as the shop tells of it. What it is at this moment (its spec, the address it leaves from,
//! its names) is one immutable [`Present`] that is replaced whole, by [`Exit::update`] or by a rotation; a dial takes
//! the present of its start and knows nothing of the next. Each present has a generation and a lease: tunnels hold the
//! lease of the present they were dialled under, and end when it is cancelled.
//!
//! - [`spec`]: what the shop tells; [`environment`]: what all exits share
//! - [`dialling`]: from a destination to a connection; [`datagrams`]: what has none
//! - [`choice`]: which address of a pool or a prefix, and which next
//! - [`source`], [`device`]: sockets bound to it
//! - [`upstream`]: the handshakes with other people's proxies
//! - [`rotate`], [`method`]: getting another address
//! - [`health`], [`probe`]: whether it gets out at all; [`check`]: a test that somebody asks for
//! - [`survey`]: what customers must not reach through it

mod check;
mod choice;
mod datagrams;
mod device;
mod dialling;
mod environment;
mod health;
mod method;
mod probe;
mod rotate;
mod source;
mod spec;
mod survey;
mod upstream;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::resolve::Resolver;

pub use check::{CheckTarget, Checked};
use choice::Choice;
use datagrams::UdpFailure;
pub(crate) use datagrams::{UdpEgress, UpstreamAssociation};
pub(crate) use dialling::{DialError, Dialed, Opening};
pub(crate) use environment::Environment;
use health::Health;
pub(crate) use source::Source;
pub use spec::{ExitId, ExitSpec, ExitWay, RotateMethod, Rotated, RotationError, Upstream};
pub(crate) use survey::Survey;

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
    udp_failure: Mutex<Option<UdpFailure>>,
    /// Open through it now.
    tunnels: AtomicU64,
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
            udp_failure: Mutex::default(),
            tunnels: AtomicU64::new(0),
        });
        exit.request_probe();
        exit.environment.exits_changed.notify_one();
        exit
    }

    /// Which it is.
    pub(crate) fn id(&self) -> &ExitId {
        &self.id
    }

    pub(crate) fn tunnel_opened(&self) {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn tunnel_closed(&self) {
        self.tunnels.fetch_sub(1, Ordering::Relaxed);
    }

    /// Tunnels that are open through it.
    pub(crate) fn tunnels(&self) -> u64 {
        self.tunnels.load(Ordering::Relaxed)
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
        let choice = kept.filter(|_| !told_another).unwrap_or_else(|| Choice::first(&spec));
        let (generation, lease, resolver) = if is_same_way && choice.source == before.choice.source {
            (before.generation, before.lease.clone(), Arc::clone(&before.resolver))
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
        self.environment.exits_changed.notify_one();
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

    /// A number that each change of address advances; idle origin connections of an older one must not be used again.
    pub(crate) fn generation(&self) -> u64 {
        self.present.load().generation
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
        self.replacing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn resolver(choice: &Choice, environment: &Environment) -> Arc<Resolver> {
    Resolver::new(choice.source.clone(), environment.names.clone())
}
