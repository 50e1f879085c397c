//! The shop itself: the store, the clock, the secrets and the settings that every verb needs.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use crate::catalogue::LastRead;
use crate::error::{Error, Result};
use crate::notices::Ways;
use crate::routes::Telling;
use crate::secrets::MasterKey;
use crate::store::{Engine, Store, Value};
use crate::subscription::Keeper;
use crate::types::{ApiKeyId, Span, UnixMillis};

const PING_BOUND: Duration = Duration::from_secs(2);

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
    /// How long before its end a subscription renews itself that is to do so.
    pub auto_renew_before: Span,
    /// By which ways customers can be told things.
    pub notices: Ways,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rotation_cooldown: Span::seconds(10),
            rotation_deadline: Span::seconds(60),
            grace: Span::hours(72),
            auto_renew_before: Span::hours(24),
            notices: Ways::default(),
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
    /// What the gateways of this process have applied.
    pub(crate) applied: watch::Sender<HashMap<String, i64>>,
    /// Who tells gateways of new subscriptions.
    pub(crate) telling: Arc<Telling>,
    /// What was on sale when that was read last.
    pub(crate) on_sale: Arc<LastRead>,
    /// What has been made of subscriptions' rows.
    pub(crate) kept: Keeper,
    /// API keys whose use is being noted.
    pub(crate) key_uses: Arc<InFlight<ApiKeyId>>,
}

/// Things that are being done, so that nobody begins them twice.
#[derive(Debug)]
pub(crate) struct InFlight<K>(Mutex<HashSet<K>>);

impl<K> Default for InFlight<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + std::hash::Hash> InFlight<K> {
    /// Whether it was not being done before.
    pub(crate) fn begin(&self, key: &K) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone())
    }

    pub(crate) fn end(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Why a shop could not be opened, in a sentence that says how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

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
        let store = Store::open(url.expose_secret()).await?;
        let master_key = fitting_key(&store, &master_key_file).await?;
        Ok(Self {
            store,
            clock,
            master_key: Arc::new(master_key),
            settings: Arc::new(settings),
            applied: watch::Sender::default(),
            telling: Arc::default(),
            on_sale: Arc::default(),
            kept: Keeper::default(),
            key_uses: Arc::default(),
        })
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
        self.store.wakes()
    }

    /// A key of 32 bytes for one purpose, derived from the master key.
    #[must_use]
    pub fn derived_key(&self, purpose: &str) -> [u8; 32] {
        self.master_key.derive(purpose)
    }

    /// Whether the database answers: one small read, bounded to 2 s.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ping(&self) -> Result<()> {
        let read = self.store.read(|tx| {
            Box::pin(async move {
                tx.one("SELECT COUNT(*) AS gateways FROM gateway", &[]).await?;
                Ok(())
            })
        });
        tokio::time::timeout(PING_BOUND, read)
            .await
            .unwrap_or_else(|_| Err(Error::Unavailable("it did not answer within 2 s".to_owned())))
    }

    /// The database's program and version: `SQLite 3.53.1`.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn engine_version(&self) -> Result<String> {
        self.store
            .read(|tx| {
                Box::pin(async move {
                    let (name, sql) = match tx.engine() {
                        Engine::Sqlite => ("SQLite", "SELECT sqlite_version() AS version"),
                        Engine::Postgres => ("PostgreSQL", "SELECT current_setting('server_version') AS version"),
                    };
                    Ok(format!("{name} {}", tx.one(sql, &[]).await?.text("version")?))
                })
            })
            .await
    }

    /// Closes the database, waiting for what is under way.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

/// The master key, proven to be the one that this database was used with before.
///
/// The database holds a hash that only the right key gives, so that a lost or exchanged file is noticed at start and not at the
/// first customer.
async fn fitting_key(store: &Store, file: &Path) -> Result<MasterKey, OpenError> {
    let shown = file.display();
    let known = store
        .read(|tx| {
            Box::pin(async move {
                let row = tx
                    .optional("SELECT value FROM meta WHERE name = 'master_key_check'", &[])
                    .await?;
                row.map(|row| row.bytes("value")).transpose()
            })
        })
        .await
        .map_err(|error| OpenError(error.to_string()))?;
    let key = match (MasterKey::read(file)?, &known) {
        (Some(key), _) => key,
        (None, None) => MasterKey::create(file)?,
        (None, Some(_)) => {
            return Err(OpenError(format!(
                "the master key {shown} is missing, and this database was sealed with one; restore the file from your backup"
            )));
        }
    };
    let check = key.derive("master key check").to_vec();
    // Two processes may start on an empty database at once with different key files: the first one's check stands.
    let stands = match known {
        Some(known) => known,
        None => {
            let ours = check.clone();
            store
                .transaction(move |tx| {
                    let ours = ours.clone();
                    Box::pin(async move {
                        tx.execute(
                            "INSERT INTO meta (name, value) VALUES ('master_key_check', $1) ON CONFLICT (name) DO NOTHING",
                            &[Value::Bytes(ours)],
                        )
                        .await?;
                        tx.one("SELECT value FROM meta WHERE name = 'master_key_check'", &[]).await?.bytes("value")
                    })
                })
                .await
                .map_err(|error| OpenError(error.to_string()))?
        }
    };
    if stands == check {
        Ok(key)
    } else {
        Err(OpenError(format!(
            "the master key {shown} is not the one that this database was sealed with; restore the right file"
        )))
    }
}
