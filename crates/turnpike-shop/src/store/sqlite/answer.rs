//! What a statement answers: all rows' texts and bytes in one place each, so that a row costs no allocation of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::types::ValueRef;

use crate::store::row::with_length;

/// All rows of an answer.
pub(super) struct Answer {
    columns: Arc<[Box<str>]>,
    /// Row by row.
    cells: Vec<Cell>,
    text: String,
    bytes: Vec<u8>,
}

/// What one column of one row holds; texts and bytes by where they begin and end.
#[derive(Clone, Copy)]
enum Cell {
    Null,
    Int(i64),
    Text(usize, usize),
    Bytes(usize, usize),
    Other,
}

impl Answer {
    pub(super) fn new(columns: Arc<[Box<str>]>) -> Self {
        Self {
            columns,
            cells: Vec::new(),
            text: String::new(),
            bytes: Vec::new(),
        }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.cells.len().checked_div(self.columns.len()).unwrap_or(0)
    }

    /// Adds one.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn push(&mut self, row: &rusqlite::Row<'_>) -> rusqlite::Result<()> {
        for index in 0..self.columns.len() {
            let cell = match row.get_ref(index)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(int) => Cell::Int(int),
                ValueRef::Real(_) => Cell::Other,
                ValueRef::Text(text) => std::str::from_utf8(text).map_or(Cell::Other, |text| {
                    let begin = self.text.len();
                    self.text.push_str(text);
                    Cell::Text(begin, self.text.len())
                }),
                ValueRef::Blob(bytes) => {
                    let begin = self.bytes.len();
                    self.bytes.extend_from_slice(bytes);
                    Cell::Bytes(begin, self.bytes.len())
                }
            };
            self.cells.push(cell);
        }
        Ok(())
    }

    pub(super) fn into_rows(self) -> Vec<SqliteRow> {
        let (rows, width) = (self.rows(), self.columns.len());
        let answer = Arc::new(self);
        let row = |index| SqliteRow {
            answer: Arc::clone(&answer),
            first: index * width,
            next: AtomicUsize::new(0),
        };
        (0..rows).map(row).collect()
    }
}

/// One row of an answer.
pub(in crate::store) struct SqliteRow {
    answer: Arc<Answer>,
    /// Where its cells begin.
    first: usize,
    /// The column after the one asked for last: columns are mostly read in their order.
    next: AtomicUsize,
}

/// What one column of one row holds.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum View<'r> {
    Null,
    Int(i64),
    Text(&'r str),
    Bytes(&'r [u8]),
    /// What the shop's schema has not: a number with a fraction, a text that is no UTF-8.
    Other,
}

impl SqliteRow {
    /// What stands in a column; absent where there is none of this name.
    pub(in crate::store) fn cell(&self, column: &str) -> Option<View<'_>> {
        let columns = &self.answer.columns;
        let next = self.next.load(Ordering::Relaxed);
        let is_next = columns.get(next).is_some_and(|name| **name == *column);
        let index = if is_next {
            next
        } else {
            columns.iter().position(|name| **name == *column)?
        };
        self.next.store(index + 1, Ordering::Relaxed);
        self.view(index)
    }

    fn view(&self, index: usize) -> Option<View<'_>> {
        Some(match *self.answer.cells.get(self.first + index)? {
            Cell::Null => View::Null,
            Cell::Int(int) => View::Int(int),
            Cell::Text(begin, end) => View::Text(self.answer.text.get(begin..end)?),
            Cell::Bytes(begin, end) => View::Bytes(self.answer.bytes.get(begin..end)?),
            Cell::Other => View::Other,
        })
    }

    /// Adds all that it holds but for its last columns.
    pub(in crate::store) fn print(&self, but_last: usize, print: &mut Vec<u8>) {
        for index in 0..self.answer.columns.len().saturating_sub(but_last) {
            match self.view(index) {
                Some(View::Int(int)) => {
                    print.push(1);
                    print.extend_from_slice(&int.to_le_bytes());
                }
                Some(View::Text(text)) => with_length(print, 2, text.as_bytes()),
                Some(View::Bytes(bytes)) => with_length(print, 3, bytes),
                Some(View::Null | View::Other) | None => print.push(0),
            }
        }
    }
}
