//! The store: two engines behind the same verbs, one SQL text.
//!
//! SQL is PostgreSQL's dialect with `$1` placeholders, columns BIGINT, TEXT and BYTEA only. [`dialect`] removes what SQLite
//! has no word for (row locks: its writer is alone anyway).

mod dialect;

use futures_util::future::BoxFuture;

use crate::error::Result;

/// A value bound to a placeholder.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// BIGINT.
    Int(i64),
    /// TEXT.
    Text(String),
    /// BYTEA or BLOB.
    Bytes(Vec<u8>),
    /// A NULL of BIGINT type.
    NullInt,
    /// A NULL of TEXT type.
    NullText,
    /// A NULL of BYTEA type.
    NullBytes,
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    // S1: enum { Sqlite { writer, readers }, Postgres(pool) }
}

/// A transaction under way.
pub struct Tx {
    // S1
}

/// One row of an answer.
#[derive(Debug)]
pub struct Row {
    // S1
}

#[allow(unused_variables)]
impl Store {
    /// Runs `work` in one read-write transaction, in a task of its own, so that a caller that goes away leaves nothing half
    /// done. Committed when `work` is Ok, rolled back otherwise. Run again (at most 5 times) when the engine reports a
    /// serialization failure or a deadlock, which is why `work` can be called more than once.
    pub async fn transaction<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        unimplemented!("S1")
    }

    /// Runs `work` in one read-only transaction with a consistent view. Reads only; never waits for a writer.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        unimplemented!("S1")
    }
}

#[allow(unused_variables)]
impl Tx {
    /// Runs a statement; how many rows it changed.
    pub async fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64> {
        unimplemented!("S1")
    }

    /// The only row, or none.
    pub async fn optional(&mut self, sql: &'static str, values: &[Value]) -> Result<Option<Row>> {
        unimplemented!("S1")
    }

    /// The only row; its absence is a failure.
    pub async fn one(&mut self, sql: &'static str, values: &[Value]) -> Result<Row> {
        unimplemented!("S1")
    }

    /// All rows.
    pub async fn all(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>> {
        unimplemented!("S1")
    }
}

#[allow(unused_variables)]
impl Row {
    /// A BIGINT that is not NULL.
    pub fn int(&self, column: &'static str) -> Result<i64> {
        unimplemented!("S1")
    }
    /// A BIGINT or NULL.
    pub fn optional_int(&self, column: &'static str) -> Result<Option<i64>> {
        unimplemented!("S1")
    }
    /// A TEXT that is not NULL.
    pub fn text(&self, column: &'static str) -> Result<String> {
        unimplemented!("S1")
    }
    /// A TEXT or NULL.
    pub fn optional_text(&self, column: &'static str) -> Result<Option<String>> {
        unimplemented!("S1")
    }
    /// A BYTEA that is not NULL.
    pub fn bytes(&self, column: &'static str) -> Result<Vec<u8>> {
        unimplemented!("S1")
    }
    /// A TEXT parsed as one of the shop's own types (ids, words); what does not parse is a failure.
    pub fn parsed<T: std::str::FromStr>(&self, column: &'static str) -> Result<T>
    where
        T::Err: std::fmt::Display,
    {
        unimplemented!("S1")
    }
}
