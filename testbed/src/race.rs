//! Doing things at the same moment.

use std::sync::Barrier;
use std::thread;

/// Runs `work` so many times at once, each in a thread of its own and told its number, and gathers what came of it.
///
/// # Panics
/// When one of them does.
#[track_caller]
pub fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (barrier, work) = (&Barrier::new(count), &work);
    thread::scope(|scope| {
        let start = |number| {
            scope.spawn(move || {
                barrier.wait();
                work(number)
            })
        };
        let running: Vec<_> = (0..count).map(start).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
