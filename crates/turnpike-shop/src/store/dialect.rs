//! What differs between the engines, and nothing else does.

use std::collections::HashMap;
use std::sync::{LazyLock, RwLock};

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The embedded one.
    Sqlite,
    /// The shared one.
    Postgres,
}

/// The row locks that SQLite has no words for, and needs none: its writer is alone. Longest first.
const LOCKS: [&str; 2] = [" SKIP LOCKED", " FOR UPDATE"];

/// The statement as SQLite reads it. Each is rewritten once in the life of the process.
pub(super) fn for_sqlite(sql: &'static str) -> &'static str {
    static REWRITTEN: LazyLock<RwLock<HashMap<usize, &'static str>>> = LazyLock::new(RwLock::default);
    if !sql.contains(" FOR UPDATE") {
        return sql;
    }
    let key = sql.as_ptr().addr();
    let known = REWRITTEN
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .get(&key)
        .copied();
    known.unwrap_or_else(|| {
        // Leaked once per statement of the program's text, of which there are a few dozen.
        let rewritten: &'static str = Box::leak(without_locks(sql).into_boxed_str());
        REWRITTEN
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(key, rewritten);
        rewritten
    })
}

fn without_locks(sql: &str) -> String {
    let mut text = sql.to_owned();
    // `FOR UPDATE OF s`: the alias goes too.
    while let Some(at) = text.find(" FOR UPDATE OF ") {
        let alias = at + " FOR UPDATE OF ".len();
        let rest = &text[alias..];
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        text.replace_range(at..alias + end, "");
    }
    for lock in LOCKS {
        text = text.replace(lock, "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_is_spared_the_row_locks() {
        for (sql, expected) in [
            (
                "SELECT 1 FROM a WHERE b = $1 FOR UPDATE",
                "SELECT 1 FROM a WHERE b = $1",
            ),
            (
                "SELECT 1 FROM a LIMIT 1 FOR UPDATE SKIP LOCKED",
                "SELECT 1 FROM a LIMIT 1",
            ),
            ("SELECT 1 FROM a s FOR UPDATE OF s SKIP LOCKED", "SELECT 1 FROM a s"),
            (
                "UPDATE a SET b = 1 WHERE c IN (SELECT c FROM a LIMIT 1 FOR UPDATE SKIP LOCKED)",
                "UPDATE a SET b = 1 WHERE c IN (SELECT c FROM a LIMIT 1)",
            ),
            ("UPDATE a SET b = 1", "UPDATE a SET b = 1"),
        ] {
            assert_eq!(for_sqlite(sql), expected);
            assert_eq!(for_sqlite(sql), expected);
        }
    }
}
