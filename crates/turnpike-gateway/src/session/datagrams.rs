//! Datagrams inside a stream, which carries nothing else: VLESS command 2, with or without packetaddr, and UDP over TCP.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout_at};
use turnpike_wire::Parse;
use turnpike_wire::address::{Destination, Host};
use turnpike_wire::packetaddr;
use turnpike_wire::udp_over_tcp::{self, Request};

use super::Context;
use super::downlink::Downlink;
use super::peer::{self, Peer};
use crate::exit::DialError;
use crate::refusals::Reason;
use crate::udp::{Association, Customer, Datagram};

/// Without a datagram either way the stream ends (RFC 4787 REQ-5).
const IDLE: Duration = Duration::from_secs(300);

/// How much is read at a time.
const READ: usize = 16 * 1024;

/// How datagrams stand in their stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Behind their length. All go to one destination, and nobody else is heard: an answer does not say whose it is.
    OneDestination(SocketAddr),
    /// Behind their length, an address first.
    PacketAddr,
    /// Behind their address and their length.
    UdpOverTcp,
}

impl Framing {
    /// For datagrams that have no address of their own.
    pub(super) async fn towards(context: &Context, destination: &Destination) -> Result<Self, DialError> {
        let to = context.route.exit.resolve_udp(destination).await?;
        Ok(Self::OneDestination(to))
    }

    /// Takes the next datagram from the front of what has arrived, with its destination; an empty destination where it goes
    /// nowhere. `Need` where it is not whole yet.
    fn read<'b>(&self, bytes: &'b [u8]) -> Parse<(Option<Destination>, &'b [u8]), ()> {
        if *self == Self::UdpOverTcp {
            return match udp_over_tcp::datagram(bytes) {
                Parse::Done(datagram, used) => Parse::Done((datagram.to, datagram.data), used),
                Parse::Need(needed) => Parse::Need(needed),
                Parse::Refuse(_) => Parse::Refuse(()),
            };
        }
        let Some((length, rest)) = bytes.split_first_chunk() else {
            return Parse::Need(2);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        let Some(content) = rest.get(..length) else {
            return Parse::Need(2 + length);
        };
        let read = match self {
            Self::OneDestination(to) => {
                let to = Destination::new(Host::from(to.ip()), to.port());
                (to, content)
            }
            _ => match packetaddr::datagram(content) {
                Some((to, data)) => (Some(to), data),
                None => (None, content),
            },
        };
        Parse::Done(read, 2 + length)
    }

    /// The header of a reply. Absent where it is not to be passed on.
    fn header(&self, source: SocketAddr, length: usize) -> Option<Vec<u8>> {
        match self {
            Self::OneDestination(to) => {
                let length = u16::try_from(length).ok().filter(|_| source == *to)?;
                Some(length.to_be_bytes().to_vec())
            }
            Self::PacketAddr => {
                let address = packetaddr::header(source);
                let length = u16::try_from(address.len() + length).ok()?;
                Some([&length.to_be_bytes()[..], &address].concat())
            }
            Self::UdpOverTcp => Some(udp_over_tcp::header(source, u16::try_from(length).ok()?)),
        }
    }
}

/// Serves a stream in a task of its own, so that nothing of the handshake stays. `answer` precedes everything else.
pub(super) fn serve(context: &Context, client: Peer, answer: &[u8], framing: Framing) {
    let downlink = Downlink::new(client.stream, context);
    let stream = Stream {
        downlink,
        pending: client.pending,
        framing,
        context: context.clone(),
    };
    spawn(context, stream.run(answer.to_vec()));
}

/// The same for version 2 of UDP over TCP, where a request says how datagrams will stand.
pub(super) fn serve_request(context: &Context, client: Peer, answer: &[u8]) {
    let downlink = Downlink::new(client.stream, context);
    downlink.put(answer);
    spawn(context, ask(context.clone(), downlink, client.pending));
}

fn spawn(context: &Context, work: impl Future<Output = ()> + Send + 'static) {
    let cut = context.route.cut.clone();
    context.shared.spawn(cut.run_until_cancelled_owned(work).map(drop));
}

async fn ask(context: Context, downlink: Arc<Downlink>, mut pending: BytesMut) {
    let deadline = Instant::now() + context.config.handshake_timeout;
    let request = tokio::select! {
        request = timeout_at(deadline, read_request(&downlink, &mut pending)) => request,
        // Its answer has to leave meanwhile.
        () = downlink.run() => return,
    };
    let framing = match request {
        Ok(Some(Request::Associate)) => Ok(Framing::UdpOverTcp),
        Ok(Some(Request::Connect(destination))) => Framing::towards(&context, &destination).await,
        _ => {
            context.refused(Reason::Malformed);
            return peer::finish(downlink.stream()).await;
        }
    };
    match framing {
        Ok(framing) => {
            let stream = Stream {
                downlink,
                pending,
                framing,
                context,
            };
            stream.run(Vec::new()).await;
        }
        Err(error) => {
            context.dial_failed(&error);
            peer::finish(downlink.stream()).await;
        }
    }
}

async fn read_request(downlink: &Downlink, pending: &mut BytesMut) -> Option<Request> {
    loop {
        match udp_over_tcp::request(pending) {
            Parse::Done(request, used) => {
                pending.advance(used);
                return Some(request);
            }
            Parse::Refuse(_) => return None,
            Parse::Need(_) => {}
        }
        if !matches!(peer::read_more(downlink.stream(), pending).await, Ok(1..)) {
            return None;
        }
    }
}

/// Takes replies to the stream.
struct Replies {
    framing: Framing,
    downlink: Weak<Downlink>,
}

impl Customer for Replies {
    fn deliver(&self, source: SocketAddr, mut datagram: Datagram<'_>) -> bool {
        let header = self.framing.header(source, datagram.payload().len());
        let Some((header, downlink)) = header.zip(self.downlink.upgrade()) else {
            return false;
        };
        downlink.put_datagram(datagram.behind(&header))
    }
}

struct Stream {
    downlink: Arc<Downlink>,
    pending: BytesMut,
    framing: Framing,
    /// Also holds the connection's place in the books.
    context: Context,
}

impl Stream {
    /// Serves the stream until either side ends it.
    async fn run(mut self, answer: Vec<u8>) {
        let downlink = Arc::clone(&self.downlink);
        let Some(association) = self.open().await else {
            return peer::finish(downlink.stream()).await;
        };
        downlink.put(&answer);
        let closing = self.context.closing.clone();
        tokio::select! {
            biased;
            () = association.ended() => {}
            () = closing.cancelled() => {}
            () = downlink.run() => {}
            () = self.send_all(&association) => {}
        }
        association.close();
    }

    /// Absent where there are too many, or the exit does not get out with datagrams.
    async fn open(&self) -> Option<Arc<Association>> {
        let context = &self.context;
        let customer = Box::new(Replies {
            framing: self.framing,
            downlink: Arc::downgrade(&self.downlink),
        });
        let Some(association) = context
            .udp
            .open(&context.shared, &context.route, context.caller(), customer)
        else {
            context.refused(Reason::TooManyAssociations);
            return None;
        };
        if let Err(error) = association.open_way().await {
            context.dial_failed(&error);
            association.close();
            return None;
        }
        Some(association)
    }

    /// Sends what arrives, until nothing more does or it is none of what should.
    async fn send_all(&mut self, association: &Arc<Association>) {
        let idle = tokio::time::sleep(IDLE);
        tokio::pin!(idle);
        let mut last = Instant::now();
        loop {
            if self.send_whole(association).is_none() {
                return self.context.refused(Reason::DatagramFrame);
            }
            tokio::select! {
                read = peer::read_up_to(READ, self.downlink.stream(), &mut self.pending) => {
                    match read {
                        Ok(1..) => {}
                        Ok(0) if !self.pending.is_empty() => return self.context.refused(Reason::CutOff),
                        Ok(0) | Err(_) => return,
                    }
                    last = Instant::now();
                }
                () = &mut idle => {
                    let due = last.max(self.downlink.last_datagram()) + IDLE;
                    if due <= Instant::now() {
                        return;
                    }
                    idle.as_mut().reset(due);
                }
            }
        }
    }

    /// Sends what has arrived whole. Absent where it is none of what should.
    fn send_whole(&mut self, association: &Arc<Association>) -> Option<()> {
        loop {
            match self.framing.read(&self.pending) {
                Parse::Done((to, data), used) => {
                    if let Some(to) = to.filter(|_| !data.is_empty()) {
                        association.send(&to, data);
                    }
                    self.pending.advance(used);
                }
                Parse::Need(_) => return Some(()),
                Parse::Refuse(()) => return None,
            }
        }
    }
}
