//! The story of one connection, from accept to end: sniff, authenticate, dial, relay.

mod http;
mod socks;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::net::TcpStream;

use crate::gateway::GatewayConfig;
use crate::route::ActiveRoute;

/// What every step of a session may need besides the connection itself.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) config: Arc<GatewayConfig>,
    pub(crate) route: Arc<ActiveRoute>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    // helper G1 adds: buffer pool, pipes, tunnel gauge, refusal counters
}

/// A client's connection and what has been read of it but not yet consumed.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: BytesMut,
    /// When a complete request must have arrived.
    pub(crate) deadline: tokio::time::Instant,
}
