//! Statements that go to PostgreSQL as one: each is a way to the server and back, and a purchase is a dozen of them.
//!
//! They are joined as `WITH p1 AS (INSERT …), p2 AS (UPDATE …) SELECT …`, and written apart, in the order in which SQLite runs them. In
//! PostgreSQL they do not see one another's changes; foreign keys are looked at when all are done.

use super::Row;
use crate::error::{Error, Result};

/// Statements that change rows, joined.
pub(crate) struct Together {
    parts: &'static [&'static str],
    joined: String,
}

/// The names under which the joined statement answers how many rows each has changed.
const COUNTS: [&str; 6] = ["p1", "p2", "p3", "p4", "p5", "p6"];

impl Together {
    /// At most six, without `RETURNING`, each with placeholders from `$1` on.
    pub(crate) fn of(parts: &'static [&'static str]) -> Self {
        let (mut with, mut select) = (Vec::new(), Vec::new());
        let mut taken = 0;
        for (name, part) in COUNTS.iter().zip(parts) {
            let (text, highest) = renumbered(part, taken);
            taken += highest;
            with.push(format!("{name} AS ({text} RETURNING 1)"));
            select.push(format!("(SELECT COUNT(*) FROM {name}) AS {name}"));
        }
        Self {
            parts,
            joined: format!("WITH {} SELECT {}", with.join(", "), select.join(", ")),
        }
    }

    pub(super) fn parts(&self) -> &'static [&'static str] {
        self.parts
    }

    pub(super) fn joined(&'static self) -> &'static str {
        &self.joined
    }

    /// How many rows each has changed, by the joined statement's answer.
    pub(super) fn counts(&self, row: &Row) -> Result<Vec<u64>> {
        let counts = COUNTS.iter().take(self.parts.len()).map(|name| {
            let count = row.int(name)?;
            u64::try_from(count).map_err(|_| Error::Failed(format!("{count} rows have changed")))
        });
        counts.collect()
    }
}

/// The statement with each placeholder's number raised by `by`, and how many values it takes.
fn renumbered(sql: &str, by: usize) -> (String, usize) {
    let (mut text, mut highest) = (String::with_capacity(sql.len()), 0);
    let mut parts = sql.split('$');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let number: usize = number.parse().unwrap_or_default();
        highest = highest.max(number);
        text.push_str(&format!("${}{rest}", number + by));
    }
    (text, highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_statements_take_their_values_one_after_the_other() {
        let together = Together::of(&[
            "UPDATE a SET b = $2 WHERE c = $1",
            "INSERT INTO d (e, f, g) VALUES ($1, $10, $2)",
        ]);
        assert_eq!(
            together.joined,
            "WITH p1 AS (UPDATE a SET b = $2 WHERE c = $1 RETURNING 1), \
             p2 AS (INSERT INTO d (e, f, g) VALUES ($3, $12, $4) RETURNING 1) \
             SELECT (SELECT COUNT(*) FROM p1) AS p1, (SELECT COUNT(*) FROM p2) AS p2"
        );
    }
}
