//! Counting bytes per subscription and hour, and handing the counts over exactly once.
//!
//! Every byte walks one way through three places: a [`Meter`] that tunnels add to as they move it, the waiting counts
//! of its hour, and the batch on offer. A batch stays on offer, unchanged, until it is acknowledged; what moves
//! meanwhile waits for the next. So a recorder that writes the batch's id in the same transaction as its rows can
//! neither lose a batch nor add one twice, whichever side is restarted when.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::route::RouteId;

const HOUR_MILLIS: i64 = 3_600_000;

/// The running totals of one subscription, shared by its tunnels.
///
/// *Up* is from the customer to the origin, *down* the other way. Payload only: no handshakes, no framing.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    up: AtomicU64,
    down: AtomicU64,
    /// What had moved before this gateway began to count, or was counted by others.
    before: AtomicU64,
}

impl Meter {
    /// All that has ever moved, both ways, as far as this gateway knows.
    pub(crate) fn total(&self) -> u64 {
        self.before.load(Ordering::Relaxed).saturating_add(self.counted())
    }

    /// So much has been recorded in all. It is no news where this gateway itself has counted more: a record is late.
    pub(crate) fn know(&self, moved: u64) {
        let before = moved.saturating_sub(self.counted());
        self.before.fetch_max(before, Ordering::Relaxed);
    }

    fn counted(&self) -> u64 {
        let (up, down) = (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed));
        up.saturating_add(down)
    }

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

/// All meters of a gateway, and what has been read from them.
#[derive(Debug)]
pub(crate) struct Meters {
    run: String,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    entries: HashMap<RouteId, Entry>,
    /// Read from the meters, and in no batch yet.
    waiting: BTreeMap<(RouteId, i64), Moved>,
    offered: Option<TrafficBatch>,
    last_sequence: u64,
}

#[derive(Debug, Default)]
struct Entry {
    meter: Arc<Meter>,
    read: Moved,
    /// Its route is gone; the entry goes too, once no tunnel can add to its meter any more and all of it has been recorded: a
    /// route that comes back before must not forget what nobody else knows yet.
    retired: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Moved {
    up: u64,
    down: u64,
}

impl Meters {
    /// No traffic yet, under a new random run.
    pub(crate) fn new() -> Self {
        Self {
            run: format!("{:032x}", rand::random::<u128>()),
            books: Mutex::default(),
        }
    }

    /// The meter of a route. A route that went and came back goes on with the one it had.
    pub(crate) fn meter(&self, route: &RouteId) -> Arc<Meter> {
        let mut books = self.lock();
        let entry = books.entries.entry(route.clone()).or_default();
        entry.retired = false;
        Arc::clone(&entry.meter)
    }

    /// The route is gone: its meter is read until its last tunnel has ended, then forgotten.
    pub(crate) fn retire(&self, route: &RouteId) {
        if let Some(entry) = self.lock().entries.get_mut(route) {
            entry.retired = true;
        }
    }

    /// Reads every meter and books what has moved since the last time to the hour of `now`. To be called each second
    /// or so: bytes are booked to the hour in which they are read.
    pub(crate) fn collect(&self, now: i64) {
        let moved = self.lock().collect(now - now.rem_euclid(HOUR_MILLIS));
        // Here, not per chunk: a counter of the whole process would be one cache line for all tunnels.
        metrics::counter!("turnpike_bytes_total", "direction" => "up").increment(moved.up);
        metrics::counter!("turnpike_bytes_total", "direction" => "down").increment(moved.down);
    }

    /// The batch on offer; a new one where there is none and something has moved.
    pub(crate) fn offer(&self, now: i64) -> Option<TrafficBatch> {
        if self.lock().offered.is_none() {
            self.collect(now);
        }
        let mut books = self.lock();
        if books.offered.is_none() && !books.waiting.is_empty() {
            books.last_sequence += 1;
            let id = BatchId {
                run: self.run.clone(),
                sequence: books.last_sequence,
            };
            let rows = std::mem::take(&mut books.waiting)
                .into_iter()
                .map(|((route, hour), moved)| TrafficRow {
                    route,
                    hour,
                    up: moved.up,
                    down: moved.down,
                })
                .collect();
            books.offered = Some(TrafficBatch { id, rows });
        }
        books.offered.clone()
    }

    /// The batch has been recorded. Any other id than the offered one's is an echo of the past, and is ignored.
    pub(crate) fn acknowledge(&self, batch: &BatchId) {
        let mut books = self.lock();
        if books.offered.as_ref().is_some_and(|offered| offered.id == *batch) {
            books.offered = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn collect(&mut self, hour: i64) -> Moved {
        let mut total = Moved::default();
        let (waiting, offered) = (&mut self.waiting, &self.offered);
        self.entries.retain(|route, entry| {
            // Asked before the meter is read: who still holds it may add to it, who has let go of it has added all.
            let forgettable = entry.retired
                && Arc::get_mut(&mut entry.meter).is_some()
                && !is_unrecorded(route, waiting, offered.as_ref());
            let moved = entry.read_meter();
            if moved != Moved::default() {
                let row = waiting.entry((route.clone(), hour)).or_default();
                row.up += moved.up;
                row.down += moved.down;
                total.up += moved.up;
                total.down += moved.down;
            }
            !forgettable || moved != Moved::default()
        });
        total
    }
}

/// Whether anything of a route waits to be recorded, but for what its meter has not been asked for.
fn is_unrecorded(route: &RouteId, waiting: &BTreeMap<(RouteId, i64), Moved>, offered: Option<&TrafficBatch>) -> bool {
    let from = (route.clone(), i64::MIN);
    let waits = waiting
        .range(from..)
        .next()
        .is_some_and(|((first, _), _)| first == route);
    waits || offered.is_some_and(|batch| batch.rows.iter().any(|row| row.route == *route))
}

impl Entry {
    fn read_meter(&mut self) -> Moved {
        let total = Moved {
            up: self.meter.up.load(Ordering::Relaxed),
            down: self.meter.down.load(Ordering::Relaxed),
        };
        let moved = Moved {
            up: total.up - self.read.up,
            down: total.down - self.read.down,
        };
        self.read = total;
        moved
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    const NOON: i64 = 12 * HOUR_MILLIS;

    fn route(name: &str) -> RouteId {
        RouteId(name.into())
    }

    fn row(name: &str, hour: i64, up: u64, down: u64) -> TrafficRow {
        TrafficRow {
            route: route(name),
            hour,
            up,
            down,
        }
    }

    #[test]
    fn nothing_moved_gives_no_batch() {
        let meters = Meters::new();
        let _meter = meters.meter(&route("a"));
        assert_eq!(meters.offer(NOON), None);
    }

    #[test]
    fn a_batch_is_offered_unchanged_until_it_is_acknowledged() {
        let meters = Meters::new();
        let meter = meters.meter(&route("a"));
        meter.add_up(10);
        let first = meters.offer(NOON + 5).unwrap();
        assert_eq!(first.rows, [row("a", NOON, 10, 0)]);

        meter.add_down(7);
        assert_eq!(meters.offer(NOON + 9).unwrap(), first);
        meters.acknowledge(&first.id);
        let second = meters.offer(NOON + 9).unwrap();
        assert_eq!(second.rows, [row("a", NOON, 0, 7)]);
        assert_eq!((second.id.run.as_str(), second.id.sequence), (first.id.run.as_str(), 2));
    }

    #[test]
    fn an_old_acknowledgement_does_not_drop_the_present_batch() {
        let meters = Meters::new();
        let meter = meters.meter(&route("a"));
        meter.add_up(1);
        let first = meters.offer(NOON).unwrap();
        meters.acknowledge(&first.id);
        meter.add_up(2);
        let second = meters.offer(NOON).unwrap();
        meters.acknowledge(&first.id);
        meters.acknowledge(&BatchId {
            run: "another".into(),
            sequence: 2,
        });
        assert_eq!(meters.offer(NOON).unwrap(), second);
    }

    #[test]
    fn bytes_are_booked_to_the_hour_they_were_collected_in() {
        let meters = Meters::new();
        let meter = meters.meter(&route("a"));
        meter.add_up(1);
        meters.collect(NOON + HOUR_MILLIS - 1);
        meter.add_up(2);
        meters.collect(NOON + HOUR_MILLIS);
        meter.add_up(4);
        let batch = meters.offer(NOON + HOUR_MILLIS + 1).unwrap();
        assert_eq!(batch.rows, [row("a", NOON, 1, 0), row("a", NOON + HOUR_MILLIS, 6, 0)]);
    }

    #[test]
    fn a_removed_route_is_read_until_its_last_tunnel_ends_and_known_until_all_is_recorded() {
        let meters = Meters::new();
        let meter = meters.meter(&route("a"));
        meter.add_down(3);
        meters.retire(&route("a"));
        meters.collect(NOON);
        assert_eq!(meters.lock().entries.len(), 1, "a tunnel still holds the meter");
        meter.add_down(4);
        drop(meter);
        meters.collect(NOON);
        assert_eq!(meters.meter(&route("a")).total(), 7, "nothing of it has been recorded");
        meters.retire(&route("a"));
        let batch = meters.offer(NOON).unwrap();
        meters.collect(NOON);
        assert_eq!(meters.meter(&route("a")).total(), 7, "it has been offered and no more");
        meters.retire(&route("a"));
        meters.acknowledge(&batch.id);
        meters.collect(NOON);
        assert!(meters.lock().entries.is_empty());
        assert_eq!(batch.rows, [row("a", NOON, 0, 7)]);
    }

    #[test]
    fn what_others_have_counted_is_known_and_late_records_are_no_news() {
        let meter = Meter::default();
        meter.know(1_000);
        assert_eq!(meter.total(), 1_000);
        meter.add_up(5);
        meter.add_down(6);
        for late in [1_000, 1_004, 1_011] {
            meter.know(late);
            assert_eq!(meter.total(), 1_011);
        }
        meter.know(1_020);
        assert_eq!(meter.total(), 1_020);
    }

    #[test]
    fn a_route_that_comes_back_is_not_counted_twice() {
        let meters = Meters::new();
        let old = meters.meter(&route("a"));
        old.add_up(5);
        meters.retire(&route("a"));
        let new = meters.meter(&route("a"));
        new.add_up(6);
        old.add_up(7);
        drop((old, new));
        assert_eq!(meters.offer(NOON).unwrap().rows, [row("a", NOON, 18, 0)]);
        meters.collect(NOON);
        assert_eq!(meters.lock().entries.len(), 1, "a live route keeps its entry");
    }

    #[test]
    fn concurrent_adds_and_batches_lose_nothing_and_double_nothing() {
        let meters = Arc::new(Meters::new());
        let adders: Vec<_> = (0..4)
            .map(|_| {
                let meter = meters.meter(&route("a"));
                std::thread::spawn(move || (0..50_000).for_each(|_| meter.add_up(3)))
            })
            .collect();
        let mut recorded = 0;
        let mut record = |meters: &Meters| {
            while let Some(batch) = meters.offer(NOON) {
                recorded += batch.rows.iter().map(|row| row.up).sum::<u64>();
                meters.acknowledge(&batch.id);
            }
        };
        while adders.iter().any(|adder| !adder.is_finished()) {
            record(&meters);
        }
        for adder in adders {
            adder.join().unwrap();
        }
        record(&meters);
        assert_eq!(recorded, 4 * 50_000 * 3);
    }
}
