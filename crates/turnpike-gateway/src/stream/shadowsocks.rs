//! A stream sealed by Shadowsocks: chunks, opened and sealed one at a time.
//!
//! Between two chunks nothing is held but the two keys: what is read is read into room that is made when there is something,
//! and let go when it has been passed on. Where much arrives at a time several chunks are read, opened and passed on at once, and
//! as many are sealed and written. What is bulk is not even copied: text is passed on from where it was opened
//! ([`Shadowsocks::pass`]), and read to where it is sealed ([`Shadowsocks::seal_arrived`]).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;

use tokio::net::TcpStream;
use turnpike_wire::shadowsocks::stream::{Opener, Sealer};
use turnpike_wire::shadowsocks::{Refused, TAG};

use super::{read_arrived, read_arrived_to};
use crate::refusals::{Complaints, Reason};

/// How much is read at a time, where the next chunk does not need more: a usual chunk and what is around it.
const READ: usize = 17 * 1024;

/// The same behind a read that was full: several chunks.
const LONG_READ: usize = 66 * 1024;

/// The longest text that is sealed as one chunk: large enough that its overhead is nothing, small enough that a receiver can
/// begin to use it soon.
const LONGEST_TEXT: usize = 16 * 1024 - 1;

/// How many chunks are written at once.
const CHUNKS_PER_WRITE: usize = 4;

/// How many chunks' texts are passed on at once. More than fit are small ones, which are cheaper to copy.
const TEXTS_PER_PASS: usize = 64;

/// So many reads in a row may bring no text before others have their turn.
const READS_WITHOUT_TEXT: usize = 4;

thread_local! {
    /// Where chunks are sealed; what does not leave at once is kept by the stream.
    static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(crate) struct Shadowsocks {
    /// The first chunk tells the time by its clock.
    complaints: Complaints,
    /// What the client sends is none of this any more, which has been told.
    is_broken: bool,
    opener: Opener,
    sealer: Sealer,
    /// Room, of which so much was read to: opened text first, then what is still sealed.
    arrived: Vec<u8>,
    filled: usize,
    /// Whether the last read filled its room, so that there is more.
    was_full: bool,
    /// What is wrong behind the text that was passed on last.
    refused: Option<Refused>,
    /// Where in `arrived` there is text to be passed on. None of these is empty.
    texts: VecDeque<Range<usize>>,
    /// Where in `arrived` that begins which is still sealed.
    sealed: usize,
    /// What has been sealed and has not left, and how much of it has left since.
    leaving: Vec<u8>,
    left: usize,
    /// How much text was sealed with it.
    taken: usize,
}

impl std::fmt::Debug for Shadowsocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shadowsocks")
    }
}

impl Shadowsocks {
    /// Goes on behind a handshake; `arrived` is what was read beyond it.
    pub(crate) fn new(complaints: Complaints, opener: Opener, sealer: Sealer, arrived: Vec<u8>) -> Self {
        Self {
            complaints,
            is_broken: false,
            opener,
            sealer,
            filled: arrived.len(),
            was_full: false,
            refused: None,
            arrived,
            texts: VecDeque::new(),
            sealed: 0,
            leaving: Vec::new(),
            left: 0,
            taken: 0,
        }
    }

    /// Whether a read can give something without the socket, or must be made to find out.
    pub(super) fn has_text(&self) -> bool {
        !self.texts.is_empty()
            || self.refused.is_some()
            || self.is_broken
            || self.filled - self.sealed >= self.opener.needed()
    }

    pub(super) fn read(&mut self, socket: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
        if self.peek(socket)? == 0 {
            return Ok(0);
        }
        let mut count = 0;
        loop {
            while let Some(text) = self.texts.front_mut() {
                let fits = text.len().min(room.len() - count);
                room[count..count + fits].copy_from_slice(&self.arrived[text.start..text.start + fits]);
                count += fits;
                text.start += fits;
                if !Range::is_empty(text) {
                    break;
                }
                self.texts.pop_front();
            }
            if count == room.len() || !self.open_more() {
                break;
            }
        }
        self.let_go();
        Ok(count)
    }

    /// Opens the chunks that have arrived, as many as are passed on at once; how much text that is. 0 is the end of the stream.
    pub(super) fn open_all(&mut self, socket: &TcpStream) -> io::Result<usize> {
        if self.peek(socket)? == 0 {
            return Ok(0);
        }
        while self.texts.len() < TEXTS_PER_PASS && self.open_more() {}
        Ok(self.texts.iter().map(Range::len).sum())
    }

    /// Writes text that has been opened to a socket, from where it lies; how much it took.
    pub(super) fn pass(&mut self, to: &TcpStream) -> io::Result<usize> {
        let mut pieces = [IoSlice::new(&[]); TEXTS_PER_PASS];
        let mut used = 0;
        for (piece, text) in pieces.iter_mut().zip(&self.texts) {
            *piece = IoSlice::new(&self.arrived[text.clone()]);
            used += 1;
        }
        let count = to.try_write_vectored(&pieces[..used])?;
        let mut left = count;
        while let Some(text) = self.texts.front_mut() {
            let taken = left.min(text.len());
            text.start += taken;
            left -= taken;
            if !Range::is_empty(text) {
                break;
            }
            self.texts.pop_front();
        }
        self.let_go();
        Ok(count)
    }

    /// Opens one more chunk of those that have arrived; whether there was one. What is wrong with it is to be told when the text
    /// before it has been passed on.
    fn open_more(&mut self) -> bool {
        self.open().unwrap_or_else(|refused| {
            self.refused = Some(refused);
            false
        })
    }

    /// Sees to it that there is text, and says how much. 0 is the end of the stream.
    ///
    /// Who sends nothing but chunks without text is told to be asked again, as if nothing had arrived.
    pub(super) fn peek(&mut self, socket: &TcpStream) -> io::Result<usize> {
        let mut reads = 0;
        loop {
            if let Some(text) = self.texts.front() {
                return Ok(text.len());
            }
            if self.is_broken {
                return Err(io::ErrorKind::InvalidData.into());
            }
            match self.refused.take().map_or_else(|| self.open(), Err) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(refused) => {
                    let reason = match refused {
                        Refused::Sealed => Reason::BrokenChunk,
                        Refused::Malformed | Refused::Address => Reason::LongChunk,
                    };
                    return Err(self.break_off(reason, io::ErrorKind::InvalidData));
                }
            }
            if reads == READS_WITHOUT_TEXT {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            reads += 1;
            match self.fill(socket) {
                Ok(0) if self.filled == 0 && self.opener.may_end() => return Ok(0),
                // Cut in the middle of a chunk: whoever did it, it was not the customer's end of the data.
                Ok(0) => return Err(self.break_off(Reason::CutOff, io::ErrorKind::UnexpectedEof)),
                Ok(_) => {}
                Err(error) => {
                    self.let_go();
                    return Err(error);
                }
            }
        }
    }

    /// Opens what has arrived, one step further. Whether that was possible.
    fn open(&mut self) -> Result<bool, Refused> {
        let sealed = &mut self.arrived[self.sealed..self.filled];
        if sealed.is_empty() {
            return Ok(false);
        }
        let opened = self.opener.open(sealed)?;
        let start = self.sealed;
        self.sealed = start + opened.used;
        if !opened.text.is_empty() {
            self.texts.push_back(start + opened.text.start..start + opened.text.end);
        }
        Ok(opened.used > 0)
    }

    /// Nothing of what may still come is worth anything.
    fn break_off(&mut self, reason: Reason, kind: io::ErrorKind) -> io::Error {
        self.is_broken = true;
        self.complaints.note(reason);
        kind.into()
    }

    /// Reads what the socket has, behind what has arrived.
    fn fill(&mut self, socket: &TcpStream) -> io::Result<usize> {
        self.arrived.copy_within(self.sealed..self.filled, 0);
        self.filled -= self.sealed;
        self.sealed = 0;
        let missing = self.opener.needed().saturating_sub(self.filled);
        let end = self.filled + missing.max(if self.was_full { LONG_READ } else { READ });
        if self.arrived.len() < end {
            self.arrived.resize(end, 0);
        }
        let room = &mut self.arrived[self.filled..end];
        let read = read_arrived(socket, room);
        self.was_full = read.as_ref().is_ok_and(|count| *count == room.len());
        self.filled += read.as_ref().unwrap_or(&0);
        read
    }

    /// Gives the room back when there is nothing in it, unless it will be wanted at once.
    fn let_go(&mut self) {
        if self.texts.is_empty() && self.sealed == self.filled && !self.was_full {
            self.arrived = Vec::new();
            self.texts = VecDeque::new();
            self.filled = 0;
            self.sealed = 0;
        }
    }

    pub(super) fn write(&mut self, socket: &TcpStream, text: &[u8]) -> io::Result<usize> {
        if self.taken == 0 && self.leaving.is_empty() {
            let text = &text[..(CHUNKS_PER_WRITE * LONGEST_TEXT).min(text.len())];
            return SEALED.with_borrow_mut(|sealed| {
                sealed.clear();
                self.seal(text, sealed)?;
                self.begin(socket, text.len(), sealed)
            });
        }
        self.flush(socket)
    }

    /// Whether text can be read to where it is sealed: every chunk looks alike now, and nothing waits to leave.
    pub(super) fn seals_in_place(&self) -> bool {
        self.sealer.has_begun() && self.taken == 0 && self.leaving.is_empty()
    }

    /// Reads what a socket has to where it is sealed, and sends it off as far as that goes. How much text that was, which
    /// [`Shadowsocks::flush`] tells again once all of it has left; 0 is the end of what is read.
    pub(super) fn seal_arrived(&mut self, socket: &TcpStream, from: &TcpStream) -> io::Result<usize> {
        let headroom = self.sealer.headroom();
        SEALED.with_borrow_mut(|sealed| {
            let longest = headroom + LONGEST_TEXT + TAG;
            sealed.resize(CHUNKS_PER_WRITE * longest, 0);
            let count = {
                let mut chunks = sealed.chunks_mut(longest);
                let mut rooms: [_; CHUNKS_PER_WRITE] = std::array::from_fn(|_| {
                    let chunk = chunks.next().unwrap_or_default();
                    IoSliceMut::new(chunk.get_mut(headroom..headroom + LONGEST_TEXT).unwrap_or_default())
                });
                read_arrived_to(from, &mut rooms)?
            };
            let (mut left, mut end) = (count, 0);
            while left > 0 {
                let text = left.min(LONGEST_TEXT);
                let start = end;
                end = start + headroom + text + TAG;
                self.seal_one(&mut sealed[start..end])?;
                left -= text;
            }
            match self.begin(socket, count, &sealed[..end]) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                _ => {
                    self.taken = count;
                    Ok(count)
                }
            }
        })
    }

    /// Sends off what has been sealed and has not left; how much text it was, once all of it has.
    pub(super) fn flush(&mut self, socket: &TcpStream) -> io::Result<usize> {
        while self.left < self.leaving.len() {
            match socket.try_write(&self.leaving[self.left..])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.left += count,
            }
        }
        self.leaving = Vec::new();
        self.left = 0;
        Ok(std::mem::take(&mut self.taken))
    }

    /// Writes what has just been sealed, and keeps what does not leave.
    fn begin(&mut self, socket: &TcpStream, text: usize, sealed: &[u8]) -> io::Result<usize> {
        let mut left = 0;
        while left < sealed.len() {
            match socket.try_write(&sealed[left..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => left += count,
                Err(error) => {
                    self.leaving = sealed[left..].to_vec();
                    self.taken = text;
                    return Err(error);
                }
            }
        }
        Ok(text)
    }

    /// Seals text behind what is in `room`, as one chunk or several.
    fn seal(&mut self, mut text: &[u8], room: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let (chunk, behind) = text.split_at(LONGEST_TEXT.min(text.len()));
            let start = room.len();
            room.resize(start + self.sealer.headroom(), 0);
            room.extend_from_slice(chunk);
            room.extend([0; TAG]);
            self.seal_one(&mut room[start..])?;
            text = behind;
            if text.is_empty() {
                return Ok(());
            }
        }
    }

    /// Seals one chunk where it lies.
    fn seal_one(&mut self, chunk: &mut [u8]) -> io::Result<()> {
        self.sealer
            .seal(chunk, self.complaints.clock.seconds())
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
mod tests;
