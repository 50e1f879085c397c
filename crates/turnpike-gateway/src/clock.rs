//! The time of day as far as it can be trusted.
//!
//! Subscriptions end by the time of day, and the time of day can jump: an operator's typing error or a virtual machine
//! that wakes up must not end every subscription of the gateway in one second. So time is told by the wall clock while
//! it agrees with the monotonic one, and by the monotonic one for some minutes when it does not.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::WallClock;

/// Further apart than this, the wall clock has jumped.
const TOLERANCE_MILLIS: u64 = 60_000;

/// A wall clock that has gone steadily for this long after a jump is believed: by then an operator has seen the log, or
/// the jump was the correction.
const BELIEVED_AFTER: Duration = Duration::from_secs(15 * 60);

pub(crate) struct SteadyClock {
    wall: WallClock,
    anchor: Mutex<Anchor>,
}

struct Anchor {
    wall: i64,
    at: Instant,
    jump: Option<Jump>,
}

/// A jump that is not believed yet.
struct Jump {
    since: Instant,
    /// How far the wall clock was from the expected time.
    by: i64,
}

impl SteadyClock {
    pub(crate) fn new(wall: WallClock) -> Self {
        let anchor = Anchor {
            wall: wall(),
            at: Instant::now(),
            jump: None,
        };
        Self {
            wall,
            anchor: Mutex::new(anchor),
        }
    }

    /// Whole seconds since 1970.
    pub(crate) fn seconds(&self) -> u64 {
        u64::try_from(self.now().div_euclid(1_000)).unwrap_or_default()
    }

    /// Milliseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        let wall = (self.wall)();
        self.anchor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .judge(wall, Instant::now())
    }
}

impl Anchor {
    fn judge(&mut self, wall: i64, now: Instant) -> i64 {
        let elapsed = i64::try_from((now - self.at).as_millis()).unwrap_or(i64::MAX);
        let expected = self.wall.saturating_add(elapsed);
        let by = wall.saturating_sub(expected);
        if by.unsigned_abs() <= TOLERANCE_MILLIS {
            if self.jump.is_some() {
                tracing::info!("the clock is right again");
            }
            *self = Self {
                wall,
                at: now,
                jump: None,
            };
            return wall;
        }
        match &self.jump {
            Some(jump) if jump.by.abs_diff(by) <= TOLERANCE_MILLIS => {
                if now - jump.since >= BELIEVED_AFTER {
                    tracing::error!(jump_seconds = by / 1000, "the jumped clock is believed from now on");
                    *self = Self {
                        wall,
                        at: now,
                        jump: None,
                    };
                    return wall;
                }
            }
            // The first sight of it, or it has jumped again.
            _ => {
                tracing::error!(
                    jump_seconds = by / 1000,
                    "the clock has jumped; subscriptions end by the old time for {} minutes",
                    BELIEVED_AFTER.as_secs() / 60
                );
                self.jump = Some(Jump { since: now, by });
            }
        }
        expected
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    fn clock() -> (SteadyClock, Arc<AtomicI64>) {
        let wall = Arc::new(AtomicI64::new(1_000_000));
        let read = Arc::clone(&wall);
        (SteadyClock::new(Arc::new(move || read.load(Ordering::Relaxed))), wall)
    }

    async fn pass(wall: &AtomicI64, seconds: i64) {
        tokio::time::advance(Duration::from_secs(seconds.unsigned_abs())).await;
        wall.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    #[tokio::test(start_paused = true)]
    async fn small_steps_of_the_wall_clock_are_followed() {
        let (clock, wall) = clock();
        wall.fetch_add(59_000, Ordering::Relaxed);
        assert_eq!(clock.now(), 1_059_000);
        wall.fetch_sub(50_000, Ordering::Relaxed);
        assert_eq!(clock.now(), 1_009_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_is_not_followed_at_once_and_time_goes_on() {
        let (clock, wall) = clock();
        wall.fetch_add(7_200_000, Ordering::Relaxed);
        assert_eq!(clock.now(), 1_000_000);
        pass(&wall, 30).await;
        assert_eq!(clock.now(), 1_030_000);
        wall.fetch_sub(7_200_000, Ordering::Relaxed);
        assert_eq!(clock.now(), 1_030_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_that_stays_is_believed_after_a_while() {
        let (clock, wall) = clock();
        wall.fetch_sub(86_400_000, Ordering::Relaxed);
        assert_eq!(clock.now(), 1_000_000);
        pass(&wall, 15 * 60).await;
        assert_eq!(clock.now(), wall.load(Ordering::Relaxed));
    }
}
