//! The database behind the shop's back: to look at rows that no verb shows, and to break what no verb breaks.

use std::str::FromStr as _;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Row as _};
use turnpike_shop::store::sqlite_path;

/// A connection of its own, for statements without parameters.
pub(crate) enum Raw {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Raw {
    pub(crate) async fn open(url: &str) -> Self {
        match sqlite_path(url) {
            Some(path) => {
                let options = SqliteConnectOptions::from_str("sqlite://")
                    .unwrap()
                    .filename(path)
                    .foreign_keys(false);
                Self::Sqlite(
                    SqlitePoolOptions::new()
                        .max_connections(1)
                        .connect_with(options)
                        .await
                        .unwrap(),
                )
            }
            None => Self::Postgres(PgPoolOptions::new().max_connections(1).connect(url).await.unwrap()),
        }
    }

    /// Runs statements, separated by semicolons.
    pub(crate) async fn run(&self, sql: &str) {
        self.try_run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub(crate) async fn try_run(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(pool) => sql.execute(pool).await.map(|_| ()),
            Self::Postgres(pool) => sql.execute(pool).await.map(|_| ()),
        }
    }

    /// The steps by which SQLite would run a query.
    pub(crate) async fn sqlite_plan(&self, sql: &str) -> Vec<String> {
        let Self::Sqlite(pool) = self else {
            panic!("PostgreSQL plans by what is in its tables")
        };
        let steps = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
        let steps = steps.fetch_all(pool).await.unwrap();
        steps.iter().map(|step| step.get("detail")).collect()
    }

    /// A column of integers.
    pub(crate) async fn ints(&self, sql: &str) -> Vec<i64> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(pool) => sqlx::query_scalar(sql).fetch_all(pool).await.unwrap(),
            Self::Postgres(pool) => sqlx::query_scalar(sql).fetch_all(pool).await.unwrap(),
        }
    }

    /// One integer.
    pub(crate) async fn int(&self, sql: &str) -> i64 {
        let ints = self.ints(sql).await;
        assert_eq!(ints.len(), 1, "{sql}");
        ints[0]
    }

    /// A column of texts.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(pool) => sqlx::query_scalar(sql).fetch_all(pool).await.unwrap(),
            Self::Postgres(pool) => sqlx::query_scalar(sql).fetch_all(pool).await.unwrap(),
        }
    }

    /// Takes away all that keeps rows in order: triggers, foreign keys, checks, unique indexes. Primary keys stay.
    pub(crate) async fn lift_all_guards(&self) {
        let guards = match self {
            Self::Sqlite(_) => {
                self.run("PRAGMA ignore_check_constraints = ON").await;
                "SELECT 'DROP ' || UPPER(type) || ' ' || name FROM sqlite_master
                 WHERE type IN ('trigger', 'index') AND sql IS NOT NULL"
            }
            Self::Postgres(_) => {
                self.run("SET session_replication_role = replica").await;
                "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
                 WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f')
                 UNION ALL
                 SELECT format('DROP INDEX %I', indexname) FROM pg_indexes
                 WHERE schemaname = 'public' AND indexdef LIKE 'CREATE UNIQUE%' AND indexname NOT IN
                     (SELECT conname FROM pg_constraint)"
            }
        };
        for guard in self.texts(guards).await {
            self.run(&guard).await;
        }
    }

    /// The names of the shop's tables.
    pub(crate) async fn tables(&self) -> Vec<String> {
        self.texts(match self {
            Self::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_sqlx%' ESCAPE '\\' ORDER BY name",
            Self::Postgres(_) => {
                "SELECT CAST(tablename AS TEXT) FROM pg_tables
                 WHERE schemaname = 'public' AND tablename NOT LIKE '\\_sqlx%' ORDER BY tablename"
            }
        })
        .await
    }

    /// A table's columns in their order, each as its name, type, and whether it may be NULL.
    pub(crate) async fn columns(&self, table: &str) -> Vec<String> {
        self.texts(&match self {
            Self::Sqlite(_) => format!(
                "SELECT name || ' ' || CASE type WHEN 'BLOB' THEN 'BYTEA' ELSE type END
                     || CASE WHEN \"notnull\" = 1 OR pk > 0 THEN ' NOT NULL' ELSE '' END
                 FROM pragma_table_info('{table}') ORDER BY cid"
            ),
            Self::Postgres(_) => format!(
                "SELECT column_name || ' ' || UPPER(data_type) || CASE WHEN is_nullable = 'NO' THEN ' NOT NULL' ELSE '' END
                 FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
            ),
        })
        .await
    }

    /// The names of the indexes that the schema names, and whether they are unique.
    pub(crate) async fn indexes(&self) -> Vec<String> {
        let unique = "|| CASE WHEN {} LIKE 'CREATE UNIQUE%' THEN ' unique' ELSE '' END";
        self.texts(&match self {
            Self::Sqlite(_) => format!(
                "SELECT name {} FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name",
                unique.replace("{}", "sql")
            ),
            Self::Postgres(_) => format!(
                "SELECT indexname {} FROM pg_indexes WHERE schemaname = 'public'
                     AND indexname NOT IN (SELECT conname FROM pg_constraint) ORDER BY indexname",
                unique.replace("{}", "indexdef")
            ),
        })
        .await
    }

    pub(crate) async fn triggers(&self) -> Vec<String> {
        self.texts(match self {
            Self::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
            Self::Postgres(_) => {
                "SELECT CAST(tgname AS TEXT) FROM pg_trigger WHERE NOT tgisinternal ORDER BY CAST(tgname AS TEXT)"
            }
        })
        .await
    }

    /// A table's rows as text.
    pub(crate) async fn dump(&self, table: &str) -> String {
        let mut columns = Vec::new();
        for column in self.columns(table).await {
            let (name, kind) = column.split_once(' ').unwrap();
            let shown = match (self, kind.starts_with("BYTEA")) {
                (Self::Postgres(_), true) => format!("encode({name}, 'escape')"),
                _ => format!("CAST({name} AS TEXT)"),
            };
            columns.push(format!("COALESCE({shown}, 'NULL')"));
        }
        let row = columns.join(" || ' ' || ");
        // As bytes, for sealed ones are no text.
        let rows: Vec<Vec<u8>> = match self {
            Self::Sqlite(pool) => {
                let sql = AssertSqlSafe(format!("SELECT CAST({row} AS BLOB) FROM {table}"));
                sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
            }
            Self::Postgres(pool) => {
                let sql = AssertSqlSafe(format!("SELECT convert_to({row}, 'UTF8') FROM {table}"));
                sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
            }
        };
        rows.iter()
            .map(|row| String::from_utf8_lossy(row).into_owned())
            .collect()
    }
}
