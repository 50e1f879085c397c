//! Rotation by policy: due again and again, for whom it should be, and not more at once than there is room for.

use turnpike_shop::subscription::Subscription;
use turnpike_shop::types::{AccountStatus, RotationPolicy, Span, UnixMillis};
use turnpike_shop::{Refusal, account, rotation};

use crate::rotation::{SECOND, ask, claim, schedule, succeed};
use crate::site::Site;
use crate::world::{ANN, GATEWAY, MONTH, NOW, World};

on_both_engines! {
    a_policy_is_set_where_the_exit_can_rotate_and_nobody_shares_it,
    setting_what_is_set_already_moves_nothing,
    a_policy_falls_due_again_and_again,
    what_a_policy_missed_is_left_out,
    a_policy_waits_for_the_cooldown_of_a_link,
    a_failed_policy_is_tried_again_after_a_growing_pause,
    nothing_is_rotated_for_who_is_suspended_or_over,
    no_more_are_queued_than_there_is_room_for,
    what_somebody_waits_for_comes_before_policies,
}

async fn set_policy(world: &World<'_>, one: &Subscription, minutes: u64) {
    let policy = RotationPolicy::try_from(minutes).unwrap();
    rotation::set_policy(&world.shop, &world.ann, &one.id, policy)
        .await
        .unwrap();
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
