//! A `BEGIN` whose caller goes away must not swallow the next caller's writes.
//!
//! sqlx 0.9.0 gives a connection back to its pool with the transaction still open when `begin()` is dropped at the wrong moment.
//! Whatever comes next on that connection is answered as done, and gone when the connection is. The first test shows it; should
//! it fail after an update of sqlx, the trap is gone and so may the cures be. The others show that each cure suffices.

use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::{PgPool, PgPoolOptions};
use turnpike_shop::store::Engine;
use turnpike_shop::types::Role;
use turnpike_shop::{Settings, account};

use crate::relay::Relay;
use crate::site::Site;
use crate::world::World;

on_postgres! {
    without_a_cure_writes_are_lost,
    a_task_of_its_own_is_a_cure,
    asking_the_connection_first_is_a_cure,
    the_shop_loses_nothing,
}

/// How far away the database is; on loopback the moment is seldom hit.
const AWAY: Duration = Duration::from_millis(5);
const REQUESTS: u64 = 300;
const CLIENTS: u64 = 6;

#[derive(Clone, Copy, PartialEq)]
enum Cure {
    None,
    Task,
    Check,
}

async fn without_a_cure_writes_are_lost(site: &Site) {
    let lost = lost_by(site, Cure::None).await;
    assert!(lost > 0, "not one of {REQUESTS} was lost");
}

async fn a_task_of_its_own_is_a_cure(site: &Site) {
    assert_eq!(lost_by(site, Cure::Task).await, 0);
}

async fn asking_the_connection_first_is_a_cure(site: &Site) {
    assert_eq!(lost_by(site, Cure::Check).await, 0);
}

/// Many requests that go away while they begin, and after each a write that is answered as done. How many of those are not there.
async fn lost_by(site: &Site, cure: Cure) -> usize {
    let relay = Relay::to(site.url(), AWAY).await;
    let mut options = PgPoolOptions::new().max_connections(u32::try_from(CLIENTS).unwrap());
    if cure == Cure::Check {
        options = options.before_acquire(|connection, _| {
            Box::pin(async move {
                use sqlx::Row as _;
                let check = sqlx::raw_sql("SELECT now() = statement_timestamp() AS is_clean");
                connection.fetch_one(check).await?.try_get::<bool, _>("is_clean")
            })
        });
    }
    let pool = options.connect(&relay.url(site.url())).await.unwrap();
    pool.execute("CREATE TABLE note (n BIGINT PRIMARY KEY)").await.unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(go_away_and_write(pool.clone(), client, cure)))
        .collect();
    let mut answered = Vec::new();
    for client in clients {
        answered.extend(client.await.unwrap());
    }
    // What an open transaction holds is lost with its connection at the latest.
    pool.close().await;
    let there = site.raw().await.ints("SELECT n FROM note").await;
    let lost = answered.iter().filter(|n| !there.contains(n)).count();
    eprintln!("{lost} of {} are lost", answered.len());
    lost
}

async fn go_away_and_write(pool: PgPool, client: u64, cure: Cure) -> Vec<i64> {
    let mut answered = Vec::new();
    for request in (client..REQUESTS).step_by(usize::try_from(CLIENTS).unwrap()) {
        let begun = {
            let pool = pool.clone();
            async move {
                let mut tx = pool.begin().await.unwrap();
                tx.execute("SELECT 1").await.unwrap();
            }
        };
        // Spread over the whole time that it takes, a different moment for each.
        let patience = Duration::from_micros(200 * (request * 7 % 200));
        let _ = match cure {
            Cure::Task => tokio::time::timeout(patience, async { tokio::spawn(begun).await.unwrap() }).await,
            Cure::None | Cure::Check => tokio::time::timeout(patience, begun).await,
        };
        let n = i64::try_from(request).unwrap();
        let written = sqlx::query("INSERT INTO note (n) VALUES ($1)")
            .bind(n)
            .execute(&pool)
            .await;
        if written.is_ok() {
            answered.push(n);
        }
    }
    answered
}

async fn the_shop_loses_nothing(site: &Site) {
    let world = World::on(site).open().await;
    let relay = Relay::to(site.url(), AWAY).await;
    let away = relay.url(site.url());
    let shop = site.try_open(&away, Settings::default(), world.clock()).await.unwrap();
    assert_eq!(site.engine, Engine::Postgres);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let shop = shop.clone();
            tokio::spawn(async move {
                let mut answered = Vec::new();
                for request in (client..REQUESTS).step_by(usize::try_from(CLIENTS).unwrap()) {
                    let make = async |who: &str| {
                        let email = format!("{who}{request}@example.com");
                        account::create(&shop, "test", &email, Role::Customer, None)
                            .await
                            .map(|made| made.email)
                    };
                    let patience = Duration::from_micros(400 * (request * 7 % 200));
                    let _ = tokio::time::timeout(patience, make("gone")).await;
                    answered.push(make("stayed").await.unwrap());
                }
                answered
            })
        })
        .collect();
    let mut answered = Vec::new();
    for client in clients {
        answered.extend(client.await.unwrap());
    }
    let in_transaction = "SELECT COUNT(*) FROM pg_stat_activity
                          WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    shop.close().await;
    assert_eq!(world.raw.int(in_transaction).await, 0);
    let there = world.raw.texts("SELECT email FROM account").await;
    let lost: Vec<_> = answered.iter().filter(|email| !there.contains(email)).collect();
    assert_eq!(answered.len(), usize::try_from(REQUESTS).unwrap());
    assert!(lost.is_empty(), "{} of {REQUESTS} are lost", lost.len());
}
