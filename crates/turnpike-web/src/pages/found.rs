//! How much a search has found, as it is told in words: also to those who do not see the list.

use super::texts::{texts, with};

/// What is told of `count` found rows, which are all or (where `is_part`) one page of them.
pub(crate) fn told(count: usize, is_part: bool) -> String {
    match (count, is_part) {
        (0, _) => texts().no_match.to_owned(),
        (count, false) => with(texts().found, count),
        (count, true) => with(texts().found_here, count),
    }
}
