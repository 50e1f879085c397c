//! A disk so small that it is soon full.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// An ext4 file system of its own, mounted until it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    home: TempDir,
}

impl SmallDisk {
    /// Makes and mounts one; absent, with the reason said, where that is not permitted.
    ///
    /// # Panics
    /// When there is no room for it in the temporary directory.
    #[must_use]
    pub fn mount(megabytes: u64) -> Option<Self> {
        let disk = Self {
            home: tempfile::Builder::new()
                .prefix("turnpike-disk-")
                .tempdir()
                .expect("a temporary directory"),
        };
        fs::create_dir(disk.path()).expect("the mount point");
        let image = disk.home.path().join("image");
        let made = File::create(&image).and_then(|image| image.set_len(megabytes << 20));
        made.expect("the disk's image");
        let (image, path) = (image.to_string_lossy().into_owned(), disk.path());
        let path = path.to_string_lossy();
        // Nothing kept back for root, who runs the tests. Blocks as real disks have them: on the smaller ones of small disks SQLite
        // makes room for a page by writing to one of its four blocks, and is killed (SIGBUS) where there is none for the others.
        let format = ("mkfs.ext4", vec!["-q", "-F", "-m", "0", "-b", "4096", &image]);
        let mount = ("mount", vec!["-o", "loop", &image, &path]);
        for (program, arguments) in [format, mount] {
            let why = match Command::new(program).args(arguments).output() {
                Ok(ran) if ran.status.success() => continue,
                Ok(ran) => String::from_utf8_lossy(&ran.stderr).trim().to_owned(),
                Err(error) => error.to_string(),
            };
            crate::skip(&format!(
                "a disk of its own needs root and loop devices: {program}: {why}"
            ));
            return None;
        }
        Some(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.home.path().join("mounted")
    }

    /// Leaves no room on it.
    ///
    /// # Panics
    /// When writing fails for another reason than that.
    pub fn fill(&self) {
        let mut ballast = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())
            .expect("the ballast");
        // By whole blocks first, since the last one may fit although many do not.
        for size in [1 << 16, 1 << 12] {
            let block = vec![0; size];
            let full = loop {
                if let Err(error) = ballast.write_all(&block).and_then(|()| ballast.sync_data()) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
    }

    /// Leaves so many KiB on it, or some less.
    ///
    /// # Panics
    /// When it has been filled, or writing fails for another reason than that it is.
    pub fn fill_but(&self, kibibytes: u64) {
        let spare = self.path().join("spare");
        let kept = vec![1; usize::try_from(kibibytes << 10).expect("a small number")];
        let written = File::create(&spare).and_then(|mut file| {
            file.write_all(&kept)?;
            file.sync_all()
        });
        written.expect("room for what is to be spared");
        self.fill();
        fs::remove_file(spare).expect("removing what was spared");
    }

    /// Makes room again.
    ///
    /// # Panics
    /// When it was not filled.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("removing the ballast");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.path());
    }
}

/// No panic on the way out: what is still mounted goes with the machine.
fn unmount(path: &Path) {
    // Lazily: a process that is still ending may have a file open.
    let _ = Command::new("umount").args(["--lazy"]).arg(path).output();
}
