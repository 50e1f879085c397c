//! Renewing: more time for what runs, and coming back from the grace period.

use turnpike_shop::types::{
    AccountStatus, Cents, ConnectionType, PlanId, RotationPolicy, Span, SubscriptionId, SubscriptionState,
};
use turnpike_shop::{Refusal, RenewOrder, account, ledger, purchase, renew, renewal_plans, rotation, routes};

use crate::site::Site;
use crate::world::{ANN, GATEWAY, MONTH, PRICE, World, times};

on_both_engines! {
    a_renewal_adds_to_the_present_end,
    a_renewal_is_charged_once_per_repeat,
    an_ended_subscription_is_renewed_from_now_and_keeps_its_port,
    one_that_is_due_and_not_swept_up_is_renewed_from_now,
    the_port_is_held_for_the_whole_grace_period_and_then_freed,
    after_the_grace_period_nothing_is_renewed_whether_upkeep_came_or_not,
    an_exit_that_was_sold_meanwhile_cannot_be_renewed,
    an_exit_whose_next_subscriber_is_over_too_comes_back,
    a_shared_subscription_comes_back_to_any_free_slot_of_its_exit,
    only_plans_of_its_network_and_kind_renew_it,
    a_withdrawn_exit_is_renewed_as_long_as_it_runs,
    a_trial_is_renewed_like_any_other,
    a_renewal_beyond_the_balance_leaves_nothing,
    nobody_elses_and_no_unknown_subscription_is_renewed,
    a_suspended_account_renews_nothing,
    a_rotation_policy_goes_on_after_a_late_renewal,
}

async fn a_renewal_adds_to_the_present_end(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    world.advance(Span::days(10));
    let order = world.renewal(&one).await;
    let renewed = world.renew(order).await.unwrap();
    assert_eq!(renewed.ends_at, one.ends_at.plus(MONTH));
    assert_eq!(renewed.subscription, one.id);
    assert_eq!(renewed.price, Cents(PRICE));
    assert_eq!(renewed.gateway, GATEWAY);
    assert!(!renewed.replayed);
    assert_eq!(renewed.revision, one.revision + 1);
    let seen = world.see(&one).await;
    assert_eq!((seen.ends_at, seen.revision), (renewed.ends_at, renewed.revision));
    assert_eq!(
        (seen.port, &seen.password, &seen.username),
        (one.port, &one.password, &one.username)
    );
    assert_eq!(world.slots_taken().await, 1);
}

async fn a_renewal_is_charged_once_per_repeat(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .balance(10 * PRICE)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let order = RenewOrder {
        repeat: times(3),
        ..world.renewal(&one).await
    };
    let renewed = world.renew(order).await.unwrap();
    assert_eq!(renewed.price, Cents(3 * PRICE));
    assert_eq!(renewed.ends_at, one.ends_at.plus(Span(3 * MONTH.0)));
    assert_eq!(world.balance().await, 6 * PRICE);
    let statement = ledger::statement(&world.shop, ANN, 1).await.unwrap();
    assert_eq!(
        (statement[0].kind.as_str(), statement[0].amount),
        ("renewal", Cents(-3 * PRICE))
    );
}

async fn an_ended_subscription_is_renewed_from_now_and_keeps_its_port(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let one = world.bought("NL-AMS").await;
    world.advance(Span(MONTH.0 + Span::hours(71).0));
    world.upkeep().await;
    assert_eq!(world.see(&one).await.state, SubscriptionState::Expired);
    assert_eq!((world.slots_taken().await, world.ports_taken().await), (0, 1));
    let order = world.renewal(&one).await;
    let renewed = world.renew(order).await.unwrap();
    assert_eq!(renewed.ends_at, world.now().plus(MONTH));
    let seen = world.see(&one).await;
    assert_eq!(seen.state, SubscriptionState::Active);
    assert_eq!(
        (seen.port, &seen.password, seen.vpn),
        (one.port, &one.password, one.vpn)
    );
    assert_eq!(world.exit_of(&one).await, world.exit_of(&seen).await);
    assert_eq!(world.slots_taken().await, 1);
    let told = routes::changes_since(&world.shop, GATEWAY, renewed.revision - 1)
        .await
        .unwrap();
    assert_eq!(told.routes.len(), 1);
    assert_eq!(told.routes[0].ends_at, renewed.ends_at);
}

async fn one_that_is_due_and_not_swept_up_is_renewed_from_now(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    world.advance(Span(MONTH.0 + Span::hours(1).0));
    assert_eq!(world.see(&one).await.state, SubscriptionState::Expired);
    let order = world.renewal(&one).await;
    assert_eq!(world.renew(order).await.unwrap().ends_at, world.now().plus(MONTH));
    assert_eq!(world.see(&one).await.state, SubscriptionState::Active);
    assert_eq!(world.upkeep().await, Some(world.now().plus(MONTH)));
}

async fn the_port_is_held_for_the_whole_grace_period_and_then_freed(site: &Site) {
    let world = World::on(site)
        .ports(12_001..=12_001)
        .network("NL-AMS")
        .exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    world.advance(Span(MONTH.0 + Span::hours(72).0 - 1));
    world.upkeep().await;
    let order = world.order("NL-AMS").await;
    assert_eq!(world.refuses(world.buy(order.clone())).await, Refusal::NoFreePort);
    assert_eq!(world.list().await.len(), 1);
    world.advance(Span(1));
    world.upkeep().await;
    assert!(world.list().await.is_empty());
    let next = world.buy(order).await.unwrap().subscriptions.remove(0);
    assert_eq!(next.port, one.port);
    assert_ne!(next.id, one.id);
}

async fn after_the_grace_period_nothing_is_renewed_whether_upkeep_came_or_not(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(3).open().await;
    let never_swept = world.bought("NL-AMS").await;
    world.advance(Span(MONTH.0 + Span::hours(72).0 - 1));
    let plans = renewal_plans(&world.shop, &world.ann, &never_swept.id).await.unwrap();
    assert_eq!(plans.len(), 1);
    world.advance(Span(1));
    let order = world.renewal(&never_swept).await;
    for _ in 0..2 {
        assert_eq!(world.refuses(world.renew(order.clone())).await, Refusal::RenewalTooLate);
        let plans = renewal_plans(&world.shop, &world.ann, &never_swept.id).await.unwrap();
        assert!(plans.is_empty(), "what is listed must work");
        world.upkeep().await;
    }
}

async fn an_exit_that_was_sold_meanwhile_cannot_be_renewed(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let bob = world.person("bob@example.com", PRICE).await;
    world.advance(MONTH);
    let order = world.order("NL-AMS").await;
    purchase(&world.shop, &bob, order).await.unwrap();
    let order = world.renewal(&one).await;
    assert_eq!(world.refuses(world.renew(order)).await, Refusal::RenewalTooLate);
}

async fn an_exit_whose_next_subscriber_is_over_too_comes_back(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .trial(Span::hours(1))
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let bob = world.person("bob@example.com", 0).await;
    world.advance(MONTH);
    let plan = world.plan("NL-AMS").await;
    let order = turnpike_shop::TrialOrder {
        plan,
        idempotency: None,
        source: None,
    };
    let tried = turnpike_shop::trial(&world.shop, &bob, order).await.unwrap();
    world.advance(Span::hours(1));
    // Bob's hour is over, though nothing has swept it up: the exit is Ann's again.
    let order = world.renewal(&one).await;
    let renewed = world.renew(order).await.unwrap();
    let told = routes::changes_since(&world.shop, GATEWAY, renewed.revision - 1)
        .await
        .unwrap();
    assert_eq!(told.removed, [tried.subscriptions[0].id.clone()]);
    assert_eq!(told.routes.len(), 1);
}

async fn a_shared_subscription_comes_back_to_any_free_slot_of_its_exit(site: &Site) {
    let world = World::on(site).network("NL-AMS").shared(2).open().await;
    let first = world.bought_shared("NL-AMS").await;
    let second = world.bought_shared("NL-AMS").await;
    world.advance(MONTH);
    world.upkeep().await;
    // Somebody else takes one of the two slots.
    let bob = world.person("bob@example.com", PRICE).await;
    let order = world.order_of("NL-AMS", ConnectionType::Shared).await;
    purchase(&world.shop, &bob, order).await.unwrap();
    let order = world.renewal(&first).await;
    world.renew(order).await.unwrap();
    let order = world.renewal(&second).await;
    assert_eq!(world.refuses(world.renew(order)).await, Refusal::RenewalTooLate);
}

async fn only_plans_of_its_network_and_kind_renew_it(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .shared(2)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let mut longer = world.catalogue.plans[0].clone();
    longer.code = "NL-AMS longer".to_owned();
    longer.duration = Span::days(90);
    longer.price = Cents(3_000);
    world.catalogue.plans.push(longer);
    world.apply().await;
    let one = world.bought("NL-AMS").await;
    let listed = renewal_plans(&world.shop, &world.ann, &one.id).await.unwrap();
    let shown: Vec<_> = listed
        .iter()
        .map(|plan| (plan.duration, plan.price.0, plan.connection_type))
        .collect();
    assert_eq!(
        shown,
        [
            (MONTH, PRICE, ConnectionType::Private),
            (Span::days(90), 3_000, ConnectionType::Private)
        ]
    );
    // What is listed works, and nothing else does.
    for plan in &listed {
        let order = RenewOrder {
            plan: plan.id.clone(),
            ..world.renewal(&one).await
        };
        world.renew(order).await.unwrap();
    }
    for (plan, refusal) in [
        (
            world.plan_of("NL-AMS", ConnectionType::Shared).await,
            Refusal::NotARenewalPlan,
        ),
        (world.plan("DE-BER").await, Refusal::NotARenewalPlan),
        (PlanId::random(), Refusal::UnknownPlan),
    ] {
        let order = RenewOrder {
            plan,
            ..world.renewal(&one).await
        };
        assert_eq!(world.refuses(world.renew(order)).await, refusal);
    }
    // After a switch the plans of the new network count.
    let moved = world.switch(&one, "DE-BER").await.unwrap();
    let order = RenewOrder {
        plan: world.plan("NL-AMS").await,
        ..world.renewal(&moved).await
    };
    assert_eq!(world.refuses(world.renew(order)).await, Refusal::NotARenewalPlan);
    let order = world.renewal(&moved).await;
    world.renew(order).await.unwrap();
    // A plan that has left the catalogue renews nothing.
    world.catalogue.plans.retain(|plan| plan.network != "DE-BER");
    world.apply().await;
    assert!(
        renewal_plans(&world.shop, &world.ann, &one.id)
            .await
            .unwrap()
            .is_empty()
    );
    let order = world.renewal(&moved).await;
    assert_eq!(world.refuses(world.renew(order)).await, Refusal::NotARenewalPlan);
}

async fn a_withdrawn_exit_is_renewed_as_long_as_it_runs(site: &Site) {
    let mut world = World::on(site).network("NL-AMS").exits(2).open().await;
    let one = world.bought("NL-AMS").await;
    let exit = world.exit_of(&one).await;
    world.catalogue.networks[0].exits.retain(|other| other.name != exit);
    world.apply().await;
    let order = world.renewal(&one).await;
    let renewed = world.renew(order.clone()).await.unwrap();
    world.advance(renewed.ends_at.since(world.now()));
    world.upkeep().await;
    assert_eq!(world.refuses(world.renew(order)).await, Refusal::RenewalTooLate);
}

async fn a_trial_is_renewed_like_any_other(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .trial(Span::hours(1))
        .open()
        .await;
    let tried = world.try_out("NL-AMS").await.unwrap().subscriptions.remove(0);
    world.advance(Span::minutes(30));
    let order = world.renewal(&tried).await;
    assert_eq!(world.renew(order).await.unwrap().ends_at, tried.ends_at.plus(MONTH));
}

async fn a_renewal_beyond_the_balance_leaves_nothing(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .balance(2 * PRICE - 1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let order = world.renewal(&one).await;
    let refused = Refusal::InsufficientBalance {
        balance: Cents(PRICE - 1),
        price: Cents(PRICE),
    };
    assert_eq!(world.refuses(world.renew(order.clone())).await, refused);
    // Nor is the slot taken that a late renewal would need.
    world.advance(MONTH);
    world.upkeep().await;
    assert_eq!(world.refuses(world.renew(order)).await, refused);
}

async fn nobody_elses_and_no_unknown_subscription_is_renewed(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let bob = world.person("bob@example.com", 10 * PRICE).await;
    let order = world.renewal(&one).await;
    assert_eq!(
        world.refuses(renew(&world.shop, &bob, order.clone())).await,
        Refusal::SubscriptionNotFound
    );
    let other = RenewOrder {
        subscription: SubscriptionId::random(),
        ..order
    };
    assert_eq!(world.refuses(world.renew(other)).await, Refusal::SubscriptionNotFound);
    let listed = renewal_plans(&world.shop, &bob, &one.id).await;
    assert_eq!(crate::world::refusal(listed), Refusal::SubscriptionNotFound);
}

async fn a_suspended_account_renews_nothing(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    account::set_status(&world.shop, "test", ANN, AccountStatus::Suspended)
        .await
        .unwrap();
    let order = world.renewal(&one).await;
    assert_eq!(world.refuses(world.renew(order)).await, Refusal::AccountSuspended);
}

async fn a_rotation_policy_goes_on_after_a_late_renewal(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let policy = RotationPolicy::try_from(10).unwrap();
    rotation::set_policy(&world.shop, &world.ann, &one.id, policy)
        .await
        .unwrap();
    world.advance(MONTH);
    world.upkeep().await;
    assert!(
        world
            .raw
            .ints("SELECT next_rotation_at FROM subscription WHERE next_rotation_at IS NOT NULL")
            .await
            .is_empty()
    );
    let order = world.renewal(&one).await;
    world.renew(order).await.unwrap();
    assert_eq!(world.see(&one).await.rotation_policy, policy);
    let next = world.raw.int("SELECT next_rotation_at FROM subscription").await;
    let earliest = world.now().plus(Span::minutes(10)).0;
    assert!((earliest..=earliest + Span::minutes(1).0).contains(&next), "{next}");
}
