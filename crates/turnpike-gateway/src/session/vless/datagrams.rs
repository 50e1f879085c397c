//! Datagrams to one destination inside the stream, each behind its length (VLESS command 2).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use turnpike_wire::address::{Destination, Host};
use turnpike_wire::vless;

use crate::session::peer::Peer;
use crate::session::{Client, Context};
use crate::udp::{Association, Customer, Datagram};

/// Replies that wait for a slow client; what comes beyond them is dropped.
const QUEUE: usize = 64;

/// Without a datagram either way the stream ends (RFC 4787 REQ-5).
const IDLE: Duration = Duration::from_secs(300);

/// As many replies as fit go out with one write.
const WRITE: usize = 16 * 1024;

/// Serves the stream until either side ends it.
pub(super) async fn serve(context: Context, client: Client, destination: Destination) {
    let to = match context.route.exit.resolve_udp(&destination).await {
        Ok(to) => to,
        Err(error) => {
            context.dial_failed(&error);
            return Peer::from(client).finish().await;
        }
    };
    let (sender, replies) = mpsc::channel(QUEUE);
    let customer = Box::new(Replies { from: to, sender });
    let Some(association) = context.udp.open(&context.shared, &context.route, customer) else {
        context.refused("busy");
        return Peer::from(client).finish().await;
    };
    if let Err(error) = association.open_way().await {
        context.dial_failed(&error);
        return Peer::from(client).finish().await;
    }
    let stream = Stream {
        client: client.into(),
        to: Destination {
            host: Host::from(to.ip()),
            port: to.port(),
        },
        association,
        _context: context.clone(),
    };
    // In a task of its own, so that nothing of the handshake stays.
    context.shared.spawn(stream.run(replies));
}

/// Takes replies to the stream. They carry no address, so only those of the destination asked for are of use.
struct Replies {
    from: SocketAddr,
    sender: mpsc::Sender<Vec<u8>>,
}

impl Customer for Replies {
    fn deliver(&self, source: SocketAddr, datagram: Datagram<'_>) -> bool {
        source == self.from && self.sender.try_send(datagram.payload().to_vec()).is_ok()
    }
}

struct Stream {
    client: Peer,
    to: Destination,
    association: Arc<Association>,
    /// Holds the connection's place in the books.
    _context: Context,
}

impl Stream {
    async fn run(mut self, mut replies: mpsc::Receiver<Vec<u8>>) {
        // It must precede everything else.
        let mut outgoing = vless::RESPONSE.to_vec();
        loop {
            self.send_all();
            let idle = Instant::now() + IDLE;
            tokio::select! {
                () = self.association.ended() => break,
                read = self.client.read_more() => {
                    if !matches!(read, Ok(1..)) {
                        break;
                    }
                }
                Some(reply) = replies.recv() => {
                    put(&mut outgoing, &reply);
                    while outgoing.len() < WRITE && let Ok(reply) = replies.try_recv() {
                        put(&mut outgoing, &reply);
                    }
                    // A client that reads nothing does not outlive its association.
                    tokio::select! {
                        biased;
                        () = self.association.ended() => break,
                        written = timeout(IDLE, self.client.write(&outgoing)) => {
                            if !matches!(written, Ok(Ok(()))) {
                                break;
                            }
                        }
                    }
                    outgoing = Vec::new();
                }
                () = tokio::time::sleep_until(idle) => break,
            }
        }
        self.association.close();
    }

    /// Sends what has arrived whole.
    fn send_all(&mut self) {
        while let Some(datagram) = take(&mut self.client.pending) {
            if !datagram.is_empty() {
                self.association.send(&self.to, &datagram);
            }
        }
    }
}

/// The next datagram, behind its length.
fn take(pending: &mut BytesMut) -> Option<BytesMut> {
    let length = usize::from(u16::from_be_bytes(*pending.first_chunk::<2>()?));
    if pending.len() < 2 + length {
        return None;
    }
    pending.advance(2);
    Some(pending.split_to(length))
}

/// A datagram that is too long for its length's field cannot have been received.
fn put(outgoing: &mut Vec<u8>, datagram: &[u8]) {
    if let Ok(length) = u16::try_from(datagram.len()) {
        outgoing.extend(length.to_be_bytes());
        outgoing.extend_from_slice(datagram);
    }
}
