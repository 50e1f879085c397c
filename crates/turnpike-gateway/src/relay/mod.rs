//! Moving bytes between a customer and an origin: metered, half-closing, holding no buffer while nothing moves.
//!
//! A tunnel is one small task that waits for readiness. Each of its two directions ([`direction`]) takes a pooled
//! buffer when there is something to read and gives it back when that is written; a direction that proves to be bulk
//! goes over to `splice(2)` through a pooled pipe ([`splice`]), and the bytes no longer pass through this process. A
//! tunnel at rest owns its two sockets, a timer and its place in the route's books, and nothing else.

mod buffers;
mod direction;
mod queue;
mod side;
mod splice;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

pub(crate) use buffers::{Buffer, Buffers};
pub(crate) use queue::Queue;
pub(crate) use side::Side;
pub(crate) use splice::Pipes;

use crate::exit::Dialed;
use crate::gateway::Shared;
use crate::limits::pace::Way;
use crate::route::ActiveRoute;
use crate::session::Context;
use crate::session::admission::Visitor;
use crate::stream::{LOOKS, Presence, Stream};
use direction::{Allowed, Broken, Direction};

/// How long the other side may be silent once one side has finished.
const HALF_CLOSED_SILENCE: Duration = Duration::from_secs(300);

/// How long a client is listened to whose bytes have nowhere to go any more: closing at once would send it a reset,
/// which can destroy the last of what it was sent before it reads it.
const LINGER: Duration = Duration::from_secs(5);

/// A tunnel that has been open for so long may stay open, and its origin may vanish.
const LONG: Duration = Duration::from_secs(10);

/// A tunnel lets others have a turn after this many bytes.
const BYTES_PER_TURN: usize = 1024 * 1024;

/// Why a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides have finished.
    Finished,
    /// One side broke the connection; so is the other side told.
    Reset,
    /// One side is not there any more, as far as can be told; the other side is told so by a reset.
    Vanished,
    /// Nothing moved for the idle timeout. What is held then is lost, and the other side is told so by a reset.
    Idle,
    /// The route was cut, the exit's lease ended, or the gateway stops.
    Cut,
}

/// What a client is told when its tunnel is there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer<'a> {
    /// At once: it waits for that.
    Now(&'a [u8]),
    /// In front of the first that the origin says, since the client waits for nothing else: a segment less.
    WithData(&'static [u8]),
}

impl<'a> Answer<'a> {
    /// All that is said.
    pub(crate) fn bytes(self) -> &'a [u8] {
        let (Self::Now(bytes) | Self::WithData(bytes)) = self;
        bytes
    }
}

/// Relays until both sides have finished, in a task of its own: it returns at once, and the session ends by returning
/// too, so that nothing of its handshake stays in memory.
///
/// `from_client` is what the client sent behind its request already (it has not been metered yet), `dialed.early` the
/// same for the other side; `answer` is written to the client before anything else and is not metered.
pub(crate) fn tunnel(context: &Context, client: impl Side, from_client: Bytes, answer: Answer<'_>, dialed: Dialed) {
    let Dialed {
        stream: origin,
        early,
        lease,
    } = dialed;
    let speed = &context.route.quota.speed;
    speed.charge(Way::Up, from_client.len());
    speed.charge(Way::Down, early.len());
    let (answer, preface) = match answer {
        Answer::Now(answer) => (answer, &[][..]),
        Answer::WithData(answer) if early.is_empty() => (&[][..], answer),
        Answer::WithData(answer) => (answer, &[][..]),
    };
    let mut to_client = BytesMut::with_capacity(answer.len() + early.len());
    to_client.put_slice(answer);
    to_client.put_slice(&early);
    context.visitor().prove();
    let is_plain = client.plain().is_some();
    let mut tunnel = Tunnel {
        up: Direction::up(from_client, is_plain),
        down: Direction::down(to_client.freeze(), answer.len(), is_plain).prefaced(preface),
        last_moved: Instant::now(),
        is_tuned: false,
        is_watched: true,
        client,
        origin,
        _visitor: Arc::clone(context.visitor()),
        open: OpenTunnel::new(&context.shared, &context.route),
    };
    context.shared.spawn(async move {
        let end = tunnel.run(&lease).await;
        tracing::trace!(?end, "a tunnel has ended");
    });
}

/// Whose a tunnel is. For as long as it is open, the gateway and the exit count it.
struct OpenTunnel {
    shared: Arc<Shared>,
    route: Arc<ActiveRoute>,
}

impl OpenTunnel {
    fn new(shared: &Arc<Shared>, route: &Arc<ActiveRoute>) -> Self {
        shared.tunnel_opened();
        route.exit.tunnel_opened();
        Self {
            shared: Arc::clone(shared),
            route: Arc::clone(route),
        }
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.shared.tunnel_closed();
        self.route.exit.tunnel_closed();
    }
}

struct Tunnel<C> {
    client: C,
    origin: Stream,
    up: Direction,
    down: Direction,
    last_moved: Instant,
    /// Whether the origin's socket has what long tunnels need.
    is_tuned: bool,
    /// Whether the timer is set to look soon at how both sides stand.
    is_watched: bool,
    /// Holds the descriptors' permit.
    _visitor: Arc<Visitor>,
    open: OpenTunnel,
}

impl<C: Side> Tunnel<C> {
    async fn run(&mut self, lease: &CancellationToken) -> End {
        let route = Arc::clone(&self.open.route);
        let first = self.allowed_silence().min(LONG).min(self.look_after());
        let mut silence = pin!(tokio::time::sleep(first));
        let end = tokio::select! {
            biased;
            () = route.cut.cancelled() => End::Cut,
            () = lease.cancelled() => End::Cut,
            end = poll_fn(|cx| self.poll(cx, silence.as_mut())) => end,
        };
        let is_lost = end == End::Idle && (self.up.holds_data() || self.down.holds_data());
        if matches!(end, End::Reset | End::Vanished | End::Cut) || is_lost {
            // A reset says that this was not the end of the data; an orderly end would make a cut download look whole.
            self.client.break_off();
            self.origin.break_off();
        }
        end
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>, mut silence: Pin<&mut Sleep>) -> Poll<End> {
        let allowed_before = self.allowed_silence();
        let mut turns = Turns {
            up: BYTES_PER_TURN,
            down: BYTES_PER_TURN,
        };
        let has_written = Cell::new(false);
        if let Poll::Ready(end) = self.poll_directions(cx, &mut turns, &has_written) {
            return Poll::Ready(end);
        }
        if turns.up == 0 || turns.down == 0 {
            cx.waker().wake_by_ref();
        }
        // A slow reader may empty a pipe for minutes before anything is read again.
        let has_moved = has_written.get() || turns.up < BYTES_PER_TURN || turns.down < BYTES_PER_TURN;
        let allowed = self.allowed_silence();
        if allowed < allowed_before || (has_moved && !self.is_lingering()) {
            self.last_moved = Instant::now();
        }
        // The timer is set again only when it fires, or when it would fire too late: a tunnel at rest that moves again is looked at.
        let mut latest = self.last_moved + allowed;
        if has_moved && !self.is_watched {
            self.is_watched = true;
            latest = latest.min(Instant::now() + self.look_after());
        }
        if silence.deadline() > latest {
            silence.as_mut().reset(latest);
        }
        if self.up.is_bulk() {
            self.tune();
        }
        while silence.as_mut().poll(cx).is_ready() {
            self.tune();
            let (now, due) = (Instant::now(), self.last_moved + allowed);
            if due <= now {
                return Poll::Ready(if self.is_lingering() { End::Finished } else { End::Idle });
            }
            match self.presence() {
                Presence::Vanished => return Poll::Ready(End::Vanished),
                Presence::Awaited => self.is_watched = true,
                Presence::Settled => self.is_watched = self.last_moved + self.look_after() > now,
            }
            let next = if self.is_watched { now + self.look_after() } else { due };
            silence.as_mut().reset(next.min(due));
        }
        Poll::Pending
    }

    /// Sets what a connection to an origin should have, as the listener's sockets have it for clients. That is five system calls,
    /// and most tunnels end before any of it could matter.
    fn tune(&mut self) {
        if !std::mem::replace(&mut self.is_tuned, true) {
            // Each of these is a refinement; a connection that does not have it works all the same.
            let socket = socket2::SockRef::from(self.origin.socket());
            let _ = crate::listener::tune(&socket, self.open.shared.config.peer_timeout);
        }
    }

    /// Moves what can be moved both ways. Ready when nothing more will ever move.
    fn poll_directions(&mut self, cx: &mut TaskContext<'_>, turns: &mut Turns, has_written: &Cell<bool>) -> Poll<End> {
        let Self {
            client,
            origin,
            open: OpenTunnel { shared, route },
            ..
        } = self;
        let speed = &route.quota.speed;
        let allowed = Allowed {
            speed,
            turn: &mut turns.up,
            is_last: self.down.has_finished(),
        };
        let up = self.up.poll(cx, client, origin, shared, allowed, |bytes| {
            has_written.set(true);
            route.meter.add_up(bytes);
        });
        let allowed = Allowed {
            speed,
            turn: &mut turns.down,
            is_last: self.up.has_finished(),
        };
        let down = self.down.poll(cx, origin, client, shared, allowed, |bytes| {
            has_written.set(true);
            route.meter.add_down(bytes);
        });
        match (up, down) {
            (Poll::Ready(Err(Broken)), _) | (_, Poll::Ready(Err(Broken))) => Poll::Ready(End::Reset),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(End::Finished),
            _ => Poll::Pending,
        }
    }

    /// How the side stands that stands worse.
    fn presence(&self) -> Presence {
        let limit = self.open.shared.config.peer_timeout;
        Side::presence(&self.client, limit).max(self.origin.presence(limit))
    }

    fn look_after(&self) -> Duration {
        self.open.shared.config.peer_timeout / LOOKS
    }

    /// Whether only the client is left, and what it sends has nowhere to go.
    fn is_lingering(&self) -> bool {
        self.down.has_finished() && self.up.is_discarding()
    }

    fn allowed_silence(&self) -> Duration {
        let idle = self.open.shared.config.idle_timeout;
        if self.is_lingering() {
            LINGER.min(idle)
        } else if self.up.has_finished() || self.down.has_finished() {
            HALF_CLOSED_SILENCE.min(idle)
        } else {
            idle
        }
    }
}

/// How much each direction may still move before others have their turn.
struct Turns {
    up: usize,
    down: usize,
}
