//! Sealing and opening, with the nonce that counts up.

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};

use super::TAG;

/// One direction's key and its next nonce (SIP004, SIP022 §3.1.2: a little-endian counter from zero, one up each time).
pub(super) struct Cipher {
    key: LessSafeKey,
    /// Of the 12 bytes the upper four stay zero: nobody sends 2^64 chunks.
    counter: u64,
}

impl Cipher {
    /// Absent where the key's length is not the algorithm's.
    pub(super) fn new(algorithm: &'static aead::Algorithm, key: &[u8]) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
        Some(Self { key, counter: 0 })
    }

    fn next(&mut self) -> Nonce {
        let mut nonce = [0; aead::NONCE_LEN];
        for (place, byte) in nonce.iter_mut().zip(self.counter.to_le_bytes()) {
            *place = byte;
        }
        self.counter = self.counter.wrapping_add(1);
        Nonce::assume_unique_for_key(nonce)
    }

    /// Opens in place; the length of what was inside. Absent where the tag does not fit.
    pub(super) fn open(&mut self, sealed: &mut [u8]) -> Option<usize> {
        let nonce = self.next();
        self.open_with(nonce, sealed)
    }

    /// Seals in place, and writes the tag behind. `sealed` is the text and room for its tag.
    pub(super) fn seal(&mut self, sealed: &mut [u8]) -> Option<()> {
        let nonce = self.next();
        self.seal_with(nonce, sealed)
    }

    /// As [`Cipher::open`], with the nonce of a datagram.
    pub(super) fn open_at(&self, nonce: [u8; aead::NONCE_LEN], sealed: &mut [u8]) -> Option<usize> {
        self.open_with(Nonce::assume_unique_for_key(nonce), sealed)
    }

    /// As [`Cipher::seal`], with the nonce of a datagram.
    pub(super) fn seal_at(&self, nonce: [u8; aead::NONCE_LEN], sealed: &mut [u8]) -> Option<()> {
        self.seal_with(Nonce::assume_unique_for_key(nonce), sealed)
    }

    fn open_with(&self, nonce: Nonce, sealed: &mut [u8]) -> Option<usize> {
        self.key
            .open_in_place(nonce, Aad::empty(), sealed)
            .ok()
            .map(|opened| opened.len())
    }

    fn seal_with(&self, nonce: Nonce, sealed: &mut [u8]) -> Option<()> {
        let (text, room) = sealed.split_last_chunk_mut::<TAG>()?;
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), text).ok()?;
        room.copy_from_slice(tag.as_ref());
        Some(())
    }
}
