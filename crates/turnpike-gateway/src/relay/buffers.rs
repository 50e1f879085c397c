//! Pooled buffers: taken when a socket is readable, given back when they are empty.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::stream::Stream;

/// One buffer's size. Bulk goes by splice, so that this need not be large, and a tunnel whose reader is slow pins
/// little.
const BUFFER_BYTES: usize = 16 * 1024;

/// What bulk is moved by where it cannot be spliced: fewer system calls, and several sealed chunks at a time.
const LARGE_BUFFER_BYTES: usize = 64 * 1024;

/// Bytes of free buffers kept per shard; more than that are given back to the allocator.
const FREE_BYTES_PER_SHARD: usize = 4 * 1024 * 1024;

/// Threads are spread over this many free lists, so that they rarely meet at one lock.
const SHARDS: usize = 8;

type FreeList = Mutex<Vec<Box<[u8]>>>;

/// The gateway's buffers of one size. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Of one buffer.
    bytes: usize,
    free: [FreeList; SHARDS],
    in_use: AtomicUsize,
}

impl Inner {
    fn shard(&self) -> &FreeList {
        let thread = THREAD.with(|number| *number);
        &self.free[thread % SHARDS]
    }
}

thread_local! {
    static THREAD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

impl Default for Buffers {
    /// Of 16 KiB.
    fn default() -> Self {
        Self::of(BUFFER_BYTES)
    }
}

impl Buffers {
    /// Of 64 KiB.
    pub(crate) fn large() -> Self {
        Self::of(LARGE_BUFFER_BYTES)
    }

    fn of(bytes: usize) -> Self {
        let inner = Inner {
            bytes,
            free: Default::default(),
            in_use: AtomicUsize::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// An empty buffer. It returns to the pool when it is dropped.
    pub(crate) fn take(&self) -> Buffer {
        let kept = self.inner.shard().lock().unwrap_or_else(PoisonError::into_inner).pop();
        self.inner.in_use.fetch_add(1, Ordering::Relaxed);
        Buffer {
            bytes: kept.unwrap_or_else(|| vec![0; self.inner.bytes].into_boxed_slice()),
            start: 0,
            end: 0,
            pool: Arc::clone(&self.inner),
        }
    }

    /// Buffers handed out now.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        self.inner.in_use.load(Ordering::Relaxed)
    }
}

/// A pooled buffer. Only what was read into it since it was taken can be seen: it may hold another customer's bytes
/// beyond that.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    pool: Arc<Inner>,
}

impl Buffer {
    /// What was read and not yet consumed.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Forgets the first `count` bytes of [`Buffer::filled`].
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start.saturating_add(count));
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Where the next bytes are to be read to, at most so many; say how many were with [`Buffer::advance`].
    pub(crate) fn room(&mut self, most: usize) -> &mut [u8] {
        let end = self.bytes.len().min(self.end.saturating_add(most));
        &mut self.bytes[self.end..end]
    }

    /// `count` bytes of [`Buffer::room`] have been written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.end = self.bytes.len().min(self.end.saturating_add(count));
    }

    /// Reads what has arrived, at most so much, without waiting. 0 is the end of the stream (or there is no room left).
    pub(crate) fn try_read_from(&mut self, stream: &Stream, most: usize) -> io::Result<usize> {
        let count = stream.try_read(self.room(most))?;
        self.advance(count);
        Ok(count)
    }

    /// Whether it is of the large ones.
    pub(crate) fn is_large(&self) -> bool {
        self.bytes.len() == LARGE_BUFFER_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.in_use.fetch_sub(1, Ordering::Relaxed);
        let bytes = std::mem::take(&mut self.bytes);
        let mut free = self.pool.shard().lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < FREE_BYTES_PER_SHARD / self.pool.bytes {
            free.push(bytes);
        }
    }
}
