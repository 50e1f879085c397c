//! Bytes through a tunnel that may break, for tests that go on when it does. [`crate::client::Tunnel`] opens them.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

/// Sends `bytes` through a tunnel to an echoing origin and reads them back.
///
/// # Errors
/// When the tunnel breaks, or other bytes come back.
pub fn echoes(mut tunnel: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    // In pieces that fit into sockets' buffers, since nobody reads while we write.
    for sent in bytes.chunks(16 * 1024) {
        tunnel.write_all(sent)?;
        let mut came = vec![0; sent.len()];
        tunnel.read_exact(&mut came)?;
        if came != sent {
            return Err(io::Error::other("other bytes came back than were sent"));
        }
    }
    Ok(())
}
