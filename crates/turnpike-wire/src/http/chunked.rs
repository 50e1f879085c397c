//! Chunked bodies (RFC 9112 §7.1): read strictly, written canonically.
//!
//! Every chunk keeps its size and place, so a body passes through in any portions and without being held; extensions
//! and trailers are dropped. A chunk line that two programs could read in two ways (a bare line feed, a sign, a space, a
//! size beyond 63 bits) is refused.

/// The most bytes of one chunk's extension.
const MAX_EXTENSION: usize = 256;

/// The most bytes of all trailer lines.
const MAX_TRAILERS: usize = 8 * 1024;

/// The most digits of a chunk's size.
const MAX_DIGITS: u8 = 16;

/// Why these bytes are no chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Not 1 to 16 hexadecimal digits below 2^63.
    #[error("a chunk's size is not a hexadecimal number")]
    Size,
    /// An extension that is too long, or has control characters.
    #[error("a chunk's extension is malformed")]
    Extension,
    /// A line or a chunk's data does not end with CR LF.
    #[error("a chunk does not end with CR LF")]
    LineEnd,
    /// Trailer fields that are too long, or have control characters.
    #[error("the trailer fields are malformed")]
    Trailers,
}

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Chunks, with canonical lines.
    Chunks,
    /// The data alone, for HTTP/1.0.
    Data,
}

/// What became of a portion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recoded {
    /// So many bytes of the input belong to the body; all of them unless it is finished.
    pub used: usize,
    /// Whether this was the body's end.
    pub finished: bool,
}

/// A chunked body being read.
#[derive(Debug, Clone)]
pub struct Chunked {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a chunk's size.
    Size { size: u64, digits: u8 },
    /// Behind the `;`.
    Extension { size: u64, length: usize },
    /// Behind the CR of a chunk line.
    SizeFeed { size: u64 },
    /// In the data.
    Data { left: u64 },
    /// Behind the data: the CR is due.
    DataReturn,
    /// Behind the data and the CR.
    DataFeed,
    /// In the trailers; `line` bytes of the present one so far.
    Trailer { length: usize, line: usize },
    /// Behind the CR of a trailer line, or of the empty line that ends the body.
    TrailerFeed { length: usize, line: usize },
    /// The body is over.
    Finished,
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunked {
    /// Before the first chunk line.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Size { size: 0, digits: 0 },
        }
    }

    /// Reads the next portion of the body, and hands what is to be written to `write`, piece by piece.
    ///
    /// # Errors
    /// [`ChunkError`]; what was written before it was sound.
    pub fn recode(&mut self, input: &[u8], form: Form, mut write: impl FnMut(&[u8])) -> Result<Recoded, ChunkError> {
        let mut rest = input;
        while let Some((&byte, behind)) = rest.split_first() {
            self.state = match self.state {
                State::Finished => break,
                State::Data { left } => {
                    let here = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    let (data, behind) = rest.split_at_checked(here).unwrap_or((rest, &[]));
                    write(data);
                    rest = behind;
                    self.state = match left.saturating_sub(data.len() as u64) {
                        0 => State::DataReturn,
                        left => State::Data { left },
                    };
                    continue;
                }
                state => {
                    rest = behind;
                    state.step(byte, form, &mut write)?
                }
            };
        }
        Ok(Recoded {
            used: input.len().saturating_sub(rest.len()),
            finished: self.state == State::Finished,
        })
    }
}

impl State {
    /// One byte of framing.
    fn step(self, byte: u8, form: Form, write: &mut impl FnMut(&[u8])) -> Result<Self, ChunkError> {
        Ok(match (self, byte) {
            (State::Size { size, digits: 1.. }, b'\r') => State::SizeFeed { size },
            (State::Size { size, digits: 1.. }, b';') => State::Extension { size, length: 0 },
            (
                State::Size {
                    size,
                    digits: digits @ ..MAX_DIGITS,
                },
                _,
            ) => {
                let digit = char::from(byte).to_digit(16).ok_or(ChunkError::Size)?;
                let size = size
                    .checked_mul(16)
                    .and_then(|shifted| shifted.checked_add(u64::from(digit)))
                    .filter(|&size| size <= i64::MAX.unsigned_abs())
                    .ok_or(ChunkError::Size)?;
                State::Size {
                    size,
                    digits: digits.saturating_add(1),
                }
            }
            (State::Size { .. }, _) => return Err(ChunkError::Size),

            (State::Extension { size, .. }, b'\r') => State::SizeFeed { size },
            (
                State::Extension {
                    size,
                    length: length @ ..MAX_EXTENSION,
                },
                _,
            ) if is_text(byte) => State::Extension {
                size,
                length: length.saturating_add(1),
            },
            (State::Extension { .. }, _) => return Err(ChunkError::Extension),

            (State::SizeFeed { size: 0 }, b'\n') => State::Trailer { length: 0, line: 0 },
            (State::SizeFeed { size }, b'\n') => {
                if form == Form::Chunks {
                    write(format!("{size:x}\r\n").as_bytes());
                }
                State::Data { left: size }
            }

            (State::DataReturn, b'\r') => State::DataFeed,
            (State::DataFeed, b'\n') => {
                if form == Form::Chunks {
                    write(b"\r\n");
                }
                State::Size { size: 0, digits: 0 }
            }

            (State::Trailer { length, line }, b'\r') => State::TrailerFeed { length, line },
            (
                State::Trailer {
                    length: length @ ..MAX_TRAILERS,
                    line,
                },
                _,
            ) if is_text(byte) => State::Trailer {
                length: length.saturating_add(1),
                line: line.saturating_add(1),
            },
            (State::Trailer { .. }, _) => return Err(ChunkError::Trailers),
            (State::TrailerFeed { line: 0, .. }, b'\n') => {
                if form == Form::Chunks {
                    write(b"0\r\n\r\n");
                }
                State::Finished
            }
            (State::TrailerFeed { length, .. }, b'\n') => State::Trailer {
                length: length.saturating_add(2),
                line: 0,
            },

            (State::SizeFeed { .. } | State::DataReturn | State::DataFeed | State::TrailerFeed { .. }, _) => {
                return Err(ChunkError::LineEnd);
            }
            (State::Data { .. } | State::Finished, _) => self,
        })
    }
}

/// HTAB, SP, VCHAR and obs-text (RFC 9110 §5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7F)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recode(input: &[u8], form: Form) -> Result<(Vec<u8>, Recoded), ChunkError> {
        let mut output = Vec::new();
        let recoded = Chunked::new().recode(input, form, |bytes| output.extend_from_slice(bytes))?;
        Ok((output, recoded))
    }

    #[test]
    fn chunks_are_written_canonically_and_extensions_and_trailers_dropped() {
        let body = b"0005;a=\"b\"\r\nhello\r\nA\r\n0123456789\r\n000;x\r\nTrailer: 1\r\nOther: 2\r\n\r\nGET ";
        let used = body.len() - 4;
        assert_eq!(
            recode(body, Form::Chunks),
            Ok((
                b"5\r\nhello\r\na\r\n0123456789\r\n0\r\n\r\n".to_vec(),
                Recoded { used, finished: true }
            ))
        );
        assert_eq!(
            recode(body, Form::Data),
            Ok((b"hello0123456789".to_vec(), Recoded { used, finished: true }))
        );
    }

    #[test]
    fn a_chunk_line_that_could_be_read_in_two_ways_is_refused() {
        use ChunkError::{Extension, LineEnd, Size, Trailers};
        for (body, error) in [
            ("\r\n", Size),
            (";a\r\n", Size),
            (" 5\r\n", Size),
            ("5 \r\n", Size),
            ("5 ;a\r\n", Size),
            ("+5\r\n", Size),
            ("-5\r\n", Size),
            ("0x5\r\n", Size),
            ("5_\r\n", Size),
            ("g\r\n", Size),
            ("5\nhello", Size),
            ("00000000000000005\r\n", Size),
            ("10000000000000005\r\n", Size),
            ("8000000000000000\r\n", Size),
            ("ffffffffffffffff\r\n", Size),
            ("5;a\nhello", Extension),
            ("5;a\0\r\n", Extension),
            ("5\rhello", LineEnd),
            ("5;a\rhello", LineEnd),
            ("5\r\nhello\n", LineEnd),
            ("5\r\nhello!", LineEnd),
            ("5\r\nhello\r5", LineEnd),
            ("5\r\nhello5\r\n", LineEnd),
            ("0\r\nA: b\n\r\n", Trailers),
            ("0\r\n\n", Trailers),
            ("0\r\nA: \0\r\n", Trailers),
            ("0\r\n\rX", LineEnd),
        ] {
            assert_eq!(recode(body.as_bytes(), Form::Chunks), Err(error), "{body:?}");
        }
    }

    #[test]
    fn limits_hold_at_their_edges() {
        let extension = |length| format!("0;{}\r\n\r\n", "e".repeat(length));
        assert!(
            recode(extension(MAX_EXTENSION).as_bytes(), Form::Chunks)
                .unwrap()
                .1
                .finished
        );
        assert_eq!(
            recode(extension(MAX_EXTENSION + 1).as_bytes(), Form::Chunks),
            Err(ChunkError::Extension)
        );
        let trailer = |length| format!("0\r\n{}\r\n\r\n", "t".repeat(length));
        assert!(
            recode(trailer(MAX_TRAILERS).as_bytes(), Form::Chunks)
                .unwrap()
                .1
                .finished
        );
        assert_eq!(
            recode(trailer(MAX_TRAILERS + 1).as_bytes(), Form::Chunks),
            Err(ChunkError::Trailers)
        );
        let lines = format!("0\r\n{}", "t\r\n".repeat(MAX_TRAILERS));
        assert_eq!(recode(lines.as_bytes(), Form::Chunks), Err(ChunkError::Trailers));
        assert!(recode(b"7fffffffffffffff\r\nx", Form::Chunks).is_ok());
    }

    proptest! {
        #[test]
        fn what_was_chunked_is_what_comes_out_however_it_is_split(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            portion in 1_usize..50,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:X};e\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\nT: x\r\n\r\n");
            let mut reader = Chunked::new();
            let (mut data, mut finished) = (Vec::new(), false);
            for piece in body.chunks(portion) {
                prop_assert!(!finished);
                let recoded = reader.recode(piece, Form::Data, |bytes| data.extend_from_slice(bytes)).unwrap();
                prop_assert_eq!(recoded.used, piece.len());
                finished = recoded.finished;
            }
            prop_assert!(finished);
            prop_assert_eq!(data, chunks.concat());
        }

        #[test]
        fn any_bytes_give_the_same_however_they_are_split_and_what_is_written_is_canonical(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                "([0-9a-f]{1,2}(;x)?\r\n[a-z]{0,20}\r?\n?){0,4}(0\r\n(A: b\r\n)?\r\n)?".prop_map(String::into_bytes),
            ],
        ) {
            let whole = {
                let mut output = Vec::new();
                let result = Chunked::new().recode(&bytes, Form::Chunks, |piece| output.extend_from_slice(piece));
                (result.map(|recoded| recoded.finished), output)
            };
            let mut reader = Chunked::new();
            let mut output = Vec::new();
            let mut result = Ok(false);
            for byte in &bytes {
                match reader.recode(&[*byte], Form::Chunks, |piece| output.extend_from_slice(piece)) {
                    Ok(recoded) => result = Ok(recoded.finished),
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
            }
            prop_assert_eq!(&whole, &(result, output));
            // Reading what was written gives it again.
            if whole.0 == Ok(true) {
                let (again, recoded) = recode(&whole.1, Form::Chunks).unwrap();
                prop_assert_eq!(again, whole.1);
                prop_assert!(recoded.finished);
            }
        }
    }
}
