//! packetaddr: an address in front of each datagram of a stream that was asked for under [`crate::magic::Magic::PacketAddr`]
//! (v2fly, common/net/packetaddr). Names cannot be written.

use std::net::{IpAddr, SocketAddr};

use crate::address::{Destination, ipv4, ipv6};
use crate::cursor::Cursor;

const IPV4: u8 = 0x01;
const IPV6: u8 = 0x02;

/// Reads `type, address, port, data`: where a datagram goes, and its data. Absent for anything else.
#[must_use]
pub fn datagram(bytes: &[u8]) -> Option<(Destination, &[u8])> {
    let mut cursor = Cursor::new(bytes);
    let host = match cursor.u8().ok()? {
        IPV4 => ipv4(cursor.array().ok()?),
        IPV6 => ipv6(cursor.array().ok()?),
        _ => return None,
    };
    let to = Destination::new(host, cursor.u16().ok()?)?;
    Some((to, bytes.get(cursor.used()..)?))
}

/// The address in front of a datagram from `source`: 19 bytes at most.
#[must_use]
pub fn header(source: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(19);
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
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::address::Host;
    use crate::hex;

    #[test]
    fn addresses_are_read_and_written() {
        let to = Destination::from_authority("192.0.2.1:53", None).unwrap();
        assert_eq!(datagram(&hex("01c0000201003570696e67")), Some((to, &b"ping"[..])));
        assert_eq!(header("192.0.2.1:53".parse().unwrap()), hex("01c00002010035"));
        assert_eq!(
            header("[2001:db8::1]:53".parse().unwrap()),
            hex("0220010db80000000000000000000000010035")
        );
        for bytes in [
            "",
            "01",
            "01c000020100",
            "01c00002010000",
            "03c00002010035",
            "02c00002010035",
        ] {
            assert_eq!(datagram(&hex(bytes)), None, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn datagrams_are_read_as_they_are_written(ip: IpAddr, port in 1_u16.., data in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = [header(SocketAddr::new(ip, port)), data.clone()].concat();
            let to = Destination { host: Host::from(ip), port };
            prop_assert_eq!(datagram(&bytes), Some((to, &data[..])));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = datagram(&bytes);
        }
    }
}
