//! Opening either engine with the settings that the shop relies on.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::ffi;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::{Instant, sleep, timeout};

use super::postgres::{CHECK_BOUND, bounded};
use super::sqlite::{BUSY_TIMEOUT, Sqlite};
use super::{ACQUIRE_TIMEOUT, Engines, Store, migrate};
use crate::shop::OpenError;

/// Below this SQLite has a race between two connections that can damage a database in WAL mode.
const LEAST_SQLITE: (u32, u32, u32) = (3, 51, 3);
const LEAST_POSTGRES: i64 = 150_000;

const POSTGRES_CONNECTIONS: u32 = 16;

/// A connection that has rested for longer than this shows first that it lives.
const TRUSTED: Duration = Duration::from_secs(1);

impl Store {
    /// Opens `sqlite://path` or `postgres://…` and migrates it.
    ///
    /// # Errors
    /// [`OpenError`], in a sentence that says how to mend it.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        if let Some(path) = sqlite_path(url) {
            open_sqlite(&path).await
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            open_postgres(url).await
        } else {
            Err(OpenError(
                "database.url must start with sqlite:// or postgres://".to_owned(),
            ))
        }
    }
}

/// The file of a `sqlite://` URL; absent for other URLs.
#[must_use]
pub fn sqlite_path(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    Some(PathBuf::from(rest.strip_prefix("//").unwrap_or(rest)))
}

/// The host of a `postgres://` URL, a name or an address, as the driver reads it; absent for other URLs and for sockets of this machine.
#[must_use]
pub fn postgres_host(url: &str) -> Option<String> {
    if sqlite_path(url).is_some() {
        return None;
    }
    let options = url.parse::<PgConnectOptions>().ok()?;
    let host = options.get_host();
    let is_socket = options.get_socket().is_some() || host.starts_with('/');
    (!is_socket).then(|| host.trim_matches(['[', ']']).to_owned())
}

async fn open_sqlite(path: &Path) -> Result<Store, OpenError> {
    let shown = path.display();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder
        && !folder.is_dir()
    {
        return Err(OpenError(format!(
            "the folder of the database {shown} does not exist; make it first"
        )));
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("mmap_size", "0")
        .disable_statement_logging();
    let refused = |error: &sqlx::Error| sqlite_open_error(path, sqlite_code(error), &error.to_string());
    let mut first = connect_sqlite(&options).await.map_err(|error| refused(&error))?;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut first)
        .await
        .map_err(|error| refused(&error))?;
    if version_of(&version) < LEAST_SQLITE {
        let (major, minor, patch) = LEAST_SQLITE;
        return Err(OpenError(format!(
            "this program was built with SQLite {version}; it needs {major}.{minor}.{patch} or newer"
        )));
    }
    migrate::sqlite(&mut first, path).await?;
    let opened = Sqlite::open(path).map_err(|error| {
        let code = error.sqlite_error().map(|error| error.extended_code);
        sqlite_open_error(path, code, &error.to_string())
    })?;
    // Only now: the last connection to leave takes the log's file away, and the next would make it anew.
    first.close().await.map_err(|error| refused(&error))?;
    Ok(Store::new(Engines::Sqlite(Arc::new(opened))))
}

/// Opens the file, and tries again while another process makes the same: turning a new file into WAL mode takes it whole, and SQLite
/// then says that it is locked without waiting for the time that it was given.
async fn connect_sqlite(options: &SqliteConnectOptions) -> sqlx::Result<SqliteConnection> {
    const PAUSE: Duration = Duration::from_millis(20);
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match options.connect().await {
            Err(error) if kind(sqlite_code(&error)) == Some(ffi::SQLITE_BUSY) && Instant::now() < deadline => {
                sleep(PAUSE).await;
            }
            connected => return connected,
        }
    }
}

/// The sentence for a failure with this code to open the database.
fn sqlite_open_error(path: &Path, code: Option<i32>, text: &str) -> OpenError {
    let shown = path.display();
    OpenError(match kind(code) {
        _ if is_full(code) => format!("the disk of the database {shown} is full; make room there, and start again"),
        Some(ffi::SQLITE_CANTOPEN | ffi::SQLITE_READONLY | ffi::SQLITE_PERM) => {
            format!("the database {shown} cannot be opened for writing; check the rights of the file and its folder")
        }
        Some(ffi::SQLITE_NOTADB) => format!("{shown} is not a database of turnpike's"),
        Some(ffi::SQLITE_CORRUPT) => format!("the database {shown} is damaged; restore a backup"),
        _ => format!("the database {shown} cannot be opened: {text}"),
    })
}

/// The same for a failure to bring its tables up to date, where that tells of the disk.
pub(super) fn full_disk(path: &Path, error: &sqlx::Error) -> Option<OpenError> {
    let code = sqlite_code(error);
    is_full(code).then(|| sqlite_open_error(path, code, ""))
}

/// Whether there was no room: for the file and its log, or for the index of the log, of whose trouble SQLite tells no more than that it
/// had some (`SQLITE_IOERR_SHMSIZE`). It makes that file longer and does nothing else with it then.
fn is_full(code: Option<i32>) -> bool {
    code == Some(ffi::SQLITE_IOERR_SHMSIZE) || kind(code) == Some(ffi::SQLITE_FULL)
}

/// The extended code of SQLite's that an error has.
fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// What kind of failure a code tells, without the finer distinctions.
fn kind(code: Option<i32>) -> Option<i32> {
    code.map(|code| code & 0xff)
}

fn version_of(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

async fn open_postgres(url: &str) -> Result<Store, OpenError> {
    let unlimited = PgConnectOptions::from_str(url)
        .map_err(|error| {
            OpenError(format!(
                "database.url is not an address of a PostgreSQL database: {error}"
            ))
        })?
        .application_name("turnpike")
        .disable_statement_logging();
    let first = connect(PgPoolOptions::new().max_connections(1), &unlimited).await?;
    let version: i64 = sqlx::query_scalar("SELECT CAST(current_setting('server_version_num') AS BIGINT)")
        .fetch_one(&first)
        .await
        .map_err(|error| OpenError(format!("the database cannot be asked for its version: {error}")))?;
    if version < LEAST_POSTGRES {
        return Err(OpenError(format!(
            "the database is PostgreSQL {}; turnpike needs 15 or newer",
            version / 10_000
        )));
    }
    // Without the limits below: rebuilding a large table takes its time, and so does waiting for another process that does so.
    migrate::postgres(&first).await?;
    first.close().await;
    let limited = unlimited.options([
        ("lock_timeout", "2s"),
        ("statement_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("synchronous_commit", "on"),
        ("default_transaction_isolation", "read committed"),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        // A `BEGIN` whose caller went away can leave its transaction open on a pooled connection (sqlx 0.9.0), and the
        // next caller's writes would vanish with it. Each `BEGIN` of ours asks for that; this is the test that the connection lives,
        // for those that have rested. It must use the simple protocol: as a prepared statement its two times differ on a healthy
        // connection too.
        .test_before_acquire(false)
        .before_acquire(|connection, known| {
            Box::pin(async move {
                use sqlx::{Executor as _, Row as _};
                if known.idle_for < TRUSTED {
                    return Ok(true);
                }
                let row = connection.fetch_one(sqlx::raw_sql("SELECT now() = statement_timestamp() AS is_clean"));
                bounded(CHECK_BOUND, row).await?.try_get::<bool, _>("is_clean")
            })
        });
    Ok(Store::new(Engines::Postgres(connect(pool, &limited).await?)))
}

async fn connect(pool: PgPoolOptions, options: &PgConnectOptions) -> Result<PgPool, OpenError> {
    match pool
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.clone())
        .await
    {
        Ok(pool) => Ok(pool),
        Err(error) => Err(unreachable(options, error).await),
    }
}

/// Why there is no connection, and to where. A pool tries again until its time is over, and then says only that.
async fn unreachable(options: &PgConnectOptions, error: sqlx::Error) -> OpenError {
    let error = match error {
        sqlx::Error::PoolTimedOut => timeout(ACQUIRE_TIMEOUT, options.connect()).await.map(Result::err),
        error => Ok(Some(error)),
    };
    let why = match error {
        Ok(Some(sqlx::Error::Io(error))) => error.to_string(),
        Ok(Some(sqlx::Error::Database(error))) => error.message().to_owned(),
        Ok(Some(error)) => error.to_string(),
        Ok(None) | Err(_) => "it does not answer in time".to_owned(),
    };
    let (host, port) = (options.get_host(), options.get_port());
    OpenError(format!(
        "the database at {host}:{port} cannot be reached: {why}; start it, or mend database.url"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_sqlite_are_compared_by_their_numbers() {
        for (version, is_enough) in [
            ("3.40.1", false),
            ("3.51.2", false),
            ("3.51.3", true),
            ("3.51.10", true),
            ("3.100.0", true),
            ("4.0", true),
            ("", false),
        ] {
            assert_eq!(version_of(version) >= LEAST_SQLITE, is_enough, "{version}");
        }
    }

    #[test]
    fn the_host_of_a_postgres_url_is_found() {
        for (url, host) in [
            ("postgres://shop:word@db.internal:5433/shop", Some("db.internal")),
            ("postgresql://10.0.0.5/shop", Some("10.0.0.5")),
            ("postgres://[2001:db8::5]:5432/shop", Some("2001:db8::5")),
            ("postgres:///shop?host=db.internal", Some("db.internal")),
            ("postgres:///shop?hostaddr=10.0.0.5", Some("10.0.0.5")),
            ("postgres:///shop?host=/run/postgresql", None),
            ("postgres://%2Frun%2Fpostgresql/shop", None),
            ("sqlite://shop.db", None),
        ] {
            assert_eq!(postgres_host(url).as_deref(), host, "{url}");
        }
    }

    #[test]
    fn the_file_of_a_sqlite_url_is_found() {
        let path = |url| sqlite_path(url).map(|path| path.display().to_string());
        assert_eq!(path("sqlite://shop.db").as_deref(), Some("shop.db"));
        assert_eq!(
            path("sqlite:///var/lib/turnpike/shop.db").as_deref(),
            Some("/var/lib/turnpike/shop.db")
        );
        assert_eq!(path("sqlite:shop.db").as_deref(), Some("shop.db"));
        assert_eq!(path("postgres://host/shop"), None);
    }
}
