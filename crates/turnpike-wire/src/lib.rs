//! The proxy protocols as pure functions: bytes in, values out. No I/O, no clock, no allocation that a peer decides.
//!
//! Every parser takes what has arrived so far and says [`Parse::Need`], [`Parse::Done`] or [`Parse::Refuse`]; it can be
//! called again with more. None of them panics, whatever the bytes.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]
#![forbid(unsafe_code)]

pub mod address;
mod cursor;
pub mod http;
pub mod magic;
pub mod mux;
pub mod packetaddr;
pub mod shadowsocks;
pub mod sniff;
pub mod socks4;
pub mod socks5;
pub mod udp_over_tcp;
pub mod vless;

/// What a parser makes of the bytes so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parse<T, R> {
    /// Not enough yet: at least this many bytes in all are needed before it can say more.
    Need(usize),
    /// This value, made of the first `usize` bytes.
    Done(T, usize),
    /// These bytes can never become what was expected.
    Refuse(R),
}

/// Bytes from the hexadecimal digits of a test's vector.
#[cfg(test)]
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap_or_default();
    digits.chunks_exact(2).map(byte).collect()
}
