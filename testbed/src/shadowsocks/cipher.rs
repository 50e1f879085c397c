//! Sealing and opening by any of the methods.

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use chacha20poly1305::ChaCha20Poly1305;

use super::Method;

/// A key of one of the methods.
#[derive(Clone)]
pub(super) enum Cipher {
    Aes128(Box<Aes128Gcm>),
    Aes256(Box<Aes256Gcm>),
    Chacha20(Box<ChaCha20Poly1305>),
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

impl Cipher {
    pub(super) fn new(method: Method, key: &[u8]) -> Self {
        let good = "a key of the method's length";
        match method {
            Method::Blake3Aes128Gcm | Method::Aes128Gcm => {
                Self::Aes128(Box::new(Aes128Gcm::new_from_slice(key).expect(good)))
            }
            Method::Aes256Gcm => Self::Aes256(Box::new(Aes256Gcm::new_from_slice(key).expect(good))),
            Method::Chacha20Poly1305 => Self::Chacha20(Box::new(ChaCha20Poly1305::new_from_slice(key).expect(good))),
        }
    }

    pub(super) fn seal(&self, nonce: [u8; 12], text: &[u8]) -> Vec<u8> {
        let sealed = match self {
            Self::Aes128(cipher) => cipher.encrypt(&nonce.into(), text),
            Self::Aes256(cipher) => cipher.encrypt(&nonce.into(), text),
            Self::Chacha20(cipher) => cipher.encrypt(&nonce.into(), text),
        };
        sealed.expect("sealing")
    }

    pub(super) fn open(&self, nonce: [u8; 12], sealed: &[u8]) -> Option<Vec<u8>> {
        let opened = match self {
            Self::Aes128(cipher) => cipher.decrypt(&nonce.into(), sealed),
            Self::Aes256(cipher) => cipher.decrypt(&nonce.into(), sealed),
            Self::Chacha20(cipher) => cipher.decrypt(&nonce.into(), sealed),
        };
        opened.ok()
    }
}

/// The nonces of a stream: a little-endian number that counts up.
#[derive(Debug, Clone, Default)]
pub(super) struct Nonces(u64);

impl Nonces {
    pub(super) fn take(&mut self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.0.to_le_bytes());
        self.0 += 1;
        nonce
    }
}
