//! Many streams and datagrams in one stream: mux.cool, and XUDP, which is the same with one session of datagrams.
//!
//! One task reads the client's frames and hands their data to the sessions; what they answer goes down by a [`Downlink`]. A
//! stream inside is a tunnel as any other, with its own task, of which the client's side is a [`Stream`]. Datagrams go by an
//! association for each session, held by an [`Endpoint`].
//!
//! There is no flow control in this protocol. A stream whose origin does not keep up fills its queue, and then the whole
//! connection is read no further until there is room: memory has a bound, at the cost of its neighbours' time.

mod endpoint;
mod stream;
mod uplink;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use turnpike_wire::Parse;
use turnpike_wire::address::Destination;
use turnpike_wire::mux::{self, Frame, Kind, Network, New, Toward};

use super::Context;
use super::downlink::Downlink;
use super::peer::{self, Peer};
use crate::refusals::Reason;
pub(crate) use endpoint::GlobalIds;
use endpoint::{Endpoint, Line};
use stream::{Seat, Stream};
use uplink::{Stage, Uplink};

/// Sessions of one connection at a time.
const SESSIONS: u32 = 1_024;

/// Without a session and without a frame the connection ends; a session of datagrams ends without a datagram either way.
const IDLE: Duration = Duration::from_secs(300);

/// How often is looked at what is idle.
const SWEEP: Duration = Duration::from_secs(30);

/// How much is read at a time.
const READ: usize = 16 * 1024;

/// Serves a connection in a task of its own. `answer` precedes everything else.
pub(super) fn serve(context: &Context, client: Peer, answer: &[u8]) {
    let Peer { stream, pending } = client;
    let downlink = Downlink::new(stream, context);
    downlink.put(answer);
    context.shared.spawn(run(context.clone(), downlink, pending));
}

async fn run(context: Context, downlink: Arc<Downlink>, pending: BytesMut) {
    let cut = context.route.cut.clone();
    let sessions = Sessions::new(context, Arc::clone(&downlink));
    let served = async {
        tokio::select! {
            () = downlink.run() => {}
            () = sessions.serve(pending) => {}
        }
        // The streams may have been quicker to see that the route is cut, and their end looks like any other.
        if !cut.is_cancelled() {
            peer::finish(downlink.stream()).await;
        }
    };
    let _ = cut.run_until_cancelled(served).await;
    if cut.is_cancelled() {
        // As for any tunnel: an orderly end would make what is cut look whole.
        let _ = downlink.stream().set_zero_linger();
    }
}

/// A connection's sessions.
struct Sessions {
    context: Context,
    downlink: Arc<Downlink>,
    open: HashMap<u16, Session>,
    /// Taken by each stream until it has ended on both sides.
    places: Arc<Semaphore>,
    /// Whether one of the streams has this connection's place among the subscription's.
    has_seated: Arc<AtomicBool>,
    last_busy: Instant,
}

/// What a session carries. Dropping it ends it without a word to the client.
enum Session {
    Stream(StreamSession),
    Datagrams(DatagramSession),
}

struct StreamSession(Arc<Uplink>);

struct DatagramSession {
    line: Arc<Line>,
    endpoint: Arc<Endpoint>,
    /// Where a datagram goes that does not say it itself.
    to: Destination,
}

impl Sessions {
    fn new(context: Context, downlink: Arc<Downlink>) -> Self {
        Self {
            context,
            downlink,
            open: HashMap::new(),
            places: Arc::new(Semaphore::new(SESSIONS as usize)),
            has_seated: Arc::default(),
            last_busy: Instant::now(),
        }
    }

    /// Serves the client's frames until it has no more, or says what is none, or is idle.
    async fn serve(mut self, mut pending: BytesMut) {
        let downlink = Arc::clone(&self.downlink);
        let mut sweeps = tokio::time::interval_at(Instant::now() + SWEEP, SWEEP);
        let (closing, places) = (self.context.closing.clone(), Arc::clone(&self.places));
        let closed = async {
            closing.cancelled().await;
            // What is under way may end by itself.
            let _ = places.acquire_many(SESSIONS).await;
        };
        tokio::pin!(closed);
        loop {
            loop {
                match mux::frame(&pending) {
                    Parse::Done(frame, used) => {
                        self.take(frame).await;
                        pending.advance(used);
                    }
                    Parse::Refuse(_) => return self.context.refused(Reason::MuxFrame),
                    Parse::Need(_) => break,
                }
            }
            tokio::select! {
                biased;
                _ = sweeps.tick() => {
                    if self.sweep() {
                        return;
                    }
                }
                () = &mut closed => return,
                read = peer::read_up_to(READ, downlink.stream(), &mut pending) => {
                    match read {
                        Ok(1..) => {}
                        Ok(0) if !pending.is_empty() => return self.context.refused(Reason::CutOff),
                        Ok(0) | Err(_) => return,
                    }
                }
            }
        }
    }

    async fn take(&mut self, frame: Frame<'_>) {
        // A client that does not read the answers is not heard either.
        self.downlink.room().await;
        self.last_busy = Instant::now();
        let data = frame.data.unwrap_or_default();
        match frame.kind {
            Kind::New(new) => self.open(frame.session, new, data).await,
            Kind::Keep(toward) => self.keep(frame.session, toward, data).await,
            Kind::End { has_failed } => {
                if let Some(Session::Stream(stream)) = self.open.remove(&frame.session)
                    && !has_failed
                {
                    stream.0.end();
                }
            }
            Kind::KeepAlive => {}
        }
    }

    /// Begins a session. One of the same number before it is over with that.
    async fn open(&mut self, number: u16, new: Option<New>, data: &[u8]) {
        self.open.remove(&number);
        let begun = match new {
            None => Err(Reason::MuxFrame),
            Some(_) if self.context.closing.is_cancelled() => Err(Reason::Closing),
            Some(new) => self.begin(number, new),
        };
        match begun {
            Ok(session) => {
                self.open.insert(number, session);
                self.keep(number, Toward::Session, data).await;
            }
            Err(reason) => {
                self.context.refused(reason);
                self.downlink.put(&mux::end(number, true));
            }
        }
    }

    fn begin(&mut self, number: u16, new: New) -> Result<Session, Reason> {
        if self.open.len() >= SESSIONS as usize {
            // Those whose end the client has not confirmed.
            self.open.retain(|_, session| session.is_live());
        }
        let datagrams = |session: &&Session| matches!(session, Session::Datagrams(_));
        if self.places.available_permits() <= self.open.values().filter(datagrams).count() {
            return Err(Reason::TooManyInside);
        }
        match new.network {
            Network::Tcp => self.begin_stream(number, new.to),
            Network::Udp => {
                if let Some(refusal) = self.context.route.exit.udp_refusal() {
                    return Err(Reason::of_dial(&refusal).unwrap_or(Reason::NoUdp));
                }
                let line = Line::new(number, &self.downlink);
                let endpoint =
                    Endpoint::open(&self.context, new.global_id, &line).ok_or(Reason::TooManyAssociations)?;
                Ok(Session::Datagrams(DatagramSession {
                    line,
                    endpoint,
                    to: new.to,
                }))
            }
        }
    }

    fn begin_stream(&self, number: u16, to: Destination) -> Result<Session, Reason> {
        let seat = Seat::take(&self.has_seated, &self.context.route.quota).map_err(Reason::Limit)?;
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Reason::TooManyInside)?;
        let descriptor = self.context.shared.descriptors.take(1).ok_or(Reason::TooManyInside)?;
        let uplink = Arc::new(Uplink::new(self.context.shared.buffers.clone()));
        let stream = Stream::new(number, &uplink, &self.downlink, seat, place, descriptor);
        self.context.shared.spawn(stream.dial(self.context.clone(), to));
        Ok(Session::Stream(StreamSession(uplink)))
    }

    /// Hands data over to its session.
    async fn keep(&mut self, number: u16, toward: Toward, data: &[u8]) {
        match self.open.get(&number).filter(|session| session.is_live()) {
            Some(Session::Stream(StreamSession(uplink))) => {
                uplink.put(data);
                uplink.room().await;
            }
            Some(Session::Datagrams(session)) => session.send(&toward, data),
            None => {
                self.open.remove(&number);
                self.downlink.put(&mux::end(number, false));
            }
        }
    }

    /// Ends sessions that are idle. Whether the connection is.
    fn sweep(&mut self) -> bool {
        self.open.retain(|_, session| {
            let is_idle = session.is_idle();
            if is_idle && let Session::Datagrams(session) = session {
                session.line.end(false);
            }
            session.is_live() && !is_idle
        });
        if !self.open.is_empty() {
            self.last_busy = Instant::now();
        }
        self.last_busy.elapsed() >= IDLE
    }
}

impl Session {
    /// Whether it goes on on our side.
    fn is_live(&self) -> bool {
        match self {
            Self::Stream(StreamSession(uplink)) => uplink.stage() != Stage::Over,
            Self::Datagrams(session) => session.endpoint.is_held_by(&session.line),
        }
    }

    /// Streams have a time of their own.
    fn is_idle(&self) -> bool {
        match self {
            Self::Stream(_) => false,
            Self::Datagrams(session) => session.line.last_used().elapsed() >= IDLE,
        }
    }
}

impl DatagramSession {
    fn send(&self, toward: &Toward, data: &[u8]) {
        let to = match toward {
            Toward::Session => &self.to,
            Toward::Address(to) => to,
            Toward::Nowhere => return,
        };
        if !data.is_empty() {
            self.line.used();
            self.endpoint.send(to, data);
        }
    }
}

impl Drop for StreamSession {
    /// Without effect where the client has ended it.
    fn drop(&mut self) {
        self.0.break_off();
    }
}

impl Drop for DatagramSession {
    fn drop(&mut self) {
        self.endpoint.release(&self.line);
    }
}
