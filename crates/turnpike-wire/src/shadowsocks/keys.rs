//! The keys of a subscription, all made of its one password.

use std::sync::OnceLock;

use aes::Aes128;
use aes::cipher::{Block, BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use ring::aead;
use ring::hkdf;
use zeroize::Zeroizing;

use super::Method;
use super::cipher::Cipher;

/// SIP022 §3.1.1.
const CONTEXT_2022: &str = "shadowsocks 2022 session subkey";
/// SIP004.
const INFO_LEGACY: &[u8] = b"ss-subkey";

const KEY_2022: usize = 16;
const LONGEST_KEY: usize = 32;

/// What opens a subscription's streams and datagrams.
pub struct Keys {
    psk: Zeroizing<[u8; KEY_2022]>,
    /// EVP_BytesToKey of the password; the methods with shorter keys take its front.
    master: Zeroizing<[u8; LONGEST_KEY]>,
    /// What datagrams' headers are sealed with: made for the first of them, since it is the larger part of a subscription at rest.
    headers: OnceLock<Box<Aes128>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// The keys of a password whose characters, with `==` behind them, are the base64 of 16 bytes. Absent for another one.
    #[must_use]
    pub fn of_password(password: &str) -> Option<Self> {
        let decoded = Zeroizing::new(STANDARD.decode(format!("{password}==")).ok()?);
        let psk = Zeroizing::new(<[u8; KEY_2022]>::try_from(decoded.as_slice()).ok()?);
        Some(Self {
            psk,
            master: master(password.as_bytes()),
            headers: OnceLock::new(),
        })
    }

    /// The cipher of a stream, or of a datagram of the older methods, that begins with this salt.
    pub(super) fn cipher(&self, method: Method, salt: &[u8]) -> Option<Cipher> {
        let subkey = self.subkey(method, salt)?;
        Cipher::new(algorithm(method), subkey.get(..method.salt_length())?)
    }

    /// A subkey, as long as the method's salt, and zeros behind it.
    pub(super) fn subkey(&self, method: Method, salt: &[u8]) -> Option<Zeroizing<[u8; LONGEST_KEY]>> {
        let mut bytes = Zeroizing::new([0; LONGEST_KEY]);
        let subkey = bytes.get_mut(..method.salt_length())?;
        if method.is_2022() {
            self.subkey_2022(salt, subkey);
        } else {
            let master = self.master.get(..method.salt_length())?;
            let derived = hkdf::Salt::new(hkdf::HKDF_SHA1_FOR_LEGACY_USE_ONLY, salt).extract(master);
            let filled = derived.expand(&[INFO_LEGACY], Length(subkey.len())).ok()?;
            filled.fill(subkey).ok()?;
        }
        Some(bytes)
    }

    /// The cipher of a 2022 datagram session (SIP022 §3.2.1): made once, used for all its packets.
    pub(super) fn session_cipher(&self, session: &[u8; 8]) -> Option<Cipher> {
        let mut subkey = Zeroizing::new([0; KEY_2022]);
        self.subkey_2022(session, subkey.as_mut_slice());
        Cipher::new(&aead::AES_128_GCM, subkey.as_slice())
    }

    fn subkey_2022(&self, salt: &[u8], subkey: &mut [u8]) {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT_2022);
        hasher.update(self.psk.as_slice());
        hasher.update(salt);
        hasher.finalize_xof().fill(subkey);
    }

    fn headers(&self) -> &Aes128 {
        self.headers.get_or_init(|| Box::new(Aes128::new(&(*self.psk).into())))
    }

    /// The separate header of a 2022 datagram, opened in place.
    pub(super) fn open_header(&self, block: &mut [u8; 16]) {
        let mut opened: Block<Aes128> = (*block).into();
        self.headers().decrypt_block(&mut opened);
        *block = opened.into();
    }

    /// The inverse of [`Keys::open_header`].
    pub(super) fn seal_header(&self, block: &mut [u8; 16]) {
        let mut sealed: Block<Aes128> = (*block).into();
        self.headers().encrypt_block(&mut sealed);
        *block = sealed.into();
    }

    #[cfg(test)]
    pub(super) fn with_parts(psk: [u8; KEY_2022], password: &str) -> Self {
        Self {
            psk: Zeroizing::new(psk),
            master: master(password.as_bytes()),
            headers: OnceLock::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn master(&self) -> &[u8] {
        self.master.as_slice()
    }
}

fn algorithm(method: Method) -> &'static aead::Algorithm {
    match method {
        Method::Aes128Gcm2022 | Method::Aes128Gcm => &aead::AES_128_GCM,
        Method::Aes256Gcm => &aead::AES_256_GCM,
        Method::Chacha20Poly1305 => &aead::CHACHA20_POLY1305,
    }
}

/// EVP_BytesToKey with MD5 and no salt, 32 bytes of it: MD5(password), then MD5 of that and the password.
fn master(password: &[u8]) -> Zeroizing<[u8; LONGEST_KEY]> {
    let first = Md5::digest(password);
    let second = Md5::new().chain_update(first).chain_update(password).finalize();
    let mut master = Zeroizing::new([0; LONGEST_KEY]);
    for (place, byte) in master.iter_mut().zip(first.iter().chain(second.iter())) {
        *place = *byte;
    }
    master
}

/// A length, as the key derivation wants to be told it.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
