//! Secrets at rest: the master key, sealing of what must be shown again, hashing of what must not.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use rand::RngExt as _;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::shop::OpenError;
use crate::types::{ID_LENGTH, random_lowercase};

const KEY_LENGTH: usize = 32;
const NONCE_LENGTH: usize = 24;

/// The first byte of everything sealed, so that another way of sealing can be told apart later.
const SEALED_BY: u8 = 1;

/// The key under which proxy credentials, exits' specifications and remembered answers are sealed. 256 bits, in a file of
/// the operator's, never in the database.
pub struct MasterKey(Zeroizing<[u8; KEY_LENGTH]>);

impl MasterKey {
    /// Reads the key from its file (base64, one line).
    ///
    /// # Errors
    /// The file cannot be read or does not hold a key. `Ok(None)` where there is no such file.
    pub fn read(file: &Path) -> Result<Option<Self>, OpenError> {
        let shown = file.display();
        let text = match fs::read_to_string(file) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError(format!("the master key {shown} cannot be read: {error}"))),
        };
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).ok();
        let key = bytes.and_then(|bytes| <[u8; KEY_LENGTH]>::try_from(bytes.as_slice()).ok());
        key.map(|key| Some(Self(Zeroizing::new(key)))).ok_or_else(|| {
            OpenError(format!(
                "{shown} does not hold a master key (32 bytes in base64); restore the right file"
            ))
        })
    }

    /// Makes a key and its file, readable by its owner only and safely on the disk before it is used. Where another process
    /// has made it meanwhile, that one's key.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(file: &Path) -> Result<Self, OpenError> {
        let shown = file.display();
        let failed = |error: std::io::Error| OpenError(format!("the master key {shown} cannot be made: {error}"));
        let key = Zeroizing::new(rand::rng().random::<[u8; KEY_LENGTH]>());
        // Written aside and linked into place, so that nobody reads half a key and the first of two wins.
        let aside = file.with_extension(format!("new-{}", random_lowercase(ID_LENGTH)));
        let mut written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)
            .map_err(failed)?;
        let line = Zeroizing::new(format!("{}\n", STANDARD.encode(key.as_slice())));
        written
            .write_all(line.as_bytes())
            .and_then(|()| written.sync_all())
            .map_err(failed)?;
        let linked = fs::hard_link(&aside, file);
        let _ = fs::remove_file(&aside);
        match linked {
            Ok(()) => {
                if let Some(folder) = file.parent().and_then(|folder| fs::File::open(folder).ok()) {
                    folder.sync_all().map_err(failed)?;
                }
                Ok(Self(key))
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Self::read(file)?.ok_or_else(|| failed(ErrorKind::NotFound.into()))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Seals `plain` (XChaCha20-Poly1305, random nonce). It can only be opened with the same `associated` text, which names the
    /// row that it belongs to.
    ///
    /// # Errors
    /// [`Error::Failed`] where it is too large to seal.
    pub fn seal(&self, associated: &str, plain: &[u8]) -> Result<Vec<u8>> {
        let nonce = rand::rng().random::<[u8; NONCE_LENGTH]>();
        let aad = associated.as_bytes();
        let cipher = self
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad })
            .map_err(|_| Error::Failed(format!("sealing {associated}")))?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LENGTH + cipher.len());
        sealed.push(SEALED_BY);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&cipher);
        Ok(sealed)
    }

    /// The inverse of [`MasterKey::seal`].
    ///
    /// # Errors
    /// [`Error::Failed`]: sealed under another key, for another row, or damaged.
    pub fn open(&self, associated: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let unfit = || {
            Error::Failed(format!(
                "opening the sealed {associated}: it was sealed under another key, or is damaged"
            ))
        };
        let (version, rest) = sealed.split_first().ok_or_else(unfit)?;
        let (nonce, msg) = rest.split_first_chunk::<NONCE_LENGTH>().ok_or_else(unfit)?;
        if *version != SEALED_BY {
            return Err(unfit());
        }
        let aad = associated.as_bytes();
        self.cipher()
            .decrypt(&XNonce::from(*nonce), Payload { msg, aad })
            .map(Zeroizing::new)
            .map_err(|_| unfit())
    }

    /// A key of 32 bytes for one purpose: HMAC-SHA-256 of the purpose's name.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; KEY_LENGTH] {
        keyed_hash(&self.0, purpose.as_bytes())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.0).into())
    }
}

/// HMAC-SHA-256.
pub(crate) fn keyed_hash(key: &[u8; KEY_LENGTH], message: &[u8]) -> [u8; KEY_LENGTH] {
    // HMAC pads a shorter key to the hash's block with zeros (RFC 2104 §2); done here, no length is left that could be wrong.
    let mut block = [0; 64];
    block[..KEY_LENGTH].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// A token for a cookie or a link: 256 random bits in letters, digits, `-` and `_`.
pub(crate) fn random_token() -> SecretString {
    SecretString::from(URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 32]>()))
}

/// SHA-256, for secrets of so many random bits that nobody can guess them.
pub(crate) fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_for_its_row_and_under_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let key = MasterKey::create(&file).unwrap();
        let sealed = key.seal("row 1", b"secret").unwrap();
        assert_eq!(key.open("row 1", &sealed).unwrap().as_slice(), b"secret");
        assert!(key.open("row 2", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(key.open("row 1", &damaged).is_err(), "byte {at}");
        }
        let again = MasterKey::read(&file).unwrap().unwrap();
        assert_eq!(again.open("row 1", &sealed).unwrap().as_slice(), b"secret");
        let other = MasterKey::create(&folder.path().join("other")).unwrap();
        assert!(other.open("row 1", &sealed).is_err());
        assert_ne!(other.derive("a"), key.derive("a"));
        assert_ne!(key.derive("b"), key.derive("a"));
    }

    #[test]
    fn the_first_of_two_that_make_a_key_wins_and_nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let first = MasterKey::create(&file).unwrap();
        let second = MasterKey::create(&file).unwrap();
        assert_eq!(first.derive("a"), second.derive("a"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn whoever_makes_a_key_at_the_same_time_has_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let made: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| MasterKey::create(&file).unwrap().derive("a")))
                .collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        let kept = MasterKey::read(&file).unwrap().unwrap().derive("a");
        assert!(made.iter().all(|key| *key == kept));
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        assert!(MasterKey::read(&file).unwrap().is_none());
        fs::write(&file, "short").unwrap();
        assert!(MasterKey::read(&file).err().unwrap().to_string().contains("key"));
    }
}
