//! Moving bytes between a customer and an origin: metered, half-closing, holding no buffer while nothing moves.

use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::exit::Dialed;
use crate::route::ActiveRoute;

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

/// Relays until both sides have finished. `from_client` is what the client sent behind its request already (it has
/// not been metered yet), `dialed.early` the same for the other side; `answer` is written to the client before
/// anything else and is not metered (a handshake's success reply, so that it shares a segment with the first data).
pub(crate) async fn tunnel(
    context: &crate::session::Context,
    client: TcpStream,
    from_client: Bytes,
    answer: &[u8],
    dialed: Dialed,
) -> End {
    let _: &Arc<ActiveRoute> = &context.route;
    unimplemented!("helper G1: {:?}", (client, from_client, answer, dialed))
}
