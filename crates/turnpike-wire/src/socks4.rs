//! SOCKS4 and SOCKS4a, the server's side (Ying-Da Lee's memos).
//!
//! SOCKS4 has no password. Clients put `user:password` into the user id, which is what such a proxy can check.

use crate::Parse;
use crate::address::{Destination, Host, ipv4};
use crate::cursor::{Cursor, NotYet};

/// A user id or a name is at most this long.
const LONGEST_TEXT: usize = 255;

/// A request to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to.
    pub destination: Destination,
    /// The user id, as it was sent.
    pub user_id: Vec<u8>,
}

/// Why a request cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another command than CONNECT.
    #[error("only CONNECT is served")]
    Command,
    /// A text without an end, a name that is none, port 0.
    #[error("the request is malformed")]
    Malformed,
}

/// `90`: go ahead. The address is not told.
pub const GRANTED: [u8; 8] = [0x00, 0x5a, 0, 0, 0, 0, 0, 0];
/// `91`: it could not be done.
pub const REJECTED: [u8; 8] = [0x00, 0x5b, 0, 0, 0, 0, 0, 0];
/// `93`: the user id is not right.
pub const WRONG_USER: [u8; 8] = [0x00, 0x5d, 0, 0, 0, 0, 0, 0];

/// Reads `04 cmd port ip userid NUL [host NUL]`; the host is there where the address is `0.0.0.x`, x not 0 (4a).
#[must_use]
pub fn request(bytes: &[u8]) -> Parse<Request, Refused> {
    match read(bytes) {
        Ok(Ok((request, used))) => Parse::Done(request, used),
        Ok(Err(refused)) => Parse::Refuse(refused),
        Err(NotYet(needed)) => Parse::Need(needed),
    }
}

fn read(bytes: &[u8]) -> Result<Result<(Request, usize), Refused>, NotYet> {
    let mut cursor = Cursor::new(bytes);
    let [version, command] = cursor.array()?;
    if version != 0x04 {
        return Ok(Err(Refused::Malformed));
    }
    if command != 0x01 {
        return Ok(Err(Refused::Command));
    }
    let port = cursor.u16()?;
    let address: [u8; 4] = cursor.array()?;
    let Some(user_id) = cursor.until_nul(LONGEST_TEXT)? else {
        return Ok(Err(Refused::Malformed));
    };
    let host = match address {
        [0, 0, 0, last] if last != 0 => match cursor.until_nul(LONGEST_TEXT)? {
            Some(name) => Host::from_field(name),
            None => None,
        },
        address => Some(ipv4(address)),
    };
    let destination = host.and_then(|host| Destination::new(host, port));
    Ok(destination.ok_or(Refused::Malformed).map(|destination| {
        let request = Request {
            destination,
            user_id: user_id.to_vec(),
        };
        (request, cursor.used())
    }))
}

impl Request {
    /// User name and password, where the user id has both with a colon between.
    #[must_use]
    pub fn credentials(&self) -> Option<(&[u8], &[u8])> {
        let colon = self.user_id.iter().position(|byte| *byte == b':')?;
        let (user, rest) = self.user_id.split_at_checked(colon)?;
        rest.split_first().map(|(_, password)| (user, password))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(ip: [u8; 4], port: u16, user: &str, host: Option<&str>) -> Vec<u8> {
        let mut bytes = vec![4, 1];
        bytes.extend(port.to_be_bytes());
        bytes.extend(ip);
        bytes.extend(user.as_bytes());
        bytes.push(0);
        if let Some(host) = host {
            bytes.extend(host.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    #[test]
    fn requests_are_read() {
        let Parse::Done(request, _) = request(&written([192, 0, 2, 1], 80, "u:p:q", None)) else {
            panic!("it is whole");
        };
        assert_eq!(request.destination.to_string(), "192.0.2.1:80");
        assert_eq!(request.credentials(), Some((&b"u"[..], &b"p:q"[..])));
    }

    #[test]
    fn refusals() {
        assert_eq!(request(&[4, 2, 0, 0]), Parse::Refuse(Refused::Command));
        for bytes in [
            written([192, 0, 2, 1], 0, "", None),
            written([0, 0, 0, 9], 80, "", Some("")),
            written([0, 0, 0, 9], 80, "", Some("a b")),
            written([0, 0, 0, 9], 80, &"u".repeat(256), Some("a")),
        ] {
            assert_eq!(request(&bytes), Parse::Refuse(Refused::Malformed));
        }
    }

    proptest! {
        #[test]
        fn every_part_of_a_request_asks_for_more(port in 1_u16.., user in "[a-z:]{0,20}", host in "[a-z]{1,20}") {
            let bytes = written([0, 0, 0, 7], port, &user, Some(&host));
            for length in 0..bytes.len() {
                prop_assert!(matches!(request(&bytes[..length]), Parse::Need(needed) if needed > length && needed <= bytes.len()));
            }
            let longer = [&bytes[..], b"payload"].concat();
            match request(&longer) {
                Parse::Done(read, used) => {
                    prop_assert_eq!(used, bytes.len());
                    prop_assert_eq!(read.destination.to_string(), format!("{host}:{port}"));
                    prop_assert_eq!(read.user_id, user.into_bytes());
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Parse::Done(_, used) = request(&bytes) {
                prop_assert!(used <= bytes.len());
            }
        }
    }
}
