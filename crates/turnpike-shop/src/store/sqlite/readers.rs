//! The connections that only read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Connection;
use super::job::perform;
use crate::error::{Error, Result};
use crate::store::{ACQUIRE_TIMEOUT, Tx, failure};

/// How many read at a time.
const READERS: u32 = 4;

pub(super) struct Readers {
    path: PathBuf,
    /// Those that nobody reads with.
    resting: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        // All at once, so that the program's use of descriptors does not depend on how busy it has been.
        let all: rusqlite::Result<Vec<_>> = (0..READERS).map(|_| Connection::reader(path)).collect();
        Ok(Self {
            path: path.to_owned(),
            resting: Mutex::new(all?),
            permits: Arc::new(Semaphore::new(READERS as usize)),
        })
    }

    pub(super) async fn run<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        let permit = match timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(Error::Unavailable("the database is closed".to_owned())),
            Err(_) => return Err(Error::Unavailable("the database is busy reading".to_owned())),
        };
        let (readers, runtime) = (Arc::clone(self), Handle::current());
        // On a thread where it keeps nobody waiting, however many rows it reads.
        let read = spawn_blocking(move || {
            let _permit = permit;
            readers.read(&runtime, work)
        });
        read.await
            .unwrap_or_else(|join| Err(Error::Failed(format!("a transaction's thread ended: {join}"))))
    }

    fn read<T>(&self, runtime: &Handle, work: impl for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>>) -> Result<T> {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match resting {
            Some(connection) => connection,
            None => Connection::reader(&self.path).map_err(|error| failure::of_sqlite(&error))?,
        };
        connection
            .control("BEGIN")
            .map_err(|error| failure::of_sqlite(&error))?;
        let (connection, outcome) = perform(connection, runtime, work);
        let is_at_rest = !connection.is_in_transaction() || connection.control("COMMIT").is_ok();
        if is_at_rest {
            self.resting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
        outcome.result
    }

    pub(super) async fn close(&self) {
        // Whoever reads holds one.
        let _all = self.permits.acquire_many(READERS).await;
        self.permits.close();
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
