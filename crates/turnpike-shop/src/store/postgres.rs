//! A transaction on PostgreSQL whose every step ends in bounded time, and whose connection is given back only when it is over.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Postgres, Row as _};
use tokio::time::Instant;

use super::{ACQUIRE_TIMEOUT, failure};

/// How long a connection of the pool may take to show that it lives. Shorter than [`ACQUIRE_TIMEOUT`], so that who meets one that has
/// gone silent gets another in time.
pub(super) const CHECK_BOUND: Duration = Duration::from_secs(1);

/// How a transaction begins. The same message asks whether the connection was in one before: in an older one, time stands still.
pub(super) mod begin {
    /// One that writes.
    pub(in crate::store) const WRITING: &str = "BEGIN; SELECT now() = statement_timestamp() AS is_clean";
    /// One that reads, all of it as of one moment.
    pub(in crate::store) const READING: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
        SELECT now() = statement_timestamp() AS is_clean";
}

/// A little more than the server's own limit for a statement: past it the server, or the network on the way to it, is gone.
const ANSWER_BOUND: Duration = Duration::from_secs(7);
/// The same for a statement that may take its time.
const PATIENT_BOUND: Duration = Duration::from_secs(15 * 60);

/// A transaction under way. Dropped before its end it takes its connection with it: nobody can say what would come back on it, an
/// answer that was waited for in vain, or a transaction that is still open.
pub(super) struct PgTransaction {
    connection: PoolConnection<Postgres>,
    /// How long an answer is waited for.
    bound: Duration,
    /// Committed or rolled back: the connection can be used again.
    is_over: bool,
}

impl PgTransaction {
    /// Begins one by one of [`begin`]'s statements. A connection that is found broken, or in a transaction of somebody else's, is closed
    /// and the next is taken: nothing has been done on it.
    pub(super) async fn begin(pool: &PgPool, sql: &'static str) -> Result<Self, sqlx::Error> {
        let give_up = Instant::now() + ACQUIRE_TIMEOUT;
        loop {
            let mut tx = Self::alone(pool).await?;
            match bounded(CHECK_BOUND, sqlx::raw_sql(sql).fetch_one(&mut *tx.connection)).await {
                Ok(row) if row.try_get("is_clean")? => return Ok(tx),
                Ok(_) => {}
                Err(error) if failure::is_cut(&error) && Instant::now() < give_up => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A connection for one statement that is its own transaction, ended by [`PgTransaction::release`].
    pub(super) async fn alone(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self {
            connection: pool.acquire().await?,
            bound: ANSWER_BOUND,
            is_over: false,
        })
    }

    /// Gives the connection back: its one statement is over.
    pub(super) fn release(mut self) {
        self.is_over = true;
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.control("COMMIT").await?;
        self.is_over = true;
        Ok(())
    }

    pub(super) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.control("ROLLBACK").await?;
        self.is_over = true;
        Ok(())
    }

    async fn control(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        bounded(self.bound, sqlx::raw_sql(sql).execute(&mut *self.connection)).await?;
        Ok(())
    }

    /// From here on, up to the end, a statement may take as long as it needs.
    pub(super) async fn take_time(&mut self) -> Result<(), sqlx::Error> {
        self.control("SET LOCAL statement_timeout = 0").await?;
        self.bound = PATIENT_BOUND;
        Ok(())
    }

    /// How long an answer is waited for.
    pub(super) fn bound(&self) -> Duration {
        self.bound
    }

    /// For one statement, which must be [`bounded`].
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for PgTransaction {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.close_on_drop();
        }
    }
}

/// The statement's answer, or an I/O error where there is none in time. The connection cannot be used any more then.
pub(super) async fn bounded<T>(
    bound: Duration,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(bound, statement)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}
