//! VLESS, the server's side: one head, then the stream itself (Xray, "VLESS protocol"; proxy/vless/encoding).

use std::net::{IpAddr, SocketAddr};

use crate::Parse;
use crate::address::{Destination, Host, ipv4, ipv6};
use crate::cursor::{Cursor, NotYet};

/// The version, and the length of the user's id behind it.
const VERSION: u8 = 0x00;
/// The version and the id: what tells the protocol.
pub const SHORTEST_OPENING: usize = 1 + 16;
/// The answer to every request: the version, and no addons.
pub const RESPONSE: [u8; 2] = [VERSION, 0x00];

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A connection.
    Tcp(Destination),
    /// Datagrams to one destination, each behind its length.
    Udp(Destination),
    /// Several streams and datagrams in one (mux.cool, XUDP).
    Mux,
}

/// Why a head is not served. Nothing is ever answered to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not version 0.
    #[error("only version 0 is served")]
    Version,
    /// A flow: it needs TLS of its own kind underneath.
    #[error("the client asks for a flow; remove \"flow\" from its settings")]
    Flow,
    /// Another command than TCP, UDP and mux.
    #[error("only TCP, UDP and mux are served")]
    Command,
    /// An address type that does not exist, a name that is none, port 0.
    #[error("the address is of no known kind")]
    Address,
    /// Addons that are no protobuf.
    #[error("the addons are malformed")]
    Addons,
}

/// Whether these bytes begin with version 0 and this id, compared in constant time. Absent where there are too few.
#[must_use]
pub fn recognise(id: &[u8; 16], bytes: &[u8]) -> Option<bool> {
    let version = *bytes.first()?;
    let given = bytes.get(1..17)?;
    Some(version == VERSION && is_equal(given, id))
}

/// The same whatever the version.
pub(crate) fn names(id: &[u8; 16], bytes: &[u8]) -> bool {
    bytes.get(1..17).is_some_and(|given| is_equal(given, id))
}

fn is_equal(given: &[u8], id: &[u8; 16]) -> bool {
    use subtle::ConstantTimeEq as _;
    bool::from(given.ct_eq(id))
}

/// Reads the head that [`recognise`] has told. The id is not looked at again.
#[must_use]
pub fn request(bytes: &[u8]) -> Parse<Request, Refused> {
    let mut cursor = Cursor::new(bytes);
    match head(&mut cursor) {
        Ok(Ok(request)) => Parse::Done(request, cursor.used()),
        Ok(Err(refused)) => Parse::Refuse(refused),
        Err(NotYet(needed)) => Parse::Need(needed),
    }
}

fn head(cursor: &mut Cursor<'_>) -> Result<Result<Request, Refused>, NotYet> {
    if cursor.u8()? != VERSION {
        return Ok(Err(Refused::Version));
    }
    cursor.take(16)?;
    let length = cursor.u8()?;
    if let Err(refused) = addons(cursor.take(usize::from(length))?) {
        return Ok(Err(refused));
    }
    let make = match cursor.u8()? {
        0x01 => Request::Tcp,
        0x02 => Request::Udp,
        0x03 => return Ok(Ok(Request::Mux)),
        _ => return Ok(Err(Refused::Command)),
    };
    let destination = address(cursor)?;
    Ok(destination.map(make).ok_or(Refused::Address))
}

/// Reads `port atyp address`, as VLESS and mux.cool write it. Absent where it is of no known kind.
pub(crate) fn address(cursor: &mut Cursor<'_>) -> Result<Option<Destination>, NotYet> {
    let port = cursor.u16()?;
    let host = match cursor.u8()? {
        0x01 => Some(ipv4(cursor.array()?)),
        0x02 => {
            let length = cursor.u8()?;
            Host::from_field(cursor.take(usize::from(length))?)
        }
        0x03 => Some(ipv6(cursor.array()?)),
        _ => None,
    };
    Ok(host.and_then(|host| Destination::new(host, port)))
}

/// Writes what [`address`] reads.
pub(crate) fn put_address(bytes: &mut Vec<u8>, address: SocketAddr) {
    bytes.extend(address.port().to_be_bytes());
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            bytes.push(0x01);
            bytes.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(0x03);
            bytes.extend(ip.octets());
        }
    }
}

/// Protobuf: field 1 is the flow, which must be absent or empty; others are skipped.
fn addons(bytes: &[u8]) -> Result<(), Refused> {
    let mut cursor = Cursor::new(bytes);
    while cursor.used() < bytes.len() {
        let (field, length) = field(&mut cursor).map_err(|_| Refused::Addons)?;
        let value = cursor.take(length).map_err(|_| Refused::Addons)?;
        if field == 1 && !value.is_empty() {
            return Err(Refused::Flow);
        }
    }
    Ok(())
}

/// A field's number, and how many bytes of value follow (protobuf encoding, wire types 0, 1, 2 and 5).
fn field(cursor: &mut Cursor<'_>) -> Result<(u64, usize), NotYet> {
    let key = varint(cursor)?;
    let length = match key & 7 {
        0 => {
            varint(cursor)?;
            0
        }
        1 => 8,
        2 => usize::try_from(varint(cursor)?).unwrap_or(usize::MAX),
        5 => 4,
        // A wire type that nobody uses any more: the value cannot be skipped.
        _ => usize::MAX,
    };
    Ok((key >> 3, length))
}

fn varint(cursor: &mut Cursor<'_>) -> Result<u64, NotYet> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = cursor.u8()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(NotYet(usize::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hex;

    const ID: [u8; 16] = [
        0x7f, 0x3d, 0x9d, 0x4a, 0x8b, 0x9f, 0x4a, 0x93, 0x9f, 0x55, 0x2d, 0x5e, 0x3b, 0x7f, 0x1c, 0x24,
    ];
    /// Made with another program: example.com:443 by TCP.
    const HEAD: &str = "007f3d9d4a8b9f4a939f552d5e3b7f1c24000101bb020b6578616d706c652e636f6d";
    const VISION: &str = "120a1078746c732d727072782d766973696f6e";

    #[test]
    fn a_head_of_another_program_is_read() {
        let head = hex(HEAD);
        assert_eq!(recognise(&ID, &head), Some(true));
        let to = Destination::from_authority("example.com:443", None).unwrap();
        assert_eq!(request(&head), Parse::Done(Request::Tcp(to), head.len()));
        for length in 0..head.len() {
            assert!(matches!(request(&head[..length]), Parse::Need(n) if n > length && n <= head.len()));
        }
    }

    #[test]
    fn what_is_not_served_is_told_by_its_name() {
        let with = |addons: &str, rest: &str| {
            let id = &HEAD[..34];
            request(&hex(&format!("{id}{addons}{rest}")))
        };
        assert_eq!(with(VISION, "0101bb0101020304"), Parse::Refuse(Refused::Flow));
        assert_eq!(with("0412025858", "03"), Parse::Done(Request::Mux, 23));
        assert_eq!(with("020a00", "03"), Parse::Done(Request::Mux, 21));
        assert_eq!(with("00", "04"), Parse::Refuse(Refused::Command));
        assert_eq!(with("00", "01000001"), Parse::Need(26));
        assert_eq!(with("00", "01000001c0000201"), Parse::Refuse(Refused::Address));
        assert_eq!(with("00", "010050040000"), Parse::Refuse(Refused::Address));
        assert_eq!(with("010a", "03"), Parse::Refuse(Refused::Addons));
        assert_eq!(with("010f", "03"), Parse::Refuse(Refused::Addons));
    }

    #[test]
    fn another_id_is_not_recognised() {
        let mut head = hex(HEAD);
        assert_eq!(recognise(&ID, &head[..16]), None);
        head[16] ^= 1;
        assert_eq!(recognise(&ID, &head), Some(false));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (request(&bytes), recognise(&ID, &bytes));
            let mut with_id = hex(&HEAD[..34]);
            with_id.extend(&bytes);
            let _ = request(&with_id);
        }
    }
}
