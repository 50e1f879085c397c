//! Rotations: asked for by link and by policy, given out once, told truthfully, and never stuck.

use std::net::IpAddr;

use turnpike_shop::rotation::{self, AFTER_FAILURE, Task};
use turnpike_shop::subscription::Subscription;
use turnpike_shop::types::{AccountStatus, RotationId, RotationPolicy, Span, UnixMillis};
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
    what_somebody_waits_for_comes_before_policies,
    a_policy_is_set_where_the_exit_can_rotate_and_nobody_shares_it,
    setting_what_is_set_already_moves_nothing,
    a_policy_falls_due_again_and_again,
    what_a_policy_missed_is_left_out,
    a_policy_waits_for_the_cooldown_of_a_link,
    a_failed_policy_is_tried_again_after_a_growing_pause,
    nothing_is_rotated_for_who_is_suspended_or_over,
    no_more_are_queued_than_there_is_room_for,
    another_process_tells_the_waiter,
    old_rotations_are_forgotten_and_addresses_are_not,
}

const FIRST: &str = "192.0.2.1";
const SECOND: &str = "192.0.2.2";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

async fn ask(world: &World<'_>, one: &Subscription) -> RotationId {
    rotation::request(&world.shop, &one.rotate_token).await.unwrap()
}

async fn refused(world: &World<'_>, one: &Subscription) -> Refusal {
    world.refuses(rotation::request(&world.shop, &one.rotate_token)).await
}

async fn claim(world: &World<'_>) -> Vec<Task> {
    rotation::claim(&world.shop, GATEWAY, 10).await.unwrap()
}

async fn succeed(world: &World<'_>, id: &RotationId, now: &str, before: Option<&str>) {
    rotation::finish(&world.shop, id, Ok((Some(address(now)), before.map(address))))
        .await
        .unwrap();
}

async fn set_policy(world: &World<'_>, one: &Subscription, minutes: u64) {
    let policy = RotationPolicy::try_from(minutes).unwrap();
    rotation::set_policy(&world.shop, &world.ann, &one.id, policy)
        .await
        .unwrap();
}

async fn schedule(world: &World<'_>) -> Option<UnixMillis> {
    rotation::schedule(&world.shop, GATEWAY, 10).await.unwrap()
}

async fn next_of(world: &World<'_>, one: &Subscription) -> UnixMillis {
    UnixMillis(
        world
            .raw
            .int(&format!(
                "SELECT next_rotation_at FROM subscription WHERE id = '{}'",
                one.id
            ))
            .await,
    )
}

/// Sets the clock to the policy's next moment.
async fn until_due(world: &World<'_>, one: &Subscription) {
    let next = next_of(world, one).await;
    world.advance(next.since(world.now()));
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
            tokio::spawn(async move { rotation::request(&shop, &token).await.unwrap() })
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
        let asked = rotation::request(&world.shop, token);
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

async fn what_somebody_waits_for_comes_before_policies(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let (policy, link) = (world.bought("NL-AMS").await, world.bought("NL-AMS").await);
    set_policy(&world, &policy, 5).await;
    until_due(&world, &policy).await;
    schedule(&world).await;
    world.advance(Span::seconds(1));
    let id = ask(&world, &link).await;
    let first = rotation::claim(&world.shop, GATEWAY, 1).await.unwrap();
    assert_eq!(first[0].id, id);
    assert_eq!(claim(&world).await.len(), 1);
}

async fn a_policy_is_set_where_the_exit_can_rotate_and_nobody_shares_it(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .shared(2)
        .network("DE-BER")
        .fixed_exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let policy = RotationPolicy::try_from(10).unwrap();
    let others = [world.bought_shared("NL-AMS").await, world.bought("DE-BER").await];
    let set = |id, policy| rotation::set_policy(&world.shop, &world.ann, id, policy);
    set(&one.id, policy).await.unwrap();
    assert_eq!(world.see(&one).await.rotation_policy, policy);
    for other in &others {
        assert_eq!(
            world.refuses(set(&other.id, policy)).await,
            Refusal::RotationUnavailable
        );
        // Switching it off is possible everywhere.
        set(&other.id, RotationPolicy::OFF).await.unwrap();
    }
    let bob = world.person("bob@example.com", 0).await;
    let by_bob = rotation::set_policy(&world.shop, &bob, &one.id, policy);
    assert_eq!(world.refuses(by_bob).await, Refusal::SubscriptionNotFound);
    set(&one.id, RotationPolicy::OFF).await.unwrap();
    assert_eq!(schedule(&world).await, None);
    world.advance(MONTH);
    assert_eq!(world.refuses(set(&one.id, policy)).await, Refusal::SubscriptionEnded);
}

async fn setting_what_is_set_already_moves_nothing(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    set_policy(&world, &one, 10).await;
    let next = next_of(&world, &one).await;
    world.advance(Span::minutes(9));
    set_policy(&world, &one, 10).await;
    assert_eq!(next_of(&world, &one).await, next);
    set_policy(&world, &one, 5).await;
    assert_ne!(next_of(&world, &one).await, next);
}

async fn a_policy_falls_due_again_and_again(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    set_policy(&world, &one, 5).await;
    let first = next_of(&world, &one).await;
    assert!((Span::minutes(5)..=Span(Span::minutes(5).0 * 11 / 10)).contains(&first.since(NOW)));
    assert_eq!(schedule(&world).await, Some(first));
    assert!(claim(&world).await.is_empty());
    for turn in 0..3 {
        until_due(&world, &one).await;
        // A little late: the next one is not late for it.
        world.advance(Span::seconds(20));
        schedule(&world).await;
        let [task] = <[_; 1]>::try_from(claim(&world).await).unwrap();
        succeed(&world, &task.id, &format!("192.0.2.{turn}"), None).await;
        let next = next_of(&world, &one).await;
        assert_eq!(next, first.plus(Span::minutes(5 * (turn + 1))));
        assert_eq!(schedule(&world).await, Some(next));
    }
}

async fn what_a_policy_missed_is_left_out(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    set_policy(&world, &one, 5).await;
    let first = next_of(&world, &one).await;
    until_due(&world, &one).await;
    world.advance(Span::minutes(62));
    schedule(&world).await;
    assert_eq!(claim(&world).await.len(), 1);
    assert_eq!(next_of(&world, &one).await, first.plus(Span::minutes(65)));
}

async fn a_policy_waits_for_the_cooldown_of_a_link(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    set_policy(&world, &one, 5).await;
    until_due(&world, &one).await;
    world.advance(Span::seconds(-2));
    let id = ask(&world, &one).await;
    claim(&world).await;
    succeed(&world, &id, SECOND, None).await;
    let cool_at = world.now().plus(Span::seconds(10));
    world.advance(Span::seconds(2));
    schedule(&world).await;
    assert!(claim(&world).await.is_empty());
    assert_eq!(next_of(&world, &one).await, cool_at);
    until_due(&world, &one).await;
    schedule(&world).await;
    assert_eq!(claim(&world).await.len(), 1);
}

async fn a_failed_policy_is_tried_again_after_a_growing_pause(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    set_policy(&world, &one, 60).await;
    for pause in [1, 2, 5, 5] {
        until_due(&world, &one).await;
        schedule(&world).await;
        let [task] = <[_; 1]>::try_from(claim(&world).await).unwrap();
        rotation::finish(&world.shop, &task.id, Err("no carrier".to_owned()))
            .await
            .unwrap();
        assert_eq!(next_of(&world, &one).await.since(world.now()), Span::minutes(pause));
    }
    // A success ends the row of failures.
    until_due(&world, &one).await;
    schedule(&world).await;
    let [task] = <[_; 1]>::try_from(claim(&world).await).unwrap();
    succeed(&world, &task.id, SECOND, None).await;
    until_due(&world, &one).await;
    schedule(&world).await;
    let [task] = <[_; 1]>::try_from(claim(&world).await).unwrap();
    rotation::finish(&world.shop, &task.id, Err("no carrier".to_owned()))
        .await
        .unwrap();
    assert_eq!(next_of(&world, &one).await.since(world.now()), Span::minutes(1));
}

async fn nothing_is_rotated_for_who_is_suspended_or_over(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    set_policy(&world, &one, 5).await;
    account::set_status(&world.shop, "test", ANN, AccountStatus::Suspended)
        .await
        .unwrap();
    until_due(&world, &one).await;
    let due = world.now();
    schedule(&world).await;
    assert!(claim(&world).await.is_empty());
    // Its moment has passed, and it goes on with the next one.
    assert_eq!(next_of(&world, &one).await, due.plus(Span::minutes(5)));
    account::set_status(&world.shop, "test", ANN, AccountStatus::Active)
        .await
        .unwrap();
    until_due(&world, &one).await;
    schedule(&world).await;
    assert_eq!(claim(&world).await.len(), 1);
    world.advance(MONTH);
    schedule(&world).await;
    assert!(claim(&world).await.is_empty());
    world.upkeep().await;
    assert_eq!(schedule(&world).await, None);
}

async fn no_more_are_queued_than_there_is_room_for(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(6)
        .balance(1_000_000)
        .open()
        .await;
    for _ in 0..6 {
        let one = world.bought("NL-AMS").await;
        set_policy(&world, &one, 5).await;
    }
    world.advance(Span::minutes(6));
    let next = rotation::schedule(&world.shop, GATEWAY, 4).await.unwrap();
    assert_eq!(next, Some(world.now().plus(Span::seconds(1))));
    let given = claim(&world).await;
    assert_eq!(given.len(), 4);
    rotation::schedule(&world.shop, GATEWAY, 4).await.unwrap();
    assert!(claim(&world).await.is_empty());
    for task in given {
        succeed(&world, &task.id, SECOND, None).await;
    }
    rotation::schedule(&world.shop, GATEWAY, 4).await.unwrap();
    assert_eq!(claim(&world).await.len(), 2);
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
