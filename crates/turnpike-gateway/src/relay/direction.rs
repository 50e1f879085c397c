//! One direction of a tunnel: from one socket to the other, by buffer, by pipe or through a seal, to the sender's end.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};

use super::splice::Pipe;
use super::{Buffer, Side};
use crate::gateway::Shared;
use crate::limits::pace::{Pace, Speed, Way};

/// A direction that has moved this much with full reads is bulk, and is spliced from then on. Below it a pipe costs
/// more than it saves: two system calls and a pool's lock instead of two system calls and a copy.
const BULK: usize = 512 * 1024;

/// A read of less than this is not full. It takes one full read's worth back, so that a download that is read in
/// bursts becomes bulk too, and a conversation does not.
const FULL_READ: usize = 16 * 1024;

/// A side has reset the connection, and nothing worth having can still come of the other.
#[derive(Debug)]
pub(super) struct Broken;

/// How much a direction may move now.
pub(super) struct Allowed<'a> {
    /// No faster than the subscription may be.
    pub(super) speed: &'a Speed,
    /// No more than so many bytes, or a little more; what has moved is taken off.
    pub(super) turn: &'a mut usize,
    /// Nothing moves the other way any more: when this way has ended too, both sockets are closed at once.
    pub(super) is_last: bool,
}

#[derive(Debug)]
pub(super) struct Direction {
    held: Held,
    /// How many of the next bytes to be written are our own, and not metered.
    own: usize,
    /// Our own words that go out with the first that is read, or before the end where nothing is.
    preface: &'static [u8],
    stage: Stage,
    /// Whether the sender is read on when the receiver takes no more.
    discards: bool,
    /// How much has been moved by full reads lately; from [`BULK`] on the direction is spliced.
    full: usize,
    /// Whether this is bulk now: spliced where that can be, by large buffers elsewhere.
    is_bulk: bool,
    /// Whether both ends' text goes over their sockets as it is.
    is_plain: bool,
    way: Way,
    pace: Pace,
}

/// What has been read and not yet written.
#[derive(Debug)]
enum Held {
    Nothing,
    /// What was there before the tunnel.
    Early(Bytes),
    Copied(Buffer),
    Piped(Pipe),
    /// So much text in the sender's seal.
    Opened(usize),
    /// So much text in the receiver's.
    Sealed(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Moving,
    /// The sender has finished; what is held is still to be written, and then the end.
    Ending,
    /// The receiver takes no more: what still comes is read and thrown away until the sender has finished.
    Discarding,
    Finished,
}

impl Direction {
    /// From the client to the origin; `early` first.
    ///
    /// An origin that takes no more may have answered already: the client is to get that answer, and is read on, so
    /// that it is not reset before it has it.
    pub(super) fn up(early: Bytes, is_plain: bool) -> Self {
        Self::new(early, 0, Way::Up, is_plain)
    }

    /// From the origin to the client; `early` first, of which the first `own` bytes are ours.
    ///
    /// A client that takes no more has gone, and so does everything.
    pub(super) fn down(early: Bytes, own: usize, is_plain: bool) -> Self {
        Self::new(early, own, Way::Down, is_plain)
    }

    /// The same direction, whose first bytes have `preface` before them.
    pub(super) fn prefaced(mut self, preface: &'static [u8]) -> Self {
        self.preface = preface;
        self
    }

    fn new(early: Bytes, own: usize, way: Way, is_plain: bool) -> Self {
        let held = if early.is_empty() {
            Held::Nothing
        } else {
            Held::Early(early)
        };
        Self {
            held,
            own,
            preface: &[],
            stage: Stage::Moving,
            discards: way == Way::Up,
            full: 0,
            is_bulk: false,
            is_plain,
            way,
            pace: Pace::default(),
        }
    }

    /// Whether the sender has finished, and the receiver knows or takes no more.
    pub(super) fn has_finished(&self) -> bool {
        self.stage == Stage::Finished
    }

    /// Whether it moves much at a time.
    pub(super) fn is_bulk(&self) -> bool {
        self.is_bulk
    }

    /// Whether what the sender still sends has nowhere to go.
    pub(super) fn is_discarding(&self) -> bool {
        self.stage == Stage::Discarding
    }

    /// Whether something has been read that the receiver has not taken.
    pub(super) fn holds_data(&self) -> bool {
        match &self.held {
            Held::Nothing => false,
            Held::Early(bytes) => !bytes.is_empty(),
            Held::Copied(buffer) => !buffer.is_empty(),
            Held::Piped(pipe) => !pipe.is_empty(),
            Held::Opened(count) | Held::Sealed(count) => *count > 0,
        }
    }

    /// Moves what can be moved and is allowed. Ready when the sender has finished and the receiver knows. `meter` is told of bytes when the receiver's system has them.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &impl Side,
        to: &impl Side,
        shared: &Shared,
        Allowed { speed, turn, is_last }: Allowed<'_>,
        meter: impl Fn(u64),
    ) -> Poll<Result<(), Broken>> {
        loop {
            match self.stage {
                Stage::Finished => return Poll::Ready(Ok(())),
                Stage::Moving => {
                    if ready!(self.poll_write(cx, from, to, &meter)).is_err() {
                        self.held = Held::Nothing;
                        if !self.discards {
                            self.stage = Stage::Finished;
                            return Poll::Ready(Err(Broken));
                        }
                        self.stage = Stage::Discarding;
                    }
                }
                Stage::Ending => {
                    // Where the receiver has gone, there is nobody left to tell. Where its socket is closed now, it is told by that,
                    // but for a seal, which has words of its own.
                    let is_taken = ready!(self.poll_write(cx, from, to, &meter)).is_ok();
                    if is_taken && !(is_last && to.plain().is_some()) {
                        let _ = ready!(to.poll_half_close(cx));
                    }
                    self.held = Held::Nothing;
                    self.stage = Stage::Finished;
                    continue;
                }
                Stage::Discarding => {}
            }
            let read = if *turn == 0 {
                Poll::Pending
            } else {
                self.poll_read(cx, from, to, shared, speed)
            };
            match read {
                Poll::Pending => {
                    // Whatever is held is empty here: back to the pool with it while nothing moves.
                    self.held = Held::Nothing;
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) if self.stage == Stage::Moving => self.stage = Stage::Ending,
                Poll::Ready(Ok(0)) => {
                    self.held = Held::Nothing;
                    self.stage = Stage::Finished;
                }
                Poll::Ready(Ok(count)) => {
                    *turn = turn.saturating_sub(count);
                    if self.stage == Stage::Discarding {
                        self.held = Held::Nothing;
                    }
                }
                Poll::Ready(Err(_)) => {
                    self.held = Held::Nothing;
                    self.stage = Stage::Finished;
                    return Poll::Ready(Err(Broken));
                }
            }
        }
    }

    /// Writes all that is held. What held it stays, empty, for the next read.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &impl Side,
        to: &impl Side,
        meter: &impl Fn(u64),
    ) -> Poll<io::Result<()>> {
        let mut meter_others = |count: usize| {
            let own = count.min(self.own);
            self.own -= own;
            meter((count - own) as u64);
        };
        match &mut self.held {
            Held::Nothing => {}
            Held::Early(bytes) => {
                while !bytes.is_empty() {
                    let count = written(ready!(to.poll_write(cx, bytes)))?;
                    bytes.advance(count);
                    meter_others(count);
                }
                self.held = Held::Nothing;
            }
            Held::Copied(buffer) => {
                while !buffer.is_empty() {
                    let count = written(ready!(to.poll_write(cx, buffer.filled())))?;
                    buffer.consume(count);
                    meter_others(count);
                }
            }
            Held::Piped(pipe) => {
                while !pipe.is_empty() {
                    let socket = to.plain().ok_or(io::ErrorKind::Unsupported)?;
                    meter(written(ready!(pipe.poll_drain(cx, socket)))? as u64);
                }
            }
            Held::Opened(left) => {
                while *left > 0 {
                    let (seal, socket) = from
                        .sealed_in_place()
                        .zip(to.plain())
                        .ok_or(io::ErrorKind::Unsupported)?;
                    let count = written(ready!(seal.poll_pass(cx, socket)))?;
                    *left = left.saturating_sub(count);
                    meter(count as u64);
                }
            }
            Held::Sealed(left) => {
                if *left > 0 {
                    let seal = to.sealed_in_place().ok_or(io::ErrorKind::Unsupported)?;
                    meter(ready!(seal.poll_flush(cx))? as u64);
                    *left = 0;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once. Nothing is held when it is called but an empty buffer or pipe.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &impl Side,
        to: &impl Side,
        shared: &Shared,
        speed: &Speed,
    ) -> Poll<io::Result<usize>> {
        ready!(from.poll_read_ready(cx))?;
        let turn = ready!(self.pace.poll(cx, speed, self.way, from));
        let read = if let Some(pipe) = self.empty_pipe(shared) {
            self.poll_fill_pipe(pipe, cx, from, shared, turn.most)
        } else if let Some(read) = self.poll_through_seal(cx, from, to, turn.most) {
            read
        } else {
            self.poll_fill_buffer(cx, from, shared, turn.most)
        };
        let count = if let Poll::Ready(Ok(count)) = &read { *count } else { 0 };
        speed.settle(self.way, turn, count);
        ready!(read)?;
        self.judge(count);
        Poll::Ready(Ok(count))
    }

    /// A pipe, where this direction is spliced and there is one to be had.
    fn empty_pipe(&mut self, shared: &Shared) -> Option<Pipe> {
        if !self.is_bulk || !self.is_plain || self.stage != Stage::Moving {
            return None;
        }
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Piped(pipe) => Some(pipe),
            _ => shared.pipes.take(),
        }
    }

    fn poll_fill_pipe(
        &mut self,
        mut pipe: Pipe,
        cx: &mut Context<'_>,
        from: &impl Side,
        shared: &Shared,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let Some(socket) = from.plain() else {
            return self.poll_fill_buffer(cx, from, shared, most);
        };
        let filled = pipe.poll_fill(cx, socket, most);
        if let Poll::Ready(Err(error)) = &filled
            && is_unsupported(error)
        {
            shared.pipes.disable();
            return self.poll_fill_buffer(cx, from, shared, most);
        }
        self.held = Held::Piped(pipe);
        filled
    }

    /// Reads bulk to where one side's seal opens or seals it, where the other's text goes as it is; absent where that is not so.
    fn poll_through_seal(
        &mut self,
        cx: &mut Context<'_>,
        from: &impl Side,
        to: &impl Side,
        most: usize,
    ) -> Option<Poll<io::Result<usize>>> {
        // A seal takes whole chunks: who is to move only so much goes by a buffer.
        if !self.is_bulk || self.is_plain || self.stage != Stage::Moving || most < usize::MAX {
            return None;
        }
        if let (Some(seal), Some(_)) = (from.sealed_in_place(), to.plain()) {
            let opened = seal.poll_open(cx);
            if let Poll::Ready(Ok(count)) = opened {
                self.held = Held::Opened(count);
            }
            return Some(opened);
        }
        let socket = from.plain()?;
        let seal = to.sealed_in_place().filter(|seal| seal.seals())?;
        let sealed = seal.poll_seal(cx, socket);
        if let Poll::Ready(Ok(count)) = sealed {
            self.held = Held::Sealed(count);
        }
        Some(sealed)
    }

    fn poll_fill_buffer(
        &mut self,
        cx: &mut Context<'_>,
        from: &impl Side,
        shared: &Shared,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Copied(buffer) if buffer.is_large() == self.is_bulk => buffer,
            _ if self.is_bulk => shared.large_buffers.take(),
            _ => shared.buffers.take(),
        };
        if let Some(room) = buffer.room(usize::MAX).get_mut(..self.preface.len()) {
            room.copy_from_slice(self.preface);
            buffer.advance(self.preface.len());
        }
        let count = ready!(from.poll_read(cx, buffer.room(most)))?;
        buffer.advance(count);
        self.own += std::mem::take(&mut self.preface).len();
        self.held = Held::Copied(buffer);
        Poll::Ready(Ok(count))
    }

    /// Learns from the size of a read whether this is bulk.
    fn judge(&mut self, count: usize) {
        if count >= FULL_READ {
            self.full = BULK.min(self.full.saturating_add(count));
        } else {
            self.full = self.full.saturating_sub(FULL_READ);
        }
        // What was bulk stays it until half of that is taken back: no swinging to and fro.
        self.is_bulk = self.full >= if self.is_bulk { BULK / 2 } else { BULK };
    }
}

/// What the kernel, or a sandbox around it, says where it does not splice sockets.
fn is_unsupported(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

/// A socket that takes no byte of several and says no error would be asked forever.
fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        result => result,
    }
}
