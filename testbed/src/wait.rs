//! Waiting for something to become true, instead of sleeping and hoping.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks until `condition` gives a value, and returns it; `None` when `limit` has passed.
pub fn poll<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Waits until `condition` holds.
///
/// The limit is generous, for machines that are busy with other tests: what must be fast is asserted where it matters.
///
/// # Panics
/// When it does not hold within 20 seconds; `what` says what was waited for.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let held = poll(Duration::from_secs(20), || condition().then_some(()));
    assert!(held.is_some(), "waited 20 s in vain for: {what}");
}
