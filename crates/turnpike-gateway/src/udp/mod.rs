//! UDP of SOCKS5 associations, on the subscription's own port number (RFC 1928 §7).

use std::sync::Arc;

use tokio::net::UdpSocket;

/// The datagrams' side of one subscription's port: its open associations. It is made when the port opens and is shared
/// by the port's connections as `Context::udp`.
pub(crate) struct Port {}

impl Port {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {})
    }

    /// Serves the socket that is bound to one of the gateway's addresses, until the listener drops this future.
    /// Called once per address of `GatewayConfig::bind`, each in its own task.
    pub(crate) async fn serve(self: Arc<Self>, socket: UdpSocket) {
        // No association can be opened yet: the system drops what arrives once its small buffer is full.
        std::future::pending::<()>().await;
        drop(socket);
    }
}
