//! What the engines' errors mean to the shop.

use std::io;

use rusqlite::ffi;
use sqlx::error::DatabaseError;

use crate::error::Error;

/// The shop's error for one of PostgreSQL's or its driver's.
pub(super) fn of(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) => of_database(&**database),
        sqlx::Error::Io(io) if io.kind() == io::ErrorKind::StorageFull => Error::StorageFull(error.to_string()),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Error::Unavailable(error.to_string()),
        _ => Error::Failed(error.to_string()),
    }
}

fn of_database(error: &dyn DatabaseError) -> Error {
    let text = error.to_string();
    match error.code().as_deref().unwrap_or_default() {
        // disk_full
        "53100" => Error::StorageFull(text),
        code if is_passing(code) => Error::Unavailable(text),
        _ => Error::Failed(text),
    }
}

/// The shop's error for one of SQLite's.
pub(super) fn of_sqlite(error: &rusqlite::Error) -> Error {
    let text = error.to_string();
    match error.sqlite_error().map(|error| error.extended_code & 0xff) {
        Some(ffi::SQLITE_FULL) => Error::StorageFull(text),
        Some(
            ffi::SQLITE_BUSY
            | ffi::SQLITE_LOCKED
            | ffi::SQLITE_IOERR
            | ffi::SQLITE_CANTOPEN
            | ffi::SQLITE_ABORT
            | ffi::SQLITE_NOMEM,
        ) => Error::Unavailable(text),
        _ => Error::Failed(text),
    }
}

/// An error as SQLite would tell it.
pub(super) fn sqlite(code: i32, text: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(text.to_owned()))
}

/// Whether the same call may succeed later.
fn is_passing(code: &str) -> bool {
    // Classes: connection exceptions, transaction rollbacks, insufficient resources, operator intervention
    // (shutdown, cancelled statements), lock_not_available, idle_in_transaction_session_timeout.
    ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)) || matches!(code, "55P03" | "25P03")
}

/// Whether the engine has given the transaction up and asks for it to be run again: serialization failure, deadlock.
pub(super) fn asks_to_run_again(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else {
        return false;
    };
    matches!(database.code().as_deref(), Some("40001" | "40P01"))
}

/// Whether the connection is of no more use: broken, or not answering in time.
pub(super) fn is_of_connection(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed
    )
}

/// Whether the connection was found broken, or cut off by the server: what has done nothing yet may go on with another.
pub(super) fn is_cut(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    // admin_shutdown, crash_shutdown, idle_session_timeout and the like
    is_of_connection(error) || code.is_some_and(|code| code.starts_with("57P"))
}
