//! Moving no faster than a subscription may.
//!
//! All tunnels and associations of a subscription share two buckets, one per direction. A stream takes the time for what waits to
//! be read, holds nothing while it waits for that time, and then reads no more than a portion: so each that has something to
//! move has its turn, and none moves more per turn than any other. Datagrams never wait. An association may move one portion per
//! turn; what comes beyond it is dropped, which is how a narrow line tells its senders to be slower.
//!
//! Where there is no limit, all of this is one look at a number.

use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::bucket::{self, Bucket};
use crate::relay::Side;
use crate::stream::Stream;

/// A portion is what moves in this time, within bounds: less than a page costs more than it smooths, and more than a pipe holds
/// cannot be moved at once.
const PORTIONS_PER_SECOND: u32 = 100;
const LEAST_PORTION: usize = 4 * 1024;
const MOST_PORTION: usize = 256 * 1024;

/// A subscription's speed.
#[derive(Debug)]
pub(crate) struct Speed {
    /// 0 for no limit.
    mbit_per_second: AtomicU32,
    started: Instant,
    up: Lane,
    down: Lane,
}

#[derive(Debug, Default)]
struct Lane {
    all: Bucket,
    /// Datagrams do not wait for their time, so they alone must never be more than the whole.
    datagrams: Bucket,
}

/// From the customer, or to him.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

impl Default for Speed {
    fn default() -> Self {
        Self {
            mbit_per_second: AtomicU32::new(0),
            started: Instant::now(),
            up: Lane::default(),
            down: Lane::default(),
        }
    }
}

impl Speed {
    pub(super) fn limit_to(&self, mbit_per_second: u32) {
        self.mbit_per_second.store(mbit_per_second, Ordering::Relaxed);
    }

    /// Absent where there is no limit.
    fn limit(&self) -> Option<u32> {
        match self.mbit_per_second.load(Ordering::Relaxed) {
            0 => None,
            limit => Some(limit),
        }
    }

    fn lane(&self, way: Way) -> &Lane {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts bytes that move whatever their time is, since they have been read already.
    pub(crate) fn charge(&self, way: Way, bytes: usize) {
        if let Some(limit) = self.limit() {
            self.lane(way).all.take(bytes, limit, self.now());
        }
    }

    /// Corrects what was taken for a read by what was read.
    pub(crate) fn settle(&self, way: Way, turn: Turn, read: usize) {
        let Some(limit) = self.limit() else { return };
        let bucket = &self.lane(way).all;
        if read < turn.taken {
            bucket.give_back(turn.taken.saturating_sub(read), limit);
        } else if read > turn.taken {
            bucket.take(read.saturating_sub(turn.taken), limit, self.now());
        }
    }

    /// Waits for the turn of what waits in `from`, which must be ready to be read.
    pub(crate) async fn turn(&self, way: Way, from: &Stream) -> Turn {
        let mut pace = Pace::default();
        std::future::poll_fn(|cx| pace.poll(cx, self, way, from)).await
    }
}

/// What may be read now. Whatever was read must be [settled](Speed::settle).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// At most so many bytes.
    pub(crate) most: usize,
    taken: usize,
}

/// One direction of a stream, and the turn that it waits for.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    waits: Option<Box<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    taken: usize,
    time: Pin<Box<Sleep>>,
}

impl Pace {
    /// Ready when it is this stream's turn. To be asked when `from` is ready to be read.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, speed: &Speed, way: Way, from: &impl Side) -> Poll<Turn> {
        let Some(limit) = speed.limit() else {
            self.waits = None;
            return Poll::Ready(Turn {
                most: usize::MAX,
                taken: 0,
            });
        };
        let most = portion(limit);
        if self.waits.is_none() {
            let taken = from.waiting().min(most);
            let (now, begins) = {
                let now = speed.now();
                (now, speed.lane(way).all.take(taken, limit, now))
            };
            if begins <= now {
                return Poll::Ready(Turn { most, taken });
            }
            let time = speed.started + Duration::from_nanos(begins);
            self.waits = Some(Box::new(Waiting {
                taken,
                time: Box::pin(tokio::time::sleep_until(time)),
            }));
        }
        let Some(waiting) = &mut self.waits else {
            return Poll::Pending;
        };
        ready!(waiting.time.as_mut().poll(cx));
        let taken = waiting.taken;
        self.waits = None;
        Poll::Ready(Turn { most, taken })
    }
}

/// One direction of an association.
#[derive(Debug, Default)]
pub(crate) struct DatagramPace {
    /// What is left of its portion.
    left: AtomicI64,
    /// When it has the next one, in nanoseconds of [`Speed`].
    next: AtomicU64,
}

impl DatagramPace {
    /// Whether a datagram may go now; else it is to be dropped.
    pub(crate) fn admits(&self, speed: &Speed, way: Way, bytes: usize) -> bool {
        let Some(limit) = speed.limit() else { return true };
        let (now, lane) = (speed.now(), speed.lane(way));
        if self.next.load(Ordering::Relaxed) <= now {
            let portion = i64::try_from(portion(limit)).unwrap_or(i64::MAX);
            self.left.store(portion, Ordering::Relaxed);
        }
        if self.left.load(Ordering::Relaxed) <= 0 || !lane.datagrams.try_take(bytes, limit, now) {
            return false;
        }
        self.left
            .fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
        let begins = lane.all.take(bytes, limit, now);
        let ends = begins.saturating_add(bucket::cost(bytes, limit));
        self.next.store(ends, Ordering::Relaxed);
        true
    }
}

fn portion(mbit_per_second: u32) -> usize {
    let bytes = u64::from(mbit_per_second) * 1_000_000 / 8 / u64::from(PORTIONS_PER_SECOND);
    usize::try_from(bytes)
        .unwrap_or(usize::MAX)
        .clamp(LEAST_PORTION, MOST_PORTION)
}
