//! Moving bytes between a customer and an origin: metered, half-closing, holding no buffer while nothing moves.

mod buffers;

use bytes::Bytes;
use tokio::net::TcpStream;

pub(crate) use buffers::{Buffer, Buffers};

use crate::exit::Dialed;
use crate::session::Context;

/// Why a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides have finished.
    Finished,
    /// One side broke the connection.
    Reset,
    /// Nothing moved for the idle timeout.
    Idle,
    /// The route was cut, the exit's lease ended, or the gateway stops.
    Cut,
}

/// Relays until both sides have finished, in a task of its own: it returns at once, and the session ends by returning
/// too, so that nothing of its handshake stays in memory.
///
/// `from_client` is what the client sent behind its request already (it has not been metered yet), `dialed.early` the
/// same for the other side; `answer` is written to the client before anything else and is not metered (a handshake's
/// success reply, so that it shares a segment with the first data).
pub(crate) fn tunnel(context: &Context, client: TcpStream, from_client: Bytes, answer: &[u8], dialed: Dialed) {
    unimplemented!("{:?}", (context.peer, client, from_client, answer, dialed))
}
