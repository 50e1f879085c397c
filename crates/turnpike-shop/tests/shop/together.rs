//! Transactions that come at once. However many of them an engine makes durable together, each is done whole or not at all.

use turnpike_shop::Error;
use turnpike_shop::store::{Store, Value};

use crate::site::Site;
use crate::world::World;

on_both_engines!(
    each_is_whole_or_nothing_whatever_its_neighbours_do,
    one_that_panics_takes_no_other_with_it,
    what_is_asked_of_a_closed_store_is_refused,
);

const ADD: &str = "INSERT INTO ledger_account (id, kind) VALUES ($1, 'revenue')";
const FOUND: &str = "SELECT COUNT(*) FROM ledger_account WHERE id LIKE 'probe%'";
const TIDY: &str = "DELETE FROM ledger_account WHERE id LIKE 'probe%'";

fn probe(number: u32) -> [Value; 1] {
    [Value::Text(format!("probe {number}"))]
}

/// Every third fails after its row, every fifth panics there where that is asked for.
async fn add_many(store: &Store, panics: bool) -> Vec<Result<(), Error>> {
    let all: Vec<_> = (0..60)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let work = store.transaction(move |tx| {
                    Box::pin(async move {
                        tx.execute(ADD, &probe(number)).await?;
                        assert!(!panics || number % 5 != 0, "as asked for");
                        if number % 3 == 0 {
                            // As a constraint would: the engine refuses the statement, and the work ends with that.
                            tx.execute(ADD, &probe(number)).await?;
                        }
                        Ok(())
                    })
                });
                work.await
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for one in all {
        outcomes.push(one.await.unwrap());
    }
    outcomes
}

async fn each_is_whole_or_nothing_whatever_its_neighbours_do(site: &Site) {
    let world = World::on(site).open().await;
    let store = Store::open(site.url()).await.unwrap();
    let outcomes = add_many(&store, false).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), number % 3 != 0, "{number}: {outcome:?}");
    }
    assert_eq!(world.raw.int(FOUND).await, 40);
    world.raw.run(TIDY).await;
    store.close().await;
}

async fn one_that_panics_takes_no_other_with_it(site: &Site) {
    let world = World::on(site).open().await;
    let store = Store::open(site.url()).await.unwrap();
    let outcomes = add_many(&store, true).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(
            outcome.is_ok(),
            number % 3 != 0 && number % 5 != 0,
            "{number}: {outcome:?}"
        );
    }
    assert_eq!(world.raw.int(FOUND).await, 32);
    world.raw.run(TIDY).await;
    store.close().await;
}

async fn what_is_asked_of_a_closed_store_is_refused(site: &Site) {
    let store = Store::open(site.url()).await.unwrap();
    store.close().await;
    let written = store
        .transaction(|tx| Box::pin(async move { tx.execute(ADD, &probe(1)).await }))
        .await;
    assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
    let read = store
        .read(|tx| Box::pin(async move { tx.all(FOUND, &[]).await.map(|_| ()) }))
        .await;
    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
}
