//! The story of one connection, from accept to end: sniff, authenticate, dial, relay.
//!
//! A connection starts as a small task that waits for its first bytes and owns no buffer. The sniffer says which
//! protocol they are, and that protocol's session ([`http`], [`socks`]) takes over with what has been read. Where it
//! succeeds it hands both sockets to [`crate::relay::tunnel`], which goes on in a task of its own, so that nothing of
//! the handshake is kept while bytes are relayed.

pub(crate) mod admission;
mod http;
mod socks;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::gateway::{GatewayConfig, Shared};
use crate::route::ActiveRoute;
use admission::Visitor;

/// What every step of a session may need besides the connection itself.
///
/// A session runs under `route.cut`: where the route is cut, its task is dropped at the next await. It need not watch
/// the token itself.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) config: Arc<GatewayConfig>,
    /// What all connections of the gateway share: `shared.buffers` is the pool to read into.
    pub(crate) shared: Arc<Shared>,
    pub(crate) route: Arc<ActiveRoute>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) accepted: Instant,
    /// Cancelled when the port closes or the gateway drains: a connection that waits between two requests ends.
    pub(crate) closing: CancellationToken,
    /// The datagrams' side of the same port.
    pub(crate) udp: Arc<crate::udp::Port>,
    visitor: Arc<Visitor>,
}

/// A client's connection and what has been read of it but not yet consumed.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: BytesMut,
    /// When a complete request must have arrived.
    pub(crate) deadline: Instant,
}

/// What to do with a pair of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// They are the subscription's.
    Good,
    /// They are not: answer so in the protocol's words.
    Bad,
    /// They are not, and nothing may be answered (too many bad ones from this source, or the gateway is stealthy):
    /// hand the socket to [`Context::fall_silent`].
    Silent,
}

impl Context {
    /// Judges credentials. Good ones always work; bad ones are counted per source and port, and past ten in a minute
    /// they are not answered any more.
    pub(crate) fn login(&self, username: &[u8], password: &[u8]) -> Login {
        if self.route.authenticates(username, password) {
            self.visitor.prove();
            return Login::Good;
        }
        self.refused("credentials");
        let over = self.visitor.note_bad_credentials(self.local.port());
        if over || self.config.stealth { Login::Silent } else { Login::Bad }
    }

    /// Counts a refusal: `credentials`, `unknown_protocol`, `destination`, `request`, `busy`, `exit`, `dial`.
    pub(crate) fn refused(&self, reason: &'static str) {
        metrics::counter!("turnpike_refusals_total", "reason" => reason).increment(1);
    }

    /// Answers nothing: reads and discards until the time at which every silent connection ends, then finishes.
    ///
    /// A prober learns neither how many bytes were looked at nor which protocol came nearest.
    pub(crate) async fn fall_silent(&self, stream: TcpStream) {
        let _ = stream;
        unimplemented!()
    }
}
