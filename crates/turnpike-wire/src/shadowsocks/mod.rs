//! Shadowsocks, the server's side: 2022-blake3-aes-128-gcm (SIP022) and the AEAD methods before it (SIP004, SIP007).
//!
//! A port has one subscription and so one password, of which the keys of all methods are made: which method a client uses
//! is found out by opening what it sends. Nothing here is believed before a tag has proven it.
//!
//! - [`stream`]: TCP, a request and then chunks both ways
//! - [`datagram`]: UDP, each packet on its own

mod cipher;
pub mod datagram;
mod keys;
pub mod stream;
#[cfg(test)]
pub(crate) mod tests;

pub use keys::Keys;

/// The longest salt of any method.
const LONGEST_SALT: usize = 32;

/// The length of every method's tag.
pub const TAG: usize = 16;

/// How a client seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// The one that links name.
    Aes128Gcm2022,
    /// For clients that do not know 2022.
    Chacha20Poly1305,
    /// As before.
    Aes256Gcm,
    /// As before.
    Aes128Gcm,
}

impl Method {
    /// All that are accepted, the likeliest first.
    pub const ALL: [Self; 4] = [
        Self::Aes128Gcm2022,
        Self::Chacha20Poly1305,
        Self::Aes256Gcm,
        Self::Aes128Gcm,
    ];

    /// Those before 2022, the likeliest first.
    pub const OLDER: [Self; 3] = [Self::Chacha20Poly1305, Self::Aes256Gcm, Self::Aes128Gcm];

    /// As links and configurations write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm2022 => "2022-blake3-aes-128-gcm",
            Self::Chacha20Poly1305 => "chacha20-ietf-poly1305",
            Self::Aes256Gcm => "aes-256-gcm",
            Self::Aes128Gcm => "aes-128-gcm",
        }
    }

    /// The length of a key, which is also that of a salt.
    #[must_use]
    pub fn salt_length(self) -> usize {
        match self {
            Self::Aes128Gcm2022 | Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::Chacha20Poly1305 => LONGEST_SALT,
        }
    }

    fn is_2022(self) -> bool {
        matches!(self, Self::Aes128Gcm2022)
    }
}

/// A stream's random beginning, of which its key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Salt {
    bytes: [u8; LONGEST_SALT],
    length: usize,
}

impl Salt {
    /// The salt at the front of what has arrived. Absent where it has not arrived whole.
    #[must_use]
    pub fn of(method: Method, bytes: &[u8]) -> Option<Self> {
        let given = bytes.get(..method.salt_length())?;
        let mut salt = Self {
            bytes: [0; LONGEST_SALT],
            length: given.len(),
        };
        salt.bytes.get_mut(..given.len())?.copy_from_slice(given);
        Some(salt)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Why what a client sent is not served. Nothing is ever answered to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A tag does not fit: another password, another method, or no Shadowsocks.
    #[error("it does not open with this password")]
    Sealed,
    /// It opens, and is not what the specification says.
    #[error("it opens, but is malformed")]
    Malformed,
    /// An address type that does not exist, a name that is none, port 0.
    #[error("the address is of no known kind")]
    Address,
}
