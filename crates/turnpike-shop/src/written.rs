//! Text that a program makes of something and keeps beside it.

use std::sync::OnceLock;

/// Room for one text, which is made once.
#[derive(Default)]
pub(crate) struct Text(OnceLock<Box<str>>);

impl Text {
    /// The text that `write` makes.
    ///
    /// # Errors
    /// Those of `write`; nothing is kept then.
    pub(crate) fn made<E>(&self, write: impl FnOnce() -> Result<String, E>) -> Result<&str, E> {
        if let Some(text) = self.0.get() {
            return Ok(text);
        }
        let text = write()?;
        Ok(self.0.get_or_init(|| text.into()))
    }
}
