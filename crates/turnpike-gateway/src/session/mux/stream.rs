//! One of the streams inside: the client's side of a tunnel, of which each write is a frame.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::PollSemaphore;
use turnpike_wire::address::Destination;
use turnpike_wire::mux;

use super::uplink::{Stage, Uplink};
use crate::descriptors::Permit;
use crate::exit::Opening;
use crate::limits::{ConnectionSeat, Denied, Quota};
use crate::relay::{self, Answer, Side};
use crate::session::Context;
use crate::session::downlink::Downlink;
use crate::stream::Presence;

/// A client's end of one of its streams. When it is dropped the client is told that the stream is over, unless it knows.
pub(super) struct Stream {
    session: u16,
    uplink: Arc<Uplink>,
    /// Weak, so that the connection can end whatever its streams do.
    downlink: Weak<Downlink>,
    turn: Mutex<PollSemaphore>,
    has_finished: AtomicBool,
    has_failed: AtomicBool,
    _seat: Seat,
    _place: OwnedSemaphorePermit,
    _descriptor: Permit,
}

/// A stream's place among the subscription's connections: the first has that of the connection that carries it.
pub(super) enum Seat {
    Carriers(Arc<AtomicBool>),
    Own { _seat: ConnectionSeat },
}

impl Seat {
    /// `carriers` is whether the carrying connection's place is taken.
    pub(super) fn take(carriers: &Arc<AtomicBool>, quota: &Arc<Quota>) -> Result<Self, Denied> {
        if carriers.swap(true, Ordering::Relaxed) {
            let seat = ConnectionSeat::take(quota)?;
            return Ok(Self::Own { _seat: seat });
        }
        Ok(Self::Carriers(Arc::clone(carriers)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Self::Carriers(carriers) = self {
            carriers.store(false, Ordering::Relaxed);
        }
    }
}

impl Stream {
    /// `seat` is the stream's among the subscription's connections, `place` the connection's for one session, `descriptor` for the origin's socket.
    pub(super) fn new(
        session: u16,
        uplink: &Arc<Uplink>,
        downlink: &Arc<Downlink>,
        seat: Seat,
        place: OwnedSemaphorePermit,
        descriptor: Permit,
    ) -> Self {
        Self {
            session,
            uplink: Arc::clone(uplink),
            downlink: Arc::downgrade(downlink),
            turn: Mutex::new(PollSemaphore::new(Arc::clone(downlink.turns()))),
            has_finished: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            _seat: seat,
            _place: place,
            _descriptor: descriptor,
        }
    }

    /// Dials, and relays from then on.
    pub(super) async fn dial(self, context: Context, to: Destination) {
        let dialed = tokio::select! {
            biased;
            () = context.route.cut.cancelled() => return,
            () = self.uplink.broken() => return,
            dialed = context.route.exit.dial(&to, Opening::Unknown) => dialed,
        };
        match dialed {
            Ok(dialed) => relay::tunnel(&context, self, Bytes::new(), Answer::Now(&[]), dialed),
            Err(error) => {
                context.dial_failed(&error);
                self.break_off();
            }
        }
    }

    fn say_end(&self, has_failed: bool) {
        if !self.has_finished.swap(true, Ordering::Relaxed)
            && let Some(downlink) = self.downlink.upgrade()
        {
            downlink.put(&mux::end(self.session, has_failed));
        }
    }
}

impl Side for Stream {
    fn poll_read_ready(&self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.uplink.poll_read_ready(cx)
    }

    fn waiting(&self) -> usize {
        self.uplink.waiting()
    }

    fn poll_read(&self, cx: &mut TaskContext<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        self.uplink.poll_read(cx, room)
    }

    fn poll_write(&self, cx: &mut TaskContext<'_>, text: &[u8]) -> Poll<io::Result<usize>> {
        match self.uplink.stage() {
            Stage::Open => {}
            // The client has closed, and hears no more, but the origin is to get everything first. The same task reads that.
            Stage::Ended => return Poll::Pending,
            Stage::Finished | Stage::Broken | Stage::Over => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
        let turn = ready!(
            self.turn
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .poll_acquire(cx)
        );
        let Some((turn, downlink)) = turn.zip(self.downlink.upgrade()) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let piece = text.get(..mux::LONGEST_PIECE).unwrap_or(text);
        let length = u16::try_from(piece.len()).unwrap_or(u16::MAX);
        downlink.put_piece(&mux::piece(self.session, length), piece, turn);
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_half_close(&self, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        if self.uplink.stage() == Stage::Open {
            self.say_end(false);
        }
        Poll::Ready(Ok(()))
    }

    /// The connection that carries it is watched as a whole.
    fn presence(&self, _: Duration) -> Presence {
        Presence::Settled
    }

    fn break_off(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    fn plain(&self) -> Option<&TcpStream> {
        None
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.uplink.close() == Stage::Open {
            self.say_end(self.has_failed.load(Ordering::Relaxed));
        }
    }
}
