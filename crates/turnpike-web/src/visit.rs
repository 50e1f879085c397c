//! One request from arrival to answer: who it is from, and what the log line, the metrics and the error body must know of it.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use turnpike_shop::types::AccountId;

use crate::limit::Standing;

/// Whether a request can have moved money, for `charged` in error bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Money {
    /// This operation never does.
    #[default]
    Never,
    /// The operation is not known yet, so nothing has been done: an error says `charged: false`, because the request
    /// may have been meant as a purchase.
    NotYet,
    /// This operation does, where it succeeds.
    Moves,
}

/// A request under way. Handlers get it as an extension, behind an `Arc`.
#[derive(Debug)]
pub(crate) struct Visit {
    /// Ours, or the client's where it sent a sane one.
    pub(crate) request_id: String,
    /// Whose request it is: the peer, or whom a trusted proxy names.
    pub(crate) source: IpAddr,
    notes: Mutex<Notes>,
}

/// What becomes known on the way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    /// The operation's name.
    pub(crate) op: Option<&'static str>,
    /// Who asks.
    pub(crate) account: Option<AccountId>,
    /// Whether it can have moved money.
    pub(crate) money: Money,
    /// The rate limit that applied last.
    pub(crate) standing: Option<Standing>,
    /// The error's code.
    pub(crate) code: Option<&'static str>,
    /// Whether the answer is a remembered one.
    pub(crate) replayed: bool,
}

impl Visit {
    pub(crate) fn new(request_id: String, source: IpAddr) -> Self {
        Self {
            request_id,
            source,
            notes: Mutex::default(),
        }
    }

    /// The notes, to read or to add to.
    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        // A panic while noting leaves nothing half-written that matters more than the answer.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
