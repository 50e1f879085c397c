//! System calls that fail by chance, for programs that are started with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The system's calls of one program, some of which fail while the test says so.
#[derive(Debug)]
pub struct FaultyCalls {
    control: TempDir,
}

/// Which calls fail, by libfiu's names.
#[derive(Debug, Clone, Copy)]
pub enum Calls {
    /// Writing to a file at a place, which is how databases write.
    Write,
    /// Making what was written last.
    Sync,
}

impl FaultyCalls {
    /// Every call works; `None` where this machine lacks libfiu, and then the test is skipped.
    ///
    /// # Panics
    /// When no temporary directory can be made.
    #[must_use]
    pub fn new() -> Option<Self> {
        if !is_there() {
            crate::skip("no libfiu on this machine (Debian: fiu-utils)");
            return None;
        }
        let control = tempfile::Builder::new().prefix("turnpike-calls-").tempdir();
        Some(Self {
            control: control.expect("a temporary directory"),
        })
    }

    /// The environment of a program whose calls may fail.
    #[must_use]
    pub fn environment(&self) -> [(String, String); 2] {
        let libraries = libraries().map(|library| library.to_string_lossy().into_owned());
        [
            ("LD_PRELOAD".to_owned(), libraries.join(" ")),
            ("FIU_CTRL_FIFO".to_owned(), self.fifo().to_string_lossy().into_owned()),
        ]
    }

    /// From now on so many percent of a process's calls fail as they would on a broken disk.
    ///
    /// # Panics
    /// When the process cannot be told.
    pub fn fail(&self, process: u32, calls: Calls, percent: u32) {
        // EIO
        let how = format!("failinfo=5,probability={}", f64::from(percent) / 100.0);
        self.tell(process, &format!("enable_random name={},{how}", calls.name()));
    }

    /// From now on they work again.
    ///
    /// # Panics
    /// When the process cannot be told.
    pub fn mend(&self, process: u32, calls: Calls) {
        self.tell(process, &format!("disable name={}", calls.name()));
    }

    fn tell(&self, process: u32, command: &str) {
        let told = Command::new("fiu-ctrl")
            .arg("-f")
            .arg(self.fifo())
            .args(["-c", command, &process.to_string()])
            .output()
            .expect("running fiu-ctrl");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    }

    fn fifo(&self) -> PathBuf {
        self.control.path().join("control")
    }
}

impl Calls {
    fn name(self) -> &'static str {
        match self {
            Self::Write => "posix/io/rw/pwrite",
            Self::Sync => "posix/io/sync/*",
        }
    }
}

fn libraries() -> [PathBuf; 2] {
    ["fiu_run_preload.so", "fiu_posix_preload.so"].map(|library| Path::new("/usr/lib/fiu").join(library))
}

/// Whether this machine has what [`FaultyCalls`] needs.
#[must_use]
pub fn is_there() -> bool {
    libraries().iter().all(|library| library.is_file()) && crate::program("fiu-ctrl").is_some()
}
