//! What ports have refused lately, for the customer: VLESS and Shadowsocks cannot tell him, and a stealthy gateway tells nobody.
//!
//! Who is refused for the same reason again and again is one entry with a count. A subscription has few entries and a gateway
//! not many: strangers can cause as many as they like, so the oldest go, and those that anybody can cause go first. Who is
//! served meets nothing of this, neither a lock nor an allocation.
//!
//! Entries are offered in batches, as traffic is, and are known by their number: what is recorded twice replaces itself.

mod reason;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::SteadyClock;
use crate::route::RouteId;
pub(crate) use reason::{Protocol, Reason};

/// Entries of one subscription.
const KEPT: usize = 20;

/// Of those, what anybody can cause who finds the port.
const KEPT_NOISE: usize = 10;

/// Entries of all subscriptions. What has been recorded is forgotten soon, so only a flood of many ports comes near.
const KEPT_IN_ALL: usize = 65_536;

/// Entries in one batch: so much a flood can cost the database per batch, and no more.
const BATCH: usize = 500;

/// A recorded entry that has not happened again for so long, in milliseconds, is forgotten here.
const FORGOTTEN_AFTER: i64 = 600_000;

/// One refusal, or the same several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalRow {
    /// Which subscription.
    pub route: RouteId,
    /// Names the entry within its subscription: a row with the same number replaces the one before. Random, not below zero.
    pub number: i64,
    /// When it happened first, in milliseconds since 1970.
    pub first_at: i64,
    /// When it happened last, in milliseconds since 1970.
    pub last_at: i64,
    /// How often.
    pub times: u64,
    /// From where. That of a datagram may be made up.
    pub source: IpAddr,
    /// What was spoken, as far as could be told: `http`, `socks4`, `socks5`, `vless`, `shadowsocks`, `tls` or `unknown`.
    pub protocol: &'static str,
    /// Why, in a word that does not change.
    pub code: &'static str,
    /// Why, in a sentence for the customer.
    pub reason: String,
}

/// Refusals that wait to be recorded. The gateway offers the same batch until it is acknowledged, then makes the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalBatch {
    /// Counts up from 1.
    pub sequence: u64,
    /// At most one row per entry.
    pub rows: Vec<RefusalRow>,
}

/// Who was refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) source: IpAddr,
    /// What was spoken, as far as could be told.
    pub(crate) protocol: Protocol,
}

/// Where a connection's refusals go that are found out in the middle of it.
#[derive(Clone)]
pub(crate) struct Complaints {
    pub(crate) log: Arc<Log>,
    pub(crate) clock: Arc<SteadyClock>,
    pub(crate) caller: Caller,
}

impl Complaints {
    /// Counts a refusal, and keeps it for the customer.
    pub(crate) fn note(&self, reason: Reason) {
        metrics::counter!("turnpike_refusals_total", "reason" => reason.kind()).increment(1);
        self.log.note(self.clock.now(), self.caller, reason);
    }
}

/// All refusals of a gateway.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    common: Arc<Common>,
    offer: Mutex<Offer>,
}

#[derive(Debug, Default)]
struct Common {
    entries: AtomicUsize,
    /// The logs that have something that waits to be recorded.
    told: Mutex<VecDeque<Arc<Log>>>,
    /// The logs that have entries.
    filled: Mutex<Vec<Arc<Log>>>,
}

#[derive(Debug, Default)]
struct Offer {
    batch: Option<RefusalBatch>,
    last_sequence: u64,
}

/// The refusals of one subscription, whichever route it has.
#[derive(Debug)]
pub(crate) struct Log {
    route: RouteId,
    common: Arc<Common>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    entries: Vec<Entry>,
    /// Whether it is among [`Common::told`], and among [`Common::filled`].
    is_told: bool,
    is_filled: bool,
}

#[derive(Debug)]
struct Entry {
    number: i64,
    first_at: i64,
    last_at: i64,
    times: u64,
    source: IpAddr,
    protocol: Protocol,
    reason: Reason,
    /// Whether it has changed since it was offered.
    is_new: bool,
}

impl Refusals {
    /// The log of a route that comes into force.
    pub(crate) fn log(&self, route: &RouteId) -> Arc<Log> {
        Arc::new(Log {
            route: route.clone(),
            common: Arc::clone(&self.common),
            book: Mutex::default(),
        })
    }

    /// The batch on offer; a new one where there is none and something has been refused.
    pub(crate) fn offer(&self) -> Option<RefusalBatch> {
        let mut offer = lock(&self.offer);
        if offer.batch.is_none() {
            let rows = self.common.collect();
            if !rows.is_empty() {
                offer.last_sequence += 1;
                offer.batch = Some(RefusalBatch {
                    sequence: offer.last_sequence,
                    rows,
                });
            }
        }
        offer.batch.clone()
    }

    /// The batch has been recorded.
    pub(crate) fn acknowledge(&self, sequence: u64) {
        let mut offer = lock(&self.offer);
        if offer.batch.as_ref().is_some_and(|batch| batch.sequence == sequence) {
            offer.batch = None;
        }
    }

    /// Forgets what has been recorded and does not happen any more. To be called each minute or so.
    pub(crate) fn sweep(&self, now: i64) {
        let filled = std::mem::take(&mut *lock(&self.common.filled));
        for log in filled {
            if log.sweep(now) {
                lock(&self.common.filled).push(log);
            }
        }
    }
}

impl Common {
    /// What has changed, as far as it fits into a batch.
    fn collect(&self) -> Vec<RefusalRow> {
        let mut rows = Vec::new();
        while rows.len() + KEPT <= BATCH {
            let Some(log) = lock(&self.told).pop_front() else { break };
            log.collect(&mut rows);
        }
        rows
    }
}

impl Log {
    /// Notes that somebody was refused.
    pub(crate) fn note(self: &Arc<Self>, now: i64, caller: Caller, reason: Reason) {
        let Caller { source, protocol } = caller;
        let source = source.to_canonical();
        let mut book = lock(&self.book);
        let known = book
            .entries
            .iter_mut()
            .find(|entry| entry.source == source && entry.protocol == protocol && entry.reason.code() == reason.code());
        if let Some(entry) = known {
            entry.times = entry.times.saturating_add(1);
            entry.last_at = now;
            entry.reason = reason;
            entry.is_new = true;
        } else {
            let new = Entry {
                number: rand::random_range(0..=i64::MAX),
                first_at: now,
                last_at: now,
                times: 1,
                source,
                protocol,
                reason,
                is_new: true,
            };
            if !book.put(new, &self.common.entries) {
                return;
            }
        }
        if !std::mem::replace(&mut book.is_told, true) {
            lock(&self.common.told).push_back(Arc::clone(self));
        }
        if !std::mem::replace(&mut book.is_filled, true) {
            lock(&self.common.filled).push(Arc::clone(self));
        }
    }

    fn collect(&self, rows: &mut Vec<RefusalRow>) {
        let mut book = lock(&self.book);
        book.is_told = false;
        for entry in book.entries.iter_mut().filter(|entry| entry.is_new) {
            entry.is_new = false;
            rows.push(RefusalRow {
                route: self.route.clone(),
                number: entry.number,
                first_at: entry.first_at,
                last_at: entry.last_at,
                times: entry.times,
                source: entry.source,
                protocol: entry.protocol.name(),
                code: entry.reason.code(),
                reason: entry.reason.to_string(),
            });
        }
    }

    /// Whether anything is left.
    fn sweep(&self, now: i64) -> bool {
        let mut book = lock(&self.book);
        let before = book.entries.len();
        book.entries
            .retain(|entry| entry.is_new || now.saturating_sub(entry.last_at) < FORGOTTEN_AFTER);
        let gone = before - book.entries.len();
        self.common.entries.fetch_sub(gone, Ordering::Relaxed);
        if book.entries.is_empty() {
            book.entries = Vec::new();
        }
        book.is_filled = !book.entries.is_empty();
        book.is_filled
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let entries = self
            .book
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .entries
            .len();
        self.common.entries.fetch_sub(entries, Ordering::Relaxed);
    }
}

impl Book {
    /// Puts an entry in, in the place of an old one where there is no room. It takes that one's number, so that the record of
    /// the old one goes with it. Whether there was a place.
    fn put(&mut self, new: Entry, in_all: &AtomicUsize) -> bool {
        let noise = self.entries.iter().filter(|entry| entry.reason.is_noise()).count();
        let is_noise = new.reason.is_noise();
        let is_full = self.entries.len() >= KEPT || is_noise && noise >= KEPT_NOISE;
        let one_more = |count: usize| (count < KEPT_IN_ALL).then_some(count + 1);
        if !is_full
            && in_all
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
                .is_ok()
        {
            self.entries.push(new);
            return true;
        }
        let only_noise = is_noise && noise >= KEPT_NOISE;
        let oldest = self
            .entries
            .iter_mut()
            .filter(|entry| !only_noise || entry.reason.is_noise())
            .min_by_key(|entry| entry.last_at);
        match oldest {
            Some(old) => {
                let number = old.number;
                *old = Entry { number, ..new };
                true
            }
            None => false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
