//! One connection, and what it answers.

use std::path::Path;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, OpenFlags, Statement};

use super::BUSY_TIMEOUT;
use crate::store::dialect;
use crate::store::row::Value;

/// How many prepared statements a connection keeps: more than the program has, so that none is parsed twice.
const STATEMENTS: usize = 512;

/// A connection with the settings that the shop relies on.
pub(in crate::store) struct Connection(rusqlite::Connection);

impl Connection {
    /// One that may write.
    ///
    /// # Errors
    /// SQLite's. Likewise below.
    pub(super) fn writer(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Self::open(path, flags)?;
        connection.0.pragma_update(None, "synchronous", "FULL")?;
        connection.0.pragma_update(None, "foreign_keys", true)?;
        connection
            .0
            .pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        Ok(connection)
    }

    /// One that cannot write.
    pub(super) fn reader(path: &Path) -> rusqlite::Result<Self> {
        Self::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
    }

    fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Self> {
        let connection = rusqlite::Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // Otherwise it plans a statement anew for each value that it might depend on, which costs more than most of ours take.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // The first read opens the write-ahead log. It is done now, so that open descriptors stay the same from here on.
        connection.query_row("SELECT COUNT(*) FROM sqlite_schema", (), |_| Ok(()))?;
        Ok(Self(connection))
    }

    /// Runs a statement of transaction control.
    pub(super) fn control(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.0.prepare_cached(sql)?.execute(()).map(drop)
    }

    /// Whether it is in a transaction. SQLite ends one by itself where the disk is full, among others.
    pub(super) fn is_in_transaction(&self) -> bool {
        !self.0.is_autocommit()
    }

    /// Runs a statement; how many rows it changed.
    pub(in crate::store) fn execute(&mut self, sql: &'static str, values: &[Value]) -> rusqlite::Result<u64> {
        let mut statement = self.prepare(sql, values)?;
        let changed = statement.raw_execute()?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    /// The first rows of an answer, at most so many.
    pub(in crate::store) fn rows(
        &mut self,
        sql: &'static str,
        values: &[Value],
        most: usize,
    ) -> rusqlite::Result<Vec<SqliteRow>> {
        let mut statement = self.prepare(sql, values)?;
        let columns: Arc<[Box<str>]> = statement.column_names().into_iter().map(Box::from).collect();
        let mut answer = Vec::new();
        let mut rows = statement.raw_query();
        while answer.len() < most
            && let Some(row) = rows.next()?
        {
            let cells = (0..columns.len()).map(|index| row.get_ref(index).map(Cell::of));
            answer.push(SqliteRow {
                cells: cells.collect::<rusqlite::Result<_>>()?,
                columns: Arc::clone(&columns),
            });
        }
        Ok(answer)
    }

    fn prepare(&self, sql: &'static str, values: &[Value]) -> rusqlite::Result<CachedStatement<'_>> {
        let mut statement = self.0.prepare_cached(dialect::for_sqlite(sql))?;
        // SQLite takes `$2` for a name and numbers names as it meets them.
        for index in 1..=statement.parameter_count() {
            let value = numbered(&statement, index).and_then(|number| values.get(number.checked_sub(1)?));
            let value = value.ok_or(rusqlite::Error::InvalidParameterCount(index, values.len()))?;
            statement.raw_bind_parameter(index, value)?;
        }
        Ok(statement)
    }
}

/// The number that the statement's placeholder carries.
fn numbered(statement: &Statement<'_>, index: usize) -> Option<usize> {
    statement.parameter_name(index)?.strip_prefix('$')?.parse().ok()
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Int(int) => ValueRef::Integer(*int),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::NullInt | Self::NullText | Self::NullBytes => ValueRef::Null,
        }))
    }
}

/// One row of an answer.
pub(in crate::store) struct SqliteRow {
    columns: Arc<[Box<str>]>,
    cells: Box<[Cell]>,
}

impl SqliteRow {
    /// What stands in a column; absent where there is none of this name.
    pub(in crate::store) fn cell(&self, column: &str) -> Option<&Cell> {
        let index = self.columns.iter().position(|name| **name == *column)?;
        self.cells.get(index)
    }
}

/// What one column of one row holds.
#[derive(Debug)]
pub(in crate::store) enum Cell {
    Null,
    Int(i64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    /// What the shop's schema has not: a number with a fraction, a text that is no UTF-8.
    Other,
}

impl Cell {
    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(int) => Self::Int(int),
            ValueRef::Real(_) => Self::Other,
            ValueRef::Text(text) => std::str::from_utf8(text).map_or(Self::Other, |text| Self::Text(text.into())),
            ValueRef::Blob(bytes) => Self::Bytes(bytes.into()),
        }
    }
}
