//! Parsers that are asked again with more: what they say of a part must agree with what they say of the whole.

use turnpike_wire::{Parse, mux as frames, socks4 as four, socks5 as five, udp_over_tcp as over_tcp, vless as head};

use crate::ID;

/// Up to here every length is tried, further on only some.
const ALL_CUTS: usize = 80;

/// Asks `parse` with every beginning of `bytes`.
///
/// A beginning that is not enough asks for more than it has. One that is enough, or refused, stays so whatever follows.
macro_rules! in_parts {
    ($parse:expr, $bytes:expr) => {{
        let bytes: &[u8] = $bytes;
        let whole = $parse(bytes);
        if let Parse::Done(_, used) = &whole {
            assert!(*used <= bytes.len(), "more was read than there is");
        }
        for cut in crate::parse::cuts(bytes.len()) {
            match $parse(&bytes[..cut]) {
                Parse::Need(needed) => {
                    assert!(needed > cut, "{needed} bytes are needed, and {cut} are there");
                    if let Parse::Done(_, used) = &whole {
                        assert!(*used > cut, "{used} bytes were enough, and {cut} are not");
                        assert!(needed <= *used, "{needed} were asked for, and {used} were enough");
                    }
                }
                Parse::Refuse(_) => assert!(
                    matches!(whole, Parse::Refuse(_)),
                    "the first {cut} bytes are refused, and all are not"
                ),
                done => assert!(done == whole, "the first {cut} bytes are read otherwise than all"),
            }
        }
        whole
    }};
}

/// Where to cut `length` bytes: everywhere near the front, and here and there behind it.
pub(crate) fn cuts(length: usize) -> impl Iterator<Item = usize> {
    let step = (length / ALL_CUTS).max(1);
    (0..length.min(ALL_CUTS)).chain((ALL_CUTS..length).step_by(step))
}

pub(crate) fn socks5(data: &[u8]) {
    let _ = in_parts!(five::greeting, data);
    let _ = in_parts!(five::login, data);
    let _ = in_parts!(five::request, data);
}

pub(crate) fn socks4(data: &[u8]) {
    if let Parse::Done(request, _) = in_parts!(four::request, data) {
        let _ = request.credentials();
    }
}

pub(crate) fn vless(data: &[u8]) {
    let _ = in_parts!(head::request, data);
    let known = head::recognise(&ID, data);
    for cut in cuts(data.len()) {
        let part = head::recognise(&ID, &data[..cut]);
        assert!(part.is_none() || part == known, "the first {cut} bytes");
    }
    if known == Some(true) {
        assert!(data.get(1..17) == Some(&ID[..]));
    }
}

/// Frames until one is refused or not whole; each is read of its own bytes alone.
pub(crate) fn mux(data: &[u8]) {
    let mut rest = data;
    while let Parse::Done(frame, used) = in_parts!(frames::frame, rest) {
        assert_eq!(frames::frame(&rest[..used]), Parse::Done(frame, used));
        rest = &rest[used..];
    }
}

pub(crate) fn udp_over_tcp(data: &[u8]) {
    let mut rest = data;
    if let Parse::Done(_, used) = in_parts!(over_tcp::request, rest) {
        rest = &rest[used..];
    }
    while let Parse::Done(datagram, used) = in_parts!(over_tcp::datagram, rest) {
        assert_eq!(over_tcp::datagram(&rest[..used]), Parse::Done(datagram, used));
        rest = &rest[used..];
    }
}
