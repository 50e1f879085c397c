//! Idempotency-Key: the same request again gives the same answer and costs nothing.

use serde_json::to_vec;
use turnpike_shop::types::Span;
use turnpike_shop::{PurchaseOrder, Refusal, RenewOrder, TrialOrder, purchase, trial};

use crate::site::Site;
use crate::world::{PRICE, World, answer, key, quantity};

on_both_engines! {
    a_purchase_sent_again_gives_the_same_bytes_and_is_charged_once,
    a_purchase_sent_again_waits_for_no_more_than_the_first_time,
    a_renewal_sent_again_gives_the_same_bytes_and_is_charged_once,
    a_trial_sent_again_gives_the_same_bytes,
    the_answer_stays_although_the_subscription_has_changed,
    the_same_key_with_another_request_is_refused,
    a_refusal_is_not_remembered,
    answers_are_forgotten_after_three_days,
    accounts_do_not_share_keys,
    without_a_key_twice_is_twice,
    no_remembered_answer_lies_open_in_the_database,
}

async fn keyed(world: &World<'_>, body: u8) -> PurchaseOrder {
    PurchaseOrder {
        idempotency: key("order 1", body),
        ..world.order("NL-AMS").await
    }
}

async fn a_purchase_sent_again_gives_the_same_bytes_and_is_charged_once(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(3).open().await;
    let order = PurchaseOrder {
        quantity: quantity(2),
        ..keyed(&world, 1).await
    };
    let first = world.buy(order.clone()).await.unwrap();
    world.advance(Span::hours(1));
    let again = world.buy(order).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(answer(&first), answer(&again));
    assert_eq!(world.balance().await, 100_000 - 2 * PRICE);
    assert_eq!(world.slots_taken().await, 2);
}

async fn a_purchase_sent_again_waits_for_no_more_than_the_first_time(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let order = keyed(&world, 1).await;
    let first = world.buy(order.clone()).await.unwrap().subscriptions.remove(0);
    world.bought("NL-AMS").await;
    // Its gateway is not asked for anything newer.
    let again = world.buy(order).await.unwrap().subscriptions.remove(0);
    assert!(first.revision > 0);
    assert_eq!(again.revision, first.revision);
    assert!(world.revision().await > first.revision);
}

async fn a_renewal_sent_again_gives_the_same_bytes_and_is_charged_once(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let order = RenewOrder {
        idempotency: key("renewal 1", 1),
        ..world.renewal(&one).await
    };
    let first = world.renew(order.clone()).await.unwrap();
    let again = world.renew(order).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(to_vec(&first).unwrap(), to_vec(&again).unwrap());
    assert_eq!(world.balance().await, 100_000 - 2 * PRICE);
    assert_eq!(world.see(&one).await.ends_at, first.ends_at);
}

async fn a_trial_sent_again_gives_the_same_bytes(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(2)
        .trial(Span::hours(1))
        .open()
        .await;
    let order = TrialOrder {
        plan: world.plan("NL-AMS").await,
        idempotency: key("trial 1", 1),
        source: None,
    };
    let first = trial(&world.shop, &world.ann, order.clone()).await.unwrap();
    let again = trial(&world.shop, &world.ann, order).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(answer(&first), answer(&again));
    assert_eq!(world.slots_taken().await, 1);
}

async fn the_answer_stays_although_the_subscription_has_changed(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let order = keyed(&world, 1).await;
    let first = world.buy(order.clone()).await.unwrap();
    world.switch(&first.subscriptions[0], "DE-BER").await.unwrap();
    world.change_credentials(&first.subscriptions[0]).await.unwrap();
    let again = world.buy(order).await.unwrap();
    assert_eq!(answer(&first), answer(&again));
}

async fn the_same_key_with_another_request_is_refused(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(3)
        .trial(Span::hours(1))
        .open()
        .await;
    let order = keyed(&world, 1).await;
    let bought = world.buy(order).await.unwrap();
    let other = keyed(&world, 2).await;
    assert_eq!(world.refuses(world.buy(other)).await, Refusal::IdempotencyMismatch);
    // Whatever the operation is: the hash covers it as well.
    let order = RenewOrder {
        idempotency: key("order 1", 3),
        ..world.renewal(&bought.subscriptions[0]).await
    };
    assert_eq!(world.refuses(world.renew(order)).await, Refusal::IdempotencyMismatch);
    let order = TrialOrder {
        plan: world.plan("NL-AMS").await,
        idempotency: key("order 1", 4),
        source: None,
    };
    let tried = trial(&world.shop, &world.ann, order);
    assert_eq!(world.refuses(tried).await, Refusal::IdempotencyMismatch);
}

async fn a_refusal_is_not_remembered(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let order = keyed(&world, 1).await;
    assert_eq!(
        world.refuses(world.buy(order.clone())).await,
        Refusal::SoldOut { free: 0, wanted: 1 }
    );
    world.advance(one.ends_at.since(world.now()));
    assert!(!world.buy(order).await.unwrap().replayed);
}

async fn answers_are_forgotten_after_three_days(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(3).open().await;
    let order = keyed(&world, 1).await;
    world.buy(order.clone()).await.unwrap();
    world.advance(Span(Span::hours(72).0 - 1));
    world.upkeep().await;
    assert!(world.buy(order.clone()).await.unwrap().replayed);
    world.advance(Span(1));
    // By the clock, whether upkeep has come by or not.
    assert!(!world.buy(order).await.unwrap().replayed);
    world.upkeep().await;
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM idempotency").await, 1);
    // Another body is no mismatch with what is forgotten.
    world.advance(Span::hours(72));
    let other = keyed(&world, 2).await;
    assert!(!world.buy(other).await.unwrap().replayed);
}

async fn accounts_do_not_share_keys(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let bob = world.person("bob@example.com", PRICE).await;
    let order = keyed(&world, 1).await;
    let first = world.buy(order.clone()).await.unwrap();
    let bobs = purchase(&world.shop, &bob, order).await.unwrap();
    assert!(!bobs.replayed);
    assert_ne!(first.order, bobs.order);
}

async fn without_a_key_twice_is_twice(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let order = world.order("NL-AMS").await;
    world.buy(order.clone()).await.unwrap();
    world.buy(order).await.unwrap();
    assert_eq!(world.balance().await, 100_000 - 2 * PRICE);
}

async fn no_remembered_answer_lies_open_in_the_database(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let order = keyed(&world, 1).await;
    let bought = world.buy(order).await.unwrap();
    let everything = world.everything().await;
    assert!(everything.contains("order 1"));
    assert!(!everything.contains(&bought.subscriptions[0].password));
}
