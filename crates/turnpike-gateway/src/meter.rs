//! Counting bytes per subscription and hour, and handing the counts over exactly once.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::route::RouteId;

/// The running totals of one subscription, shared by its tunnels.
///
/// *Up* is from the customer to the origin, *down* the other way. Payload only: no handshakes, no framing.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    up: AtomicU64,
    down: AtomicU64,
    tunnels: AtomicU64,
}

impl Meter {
    pub(crate) fn add_up(&self, bytes: u64) {
        self.up.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_down(&self, bytes: u64) {
        self.down.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Names one batch of one run of this gateway; the same id always carries the same rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchId {
    /// Random per start of the process.
    pub run: String,
    /// Counts up from 1.
    pub sequence: u64,
}

/// What one subscription moved in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficRow {
    /// Which subscription.
    pub route: RouteId,
    /// The hour's start, in milliseconds since 1970.
    pub hour: i64,
    /// Bytes from the customer.
    pub up: u64,
    /// Bytes to the customer.
    pub down: u64,
}

/// Counts that wait to be recorded. The gateway offers the same batch until it is acknowledged, then makes the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficBatch {
    /// Which one.
    pub id: BatchId,
    /// One row per subscription and hour that moved anything.
    pub rows: Vec<TrafficRow>,
}
