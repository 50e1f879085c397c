//! Many at once: nothing is sold twice, nobody spends what he has not got, and who hangs up leaves nothing half done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::task::JoinSet;
use turnpike_shop::catalogue::{self, Coupon, Discount};
use turnpike_shop::types::{AccountStatus, ConnectionType, RepeatCount, Span};
use turnpike_shop::{CouponProblem, Error, PurchaseOrder, Refusal, RenewOrder, Result, Settings, Shop};
use turnpike_shop::{TrialOrder, account, change_credentials, purchase, renew, switch_network, trial, upkeep};

use crate::routes::Follower;
use crate::site::Site;
use crate::world::{ANN, GATEWAY, MONTH, PRICE, World, answer, coupon, key, quantity};

on_both_engines! {
    ten_exits_are_sold_ten_times_to_forty_buyers,
    exits_whose_subscribers_are_over_are_sold_while_upkeep_sweeps,
    several_at_once_are_sold_whole_or_not_at_all,
    money_for_twenty_buys_twenty,
    one_key_is_charged_once_however_often_it_is_sent_at_once,
    a_coupon_is_redeemed_as_often_as_it_may_be,
    one_subscription_bears_all_verbs_at_once,
    one_trial_is_given_however_often_it_is_asked_for_at_once,
    two_come_back_to_an_exit_whose_subscribers_are_over,
    who_hangs_up_leaves_nothing_half_done,
    a_catalogue_may_change_while_it_is_sold,
    an_account_is_suspended_while_it_buys,
}

/// The same shop as two processes see it.
async fn two_processes(world: &World<'_>) -> [Shop; 2] {
    [
        world.shop.clone(),
        world.site.open(Settings::default(), world.clock()).await,
    ]
}

/// What comes of a verb. On a machine that is busy with other things it may wait so long for others that it is told to come
/// again, which it does.
async fn insist<T, V: Future<Output = Result<T>>>(verb: impl Fn() -> V) -> Result<T> {
    loop {
        match verb().await {
            Err(Error::Unavailable(_)) => {}
            settled => return settled,
        }
    }
}

/// Runs `verb` so many times at once, by turns in each process; what came of each.
async fn at_once<T, V>(shops: &[Shop; 2], count: usize, verb: impl Fn(Shop, usize) -> V) -> Vec<Result<T>>
where
    T: Send + 'static,
    V: Future<Output = Result<T>> + Send + 'static,
{
    let run = async |number: usize| {
        // In tasks of their own, so that they do run side by side.
        insist(|| {
            let running = tokio::spawn(verb(shops[number % 2].clone(), number));
            async move { running.await.unwrap() }
        })
        .await
    };
    futures_util::future::join_all((0..count).map(run)).await
}

/// How many succeeded; each of the others must be refused as `is_expected` says.
fn successes<T>(outcomes: &[Result<T>], is_expected: impl Fn(&Refusal) -> bool) -> usize {
    for outcome in outcomes {
        match outcome {
            Ok(_) => {}
            Err(Error::Refused(refusal)) => assert!(is_expected(refusal), "{refusal}"),
            Err(error) => panic!("{error}"),
        }
    }
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}

async fn ten_exits_are_sold_ten_times_to_forty_buyers(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(10).open().await;
    let mut buyers = Vec::new();
    for number in 0..40 {
        buyers.push(world.person(&format!("buyer{number}@example.com"), PRICE).await);
    }
    let buyers = Arc::new(buyers);
    let order = world.order("NL-AMS").await;
    let outcomes = at_once(&two_processes(&world).await, 40, |shop, number| {
        let (buyers, order) = (Arc::clone(&buyers), order.clone());
        async move { purchase(&shop, &buyers[number], order).await }
    })
    .await;
    let sold = successes(&outcomes, |refusal| *refusal == Refusal::SoldOut { free: 0, wanted: 1 });
    assert_eq!(sold, 10);
    assert_eq!((world.slots_taken().await, world.ports_taken().await), (10, 10));
    let ports: BTreeSet<u16> = outcomes
        .iter()
        .flatten()
        .map(|bought| bought.subscriptions[0].port)
        .collect();
    assert_eq!(ports.len(), 10);
}

async fn exits_whose_subscribers_are_over_are_sold_while_upkeep_sweeps(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(12).open().await;
    let order = PurchaseOrder {
        quantity: quantity(12),
        ..world.order("NL-AMS").await
    };
    world.buy(order).await.unwrap();
    world.advance(MONTH);
    let sweeping = tokio::spawn({
        let shop = world.shop.clone();
        async move {
            for _ in 0..5 {
                upkeep::run(&shop).await.unwrap();
            }
        }
    });
    let order = world.order("NL-AMS").await;
    let outcomes = at_once(&two_processes(&world).await, 16, |shop, _| {
        let (ann, order) = (world.ann.clone(), order.clone());
        async move { purchase(&shop, &ann, order).await }
    })
    .await;
    sweeping.await.unwrap();
    assert_eq!(
        successes(&outcomes, |refusal| matches!(refusal, Refusal::SoldOut { .. })),
        12
    );
}

async fn several_at_once_are_sold_whole_or_not_at_all(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(10).open().await;
    let order = PurchaseOrder {
        quantity: quantity(3),
        ..world.order("NL-AMS").await
    };
    let mut buyers = Vec::new();
    for number in 0..12 {
        buyers.push(world.person(&format!("buyer{number}@example.com"), 3 * PRICE).await);
    }
    let buyers = Arc::new(buyers);
    let outcomes = at_once(&two_processes(&world).await, 12, |shop, number| {
        let (buyers, order) = (Arc::clone(&buyers), order.clone());
        async move { purchase(&shop, &buyers[number], order).await }
    })
    .await;
    let sold = successes(&outcomes, |refusal| *refusal == Refusal::SoldOut { free: 1, wanted: 3 });
    assert_eq!(sold, 3);
    assert_eq!(world.slots_taken().await, 9);
}

async fn money_for_twenty_buys_twenty(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .shared(100)
        .balance(20 * PRICE)
        .open()
        .await;
    let order = world.order_of("NL-AMS", ConnectionType::Shared).await;
    let outcomes = at_once(&two_processes(&world).await, 60, |shop, _| {
        let (ann, order) = (world.ann.clone(), order.clone());
        async move { purchase(&shop, &ann, order).await }
    })
    .await;
    let bought = successes(&outcomes, |refusal| {
        matches!(refusal, Refusal::InsufficientBalance { .. })
    });
    assert_eq!(bought, 20);
    assert_eq!(world.balance().await, 0);
}

async fn one_key_is_charged_once_however_often_it_is_sent_at_once(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(30).open().await;
    let order = PurchaseOrder {
        idempotency: key("once", 1),
        ..world.order("NL-AMS").await
    };
    let outcomes = at_once(&two_processes(&world).await, 20, |shop, _| {
        let (ann, order) = (world.ann.clone(), order.clone());
        async move { purchase(&shop, &ann, order).await }
    })
    .await;
    assert_eq!(successes(&outcomes, |_| false), 20);
    let answers: BTreeSet<Vec<u8>> = outcomes.iter().flatten().map(answer).collect();
    assert_eq!(answers.len(), 1);
    assert_eq!(outcomes.iter().flatten().filter(|bought| !bought.replayed).count(), 1);
    assert_eq!(world.balance().await, 100_000 - PRICE);
    assert_eq!(world.slots_taken().await, 1);
}

async fn a_coupon_is_redeemed_as_often_as_it_may_be(site: &Site) {
    let limited = Coupon {
        max_redemptions: Some(20),
        per_account: Some(7),
        ..coupon("LIMITED", Discount::Percent(10))
    };
    let world = World::on(site)
        .network("NL-AMS")
        .shared(100)
        .coupon(limited)
        .open()
        .await;
    let mut buyers = vec![world.ann.clone()];
    for name in ["bob", "carol", "dave"] {
        buyers.push(world.person(&format!("{name}@example.com"), 100 * PRICE).await);
    }
    let buyers = Arc::new(buyers);
    let order = PurchaseOrder {
        coupon: Some("limited".to_owned()),
        ..world.order_of("NL-AMS", ConnectionType::Shared).await
    };
    let outcomes = at_once(&two_processes(&world).await, 48, |shop, number| {
        let (buyers, order) = (Arc::clone(&buyers), order.clone());
        async move { purchase(&shop, &buyers[number % 4], order).await }
    })
    .await;
    let redeemed = successes(&outcomes, |refusal| {
        matches!(
            refusal,
            Refusal::InvalidCoupon(CouponProblem::UsedUp | CouponProblem::UsedByAccount)
        )
    });
    assert_eq!(redeemed, 20);
    let uses = world.raw.ints("SELECT redeemed FROM coupon_use").await;
    assert!(uses.iter().all(|uses| *uses <= 7), "{uses:?}");
    assert_eq!(uses.iter().sum::<i64>(), 20);
}

async fn one_subscription_bears_all_verbs_at_once(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(3)
        .network("DE-BER")
        .exits(3)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let networks = Arc::new([world.network("NL-AMS").await, world.network("DE-BER").await]);
    let plans = Arc::new([world.plan("NL-AMS").await, world.plan("DE-BER").await]);
    let outcomes = at_once(&two_processes(&world).await, 36, |shop, number| {
        let (ann, id, networks, plans) = (
            world.ann.clone(),
            one.id.clone(),
            Arc::clone(&networks),
            Arc::clone(&plans),
        );
        async move {
            let which = number / 3 % 2;
            match number % 3 {
                0 => {
                    let order = RenewOrder {
                        subscription: id,
                        plan: plans[which].clone(),
                        repeat: RepeatCount::ONE,
                        coupon: None,
                        idempotency: None,
                    };
                    renew(&shop, &ann, order).await.map(|_| 'r')
                }
                1 => switch_network(&shop, &ann, &id, &networks[which]).await.map(|_| 's'),
                _ => change_credentials(&shop, &ann, &id).await.map(|_| 'c'),
            }
        }
    })
    .await;
    successes(&outcomes, |refusal| {
        matches!(refusal, Refusal::NotARenewalPlan | Refusal::SameNetwork)
    });
    let done = |what| i64::try_from(outcomes.iter().flatten().filter(|done| **done == what).count()).unwrap();
    assert_eq!(done('c'), 12);
    assert!(done('s') > 0);
    let seen = world.see(&one).await;
    assert_eq!(seen.ends_at, one.ends_at.plus(Span(MONTH.0 * done('r'))));
    assert_eq!(seen.revision, one.revision + done('r') + done('s') + done('c'));
    assert_eq!(world.balance().await, 100_000 - PRICE * (1 + done('r')));
    assert_eq!((world.slots_taken().await, world.ports_taken().await), (1, 1));
}

async fn one_trial_is_given_however_often_it_is_asked_for_at_once(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(10)
        .trial(Span::hours(1))
        .open()
        .await;
    let plan = world.plan("NL-AMS").await;
    let outcomes = at_once(&two_processes(&world).await, 10, |shop, _| {
        let (ann, plan) = (world.ann.clone(), plan.clone());
        let order = TrialOrder {
            plan,
            idempotency: None,
            source: None,
        };
        async move { trial(&shop, &ann, order).await }
    })
    .await;
    assert_eq!(
        successes(&outcomes, |refusal| matches!(refusal, Refusal::TrialUsed { .. })),
        1
    );
}

async fn two_come_back_to_an_exit_whose_subscribers_are_over(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .shared(2)
        .trial(Span::hours(1))
        .open()
        .await;
    let plan = world.plan_of("NL-AMS", ConnectionType::Shared).await;
    let order = world.order_of("NL-AMS", ConnectionType::Shared).await;
    let mut renewals = Vec::new();
    for name in ["bob", "carol"] {
        let account = world.person(&format!("{name}@example.com"), 2 * PRICE).await;
        let bought = purchase(&world.shop, &account, order.clone()).await.unwrap();
        let renewal = world.renewal(&bought.subscriptions[0]).await;
        renewals.push((account, renewal));
    }
    world.advance(MONTH);
    world.upkeep().await;
    for name in ["dave", "eve"] {
        let account = world.person(&format!("{name}@example.com"), 0).await;
        let order = TrialOrder {
            plan: plan.clone(),
            idempotency: None,
            source: None,
        };
        trial(&world.shop, &account, order).await.unwrap();
    }
    world.advance(Span::hours(1));
    // Whoever comes first ends both trials and takes one of the slots; the other one must wait for that, not give up.
    let outcomes = at_once(&two_processes(&world).await, 2, |shop, number| {
        let (account, order) = renewals[number].clone();
        async move { renew(&shop, &account, order).await }
    })
    .await;
    assert_eq!(successes(&outcomes, |_| false), 2);
}

async fn who_hangs_up_leaves_nothing_half_done(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(40)
        .network("DE-BER")
        .exits(40)
        .open()
        .await;
    let shops = two_processes(&world).await;
    let order = world.order("NL-AMS").await;
    let target = world.network("DE-BER").await;
    let mut running = JoinSet::new();
    for number in 0..30_usize {
        let (shop, ann, target) = (shops[number % 2].clone(), world.ann.clone(), target.clone());
        let order = PurchaseOrder {
            idempotency: key(&format!("order {number}"), 1),
            ..order.clone()
        };
        running.spawn(async move {
            // Cut off twice at random moments, and sent again, as a client would.
            for _ in 0..2 {
                let patience = Duration::from_micros(rand::rng().random_range(0..40_000));
                let _ = tokio::time::timeout(patience, purchase(&shop, &ann, order.clone())).await;
            }
            let bought = insist(|| purchase(&shop, &ann, order.clone())).await;
            let one = bought.unwrap().subscriptions.remove(0);
            let patience = Duration::from_micros(rand::rng().random_range(0..20_000));
            let _ = tokio::time::timeout(patience, switch_network(&shop, &ann, &one.id, &target)).await;
            one.id
        });
    }
    let bought: BTreeSet<_> = running.join_all().await.into_iter().collect();
    assert_eq!(bought.len(), 30);
    assert_eq!(world.list().await.len(), 30);
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM shop_order").await, 30);
    assert_eq!(world.balance().await, 100_000 - 30 * PRICE);
    assert_eq!((world.slots_taken().await, world.ports_taken().await), (30, 30));
}

async fn a_catalogue_may_change_while_it_is_sold(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(4)
        .shared(4)
        .gateway("gw2", 13_001..=13_050)
        .open()
        .await;
    let shops = two_processes(&world).await;
    let orders = Arc::new([
        world.order("NL-AMS").await,
        world.order_of("NL-AMS", ConnectionType::Shared).await,
    ]);
    let applying = tokio::spawn({
        let (shop, original) = (shops[1].clone(), world.catalogue.clone());
        async move {
            let mut applied = 0;
            for round in 0..12 {
                let mut changed = original.clone();
                for (index, exit) in changed.networks[0].exits.iter_mut().enumerate() {
                    if (index + round) % 3 == 0 {
                        exit.gateway = Some("gw2".to_owned());
                    }
                    if (index + round) % 4 == 0 {
                        exit.shared_slots = 4 - exit.shared_slots;
                    }
                }
                match insist(|| catalogue::apply(&shop, "test", changed.clone(), false)).await {
                    Ok(_) => applied += 1,
                    Err(Error::Refused(Refusal::Catalogue(_))) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            applied
        }
    });
    let outcomes = at_once(&shops, 16, |shop, number| {
        let (ann, order) = (world.ann.clone(), orders[number / 2 % 2].clone());
        async move {
            tokio::time::sleep(Duration::from_millis(u64::try_from(number).unwrap() * 5)).await;
            purchase(&shop, &ann, order).await
        }
    })
    .await;
    successes(&outcomes, |refusal| {
        matches!(refusal, Refusal::SoldOut { .. } | Refusal::PlanInactive)
    });
    applying.await.unwrap();
}

async fn an_account_is_suspended_while_it_buys(site: &Site) {
    let world = World::on(site).network("NL-AMS").shared(100).open().await;
    let shops = two_processes(&world).await;
    let order = world.order_of("NL-AMS", ConnectionType::Shared).await;
    let follower = Follower::start(&shops[1], GATEWAY);
    for _ in 0..6 {
        let suspending = {
            let shop = shops[1].clone();
            tokio::spawn(async move {
                let suspend = || account::set_status(&shop, "test", ANN, AccountStatus::Suspended);
                insist(suspend).await.unwrap();
            })
        };
        let outcomes = at_once(&shops, 4, |shop, _| {
            let (ann, order) = (world.ann.clone(), order.clone());
            async move { purchase(&shop, &ann, order).await }
        })
        .await;
        suspending.await.unwrap();
        successes(&outcomes, |refusal| *refusal == Refusal::AccountSuspended);
        // Whatever was bought in the last moment: nothing of it is served.
        let served = follower.caught_up(world.revision().await).await;
        assert!(served.is_empty(), "{served:?}");
        account::set_status(&world.shop, "test", ANN, AccountStatus::Active)
            .await
            .unwrap();
    }
}
