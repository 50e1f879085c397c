//! The connections that only read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Connection;
use super::job::perform;
use crate::error::{Error, Result};
use crate::store::{ACQUIRE_TIMEOUT, Row, Tx, Value, failure};

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

    /// As [`Readers::run`], without going to another thread where a connection is at rest.
    pub(super) async fn glance<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        let Some((_permit, connection)) = self.at_rest() else {
            return self.run(work).await;
        };
        connection
            .control("BEGIN")
            .map_err(|error| failure::of_sqlite(&error))?;
        let mut tx = Tx::on_sqlite(connection);
        // Each statement is a plain call, so this is over when it has been asked once. Were it dropped, its connection would be closed.
        let result = work(&mut tx).await;
        let connection = tx.into_sqlite();
        let is_at_rest = !connection.is_in_transaction() || connection.control("COMMIT").is_ok();
        if is_at_rest {
            self.rest(connection);
        }
        result
    }

    /// The first row that a statement answers.
    pub(super) async fn look_up(self: &Arc<Self>, sql: &'static str, values: Vec<Value>) -> Result<Option<Row>> {
        let Some((_permit, mut connection)) = self.at_rest() else {
            return self
                .run(move |tx| {
                    let values = values.clone();
                    Box::pin(async move { tx.optional(sql, &values).await })
                })
                .await;
        };
        let rows = connection.rows(sql, &values, 1);
        self.rest(connection);
        let row = rows.map_err(|error| failure::of_sqlite(&error))?.pop();
        Ok(row.map(Row::from))
    }

    /// A connection that nobody reads with, where there is one and nobody waits for it.
    fn at_rest(&self) -> Option<(OwnedSemaphorePermit, Connection)> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        let connection = self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some((permit, connection))
    }

    fn rest(&self, connection: Connection) {
        self.resting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
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
            self.rest(connection);
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
