//! Destinations, and the ways that protocols write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::cursor::{Cursor, NotYet};
use crate::magic::Magic;

/// Where a customer wants to go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The host.
    pub host: Host,
    /// The port; never 0, but with a name of [`Magic`], which nobody dials.
    pub port: u16,
}

/// A host: an address, or a name that is no address in disguise.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address; IPv4-mapped IPv6 has been unmapped.
    Ip(IpAddr),
    /// A lower-case name of 1 to 253 letters, digits, `-`, `_` and `.`, without a trailing dot.
    Name(String),
}

/// The longest name that DNS can carry (RFC 1035 §2.3.4), as text without its trailing dot.
const LONGEST_NAME: usize = 253;
/// The longest part of a name between dots.
const LONGEST_LABEL: usize = 63;

impl Host {
    /// Reads the field that protocols have for a name. An IP literal in it is an address: curl's `socks5h` sends literals so.
    ///
    /// Absent where it is neither an address nor a name: empty, too long, with other characters, with a zone (`%eth0`).
    #[must_use]
    pub fn from_field(field: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(field).ok()?;
        let literal = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(literal) = literal {
            return literal.parse::<Ipv6Addr>().ok().map(Self::from);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::from(address));
        }
        let name = name(text)?;
        // Without its last dot, or with ASCII's digits for others, it may be one after all.
        Some(name.parse::<Ipv4Addr>().map_or_else(|_| Self::Name(name), Self::from))
    }
}

impl<T: Into<IpAddr>> From<T> for Host {
    fn from(address: T) -> Self {
        Self::Ip(address.into().to_canonical())
    }
}

impl Destination {
    /// Absent where the port is 0, unless the host is none: sing-box writes 0 beside the names of [`Magic`].
    #[must_use]
    pub fn new(host: Host, port: u16) -> Option<Self> {
        (port != 0 || Magic::of(&host).is_some()).then_some(Self { host, port })
    }

    /// Reads `host:port` as URLs write it, an IPv6 address in brackets (RFC 3986 §3.2). Without `default_port` a port must be
    /// there.
    #[must_use]
    pub fn from_authority(authority: &str, default_port: Option<u16>) -> Option<Self> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (literal, rest) = rest.split_once(']')?;
                let port = match rest {
                    "" => None,
                    rest => Some(rest.strip_prefix(':')?),
                };
                (Host::from(literal.parse::<Ipv6Addr>().ok()?), port)
            }
            None => {
                let (host, port) = match authority.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (authority, None),
                };
                (Host::from_field(host.as_bytes())?, port)
            }
        };
        let port = match (port, default_port) {
            (None | Some(""), default) => default?,
            (Some(digits), _) => decimal_port(digits)?,
        };
        Self::new(host, port)
    }
}

/// A port of digits only: no sign, no blank, nothing beyond 65535.
fn decimal_port(digits: &str) -> Option<u16> {
    let is_plain = digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { digits.parse().ok() } else { None }
}

/// A name in lower case without its trailing dot. Names beyond ASCII become what DNS knows them by (IDNA, UTS 46).
fn name(text: &str) -> Option<String> {
    let ascii = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii_strict(text).ok()?
    };
    let name = ascii.strip_suffix('.').unwrap_or(&ascii);
    let is_fit = (1..=LONGEST_NAME).contains(&name.len())
        && name.split('.').all(|label| {
            (1..=LONGEST_LABEL).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        });
    is_fit.then(|| name.to_owned())
}

impl fmt::Display for Host {
    /// As URLs write it: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// An IPv4 address from four bytes of the wire.
pub(crate) fn ipv4(bytes: [u8; 4]) -> Host {
    Host::from(Ipv4Addr::from(bytes))
}

/// An address from sixteen bytes of the wire.
pub(crate) fn ipv6(bytes: [u8; 16]) -> Host {
    Host::from(Ipv6Addr::from(bytes))
}

/// Reads `atyp address port`, as SOCKS5 (RFC 1928 §5) and Shadowsocks write it. Absent for an unknown type; the host is
/// absent where it is none.
pub(crate) fn socks_address(cursor: &mut Cursor<'_>) -> Result<Option<(Option<Host>, u16)>, NotYet> {
    let host = match cursor.u8()? {
        0x01 => Some(ipv4(cursor.array()?)),
        0x03 => {
            let length = cursor.u8()?;
            Host::from_field(cursor.take(usize::from(length))?)
        }
        0x04 => Some(ipv6(cursor.array()?)),
        _ => return Ok(None),
    };
    Ok(Some((host, cursor.u16()?)))
}

/// Writes what [`socks_address`] reads.
pub(crate) fn put_socks_address(bytes: &mut Vec<u8>, address: SocketAddr) {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            bytes.push(0x01);
            bytes.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(0x04);
            bytes.extend(ip.octets());
        }
    }
    bytes.extend(address.port().to_be_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_addresses_or_names() {
        assert_eq!(Host::from_field(b"127.0.0.1."), Some(Host::from(Ipv4Addr::LOCALHOST)));
        for (field, expected) in [
            ("example.com", "example.com"),
            ("Example.COM.", "example.com"),
            ("_dmarc.example.com", "_dmarc.example.com"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1.", "192.0.2.1"),
            ("１９２.０.２.１", "192.0.2.1"),
            ("::1", "[::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("0x7f.1", "0x7f.1"),
        ] {
            assert_eq!(
                Host::from_field(field.as_bytes()).unwrap().to_string(),
                expected,
                "{field}"
            );
        }
        // 127 labels and their dots are the most: the last dot is the root's and does not count.
        let longest = "a.".repeat(127);
        assert!(Host::from_field(longest.as_bytes()).is_some());
        let long = format!("{longest}a");
        let label = "a".repeat(64);
        for field in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "a:b",
            "fe80::1%eth0",
            "[fe80::1%eth0]",
            "[::1",
            "a\0b",
            "a\r\nb",
            &long,
            &label,
        ] {
            assert_eq!(Host::from_field(field.as_bytes()), None, "{field:?}");
        }
        assert_eq!(Host::from_field(&[0xff, 0xfe]), None);
    }

    #[test]
    fn authorities_are_read_as_urls_write_them() {
        let read = |text: &str, default| Destination::from_authority(text, default).map(|to| to.to_string());
        assert_eq!(read("example.com:443", None), Some("example.com:443".to_owned()));
        assert_eq!(read("example.com", Some(80)), Some("example.com:80".to_owned()));
        assert_eq!(read("example.com:", Some(80)), Some("example.com:80".to_owned()));
        assert_eq!(read("[::1]:8080", None), Some("[::1]:8080".to_owned()));
        assert_eq!(read("[::1]", Some(80)), Some("[::1]:80".to_owned()));
        assert_eq!(read("v1.mux.cool:0", None), Some("v1.mux.cool:0".to_owned()));
        for text in [
            "example.com",
            "a:0",
            "a:65536",
            "a:+1",
            "a: 1",
            "a:4294967739",
            "::1:443",
            "[::1]x:1",
            "[1.2.3.4]:1",
            ":1",
        ] {
            assert_eq!(read(text, None), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_field_is_read_without_a_panic(field in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(Host::Name(name)) = Host::from_field(&field) {
                prop_assert!(name.parse::<IpAddr>().is_err());
                prop_assert_eq!(Host::from_field(name.as_bytes()), Some(Host::Name(name)));
            }
        }

        #[test]
        fn what_is_shown_is_read_again(ip in any::<IpAddr>(), port in 1_u16..) {
            let to = Destination::new(Host::from(ip), port).unwrap();
            prop_assert_eq!(Destination::from_authority(&to.to_string(), None), Some(to));
        }

        #[test]
        fn any_authority_is_read_without_a_panic(text in "\\PC{0,40}", default in proptest::option::of(any::<u16>())) {
            let _ = Destination::from_authority(&text, default);
        }
    }
}
