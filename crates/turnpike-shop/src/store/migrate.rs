//! Bringing the schema up to date: forward only, one process at a time.

use std::path::Path;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqliteConnection;

use super::engine::full_disk;
use crate::shop::OpenError;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Migrates under the write lock, so that of two processes that start at once one waits for the other.
pub(super) async fn sqlite(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let told = |what: &str, error: &sqlx::Error| {
        full_disk(path, error).unwrap_or_else(|| OpenError(format!("the database {what}: {error}")))
    };
    // The migrator's own transactions nest inside as savepoints.
    let mut tx = sqlx::Connection::begin_with(connection, "BEGIN IMMEDIATE")
        .await
        .map_err(|error| told("cannot be locked for migration", &error))?;
    run(&SQLITE, &mut *tx).await.map_err(|error| match &error {
        MigrateError::Execute(database) | MigrateError::ExecuteMigration(database, _) => {
            full_disk(path, database).unwrap_or_else(|| refused(&error))
        }
        _ => refused(&error),
    })?;
    tx.commit()
        .await
        .map_err(|error| told("could not be migrated, as that could not be committed", &error))
}

/// Migrates under the migrator's advisory lock. The connections must not have the limits of a customer's request: they would end a
/// large table's migration, or the wait for another process's.
pub(super) async fn postgres(pool: &PgPool) -> Result<(), OpenError> {
    let mut connection = pool.acquire().await.map_err(|error| OpenError(error.to_string()))?;
    run(&POSTGRES, &mut *connection).await.map_err(|error| refused(&error))
}

async fn run<C: Migrate>(migrator: &Migrator, connection: &mut C) -> Result<(), MigrateError> {
    migrator.run_direct(None, connection, false).await
}

fn refused(error: &MigrateError) -> OpenError {
    OpenError(match error {
        MigrateError::VersionMissing(version) => format!(
            "the database was made by a newer version of turnpike (it has migration {version}); \
             start that version or a later one"
        ),
        MigrateError::VersionMismatch(version) => format!(
            "the database's migration {version} differs from this program's; it was made by another build of turnpike"
        ),
        other => format!("the database could not be migrated: {other}"),
    })
}
