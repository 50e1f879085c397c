//! Rotations: asked for by link and by policy, given out once, told truthfully, and never stuck.

use std::net::IpAddr;

use turnpike_shop::rotation::{self, AFTER_FAILURE, Task};
use turnpike_shop::subscription::Subscription;
use turnpike_shop::types::{AccountStatus, RotationId, Span, UnixMillis};
use turnpike_shop::{Refusal, Settings, account};

use crate::site::Site;
use crate::world::{ANN, GATEWAY, MONTH, NOW, World, refusal};

on_both_engines! {
    a_rotation_is_queued_done_and_told,
    the_cooldown_follows_a_success,
    a_failure_can_be_tried_again_sooner,
    who_asks_meanwhile_joins_the_one_under_way,
    a_rotation_past_its_deadline_has_failed,
    a_late_success_still_tells_where_the_exit_is,
    links_that_rotate_nothing,
    each_rotation_is_given_out_once_and_to_its_gateway,
    another_process_tells_the_waiter,
    old_rotations_are_forgotten_and_addresses_are_not,
}

const FIRST: &str = "192.0.2.1";
pub(crate) const SECOND: &str = "192.0.2.2";
/// From where links are used.
pub(crate) const VISITOR: &str = "203.0.113.7";

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) async fn ask(world: &World<'_>, one: &Subscription) -> RotationId {
    rotation::request(&world.shop, &one.rotate_token, address(VISITOR))
        .await
        .unwrap()
}

async fn refused(world: &World<'_>, one: &Subscription) -> Refusal {
    world
        .refuses(rotation::request(&world.shop, &one.rotate_token, address(VISITOR)))
        .await
}

pub(crate) async fn claim(world: &World<'_>) -> Vec<Task> {
    rotation::claim(&world.shop, GATEWAY, 10).await.unwrap()
}

pub(crate) async fn succeed(world: &World<'_>, id: &RotationId, now: &str, before: Option<&str>) {
    rotation::finish(&world.shop, id, Ok((Some(address(now)), before.map(address))))
        .await
        .unwrap();
}

pub(crate) async fn schedule(world: &World<'_>) -> Option<UnixMillis> {
    rotation::schedule(&world.shop, GATEWAY, 10).await.unwrap()
}

async fn a_rotation_is_queued_done_and_told(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let mut changes = world.shop.changes();
    changes.mark_unchanged();
    let id = ask(&world, &one).await;
    assert!(changes.has_changed().unwrap(), "its gateway is woken");
    world.advance(Span::seconds(1));
    let [task] = <[_; 1]>::try_from(claim(&world).await).unwrap();
    assert_eq!((&task.id, task.deadline), (&id, NOW.plus(Span::seconds(60))));
    let waiting = tokio::spawn({
        let (shop, id) = (world.shop.clone(), id.clone());
        async move { rotation::wait(&shop, &id).await }
    });
    world.advance(Span::seconds(2));
    succeed(&world, &id, SECOND, Some(FIRST)).await;
    let outcome = waiting.await.unwrap().unwrap();
    assert_eq!(
        (outcome.address, outcome.previous),
        (Some(address(SECOND)), Some(address(FIRST)))
    );
    assert_eq!(outcome.took, Span::seconds(3));
    assert_eq!(outcome.next_allowed_at, world.now().plus(Span::seconds(10)));
    // Whoever looks later sees the same.
    assert_eq!(rotation::wait(&world.shop, &id).await.unwrap(), outcome);
    assert_eq!(
        world.raw.texts("SELECT present_address FROM network_exit").await,
        [SECOND]
    );
    assert_eq!(world.raw.texts("SELECT address FROM exit_address").await, [SECOND]);
    // The gateway did it itself and needs not be told.
    assert_eq!(world.revision().await, one.revision);
}

async fn the_cooldown_follows_a_success(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let id = ask(&world, &one).await;
    claim(&world).await;
    succeed(&world, &id, SECOND, None).await;
    world.advance(Span::seconds(3));
    let retry_after = Span::seconds(7);
    assert_eq!(refused(&world, &one).await, Refusal::RotationCooldown { retry_after });
    world.advance(Span(Span::seconds(7).0 - 1));
    assert_eq!(
        refused(&world, &one).await,
        Refusal::RotationCooldown { retry_after: Span(1) }
    );
    world.advance(Span(1));
    ask(&world, &one).await;
}

async fn a_failure_can_be_tried_again_sooner(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let id = ask(&world, &one).await;
    claim(&world).await;
    rotation::finish(&world.shop, &id, Err("no carrier".to_owned()))
        .await
        .unwrap();
    assert_eq!(refusal(rotation::wait(&world.shop, &id).await), Refusal::RotationFailed);
    assert_eq!(world.raw.texts("SELECT error FROM rotation").await, ["no carrier"]);
    assert_eq!(
        refused(&world, &one).await,
        Refusal::RotationCooldown {
            retry_after: AFTER_FAILURE
        }
    );
    world.advance(AFTER_FAILURE);
    let again = ask(&world, &one).await;
    assert_ne!(again, id);
}

async fn who_asks_meanwhile_joins_the_one_under_way(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let id = ask(&world, &one).await;
    assert_eq!(ask(&world, &one).await, id);
    claim(&world).await;
    assert_eq!(ask(&world, &one).await, id);
    let asked: Vec<_> = (0..10)
        .map(|_| {
            let (shop, token) = (world.shop.clone(), one.rotate_token.clone());
            tokio::spawn(async move { rotation::request(&shop, &token, address(VISITOR)).await.unwrap() })
        })
        .collect();
    for joined in asked {
        assert_eq!(joined.await.unwrap(), id);
    }
    assert!(claim(&world).await.is_empty());
}

async fn a_rotation_past_its_deadline_has_failed(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(3).open().await;
    // The waiter, the next asker and the scheduler: each records it.
    let [waiter, asker, scheduler] = [
        world.bought("NL-AMS").await,
        world.bought("NL-AMS").await,
        world.bought("NL-AMS").await,
    ];
    let waited = ask(&world, &waiter).await;
    let asked = ask(&world, &asker).await;
    ask(&world, &scheduler).await;
    assert_eq!(schedule(&world).await, Some(NOW.plus(Span::seconds(60))));
    claim(&world).await;
    world.advance(Span::seconds(62));
    assert_eq!(
        refusal(rotation::wait(&world.shop, &waited).await),
        Refusal::RotationFailed
    );
    // It failed at its deadline, and the pause counts from there, though a refused request records nothing.
    let retry_after = Span(AFTER_FAILURE.0 - Span::seconds(2).0);
    assert_eq!(refused(&world, &asker).await, Refusal::RotationCooldown { retry_after });
    world.advance(retry_after);
    let again = ask(&world, &asker).await;
    assert_ne!(again, asked);
    assert_eq!(
        refusal(rotation::wait(&world.shop, &asked).await),
        Refusal::RotationFailed
    );
    schedule(&world).await;
    assert_eq!(
        world
            .raw
            .int("SELECT COUNT(*) FROM rotation WHERE state = 'failed'")
            .await,
        3
    );
}

async fn a_late_success_still_tells_where_the_exit_is(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let id = ask(&world, &one).await;
    claim(&world).await;
    world.advance(Span::seconds(60));
    refusal(rotation::wait(&world.shop, &id).await);
    world.advance(Span::seconds(20));
    succeed(&world, &id, SECOND, Some(FIRST)).await;
    assert_eq!(
        world.raw.texts("SELECT present_address FROM network_exit").await,
        [SECOND]
    );
    // It was told as failed, and stays so; but the exit did rotate, so its cooldown runs.
    refusal(rotation::wait(&world.shop, &id).await);
    let retry_after = Span::seconds(10);
    assert_eq!(refused(&world, &one).await, Refusal::RotationCooldown { retry_after });
    // A failure that is told after a success changes nothing.
    world.advance(Span::seconds(10));
    let id = ask(&world, &one).await;
    claim(&world).await;
    succeed(&world, &id, FIRST, None).await;
    rotation::finish(&world.shop, &id, Err("late".to_owned()))
        .await
        .unwrap();
    assert_eq!(
        rotation::wait(&world.shop, &id).await.unwrap().address,
        Some(address(FIRST))
    );
}

async fn links_that_rotate_nothing(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .shared(2)
        .network("DE-BER")
        .fixed_exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let shared = world.bought_shared("NL-AMS").await;
    let fixed = world.bought("DE-BER").await;
    assert!(one.can_rotate && !shared.can_rotate && !fixed.can_rotate);
    for unavailable in [&shared, &fixed] {
        assert_eq!(refused(&world, unavailable).await, Refusal::RotationUnavailable);
    }
    for token in ["", "nobody's", &one.rotate_token[1..]] {
        let asked = rotation::request(&world.shop, token, address(VISITOR));
        assert_eq!(world.refuses(asked).await, Refusal::SubscriptionNotFound);
    }
    account::set_status(&world.shop, "test", ANN, AccountStatus::Suspended)
        .await
        .unwrap();
    assert_eq!(refused(&world, &one).await, Refusal::AccountSuspended);
    account::set_status(&world.shop, "test", ANN, AccountStatus::Active)
        .await
        .unwrap();
    world.advance(MONTH);
    for _ in 0..2 {
        assert_eq!(refused(&world, &one).await, Refusal::SubscriptionEnded);
        world.upkeep().await;
    }
}

async fn each_rotation_is_given_out_once_and_to_its_gateway(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(3)
        .network("DE-BER")
        .gateway("gw2", 13_001..=13_010)
        .exits(1)
        .open()
        .await;
    for network in ["NL-AMS", "NL-AMS", "NL-AMS", "DE-BER"] {
        let one = world.bought(network).await;
        ask(&world, &one).await;
        world.advance(Span(1));
    }
    let claims: Vec<_> = (0..4)
        .map(|_| {
            let shop = world.shop.clone();
            tokio::spawn(async move { rotation::claim(&shop, GATEWAY, 1).await.unwrap() })
        })
        .collect();
    let mut given = Vec::new();
    for claimed in claims {
        given.extend(claimed.await.unwrap());
    }
    // Those that met a locked row came away with nothing.
    given.extend(claim(&world).await);
    let mut exits: Vec<_> = given.iter().map(|task| task.exit.clone()).collect();
    exits.sort();
    exits.dedup();
    assert_eq!((given.len(), exits.len()), (3, 3));
    assert_eq!(rotation::claim(&world.shop, "gw2", 10).await.unwrap().len(), 1);
}

async fn another_process_tells_the_waiter(site: &Site) {
    let settings = Settings {
        rotation_cooldown: Span(0),
        ..Settings::default()
    };
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .settings(settings.clone())
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let other = site.open(settings, world.clock()).await;
    for _ in 0..2 {
        let id = ask(&world, &one).await;
        let (outcome, ()) = tokio::join!(rotation::wait(&world.shop, &id), async {
            rotation::claim(&other, GATEWAY, 1).await.unwrap();
            rotation::finish(&other, &id, Ok((None, None))).await.unwrap();
        });
        let outcome = outcome.unwrap();
        // An upstream's address may not be known.
        assert_eq!((outcome.address, outcome.next_allowed_at), (None, world.now()));
    }
}

async fn old_rotations_are_forgotten_and_addresses_are_not(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let id = ask(&world, &one).await;
    claim(&world).await;
    succeed(&world, &id, SECOND, None).await;
    world.advance(Span(Span::days(7).0 - 1));
    world.upkeep().await;
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM rotation").await, 1);
    world.advance(Span(1));
    world.upkeep().await;
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM rotation").await, 0);
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM exit_address").await, 1);
    // So late that nobody knows of it any more.
    succeed(&world, &id, FIRST, None).await;
    assert_eq!(
        world.raw.texts("SELECT present_address FROM network_exit").await,
        [SECOND]
    );
}
