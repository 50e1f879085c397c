//! `splice(2)`: from socket to pipe to socket, inside the kernel.
//!
//! Pipes are pooled, because there can be far fewer of them than tunnels: each has two descriptors, and past
//! `pipe-user-pages-soft` (64 MiB per user) the kernel makes them of one page. A direction holds one only while bytes
//! are under way.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::descriptors::{Descriptors, Permit};

/// What a pipe should hold: with the first ones, which are all there are mostly, one system call moves what 64 buffers would.
const LARGE_PIPE: usize = 1024 * 1024;
const SMALL_PIPE: usize = 128 * 1024;

/// Pipes at one time: together they hold less than the 64 MiB that an unprivileged user may have.
const MAX_PIPES: usize = 256;
const LARGE_PIPES: usize = 32;

/// The gateway's pipes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pipes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    free: Mutex<Vec<Ends>>,
    made: AtomicUsize,
    disabled: AtomicBool,
    descriptors: Descriptors,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
    _descriptors: Permit,
}

impl Pipes {
    pub(crate) fn new(descriptors: Descriptors) -> Self {
        let inner = Inner {
            free: Mutex::default(),
            made: AtomicUsize::new(0),
            disabled: AtomicBool::new(false),
            descriptors,
        };
        Self { inner: Arc::new(inner) }
    }

    /// An empty pipe, if there is one to be had. It returns to the pool when it is dropped empty.
    pub(super) fn take(&self) -> Option<Pipe> {
        if self.inner.disabled.load(Ordering::Relaxed) {
            return None;
        }
        let kept = self.inner.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let ends = kept.or_else(|| self.make())?;
        Some(Pipe {
            ends: Some(ends),
            held: 0,
            pool: Arc::clone(&self.inner),
        })
    }

    fn make(&self) -> Option<Ends> {
        let others = self.inner.made.fetch_add(1, Ordering::Relaxed);
        if others < MAX_PIPES
            && let Some(permit) = self.inner.descriptors.take(2)
            && let Ok((read, write)) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)
        {
            let size = if others < LARGE_PIPES { LARGE_PIPE } else { SMALL_PIPE };
            // Where the system does not allow this size, the one it has does too.
            let capacity = rustix::pipe::fcntl_setpipe_size(&write, size)
                .or_else(|_| rustix::pipe::fcntl_getpipe_size(&write))
                .unwrap_or(4096);
            return Some(Ends {
                read,
                write,
                capacity,
                _descriptors: permit,
            });
        }
        self.inner.made.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// This system does not splice these sockets: no more pipes are handed out.
    pub(super) fn disable(&self) {
        if !self.inner.disabled.swap(true, Ordering::Relaxed) {
            tracing::warn!("this system does not splice sockets; tunnels are copied instead");
        }
    }

    /// Pipes that exist, free or not.
    #[cfg(test)]
    pub(crate) fn made(&self) -> usize {
        self.inner.made.load(Ordering::Relaxed)
    }

    /// Pipes that no direction holds.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.inner.free.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// A pipe on loan.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Absent only while it is dropped.
    ends: Option<Ends>,
    held: usize,
    pool: Arc<Inner>,
}

impl Pipe {
    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Fills the pipe with at most so many bytes. It must be empty: only then does "would block" speak of the socket. 0 is the
    /// stream's end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream, most: usize) -> Poll<io::Result<usize>> {
        let Some(ends) = &self.ends else {
            return Poll::Ready(Ok(0));
        };
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || {
                splice(from, &ends.write, ends.capacity.min(most))
            }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    self.held += count;
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }

    /// Empties the pipe, which must not be empty, as far as the socket takes it.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        let Some(ends) = &self.ends else {
            return Poll::Ready(Ok(0));
        };
        loop {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || splice(&ends.read, to, self.held)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    self.held = self.held.saturating_sub(count);
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take() else { return };
        if self.held == 0 {
            self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(ends);
        } else {
            // There are one customer's bytes in it, and the next to have it is another customer.
            self.pool.made.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn splice(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, count: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    rustix::io::retry_on_intr(|| rustix::pipe::splice(&from, None, &to, None, count, flags)).map_err(io::Error::from)
}
