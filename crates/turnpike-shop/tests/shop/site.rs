//! Where a test takes place: an engine and a database that nobody else uses, removed at the end.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use secrecy::SecretString;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tempfile::TempDir;
use turnpike_shop::store::{Engine, Store};
use turnpike_shop::types::{ID_LENGTH, random_lowercase};
use turnpike_shop::{Clock, OpenError, Settings, Shop, audit};

use crate::raw::Raw;

/// The address of a PostgreSQL cluster's maintenance database, as somebody who may create databases.
const CLUSTER: &str = "TURNPIKE_TEST_POSTGRES";

/// The migrations that this program brings along, of which the first made the databases of the first version.
pub(crate) static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
pub(crate) static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// One test on one engine.
macro_rules! on_engine {
    ($(#[$attribute:meta])* $engine:ident as $test:ident, $name:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $(#[$attribute])*
        async fn $test() {
            $crate::site::Site::run(turnpike_shop::store::Engine::$engine, async |site| super::$name(site).await).await;
        }
    };
}

/// Runs each of the named functions once per engine. One that is left out is dead code, which the compiler tells.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            on_engine!(Sqlite as sqlite, $name);
            on_engine!(#[ignore = "needs PostgreSQL: cargo xtask test"] Postgres as postgres, $name);
        }
    )+};
}

/// As [`on_both_engines`], for what only PostgreSQL can do.
macro_rules! on_postgres {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            on_engine!(#[ignore = "needs PostgreSQL: cargo xtask test"] Postgres as postgres, $name);
        }
    )+};
}

/// As [`on_both_engines`], for what only SQLite can do.
macro_rules! on_sqlite {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            on_engine!(Sqlite as sqlite, $name);
        }
    )+};
}

/// One test's database.
pub(crate) struct Site {
    pub(crate) engine: Engine,
    url: String,
    folder: TempDir,
    opened: Mutex<Vec<Shop>>,
    /// The test has broken the books on purpose.
    is_broken: AtomicBool,
}

impl Site {
    /// Runs a test. Whatever it did, its books must be in order at the end, unless it said that it [broke](Site::broken) them.
    pub(crate) async fn run(engine: Engine, test: impl AsyncFnOnce(&Self)) {
        let site = Self::new(engine).await;
        let outcome = AssertUnwindSafe(async {
            test(&site).await;
            site.check_the_books().await;
        })
        .catch_unwind()
        .await;
        site.remove().await;
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    }

    async fn new(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match engine {
            Engine::Sqlite => format!("sqlite://{}", folder.path().join("shop.db").display()),
            Engine::Postgres => {
                let name = format!("t_{}", random_lowercase(ID_LENGTH));
                let template = template().await;
                in_cluster(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
                database_url(&name)
            }
        };
        Self {
            engine,
            url,
            folder,
            opened: Mutex::default(),
            is_broken: AtomicBool::new(false),
        }
    }

    /// Its database's address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Opens the shop, as one of perhaps several processes.
    pub(crate) async fn open(&self, settings: Settings, clock: Clock) -> Shop {
        self.try_open(self.url(), settings, clock).await.unwrap()
    }

    /// As [`Site::open`] by another way to the same database.
    pub(crate) async fn try_open(&self, url: &str, settings: Settings, clock: Clock) -> Result<Shop, OpenError> {
        let url = SecretString::from(url.to_owned());
        let shop = Shop::open(&url, self.key_file(), settings, clock).await?;
        self.opened.lock().unwrap().push(shop.clone());
        Ok(shop)
    }

    /// Where the master key is, or will be.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.path().join("master.key")
    }

    /// The database behind the shop's back.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::open(self.url()).await
    }

    /// From here on the books are not in order, which the end of the test asserts as well.
    pub(crate) fn broken(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }

    async fn check_the_books(&self) {
        let Some(shop) = self.opened.lock().unwrap().first().cloned() else {
            return;
        };
        let findings = audit::audit(&shop).await.unwrap();
        let broken: Vec<_> = findings
            .into_iter()
            .filter(|finding| !finding.broken.is_empty())
            .collect();
        assert_eq!(
            !broken.is_empty(),
            self.is_broken.load(Ordering::Relaxed),
            "the audit found {broken:#?}"
        );
    }

    async fn remove(self) {
        for shop in self.opened.into_inner().unwrap_or_default() {
            shop.close().await;
        }
        if self.engine == Engine::Postgres {
            let name = self.url.rsplit('/').next().unwrap_or_default();
            in_cluster(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

fn cluster() -> url::Url {
    let text = std::env::var(CLUSTER).unwrap_or_else(|_| {
        panic!(
            "{CLUSTER} is not set: it is the address of a PostgreSQL cluster to test in, \
             such as postgres://postgres@127.0.0.1:5432/postgres; `cargo xtask test` makes one and sets it"
        )
    });
    text.parse().expect("the cluster's address is a URL")
}

fn database_url(name: &str) -> String {
    let mut url = cluster();
    url.set_path(name);
    url.into()
}

/// Runs one statement that takes effect in the whole cluster.
async fn in_cluster(sql: &str) {
    let mut admin = PgConnection::connect(cluster().as_str()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut admin)
        .await
        .unwrap();
    admin.close().await.unwrap();
}

/// A migrated database to copy, made once per cluster and schema. Copying it takes a tenth of the time of migrating.
async fn template() -> String {
    let mut hasher = DefaultHasher::new();
    for migration in POSTGRES.iter() {
        migration.checksum.hash(&mut hasher);
    }
    let name = format!("turnpike_template_{:016x}", hasher.finish());
    let mut admin = PgConnection::connect(cluster().as_str()).await.unwrap();
    // Many tests begin at once, in processes of their own.
    sqlx::query("SELECT pg_advisory_lock(776)")
        .execute(&mut admin)
        .await
        .unwrap();
    let is_there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    if !is_there {
        // Named as wanted only once it is whole: a test that was killed meanwhile must not leave half of one.
        let unfinished = format!("{name}_unfinished");
        in_cluster(&format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await;
        in_cluster(&format!("CREATE DATABASE {unfinished}")).await;
        Store::open(&database_url(&unfinished)).await.unwrap().close().await;
        in_cluster(&format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
    }
    // Ends the lock.
    admin.close().await.unwrap();
    name
}
