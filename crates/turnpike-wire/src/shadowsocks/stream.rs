//! TCP: a request with its destination, then chunks both ways (SIP004; SIP022 §3.1).
//!
//! Everything is opened and sealed in place. A client's stream goes through [`recognise`] (whose key fits?), a
//! [`Handshake`] (what does it ask for?) and an [`Opener`]; the answer through a [`Sealer`].

use std::ops::Range;

use super::cipher::Cipher;
use super::{Keys, Method, Refused, Salt, TAG};
use crate::address::{Destination, socks_address};
use crate::cursor::{Cursor, NotYet};

/// The sealed length in front of each chunk.
const LENGTH: usize = 2 + TAG;
/// Type, time, length (SIP022 §3.1.3).
const HEADER_2022: usize = 1 + 8 + 2;
/// The longest chunk of the older methods.
const LONGEST_LEGACY: usize = 0x3fff;
/// The longest padding of a request.
const LONGEST_PADDING: u16 = 900;
/// The longest address: a type, a length, a name, a port.
const LONGEST_ADDRESS: usize = 1 + 1 + 255 + 2;

const CLIENT_STREAM: u8 = 0x00;
const SERVER_STREAM: u8 = 0x01;

impl Method {
    /// So many bytes must have arrived before a stream of this method can be told.
    #[must_use]
    pub fn shortest_opening(self) -> usize {
        self.salt_length().saturating_add(self.first_sealed())
    }

    fn first_sealed(self) -> usize {
        if self.is_2022() { HEADER_2022 + TAG } else { LENGTH }
    }
}

/// Of which method these are the first bytes, if of any: the first sealed piece is opened with each key that has enough
/// of them, in the order of `methods`.
#[must_use]
pub fn recognise(keys: &Keys, methods: &[Method], bytes: &[u8]) -> Option<Method> {
    methods
        .iter()
        .copied()
        .find(|method| opens(keys, *method, bytes).is_some())
}

fn opens(keys: &Keys, method: Method, bytes: &[u8]) -> Option<()> {
    let (salt, rest) = bytes.split_at_checked(method.salt_length())?;
    let mut piece = [0; HEADER_2022 + TAG];
    let piece = piece.get_mut(..method.first_sealed())?;
    piece.copy_from_slice(rest.get(..method.first_sealed())?);
    keys.cipher(method, salt)?.open(piece).map(|_| ())
}

/// What is next in a stream that is being opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// The header of a 2022 request.
    Header,
    Length,
    Payload(usize),
}

/// What was opened: `used` bytes of the front, in which the text is at `text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// How many bytes are done with.
    pub used: usize,
    /// Where the text is, which may be empty.
    pub text: Range<usize>,
}

/// Opens what a client sends.
pub struct Opener {
    cipher: Cipher,
    method: Method,
    wants: Wants,
}

impl Opener {
    /// So many bytes are needed for the next step.
    #[must_use]
    pub fn needed(&self) -> usize {
        match self.wants {
            Wants::Header => HEADER_2022.saturating_add(TAG),
            Wants::Length => LENGTH,
            Wants::Payload(length) => length.saturating_add(TAG),
        }
    }

    /// Whether the stream may end here, as far as it was opened: a length is not without its text.
    #[must_use]
    pub fn may_end(&self) -> bool {
        self.wants == Wants::Length
    }

    /// Opens the next chunk in place, or as much of it as is there: its length, its text, or both. Nothing is used where
    /// that needs more than there is.
    ///
    /// # Errors
    /// The stream is broken for good.
    pub fn open(&mut self, bytes: &mut [u8]) -> Result<Opened, Refused> {
        let mut start = 0_usize;
        if self.wants == Wants::Length {
            let Some(sealed) = bytes.get_mut(..LENGTH) else {
                return Ok(Opened { used: 0, text: 0..0 });
            };
            self.cipher.open(sealed).ok_or(Refused::Sealed)?;
            let length = Cursor::new(sealed).u16().map_err(|_| Refused::Malformed)?;
            self.want_payload(length)?;
            start = LENGTH;
        }
        let Wants::Payload(length) = self.wants else {
            return Err(Refused::Malformed);
        };
        let end = start.saturating_add(length).saturating_add(TAG);
        let Some(sealed) = bytes.get_mut(start..end) else {
            return Ok(Opened {
                used: start,
                text: start..start,
            });
        };
        self.cipher.open(sealed).ok_or(Refused::Sealed)?;
        self.wants = Wants::Length;
        Ok(Opened {
            used: end,
            text: start..start.saturating_add(length),
        })
    }

    fn want_payload(&mut self, length: u16) -> Result<(), Refused> {
        let length = usize::from(length);
        if !self.method.is_2022() && length > LONGEST_LEGACY {
            return Err(Refused::Malformed);
        }
        self.wants = Wants::Payload(length);
        Ok(())
    }
}

/// A request that is being read.
pub struct Handshake {
    opener: Opener,
    /// Whether something has been opened.
    is_proven: bool,
    /// The front of the text so far, where the address is not whole yet; only the older methods cut it.
    address: Vec<u8>,
}

/// What a step of a handshake has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// So many bytes must be there before it goes on.
    Need(usize),
    /// The first `used` bytes are proven to be the customer's. Of 2022 the client's time is known now, in seconds since 1970:
    /// it and the salt are to be judged before anything else is opened.
    Proven {
        /// How many bytes are done with.
        used: usize,
        /// The client's time.
        time: Option<u64>,
    },
    /// Something was opened, and there is more to come.
    Used(usize),
    /// The request is whole.
    Done {
        /// Where the customer wants to go.
        destination: Destination,
        /// How many bytes are done with.
        used: usize,
        /// Where the first payload is.
        payload: Range<usize>,
    },
}

impl Handshake {
    /// Begins behind the salt, which [`recognise`] has proven.
    #[must_use]
    pub fn new(keys: &Keys, method: Method, salt: &Salt) -> Option<Self> {
        let wants = if method.is_2022() { Wants::Header } else { Wants::Length };
        let opener = Opener {
            cipher: keys.cipher(method, salt.as_bytes())?,
            method,
            wants,
        };
        Some(Self {
            opener,
            is_proven: false,
            address: Vec::new(),
        })
    }

    /// One step further with the bytes behind those that have been used.
    ///
    /// # Errors
    /// It is no request of the customer's.
    pub fn advance(&mut self, bytes: &mut [u8]) -> Result<Step, Refused> {
        if self.opener.wants == Wants::Header {
            return self.header(bytes);
        }
        if !self.is_proven {
            return self.first_length(bytes);
        }
        let opened = self.opener.open(bytes)?;
        if opened.used == 0 {
            return Ok(Step::Need(self.opener.needed()));
        }
        let text = bytes.get(opened.text.clone()).unwrap_or_default();
        if self.opener.method.is_2022() {
            return variable_header(text, &opened);
        }
        self.legacy_address(text, &opened)
    }

    /// The stream behind the request.
    #[must_use]
    pub fn into_opener(self) -> Opener {
        self.opener
    }

    /// SIP022 §3.1.3, fixed-length header.
    fn header(&mut self, bytes: &mut [u8]) -> Result<Step, Refused> {
        let used = HEADER_2022.saturating_add(TAG);
        let Some(sealed) = bytes.get_mut(..used) else {
            return Ok(Step::Need(used));
        };
        self.opener.cipher.open(sealed).ok_or(Refused::Sealed)?;
        let mut cursor = Cursor::new(sealed);
        let fields = (|| Ok::<_, NotYet>((cursor.u8()?, u64::from_be_bytes(cursor.array()?), cursor.u16()?)))();
        let (kind, time, length) = fields.map_err(|_| Refused::Malformed)?;
        if kind != CLIENT_STREAM {
            return Err(Refused::Malformed);
        }
        self.opener.want_payload(length)?;
        self.is_proven = true;
        Ok(Step::Proven { used, time: Some(time) })
    }

    /// The first length of the older methods, and no more: what is behind it has to wait for the judgement.
    fn first_length(&mut self, bytes: &mut [u8]) -> Result<Step, Refused> {
        let Some(sealed) = bytes.get_mut(..LENGTH) else {
            return Ok(Step::Need(LENGTH));
        };
        let used = self.opener.open(sealed)?.used;
        self.is_proven = true;
        Ok(Step::Proven { used, time: None })
    }

    /// The address at the front of the text, which may have been cut anywhere.
    fn legacy_address(&mut self, text: &[u8], opened: &Opened) -> Result<Step, Refused> {
        let before = self.address.len();
        let room = LONGEST_ADDRESS.saturating_sub(before);
        self.address
            .extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
        let mut cursor = Cursor::new(&self.address);
        let (host, port) = match socks_address(&mut cursor) {
            Ok(Some(address)) => address,
            Ok(None) => return Err(Refused::Address),
            // Whoever sends chunks with nothing in them instead of an address could go on for ever, and all is kept.
            Err(NotYet(_)) if self.opener.wants == Wants::Length && text.is_empty() => return Err(Refused::Malformed),
            Err(NotYet(_)) => return Ok(Step::Used(opened.used)),
        };
        let destination = host
            .and_then(|host| Destination::new(host, port))
            .ok_or(Refused::Address)?;
        let of_this = cursor.used().saturating_sub(before);
        Ok(Step::Done {
            destination,
            used: opened.used,
            payload: opened.text.start.saturating_add(of_this)..opened.text.end,
        })
    }
}

/// SIP022 §3.1.3, variable-length header: address, padding, first payload, at least one byte of the latter two.
fn variable_header(text: &[u8], opened: &Opened) -> Result<Step, Refused> {
    let mut cursor = Cursor::new(text);
    let read = (|| {
        let address = socks_address(&mut cursor)?;
        let padding = cursor.u16()?;
        cursor.take(usize::from(padding))?;
        Ok::<_, NotYet>((address, padding))
    })();
    let (address, padding) = read.map_err(|_| Refused::Malformed)?;
    let (host, port) = address.ok_or(Refused::Address)?;
    let destination = host
        .and_then(|host| Destination::new(host, port))
        .ok_or(Refused::Address)?;
    let payload = opened.text.start.saturating_add(cursor.used())..opened.text.end;
    if padding > LONGEST_PADDING || (padding == 0 && payload.is_empty()) {
        return Err(Refused::Malformed);
    }
    Ok(Step::Done {
        destination,
        used: opened.used,
        payload,
    })
}

/// Seals what goes to a client.
pub struct Sealer {
    cipher: Cipher,
    method: Method,
    /// Our salt and the request's, until the first chunk has been sealed.
    first: Option<(Salt, Salt)>,
}

impl Sealer {
    /// The answer to the request that began with `request`; `own` is fresh and random.
    #[must_use]
    pub fn new(keys: &Keys, method: Method, own: Salt, request: Salt) -> Option<Self> {
        Some(Self {
            cipher: keys.cipher(method, own.as_bytes())?,
            method,
            first: Some((own, request)),
        })
    }

    /// So many bytes stand before the next chunk's text.
    #[must_use]
    pub fn headroom(&self) -> usize {
        match &self.first {
            None => LENGTH,
            Some((own, request)) if self.method.is_2022() => {
                let header = HEADER_2022.saturating_add(request.length).saturating_add(TAG);
                own.length.saturating_add(header)
            }
            Some((own, _)) => own.length.saturating_add(LENGTH),
        }
    }

    /// Whether the first chunk has been sealed, whose headroom is another than that of those behind it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.first.is_none()
    }

    /// The longest text of one chunk.
    #[must_use]
    pub fn longest(&self) -> usize {
        if self.method.is_2022() {
            usize::from(u16::MAX)
        } else {
            LONGEST_LEGACY
        }
    }

    /// Seals a chunk in place. `room` is [`Sealer::headroom`] bytes, the text, and [`TAG`] bytes more. `now`, in seconds since
    /// 1970, is told in the first chunk of 2022.
    ///
    /// Absent where the room is too small or the text too long.
    pub fn seal(&mut self, room: &mut [u8], now: u64) -> Option<()> {
        let headroom = self.headroom();
        let text = room.len().checked_sub(headroom)?.checked_sub(TAG)?;
        let length = u16::try_from(text).ok().filter(|_| text <= self.longest())?;
        let (head, text) = room.split_at_mut_checked(headroom)?;
        match self.first.take() {
            None => self.seal_length(head, length)?,
            Some((own, request)) => {
                let (salt, head) = head.split_at_mut_checked(own.length)?;
                salt.copy_from_slice(own.as_bytes());
                if self.method.is_2022() {
                    let fields = [
                        &[SERVER_STREAM][..],
                        &now.to_be_bytes(),
                        request.as_bytes(),
                        &length.to_be_bytes(),
                    ];
                    for (place, byte) in head.iter_mut().zip(fields.into_iter().flatten()) {
                        *place = *byte;
                    }
                    self.cipher.seal(head)?;
                } else {
                    self.seal_length(head, length)?;
                }
            }
        }
        self.cipher.seal(text)
    }

    fn seal_length(&mut self, head: &mut [u8], length: u16) -> Option<()> {
        head.first_chunk_mut::<2>()?.copy_from_slice(&length.to_be_bytes());
        self.cipher.seal(head)
    }
}
