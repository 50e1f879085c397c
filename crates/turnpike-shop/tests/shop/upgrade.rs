//! A database of the first version, with everything in it that a shop has after some weeks, becomes one of the present version.

use std::fs;
use std::sync::Arc;

use turnpike_shop::idempotency::IdempotencyKey;
use turnpike_shop::limits::{Limits, Usage};
use turnpike_shop::store::{Engine, sqlite_path};
use turnpike_shop::subscription::{Page, Subscription};
use turnpike_shop::traffic::{self, Row};
use turnpike_shop::types::{SubscriptionState, UnixMillis};
use turnpike_shop::{RenewOrder, Settings, Shop, account, ledger, renew, renewal_plans, routes, subscriptions, upkeep};

use crate::site::{POSTGRES, SQLITE, Site};
use crate::world::{ANN, GATEWAY, MONTH, times};

on_both_engines! { a_database_of_the_first_version_is_upgraded_with_all_that_is_in_it }

const ROWS: &str = include_str!("fixtures/version_1.sql");
const MASTER_KEY: &str = include_str!("fixtures/version_1.key");
/// When it was left.
const THEN: UnixMillis = UnixMillis(1_762_854_800_000);
/// The subscription that moved something.
const OF_TRAFFIC: &str = "9hzl8rg25mi1irxae82uh88r";

/// Makes the site's database one of the first version.
async fn first_version(site: &Site) {
    if let Some(path) = sqlite_path(site.url()) {
        fs::File::create(path).unwrap();
    }
    let raw = site.raw().await;
    let (made, rows) = match site.engine {
        Engine::Sqlite => (&SQLITE, ROWS.to_owned()),
        Engine::Postgres => {
            // The site's database is a copy of a migrated one.
            raw.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
            (&POSTGRES, ROWS.replace(", X'", ", '\\x"))
        }
    };
    let first = made.iter().find(|migration| migration.version == 1).unwrap();
    raw.run(first.sql.as_str()).await;
    if site.engine == Engine::Postgres {
        raw.run("SET session_replication_role = replica").await;
    }
    // What the migration itself puts there comes with the rows.
    raw.run("DELETE FROM ledger_account").await;
    raw.run(&rows).await;
    note_as_applied(site, first).await;
    fs::write(site.key_file(), MASTER_KEY).unwrap();
}

/// As the first version's migrator did.
async fn note_as_applied(site: &Site, first: &sqlx::migrate::Migration) {
    let checksum: String = first.checksum.iter().map(|byte| format!("{byte:02x}")).collect();
    let (kinds, checksum) = match site.engine {
        Engine::Sqlite => (
            "version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
             success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL",
            format!("X'{checksum}'"),
        ),
        Engine::Postgres => (
            "version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
             success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL",
            format!("'\\x{checksum}'"),
        ),
    };
    let sql = format!(
        "CREATE TABLE _sqlx_migrations ({kinds});
         INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (1, 'shop', true, {checksum}, 1)"
    );
    site.raw().await.run(&sql).await;
}

async fn of_ann(shop: &Shop) -> Vec<Subscription> {
    let ann = account::by_email(shop, ANN).await.unwrap().id;
    subscriptions(shop, &ann, Page::default()).await.unwrap().0
}

async fn a_database_of_the_first_version_is_upgraded_with_all_that_is_in_it(site: &Site) {
    first_version(site).await;
    let shop = site.open(Settings::default(), Arc::new(|| THEN)).await;
    // That the books are in order is asserted at the end of each test: here, of all that the first version has left.
    let all = of_ann(&shop).await;
    let told: Vec<_> = all
        .iter()
        .map(|one| (one.port, one.state, one.password.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (12_006, SubscriptionState::Active, "tmKNsxWaJ3FAcpCRA4xiDw"),
            (12_007, SubscriptionState::Active, "nG0ZOzf9smvcGeE3ckr1TA"),
        ]
    );
    assert_eq!(all[0].rotate_token, "QEiR1j86LUoeLXMEXVvULIIq");
    assert!(all.iter().all(|one| one.limits == Limits::default()));
    let recorded = Usage {
        bytes_up: 301,
        bytes_down: 4_020,
        before: 0,
    };
    assert_eq!((all[0].id.as_str(), all[0].usage), (OF_TRAFFIC, recorded));

    // And it goes on.
    let changes = routes::changes_since(&shop, GATEWAY, 0).await.unwrap();
    assert!(changes.routes.len() > all.len(), "Bob's are served too");
    let row = Row {
        subscription: all[0].id.clone(),
        hour: UnixMillis(THEN.0 / 3_600_000 * 3_600_000),
        up: 1,
        down: 1,
    };
    traffic::record(&shop, GATEWAY, "run", 2, &[row]).await.unwrap();
    let ann = account::by_email(&shop, ANN).await.unwrap().id;
    let offered = renewal_plans(&shop, &ann, &all[0].id).await.unwrap();
    let order = RenewOrder {
        subscription: all[0].id.clone(),
        plan: offered[0].id.clone(),
        repeat: times(1),
        coupon: None,
        idempotency: Some(IdempotencyKey {
            key: "after".to_owned(),
            request_hash: [1; 32],
        }),
    };
    let renewed = renew(&shop, &ann, order).await.unwrap();
    assert_eq!(renewed.ends_at, all[0].ends_at.plus(MONTH));
    assert_eq!(of_ann(&shop).await[0].usage.moved(), recorded.moved() + 2);
    assert_eq!(ledger::imbalance(&shop).await.unwrap().0, 0);
    upkeep::run(&shop).await.unwrap();
}
