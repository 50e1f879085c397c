//! Bodies on their way: copied as they come, framed anew where they are chunked, holding no buffer while nothing moves.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::time::Instant;
use turnpike_wire::http::{Body, ChunkError, Chunked, Form};

use crate::limits::pace::{Speed, Way};
use crate::meter::Meter;
use crate::relay::{Buffer, Buffers};
use crate::session::peer::{self, Peer};
use crate::stream::Stream;

/// Where a body comes from.
pub(super) struct Source<'s> {
    pub(super) stream: &'s Stream,
    /// What has been read already; what was read beyond the body is put back here.
    pub(super) pending: &'s mut BytesMut,
    pub(super) buffers: &'s Buffers,
    pub(super) speed: &'s Speed,
    pub(super) way: Way,
}

/// Where bytes go, and in whose account.
pub(super) struct Sink<'s> {
    pub(super) stream: &'s Stream,
    pub(super) pulse: &'s Pulse,
    pub(super) meter: &'s Meter,
    pub(super) way: Way,
}

/// Which side a body broke at.
#[derive(Debug)]
pub(super) enum Broken {
    /// The sender closed or broke before the end.
    Source,
    /// The sender's chunks are none.
    Malformed,
    /// The receiver takes no more.
    Sink,
}

/// A message on its way: what can be written at once, and what is still to come.
pub(super) struct Message {
    start: Vec<u8>,
    rest: Rest,
    form: Form,
}

impl Message {
    /// Begins with `head`, and with what `pending` has of the body already: both share a write.
    pub(super) fn begin(head: Vec<u8>, pending: &mut BytesMut, body: Body, form: Form) -> Result<Self, ChunkError> {
        let (mut start, mut rest) = (head, Rest::of(body));
        let used = rest.take(pending, form, &mut start)?;
        pending.advance(used);
        peer::release_if_empty(pending);
        Ok(Self { start, rest, form })
    }

    /// Passes all of it on.
    pub(super) async fn relay(self, source: Source<'_>, sink: &Sink<'_>) -> Result<(), Broken> {
        let Self { start, mut rest, form } = self;
        source.speed.charge(source.way, start.len());
        sink.write(&start).await?;
        drop(start);
        while !rest.is_finished() {
            let Some(read) = source.read().await.map_err(|_| Broken::Source)? else {
                return if matches!(rest, Rest::UntilClose) {
                    Ok(())
                } else {
                    Err(Broken::Source)
                };
            };
            let used = match rest.take_plain(read.filled()) {
                Some(plain) => {
                    sink.write(plain).await?;
                    plain.len()
                }
                None => {
                    let mut recoded = Vec::with_capacity(read.filled().len());
                    let used = rest
                        .take(read.filled(), form, &mut recoded)
                        .map_err(|_| Broken::Malformed)?;
                    sink.write(&recoded).await?;
                    used
                }
            };
            let beyond = read.filled().get(used..).unwrap_or_default();
            source.pending.extend_from_slice(beyond);
        }
        Ok(())
    }
}

/// Reads a body of at most `limit` bytes, framing included, and forgets it. Says whether it ended within that.
pub(super) async fn discard(client: &mut Peer, body: Body, limit: u64) -> bool {
    if matches!(body, Body::Length(length) if length > limit) {
        return false;
    }
    let mut rest = Rest::of(body);
    let mut seen = 0_u64;
    loop {
        let mut forgotten = Vec::new();
        let Ok(used) = rest.take(&client.pending, Form::Data, &mut forgotten) else {
            return false;
        };
        client.pending.advance(used);
        seen = seen.saturating_add(used as u64);
        if rest.is_finished() {
            return seen <= limit;
        }
        if seen > limit || !matches!(client.read_more().await, Ok(1..)) {
            return false;
        }
    }
}

/// What of a body is still to come.
enum Rest {
    Bytes(u64),
    Chunks { reader: Chunked, finished: bool },
    UntilClose,
}

impl Rest {
    fn of(body: Body) -> Self {
        match body {
            Body::Empty => Self::Bytes(0),
            Body::Length(length) => Self::Bytes(length),
            Body::Chunked => Self::Chunks {
                reader: Chunked::new(),
                finished: false,
            },
            Body::UntilClose => Self::UntilClose,
        }
    }

    fn is_finished(&self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Chunks { finished: true, .. })
    }

    /// The part of `input` that is body and goes on as it is; absent where chunks must be read.
    fn take_plain<'i>(&mut self, input: &'i [u8]) -> Option<&'i [u8]> {
        match self {
            Self::UntilClose => Some(input),
            Self::Bytes(left) => {
                let here = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left = left.saturating_sub(here as u64);
                input.get(..here)
            }
            Self::Chunks { .. } => None,
        }
    }

    /// Adds to `output` what goes on; says how much of `input` is body.
    fn take(&mut self, input: &[u8], form: Form, output: &mut Vec<u8>) -> Result<usize, ChunkError> {
        if let Self::Chunks { reader, finished } = self {
            let recoded = reader.recode(input, form, |piece| output.extend_from_slice(piece))?;
            *finished = recoded.finished;
            return Ok(recoded.used);
        }
        let plain = self.take_plain(input).unwrap_or_default();
        output.extend_from_slice(plain);
        Ok(plain.len())
    }
}

impl Source<'_> {
    /// What comes next, in a buffer that is taken only now; absent at the end.
    async fn read(&self) -> io::Result<Option<Buffer>> {
        // A fast sender must not keep its worker from everybody else.
        tokio::task::coop::consume_budget().await;
        loop {
            self.stream.readable().await?;
            let turn = self.speed.turn(self.way, self.stream).await;
            let mut buffer = self.buffers.take();
            let read = buffer.try_read_from(self.stream, turn.most);
            self.speed.settle(self.way, turn, *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(buffer)),
                Err(error) if peer::is_transient(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Sink<'_> {
    pub(super) async fn write(&self, bytes: &[u8]) -> Result<(), Broken> {
        let moved = |count: usize| {
            self.pulse.beat();
            match self.way {
                Way::Up => self.meter.add_up(count as u64),
                Way::Down => self.meter.add_down(count as u64),
            }
        };
        peer::write(self.stream, bytes, moved).await.map_err(|_| Broken::Sink)
    }
}

/// When something last moved, in either direction.
pub(super) struct Pulse {
    started: Instant,
    last_beat_ms: AtomicU64,
    limit_ms: AtomicU64,
}

impl Pulse {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            started: Instant::now(),
            last_beat_ms: AtomicU64::new(0),
            limit_ms: AtomicU64::new(milliseconds(limit)),
        }
    }

    fn beat(&self) {
        self.last_beat_ms
            .store(milliseconds(self.started.elapsed()), Ordering::Relaxed);
    }

    /// From now on silence may last no longer than this.
    pub(super) fn limit_to(&self, limit: Duration) {
        self.beat();
        self.limit_ms.fetch_min(milliseconds(limit), Ordering::Relaxed);
    }

    /// Returns when nothing has moved for the limit.
    pub(super) async fn stopped(&self) {
        loop {
            let due_ms = self
                .last_beat_ms
                .load(Ordering::Relaxed)
                .saturating_add(self.limit_ms.load(Ordering::Relaxed));
            let due = Duration::from_millis(due_ms);
            if self.started.elapsed() >= due {
                return;
            }
            tokio::time::sleep_until(self.started + due).await;
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
