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

/// The row locks that SQLite has no words for, and needs none: its writer is alone.
const LOCKS: [&str; 3] = [" FOR UPDATE", " FOR NO KEY UPDATE", " FOR KEY SHARE"];

/// The statement as SQLite reads it. Each is rewritten once in the life of the process.
pub(super) fn for_sqlite(sql: &'static str) -> &'static str {
    static REWRITTEN: LazyLock<RwLock<HashMap<usize, &'static str>>> = LazyLock::new(RwLock::default);
    if !LOCKS.iter().any(|lock| sql.contains(lock)) {
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
    let mut kept = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some((at, lock)) = LOCKS
        .iter()
        .filter_map(|lock| rest.find(lock).map(|at| (at, lock)))
        .min()
    {
        kept.push_str(&rest[..at]);
        rest = &rest[at + lock.len()..];
        // `FOR UPDATE OF s`: the alias goes too.
        if let Some(alias) = rest.strip_prefix(" OF ") {
            rest = alias.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        }
        rest = rest.strip_prefix(" SKIP LOCKED").unwrap_or(rest);
    }
    kept.push_str(rest);
    kept
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
            (
                "SELECT 1 FROM a s JOIN b e ON true LIMIT 1 FOR NO KEY UPDATE OF s SKIP LOCKED FOR KEY SHARE OF e SKIP LOCKED",
                "SELECT 1 FROM a s JOIN b e ON true LIMIT 1",
            ),
            ("UPDATE a SET b = 1", "UPDATE a SET b = 1"),
        ] {
            assert_eq!(for_sqlite(sql), expected);
            assert_eq!(for_sqlite(sql), expected);
        }
    }
}
