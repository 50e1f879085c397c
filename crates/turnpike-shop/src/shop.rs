//! The shop itself: the store, the clock, the secrets and the settings that every verb needs.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::watch;

use crate::secrets::MasterKey;
use crate::store::Store;
use crate::types::{Span, UnixMillis};

/// The time of day, injected so that tests need not wait.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// How the shop behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long after a rotation its exit may not be rotated again.
    pub rotation_cooldown: Span,
    /// How long after a rotation was asked for it has failed, whatever became of it.
    pub rotation_deadline: Span,
    /// How long an ended subscription's port is held.
    pub grace: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rotation_cooldown: Span::seconds(10),
            rotation_deadline: Span::seconds(60),
            grace: Span::hours(72),
        }
    }
}

/// An open shop. Cheap to clone.
#[derive(Clone)]
pub struct Shop {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) master_key: Arc<MasterKey>,
    pub(crate) settings: Arc<Settings>,
    /// Counts up after each commit of this process that changed a route, an exit or the rotation queue.
    pub(crate) changes: watch::Sender<u64>,
}

/// Why a shop could not be opened, in a sentence that says how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

#[allow(unused_variables)]
impl Shop {
    /// Opens the database at `url` (`sqlite://path` or `postgres://…`), migrates it under a lock, and reads the master key.
    ///
    /// `master_key_file` is made where it does not exist and the database has never been used.
    ///
    /// # Errors
    /// [`OpenError`]: the database cannot be opened, is newer than this program, or the key does not fit it.
    pub async fn open(
        url: &SecretString,
        master_key_file: PathBuf,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        unimplemented!("S1")
    }

    /// Now, by the shop's clock.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        (self.clock)()
    }

    /// Wakes after each commit of this process that gateways or the rotation queue should look at.
    /// Changes of other processes are found by polling [`crate::routes::revision`].
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A key of 32 bytes for one purpose, derived from the master key.
    #[must_use]
    pub fn derived_key(&self, purpose: &str) -> [u8; 32] {
        unimplemented!("S1")
    }

    /// Whether the database answers: one small read, bounded to 2 s.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn ping(&self) -> crate::Result<()> {
        unimplemented!("S1")
    }

    /// Closes the database, waiting for what is under way.
    pub async fn close(&self) {
        unimplemented!("S1")
    }
}
