//! Telling the protocols of a port apart by its first bytes: a pure function of them and of the port's keys, asked again with
//! more until it knows.
//!
//! "One byte decides" would not do: a Shadowsocks stream begins with random bytes, and every ninth looks like another
//! protocol's first one. But a port has one subscription, so its keys are known, and what opens is proven. The rules, in
//! their order:
//!
//! 1. HTTP: a method, a blank and a line of printable text that is long or names a version of HTTP. Random bytes of that kind
//!    are as good as never seen. A short line without a version is another matter: `ABC \n` begins one salt in thirty
//!    million. It is HTTP only when rule 3 has failed, or cannot apply.
//! 2. VLESS: version 0 and the subscription's own id.
//! 3. Shadowsocks: the first sealed piece opens with one of the keys. It stands before those that random bytes can look
//!    like; clients also begin a salt like another protocol on purpose.
//! 4. TLS, where the port has a certificate: the head of a ClientHello.
//! 5. SOCKS5 and 6. SOCKS4: strict, since until there are enough bytes for rule 3 they are all there is to go by.

use crate::Parse;
use crate::shadowsocks::{self, Method};
use crate::vless;

/// What the bytes so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniffed {
    /// Too few bytes, and no contradiction: ask again with more.
    Wait,
    /// A method and a line of printable text (RFC 9112 §3), well-formed or not.
    Http,
    /// A head with the subscription's id.
    Vless,
    /// A stream sealed by this method with the subscription's password.
    Shadowsocks(Method),
    /// A ClientHello (RFC 8446 §5.1, §4).
    Tls,
    /// A greeting that offers a known way of login (RFC 1928 §3).
    Socks5,
    /// A request (SOCKS4 and 4a memos).
    Socks4,
    /// Nothing that is spoken here, whatever follows.
    Unknown,
}

/// What bytes look most like that are nothing of a port's, or not of its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    /// A head of VLESS.
    Vless {
        /// Whether the id is the subscription's, and only the version is another.
        is_known: bool,
    },
    /// Random bytes, as a salt and what is sealed are.
    Shadowsocks,
    /// A ClientHello.
    Tls,
    /// A greeting that offers no known way of login.
    Socks5,
    /// Nothing in particular.
    Nothing,
}

/// What a port knows of its one subscription.
#[derive(Debug, Clone, Copy)]
pub struct Known<'k> {
    /// The VLESS id.
    pub vless: &'k [u8; 16],
    /// The keys of Shadowsocks; absent where the password makes none.
    pub shadowsocks: Option<&'k shadowsocks::Keys>,
    /// The methods to try, the likeliest first.
    pub methods: &'k [Method],
    /// Whether TLS is spoken.
    pub tls: bool,
}

/// A method's length.
const SHORTEST_METHOD: usize = 3;
const LONGEST_METHOD: usize = 16;

/// So many bytes of printable text behind a method are HTTP, whatever else they say: of random salts, one in 10^14 begins so.
const CERTAIN_TEXT: usize = 24;

/// Within so many bytes a SOCKS4 request's user id must end.
const SOCKS4_WINDOW: usize = 512;

/// Judges the first bytes of a connection.
#[must_use]
pub fn sniff(bytes: &[u8], known: &Known<'_>) -> Sniffed {
    type Rule = fn(&[u8], &Known<'_>) -> Sniffed;
    // Asked one after the other: to try Shadowsocks costs more than all the others together.
    let rules: [Rule; 6] = [
        |bytes, _| http(bytes),
        |bytes, known| vless(bytes, known.vless),
        shadowsocks,
        short_http,
        |bytes, known| if known.tls { tls(bytes) } else { Sniffed::Unknown },
        |bytes, _| socks(bytes),
    ];
    let mut may_become = false;
    for rule in rules {
        match rule(bytes, known) {
            Sniffed::Wait => may_become = true,
            Sniffed::Unknown => {}
            sniffed => return sniffed,
        }
    }
    if may_become { Sniffed::Wait } else { Sniffed::Unknown }
}

/// Guesses what [`sniff`] has not recognised, so that its sender can be told what is wrong with it. Nothing may depend on it.
#[must_use]
pub fn guess(bytes: &[u8], id: &[u8; 16]) -> Guess {
    if vless::names(id, bytes) {
        return Guess::Vless { is_known: true };
    }
    match (bytes.first(), vless::request(bytes)) {
        (Some(0), Parse::Done(..) | Parse::Refuse(vless::Refused::Flow)) => return Guess::Vless { is_known: false },
        (Some(0x05), _) if is_greeting(bytes) => return Guess::Socks5,
        _ => {}
    }
    if tls(bytes) == Sniffed::Tls {
        return Guess::Tls;
    }
    let is_text = |byte: &&u8| matches!(byte, 0x20..=0x7e | b'\r' | b'\n' | b'\t');
    let text = bytes.iter().filter(is_text).count();
    // Of random bytes, five in eight are no text.
    let is_random = text.saturating_mul(4) < bytes.len().saturating_mul(3);
    if bytes.len() >= Method::Aes128Gcm.shortest_opening() && is_random {
        return Guess::Shadowsocks;
    }
    Guess::Nothing
}

/// A greeting of SOCKS5, whatever it offers.
fn is_greeting(bytes: &[u8]) -> bool {
    match bytes {
        [0x05, count @ 1..=16, methods @ ..] => methods.len() >= usize::from(*count),
        _ => false,
    }
}

/// What the beginning of a line says of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// It may become a line of HTTP.
    Begun,
    /// It is like one, but too short to be sure.
    Short,
    /// It is one.
    Certain,
    /// It is none.
    Other,
}

/// `[A-Z][A-Z-]{2,15}`, a blank, and nothing but printable text up to the first line's end or the end of what is there.
fn line_of_http(bytes: &[u8]) -> Line {
    if !bytes.first().is_none_or(u8::is_ascii_uppercase) {
        return Line::Other;
    }
    let method = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-')
        .count();
    if method > LONGEST_METHOD {
        return Line::Other;
    }
    match bytes.get(method) {
        None => return Line::Begun,
        Some(b' ') if method >= SHORTEST_METHOD => {}
        Some(_) => return Line::Other,
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    if !text.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
        Line::Other
    } else if text.len() >= CERTAIN_TEXT || names_version(text) {
        Line::Certain
    } else {
        Line::Short
    }
}

/// Whether a request line ends as RFC 9112 §2.3 wants it.
fn names_version(line: &[u8]) -> bool {
    match line {
        [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor] => {
            major.is_ascii_digit() && minor.is_ascii_digit()
        }
        _ => false,
    }
}

fn http(bytes: &[u8]) -> Sniffed {
    match line_of_http(bytes) {
        Line::Certain => Sniffed::Http,
        Line::Begun => Sniffed::Wait,
        Line::Short | Line::Other => Sniffed::Unknown,
    }
}

/// What is left of rule 1 where Shadowsocks has not been proven: unless that may come yet, it is HTTP.
fn short_http(bytes: &[u8], known: &Known<'_>) -> Sniffed {
    match line_of_http(bytes) {
        Line::Short if may_open(bytes, known) => Sniffed::Wait,
        Line::Short => Sniffed::Http,
        Line::Begun | Line::Certain | Line::Other => Sniffed::Unknown,
    }
}

fn vless(bytes: &[u8], id: &[u8; 16]) -> Sniffed {
    match (bytes.first(), vless::recognise(id, bytes)) {
        (None | Some(0), None) => Sniffed::Wait,
        (_, Some(true)) => Sniffed::Vless,
        _ => Sniffed::Unknown,
    }
}

fn shadowsocks(bytes: &[u8], known: &Known<'_>) -> Sniffed {
    let proven = known
        .shadowsocks
        .and_then(|keys| shadowsocks::stream::recognise(keys, known.methods, bytes));
    match proven {
        Some(method) => Sniffed::Shadowsocks(method),
        None if may_open(bytes, known) => Sniffed::Wait,
        None => Sniffed::Unknown,
    }
}

/// Whether there are too few bytes yet for one of the port's methods of Shadowsocks to be tried.
fn may_open(bytes: &[u8], known: &Known<'_>) -> bool {
    let is_too_short = |method: &Method| bytes.len() < method.shortest_opening();
    known.shadowsocks.is_some() && known.methods.iter().any(is_too_short)
}

/// A handshake record of version 3.0 to 3.4 with a ClientHello in it.
fn tls(bytes: &[u8]) -> Sniffed {
    const HANDSHAKE: u8 = 0x16;
    const CLIENT_HELLO: u8 = 0x01;
    match bytes {
        [HANDSHAKE, 0x03, 0..=4, _, _, CLIENT_HELLO, ..] => Sniffed::Tls,
        [] | [HANDSHAKE] | [HANDSHAKE, 0x03] => Sniffed::Wait,
        [HANDSHAKE, 0x03, 0..=4, rest @ ..] if rest.len() < 3 => Sniffed::Wait,
        _ => Sniffed::Unknown,
    }
}

fn socks(bytes: &[u8]) -> Sniffed {
    match bytes {
        [] => Sniffed::Wait,
        [0x05, rest @ ..] => socks5(rest),
        [0x04, rest @ ..] => socks4(rest),
        _ => Sniffed::Unknown,
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
#[path = "sniff_tests.rs"]
mod tests;
