//! A raw tunnel through a subscription's port, for tests that count its bytes or hold it open.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::turnpike::Subscription;

/// Nothing takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

impl Subscription {
    /// Opens a tunnel to `target` by CONNECT; what is written to it arrives there.
    ///
    /// # Errors
    /// When the port cannot be reached or does not open the tunnel.
    pub fn tunnel(&self, target: SocketAddr) -> io::Result<TcpStream> {
        self.tunnel_over(TcpStream::connect_timeout(&self.port, PATIENCE)?, target)
    }

    /// The same over a connection to the port that is open already.
    ///
    /// # Errors
    /// When the port does not open the tunnel.
    pub fn tunnel_over(&self, mut connection: TcpStream, target: SocketAddr) -> io::Result<TcpStream> {
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        let authorization = self.basic();
        connection.write_all(
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {authorization}\r\n\r\n")
                .as_bytes(),
        )?;
        // Byte by byte: what follows the head is the tunnel's.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let head = String::from_utf8_lossy(&head);
        match head.split(' ').nth(1) {
            Some("200") => Ok(connection),
            _ => Err(io::Error::other(head.into_owned())),
        }
    }
}

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
