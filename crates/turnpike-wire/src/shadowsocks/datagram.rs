//! UDP: each packet sealed on its own (SIP004; SIP022 §3.2).
//!
//! The older methods make a key for every packet. 2022 has sessions: a header under the password's own key names the session
//! and counts its packets, and the session's key is made once.

use std::net::SocketAddr;
use std::ops::Range;

use super::cipher::Cipher;
use super::{Keys, Method, Refused, Salt, TAG};
use crate::address::{Destination, put_socks_address, socks_address};
use crate::cursor::{Cursor, NotYet};

/// The separate header: session and packet.
const HEADER: usize = 16;
/// Type and time.
const TYPE_AND_TIME: usize = 1 + 8;
/// The longest padding.
const LONGEST_PADDING: u16 = 900;
/// The longest address of a sender: a type, an IPv6 address, a port.
const LONGEST_SENDER: usize = 1 + 16 + 2;

const CLIENT_PACKET: u8 = 0x00;
const SERVER_PACKET: u8 = 0x01;

/// So much longer than its data is a sealed packet to a client at the most.
pub const LONGEST_OVERHEAD: usize = HEADER + TYPE_AND_TIME + 8 + 2 + LONGEST_SENDER + TAG;

/// No sealed packet of a client is shorter: a salt, an IPv4 address, a tag.
pub const SHORTEST: usize = 16 + 1 + 4 + 2 + TAG;

/// Names a 2022 session: eight random bytes of whoever sends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 8]);

/// What the separate header of a 2022 packet says. Nothing proves it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whose session.
    pub session: SessionId,
    /// Which of its packets.
    pub packet: u64,
}

/// The key of a 2022 session, for one direction.
pub struct SessionKey(Cipher);

/// What stands in front of a packet to a client of 2022.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    /// The server's session and its packet's number, never the same twice.
    pub header: Header,
    /// The client's session.
    pub client: SessionId,
    /// Now, in seconds since 1970.
    pub now: u64,
}

/// A client's datagram, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The client's time, in seconds since 1970; only 2022 tells it.
    pub time: Option<u64>,
    /// Where it goes.
    pub destination: Destination,
    /// Where in the packet its data is.
    pub data: Range<usize>,
}

impl Header {
    /// Reads the header of a packet that may be of 2022. Absent where it is too short to be one.
    #[must_use]
    pub fn open(keys: &Keys, packet: &[u8]) -> Option<Self> {
        let shortest = HEADER.saturating_add(TYPE_AND_TIME).saturating_add(TAG);
        let mut block = *packet.get(..shortest.min(packet.len()))?.first_chunk::<HEADER>()?;
        if packet.len() < shortest {
            return None;
        }
        keys.open_header(&mut block);
        Some(Self::of(block))
    }

    fn of(block: [u8; HEADER]) -> Self {
        let (mut session, mut packet) = ([0; 8], [0; 8]);
        for (place, byte) in session.iter_mut().chain(packet.iter_mut()).zip(block) {
            *place = byte;
        }
        Self {
            session: SessionId(session),
            packet: u64::from_be_bytes(packet),
        }
    }

    fn block(self) -> [u8; HEADER] {
        let mut block = [0; HEADER];
        let bytes = self.session.0.into_iter().chain(self.packet.to_be_bytes());
        for (place, byte) in block.iter_mut().zip(bytes) {
            *place = byte;
        }
        block
    }

    /// The last 12 bytes (SIP022 §3.2.2).
    fn nonce(self) -> [u8; 12] {
        let mut nonce = [0; 12];
        for (place, byte) in nonce.iter_mut().zip(self.block().into_iter().skip(4)) {
            *place = byte;
        }
        nonce
    }
}

impl SessionKey {
    /// The key of everything that is sent in this session.
    #[must_use]
    pub fn new(keys: &Keys, session: SessionId) -> Option<Self> {
        keys.session_cipher(&session.0).map(Self)
    }

    /// Opens a client's packet in place.
    ///
    /// # Errors
    /// It is none, or is not for this session.
    pub fn open(&self, header: Header, packet: &mut [u8]) -> Result<Datagram, Refused> {
        let (_, body) = packet.split_at_mut_checked(HEADER).ok_or(Refused::Malformed)?;
        let length = self.0.open_at(header.nonce(), body).ok_or(Refused::Sealed)?;
        let text = body.get(..length).ok_or(Refused::Malformed)?;
        let mut cursor = Cursor::new(text);
        let read = (|| {
            let kind = cursor.u8()?;
            let time = u64::from_be_bytes(cursor.array()?);
            let padding = cursor.u16()?;
            cursor.take(usize::from(padding))?;
            let address = socks_address(&mut cursor)?;
            Ok::<_, NotYet>((kind, time, padding, address))
        })();
        let (kind, time, padding, address) = read.map_err(|_| Refused::Malformed)?;
        if kind != CLIENT_PACKET || padding > LONGEST_PADDING {
            return Err(Refused::Malformed);
        }
        Ok(Datagram {
            time: Some(time),
            destination: destination(address)?,
            data: HEADER.saturating_add(cursor.used())..HEADER.saturating_add(length),
        })
    }

    /// Seals `data` from `sender` into a packet to a client. This is the key of the server's session.
    pub fn seal(&self, keys: &Keys, reply: Reply, sender: SocketAddr, data: &[u8], packet: &mut Vec<u8>) -> Option<()> {
        packet.clear();
        let mut block = reply.header.block();
        keys.seal_header(&mut block);
        packet.extend(block);
        packet.push(SERVER_PACKET);
        packet.extend(reply.now.to_be_bytes());
        packet.extend(reply.client.0);
        packet.extend([0, 0]);
        put_socks_address(packet, sender);
        packet.extend_from_slice(data);
        packet.extend([0; TAG]);
        let (_, body) = packet.split_at_mut_checked(HEADER)?;
        self.0.seal_at(reply.header.nonce(), body)
    }
}

/// Opens a client's packet of an older method in place.
///
/// # Errors
/// It is none.
pub fn open_legacy(keys: &Keys, method: Method, packet: &mut [u8]) -> Result<Datagram, Refused> {
    let salt = Salt::of(method, packet).ok_or(Refused::Malformed)?;
    let start = method.salt_length();
    let body = packet.get_mut(start..).ok_or(Refused::Malformed)?;
    let cipher = keys.cipher(method, salt.as_bytes()).ok_or(Refused::Sealed)?;
    let length = cipher.open_at([0; 12], body).ok_or(Refused::Sealed)?;
    let mut cursor = Cursor::new(body.get(..length).ok_or(Refused::Malformed)?);
    let address = socks_address(&mut cursor).map_err(|_| Refused::Malformed)?;
    Ok(Datagram {
        time: None,
        destination: destination(address)?,
        data: start.saturating_add(cursor.used())..start.saturating_add(length),
    })
}

/// Seals `data` from `sender` into a packet of an older method; `salt` is fresh and random.
pub fn seal_legacy(
    keys: &Keys,
    method: Method,
    salt: &Salt,
    sender: SocketAddr,
    data: &[u8],
    packet: &mut Vec<u8>,
) -> Option<()> {
    packet.clear();
    packet.extend_from_slice(salt.as_bytes());
    put_socks_address(packet, sender);
    packet.extend_from_slice(data);
    packet.extend([0; TAG]);
    let (_, body) = packet.split_at_mut_checked(salt.length)?;
    keys.cipher(method, salt.as_bytes())?.seal_at([0; 12], body)
}

fn destination(address: Option<(Option<crate::address::Host>, u16)>) -> Result<Destination, Refused> {
    let (host, port) = address.ok_or(Refused::Address)?;
    host.and_then(|host| Destination::new(host, port))
        .ok_or(Refused::Address)
}
