//! What ports have refused: a few rows of each subscription, for its owner.

use turnpike_shop::Refusal as Refused;
use turnpike_shop::refusals::{KEPT, Refusal, record, refusals};
use turnpike_shop::types::{Span, SubscriptionId, UnixMillis};

use crate::site::Site;
use crate::world::{MONTH, NOW, World};

on_both_engines! {
    the_newest_come_first_and_a_number_that_is_told_again_replaces_itself,
    a_subscription_keeps_its_newest_twenty,
    others_see_nothing_and_the_unknown_stop_nothing,
    two_gateways_at_once_disturb_each_other_not,
    a_week_later_they_are_forgotten,
}

fn refusal(subscription: &SubscriptionId, number: i64, at: UnixMillis) -> Refusal {
    Refusal {
        subscription: subscription.clone(),
        number,
        first_at: at,
        last_at: at,
        times: 1,
        source: "2001:db8::7".to_owned(),
        protocol: "shadowsocks".to_owned(),
        code: "clock".to_owned(),
        reason: "the client's clock is 95 s behind".to_owned(),
    }
}

fn after(seconds: i64) -> UnixMillis {
    NOW.plus(Span::seconds(seconds))
}

async fn seen(world: &World<'_>, one: &SubscriptionId) -> Vec<Refusal> {
    refusals(&world.shop, &world.ann, one).await.unwrap()
}

async fn the_newest_come_first_and_a_number_that_is_told_again_replaces_itself(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let (one, other) = (world.bought("NL-AMS").await.id, world.bought("NL-AMS").await.id);
    assert_eq!(seen(&world, &one).await, []);
    let [first, second] = [refusal(&one, 7, after(1)), refusal(&one, 5, after(2))];
    let theirs = refusal(&other, 7, after(3));
    for _ in 0..2 {
        let told = vec![first.clone(), theirs.clone(), second.clone()];
        record(&world.shop, told).await.unwrap();
        assert_eq!(seen(&world, &one).await, [second.clone(), first.clone()]);
        assert_eq!(seen(&world, &other).await, std::slice::from_ref(&theirs));
    }
    let again = Refusal {
        last_at: after(9),
        times: 3,
        reason: "the client's clock is 96 s behind".to_owned(),
        ..first
    };
    record(&world.shop, vec![again.clone()]).await.unwrap();
    assert_eq!(seen(&world, &one).await, [again, second]);
    assert_eq!(seen(&world, &other).await, [theirs]);
}

async fn a_subscription_keeps_its_newest_twenty(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let (one, other) = (world.bought("NL-AMS").await.id, world.bought("NL-AMS").await.id);
    record(&world.shop, vec![refusal(&other, 1, NOW)]).await.unwrap();
    for of_ten in 0..5 {
        let rows = (1..=10).map(|number| refusal(&one, of_ten * 10 + number, after(of_ten * 10 + number)));
        record(&world.shop, rows.collect()).await.unwrap();
    }
    let left = seen(&world, &one).await;
    let numbers: Vec<_> = left.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (31..=50).rev().collect::<Vec<_>>());
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM refusal").await, KEPT + 1);
}

async fn others_see_nothing_and_the_unknown_stop_nothing(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await.id;
    let stranger = SubscriptionId::random();
    let told = vec![refusal(&stranger, 1, NOW), refusal(&one, 1, NOW)];
    record(&world.shop, told).await.unwrap();
    assert_eq!(seen(&world, &one).await.len(), 1);
    let bob = world.person("bob@example.com", 0).await;
    assert_eq!(
        world.refuses(refusals(&world.shop, &bob, &one)).await,
        Refused::SubscriptionNotFound
    );
    assert_eq!(
        world.refuses(refusals(&world.shop, &world.ann, &stranger)).await,
        Refused::SubscriptionNotFound
    );
    world.advance(MONTH);
    world.upkeep().await;
    assert_eq!(seen(&world, &one).await, [], "one that has ended is still its owner's");
}

async fn two_gateways_at_once_disturb_each_other_not(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let both = [world.bought("NL-AMS").await.id, world.bought("NL-AMS").await.id];
    let told: Vec<_> = (0..8)
        .map(|teller| {
            let rows = both.iter().flat_map(|one| {
                let row = |number| refusal(one, teller * 10 + number, after(teller));
                [row(1), row(2), row(3)]
            });
            // The other way round each time.
            let mut rows: Vec<_> = rows.collect();
            if teller % 2 == 0 {
                rows.reverse();
            }
            tokio::spawn({
                let shop = world.shop.clone();
                async move { record(&shop, rows).await.unwrap() }
            })
        })
        .collect();
    for told in told {
        told.await.unwrap();
    }
    for one in &both {
        assert!(seen(&world, one).await.len() >= 20);
    }
}

async fn a_week_later_they_are_forgotten(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await.id;
    record(&world.shop, vec![refusal(&one, 1, NOW), refusal(&one, 2, after(1))])
        .await
        .unwrap();
    world.advance(Span(Span::days(7).0 - 1));
    world.upkeep().await;
    assert_eq!(seen(&world, &one).await.len(), 2);
    world.advance(Span(1));
    world.upkeep().await;
    assert_eq!(seen(&world, &one).await.len(), 1);
}
