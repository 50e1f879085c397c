//! A time of day that the test sets, for programs that are started with it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::NamedTempFile;

/// The time of day plus an offset. Timers go on as ever: only what the wall clock shows is moved.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    offset: NamedTempFile,
}

impl Clock {
    /// A clock that is right; `None` where this machine lacks libfaketime, and then the test is skipped.
    ///
    /// # Panics
    /// When no temporary file can be made.
    #[must_use]
    pub fn new() -> Option<Self> {
        let Some(library) = library() else {
            crate::skip("no libfaketime on this machine (Debian: faketime)");
            return None;
        };
        let offset = tempfile::Builder::new()
            .prefix("turnpike-clock-")
            .tempfile()
            .expect("a temporary file");
        let clock = Self { library, offset };
        clock.set(Duration::ZERO);
        Some(clock)
    }

    /// Sets it so far ahead of the machine's.
    ///
    /// # Panics
    /// When its file cannot be written.
    pub fn set(&self, ahead: Duration) {
        // Renamed into place: the program reads the file at any moment.
        let next = self.offset.path().with_extension("next");
        fs::write(&next, format!("+{}\n", ahead.as_secs_f64())).expect("writing the offset");
        fs::rename(&next, self.offset.path()).expect("replacing the offset");
    }

    /// The environment of a program that goes by this clock.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("LD_PRELOAD", self.library.to_string_lossy()),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.path().to_string_lossy()),
            ("FAKETIME_NO_CACHE", "1".into()),
            // Faked, it would stop the runtime's timers.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value.into_owned()))
        .to_vec()
    }
}

/// Where Debian keeps it; its folder has the architecture's name.
#[must_use]
pub fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    libraries.into_iter().find(|library| library.is_file())
}
