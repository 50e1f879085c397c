//! What goes to a client whose stream several write to: datagrams as they come, pieces of streams in turn.
//!
//! What cannot leave at once waits here, in order and within bounds: a datagram that finds too much waiting is dropped, a
//! stream's piece waits for its turn, and who adds frames of a few bytes looks from time to time whether the client reads at
//! all ([`Downlink::room`]). While nothing waits nothing is held.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::Context;
use super::peer::is_transient;
use crate::relay::{Buffers, Queue};
use crate::stream::Stream;

/// Beyond this much, datagrams are dropped.
const MOST: usize = 256 * 1024;

/// A client that takes nothing for this long has gone.
const STALLED: Duration = Duration::from_secs(300);

/// Who may add a piece of a stream.
pub(super) type Turn = OwnedSemaphorePermit;

#[derive(Debug)]
pub(super) struct Downlink {
    stream: Stream,
    buffers: Buffers,
    peer_timeout: Duration,
    leaving: Mutex<Leaving>,
    /// One piece of a stream waits at a time; the next in the order of asking.
    turns: Arc<Semaphore>,
    /// There is something to be sent.
    filled: Notify,
    /// Everything has been sent.
    emptied: Notify,
}

#[derive(Debug)]
struct Leaving {
    queue: Queue,
    /// Given back when the piece that it was taken for has left.
    turn: Option<Turn>,
    last_datagram: Instant,
}

impl Downlink {
    pub(super) fn new(stream: Stream, context: &Context) -> Arc<Self> {
        Arc::new(Self {
            stream,
            buffers: context.shared.buffers.clone(),
            peer_timeout: context.config.peer_timeout,
            leaving: Mutex::new(Leaving {
                queue: Queue::default(),
                turn: None,
                last_datagram: Instant::now(),
            }),
            turns: Arc::new(Semaphore::new(1)),
            filled: Notify::new(),
            emptied: Notify::new(),
        })
    }

    /// The client's connection, to be read from.
    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn turns(&self) -> &Arc<Semaphore> {
        &self.turns
    }

    /// When a datagram went down last, or when this was made.
    pub(super) fn last_datagram(&self) -> Instant {
        self.leaving().last_datagram
    }

    /// Adds what must arrive.
    pub(super) fn put(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.leaving().queue.put(&self.buffers, bytes);
            self.filled.notify_one();
        }
    }

    /// Adds a datagram, framed already, or drops it. Whether it goes.
    pub(super) fn put_datagram(&self, packet: &[u8]) -> bool {
        let mut leaving = self.leaving();
        if leaving.queue.len() + packet.len() > MOST {
            return false;
        }
        leaving.queue.put(&self.buffers, packet);
        leaving.last_datagram = Instant::now();
        drop(leaving);
        // Not sent at once: they come in bursts, which go with one write.
        self.filled.notify_one();
        true
    }

    /// Adds a piece of a stream behind its header.
    pub(super) fn put_piece(&self, header: &[u8], text: &[u8], turn: Turn) {
        let mut leaving = self.leaving();
        leaving.queue.put(&self.buffers, header);
        leaving.queue.put(&self.buffers, text);
        leaving.turn = Some(turn);
        if self.send(&mut leaving).is_err() {
            // It waits, or it is broken: both are found out by who sends the rest.
            self.filled.notify_one();
        }
    }

    /// Waits while more waits than a client that reads would leave.
    pub(super) async fn room(&self) {
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.leaving().queue.len() < MOST {
                return;
            }
            emptied.await;
        }
    }

    /// Sends what was added, until the connection breaks or stalls, or the client has vanished.
    pub(super) async fn run(&self) {
        tokio::select! {
            biased;
            () = self.send_all() => {}
            () = self.stream.vanished(self.peer_timeout) => {}
        }
    }

    async fn send_all(&self) {
        loop {
            // First of all what is there already: whoever ran this before may have left it.
            loop {
                let sent = self.send(&mut self.leaving());
                match sent {
                    Ok(()) => break,
                    Err(error) if is_transient(&error) => {}
                    Err(_) => return,
                }
                if !matches!(timeout(STALLED, self.stream.writable()).await, Ok(Ok(()))) {
                    return;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Sends what can be sent without waiting; an error where that is not all.
    fn send(&self, leaving: &mut Leaving) -> io::Result<()> {
        while !leaving.queue.is_empty() {
            match self.stream.try_write(leaving.queue.front())? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => leaving.queue.consume(count),
            }
        }
        leaving.turn = None;
        self.emptied.notify_waiters();
        Ok(())
    }

    fn leaving(&self) -> MutexGuard<'_, Leaving> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
