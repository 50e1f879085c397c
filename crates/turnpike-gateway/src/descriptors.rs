//! How many files the gateway may hold open, so that the rest of the process can always open some.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Never used for customers: the web server, the database and the resolver go on when the ports are full.
const RESERVE: usize = 64;

/// A share of the process's limit of open files. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Descriptors {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    limit: usize,
    used: AtomicUsize,
}

impl Descriptors {
    /// All that the process's limit allows now, less a reserve.
    pub(crate) fn of_this_process() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let limit = limit
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(usize::MAX);
        Self::with_limit(limit.saturating_sub(RESERVE.max(limit / 32)))
    }

    pub(crate) fn with_limit(limit: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                limit,
                used: AtomicUsize::new(0),
            }),
        }
    }

    /// Room for `count` more, until the permit is dropped.
    pub(crate) fn take(&self, count: usize) -> Option<Permit> {
        let before = self.inner.used.fetch_add(count, Ordering::Relaxed);
        let permit = Permit {
            inner: Arc::clone(&self.inner),
            count,
        };
        (before.saturating_add(count) <= self.inner.limit).then_some(permit)
    }

    /// How many are taken.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.inner.used.load(Ordering::Relaxed)
    }
}

/// Room for some open files.
#[derive(Debug)]
pub(crate) struct Permit {
    inner: Arc<Inner>,
    count: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inner.used.fetch_sub(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_request_takes_nothing() {
        let descriptors = Descriptors::with_limit(3);
        let first = descriptors.take(2);
        assert!(first.is_some());
        assert!(descriptors.take(2).is_none());
        assert!(descriptors.take(1).is_some());
        drop(first);
        assert!(descriptors.take(3).is_some());
    }
}
