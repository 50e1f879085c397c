//! Reading fields from the front of what has arrived, where every step can say "not yet".

/// A place in bytes that may still grow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'b> {
    rest: &'b [u8],
    used: usize,
}

/// So many bytes in all are needed for the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotYet(pub(crate) usize);

impl<'b> Cursor<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, used: 0 }
    }

    /// How many bytes have been read.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'b [u8], NotYet> {
        let needed = self.used.saturating_add(count);
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(NotYet(needed))?;
        self.rest = rest;
        self.used = needed;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], NotYet> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, NotYet> {
        self.array().map(|[byte]| byte)
    }

    /// Big-endian.
    pub(crate) fn u16(&mut self) -> Result<u16, NotYet> {
        self.array().map(u16::from_be_bytes)
    }

    /// The bytes up to the first NUL, which is read too. Absent where there is none within `most` bytes.
    pub(crate) fn until_nul(&mut self, most: usize) -> Result<Option<&'b [u8]>, NotYet> {
        let Some(length) = self
            .rest
            .iter()
            .take(most.saturating_add(1))
            .position(|byte| *byte == 0)
        else {
            return if self.rest.len() > most {
                Ok(None)
            } else {
                Err(NotYet(self.used.saturating_add(self.rest.len()).saturating_add(1)))
            };
        };
        let text = self.take(length)?;
        self.take(1)?;
        Ok(Some(text))
    }
}
