//! Telling the protocols of a port apart by its first bytes: a pure function, asked again with more until it knows.
//!
//! The rules are strict, not "one byte decides": a port will also speak protocols whose first bytes are random, and whatever
//! is let through here by mistake is lost to them. They are tried in this order: HTTP, SOCKS5, SOCKS4.

/// What the bytes so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniffed {
    /// Too few bytes, and no contradiction: ask again with more.
    Wait,
    /// A method and a line of printable text (RFC 9112 §3).
    Http,
    /// A greeting that offers a known way of login (RFC 1928 §3).
    Socks5,
    /// A request (SOCKS4 and 4a memos).
    Socks4,
    /// Nothing that is spoken here, whatever follows.
    Unknown,
}

/// A method's length.
const SHORTEST_METHOD: usize = 3;
const LONGEST_METHOD: usize = 16;

/// Within so many bytes a SOCKS4 request's user id must end.
const SOCKS4_WINDOW: usize = 512;

/// Judges the first bytes of a connection.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Sniffed {
    match bytes {
        [] => Sniffed::Wait,
        [b'A'..=b'Z', ..] => http(bytes),
        [0x05, rest @ ..] => socks5(rest),
        [0x04, rest @ ..] => socks4(rest),
        _ => Sniffed::Unknown,
    }
}

/// `[A-Z][A-Z-]{2,15}`, a blank, and nothing but printable text up to the first line's end or the end of what is there.
fn http(bytes: &[u8]) -> Sniffed {
    let method = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-')
        .count();
    if method > LONGEST_METHOD {
        return Sniffed::Unknown;
    }
    match bytes.get(method) {
        None => return Sniffed::Wait,
        Some(b' ') if method >= SHORTEST_METHOD => {}
        Some(_) => return Sniffed::Unknown,
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    if text.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
        Sniffed::Http
    } else {
        Sniffed::Unknown
    }
}

/// Behind the version: how many ways of login, and which. What follows must start another message: a login or a request.
fn socks5(rest: &[u8]) -> Sniffed {
    let Some((&count, rest)) = rest.split_first() else {
        return Sniffed::Wait;
    };
    if !(1..=16).contains(&count) {
        return Sniffed::Unknown;
    }
    let Some((methods, behind)) = rest.split_at_checked(usize::from(count)) else {
        return Sniffed::Wait;
    };
    let is_offered = methods.iter().any(|method| matches!(method, 0x00 | 0x02));
    match behind.first() {
        None | Some(0x01 | 0x05) if is_offered => Sniffed::Socks5,
        _ => Sniffed::Unknown,
    }
}

/// Behind the version: a command, port and address, and a user id that ends soon.
fn socks4(rest: &[u8]) -> Sniffed {
    match rest {
        [] => Sniffed::Wait,
        [0x01 | 0x02, rest @ ..] => {
            let user = rest.get(6..).unwrap_or_default();
            let window = user.iter().take(SOCKS4_WINDOW);
            if window.clone().any(|byte| *byte == 0) {
                Sniffed::Socks4
            } else if user.len() >= SOCKS4_WINDOW {
                Sniffed::Unknown
            } else {
                Sniffed::Wait
            }
        }
        _ => Sniffed::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn openings_are_recognised() {
        for (bytes, expected) in [
            (&b""[..], Sniffed::Wait),
            (b"G", Sniffed::Wait),
            (b"GET", Sniffed::Wait),
            (b"GET ", Sniffed::Http),
            (b"GET http://a/ HTTP/1.1\r\nX: \xff\r\n", Sniffed::Http),
            (b"CONNECT a:1 HTTP/1.1\r", Sniffed::Http),
            (b"M-SEARCH * HTTP/1.1\r\n", Sniffed::Http),
            (b"GE ", Sniffed::Unknown),
            (b"get / HTTP/1.1", Sniffed::Unknown),
            (b"GET \x00", Sniffed::Unknown),
            (b"GET a\rb", Sniffed::Unknown),
            (b"ABCDEFGHIJKLMNOPQ ", Sniffed::Unknown),
            (&[5], Sniffed::Wait),
            (&[5, 1], Sniffed::Wait),
            (&[5, 1, 0], Sniffed::Socks5),
            (&[5, 1, 2], Sniffed::Socks5),
            (&[5, 3, 0, 1, 2], Sniffed::Socks5),
            (&[5, 1, 2, 1, 4], Sniffed::Socks5),
            (&[5, 1, 2, 7], Sniffed::Unknown),
            (&[5, 1, 1], Sniffed::Unknown),
            (&[5, 0], Sniffed::Unknown),
            (&[5, 17], Sniffed::Unknown),
            (&[4], Sniffed::Wait),
            (&[4, 1, 0, 80, 1, 2, 3, 4], Sniffed::Wait),
            (&[4, 1, 0, 80, 1, 2, 3, 4, 0], Sniffed::Socks4),
            (&[4, 3], Sniffed::Unknown),
            (&[0], Sniffed::Unknown),
            (&[0x16, 3, 1], Sniffed::Unknown),
        ] {
            assert_eq!(sniff(bytes), expected, "{bytes:?}");
        }
        let endless = [&[4, 1, 0, 80, 1, 2, 3, 4][..], &[b'a'; 600]].concat();
        assert_eq!(sniff(&endless), Sniffed::Unknown);
    }

    proptest! {
        /// Whoever asks early and waits learns the same as whoever asks late: nothing is unknown that more bytes would make known.
        #[test]
        fn more_bytes_never_make_the_unknown_known(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(5_u8), Just(4), Just(1), Just(b'G'), Just(b' ')], 0..64),
            at in any::<prop::sample::Index>(),
        ) {
            let (head, _) = bytes.split_at(at.index(bytes.len() + 1));
            if sniff(head) == Sniffed::Unknown {
                prop_assert_eq!(sniff(&bytes), Sniffed::Unknown);
            }
        }
    }
}
