//! What a process uses, as the system tells.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Who a core is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    /// The first one: for what is measured.
    Contender,
    /// The last one: for the origin and the clients.
    Load,
}

static UNPINNED: AtomicBool = AtomicBool::new(false);

/// From now on nothing is kept on a core.
pub(crate) fn leave_unpinned() {
    UNPINNED.store(true, Ordering::Relaxed);
}

/// Keeps this thread, and whatever it starts from now on, on a core. On a machine with one core it does nothing.
pub(crate) fn pin(core: Core) -> io::Result<()> {
    if UNPINNED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let cores = allowed()?;
    let (Some(first), Some(last)) = (cores.first(), cores.last()) else {
        return Ok(());
    };
    let mut set = CpuSet::new();
    set.set(if core == Core::Contender { *first } else { *last });
    Ok(sched_setaffinity(None, &set)?)
}

/// Lets this thread, and whatever it starts from now on, go to every core again.
pub(crate) fn free() -> io::Result<()> {
    let mut set = CpuSet::new();
    for core in allowed()? {
        set.set(core);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// The cores that this process may use, as it was started.
fn allowed() -> io::Result<Vec<usize>> {
    thread_local! {
        static ALLOWED: std::cell::RefCell<Option<Vec<usize>>> = const { std::cell::RefCell::new(None) };
    }
    ALLOWED.with_borrow_mut(|known| {
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let set = sched_getaffinity(None)?;
        let found: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect();
        *known = Some(found.clone());
        Ok(found)
    })
}

/// The CPU time that a process has used: of the threads that live, to the nanosecond; where there were others, which only the
/// process's own sum knows, to the hundredth of a second.
pub(crate) fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut living = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while it is looked at.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let on_cpu = text.split_whitespace().next().and_then(|word| word.parse().ok());
        living += Duration::from_nanos(on_cpu.unwrap_or(0));
    }
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name, which may hold anything: the 12th and 13th are user and system time.
    let (_, fields) = text.rsplit_once(')').unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<u64>().ok())
        .sum();
    Ok(living.max(Duration::from_millis(10 * ticks)))
}

/// A process's share of memory in bytes, and its open descriptors.
pub(crate) fn memory(pid: u32) -> io::Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|word| word.parse::<u64>().ok())
        .ok_or_else(|| io::Error::other("the system does not tell the share of memory"))?;
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    Ok((kilobytes * 1024, descriptors as u64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_process_that_works_uses_cpu_time_and_memory() {
        let own = std::process::id();
        let (before, (memory_before, _)) = (cpu_time(own).unwrap(), memory(own).unwrap());
        let filled: Vec<u64> = (0..4_000_000).collect();
        let sum = filled
            .iter()
            .fold(0_u64, |sum, number| sum.wrapping_mul(31).wrapping_add(*number));
        let (memory_after, descriptors) = memory(own).unwrap();
        assert!(
            memory_after > memory_before + 16_000_000,
            "{memory_before} {memory_after} {sum}"
        );
        assert!(cpu_time(own).unwrap() > before);
        assert!(descriptors >= 3);
    }
}
