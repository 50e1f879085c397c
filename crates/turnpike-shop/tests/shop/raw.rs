//! The database behind the shop's back: to look at rows that no verb shows, and to break what no verb breaks.

use std::str::FromStr as _;

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
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
}
