//! The store: two engines behind the same verbs, one SQL text.
//!
//! SQL is PostgreSQL's dialect with `$1` placeholders, columns BIGINT, TEXT and BYTEA only. [`dialect`] removes what SQLite
//! has no word for (row locks: its writer is alone anyway).
//!
//! Every transaction runs apart from who asked for it: on PostgreSQL in a task of its own, on SQLite on a thread of the store's
//! ([`sqlite`]). A caller that goes away (a web client that hangs up) can therefore not leave one half begun on a connection,
//! where the next caller's writes would be lost with it. On PostgreSQL that is seen to twice more: a transaction that is not
//! brought to its end closes its connection ([`postgres`]), and a pooled connection is asked whether it is in a transaction
//! before it is handed out ([`engine`]).

mod dialect;
mod engine;
mod failure;
pub(crate) mod many;
mod migrate;
mod postgres;
mod row;
mod sqlite;
mod together;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rand::RngExt as _;
use sqlx::postgres::PgPool;
use tokio::sync::watch;

use self::postgres::{CHECK_BOUND, PgTransaction, begin, bounded};
use self::sqlite::{Connection, Sqlite};
use crate::error::{Error, Result};

pub use dialect::Engine;
pub use engine::{postgres_host, sqlite_path};
pub use row::{Row, Value};
pub(crate) use together::Together;

/// How often a transaction is run in all when the engine asks for it to be run again.
const ATTEMPTS: u32 = 5;

/// A caller is told that the database is away rather than kept waiting for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Engines,
    /// Counts up after each commit that gateways or the rotation queue should look at.
    wakes: Wakes,
}

/// Wakes whoever follows.
#[derive(Clone)]
struct Wakes(watch::Sender<u64>);

impl Wakes {
    fn wake(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

#[derive(Clone)]
enum Engines {
    Sqlite(Arc<Sqlite>),
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
    Sqlite(Connection),
    Postgres(PgTransaction),
}

#[derive(Clone, Copy)]
enum Access {
    Write,
    Read,
}

impl Store {
    fn new(engine: Engines) -> Self {
        Self {
            engine,
            wakes: Wakes(watch::Sender::new(0)),
        }
    }

    /// Wakes after each commit of this process that gateways or the rotation queue should look at.
    pub(crate) fn wakes(&self) -> watch::Receiver<u64> {
        self.wakes.0.subscribe()
    }

    /// Wakes whoever follows [`Store::wakes`].
    pub(crate) fn wake(&self) {
        self.wakes.wake();
    }

    /// Which engine it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.engine {
            Engines::Sqlite(_) => Engine::Sqlite,
            Engines::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs `work` in one read-write transaction, apart from its caller, so that a caller that goes away leaves nothing half
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

    /// As [`Store::read`], for what reads a few dozen rows at most: on SQLite it is done at once, on the thread that asks.
    ///
    /// # Errors
    /// What `work` says, or the database's.
    pub(crate) async fn glance<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        match &self.engine {
            Engines::Sqlite(sqlite) => sqlite.glance(work).await,
            Engines::Postgres(_) => self.read(work).await,
        }
    }

    /// The first row of one statement, or none, without a transaction around it. It must be one that may run twice: it does where the
    /// connection is cut. On SQLite it is one that reads, done at once on the thread that asks: for what is found by its key.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn look_up(&self, sql: &'static str, values: Vec<Value>) -> Result<Option<Row>> {
        match &self.engine {
            Engines::Sqlite(sqlite) => sqlite.look_up(sql, values).await,
            Engines::Postgres(pool) => {
                let ended = tokio::spawn(look_up_on_postgres(pool.clone(), sql, values)).await;
                ended.unwrap_or_else(|join| Err(Error::Failed(format!("a statement's task ended: {join}"))))
            }
        }
    }

    async fn run<T, F>(&self, access: Access, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        match (&self.engine, access) {
            (Engines::Sqlite(sqlite), Access::Write) => sqlite.write(work, self.wakes.clone()).await,
            (Engines::Sqlite(sqlite), Access::Read) => sqlite.read(work).await,
            (Engines::Postgres(pool), access) => {
                let run = run_on_postgres(pool.clone(), access, work, self.wakes.clone());
                let ended = tokio::spawn(run).await;
                ended.unwrap_or_else(|join| Err(Error::Failed(format!("a transaction's task ended: {join}"))))
            }
        }
    }

    /// Closes the database, waiting for what is under way.
    pub async fn close(&self) {
        match &self.engine {
            Engines::Sqlite(sqlite) => sqlite.close().await,
            Engines::Postgres(pool) => pool.close().await,
        }
    }
}

async fn run_on_postgres<T, F>(pool: PgPool, access: Access, work: F, wakes: Wakes) -> Result<T>
where
    F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>>,
{
    let begin = match access {
        Access::Write => begin::WRITING,
        Access::Read => begin::READING,
    };
    let mut attempt = 1;
    loop {
        let open = PgTransaction::begin(&pool, begin).await.map_err(failure::of)?;
        let mut tx = Tx::new(Open::Postgres(open));
        let outcome = work(&mut tx).await;
        let (is_to_be_run_again, asks_to_wake) = (tx.is_to_be_run_again, tx.wakes && !tx.is_undone);
        let outcome = end(tx, outcome).await;
        if asks_to_wake && outcome.is_ok() {
            wakes.wake();
        }
        if outcome.is_ok() || !is_to_be_run_again || attempt == ATTEMPTS {
            return outcome;
        }
        let pause = rand::rng().random_range(1..=10 * u64::from(attempt));
        tokio::time::sleep(Duration::from_millis(pause)).await;
        attempt += 1;
    }
}

/// Asks anew where the connection was found broken or silent: the statement may run twice, and a row is found by its key in less time.
async fn look_up_on_postgres(pool: PgPool, sql: &'static str, values: Vec<Value>) -> Result<Option<Row>> {
    let give_up = tokio::time::Instant::now() + ACQUIRE_TIMEOUT;
    loop {
        let mut open = PgTransaction::alone(&pool).await.map_err(failure::of)?;
        let query = sqlx::query_with(sql, row::for_postgres(&values)?);
        let found = bounded(CHECK_BOUND, query.fetch_optional(open.connection())).await;
        match found {
            Ok(row) => {
                open.release();
                return Ok(row.map(Row::from));
            }
            Err(error) if failure::is_cut(&error) && tokio::time::Instant::now() < give_up => {}
            Err(error) => return Err(failure::of(error)),
        }
    }
}

/// A statement on PostgreSQL, in bounded time.
macro_rules! on_postgres {
    ($tx:ident, $open:ident, $sql:ident, $values:ident, $call:ident) => {{
        let query = sqlx::query_with($sql, row::for_postgres($values)?);
        bounded($open.bound(), query.$call($open.connection()))
            .await
            .map_err(|error| {
                $tx.is_to_be_run_again |= failure::asks_to_run_again(&error);
                $tx.is_lost |= failure::is_of_connection(&error);
                failure::of(error)
            })
    }};
}

impl Tx {
    fn new(open: Open) -> Self {
        Self {
            open,
            is_to_be_run_again: false,
            wakes: false,
            is_undone: false,
            is_lost: false,
        }
    }

    /// One in the transaction that the connection is in.
    fn on_sqlite(connection: Connection) -> Self {
        Self::new(Open::Sqlite(connection))
    }

    /// Gives the connection back.
    fn into_sqlite(self) -> Connection {
        match self.open {
            Open::Sqlite(connection) => connection,
            Open::Postgres(_) => unreachable!("a transaction stays on its engine"),
        }
    }

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
        match &mut self.open {
            Open::Sqlite(open) => open.execute(sql, values).map_err(|error| failure::of_sqlite(&error)),
            Open::Postgres(open) => on_postgres!(self, open, sql, values, execute).map(|done| done.rows_affected()),
        }
    }

    /// Runs statements one after the other, each with its values; how many rows each changed. None may depend on what one before it
    /// has done, and no two may change the same row: on PostgreSQL they are one.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn together(&mut self, statements: &'static Together, values: &[&[Value]]) -> Result<Vec<u64>> {
        if let Open::Sqlite(open) = &mut self.open {
            let each = statements.parts().iter().zip(values);
            return each
                .map(|(sql, values)| open.execute(sql, values).map_err(|error| failure::of_sqlite(&error)))
                .collect();
        }
        let row = self.one(statements.joined(), &values.concat()).await?;
        statements.counts(&row)
    }

    /// The only row, or none.
    ///
    /// # Errors
    /// The database's.
    pub async fn optional(&mut self, sql: &'static str, values: &[Value]) -> Result<Option<Row>> {
        match &mut self.open {
            Open::Sqlite(open) => Ok(sqlite_rows(open, sql, values, 1)?.pop()),
            Open::Postgres(open) => on_postgres!(self, open, sql, values, fetch_optional).map(|row| row.map(Row::from)),
        }
    }

    /// The only row; its absence is a failure.
    ///
    /// # Errors
    /// The database's.
    pub async fn one(&mut self, sql: &'static str, values: &[Value]) -> Result<Row> {
        let row = self.optional(sql, values).await?;
        row.ok_or_else(|| Error::Failed("a row that must be there is not".to_owned()))
    }

    /// All rows.
    ///
    /// # Errors
    /// The database's.
    pub async fn all(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>> {
        match &mut self.open {
            Open::Sqlite(open) => sqlite_rows(open, sql, values, usize::MAX),
            Open::Postgres(open) => {
                let rows = on_postgres!(self, open, sql, values, fetch_all)?;
                Ok(rows.into_iter().map(Row::from).collect())
            }
        }
    }
}

fn sqlite_rows(open: &mut Connection, sql: &'static str, values: &[Value], most: usize) -> Result<Vec<Row>> {
    let rows = open
        .rows(sql, values, most)
        .map_err(|error| failure::of_sqlite(&error))?;
    Ok(rows.into_iter().map(Row::from).collect())
}

/// Commits what is Ok and rolls back what is not.
async fn end<T>(tx: Tx, outcome: Result<T>) -> Result<T> {
    let Open::Postgres(open) = tx.open else {
        return outcome;
    };
    if tx.is_lost {
        // There is nobody to ask for a rollback; the connection is closed, which is one.
        return outcome.and_then(|_| Err(Error::Unavailable("its connection was lost".to_owned())));
    }
    let ended = if outcome.is_ok() && !tx.is_undone {
        open.commit().await
    } else {
        open.rollback().await
    };
    match outcome {
        Ok(value) => ended.map(|()| value).map_err(failure::of),
        // The work's error is the one worth telling; a connection that cannot roll back is not taken from its pool again.
        Err(error) => Err(error),
    }
}
