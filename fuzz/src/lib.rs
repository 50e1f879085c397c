//! What must hold of every codec for any bytes at all.
//!
//! Each target is a function of bytes that panics where something does not hold. `cargo xtask fuzz` looks for such bytes with
//! libFuzzer; the inputs under `corpora/` are those that reach something of their own, or once did harm, and the ordinary tests
//! run all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a target's panic is its finding")]

mod address;
mod datagrams;
mod http;
mod parse;
mod sealed;
mod sniff;

/// A target by its name, which is its corpus' folder too.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("address", address::run),
    ("chunked", http::chunked),
    ("datagrams", datagrams::run),
    ("http_request", http::request),
    ("http_response", http::response),
    ("mux", parse::mux),
    ("sealed_datagram", sealed::datagram),
    ("sealed_stream", sealed::stream),
    ("sniff", sniff::run),
    ("socks4", parse::socks4),
    ("socks5", parse::socks5),
    ("udp_over_tcp", parse::udp_over_tcp),
    ("vless", parse::vless),
];

/// A subscription's password, and its VLESS id.
const PASSWORD: &str = "aJZJWOgeoJk2DX454niuYw";
const ID: [u8; 16] = *b"0123456789abcdef";

/// Takes a small number off the front of an input, to choose by.
fn choice(data: &[u8]) -> (usize, &[u8]) {
    data.split_first()
        .map_or((0, data), |(first, rest)| (usize::from(*first), rest))
}
