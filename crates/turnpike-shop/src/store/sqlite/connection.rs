//! One connection, and what it answers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, OpenFlags, Statement};

use super::BUSY_TIMEOUT;
use super::answer::{Answer, SqliteRow};
use crate::store::dialect;
use crate::store::row::Value;

/// How many prepared statements a connection keeps: more than the program has, so that none is parsed twice.
const STATEMENTS: usize = 512;

/// A connection with the settings that the shop relies on.
pub(in crate::store) struct Connection {
    inner: rusqlite::Connection,
    /// By where a statement's text lies.
    shapes: RefCell<HashMap<(usize, usize), Shape>>,
}

/// What is the same of a statement however often it runs.
#[derive(Clone)]
struct Shape {
    /// As SQLite reads it.
    sql: &'static str,
    columns: Arc<[Box<str>]>,
    /// Which value each of its parameters takes: SQLite takes `$2` for a name and numbers names as it meets them.
    values: Arc<[usize]>,
}

impl Connection {
    /// One that may write.
    ///
    /// # Errors
    /// SQLite's. Likewise below.
    pub(super) fn writer(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Self::open(path, flags)?;
        connection.inner.pragma_update(None, "synchronous", "FULL")?;
        connection.inner.pragma_update(None, "foreign_keys", true)?;
        connection
            .inner
            .pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        // What a savepoint would put back: some hundred KiB for what is committed together, which went to a file past the first 64.
        connection.inner.pragma_update(None, "temp_store", "MEMORY")?;
        // In KiB, taken as they are needed: in large books each purchase goes to other leaves of the indexes.
        connection.inner.pragma_update(None, "cache_size", -16 * 1024)?;
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
        Ok(Self {
            inner: connection,
            shapes: RefCell::default(),
        })
    }

    /// Runs a statement of transaction control.
    pub(super) fn control(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.inner.prepare_cached(sql)?.execute(()).map(drop)
    }

    /// Whether it is in a transaction. SQLite ends one by itself where the disk is full, among others.
    pub(super) fn is_in_transaction(&self) -> bool {
        !self.inner.is_autocommit()
    }

    /// Runs a statement; how many rows it changed.
    pub(in crate::store) fn execute(&mut self, sql: &'static str, values: &[Value]) -> rusqlite::Result<u64> {
        let (mut statement, _) = self.prepare(sql, values)?;
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
        let (mut statement, columns) = self.prepare(sql, values)?;
        let mut answer = Answer::new(columns);
        let mut rows = statement.raw_query();
        while answer.rows() < most
            && let Some(row) = rows.next()?
        {
            answer.push(row)?;
        }
        Ok(answer.into_rows())
    }

    fn prepare(&self, sql: &'static str, values: &[Value]) -> rusqlite::Result<(CachedStatement<'_>, Arc<[Box<str>]>)> {
        let place = (sql.as_ptr().addr(), sql.len());
        let known = self.shapes.borrow().get(&place).cloned();
        let known_sql = known
            .as_ref()
            .map_or_else(|| dialect::for_sqlite(sql), |shape| shape.sql);
        let mut statement = self.inner.prepare_cached(known_sql)?;
        let shape = match known {
            Some(shape) => shape,
            None => {
                let shape = Shape::of(known_sql, &statement)?;
                self.shapes.borrow_mut().insert(place, shape.clone());
                shape
            }
        };
        for (index, number) in (1..).zip(shape.values.iter()) {
            let value = number.checked_sub(1).and_then(|place| values.get(place));
            let value = value.ok_or(rusqlite::Error::InvalidParameterCount(index, values.len()))?;
            statement.raw_bind_parameter(index, value)?;
        }
        Ok((statement, shape.columns))
    }
}

impl Shape {
    fn of(sql: &'static str, statement: &Statement<'_>) -> rusqlite::Result<Self> {
        let number = |index| numbered(statement, index).ok_or(rusqlite::Error::InvalidParameterCount(index, 0));
        Ok(Self {
            sql,
            columns: statement.column_names().into_iter().map(Box::from).collect(),
            values: (1..=statement.parameter_count())
                .map(number)
                .collect::<rusqlite::Result<_>>()?,
        })
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
