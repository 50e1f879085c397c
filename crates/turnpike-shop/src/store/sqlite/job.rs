//! One transaction's work, as the thread sees it that runs it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use rusqlite::ffi;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Connection;
use crate::error::{Error, Result};
use crate::store::{Tx, Wakes, failure};

/// Runs the work in the transaction that the connection is in, and gives the connection back with what came of it.
pub(super) fn perform<T>(
    connection: Connection,
    runtime: &Handle,
    work: impl for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>>,
) -> (Connection, Outcome<T>) {
    let mut tx = Tx::on_sqlite(connection);
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work(&mut tx))));
    let result = result.unwrap_or_else(|_| Err(Error::Failed("a transaction panicked".to_owned())));
    let outcome = Outcome {
        is_kept: result.is_ok() && !tx.is_undone,
        wakes: tx.wakes,
        result,
    };
    (tx.into_sqlite(), outcome)
}

/// What those are told that SQLite ended the common transaction of, because of another's failure.
pub(super) fn given_up() -> rusqlite::Error {
    failure::sqlite(ffi::SQLITE_ABORT_ROLLBACK, "the database gave the transaction up")
}

/// What came of it.
pub(super) struct Outcome<T> {
    pub(super) result: Result<T>,
    /// Whether what it did is to be kept.
    pub(super) is_kept: bool,
    /// Whether others want to know when it is durable.
    wakes: bool,
}

/// Something to write, of whatever kind.
pub(super) trait Job: Send {
    /// Whether it is to be run: false where whoever asked for it has given up waiting.
    fn start(&self) -> bool;

    /// Runs it inside the open transaction; leaves its own effects, or none.
    fn run(&mut self, connection: Connection, runtime: &Handle) -> Connection;

    /// Answers, now that the transaction around it has come to its end.
    fn settle(self: Box<Self>, committed: &rusqlite::Result<()>);
}

pub(super) struct Writing<T, F> {
    pub(super) work: F,
    pub(super) outcome: Option<Outcome<T>>,
    /// Set by whoever is first: the thread that starts it, or who asked and gives up.
    pub(super) is_taken: Arc<AtomicBool>,
    pub(super) wakes: Wakes,
    pub(super) reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Writing<T, F>
where
    T: Send,
    F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send,
{
    fn start(&self) -> bool {
        !self.is_taken.swap(true, Ordering::AcqRel)
    }

    fn run(&mut self, connection: Connection, runtime: &Handle) -> Connection {
        if let Err(error) = connection.control("SAVEPOINT one") {
            self.outcome = Some(Outcome::failed(&error));
            return connection;
        }
        let (connection, mut outcome) = perform(connection, runtime, &self.work);
        if connection.is_in_transaction() {
            let undone = if outcome.is_kept {
                Ok(())
            } else {
                connection.control("ROLLBACK TO one")
            };
            // Where it cannot be undone apart from the others' work, all of it is.
            let ended = undone.and_then(|()| connection.control("RELEASE one"));
            if let Err(error) = ended {
                let _whole = connection.control("ROLLBACK");
                outcome = Outcome::failed(&error);
            }
        } else if outcome.is_kept {
            outcome = Outcome::failed(&given_up());
        }
        self.outcome = Some(outcome);
        connection
    }

    fn settle(self: Box<Self>, committed: &rusqlite::Result<()>) {
        let answer = match (self.outcome, committed) {
            (Some(outcome), Ok(())) => {
                if outcome.is_kept && outcome.wakes {
                    self.wakes.wake();
                }
                outcome.result
            }
            (Some(outcome), Err(error)) if outcome.is_kept => Err(failure::of_sqlite(error)),
            (Some(outcome), Err(_)) => outcome.result,
            (None, Err(error)) => Err(failure::of_sqlite(error)),
            (None, Ok(())) => Err(Error::Failed("a transaction was never run".to_owned())),
        };
        // Who asked may be gone; what was done stays done.
        let _gone = self.reply.send(answer);
    }
}

impl<T> Outcome<T> {
    fn failed(error: &rusqlite::Error) -> Self {
        Self {
            result: Err(failure::of_sqlite(error)),
            is_kept: false,
            wakes: false,
        }
    }
}
