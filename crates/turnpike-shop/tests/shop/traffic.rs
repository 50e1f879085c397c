//! Traffic: each batch counted once, whatever is sent twice.

use turnpike_shop::traffic::{self, Row};
use turnpike_shop::types::{Span, SubscriptionId, UnixMillis};

use crate::site::Site;
use crate::world::{GATEWAY, World};

on_both_engines! {
    batches_add_up_by_subscription_and_hour,
    a_batch_that_is_sent_again_adds_nothing,
    the_same_batch_from_two_tasks_at_once_is_counted_once,
    what_nobody_knows_stops_nothing,
    counters_never_fall,
    a_run_is_forgotten_a_month_after_its_last_batch,
}

const HOUR: UnixMillis = UnixMillis(1_760_000_400_000);

fn row(subscription: &SubscriptionId, hour: UnixMillis, up: i64, down: i64) -> Row {
    Row {
        subscription: subscription.clone(),
        hour,
        up,
        down,
    }
}

async fn batches_add_up_by_subscription_and_hour(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let (one, other) = (world.bought("NL-AMS").await.id, world.bought("NL-AMS").await.id);
    let next_hour = HOUR.plus(Span::hours(1));
    let first = [
        row(&one, HOUR, 1, 10),
        row(&other, HOUR, 2, 20),
        row(&one, next_hour, 3, 30),
    ];
    traffic::record(&world.shop, GATEWAY, "run", 1, &first).await.unwrap();
    traffic::record(&world.shop, GATEWAY, "run", 2, &[row(&one, HOUR, 4, 40)])
        .await
        .unwrap();
    let hours = traffic::hours(&world.shop, &one).await.unwrap();
    assert_eq!(hours, [row(&one, HOUR, 5, 50), row(&one, next_hour, 3, 30)]);
    assert_eq!(
        traffic::hours(&world.shop, &other).await.unwrap(),
        [row(&other, HOUR, 2, 20)]
    );
}

async fn a_batch_that_is_sent_again_adds_nothing(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await.id;
    let rows = [row(&one, HOUR, 1, 1)];
    for (gateway, run, batch) in [
        (GATEWAY, "run", 1),
        (GATEWAY, "run", 1),
        (GATEWAY, "run", 2),
        (GATEWAY, "run", 1),
        // The next run, and another gateway's, count from the beginning.
        (GATEWAY, "next run", 1),
        ("gw2", "run", 1),
        (GATEWAY, "run", 2),
    ] {
        traffic::record(&world.shop, gateway, run, batch, &rows).await.unwrap();
    }
    assert_eq!(
        traffic::hours(&world.shop, &one).await.unwrap(),
        [row(&one, HOUR, 4, 4)]
    );
}

async fn the_same_batch_from_two_tasks_at_once_is_counted_once(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await.id;
    let sent: Vec<_> = (0..16)
        .map(|number| {
            let (shop, rows) = (world.shop.clone(), [row(&one, HOUR, 1, 1)]);
            tokio::spawn(async move {
                traffic::record(&shop, GATEWAY, "run", number / 8 + 1, &rows)
                    .await
                    .unwrap()
            })
        })
        .collect();
    for sent in sent {
        sent.await.unwrap();
    }
    // A gateway sends one batch after the other; here the second may come first, and voids the first.
    let [counted] = <[_; 1]>::try_from(traffic::hours(&world.shop, &one).await.unwrap()).unwrap();
    assert!((1..=2).contains(&counted.up), "{counted:?}");
}

async fn what_nobody_knows_stops_nothing(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await.id;
    let stranger = SubscriptionId::random();
    let rows = [row(&stranger, HOUR, 9, 9), row(&one, HOUR, 1, 2)];
    traffic::record(&world.shop, GATEWAY, "run", 1, &rows).await.unwrap();
    assert_eq!(
        traffic::hours(&world.shop, &one).await.unwrap(),
        [row(&one, HOUR, 1, 2)]
    );
    assert!(traffic::hours(&world.shop, &stranger).await.unwrap().is_empty());
}

async fn counters_never_fall(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await.id;
    traffic::record(&world.shop, GATEWAY, "run", 1, &[row(&one, HOUR, 5, 5)])
        .await
        .unwrap();
    for (up, down) in [(-1, 0), (0, -1)] {
        let recorded = traffic::record(&world.shop, GATEWAY, "run", 2, &[row(&one, HOUR, up, down)]).await;
        assert!(recorded.is_err());
    }
    assert_eq!(
        traffic::hours(&world.shop, &one).await.unwrap(),
        [row(&one, HOUR, 5, 5)]
    );
}

async fn a_run_is_forgotten_a_month_after_its_last_batch(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await.id;
    traffic::record(&world.shop, GATEWAY, "run", 1, &[row(&one, HOUR, 1, 1)])
        .await
        .unwrap();
    world.advance(Span(Span::days(30).0 - 1));
    world.upkeep().await;
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM traffic_cursor").await, 1);
    world.advance(Span(1));
    world.upkeep().await;
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM traffic_cursor").await, 0);
    assert_eq!(traffic::hours(&world.shop, &one).await.unwrap().len(), 1);
}
