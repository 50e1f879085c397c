//! Statements over many rows at once: each is a round trip to PostgreSQL, and a catalogue may have ten thousand exits.

use std::fmt::Write as _;

use super::{Row, Tx, Value};
use crate::error::Result;

/// How many rows one statement takes at most.
pub(crate) const MOST: usize = 100;

/// Placeholders for `count` values from `$first` on: `$3, $4, $5`.
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    let mut list = String::new();
    for number in first..first.saturating_add(count) {
        let comma = if number == first { "" } else { ", " };
        // Writing to memory does not fail.
        let _ = write!(list, "{comma}${number}");
    }
    list
}

/// The same for `count` rows of `columns` values each: `($1, $2), ($3, $4)`.
pub(crate) fn rows(count: usize, columns: usize) -> String {
    let row = |index: usize| {
        format!(
            "({})",
            placeholders(index.saturating_mul(columns).saturating_add(1), columns)
        )
    };
    (0..count).map(row).collect::<Vec<_>>().join(", ")
}

/// As many values as a list of [`MOST`] placeholders wants: the last one stands for those that are missing, which makes no
/// difference to `IN`.
pub(crate) fn filled<T: Clone>(mut values: Vec<T>) -> Vec<T> {
    if let Some(last) = values.last().cloned() {
        values.resize(MOST, last);
    }
    values
}

/// A statement about a list, however long: in parts of [`MOST`], and a short one of its own where the list is of one.
pub(crate) struct Listed {
    about_one: String,
    about_most: String,
}

impl Listed {
    /// `sql` makes the statement of the list's placeholders, which come after `before` others.
    pub(crate) fn of(before: usize, sql: impl Fn(&str) -> String) -> Self {
        let about = |count| sql(&placeholders(before.saturating_add(1), count));
        Self {
            about_one: about(1),
            about_most: about(MOST),
        }
    }

    /// Runs it with the values `before` and each part of `list`.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn execute(&'static self, tx: &mut Tx, before: &[Value], list: &[Value]) -> Result<()> {
        for part in list.chunks(MOST) {
            let (sql, values) = self.about(before, part);
            tx.execute(sql, &values).await?;
        }
        Ok(())
    }

    /// As [`Self::execute`]; all its rows.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn all(&'static self, tx: &mut Tx, before: &[Value], list: &[Value]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for part in list.chunks(MOST) {
            let (sql, values) = self.about(before, part);
            rows.extend(tx.all(sql, &values).await?);
        }
        Ok(rows)
    }

    fn about(&'static self, before: &[Value], part: &[Value]) -> (&'static str, Vec<Value>) {
        match part {
            [_] => (&self.about_one, [before, part].concat()),
            part => (&self.about_most, [before, &filled(part.to_vec())].concat()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_through() {
        assert_eq!(placeholders(3, 3), "$3, $4, $5");
        assert_eq!(rows(2, 2), "($1, $2), ($3, $4)");
        assert_eq!(rows(1, 3), "($1, $2, $3)");
    }

    #[test]
    fn a_short_list_is_filled_with_its_last_value() {
        let filled = filled(vec![1, 2]);
        assert_eq!((filled.len(), &filled[..3]), (MOST, &[1, 2, 2][..]));
    }
}
