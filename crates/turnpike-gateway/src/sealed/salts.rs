//! The salts that a subscription's streams, or its datagrams of the older methods, have begun with, so that what was recorded
//! cannot be played again.
//!
//! Only salts of what has opened are noted, so a stranger's garbage fills nothing. SIP022 asks for a set without false
//! positives, which would turn customers away. What is kept is 64 bits of each, hashed under a key that nobody knows: one new salt
//! in 10^14 is taken for an old one, and a busy subscription needs one megabyte and not five.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher as _;

use turnpike_wire::shadowsocks::Salt;

use super::Stale;

/// For so many seconds a timed salt is remembered: whoever replays it later has the wrong time (SIP022 §3.1.5).
const REMEMBERED: u64 = 60;
/// Timed salts at once: a thousand new streams a second.
const MOST_TIMED: usize = 60_000;
/// Salts of the methods that tell no time.
const MOST_UNTIMED: usize = 50_000;

#[derive(Debug, Default)]
pub(super) struct Salts {
    seen: HashSet<Hash>,
    /// When each was seen, in seconds, oldest first.
    timed: VecDeque<(u64, Hash)>,
    untimed: VecDeque<Hash>,
}

/// A salt's, under the set's own key.
type Hash = u64;

impl Salts {
    /// Notes a salt of a stream that told its time.
    pub(super) fn note_timed(&mut self, salt: &Salt, now: u64) -> Result<(), Stale> {
        while let Some((_, old)) = self.timed.pop_front_if(|(at, _)| at.saturating_add(REMEMBERED) < now) {
            self.seen.remove(&old);
        }
        if self.timed.len() >= MOST_TIMED {
            return Err(Stale::Busy);
        }
        let salt = self.hash(salt);
        if !self.seen.insert(salt) {
            return Err(Stale::Replay);
        }
        self.timed.push_back((now, salt));
        self.shrink();
        Ok(())
    }

    /// Notes a salt of a stream that tells no time; the oldest is forgotten for it where there are too many.
    pub(super) fn note(&mut self, salt: &Salt) -> Result<(), Stale> {
        let salt = self.hash(salt);
        if !self.seen.insert(salt) {
            return Err(Stale::Replay);
        }
        self.untimed.push_back(salt);
        if self.untimed.len() > MOST_UNTIMED
            && let Some(old) = self.untimed.pop_front()
        {
            self.seen.remove(&old);
        }
        Ok(())
    }

    /// Whether it has been noted.
    pub(super) fn has(&self, salt: &Salt) -> bool {
        self.seen.contains(&self.hash(salt))
    }

    fn hash(&self, salt: &Salt) -> Hash {
        self.seen.hasher().hash_one(salt)
    }

    /// A burst's room is given back when it is over.
    fn shrink(&mut self) {
        if self.timed.capacity() > 1_024 && self.timed.len() < self.timed.capacity() / 8 {
            self.timed.shrink_to(self.timed.len() * 2);
            self.seen.shrink_to(self.seen.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use turnpike_wire::shadowsocks::Method;

    use super::*;

    fn salt(number: u32) -> Salt {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Salt::of(Method::Aes256Gcm, &bytes).unwrap()
    }

    #[test]
    fn a_timed_salt_is_refused_again_for_a_minute() {
        let mut salts = Salts::default();
        assert_eq!(salts.note_timed(&salt(1), 1_000), Ok(()));
        assert_eq!(salts.note_timed(&salt(1), 1_000), Err(Stale::Replay));
        assert_eq!(salts.note_timed(&salt(1), 1_060), Err(Stale::Replay));
        assert_eq!(salts.note_timed(&salt(2), 1_061), Ok(()));
        assert_eq!(salts.seen.len(), 1, "the first has been forgotten");
    }

    #[test]
    fn untimed_salts_are_remembered_by_number() {
        let mut salts = Salts::default();
        for number in 0..=50_000 {
            assert_eq!(salts.note(&salt(number)), Ok(()));
        }
        assert_eq!(salts.note(&salt(1)), Err(Stale::Replay));
        assert_eq!(salts.note(&salt(50_000)), Err(Stale::Replay));
        assert_eq!(salts.note(&salt(0)), Ok(()), "50,000 others have come since");
        assert_eq!(salts.seen.len(), 50_000);
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let mut salts = Salts::default();
        for number in 0..60_000 {
            assert_eq!(salts.note_timed(&salt(number), 1_000), Ok(()));
        }
        assert_eq!(salts.note_timed(&salt(60_000), 1_000), Err(Stale::Busy));
        assert_eq!(salts.note_timed(&salt(60_001), 1_100), Ok(()));
        assert!(salts.seen.capacity() < 1_000 && salts.timed.capacity() < 1_000);
    }
}
