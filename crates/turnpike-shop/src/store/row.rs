//! Values that are bound and rows that come back, alike on both engines.

use std::fmt::Display;
use std::str::FromStr;

use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::{Arguments as _, Decode, Row as _, Type};

use super::sqlite::{SqliteRow, View};
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

    /// A TEXT that is not NULL, as it stands in the row.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn str(&self, column: &'static str) -> Result<&str> {
        match &self.0 {
            EngineRow::Sqlite(row) => match row.cell(column) {
                Some(View::Text(text)) => Ok(text),
                other => Err(unlike(column, other)),
            },
            EngineRow::Postgres(row) => row
                .try_get(column)
                .map_err(|error| Error::Failed(format!("reading column {column}: {error}"))),
        }
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
        parse(column, self.str(column)?)
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

    /// All that it holds but for its last columns: rows of one statement are alike where their prints are.
    ///
    /// # Errors
    /// [`Error::Failed`]: PostgreSQL's driver cannot tell.
    pub(crate) fn print(&self, but_last: usize) -> Result<Vec<u8>> {
        let mut print = Vec::with_capacity(512);
        match &self.0 {
            EngineRow::Sqlite(row) => row.print(but_last, &mut print),
            EngineRow::Postgres(row) => {
                for index in 0..row.len().saturating_sub(but_last) {
                    let cell = row.try_get_raw(index);
                    let cell = cell.map_err(|error| Error::Failed(format!("reading column {index}: {error}")))?;
                    // Its errors are those of NULL.
                    match cell.as_bytes() {
                        Ok(bytes) => with_length(&mut print, 1, bytes),
                        Err(_) => print.push(0),
                    }
                }
            }
        }
        Ok(print)
    }

    fn column<T>(&self, column: &'static str) -> Result<T>
    where
        T: Column + for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        match &self.0 {
            EngineRow::Sqlite(row) => {
                let cell = row.cell(column);
                cell.and_then(T::of_cell).ok_or_else(|| unlike(column, cell))
            }
            EngineRow::Postgres(row) => row
                .try_get(column)
                .map_err(|error| Error::Failed(format!("reading column {column}: {error}"))),
        }
    }
}

/// Adds what one cell holds to a print.
pub(super) fn with_length(print: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    print.push(kind);
    print.extend_from_slice(&bytes.len().to_le_bytes());
    print.extend_from_slice(bytes);
}

/// The failure of reading what is something else. It does not tell what, which may be secret.
fn unlike(column: &str, cell: Option<View<'_>>) -> Error {
    let is = match cell {
        None => "not there",
        Some(View::Null) => "NULL",
        Some(View::Int(_)) => "a number",
        Some(View::Text(_)) => "a text",
        Some(View::Bytes(_)) => "bytes",
        Some(View::Other) => "nothing that the shop stores",
    };
    Error::Failed(format!("reading column {column}: it is {is}"))
}

/// What a column is read as.
trait Column: Sized {
    /// Absent where the cell holds something else.
    fn of_cell(cell: View<'_>) -> Option<Self>;
}

impl Column for i64 {
    fn of_cell(cell: View<'_>) -> Option<Self> {
        if let View::Int(int) = cell { Some(int) } else { None }
    }
}

impl Column for String {
    fn of_cell(cell: View<'_>) -> Option<Self> {
        if let View::Text(text) = cell {
            Some(text.to_owned())
        } else {
            None
        }
    }
}

impl Column for Vec<u8> {
    fn of_cell(cell: View<'_>) -> Option<Self> {
        if let View::Bytes(bytes) = cell {
            Some(bytes.to_vec())
        } else {
            None
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn of_cell(cell: View<'_>) -> Option<Self> {
        if matches!(cell, View::Null) {
            Some(None)
        } else {
            T::of_cell(cell).map(Some)
        }
    }
}

fn parse<T: FromStr>(column: &str, text: &str) -> Result<T>
where
    T::Err: Display,
{
    text.parse()
        .map_err(|error| Error::Failed(format!("column {column} holds something else: {error}")))
}

impl From<SqliteRow> for Row {
    fn from(row: SqliteRow) -> Self {
        Self(EngineRow::Sqlite(row))
    }
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self(EngineRow::Postgres(row))
    }
}
