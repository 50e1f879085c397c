//! SQLite, on threads of its own.
//!
//! A transaction runs from its first statement to its last on one thread, and each of its statements is a plain call: nothing is
//! handed from thread to thread but the whole ([decision 20](../../../../docs/decisions/0020-sqlite-on-its-own-threads.md)). All
//! that writes takes its turn on one ([`writer`]), which makes many transactions durable together; reading has a few connections
//! of its own ([`readers`]).

mod answer;
mod connection;
mod job;
mod readers;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use self::readers::Readers;
use self::writer::Writer;
use super::{Row, Tx, Value, Wakes};
use crate::error::Result;

pub(super) use answer::{SqliteRow, View};
pub(super) use connection::Connection;

/// How long SQLite waits for the write lock of another process, such as the command line's.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One database file.
pub(super) struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
}

impl Sqlite {
    /// Opens a database that has been migrated.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        Ok(Self {
            writer: Writer::start(path, Connection::writer(path)?)?,
            readers: Arc::new(Readers::open(path)?),
        })
    }

    /// Runs `work` in a transaction that is committed when it is Ok. `wakes` counts up once a transaction that asks for it is.
    pub(super) async fn write<T, F>(&self, work: F, wakes: Wakes) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        self.writer.run(work, wakes).await
    }

    /// Runs `work` in a transaction that only reads, all of it as of one moment.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        self.readers.run(work).await
    }

    /// As [`Sqlite::read`], on the thread that asks, where a connection is at rest.
    pub(super) async fn glance<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        self.readers.glance(work).await
    }

    /// The first row of one statement that reads, on the thread that asks, where a connection is at rest.
    pub(super) async fn look_up(&self, sql: &'static str, values: Vec<Value>) -> Result<Option<Row>> {
        self.readers.look_up(sql, values).await
    }

    /// Ends what is under way and closes all connections, the writer's last: it then tidies the file up.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
