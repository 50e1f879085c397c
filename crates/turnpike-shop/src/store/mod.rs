//! The store: two engines behind the same verbs, one SQL text.
//!
//! SQL is PostgreSQL's dialect with `$1` placeholders, columns BIGINT, TEXT and BYTEA only. [`dialect`] removes what SQLite
//! has no word for (row locks: its writer is alone anyway).
//!
//! Every transaction runs in a task of its own. A caller that goes away (a web client that hangs up) can therefore not leave
//! one half begun on a pooled connection, where the next caller's writes would be lost with it. Twice more is that seen to: a
//! transaction that is not brought to its end closes its connection ([`postgres`]), and a pooled connection is asked whether it
//! is in a transaction before it is handed out ([`engine`]).

mod dialect;
mod engine;
mod failure;
mod migrate;
mod postgres;
mod row;

use std::time::Duration;

use futures_util::future::BoxFuture;
use rand::RngExt as _;
use sqlx::Transaction;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{Sqlite, SqlitePool};
use tokio::sync::watch;

use self::postgres::{PgTransaction, bounded};
use crate::error::{Error, Result};

pub use dialect::Engine;
pub use engine::sqlite_path;
pub use row::{Row, Value};

/// How often a transaction is run in all when the engine asks for it to be run again.
const ATTEMPTS: u32 = 5;

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pools: Pools,
    /// Counts up after each commit that gateways or the rotation queue should look at.
    wakes: watch::Sender<u64>,
}

#[derive(Clone)]
enum Pools {
    /// One writer, since SQLite has one; a pool of one is a fair queue, which SQLite's lock is not.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction under way.
pub struct Tx {
    open: Open,
    /// The engine has given it up and asks for it to be run again: a deadlock, a serialization failure.
    is_to_be_run_again: bool,
    /// Whether [`Store::wakes`] counts up once it is committed.
    wakes: bool,
    /// Whether it is rolled back although all went well: a dry run.
    is_undone: bool,
    /// Its connection is of no more use.
    is_lost: bool,
}

enum Open {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(PgTransaction),
}

#[derive(Clone, Copy)]
enum Access {
    Write,
    Read,
}

impl Store {
    fn new(pools: Pools) -> Self {
        Self {
            pools,
            wakes: watch::Sender::new(0),
        }
    }

    /// Wakes after each commit of this process that gateways or the rotation queue should look at.
    pub(crate) fn wakes(&self) -> watch::Receiver<u64> {
        self.wakes.subscribe()
    }

    /// Which engine it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.pools {
            Pools::Sqlite { .. } => Engine::Sqlite,
            Pools::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs `work` in one read-write transaction, in a task of its own, so that a caller that goes away leaves nothing half
    /// done. Committed when `work` is Ok, rolled back otherwise. Run again (at most 5 times) when the engine reports a
    /// serialization failure or a deadlock, which is why `work` can be called more than once.
    ///
    /// # Errors
    /// What `work` says, or the database's.
    pub async fn transaction<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        self.run(Access::Write, work).await
    }

    /// Runs `work` in one read-only transaction with a consistent view. Reads only; never waits for a writer.
    ///
    /// # Errors
    /// What `work` says, or the database's.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        self.run(Access::Read, work).await
    }

    async fn run<T, F>(&self, access: Access, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        let store = self.clone();
        tokio::spawn(async move {
            let mut attempt = 1;
            loop {
                let mut tx = store.begin(access).await?;
                let outcome = work(&mut tx).await;
                let (is_to_be_run_again, wakes) = (tx.is_to_be_run_again, tx.wakes);
                let outcome = tx.end(outcome).await;
                if wakes && outcome.is_ok() {
                    store.wakes.send_modify(|count| *count += 1);
                }
                if outcome.is_ok() || !is_to_be_run_again || attempt == ATTEMPTS {
                    return outcome;
                }
                let pause = rand::rng().random_range(1..=10 * u64::from(attempt));
                tokio::time::sleep(Duration::from_millis(pause)).await;
                attempt += 1;
            }
        })
        .await
        .unwrap_or_else(|join| Err(Error::Failed(format!("a transaction's task ended: {join}"))))
    }

    async fn begin(&self, access: Access) -> Result<Tx> {
        let open = match (&self.pools, access) {
            (Pools::Sqlite { writer, .. }, Access::Write) => {
                writer.begin_with("BEGIN IMMEDIATE").await.map(Open::Sqlite)
            }
            (Pools::Sqlite { readers, .. }, Access::Read) => readers.begin().await.map(Open::Sqlite),
            (Pools::Postgres(pool), Access::Write) => PgTransaction::begin(pool, "BEGIN").await.map(Open::Postgres),
            (Pools::Postgres(pool), Access::Read) => {
                let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
                PgTransaction::begin(pool, begin).await.map(Open::Postgres)
            }
        };
        Ok(Tx {
            open: open.map_err(failure::of)?,
            is_to_be_run_again: false,
            wakes: false,
            is_undone: false,
            is_lost: false,
        })
    }

    /// Closes the database, waiting for what is under way.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

/// The same call on either engine: each binds with its own argument type.
macro_rules! on_either {
    ($tx:expr, $sql:expr, $values:expr, $call:ident) => {{
        let outcome = match &mut $tx.open {
            Open::Sqlite(open) => {
                let query = sqlx::query_with(dialect::for_sqlite($sql), row::for_sqlite($values)?);
                query.$call(&mut **open).await.map(row::Answer::from_sqlite)
            }
            Open::Postgres(open) => {
                let query = sqlx::query_with($sql, row::for_postgres($values)?);
                bounded(open.bound(), query.$call(open.connection()))
                    .await
                    .map(row::Answer::from_postgres)
            }
        };
        outcome.map_err(|error| {
            $tx.is_to_be_run_again |= failure::asks_to_run_again(&error);
            $tx.is_lost |= failure::is_of_connection(&error);
            failure::of(error)
        })
    }};
}

impl Tx {
    /// Which engine it runs on.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.open {
            Open::Sqlite(_) => Engine::Sqlite,
            Open::Postgres(_) => Engine::Postgres,
        }
    }

    /// Once this is committed, whoever follows [`Store::wakes`] wakes.
    pub(crate) fn wake(&mut self) {
        self.wakes = true;
    }

    /// It will be rolled back even if all goes well.
    pub(crate) fn undo_at_end(&mut self) {
        self.is_undone = true;
    }

    /// From here on a statement may take as long as it needs: for what reads whole tables and keeps nobody waiting.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn take_time(&mut self) -> Result<()> {
        match &mut self.open {
            Open::Sqlite(_) => Ok(()),
            Open::Postgres(open) => open.take_time().await.map_err(failure::of),
        }
    }

    /// Runs a statement; how many rows it changed.
    ///
    /// # Errors
    /// The database's.
    pub async fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64> {
        on_either!(self, sql, values, execute)
    }

    /// The only row, or none.
    ///
    /// # Errors
    /// The database's.
    pub async fn optional(&mut self, sql: &'static str, values: &[Value]) -> Result<Option<Row>> {
        on_either!(self, sql, values, fetch_optional)
    }

    /// The only row; its absence is a failure.
    ///
    /// # Errors
    /// The database's.
    pub async fn one(&mut self, sql: &'static str, values: &[Value]) -> Result<Row> {
        on_either!(self, sql, values, fetch_one)
    }

    /// All rows.
    ///
    /// # Errors
    /// The database's.
    pub async fn all(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>> {
        on_either!(self, sql, values, fetch_all)
    }

    /// Commits what is Ok and rolls back what is not.
    async fn end<T>(self, outcome: Result<T>) -> Result<T> {
        let is_kept = outcome.is_ok() && !self.is_undone;
        if self.is_lost {
            // There is nobody to ask for a rollback; the connection is closed, which is one.
            return outcome.and_then(|_| Err(Error::Unavailable("its connection was lost".to_owned())));
        }
        let ended = match self.open {
            Open::Sqlite(open) if is_kept => open.commit().await,
            Open::Postgres(open) if is_kept => open.commit().await,
            Open::Sqlite(open) => open.rollback().await,
            Open::Postgres(open) => open.rollback().await,
        };
        match outcome {
            Ok(value) => ended.map(|()| value).map_err(failure::of),
            // The work's error is the one worth telling; a connection that cannot roll back is not taken from its pool again.
            Err(error) => Err(error),
        }
    }
}
