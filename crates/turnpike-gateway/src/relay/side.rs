//! One end of a tunnel, as the relay uses it.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::stream::{InPlace, Presence, Stream};

/// A connection, or one of several streams inside one.
///
/// A write that would block is made again with the same bytes, as [`Stream::try_write`] wants it.
pub(crate) trait Side: Send + Sync + 'static {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// How many bytes are there to be read, as far as that is known without reading them.
    fn waiting(&self) -> usize;

    /// Reads text. 0 is its end.
    fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>>;

    fn poll_write(&self, cx: &mut Context<'_>, text: &[u8]) -> Poll<io::Result<usize>>;

    /// Says that nothing more will be written.
    fn poll_half_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// How the other side stands, as [`Stream::presence`] says.
    fn presence(&self, limit: Duration) -> Presence;

    /// Makes the end, when it comes, one that nobody takes for the end of the data.
    fn break_off(&self);

    /// The socket, where the text goes over it as it is: what can be spliced.
    fn plain(&self) -> Option<&TcpStream>;

    /// Itself, where its text can be opened and sealed in place.
    fn sealed_in_place(&self) -> Option<InPlace<'_>> {
        None
    }
}

impl Side for Stream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn waiting(&self) -> usize {
        self.waiting()
    }

    fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read(cx, room)
    }

    fn poll_write(&self, cx: &mut Context<'_>, text: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write(cx, text)
    }

    fn poll_half_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_half_close(cx)
    }

    fn presence(&self, limit: Duration) -> Presence {
        self.presence(limit)
    }

    fn break_off(&self) {
        // Where it fails the connection is broken already.
        let _ = self.set_zero_linger();
    }

    fn plain(&self) -> Option<&TcpStream> {
        self.plain()
    }

    fn sealed_in_place(&self) -> Option<InPlace<'_>> {
        self.sealed_in_place()
    }
}
