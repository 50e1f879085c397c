//! A Shadowsocks client by hand (SIP004, SIP007, SIP022), for tests that must say exactly this byte and not another.
//!
//! It is written from the specifications and on other cryptographic libraries than the gateway's, so that both cannot be wrong
//! alike. It does no I/O: bytes come in and go out.

mod cipher;
mod datagram;
mod stream;

use std::net::SocketAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use md5::{Digest as _, Md5};

pub use datagram::{ClientSession, Packet};
pub use stream::{Answer, Request, Sealer};

use cipher::Cipher;

/// How a client seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `2022-blake3-aes-128-gcm`.
    Blake3Aes128Gcm,
    /// `chacha20-ietf-poly1305`.
    Chacha20Poly1305,
    /// `aes-256-gcm`.
    Aes256Gcm,
    /// `aes-128-gcm`.
    Aes128Gcm,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Blake3Aes128Gcm,
        Self::Chacha20Poly1305,
        Self::Aes256Gcm,
        Self::Aes128Gcm,
    ];
    /// Those from before 2022.
    pub const OLDER: [Self; 3] = [Self::Chacha20Poly1305, Self::Aes256Gcm, Self::Aes128Gcm];

    /// How long a key is, and a salt.
    #[must_use]
    pub fn key_length(self) -> usize {
        match self {
            Self::Blake3Aes128Gcm | Self::Aes128Gcm => 16,
            Self::Chacha20Poly1305 | Self::Aes256Gcm => 32,
        }
    }

    /// So many bytes show what a stream is.
    #[must_use]
    pub fn shortest_opening(self) -> usize {
        let first = if self.is_2022() { 1 + 8 + 2 } else { 2 };
        self.key_length() + first + 16
    }

    /// Whether it tells the time and has a header.
    #[must_use]
    pub fn is_2022(self) -> bool {
        self == Self::Blake3Aes128Gcm
    }
}

/// Somebody who knows a password.
#[derive(Debug, Clone)]
pub struct Client {
    method: Method,
    /// The key that the password is, or that is made of it.
    key: Vec<u8>,
}

impl Client {
    /// A client of one method with the subscription's password.
    ///
    /// # Panics
    /// When a password of 2022 is none.
    #[must_use]
    pub fn new(method: Method, password: &str) -> Self {
        let key = if method.is_2022() {
            let key = BASE64_STANDARD.decode(format!("{password}=="));
            key.expect("a password that is base64 with == behind it")
        } else {
            // EVP_BytesToKey with MD5, one round, no salt.
            let mut key: Vec<u8> = Vec::new();
            let mut last: Vec<u8> = Vec::new();
            while key.len() < method.key_length() {
                last = Md5::digest([&last, password.as_bytes()].concat()).to_vec();
                key.extend(&last);
            }
            key.truncate(method.key_length());
            key
        };
        assert_eq!(key.len(), method.key_length());
        Self { method, key }
    }

    /// Its method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The cipher of everything behind this salt, or of this session.
    fn cipher(&self, salt: &[u8]) -> Cipher {
        if self.method.is_2022() {
            let material = [&self.key, salt].concat();
            let key = blake3::derive_key("shadowsocks 2022 session subkey", &material);
            return Cipher::new(self.method, &key[..self.method.key_length()]);
        }
        let mut key = vec![0; self.method.key_length()];
        hkdf::Hkdf::<sha1::Sha1>::new(Some(salt), &self.key)
            .expand(b"ss-subkey", &mut key)
            .expect("a short key");
        Cipher::new(self.method, &key)
    }
}

/// `type address port`, as SOCKS5 writes it (RFC 1928 §5).
#[must_use]
pub fn address(to: SocketAddr) -> Vec<u8> {
    let port = to.port().to_be_bytes();
    match to {
        SocketAddr::V4(v4) => [&[1][..], &v4.ip().octets(), &port].concat(),
        SocketAddr::V6(v6) => [&[4][..], &v6.ip().octets(), &port].concat(),
    }
}

/// The same of a name.
///
/// # Panics
/// When it is longer than a name can be written.
#[must_use]
pub fn named(name: &str, port: u16) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a name of at most 255 bytes");
    [&[3, length][..], name.as_bytes(), &port.to_be_bytes()].concat()
}

/// Splits an address as servers write them, an IP, off the front.
fn split_address(bytes: &[u8]) -> (SocketAddr, &[u8]) {
    let (ip, rest): (std::net::IpAddr, _) = match bytes[0] {
        1 => (
            <[u8; 4]>::try_from(&bytes[1..5]).expect("four bytes").into(),
            &bytes[5..],
        ),
        4 => (
            <[u8; 16]>::try_from(&bytes[1..17]).expect("16 bytes").into(),
            &bytes[17..],
        ),
        other => panic!("an address of type {other}"),
    };
    let (port, rest) = rest.split_at(2);
    (SocketAddr::new(ip, u16::from_be_bytes([port[0], port[1]])), rest)
}

#[cfg(test)]
mod tests;
