//! SOCKS5, the server's side: greeting, login, request, datagrams (RFC 1928, RFC 1929).

use std::net::SocketAddr;

use crate::Parse;
use crate::address::{Destination, put_socks_address, socks_address};
use crate::cursor::{Cursor, NotYet};

/// What a client that opens a connection can do (RFC 1928 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// Whether it offers to log in by user name and password (method 02).
    pub offers_password: bool,
    /// Whether it offers to go on without (method 00).
    pub offers_nothing: bool,
}

/// User name and password (RFC 1929 §2); either may be empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// UNAME.
    pub username: Vec<u8>,
    /// PASSWD.
    pub password: Vec<u8>,
}

/// What a client asks for (RFC 1928 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A connection to this destination.
    Connect(Destination),
    /// An association for datagrams. The client says where it will send from; nothing (zeros) where it does not know.
    UdpAssociate {
        /// The port that it will send from, where it says one.
        port: Option<u16>,
    },
}

/// Why bytes are not what was expected, or cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not this protocol, or not this step of it.
    #[error("this is not SOCKS5")]
    Malformed,
    /// Another command than CONNECT and UDP ASSOCIATE.
    #[error("only CONNECT and UDP ASSOCIATE are served")]
    Command,
    /// An address type that does not exist, a name that is none, port 0.
    #[error("the address is of no known kind")]
    Address,
}

/// Answer to a greeting: log in by password.
pub const CHOOSE_PASSWORD: [u8; 2] = [0x05, 0x02];
/// Answer to a greeting: go on as you are.
pub const CHOOSE_NOTHING: [u8; 2] = [0x05, 0x00];
/// Answer to a greeting: nothing that you offer will do.
pub const NONE_ACCEPTABLE: [u8; 2] = [0x05, 0xff];
/// Answer to a login: welcome.
pub const LOGIN_GOOD: [u8; 2] = [0x01, 0x00];
/// Answer to a login: no.
pub const LOGIN_BAD: [u8; 2] = [0x01, 0x01];

/// How a request ended (RFC 1928 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    /// It is done.
    Succeeded = 0x00,
    /// The server cannot.
    GeneralFailure = 0x01,
    /// The rules forbid it.
    NotAllowed = 0x02,
    /// The network cannot be reached.
    NetworkUnreachable = 0x03,
    /// The host cannot be reached.
    HostUnreachable = 0x04,
    /// The host refused.
    ConnectionRefused = 0x05,
    /// Nobody answered; historically "TTL expired".
    TtlExpired = 0x06,
    /// The command is not served.
    CommandNotSupported = 0x07,
    /// The address type is not served.
    AddressTypeNotSupported = 0x08,
}

fn finish<T>(read: Result<Result<(T, usize), Refused>, NotYet>) -> Parse<T, Refused> {
    match read {
        Ok(Ok((value, used))) => Parse::Done(value, used),
        Ok(Err(refused)) => Parse::Refuse(refused),
        Err(NotYet(needed)) => Parse::Need(needed),
    }
}

/// Reads `05 nmethods methods`.
#[must_use]
pub fn greeting(bytes: &[u8]) -> Parse<Greeting, Refused> {
    finish((|| {
        let mut cursor = Cursor::new(bytes);
        if cursor.u8()? != 0x05 {
            return Ok(Err(Refused::Malformed));
        }
        let count = cursor.u8()?;
        let methods = cursor.take(usize::from(count))?;
        let greeting = Greeting {
            offers_password: methods.contains(&0x02),
            offers_nothing: methods.contains(&0x00),
        };
        Ok(Ok((greeting, cursor.used())))
    })())
}

/// Reads `01 ulen user plen password`.
#[must_use]
pub fn login(bytes: &[u8]) -> Parse<Login, Refused> {
    finish((|| {
        let mut cursor = Cursor::new(bytes);
        if cursor.u8()? != 0x01 {
            return Ok(Err(Refused::Malformed));
        }
        let length = cursor.u8()?;
        let username = cursor.take(usize::from(length))?.to_vec();
        let length = cursor.u8()?;
        let password = cursor.take(usize::from(length))?.to_vec();
        Ok(Ok((Login { username, password }, cursor.used())))
    })())
}

/// Reads `05 cmd 00 address`.
#[must_use]
pub fn request(bytes: &[u8]) -> Parse<Request, Refused> {
    finish((|| {
        let mut cursor = Cursor::new(bytes);
        let [version, command, _reserved] = cursor.array()?;
        if version != 0x05 {
            return Ok(Err(Refused::Malformed));
        }
        if !matches!(command, 0x01 | 0x03) {
            return Ok(Err(Refused::Command));
        }
        let (host, port) = match socks_address(&mut cursor)? {
            Some(address) => address,
            None => return Ok(Err(Refused::Address)),
        };
        let request = match command {
            0x01 => host.and_then(|host| Destination::new(host, port)).map(Request::Connect),
            // What the client claims as its address is not believed, only where it connects from (RFC 1928 §7).
            _ => Some(Request::UdpAssociate {
                port: (port != 0).then_some(port),
            }),
        };
        Ok(request.ok_or(Refused::Address).map(|request| (request, cursor.used())))
    })())
}

/// `05 rep 00 atyp address port`: the answer to a request.
#[must_use]
pub fn reply(reply: Reply, bound: Option<SocketAddr>) -> Vec<u8> {
    let mut bytes = vec![0x05, reply as u8, 0x00];
    put_socks_address(&mut bytes, bound.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))));
    bytes
}

/// The longest header of a datagram that comes from an address: `00 00 frag atyp ipv6 port`.
pub const LONGEST_DATAGRAM_HEADER: usize = 22;

/// Reads `00 00 frag address data` of a datagram (RFC 1928 §7): where it goes, and where its data begins. Absent for anything
/// else, and for fragments, which are not put together here.
#[must_use]
pub fn datagram(bytes: &[u8]) -> Option<(Destination, &[u8])> {
    let mut cursor = Cursor::new(bytes);
    let [0, 0, 0] = cursor.array().ok()? else {
        return None;
    };
    let (host, port) = socks_address(&mut cursor).ok()??;
    let destination = Destination::new(host?, port)?;
    Some((destination, bytes.get(cursor.used()..)?))
}

/// The header of a datagram from `source`.
#[must_use]
pub fn datagram_header(source: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LONGEST_DATAGRAM_HEADER);
    bytes.extend([0, 0, 0]);
    put_socks_address(&mut bytes, source);
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::address::Host;

    fn put_host(bytes: &mut Vec<u8>, host: &Host, port: u16) {
        match host {
            Host::Ip(ip) => put_socks_address(bytes, SocketAddr::new(*ip, port)),
            Host::Name(name) => {
                bytes.extend([0x03, u8::try_from(name.len()).unwrap()]);
                bytes.extend(name.as_bytes());
                bytes.extend(port.to_be_bytes());
            }
        }
    }

    fn host() -> impl Strategy<Value = Host> {
        prop_oneof![
            any::<IpAddr>().prop_map(Host::from),
            "[a-z]{1,20}\\.[a-z]{1,10}".prop_map(Host::Name)
        ]
    }

    #[test]
    fn refusals() {
        assert_eq!(greeting(&[4]), Parse::Refuse(Refused::Malformed));
        assert_eq!(request(&[5, 2, 0, 1]), Parse::Refuse(Refused::Command));
        assert_eq!(request(&[5, 0xf0, 0]), Parse::Refuse(Refused::Command));
        assert_eq!(request(&[5, 1, 0, 9]), Parse::Refuse(Refused::Address));
        assert_eq!(request(&[5, 1, 0, 3, 0, 0, 80]), Parse::Refuse(Refused::Address));
        assert_eq!(
            request(&[5, 1, 0, 1, 1, 2, 3, 4, 0, 0]),
            Parse::Refuse(Refused::Address)
        );
        assert!(datagram(&[0, 0, 1, 1, 1, 2, 3, 4, 0, 80]).is_none());
        assert!(datagram(&[0, 0, 0, 1, 1, 2, 3, 4, 0]).is_none());
    }

    #[test]
    fn a_literal_in_the_names_field_is_an_address() {
        let bytes = [&[5, 1, 0, 3, 9][..], b"192.0.2.1", &[0, 80]].concat();
        let Parse::Done(Request::Connect(to), _) = request(&bytes) else {
            panic!("it is whole");
        };
        assert_eq!(to.host, Host::from([192, 0, 2, 1]));
    }

    #[test]
    fn replies_are_written() {
        assert_eq!(reply(Reply::Succeeded, None), [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        let bound = "192.0.2.1:513".parse().unwrap();
        assert_eq!(reply(Reply::Succeeded, Some(bound)), [5, 0, 0, 1, 192, 0, 2, 1, 2, 1]);
    }

    proptest! {
        #[test]
        fn a_whole_handshake_is_read_alike_however_it_is_cut(
            methods in proptest::collection::vec(any::<u8>(), 0..=255),
            username in proptest::collection::vec(any::<u8>(), 0..=255),
            password in proptest::collection::vec(any::<u8>(), 0..=255),
            host in host(),
            port in 1_u16..,
        ) {
            let mut first = vec![5, u8::try_from(methods.len()).unwrap()];
            first.extend(&methods);
            let mut second = vec![1, u8::try_from(username.len()).unwrap()];
            second.extend(&username);
            second.push(u8::try_from(password.len()).unwrap());
            second.extend(&password);
            let mut third = vec![5, 1, 0];
            put_host(&mut third, &host, port);
            for length in 0..first.len() {
                prop_assert!(matches!(greeting(&first[..length]), Parse::Need(n) if n > length && n <= first.len()));
            }
            for length in 0..second.len() {
                prop_assert!(matches!(login(&second[..length]), Parse::Need(n) if n > length && n <= second.len()));
            }
            for length in 0..third.len() {
                prop_assert!(matches!(request(&third[..length]), Parse::Need(n) if n > length && n <= third.len()));
            }
            prop_assert_eq!(
                greeting(&first),
                Parse::Done(
                    Greeting { offers_password: methods.contains(&2), offers_nothing: methods.contains(&0) },
                    first.len()
                )
            );
            let is_read = login(&second) == Parse::Done(Login { username, password }, second.len());
            prop_assert!(is_read);
            prop_assert_eq!(
                request(&third),
                Parse::Done(Request::Connect(Destination::new(host, port).unwrap()), third.len())
            );
        }

        #[test]
        fn datagrams_are_read_as_they_are_written(ip in any::<IpAddr>(), port in 1_u16.., data in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = datagram_header(SocketAddr::new(ip, port));
            prop_assert!(bytes.len() <= LONGEST_DATAGRAM_HEADER);
            bytes.extend(&data);
            prop_assert_eq!(datagram(&bytes), Some((Destination::new(Host::from(ip), port).unwrap(), &data[..])));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (greeting(&bytes), request(&bytes), datagram(&bytes));
            let _ = matches!(login(&bytes), Parse::Done(..));
        }
    }
}
