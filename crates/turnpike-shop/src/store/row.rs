//! Values that are bound and rows that come back, alike on both engines.

use std::fmt::Display;
use std::str::FromStr;

use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteQueryResult, SqliteRow};
use sqlx::{Arguments as _, Decode, Row as _, Type};

use crate::error::{Error, Result};

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

/// The values as SQLite takes them.
pub(super) fn for_sqlite(values: &[Value]) -> Result<SqliteArguments> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value.clone() {
            Value::Int(int) => arguments.add(int),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(bytes),
            Value::NullInt => arguments.add(None::<i64>),
            Value::NullText => arguments.add(None::<String>),
            Value::NullBytes => arguments.add(None::<Vec<u8>>),
        }
        .map_err(unbindable)?;
    }
    Ok(arguments)
}

/// The values as PostgreSQL takes them.
pub(super) fn for_postgres(values: &[Value]) -> Result<PgArguments> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Int(int) => arguments.add(int),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(bytes),
            Value::NullInt => arguments.add(None::<i64>),
            Value::NullText => arguments.add(None::<String>),
            Value::NullBytes => arguments.add(None::<Vec<u8>>),
        }
        .map_err(unbindable)?;
    }
    Ok(arguments)
}

fn unbindable(error: sqlx::error::BoxDynError) -> Error {
    Error::Failed(format!("binding a value: {error}"))
}

/// One row of an answer.
pub struct Row(EngineRow);

enum EngineRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl std::fmt::Debug for Row {
    /// Without the values, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Row")
    }
}

impl Row {
    /// A BIGINT that is not NULL.
    ///
    /// # Errors
    /// [`Error::Failed`]: there is no such column, or it is something else. Likewise below.
    pub fn int(&self, column: &'static str) -> Result<i64> {
        self.column(column)
    }

    /// A BIGINT or NULL.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn optional_int(&self, column: &'static str) -> Result<Option<i64>> {
        self.column(column)
    }

    /// A TEXT that is not NULL.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn text(&self, column: &'static str) -> Result<String> {
        self.column(column)
    }

    /// A TEXT or NULL.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn optional_text(&self, column: &'static str) -> Result<Option<String>> {
        self.column(column)
    }

    /// A BYTEA that is not NULL.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn bytes(&self, column: &'static str) -> Result<Vec<u8>> {
        self.column(column)
    }

    /// A TEXT parsed as one of the shop's own types (ids, words).
    ///
    /// # Errors
    /// As [`Row::int`], and where it does not parse.
    pub fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T>
    where
        T::Err: Display,
    {
        parse(column, &self.text(column)?)
    }

    /// A TEXT or NULL, parsed as one of the shop's own types.
    ///
    /// # Errors
    /// As [`Row::parsed`].
    pub fn optional_parsed<T: FromStr>(&self, column: &'static str) -> Result<Option<T>>
    where
        T::Err: Display,
    {
        self.optional_text(column)?.map(|text| parse(column, &text)).transpose()
    }

    fn column<T>(&self, column: &'static str) -> Result<T>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        match &self.0 {
            EngineRow::Sqlite(row) => row.try_get(column),
            EngineRow::Postgres(row) => row.try_get(column),
        }
        .map_err(|error| Error::Failed(format!("reading column {column}: {error}")))
    }
}

fn parse<T: FromStr>(column: &str, text: &str) -> Result<T>
where
    T::Err: Display,
{
    text.parse()
        .map_err(|error| Error::Failed(format!("column {column} holds something else: {error}")))
}

/// What a call answers, made from either engine's own kind.
pub(super) trait Answer<S, P> {
    fn from_sqlite(answer: S) -> Self;
    fn from_postgres(answer: P) -> Self;
}

impl Answer<SqliteQueryResult, PgQueryResult> for u64 {
    fn from_sqlite(answer: SqliteQueryResult) -> Self {
        answer.rows_affected()
    }
    fn from_postgres(answer: PgQueryResult) -> Self {
        answer.rows_affected()
    }
}

impl Answer<SqliteRow, PgRow> for Row {
    fn from_sqlite(answer: SqliteRow) -> Self {
        Self(EngineRow::Sqlite(answer))
    }
    fn from_postgres(answer: PgRow) -> Self {
        Self(EngineRow::Postgres(answer))
    }
}

impl Answer<Option<SqliteRow>, Option<PgRow>> for Option<Row> {
    fn from_sqlite(answer: Option<SqliteRow>) -> Self {
        answer.map(Row::from_sqlite)
    }
    fn from_postgres(answer: Option<PgRow>) -> Self {
        answer.map(Row::from_postgres)
    }
}

impl Answer<Vec<SqliteRow>, Vec<PgRow>> for Vec<Row> {
    fn from_sqlite(answer: Vec<SqliteRow>) -> Self {
        answer.into_iter().map(Row::from_sqlite).collect()
    }
    fn from_postgres(answer: Vec<PgRow>) -> Self {
        answer.into_iter().map(Row::from_postgres).collect()
    }
}
