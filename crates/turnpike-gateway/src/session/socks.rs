//! SOCKS4, SOCKS4a and SOCKS5 sessions (RFC 1928, 1929).

use tokio::io::AsyncWriteExt as _;
use turnpike_wire::{socks4, socks5};

use super::{Client, Context};

/// Refuses the connection: none of the ways of login is served yet.
pub(crate) async fn serve_socks5(context: Context, mut client: Client) {
    context.refused("request");
    let _ = client.stream.write_all(&socks5::NONE_ACCEPTABLE).await;
}

/// Refuses the connection: the protocol is not served yet.
pub(crate) async fn serve_socks4(context: Context, mut client: Client) {
    context.refused("request");
    let _ = client.stream.write_all(&socks4::REJECTED).await;
}
