//! A connection as sessions and the relay see it: its text, whether that is sealed on the wire or not.
//!
//! It has the calls of tokio's socket, by shared reference, so that both directions of a session can use it at once. What a
//! seal keeps (keys, a piece of a record) is behind a lock that only this connection's own tasks ever take.
//!
//! One rule goes beyond the socket's: a [`Stream::try_write`] that would block is to be made again with the same bytes.
//! They may have been sealed already, and wait to leave. [`Stream::half_close`] waits for the same reason.

mod shadowsocks;
mod tls;

use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::sockopt;
pub(crate) use shadowsocks::Shadowsocks;
pub(crate) use tls::Tls;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    seal: Option<Box<Mutex<Seal>>>,
}

/// How the other side of a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Presence {
    /// It has acknowledged all that it was sent, so that only signs of life can tell whether it is there: those the system asks for.
    Settled,
    /// Something is on its way to it, or waits for room there.
    Awaited,
    /// It has acknowledged nothing for too long, although it was asked again and again: it is not there any more.
    Vanished,
}

/// How often is looked within the time after which a silent side counts as vanished.
pub(crate) const LOOKS: u32 = 4;

/// What stands between the text and the wire.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it stands in a box, and one is a seventh larger than the other"
)]
pub(crate) enum Seal {
    Shadowsocks(Shadowsocks),
    Tls(Tls),
}

impl From<TcpStream> for Stream {
    fn from(socket: TcpStream) -> Self {
        Self { socket, seal: None }
    }
}

impl Stream {
    /// The same connection, sealed from here on.
    pub(crate) fn sealed(self, seal: Seal) -> Self {
        Self {
            socket: self.socket,
            seal: Some(Box::new(Mutex::new(seal))),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Makes the end of the connection a reset.
    pub(crate) fn set_zero_linger(&self) -> io::Result<()> {
        self.socket.set_zero_linger()
    }

    /// The socket, where the text goes over it as it is: what can be spliced.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        self.seal.is_none().then_some(&self.socket)
    }

    /// The socket whatever goes over it, to set its options.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// How the other side stands; it has vanished where it has acknowledged nothing for `limit`.
    ///
    /// `TCP_USER_TIMEOUT` would be less work, and would end who only reads slowly as well: Linux counts it while the window is
    /// closed too, whether the other side answers its probes or not.
    pub(crate) fn presence(&self, limit: Duration) -> Presence {
        // Of a broken connection nothing is known but that a read says so.
        let info = sockopt::tcp_info(&self.socket).unwrap_or_default();
        match info.unanswered_for() {
            Some(silence) if silence >= limit => Presence::Vanished,
            Some(_) => Presence::Awaited,
            None if info.is_waited_for() => Presence::Awaited,
            None => Presence::Settled,
        }
    }

    /// Waits until the other side has vanished. The end of the connection is a reset then, since an orderly one would wait for it.
    pub(crate) async fn vanished(&self, limit: Duration) {
        loop {
            tokio::time::sleep(limit / LOOKS).await;
            if self.presence(limit) == Presence::Vanished {
                let _ = self.set_zero_linger();
                return;
            }
        }
    }

    fn seal(&self) -> Option<MutexGuard<'_, Seal>> {
        self.seal
            .as_ref()
            .map(|seal| seal.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn has_text(&self) -> bool {
        self.seal().is_some_and(|seal| seal.has_text())
    }

    /// How many bytes have arrived and were not read, as they are on the wire.
    pub(crate) fn waiting(&self) -> usize {
        let count = rustix::io::ioctl_fionread(&self.socket).unwrap_or(0);
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// Waits until there may be something to read.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.has_text() {
            return Ok(());
        }
        self.socket.readable().await
    }

    /// Waits until something may be written.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_text() {
            return Poll::Ready(Ok(()));
        }
        self.socket.poll_read_ready(cx)
    }

    /// Reads text without waiting. 0 is its end.
    pub(crate) fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self.seal() {
            Some(mut seal) => seal.read(&self.socket, room),
            None => read_arrived(&self.socket, room),
        }
    }

    /// As [`Stream::try_read`], behind what is in `buffer`, into the room that it has.
    pub(crate) fn try_read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let before = buffer.len();
        let room = buffer.capacity().saturating_sub(before);
        buffer.put_bytes(0, room);
        let read = self.try_read(buffer.get_mut(before..).unwrap_or_default());
        buffer.truncate(before.saturating_add(*read.as_ref().unwrap_or(&0)));
        read
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            match self.try_read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    /// Waits for text without taking it; how much there is at least: 0 is its end.
    pub(crate) async fn peek(&self) -> io::Result<usize> {
        if self.seal.is_none() {
            return self.socket.peek(&mut [0]).await;
        }
        loop {
            self.readable().await?;
            // The lock is not held while waiting.
            let peeked = match self.seal() {
                Some(mut seal) => seal.peek(&self.socket),
                None => Ok(0),
            };
            match peeked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return peeked,
            }
        }
    }

    /// Writes text without waiting; see the rule at the top.
    pub(crate) fn try_write(&self, text: &[u8]) -> io::Result<usize> {
        match self.seal() {
            Some(mut seal) => seal.write(&self.socket, text),
            None => self.socket.try_write(text),
        }
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, text: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(text) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
            ready!(self.socket.poll_write_ready(cx))?;
        }
    }

    /// The stream, where its text can be opened and sealed in place.
    pub(crate) fn sealed_in_place(&self) -> Option<InPlace<'_>> {
        match *self.seal()? {
            Seal::Shadowsocks(_) => Some(InPlace(self)),
            Seal::Tls(_) => None,
        }
    }

    /// Whether nothing has arrived on the wire, no end and no error either. The system is asked, whatever it said last.
    pub(crate) fn is_quiet(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = rustix::net::recv(&self.socket, &mut [0_u8][..], flags);
        matches!(peeked, Err(Errno::AGAIN))
    }

    #[cfg(test)]
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Says that nothing more will be written.
    pub(crate) async fn half_close(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_half_close(cx)).await
    }

    pub(crate) fn poll_half_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let said = self.seal().map_or(Ok(()), |mut seal| seal.finish(&self.socket));
            match said {
                Ok(()) => return Poll::Ready(Ok(rustix::net::shutdown(&self.socket, Shutdown::Write)?)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.socket.poll_write_ready(cx))?;
        }
    }
}

/// Reads what has arrived on the wire, without waiting. 0 is its end.
fn read_arrived(socket: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
    let length = room.len();
    noting_what_is_left(socket, length, || {
        let (count, _) = rustix::net::recv(socket, &mut *room, RecvFlags::empty())?;
        Ok(count)
    })
}

/// The same to several places, one after the other.
fn read_arrived_to(socket: &TcpStream, rooms: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let length = rooms.iter().map(|room| room.len()).sum();
    noting_what_is_left(socket, length, || Ok(rustix::io::readv(socket, rooms)?))
}

/// A read that leaves room has emptied the socket, so it also notes that nothing is there: whoever reads next waits to be told,
/// and does not ask in vain first. (An end that is there already stays noted; epoll tells what comes later.)
fn noting_what_is_left(socket: &TcpStream, room: usize, read: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
    let mut emptied = None;
    let read = socket.try_io(Interest::READABLE, || {
        let count = read()?;
        if (1..room).contains(&count) {
            emptied = Some(count);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(count)
    });
    emptied.map_or(read, Ok)
}

/// A stream sealed by Shadowsocks, beside a socket whose text is not: nothing is copied between the two but by the system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InPlace<'a>(&'a Stream);

impl InPlace<'_> {
    fn with<T>(self, act: impl FnOnce(&mut Shadowsocks, &TcpStream) -> io::Result<T>) -> io::Result<T> {
        match self.0.seal().as_deref_mut() {
            Some(Seal::Shadowsocks(seal)) => act(seal, &self.0.socket),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Opens what has arrived; how much text there is then for [`InPlace::poll_pass`]. 0 is the end.
    pub(crate) fn poll_open(self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.with(Shadowsocks::open_all) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                opened => return Poll::Ready(opened),
            }
        }
    }

    /// Writes opened text to a socket; how much it took.
    pub(crate) fn poll_pass(self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            match self.with(|seal, _| seal.pass(to)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                passed => return Poll::Ready(passed),
            }
            ready!(to.poll_write_ready(cx))?;
        }
    }

    /// Whether [`InPlace::poll_seal`] can be used now.
    pub(crate) fn seals(self) -> bool {
        self.with(|seal, _| Ok(seal.seals_in_place())).unwrap_or(false)
    }

    /// Reads what a socket has, and seals it; how much text that was. It has left when [`InPlace::poll_flush`] says so. 0 is the end.
    pub(crate) fn poll_seal(self, cx: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            match self.with(|seal, socket| seal.seal_arrived(socket, from)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sealed => return Poll::Ready(sealed),
            }
        }
    }

    /// Sends off what has been sealed; how much text it was.
    pub(crate) fn poll_flush(self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            match self.with(Shadowsocks::flush) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                left => return Poll::Ready(left),
            }
            ready!(self.0.socket.poll_write_ready(cx))?;
        }
    }
}

impl Seal {
    fn has_text(&self) -> bool {
        match self {
            Self::Shadowsocks(seal) => seal.has_text(),
            Self::Tls(seal) => seal.has_text(),
        }
    }

    fn read(&mut self, socket: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Shadowsocks(seal) => seal.read(socket, room),
            Self::Tls(seal) => seal.read(socket, room),
        }
    }

    fn peek(&mut self, socket: &TcpStream) -> io::Result<usize> {
        match self {
            Self::Shadowsocks(seal) => seal.peek(socket),
            Self::Tls(seal) => seal.peek(socket),
        }
    }

    fn write(&mut self, socket: &TcpStream, text: &[u8]) -> io::Result<usize> {
        match self {
            Self::Shadowsocks(seal) => seal.write(socket, text),
            Self::Tls(seal) => seal.write(socket, text),
        }
    }

    /// Says in the seal's own words that nothing more will be written, where it has some.
    fn finish(&mut self, socket: &TcpStream) -> io::Result<()> {
        match self {
            Self::Shadowsocks(_) => Ok(()),
            Self::Tls(seal) => seal.finish(socket),
        }
    }
}
