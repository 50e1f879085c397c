//! Two verbs that meet at a chosen moment: the first has decided all and waits to tell its gateway, when the second comes.
//!
//! Only PostgreSQL lets two meet; SQLite's writer is alone.

use std::time::Duration;

use tokio::task::JoinHandle;
use turnpike_shop::catalogue::{self, Difference};
use turnpike_shop::types::AccountStatus;
use turnpike_shop::{Refusal, Result, account, purchase, renew};

use crate::site::Site;
use crate::world::{ANN, MONTH, World, refusal};

on_postgres! {
    what_is_bought_in_the_moment_of_a_suspension_is_closed_by_it,
    an_exit_does_not_move_in_the_moment_that_it_is_bought,
    an_exit_does_not_become_shared_in_the_moment_that_it_is_renewed,
    an_exit_does_not_become_shared_in_the_moment_that_it_is_bought,
}

/// From here on no verb gets further than to its last statements.
async fn hold_the_gateways(world: &World<'_>) {
    world
        .raw
        .run("BEGIN; SELECT 1 FROM gateway_state FOR NO KEY UPDATE")
        .await;
}

async fn let_go(world: &World<'_>) {
    world.raw.run("ROLLBACK").await;
}

/// Until so many of the shop's statements wait for somebody's lock.
async fn until_waiting(world: &World<'_>, count: i64) {
    let waiting =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let all_wait = async {
        loop {
            // This connection's transaction is open, and would go on seeing who was connected when it looked first.
            world.raw.run("SELECT pg_stat_clear_snapshot()").await;
            if world.raw.int(waiting).await >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), all_wait).await;
    assert!(in_time.is_ok(), "{count} statements never waited at the same time");
}

async fn what_is_bought_in_the_moment_of_a_suspension_is_closed_by_it(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    world.bought("NL-AMS").await;
    let order = world.order("NL-AMS").await;
    // The purchase has seen an active account when the suspension comes.
    hold_the_gateways(&world).await;
    let buying = tokio::spawn({
        let (shop, ann) = (world.shop.clone(), world.ann.clone());
        async move { purchase(&shop, &ann, order).await }
    });
    until_waiting(&world, 1).await;
    let suspending = tokio::spawn({
        let shop = world.shop.clone();
        async move { account::set_status(&shop, "test", ANN, AccountStatus::Suspended).await }
    });
    until_waiting(&world, 2).await;
    let_go(&world).await;
    buying.await.unwrap().unwrap();
    suspending.await.unwrap().unwrap();
    // Both subscriptions were told to the gateway once more, after the account was suspended.
    let newest = world.revision().await;
    assert_eq!(
        world.raw.ints("SELECT revision FROM subscription").await,
        [newest, newest]
    );
}

/// Applies the world's catalogue at the same time as something else.
fn applying(world: &World<'_>) -> JoinHandle<Result<Vec<Difference>>> {
    let (shop, changed) = (world.shop.clone(), world.catalogue.clone());
    tokio::spawn(async move { catalogue::apply(&shop, "test", changed, false).await })
}

async fn with_two_gateways(site: &Site) -> World<'_> {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .gateway("gw2", 13_001..=13_010);
    world.open().await
}

async fn an_exit_does_not_move_in_the_moment_that_it_is_bought(site: &Site) {
    let mut world = with_two_gateways(site).await;
    let order = world.order("NL-AMS").await;
    hold_the_gateways(&world).await;
    let buying = tokio::spawn({
        let (shop, ann) = (world.shop.clone(), world.ann.clone());
        async move { purchase(&shop, &ann, order).await }
    });
    until_waiting(&world, 1).await;
    world.catalogue.networks[0].exits[0].gateway = Some("gw2".to_owned());
    let applying = applying(&world);
    until_waiting(&world, 2).await;
    let_go(&world).await;
    assert_eq!(buying.await.unwrap().unwrap().subscriptions[0].gateway, "gw1");
    assert!(matches!(refusal(applying.await.unwrap()), Refusal::Catalogue(_)));
}

async fn an_exit_does_not_become_shared_in_the_moment_that_it_is_renewed(site: &Site) {
    let mut world = with_two_gateways(site).await;
    let one = world.bought("NL-AMS").await;
    world.advance(MONTH);
    world.upkeep().await;
    let order = world.renewal(&one).await;
    hold_the_gateways(&world).await;
    let renewing = tokio::spawn({
        let (shop, ann) = (world.shop.clone(), world.ann.clone());
        async move { renew(&shop, &ann, order).await }
    });
    until_waiting(&world, 1).await;
    world.catalogue.networks[0].exits[0].shared_slots = 3;
    let applying = applying(&world);
    until_waiting(&world, 2).await;
    let_go(&world).await;
    renewing.await.unwrap().unwrap();
    assert!(matches!(refusal(applying.await.unwrap()), Refusal::Catalogue(_)));
}

async fn an_exit_does_not_become_shared_in_the_moment_that_it_is_bought(site: &Site) {
    let mut world = with_two_gateways(site).await;
    let order = world.order("NL-AMS").await;
    hold_the_gateways(&world).await;
    let buying = tokio::spawn({
        let (shop, ann) = (world.shop.clone(), world.ann.clone());
        async move { purchase(&shop, &ann, order).await }
    });
    until_waiting(&world, 1).await;
    world.catalogue.networks[0].exits[0].shared_slots = 3;
    let applying = applying(&world);
    until_waiting(&world, 2).await;
    let_go(&world).await;
    buying.await.unwrap().unwrap();
    assert!(matches!(refusal(applying.await.unwrap()), Refusal::Catalogue(_)));
}
