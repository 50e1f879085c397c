//! UDP over TCP, versions 1 and 2, the server's side (SagerNet, sing/common/uot).
//!
//! Version 2 begins with a request: whether all datagrams go to one destination, and to which. Then come datagrams, each behind
//! its length, and behind an address too where they have none in common. Version 1 has no request, and addresses always.

use std::net::{IpAddr, SocketAddr};

use crate::Parse;
use crate::address::{Destination, Host, ipv4, ipv6, socks_address};
use crate::cursor::{Cursor, NotYet};

const IPV4: u8 = 0x00;
const IPV6: u8 = 0x01;
const NAME: u8 = 0x02;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Datagrams to one destination, without addresses.
    Connect(Destination),
    /// Datagrams to anywhere.
    Associate,
}

/// A datagram on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram<'b> {
    /// Absent where it is no destination: the datagram goes nowhere.
    pub to: Option<Destination>,
    /// What it carries.
    pub data: &'b [u8],
}

/// Why a stream cannot go on: an address is of no known kind, so that what is behind it cannot be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address is of no known kind")]
pub struct Refused;

/// Reads `is connect, type, address, port` of version 2, the address as SOCKS5 writes it.
#[must_use]
pub fn request(bytes: &[u8]) -> Parse<Request, Refused> {
    let mut cursor = Cursor::new(bytes);
    let read = (|| {
        let is_connect = cursor.u8()? != 0;
        let Some((host, port)) = socks_address(&mut cursor)? else {
            return Ok(Err(Refused));
        };
        if !is_connect {
            // The destination of the first datagram, which says so itself.
            return Ok(Ok(Request::Associate));
        }
        let to = host.and_then(|host| Destination::new(host, port));
        Ok(to.map(Request::Connect).ok_or(Refused))
    })();
    parsed(read, &cursor)
}

/// Reads the next `type, address, port, u16 length, data`.
#[must_use]
pub fn datagram(bytes: &[u8]) -> Parse<Datagram<'_>, Refused> {
    let mut cursor = Cursor::new(bytes);
    let read = whole(&mut cursor);
    parsed(read, &cursor)
}

fn whole<'b>(cursor: &mut Cursor<'b>) -> Result<Result<Datagram<'b>, Refused>, NotYet> {
    let host = match cursor.u8()? {
        IPV4 => Some(ipv4(cursor.array()?)),
        IPV6 => Some(ipv6(cursor.array()?)),
        NAME => {
            let length = cursor.u8()?;
            Host::from_field(cursor.take(usize::from(length))?)
        }
        _ => return Ok(Err(Refused)),
    };
    let port = cursor.u16()?;
    let length = cursor.u16()?;
    let data = cursor.take(usize::from(length))?;
    let to = host.and_then(|host| Destination::new(host, port));
    Ok(Ok(Datagram { to, data }))
}

fn parsed<T>(read: Result<Result<T, Refused>, NotYet>, cursor: &Cursor<'_>) -> Parse<T, Refused> {
    match read {
        Ok(Ok(value)) => Parse::Done(value, cursor.used()),
        Ok(Err(refused)) => Parse::Refuse(refused),
        Err(NotYet(needed)) => Parse::Need(needed),
    }
}

/// The header of a datagram of `length` bytes from `source`: 21 bytes at most.
#[must_use]
pub fn header(source: SocketAddr, length: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(21);
    match source.ip().to_canonical() {
        IpAddr::V4(ip) => {
            bytes.push(IPV4);
            bytes.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(IPV6);
            bytes.extend(ip.octets());
        }
    }
    bytes.extend(source.port().to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hex;

    fn to(authority: &str) -> Destination {
        Destination::from_authority(authority, None).unwrap()
    }

    /// Cut anywhere, it needs more; whole, it is this.
    fn assert_read<T: PartialEq + std::fmt::Debug>(
        read: impl Fn(&[u8]) -> Parse<T, Refused>,
        bytes: &[u8],
        expected: T,
    ) {
        for cut in 0..bytes.len() {
            assert!(matches!(read(&bytes[..cut]), Parse::Need(n) if n > cut && n <= bytes.len()));
        }
        assert_eq!(read(bytes), Parse::Done(expected, bytes.len()));
    }

    #[test]
    fn requests_are_read() {
        assert_read(request, &hex("0101c00002010035"), Request::Connect(to("192.0.2.1:53")));
        let named = hex("01030b6578616d706c652e636f6d01bb");
        assert_read(request, &named, Request::Connect(to("example.com:443")));
        assert_read(request, &hex("0001c00002010035"), Request::Associate);
        // Where it does not matter, it need not be anything.
        assert_read(request, &hex("0001000000000000"), Request::Associate);
        assert_read(request, &hex("00030000 00"), Request::Associate);
        assert_eq!(request(&hex("0101000000000000")), Parse::Refuse(Refused));
        assert_eq!(request(&hex("0102")), Parse::Refuse(Refused));
        assert_eq!(request(&hex("0009")), Parse::Refuse(Refused));
    }

    #[test]
    fn addresses_have_numbers_of_their_own() {
        let sent = |to| Datagram { to, data: b"hi" };
        for (bytes, expected) in [
            ("00c0000201003500026869", Some(to("192.0.2.1:53"))),
            (
                "0120010db80000000000000000000000010035 00026869",
                Some(to("[2001:db8::1]:53")),
            ),
            ("020b6578616d706c652e636f6d01bb00026869", Some(to("example.com:443"))),
            ("00c0000201000000026869", None),
            ("020161003500026869", Some(to("a:53"))),
            ("0200003500026869", None),
        ] {
            let digits = bytes.replace(' ', "");
            let bytes = hex(&digits);
            for cut in 0..bytes.len() {
                assert!(matches!(datagram(&bytes[..cut]), Parse::Need(n) if n > cut && n <= bytes.len()));
            }
            assert_eq!(datagram(&bytes), Parse::Done(sent(expected), bytes.len()), "{digits}");
        }
        assert_eq!(datagram(&[3]), Parse::Refuse(Refused));
        assert_eq!(header("192.0.2.1:53".parse().unwrap(), 2), hex("00c000020100350002"));
    }

    proptest! {
        #[test]
        fn datagrams_are_read_as_they_are_written(ip: IpAddr, port in 1_u16.., data in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = header(SocketAddr::new(ip, port), u16::try_from(data.len()).unwrap());
            bytes.extend(&data);
            let to = Destination { host: Host::from(ip), port };
            prop_assert_eq!(datagram(&bytes), Parse::Done(Datagram { to: Some(to), data: &data }, bytes.len()));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (request(&bytes), datagram(&bytes));
        }
    }
}
