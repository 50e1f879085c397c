//! A stream inside TLS: records, opened and sealed one at a time.
//!
//! rustls keeps the keys and the state of the protocol; the bytes are kept here, and only while there are some. Between two
//! records nothing is held but what rustls needs for the next.
//!
//! What ends the text is the client's close_notify and nothing else: whoever cuts a TCP connection can cut it anywhere.

use std::io;
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use rustls::{Error, ServerConfig};
use tokio::net::TcpStream;

use super::read_arrived;

/// How much is read at a time: a record of the usual kind, and the beginning of the next.
const READ: usize = 17 * 1024;

/// The longest text of a record (RFC 8446 §5.1).
const LONGEST_TEXT: usize = 16 * 1024;

/// What is around a record's text at the most, but for padding, which is not sent: head, nonce, kind and tag.
const AROUND: usize = 5 + 8 + 1 + 16;

/// What a client may send of a handshake before it is done: hellos have a few KiB, with many tickets and large keys ten.
const LONGEST_HANDSHAKE: usize = 24 * 1024;

pub(crate) struct Tls {
    connection: UnbufferedServerConnection,
    /// What was read from the socket, and from where on it is still sealed.
    arrived: Vec<u8>,
    sealed: usize,
    /// Whether a whole record may be among what is sealed.
    unexamined: bool,
    /// Opened text, and how much of it has been passed on.
    text: Vec<u8>,
    passed: usize,
    /// The client has said that nothing more comes.
    ended: bool,
    /// Records on their way, and how much of them has left.
    leaving: Vec<u8>,
    left: usize,
    /// How much text is in them.
    taken: usize,
    /// We have said that nothing more comes.
    finished: bool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Puts something to be sent behind what is leaving.
type Send<'s> = dyn FnMut(WriteTraffic<'_, ServerConnectionData>, &mut Vec<u8>) -> io::Result<()> + 's;

/// What one step of the protocol came to.
enum Step {
    /// There may be more to do at once.
    WentOn,
    /// Nothing more can be done with what has arrived, and text can be sent.
    Open,
    /// Nothing can be done before more arrives.
    Blocked,
}

impl Tls {
    /// A connection before its handshake; `arrived` is what has been read of it.
    ///
    /// # Errors
    /// rustls', of a configuration that it does not like.
    pub(crate) fn new(config: Arc<ServerConfig>, arrived: Vec<u8>) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config)?,
            arrived,
            sealed: 0,
            unexamined: true,
            text: Vec::new(),
            passed: 0,
            ended: false,
            leaving: Vec::new(),
            left: 0,
            taken: 0,
            finished: false,
        })
    }

    /// Goes on with the handshake. Would-block: for what, [`Tls::is_sending`] says.
    ///
    /// # Errors
    /// The socket's, and rustls'; the client has been told by an alert then, if it could be.
    pub(crate) fn handshake(&mut self, socket: &TcpStream) -> io::Result<()> {
        loop {
            let step = self.step(&mut |_, _| Ok(()));
            let flushed = self.flush(socket);
            let step = step?;
            flushed?;
            match step {
                Step::WentOn => {}
                // A TLS 1.3 server may send before it has heard the client's Finished.
                Step::Open if !self.connection.is_handshaking() => return Ok(()),
                Step::Open | Step::Blocked => {
                    if self.arrived.len() - self.sealed > LONGEST_HANDSHAKE {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake without an end"));
                    }
                    if self.fill(socket)? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }

    /// Whether something waits to be sent.
    pub(crate) fn is_sending(&self) -> bool {
        self.left < self.leaving.len()
    }

    /// Whether a read can give something without the socket, or must be made to find out.
    pub(super) fn has_text(&self) -> bool {
        self.ended || self.unexamined || self.passed < self.text.len()
    }

    pub(super) fn read(&mut self, socket: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
        if self.peek(socket)? == 0 {
            return Ok(0);
        }
        let text = &self.text[self.passed..];
        let count = text.len().min(room.len());
        room[..count].copy_from_slice(&text[..count]);
        self.passed += count;
        self.let_go();
        Ok(count)
    }

    /// Sees to it that there is text, and says how much. 0 is the end of the stream.
    pub(super) fn peek(&mut self, socket: &TcpStream) -> io::Result<usize> {
        loop {
            if self.passed < self.text.len() {
                return Ok(self.text.len() - self.passed);
            }
            if self.ended {
                return Ok(0);
            }
            if self.unexamined {
                let step = self.step(&mut |_, _| Ok(()));
                self.answer(socket);
                match step? {
                    Step::WentOn => {}
                    Step::Open | Step::Blocked => self.unexamined = false,
                }
                continue;
            }
            match self.fill(socket) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) => {
                    self.let_go();
                    return Err(error);
                }
            }
        }
    }

    /// Sends what reading has brought about (alerts), as far as that goes without waiting; else it goes before the next text.
    fn answer(&mut self, socket: &TcpStream) {
        if self.taken == 0 {
            let _ = self.flush(socket);
        }
    }

    /// Does the next thing there is to do. `send` is called where text can be sent.
    fn step(&mut self, send: &mut Send<'_>) -> io::Result<Step> {
        let UnbufferedStatus { mut discard, state } = self
            .connection
            .process_tls_records(self.arrived.get_mut(self.sealed..).unwrap_or_default());
        let step = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(invalid)?;
                    discard += record.discard;
                    self.text.extend_from_slice(record.payload);
                }
                Ok(Step::WentOn)
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                append(&mut self.leaving, 0, |room| encoded(data.encode(room))).map(|()| Step::WentOn)
            }
            // It is among what is leaving, which leaves in order.
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Step::WentOn)
            }
            Ok(ConnectionState::PeerClosed) => {
                self.ended = true;
                Ok(Step::WentOn)
            }
            Ok(ConnectionState::WriteTraffic(traffic)) => send(traffic, &mut self.leaving).map(|()| Step::Open),
            Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Ok(Step::Blocked),
            // Early data is never asked for.
            Ok(_) => Err(invalid(Error::General("an unknown state".to_owned()))),
            Err(error) => {
                self.sealed += discard;
                self.take_alerts();
                return Err(invalid(error));
            }
        };
        self.sealed += discard;
        step
    }

    /// After a mistake of the client's: what it is to be told.
    fn take_alerts(&mut self) {
        while self.connection.wants_write() {
            let status = self
                .connection
                .process_tls_records(self.arrived.get_mut(self.sealed..).unwrap_or_default());
            let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state else {
                return;
            };
            if append(&mut self.leaving, 0, |room| encoded(data.encode(room))).is_err() {
                return;
            }
        }
    }

    /// Reads what the socket has, behind what has arrived.
    fn fill(&mut self, socket: &TcpStream) -> io::Result<usize> {
        self.arrived.drain(..self.sealed.min(self.arrived.len()));
        self.sealed = 0;
        let before = self.arrived.len();
        self.arrived.resize(before + READ, 0);
        let read = read_arrived(socket, self.arrived.get_mut(before..).unwrap_or_default());
        self.arrived.truncate(before + read.as_ref().unwrap_or(&0));
        self.unexamined |= matches!(read, Ok(1..));
        read
    }

    /// Gives room back when there is nothing in it.
    fn let_go(&mut self) {
        if self.passed == self.text.len() {
            self.text = Vec::new();
            self.passed = 0;
        }
        if self.sealed == self.arrived.len() {
            self.arrived = Vec::new();
            self.sealed = 0;
            self.unexamined = false;
        }
    }

    pub(super) fn write(&mut self, socket: &TcpStream, text: &[u8]) -> io::Result<usize> {
        if self.taken == 0 {
            let text = &text[..LONGEST_TEXT.min(text.len())];
            self.send(&mut |mut traffic, leaving| {
                append(leaving, text.len() + AROUND, |room| {
                    written(traffic.encrypt(text, room))
                })
            })?;
            self.taken = text.len();
        }
        self.flush(socket)?;
        Ok(std::mem::take(&mut self.taken))
    }

    /// Says by close_notify that nothing more will be written. Would-block: to be called again.
    pub(super) fn finish(&mut self, socket: &TcpStream) -> io::Result<()> {
        if !self.finished {
            self.send(&mut |mut traffic, leaving| {
                append(leaving, AROUND + 2, |room| written(traffic.queue_close_notify(room)))
            })?;
            self.finished = true;
        }
        self.flush(socket)
    }

    /// Goes on until something can be sent, and lets `send` do it. What arrives meanwhile is kept as text.
    fn send(&mut self, send: &mut Send<'_>) -> io::Result<()> {
        loop {
            match self.step(send)? {
                Step::Open => return Ok(()),
                Step::WentOn => {}
                // Only where both sides have said that they have finished, or before the handshake is done.
                Step::Blocked => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    /// Sends what is leaving.
    fn flush(&mut self, socket: &TcpStream) -> io::Result<()> {
        while let Some(rest) = self.leaving.get(self.left..).filter(|rest| !rest.is_empty()) {
            match socket.try_write(rest)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.left += count,
            }
        }
        self.leaving = Vec::new();
        self.left = 0;
        Ok(())
    }
}

/// What came of writing into some room.
enum Written {
    All(usize),
    /// It did not fit; so much is needed.
    Needs(usize),
    /// Nothing may be written any more.
    Exhausted,
}

fn encoded(result: Result<usize, EncodeError>) -> Written {
    match result {
        Ok(count) => Written::All(count),
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => Written::Needs(required_size),
        Err(EncodeError::AlreadyEncoded) => Written::Exhausted,
    }
}

fn written(result: Result<usize, EncryptError>) -> Written {
    match result {
        Ok(count) => Written::All(count),
        Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => Written::Needs(required_size),
        Err(EncryptError::EncryptExhausted) => Written::Exhausted,
    }
}

/// Lets `write` write behind what is in `leaving`, in as much room as it needs; `guess` is how much that may be.
fn append(leaving: &mut Vec<u8>, guess: usize, mut write: impl FnMut(&mut [u8]) -> Written) -> io::Result<()> {
    let before = leaving.len();
    let mut room = guess;
    loop {
        leaving.resize(before + room, 0);
        match write(leaving.get_mut(before..).unwrap_or_default()) {
            Written::All(count) => {
                leaving.truncate(before + count);
                return Ok(());
            }
            Written::Needs(needed) if needed > room => room = needed,
            Written::Needs(_) | Written::Exhausted => {
                leaving.truncate(before);
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
