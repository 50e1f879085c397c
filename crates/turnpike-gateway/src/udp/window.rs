//! Which of a session's packet numbers have come: a window that slides with the newest (RFC 6479).

/// How far behind the newest a packet may come.
const SIZE: u64 = 2_048;
const WORD: u64 = 64;

/// The numbers from `newest - SIZE + 1` to `newest`.
#[derive(Debug)]
pub(super) struct Window {
    /// Absent before the first.
    newest: Option<u64>,
    /// A bit for each number, at its place modulo the window's size.
    seen: [u64; (SIZE / WORD) as usize],
}

impl Default for Window {
    fn default() -> Self {
        Self {
            newest: None,
            seen: [0; (SIZE / WORD) as usize],
        }
    }
}

impl Window {
    /// Whether a packet of this number has not come yet and is not too old to tell.
    pub(super) fn is_new(&self, number: u64) -> bool {
        match self.newest {
            None => true,
            Some(newest) if number > newest => true,
            Some(newest) if newest - number >= SIZE => false,
            Some(_) => self.seen[word(number)] & bit(number) == 0,
        }
    }

    /// Notes a packet that has been proven. Whether it was new.
    pub(super) fn note(&mut self, number: u64) -> bool {
        if !self.is_new(number) {
            return false;
        }
        let newest = self.newest.unwrap_or(number);
        if number > newest {
            if number - newest >= SIZE {
                self.seen.fill(0);
            } else {
                for passed in newest + 1..=number {
                    self.seen[word(passed)] &= !bit(passed);
                }
            }
        }
        self.newest = Some(newest.max(number));
        self.seen[word(number)] |= bit(number);
        true
    }

    /// Whether anything has been noted.
    pub(super) fn has_any(&self) -> bool {
        self.newest.is_some()
    }
}

#[allow(clippy::cast_possible_truncation, reason = "it is less than 32")]
fn word(number: u64) -> usize {
    (number % SIZE / WORD) as usize
}

fn bit(number: u64) -> u64 {
    1 << (number % WORD)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_largest_number_of_all_can_come() {
        let mut window = Window::default();
        assert!(window.note(u64::MAX) && !window.note(u64::MAX));
        assert!(window.note(u64::MAX - SIZE + 1) && !window.note(u64::MAX - SIZE));
    }

    proptest! {
        /// Against a set that remembers everything.
        #[test]
        fn a_number_is_new_once_and_only_within_the_window(
            steps in proptest::collection::vec((any::<bool>(), 0_u64..5_000), 1..400),
        ) {
            let mut window = Window::default();
            let mut all = HashSet::new();
            let mut newest = 0;
            for (ahead, step) in steps {
                let number = if ahead { newest + step % 3_000 } else { newest.saturating_sub(step) };
                let expected = !all.contains(&number) && (number > newest || newest - number < SIZE);
                prop_assert_eq!(window.is_new(number), expected);
                prop_assert_eq!(window.note(number), expected);
                if expected {
                    all.insert(number);
                    newest = newest.max(number);
                }
            }
        }
    }
}
