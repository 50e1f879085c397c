//! Trials: once per account and network in 30 days.

use turnpike_shop::types::{AccountStatus, Cents, Span, SubscriptionState};
use turnpike_shop::{Refusal, TrialOrder, account, ledger, trial};

use crate::site::Site;
use crate::world::{ANN, World, refusal};

on_both_engines! {
    a_trial_costs_nothing_and_lasts_as_long_as_the_plan_says,
    the_second_trial_in_a_network_waits_thirty_days,
    each_network_and_each_account_has_its_own_trial,
    a_plan_that_has_moved_to_another_network_has_a_trial_there,
    a_plan_without_a_trial_gives_none,
    a_trial_refused_for_want_of_an_exit_is_not_used_up,
    a_withdrawn_plan_and_a_suspended_account_give_none,
}

const HOUR: Span = Span::hours(1);

async fn a_trial_costs_nothing_and_lasts_as_long_as_the_plan_says(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .trial(HOUR)
        .balance(0)
        .open()
        .await;
    let given = world.try_out("NL-AMS").await.unwrap();
    assert_eq!(given.price, Cents(0));
    let [one] = given.subscriptions.as_slice() else {
        panic!("one is given")
    };
    assert_eq!(
        (one.state, one.ends_at),
        (SubscriptionState::Active, world.now().plus(HOUR))
    );
    let statement = ledger::statement(&world.shop, ANN, 10).await.unwrap();
    assert_eq!(statement.len(), 1);
    assert_eq!((statement[0].kind.as_str(), statement[0].amount), ("trial", Cents(0)));
    world.advance(HOUR);
    assert_eq!(world.upkeep().await, None);
    assert_eq!(world.slots_taken().await, 0);
}

async fn the_second_trial_in_a_network_waits_thirty_days(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(3)
        .shared(2)
        .trial(HOUR)
        .open()
        .await;
    world.try_out("NL-AMS").await.unwrap();
    world.advance(Span::days(10));
    let refused = world.refuses(world.try_out("NL-AMS")).await;
    let retry_after = Span::days(20);
    assert_eq!(refused, Refusal::TrialUsed { retry_after });
    // Another plan of the same network does not help.
    let plan = world
        .plan_of("NL-AMS", turnpike_shop::types::ConnectionType::Shared)
        .await;
    let order = TrialOrder {
        plan,
        idempotency: None,
        source: None,
    };
    let refused = world.refuses(trial(&world.shop, &world.ann, order)).await;
    assert_eq!(refused, Refusal::TrialUsed { retry_after });
    world.advance(Span(Span::days(20).0 - 1));
    let refused = world.refuses(world.try_out("NL-AMS")).await;
    assert_eq!(refused, Refusal::TrialUsed { retry_after: Span(1) });
    world.advance(Span(1));
    world.try_out("NL-AMS").await.unwrap();
    assert_eq!(
        world.refuses(world.try_out("NL-AMS")).await,
        Refusal::TrialUsed {
            retry_after: Span::days(30)
        }
    );
}

async fn each_network_and_each_account_has_its_own_trial(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(2)
        .trial(HOUR)
        .network("DE-BER")
        .exits(1)
        .trial(HOUR)
        .open()
        .await;
    world.try_out("NL-AMS").await.unwrap();
    world.try_out("DE-BER").await.unwrap();
    let bob = world.person("bob@example.com", 0).await;
    let order = TrialOrder {
        plan: world.plan("NL-AMS").await,
        idempotency: None,
        source: None,
    };
    trial(&world.shop, &bob, order).await.unwrap();
}

async fn a_plan_that_has_moved_to_another_network_has_a_trial_there(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .trial(HOUR)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    world.try_out("NL-AMS").await.unwrap();
    world.catalogue.plans[0].network = "DE-BER".to_owned();
    world.apply().await;
    // Its code still says NL-AMS. The audit must not take the two for trials of one network.
    let given = world.try_out("NL-AMS").await.unwrap();
    assert_eq!(given.subscriptions[0].network_code, "DE-BER");
}

async fn a_plan_without_a_trial_gives_none(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    assert_eq!(world.refuses(world.try_out("NL-AMS")).await, Refusal::NoTrialOfPlan);
}

async fn a_trial_refused_for_want_of_an_exit_is_not_used_up(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).trial(HOUR).open().await;
    let one = world.bought("NL-AMS").await;
    assert_eq!(
        world.refuses(world.try_out("NL-AMS")).await,
        Refusal::SoldOut { free: 0, wanted: 1 }
    );
    world.advance(one.ends_at.since(world.now()));
    world.try_out("NL-AMS").await.unwrap();
}

async fn a_withdrawn_plan_and_a_suspended_account_give_none(site: &Site) {
    let mut world = World::on(site).network("NL-AMS").exits(1).trial(HOUR).open().await;
    account::set_status(&world.shop, "test", ANN, AccountStatus::Suspended)
        .await
        .unwrap();
    assert_eq!(world.refuses(world.try_out("NL-AMS")).await, Refusal::AccountSuspended);
    account::set_status(&world.shop, "test", ANN, AccountStatus::Active)
        .await
        .unwrap();
    world.catalogue.plans.clear();
    world.apply().await;
    assert_eq!(world.refuses(world.try_out("NL-AMS")).await, Refusal::PlanInactive);
    let order = TrialOrder {
        plan: turnpike_shop::types::PlanId::random(),
        idempotency: None,
        source: None,
    };
    assert_eq!(
        refusal(trial(&world.shop, &world.ann, order).await),
        Refusal::UnknownPlan
    );
}
