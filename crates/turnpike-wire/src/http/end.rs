//! Where a head ends.

use super::head::{HeadError, MAX_FIELDS, MAX_HEAD, MAX_REQUEST_LINE};
use crate::Parse;

/// Finds the end of a head, looking at each byte once however the bytes arrive.
///
/// It counts lines and lengths only; [`RequestHead::parse`] and [`ResponseHead::parse`] judge what the lines say.
#[derive(Debug, Clone, Default)]
pub struct HeadEnd {
    may_skip_empty_line: bool,
    start: usize,
    line_start: usize,
    searched: usize,
    lines: usize,
}

impl HeadEnd {
    /// For the first head of a connection.
    #[must_use]
    pub fn first() -> Self {
        Self::default()
    }

    /// For a later head: one empty line before it is skipped, as old clients send one behind a body (RFC 9112 §2.2).
    #[must_use]
    pub fn later() -> Self {
        Self {
            may_skip_empty_line: true,
            ..Self::default()
        }
    }

    /// Looks at what `buffer` has beyond the last call's bytes; earlier bytes must not have changed. Done with where the
    /// head starts, and where it ends.
    pub fn find(&mut self, buffer: &[u8]) -> Parse<usize, HeadError> {
        while let Some(feed) = position_of_line_feed(buffer, self.searched) {
            let end = feed.saturating_add(1);
            if let Err(error) = self.check_length(feed, end) {
                return Parse::Refuse(error);
            }
            let line = buffer.get(self.line_start..feed).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\r") else {
                return Parse::Refuse(HeadError::BareLineFeed);
            };
            self.searched = end;
            self.line_start = end;
            if !line.is_empty() {
                self.lines = self.lines.saturating_add(1);
                if self.lines > MAX_FIELDS.saturating_add(1) {
                    return Parse::Refuse(HeadError::TooManyFields);
                }
            } else if self.lines > 0 {
                return Parse::Done(self.start, end);
            } else if self.may_skip_empty_line {
                self.may_skip_empty_line = false;
                self.start = end;
            } else {
                return Parse::Refuse(HeadError::Malformed);
            }
        }
        self.searched = buffer.len();
        match self.check_length(buffer.len(), buffer.len().saturating_add(1)) {
            Ok(()) => Parse::Need(buffer.len().saturating_add(1)),
            Err(error) => Parse::Refuse(error),
        }
    }

    /// The same for a line that ends and for one that may still grow, so that the verdict does not depend on how the
    /// bytes were split.
    fn check_length(&self, feed: usize, end: usize) -> Result<(), HeadError> {
        if self.lines == 0 && feed.saturating_sub(self.line_start) > MAX_REQUEST_LINE {
            return Err(HeadError::RequestLineTooLong);
        }
        if end.saturating_sub(self.start) > MAX_HEAD {
            return Err(HeadError::TooLarge);
        }
        Ok(())
    }
}

fn position_of_line_feed(buffer: &[u8], from: usize) -> Option<usize> {
    let offset = buffer.get(from..)?.iter().position(|&byte| byte == b'\n')?;
    Some(from.saturating_add(offset))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use super::*;
    use crate::http::{RequestHead, ResponseHead};
    use proptest::prelude::*;

    fn head_of(text: &str) -> Result<RequestHead<'_>, HeadError> {
        match HeadEnd::first().find(text.as_bytes()) {
            Parse::Done(0, end) => RequestHead::parse(&text.as_bytes()[..end]),
            Parse::Refuse(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_empty_line_is_skipped_before_a_later_head_and_no_second() {
        let text = b"\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(HeadEnd::later().find(text), Parse::Done(2, text.len()));
        assert_eq!(
            HeadEnd::later().find(b"\r\n\r\nGET / "),
            Parse::Refuse(HeadError::Malformed)
        );
    }

    #[test]
    fn limits_hold_at_their_edges() {
        let line = |length: usize| {
            format!(
                "GET /{} HTTP/1.1\r\n\r\n",
                "a".repeat(length - "GET / HTTP/1.1\r".len())
            )
        };
        assert!(head_of(&line(MAX_REQUEST_LINE)).is_ok());
        assert_eq!(head_of(&line(MAX_REQUEST_LINE + 1)), Err(HeadError::RequestLineTooLong));

        let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert!(head_of(&fields(MAX_FIELDS)).is_ok());
        assert_eq!(head_of(&fields(MAX_FIELDS + 1)), Err(HeadError::TooManyFields));

        let head = |length: usize| {
            let frame = "GET / HTTP/1.1\r\na: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(length - frame))
        };
        assert!(head_of(&head(MAX_HEAD)).is_ok());
        assert_eq!(head_of(&head(MAX_HEAD + 1)), Err(HeadError::TooLarge));
        assert_eq!(
            HeadEnd::first().find(&vec![b'a'; 2 * MAX_HEAD]),
            Parse::Refuse(HeadError::RequestLineTooLong)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic_and_alike_however_they_are_split(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "(GET|PRI) (/|http://a/b) HTTP/1\\.[012](\r\n|\n)((A|Bc|Host):? ?[a-z\t]{0,5}(\r\n|\r|\n)){0,4}(\r\n){0,2}x{0,4}"
                    .prop_map(String::into_bytes),
            ],
            later in any::<bool>(),
        ) {
            let fresh = || if later { HeadEnd::later() } else { HeadEnd::first() };
            let whole = fresh().find(&bytes);
            let mut slow = fresh();
            let mut verdict = slow.find(b"");
            for end in 0..=bytes.len() {
                verdict = slow.find(&bytes[..end]);
                if !matches!(verdict, Parse::Need(_)) {
                    break;
                }
            }
            prop_assert_eq!(&whole, &verdict);
            if let Parse::Done(start, end) = whole {
                let _ = ResponseHead::parse(&bytes[start..end]);
                if let Ok(head) = RequestHead::parse(&bytes[start..end]) {
                    // The lines are the head: nothing between them, nothing lost.
                    let first = bytes[start..end].iter().position(|&byte| byte == b'\n').unwrap() + 1;
                    let lines: usize = head.fields.iter().map(|field| field.line.len()).sum();
                    prop_assert_eq!(first + lines + 2, end - start);
                }
            }
            let _ = RequestHead::parse(&bytes);
            let _ = ResponseHead::parse(&bytes);
        }
    }
}
