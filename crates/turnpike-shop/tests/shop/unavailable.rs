//! The database is away, slow, or asks for the same again: told in bounded time, and over as soon as it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use turnpike_shop::store::{Store, Value};
use turnpike_shop::{Error, PurchaseOrder, Settings, purchase};

use crate::relay::Relay;
use crate::site::Site;
use crate::world::{World, key};

on_both_engines! {
    a_failure_is_tried_once,
    a_panic_in_a_verb_is_a_failure_and_leaves_nothing,
    a_closed_shop_is_unavailable,
}

on_postgres! {
    a_database_that_does_not_answer_is_told_in_bounded_time,
    connections_that_were_cut_are_replaced,
    what_the_database_gives_up_is_run_again_and_not_for_ever,
    two_that_wait_for_each_other_both_end_well,
    a_verb_that_waits_too_long_for_a_lock_is_unavailable,
}

on_sqlite! {
    a_database_that_another_process_holds_is_unavailable,
}

/// Longer than any verb may take, on a machine that is busy with other things as well.
const NEVER: Duration = Duration::from_secs(60);

fn is_unavailable<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Unavailable(_)))
}

async fn a_database_that_does_not_answer_is_told_in_bounded_time(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(20).open().await;
    let relay = Relay::to(site.url(), Duration::from_millis(2)).await;
    let shop = site
        .try_open(&relay.url(site.url()), Settings::default(), world.clock())
        .await
        .unwrap();
    let order = world.order("NL-AMS").await;
    let buy = |number: usize| {
        let (shop, ann) = (shop.clone(), world.ann.clone());
        let order = PurchaseOrder {
            idempotency: key(&format!("{number}"), 1),
            ..order.clone()
        };
        tokio::spawn(async move { timeout(NEVER, purchase(&shop, &ann, order)).await.expect("a verb ends") })
    };
    // Some are under way when the database falls silent, others begin after that.
    let under_way: Vec<_> = (0..6).map(buy).collect();
    tokio::time::sleep(Duration::from_millis(30)).await;
    relay.stall();
    assert!(is_unavailable(&shop.ping().await));
    let later: Vec<_> = (6..12).map(buy).collect();
    for bought in under_way {
        let outcome = bought.await.unwrap();
        assert!(outcome.is_ok() || is_unavailable(&outcome), "{:?}", outcome.err());
    }
    for bought in later {
        let outcome = bought.await.unwrap();
        assert!(is_unavailable(&outcome), "{:?}", outcome.err());
    }
    relay.resume();
    // Whatever became of the first tries, each key buys once.
    for number in 0..12 {
        let bought = timeout(NEVER, async {
            loop {
                match buy(number).await.unwrap() {
                    Err(Error::Unavailable(_)) => {}
                    settled => return settled.unwrap(),
                }
            }
        });
        bought.await.expect("it is available again");
    }
    assert_eq!(world.slots_taken().await, 12);
    let in_transaction = "SELECT COUNT(*) FROM pg_stat_activity
                          WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    assert_eq!(world.raw.int(in_transaction).await, 0);
}

async fn connections_that_were_cut_are_replaced(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(10).open().await;
    for _ in 0..3 {
        world.bought("NL-AMS").await;
        let cut = "SELECT CAST(COUNT(pg_terminate_backend(pid)) AS BIGINT) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert!(world.raw.int(cut).await > 0);
        world.bought("NL-AMS").await;
    }
}

/// How often a transaction is run whose work is this, and what came of it.
async fn run(site: &Site, sql: &'static str, fails: u32) -> (u32, Result<(), Error>) {
    let store = Store::open(site.url()).await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let outcome = store
        .transaction(move |tx| {
            let run = counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                if run < fails {
                    tx.execute(sql, &[]).await?;
                }
                Ok(())
            })
        })
        .await;
    store.close().await;
    (runs.load(Ordering::Relaxed), outcome)
}

async fn what_the_database_gives_up_is_run_again_and_not_for_ever(site: &Site) {
    for sql in [
        "DO $$ BEGIN RAISE EXCEPTION 'serialization' USING ERRCODE = '40001'; END $$",
        "DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$",
    ] {
        let (runs, outcome) = run(site, sql, 3).await;
        assert_eq!(runs, 4);
        outcome.unwrap();
        let (runs, outcome) = run(site, sql, u32::MAX).await;
        assert_eq!(runs, 5);
        assert!(is_unavailable(&outcome), "{outcome:?}");
    }
}

async fn a_failure_is_tried_once(site: &Site) {
    let again = "INSERT INTO ledger_account (id, kind) VALUES ('revenue', 'revenue')";
    drop(World::on(site).open().await);
    let (runs, outcome) = run(site, again, u32::MAX).await;
    assert_eq!(runs, 1);
    assert!(matches!(outcome, Err(Error::Failed(_))), "{outcome:?}");
}

async fn two_that_wait_for_each_other_both_end_well(site: &Site) {
    let store = Store::open(site.url()).await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let both_hold_one = Arc::new(tokio::sync::Barrier::new(2));
    let both = ["funding", "revenue"].map(|first| {
        let (store, runs, barrier) = (store.clone(), Arc::clone(&runs), Arc::clone(&both_hold_one));
        tokio::spawn(async move {
            let work = store.transaction(move |tx| {
                let (is_first_run, barrier) = (runs.fetch_add(1, Ordering::Relaxed) < 2, Arc::clone(&barrier));
                Box::pin(async move {
                    let lock = "SELECT id FROM ledger_account WHERE id = $1 FOR UPDATE";
                    let second = if first == "funding" { "revenue" } else { "funding" };
                    tx.one(lock, &[Value::Text(first.to_owned())]).await?;
                    if is_first_run {
                        barrier.wait().await;
                    }
                    tx.one(lock, &[Value::Text(second.to_owned())]).await?;
                    Ok(())
                })
            });
            work.await
        })
    });
    for one in both {
        one.await.unwrap().unwrap();
    }
    assert!(
        runs.load(Ordering::Relaxed) > 2,
        "one of the two was given up and run again"
    );
    store.close().await;
}

async fn a_verb_that_waits_too_long_for_a_lock_is_unavailable(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    world.raw.run("BEGIN; SELECT 1 FROM ledger_account FOR UPDATE").await;
    let order = world.renewal(&one).await;
    let outcome = timeout(NEVER, world.renew(order.clone())).await.expect("a verb ends");
    assert!(is_unavailable(&outcome), "{:?}", outcome.err());
    world.raw.run("ROLLBACK").await;
    world.renew(order).await.unwrap();
}

async fn a_database_that_another_process_holds_is_unavailable(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    world.raw.run("BEGIN IMMEDIATE").await;
    let order = world.order("NL-AMS").await;
    let buying = tokio::spawn({
        let (shop, ann) = (world.shop.clone(), world.ann.clone());
        async move { timeout(NEVER, purchase(&shop, &ann, order)).await.expect("a verb ends") }
    });
    // Who only reads does not wait for who writes.
    assert!(world.list().await.is_empty());
    world.shop.ping().await.unwrap();
    let outcome = buying.await.unwrap();
    assert!(is_unavailable(&outcome), "{:?}", outcome.err());
    world.raw.run("ROLLBACK").await;
    world.bought("NL-AMS").await;
}

async fn a_panic_in_a_verb_is_a_failure_and_leaves_nothing(site: &Site) {
    let store = Store::open(site.url()).await.unwrap();
    for _ in 0..20 {
        let outcome: Result<(), Error> = store
            .transaction(|tx| {
                Box::pin(async move {
                    let note = "INSERT INTO meta (name, value) VALUES ('half', $1)";
                    tx.execute(note, &[Value::Bytes(vec![1])]).await?;
                    panic!("a defect");
                })
            })
            .await;
        assert!(matches!(outcome, Err(Error::Failed(_))), "{outcome:?}");
    }
    store.close().await;
    assert_eq!(
        site.raw()
            .await
            .int("SELECT COUNT(*) FROM meta WHERE name = 'half'")
            .await,
        0
    );
}

async fn a_closed_shop_is_unavailable(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let other = site.open(Settings::default(), world.clock()).await;
    let order = world.order("NL-AMS").await;
    other.close().await;
    assert!(is_unavailable(&purchase(&other, &world.ann, order).await));
    assert!(is_unavailable(&other.ping().await));
}
