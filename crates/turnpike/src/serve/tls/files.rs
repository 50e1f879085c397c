//! A certificate in files that somebody else keeps: certbot, a secret's volume, an operator.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use turnpike_gateway::Certificate;

use super::{Keeper, TICK};
use crate::certificate;
use crate::config::Files;
use crate::document::Mistake;

/// The two files, and what they were like when they were read last.
pub(in crate::serve) struct Watched {
    files: Files,
    certificate: Certificate,
    read: Stamps,
}

/// What changes when a file does, of each of the two; absent where there is none.
type Stamps = [Option<Stamp>; 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Watched {
    pub(super) fn open(files: &Files) -> Result<Self, Mistake> {
        let read = stamps(files);
        Ok(Self {
            certificate: certificate::read(files)?,
            read,
            files: files.clone(),
        })
    }

    /// What they hold.
    pub(super) fn certificate(&self) -> Certificate {
        self.certificate.clone()
    }

    /// Puts in force what they hold whenever they have changed.
    pub(super) async fn keep(mut self, keeper: &mut Keeper) {
        let mut seen = self.read;
        loop {
            keeper.tell().await;
            tokio::time::sleep(TICK).await;
            let now = stamps(&self.files);
            // The key comes a moment after the certificate, or before it: what still changes is not read.
            let is_settled = now == std::mem::replace(&mut seen, now);
            if is_settled && now != self.read {
                self.read = now;
                match certificate::read(&self.files) {
                    Ok(certificate) => {
                        let until = certificate::until(&certificate, keeper.shop.now().0);
                        tracing::info!("the gateway's certificate has been exchanged; the new one {until}");
                        keeper.serve(certificate);
                    }
                    Err(mistake) => tracing::error!("{mistake}; the certificate before stays in force"),
                }
            }
        }
    }
}

fn stamps(files: &Files) -> Stamps {
    [stamp(&files.certificate.path), stamp(&files.key.path)]
}

/// Of what a link points to: certbot's are links.
fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(file).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        seconds: metadata.mtime(),
        nanoseconds: metadata.mtime_nsec(),
    })
}
