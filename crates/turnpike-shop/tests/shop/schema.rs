//! The schema and the way to it: alike on both engines, migrated once, guarded.

use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use turnpike_shop::store::{Engine, Row, Store};
use turnpike_shop::types::UnixMillis;
use turnpike_shop::{Error, OpenError, Settings, Shop};

use crate::raw::Raw;
use crate::site::Site;
use crate::world::{NOW, World};

on_both_engines! {
    a_database_newer_than_the_program_is_refused,
    a_database_of_another_build_is_refused,
    processes_that_start_at_once_migrate_once,
    rows_of_money_can_neither_be_changed_nor_deleted,
    the_connections_have_the_settings_that_the_shop_relies_on,
    a_lost_or_exchanged_master_key_is_noticed_at_start,
    a_url_of_no_known_engine_is_refused,
}

on_postgres! {
    both_engines_have_the_same_schema,
    rows_of_money_cannot_be_emptied_out,
    a_database_that_is_not_there_is_told_at_once,
}

on_sqlite! {
    sqlite_is_new_enough_for_two_connections,
    what_is_free_is_found_without_a_walk_over_all_of_it,
    files_that_are_no_database_are_named,
}

async fn both_engines_have_the_same_schema(site: &Site) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("other.db").display());
    Store::open(&url).await.unwrap().close().await;
    let (sqlite, postgres) = (Raw::open(&url).await, site.raw().await);
    let tables = postgres.tables().await;
    assert_eq!(sqlite.tables().await, tables);
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables {
        assert_eq!(sqlite.columns(&table).await, postgres.columns(&table).await, "{table}");
    }
    assert_eq!(sqlite.indexes().await, postgres.indexes().await);
    // Only PostgreSQL has a TRUNCATE to guard against.
    let mut triggers = postgres.triggers().await;
    triggers.retain(|trigger| !trigger.ends_with("_is_not_emptied"));
    assert_eq!(sqlite.triggers().await, triggers);
}

async fn a_database_newer_than_the_program_is_refused(site: &Site) {
    drop(World::on(site).open().await);
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
               SELECT 9999, 'from the future', success, checksum, 1 FROM _sqlx_migrations WHERE version = 1";
    site.raw().await.run(sql).await;
    let sentence = Store::open(site.url()).await.err().unwrap().to_string();
    assert!(sentence.contains("newer version of turnpike"), "{sentence}");
    assert!(sentence.contains("9999"), "{sentence}");
}

async fn a_database_of_another_build_is_refused(site: &Site) {
    drop(World::on(site).open().await);
    site.raw()
        .await
        .run("UPDATE _sqlx_migrations SET checksum = '00'")
        .await;
    let sentence = Store::open(site.url()).await.err().unwrap().to_string();
    assert!(sentence.contains("another build of turnpike"), "{sentence}");
}

async fn processes_that_start_at_once_migrate_once(site: &Site) {
    if site.engine == Engine::Postgres {
        // The site's database is a copy of a migrated one.
        site.raw()
            .await
            .run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            .await;
    }
    let started: Vec<_> = (0..4)
        .map(|_| {
            let url = site.url().to_owned();
            tokio::spawn(async move { Store::open(&url).await.unwrap().close().await })
        })
        .collect();
    for process in started {
        process.await.unwrap();
    }
    let raw = site.raw().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    let migrations = i64::try_from(std::fs::read_dir(folder).unwrap().count()).unwrap();
    assert_eq!(raw.int("SELECT COUNT(*) FROM _sqlx_migrations").await, migrations);
    assert_eq!(raw.int("SELECT COUNT(*) FROM ledger_account").await, 2);
}

const GUARDED: [(&str, &str); 6] = [
    ("posting", "amount_cents = 0"),
    ("ledger_transaction", "note = ''"),
    ("shop_order", "discount_cents = 0"),
    ("order_line", "duration_ms = 1"),
    ("audit_log", "detail = ''"),
    ("subscription", "id = id"),
];

async fn rows_of_money_can_neither_be_changed_nor_deleted(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    world.bought("NL-AMS").await;
    for (table, change) in GUARDED {
        assert!(world.raw.int(&format!("SELECT COUNT(*) FROM {table}")).await > 0);
        let error = world
            .raw
            .try_run(&format!("DELETE FROM {table}"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("never deleted"), "{table}: {error}");
        if table != "subscription" {
            let error = world
                .raw
                .try_run(&format!("UPDATE {table} SET {change}"))
                .await
                .unwrap_err()
                .to_string();
            assert!(error.contains("immutable"), "{table}: {error}");
        }
    }
}

async fn rows_of_money_cannot_be_emptied_out(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    world.bought("NL-AMS").await;
    for (table, _) in GUARDED {
        let error = world
            .raw
            .try_run(&format!("TRUNCATE {table} CASCADE"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("never deleted"), "{table}: {error}");
    }
}

/// What one row of a store's own connection says.
async fn ask(store: &Store, sql: &'static str, read: fn(&Row) -> Result<String, Error>) -> String {
    store
        .transaction(move |tx| Box::pin(async move { read(&tx.one(sql, &[]).await?) }))
        .await
        .unwrap()
}

async fn the_connections_have_the_settings_that_the_shop_relies_on(site: &Site) {
    let store = Store::open(site.url()).await.unwrap();
    match site.engine {
        Engine::Sqlite => {
            let text = |row: &Row| row.text("journal_mode");
            assert_eq!(ask(&store, "PRAGMA journal_mode", text).await, "wal");
            for (sql, expected) in [
                ("SELECT synchronous AS value FROM pragma_synchronous", "2"),
                ("SELECT foreign_keys AS value FROM pragma_foreign_keys", "1"),
                (
                    "SELECT journal_size_limit AS value FROM pragma_journal_size_limit",
                    "67108864",
                ),
            ] {
                let value = ask(&store, sql, |row| row.int("value").map(|value| value.to_string())).await;
                assert_eq!(value, expected, "{sql}");
            }
        }
        Engine::Postgres => {
            for (sql, expected) in [
                ("SELECT current_setting('lock_timeout') AS value", "2s"),
                ("SELECT current_setting('statement_timeout') AS value", "5s"),
                (
                    "SELECT current_setting('idle_in_transaction_session_timeout') AS value",
                    "10s",
                ),
                ("SELECT current_setting('synchronous_commit') AS value", "on"),
                (
                    "SELECT current_setting('transaction_isolation') AS value",
                    "read committed",
                ),
            ] {
                assert_eq!(ask(&store, sql, |row| row.text("value")).await, expected, "{sql}");
            }
        }
    }
    store.close().await;
}

async fn open(url: &str, key: &Path) -> Result<Shop, OpenError> {
    let url = SecretString::from(url.to_owned());
    Shop::open(
        &url,
        key.to_owned(),
        Settings::default(),
        Arc::new(|| UnixMillis(NOW.0)),
    )
    .await
}

async fn a_lost_or_exchanged_master_key_is_noticed_at_start(site: &Site) {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    open(site.url(), &first).await.unwrap().close().await;
    open(site.url(), &first).await.unwrap().close().await;
    let sentence = open(site.url(), &second).await.err().unwrap().to_string();
    assert!(
        sentence.contains("is missing") && sentence.contains("restore"),
        "{sentence}"
    );
    assert!(!second.exists(), "no key is made for a database that has one");
    turnpike_shop::secrets::MasterKey::create(&second).unwrap();
    let sentence = open(site.url(), &second).await.err().unwrap().to_string();
    assert!(sentence.contains("is not the one"), "{sentence}");
    assert!(sentence.contains(&second.display().to_string()), "{sentence}");
}

async fn a_url_of_no_known_engine_is_refused(site: &Site) {
    let other = site
        .url()
        .replacen("sqlite", "mysql", 1)
        .replacen("postgres", "mysql", 1);
    let sentence = Store::open(&other).await.err().unwrap().to_string();
    assert!(
        sentence.contains("sqlite://") && sentence.contains("postgres://"),
        "{sentence}"
    );
}

async fn a_database_that_is_not_there_is_told_at_once(site: &Site) {
    // Nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("postgres://postgres@127.0.0.1:{port}/turnpike");
    let sentence = Store::open(&url).await.err().unwrap().to_string();
    assert!(
        sentence.contains("cannot be reached") && sentence.contains("refused"),
        "{sentence}"
    );
    let sentence = Store::open(&format!("{}_not", site.url()))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(sentence.contains("does not exist"), "{sentence}");
}

async fn sqlite_is_new_enough_for_two_connections(site: &Site) {
    let world = World::on(site).open().await;
    let version = world.raw.texts("SELECT sqlite_version()").await.remove(0);
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    assert!(parts.as_slice() >= [3, 51, 3].as_slice(), "{version}");
}

async fn what_is_free_is_found_without_a_walk_over_all_of_it(site: &Site) {
    let world = World::on(site).open().await;
    for (index, sql) in [
        (
            "slot_free",
            "SELECT exit_id FROM slot WHERE network_id = 'n' AND connection_type = 'shared' AND subscription_id IS NULL
             AND sellable = 1 ORDER BY freed_at, exit_id, slot_no LIMIT 1",
        ),
        (
            "port_free",
            "SELECT port FROM port WHERE gateway = 'g' AND subscription_id IS NULL AND in_range = 1
             ORDER BY freed_at, port LIMIT 1",
        ),
    ] {
        let steps = world.raw.sqlite_plan(sql).await;
        assert!(
            matches!(steps.as_slice(), [step] if step.contains(&format!("INDEX {index} "))),
            "{steps:?}"
        );
    }
    for table in ["slot", "port"] {
        let sql = format!("SELECT * FROM {table} WHERE subscription_id = 's'");
        let steps = world.raw.sqlite_plan(&sql).await;
        assert!(
            matches!(steps.as_slice(), [step] if step.contains(&format!("INDEX {table}_by_subscription "))),
            "{steps:?}"
        );
    }
}

async fn files_that_are_no_database_are_named(_site: &Site) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(
        &file,
        "not a database at all, and longer than a header of one hundred bytes would be, so that it is read",
    )
    .unwrap();
    for (path, said) in [
        (file, "is not a database"),
        (
            folder.path().join("missing").join("shop.db"),
            "does not exist; make it first",
        ),
        (folder.path().to_owned(), "cannot be opened"),
    ] {
        let sentence = Store::open(&format!("sqlite://{}", path.display()))
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(sentence.contains(said), "{sentence}");
        assert!(sentence.contains(&folder.path().display().to_string()), "{sentence}");
    }
}
