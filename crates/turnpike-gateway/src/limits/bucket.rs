//! A token bucket in one word: when the next byte may go.
//!
//! Whoever wants to move bytes takes the time that they need behind all that was taken before, and moves them when that time
//! comes. So one addition orders all who share the bucket, no lock is needed, nobody overtakes, and the stream is as smooth as
//! the portions are small.

use std::sync::atomic::{AtomicU64, Ordering};

/// How far behind the present an unused bucket is, in nanoseconds: so much may go at once after a rest. Timers are no finer than
/// a millisecond, and what one comes late by is made up for within this.
const SLACK: u64 = 20_000_000;

/// One direction of one subscription. Times are nanoseconds since its beginning.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    next: AtomicU64,
}

impl Bucket {
    /// Takes the time for `bytes`; when it begins, which may be past.
    pub(super) fn take(&self, bytes: usize, mbit_per_second: u32, now: u64) -> u64 {
        let cost = cost(bytes, mbit_per_second);
        let mut begins = 0;
        let taken = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            begins = next.max(now.saturating_sub(SLACK));
            Some(begins.saturating_add(cost))
        });
        debug_assert!(taken.is_ok(), "the update is never refused");
        begins
    }

    /// Gives back what was taken for `bytes` that did not come.
    pub(super) fn give_back(&self, bytes: usize, mbit_per_second: u32) {
        let cost = cost(bytes, mbit_per_second);
        let less = |next: u64| Some(next.saturating_sub(cost));
        let _ = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Takes the time for `bytes` if it begins within [`SLACK`] from now.
    pub(super) fn try_take(&self, bytes: usize, mbit_per_second: u32, now: u64) -> bool {
        let cost = cost(bytes, mbit_per_second);
        let latest = now.saturating_add(SLACK);
        self.next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                let begins = next.max(now.saturating_sub(SLACK));
                (begins <= latest).then(|| begins.saturating_add(cost))
            })
            .is_ok()
    }
}

/// Nanoseconds. A million bits a second are one in 1,000 of them.
pub(super) fn cost(bytes: usize, mbit_per_second: u32) -> u64 {
    let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8);
    bits.saturating_mul(1_000) / u64::from(mbit_per_second.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;
    /// What 8 Mbit/s move in a millisecond.
    const PORTION: usize = 1_000;

    #[test]
    fn portions_follow_each_other_at_the_rate() {
        let bucket = Bucket::default();
        let begins: Vec<_> = (0..5).map(|_| bucket.take(PORTION, 8, 0)).collect();
        assert_eq!(begins, [0, 1, 2, 3, 4].map(|count| count * MILLISECOND));
        assert_eq!(
            bucket.take(PORTION, 80, 0),
            5 * MILLISECOND,
            "a faster one has its turn too"
        );
        assert_eq!(bucket.take(PORTION, 8, 0), 5 * MILLISECOND + MILLISECOND / 10);
    }

    #[test]
    fn a_rest_saves_up_no_more_than_the_slack() {
        let bucket = Bucket::default();
        let now = 1_000 * MILLISECOND;
        let at_once = (0..100).filter(|_| bucket.take(PORTION, 8, now) <= now).count();
        assert_eq!(at_once, 21, "twenty of the slack, and the one that begins now");
    }

    #[test]
    fn what_did_not_come_is_given_back() {
        let bucket = Bucket::default();
        bucket.take(10 * PORTION, 8, 0);
        bucket.give_back(9 * PORTION, 8);
        assert_eq!(bucket.take(PORTION, 8, 0), MILLISECOND);
        bucket.give_back(1_000 * PORTION, 8);
        assert_eq!(bucket.take(PORTION, 8, 0), 0, "no more than was taken");
    }

    #[test]
    fn over_any_time_no_more_moves_than_the_rate_gives() {
        let bucket = Bucket::default();
        let (mut moved, mut now) = (0_u64, 0_u64);
        // Asked at odd moments for odd sizes, as sockets do.
        for step in 0..10_000_u64 {
            now += step * 7_919 % (2 * MILLISECOND);
            let size = usize::try_from(1 + step * 104_729 % 3_000).unwrap_or(1);
            if bucket.try_take(size, 8, now) {
                moved += size as u64;
            }
        }
        let given = now / MILLISECOND * PORTION as u64;
        let slack = 41 * PORTION as u64 + 3_000;
        assert!(moved <= given + slack, "{moved} of {given}");
        assert!(moved + slack >= given, "{moved} of {given}");
    }

    #[test]
    fn many_at_once_take_no_more_than_all_together_may() {
        let bucket = std::sync::Arc::new(Bucket::default());
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let bucket = std::sync::Arc::clone(&bucket);
                std::thread::spawn(move || (0..10_000).map(|_| bucket.take(PORTION, 8, 0)).max())
            })
            .collect();
        let last = takers.into_iter().filter_map(|taker| taker.join().ok().flatten()).max();
        assert_eq!(last, Some(39_999 * MILLISECOND));
    }
}
