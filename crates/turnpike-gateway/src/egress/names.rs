//! Names that never leave this machine: those that mean something else in every network, and numbers in disguise.

/// What ends a name that is not the public DNS's, and what such a name is.
const ENDINGS: [(&str, &str); 10] = [
    ("localhost", "this machine itself"),                              // RFC 6761 §6.3
    ("localdomain", "this machine itself"),                            // What old hosts files call it.
    ("local", "a name of the local network"),                          // RFC 6762 §3
    ("internal", "a name of a private network"), // ICANN's resolution 2024.07.29.06; with Google's metadata.
    ("home.arpa", "a name of a home network"),   // RFC 8375
    ("onion", "an onion service: these are reached through Tor only"), // RFC 7686 §2
    // What clients write in place of a destination to say what follows inside the connection. Where that is served it has been
    // taken for it before it comes here.
    ("v1.mux.cool", MULTIPLEXING),
    ("udp-over-tcp.arpa", MULTIPLEXING),
    ("packet-addr.v2fly.arpa", MULTIPLEXING),
    ("mux.sing-box.arpa", MULTIPLEXING),
];

const MULTIPLEXING: &str = "a client's multiplexing of a kind that is not served here: switch it off";

/// What `name` is, where it is no name of the public DNS.
pub(super) fn special(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let ending = ENDINGS.iter().find(|(ending, _)| {
        name.strip_suffix(ending)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    if let Some((_, what)) = ending {
        return Some(what);
    }
    let is_label = |label: &str| {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.bytes().all(is_fit)
    };
    if !name.split('.').all(is_label) {
        return Some("something that is no name");
    }
    match name.rsplit_once('.') {
        // What some resolvers take for an address although we do not: 0x7f.1, 0177.0.0.1. No top-level domain is a
        // number, so nothing is lost (WHATWG URL §3.5, "ends in a number checker").
        Some((_, last)) if is_number(last) => Some(NUMBER),
        Some(_) => None,
        None if is_number(&name) => Some(NUMBER),
        None => Some("a name without a dot"),
    }
}

const NUMBER: &str = "an address in this spelling: write four decimal numbers without leading zeros";

/// Whether C's `inet_aton` would read it as part of an address: decimal, octal, or hexadecimal.
fn is_number(label: &str) -> bool {
    let digits_of = |digits: &str, radix| digits.chars().all(|digit| char::is_digit(digit, radix));
    match label.strip_prefix("0x") {
        Some(digits) => digits_of(digits, 16),
        None => digits_of(label, 10),
    }
}
