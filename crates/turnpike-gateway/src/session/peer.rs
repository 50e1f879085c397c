//! One end of a connection: a socket, and what has been read of it but not yet used.

use std::io;
use std::time::Duration;

use bytes::BytesMut;

use super::Client;
use crate::stream::Stream;

/// How much room a head is read into at a time; most heads fit.
const HEAD_ROOM: usize = 4 * 1024;

/// How long a closed connection is read on, so that the client gets our last words: closing with unread data would
/// send RST, which destroys what is on its way (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) stream: Stream,
    pub(super) pending: BytesMut,
}

impl From<Client> for Peer {
    fn from(client: Client) -> Self {
        Self {
            stream: client.stream,
            pending: client.buffer,
        }
    }
}

impl Peer {
    pub(super) async fn read_more(&mut self) -> io::Result<usize> {
        read_more(&self.stream, &mut self.pending).await
    }

    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        write(&self.stream, bytes, |_| {}).await
    }

    /// Closes so that what was written arrives.
    pub(super) async fn finish(self) {
        finish(&self.stream).await;
    }
}

/// Says that nothing more will be written, and reads on for a while, so that what was written arrives.
pub(super) async fn finish(stream: &Stream) {
    let drained = async {
        if half_close(stream).await.is_err() {
            return;
        }
        let mut forgotten = [0; 512];
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut forgotten) {
                Ok(1..) => tokio::task::coop::consume_budget().await,
                Err(error) if is_transient(&error) => {}
                Ok(0) | Err(_) => break,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, drained).await;
}

/// Waits for more and adds it to `pending`; no room is kept while nothing is there. 0 is the end.
pub(super) async fn read_more(stream: &Stream, pending: &mut BytesMut) -> io::Result<usize> {
    read_up_to(HEAD_ROOM, stream, pending).await
}

/// As [`read_more`], at most `room` at a time.
pub(super) async fn read_up_to(room: usize, stream: &Stream, pending: &mut BytesMut) -> io::Result<usize> {
    loop {
        release_if_empty(pending);
        stream.readable().await?;
        pending.reserve(room);
        match stream.try_read_buf(pending) {
            Err(error) if is_transient(&error) => {}
            read => return read,
        }
    }
}

/// An empty buffer may still own the room that it was read into.
pub(super) fn release_if_empty(pending: &mut BytesMut) {
    if pending.is_empty() {
        *pending = BytesMut::new();
    }
}

/// Writes all of `bytes`, telling `moved` of each portion as it leaves.
pub(super) async fn write(stream: &Stream, mut bytes: &[u8], moved: impl Fn(usize)) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                moved(count);
                bytes = bytes.get(count..).unwrap_or_default();
            }
            Err(error) if is_transient(&error) => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Says that nothing more will be written.
pub(super) async fn half_close(stream: &Stream) -> io::Result<()> {
    stream.half_close().await
}

/// Whether the other side has closed, or has said something that nobody asked for. Never on a healthy idle connection.
pub(super) async fn ended_or_spoke(stream: &Stream) {
    loop {
        // Readiness may be left over from the last read: only an actual read tells.
        match stream.try_read(&mut [0]) {
            Err(error) if is_transient(&error) => {}
            _ => return,
        }
        if stream.readable().await.is_err() {
            return;
        }
    }
}

pub(super) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
