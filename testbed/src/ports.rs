//! Ports that no other test uses, although all run at once and in several processes.
//!
//! Asking the system for port 0 and then handing the number to another program is a race. So the space below the ephemeral
//! range is cut into blocks, and a block belongs to whoever holds the lock on its file; the system releases the lock when its
//! process ends, however it ends.

use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports in one block.
const BLOCK: u16 = 20;
/// Where blocks begin: above the ports that well-known programs use.
const FIRST: u16 = 15_000;

/// Consecutive ports, reserved until dropped.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    count: u16,
    _locks: Vec<File>,
}

impl Ports {
    /// Reserves `count` ports, each free for TCP and UDP.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn reserve(count: u16) -> Self {
        /// Where this process looks next. It starts at a place of its own, so that processes rarely meet.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let blocks = ephemeral_start().saturating_sub(FIRST) / BLOCK;
        let wanted = count.div_ceil(BLOCK);
        let home = u16::try_from(std::process::id() % u32::from(blocks.max(1))).unwrap_or(0);
        for _ in 0..blocks {
            let block = home
                .wrapping_mul(37)
                .wrapping_add(NEXT.fetch_add(wanted, Ordering::Relaxed))
                % blocks.max(1);
            if block + wanted > blocks {
                continue;
            }
            let locks: Option<Vec<File>> = (block..block + wanted).map(lock).collect();
            if let Some(locks) = locks {
                return Self {
                    first: FIRST + block * BLOCK,
                    count,
                    _locks: locks,
                };
            }
        }
        panic!("no {count} free ports between {FIRST} and the ephemeral range");
    }

    /// The `n`th port.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn nth(&self, n: u16) -> u16 {
        assert!(n < self.count, "{} ports are reserved", self.count);
        self.first + n
    }

    /// All ports from the `n`th to the last.
    #[must_use]
    pub fn from(&self, n: u16) -> RangeInclusive<u16> {
        self.nth(n)..=self.nth(self.count - 1)
    }
}

/// The lock of a block whose every port is free.
fn lock(block: u16) -> Option<File> {
    let directory = std::env::temp_dir().join("turnpike-test-ports");
    fs::create_dir_all(&directory).expect("a directory for lock files");
    let first = FIRST + block * BLOCK;
    // A file that cannot be opened is another user's, and so is the block.
    let lock = File::options()
        .create(true)
        .append(true)
        .open(directory.join(first.to_string()))
        .ok()?;
    (lock.try_lock().is_ok() && (first..first + BLOCK).all(is_free)).then_some(lock)
}

/// The first port that the system hands out by itself.
fn ephemeral_start() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range
        .split_whitespace()
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or(32_768)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok() && UdpSocket::bind(("0.0.0.0", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn blocks_do_not_overlap() {
        let blocks: Vec<Ports> = (1..10).map(|count| Ports::reserve(count * 5)).collect();
        let ports: HashSet<u16> = blocks.iter().flat_map(|block| block.from(0)).collect();
        assert_eq!(ports.len(), (1..10).map(|count| count * 5).sum::<usize>());
    }
}
