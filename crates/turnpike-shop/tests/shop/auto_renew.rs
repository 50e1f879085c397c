//! Subscriptions that renew themselves: in time, at the price of the moment, and never twice.

use std::collections::BTreeMap;

use turnpike_shop::auto_renew::{self, AutoRenew, Trouble, Wish};
use turnpike_shop::search::{Order, Search, search};
use turnpike_shop::subscription::Subscription;
use turnpike_shop::types::{AccountStatus, Cents, Span, SubscriptionId, SubscriptionState, UnixMillis};
use turnpike_shop::{Refusal, RenewOrder, Settings, Shop, account, ledger, refund};

use crate::site::Site;
use crate::world::{ANN, MONTH, PRICE, World, key, refusal};

on_both_engines! {
    it_renews_a_day_before_the_end_and_again_before_the_next,
    what_is_switched_off_ends,
    only_what_could_be_renewed_can_be_switched_on,
    a_balance_that_is_too_short_is_told_and_tried_again_as_soon_as_money_comes,
    it_is_tried_until_the_end_and_not_after_it,
    it_pays_what_a_renewal_by_hand_would_pay,
    a_retired_plan_renews_nothing_and_says_so,
    a_network_that_was_switched_renews_nothing_until_a_plan_is_chosen,
    a_suspended_account_renews_nothing_until_it_is_resumed,
    a_renewal_by_hand_moves_the_next_one,
    one_that_came_back_late_goes_on,
    processes_that_look_at_once_charge_once,
    a_process_that_ended_half_way_delays_it_by_a_minute,
    clocks_that_disagree_charge_once,
    an_end_that_is_moved_back_is_not_paid_for_again,
    a_refund_ends_it,
    a_key_of_the_customers_is_not_in_the_way,
    random_programs_charge_each_end_once,
}

impl World<'_> {
    async fn wishes(&self, one: &Subscription, wish: Wish) -> turnpike_shop::Result<AutoRenew> {
        auto_renew::set(&self.shop, &self.ann, &one.id, wish).await
    }

    /// Ann's new subscription, which is to renew itself.
    async fn renewing(&self) -> Subscription {
        let one = self.bought("NL-AMS").await;
        self.wishes(&one, Wish::By(None)).await.unwrap();
        one
    }

    async fn run(&self) -> Option<UnixMillis> {
        auto_renew::run(&self.shop).await.unwrap()
    }

    async fn how(&self, one: &Subscription) -> AutoRenew {
        auto_renew::see(&self.shop, &self.ann, &one.id).await.unwrap()
    }

    async fn renewals(&self) -> i64 {
        self.raw
            .int("SELECT COUNT(*) FROM shop_order WHERE kind = 'renewal'")
            .await
    }

    /// To so long before the end of what was bought just now.
    fn advance_to(&self, one: &Subscription, before: Span) {
        self.advance(one.ends_at.minus(before).since(self.now()));
    }

    async fn credit(&self, cents: i64) {
        ledger::adjust(&self.shop, "test", ANN, Cents(cents), "").await.unwrap();
    }
}

const DAY: Span = Span::days(1);

async fn it_renews_a_day_before_the_end_and_again_before_the_next(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.renewing().await;
    let due = one.ends_at.minus(DAY);
    let how = world.how(&one).await;
    assert_eq!(
        (how.price, how.next_at, how.trouble),
        (Some(Cents(PRICE)), Some(due), None)
    );
    assert_eq!(how.plan, Some(world.plan("NL-AMS").await));
    assert_eq!(world.run().await, Some(due));
    world.advance_to(&one, Span(DAY.0 + 1));
    assert_eq!(world.run().await, Some(due));
    assert_eq!(world.renewals().await, 0);
    world.advance(Span(1));
    let again = due.plus(MONTH);
    assert_eq!(world.run().await, Some(again));
    assert_eq!(world.see(&one).await.ends_at, one.ends_at.plus(MONTH));
    assert_eq!(world.balance().await, 100_000 - 2 * PRICE);
    assert_eq!(ledger::statement(&world.shop, ANN, 1).await.unwrap()[0].kind, "renewal");
    assert_eq!(world.run().await, Some(again));
    world.advance(MONTH);
    world.upkeep().await;
    world.run().await;
    assert_eq!(world.see(&one).await.ends_at, one.ends_at.plus(MONTH).plus(MONTH));
    assert_eq!(world.renewals().await, 2);
}

async fn what_is_switched_off_ends(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.renewing().await;
    let found = || async {
        let wanted = Search::first(Order::Newest, 10);
        search(&world.shop, &world.ann, wanted).await.unwrap().0[0].renews_itself
    };
    assert!(found().await);
    let off = world.wishes(&one, Wish::Off).await.unwrap();
    assert_eq!((off.plan, off.next_at), (None, None));
    assert!(!found().await);
    world.advance_to(&one, DAY);
    assert_eq!(world.run().await, None);
    world.advance(DAY);
    world.upkeep().await;
    assert_eq!(world.see(&one).await.state, SubscriptionState::Expired);
    assert_eq!(world.renewals().await, 0);
    // Off can be said of what has ended too.
    world.wishes(&one, Wish::Off).await.unwrap();
}

async fn only_what_could_be_renewed_can_be_switched_on(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let elsewhere = world.plan("DE-BER").await;
    let refused = refusal(world.wishes(&one, Wish::By(Some(elsewhere))).await);
    assert_eq!(refused, Refusal::NotARenewalPlan);
    let nowhere = Wish::By(Some(turnpike_shop::types::PlanId::random()));
    assert_eq!(refusal(world.wishes(&one, nowhere).await), Refusal::UnknownPlan);
    let bob = world.person("bob@example.com", 0).await;
    for wish in [Wish::Off, Wish::By(None)] {
        let refused = refusal(auto_renew::set(&world.shop, &bob, &one.id, wish).await);
        assert_eq!(refused, Refusal::SubscriptionNotFound);
    }
    let refused = refusal(auto_renew::see(&world.shop, &bob, &one.id).await);
    assert_eq!(refused, Refusal::SubscriptionNotFound);
    world.advance(MONTH);
    assert_eq!(
        refusal(world.wishes(&one, Wish::By(None)).await),
        Refusal::SubscriptionEnded
    );
}

async fn a_balance_that_is_too_short_is_told_and_tried_again_as_soon_as_money_comes(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .balance(PRICE + 100)
        .open()
        .await;
    let one = world.renewing().await;
    world.advance_to(&one, DAY);
    let next = one.ends_at.minus(Span::hours(23));
    assert_eq!(world.run().await, Some(next));
    let how = world.how(&one).await;
    let trouble = how.trouble.unwrap().to_string();
    assert!(
        trouble.contains("the balance of 1.00 does not cover the price of 12.00"),
        "{trouble}"
    );
    assert_eq!(how.next_at, Some(next));
    // Still too short: it is tried at once and then in an hour.
    world.credit(100).await;
    assert_eq!(world.run().await, Some(next));
    assert!(world.how(&one).await.trouble.unwrap().to_string().contains("2.00"));
    world.credit(PRICE).await;
    world.run().await;
    assert_eq!(world.see(&one).await.ends_at, one.ends_at.plus(MONTH));
    assert_eq!(world.how(&one).await.trouble, None);
    assert_eq!(world.balance().await, 200);
    // Money that comes later moves nothing.
    let due = world.how(&one).await.next_at;
    world.credit(PRICE).await;
    assert_eq!(world.how(&one).await.next_at, due);
}

async fn it_is_tried_until_the_end_and_not_after_it(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).balance(PRICE).open().await;
    let one = world.renewing().await;
    world.advance_to(&one, DAY);
    let mut tries = 0;
    while let Some(next) = world.run().await {
        tries += 1;
        assert!(next < one.ends_at && tries < 100, "{tries} tries");
        world.advance(next.since(world.now()));
    }
    // Each hour from a day before on, and five minutes before the end.
    assert_eq!(tries, 24);
    assert_eq!(world.now(), one.ends_at.minus(Span::minutes(5)));
    world.advance(Span::minutes(5));
    world.credit(PRICE).await;
    assert_eq!(world.run().await, None);
    world.upkeep().await;
    assert_eq!(world.run().await, None);
    assert_eq!(world.renewals().await, 0);
    assert_eq!(world.see(&one).await.state, SubscriptionState::Expired);
}

async fn it_pays_what_a_renewal_by_hand_would_pay(site: &Site) {
    let mut world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.renewing().await;
    world.catalogue.plans[0].price = Cents(PRICE + 77);
    world.apply().await;
    assert_eq!(world.how(&one).await.price, Some(Cents(PRICE + 77)));
    world.advance_to(&one, DAY);
    world.run().await;
    assert_eq!(world.balance().await, 100_000 - PRICE - (PRICE + 77));
}

async fn a_retired_plan_renews_nothing_and_says_so(site: &Site) {
    let mut world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.renewing().await;
    let plans = std::mem::take(&mut world.catalogue.plans);
    world.apply().await;
    assert_eq!(world.how(&one).await.price, None);
    world.advance_to(&one, DAY);
    world.run().await;
    let trouble = world.how(&one).await.trouble.unwrap();
    assert_eq!(trouble, Trouble::Refused(Refusal::NotARenewalPlan));
    // An earlier version wrote down sentences, which are shown as they are.
    world
        .raw
        .run("UPDATE subscription SET auto_renew_trouble = 'it was so' WHERE auto_renew_trouble IS NOT NULL")
        .await;
    assert_eq!(
        world.how(&one).await.trouble,
        Some(Trouble::Told("it was so".to_owned()))
    );
    // Sold again, it renews at the next try.
    world.catalogue.plans = plans;
    world.apply().await;
    world.advance(Span::hours(1));
    world.run().await;
    assert_eq!(world.renewals().await, 1);
}

async fn a_network_that_was_switched_renews_nothing_until_a_plan_is_chosen(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let one = world.renewing().await;
    world.switch(&one, "DE-BER").await.unwrap();
    assert_eq!(world.how(&one).await.price, None);
    world.advance_to(&one, DAY);
    world.run().await;
    assert!(world.how(&one).await.trouble.is_some());
    let plan = world.plan("DE-BER").await;
    let chosen = world.wishes(&one, Wish::By(Some(plan))).await.unwrap();
    assert_eq!(chosen.trouble, None);
    world.run().await;
    assert_eq!(world.renewals().await, 1);
}

async fn a_suspended_account_renews_nothing_until_it_is_resumed(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.renewing().await;
    account::set_status(&world.shop, "test", ANN, AccountStatus::Suspended)
        .await
        .unwrap();
    world.advance_to(&one, DAY);
    world.run().await;
    assert_eq!(world.renewals().await, 0);
    account::set_status(&world.shop, "test", ANN, AccountStatus::Active)
        .await
        .unwrap();
    world.advance(Span::hours(1));
    world.run().await;
    assert_eq!(world.renewals().await, 1);
}

async fn a_renewal_by_hand_moves_the_next_one(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.renewing().await;
    let order = world.renewal(&one).await;
    world.renew(order).await.unwrap();
    assert_eq!(world.how(&one).await.next_at, Some(one.ends_at.plus(MONTH).minus(DAY)));
    world.advance_to(&one, DAY);
    world.run().await;
    assert_eq!(world.renewals().await, 1);
}

async fn one_that_came_back_late_goes_on(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).balance(PRICE).open().await;
    let one = world.renewing().await;
    world.advance_to(&one, Span(0));
    world.upkeep().await;
    assert_eq!(world.how(&one).await.next_at, None);
    world.credit(3 * PRICE).await;
    let order = world.renewal(&one).await;
    let renewed = world.renew(order).await.unwrap();
    assert_eq!(world.how(&one).await.next_at, Some(renewed.ends_at.minus(DAY)));
    world.advance(MONTH);
    world.run().await;
    assert_eq!(world.renewals().await, 1, "it was over by then");
}

/// Processes of their own on one database, each with as many looks at once.
async fn look_at_once(shops: &[Shop], each: usize) {
    let looks: Vec<_> = shops
        .iter()
        .flat_map(|shop| std::iter::repeat_n(shop, each))
        .map(|shop| {
            let shop = shop.clone();
            tokio::spawn(async move { auto_renew::run(&shop).await })
        })
        .collect();
    for look in looks {
        look.await.unwrap().unwrap();
    }
}

async fn processes_that_look_at_once_charge_once(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(8).open().await;
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(world.renewing().await);
    }
    let other = site.open(Settings::default(), world.clock()).await;
    world.advance_to(&all[7], Span::hours(23));
    look_at_once(&[world.shop.clone(), other], 4).await;
    assert_eq!(world.renewals().await, 8);
    assert_eq!(world.balance().await, 100_000 - 16 * PRICE);
    for one in &all {
        assert_eq!(world.see(one).await.ends_at, one.ends_at.plus(MONTH));
    }
}

async fn a_process_that_ended_half_way_delays_it_by_a_minute(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.renewing().await;
    world.advance_to(&one, DAY);
    // As a process leaves it that has taken it and ended before it was renewed.
    let leased = world.now().plus(Span::minutes(1));
    world
        .raw
        .run(&format!("UPDATE subscription SET auto_renew_at = {}", leased.0))
        .await;
    assert_eq!(world.run().await, Some(leased));
    assert_eq!(world.renewals().await, 0);
    world.advance(Span::minutes(1));
    world.run().await;
    assert_eq!(world.renewals().await, 1);
}

async fn clocks_that_disagree_charge_once(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let one = world.renewing().await;
    world.advance_to(&one, DAY);
    let clock = world.clock();
    let ahead = site
        .open(
            Settings::default(),
            std::sync::Arc::new(move || clock().plus(Span::hours(2))),
        )
        .await;
    let clock = world.clock();
    let behind = site
        .open(
            Settings::default(),
            std::sync::Arc::new(move || clock().minus(Span::hours(2))),
        )
        .await;
    look_at_once(&[behind, world.shop.clone(), ahead], 2).await;
    assert_eq!(world.renewals().await, 1);
    // One that jumps over the end renews nothing more, and ends it.
    world.wishes(&one, Wish::Off).await.unwrap();
    let two = world.renewing().await;
    world.advance(Span(MONTH.0 + 1));
    world.upkeep().await;
    world.run().await;
    assert_eq!(world.see(&two).await.state, SubscriptionState::Expired);
    assert_eq!(world.renewals().await, 1);
    // And jumping back to before the end brings nothing back.
    world.advance(Span(-Span::days(2).0));
    world.run().await;
    assert_eq!(world.renewals().await, 1);
}

async fn an_end_that_is_moved_back_is_not_paid_for_again(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.renewing().await;
    world.advance_to(&one, DAY);
    world.run().await;
    let balance = world.balance().await;
    let sql = format!("UPDATE subscription SET ends_at = {}, auto_renew_at = 0", one.ends_at.0);
    world.raw.run(&sql).await;
    assert_eq!(world.run().await, None);
    assert_eq!((world.balance().await, world.renewals().await), (balance, 1));
    site.broken();
}

async fn a_refund_ends_it(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.renewing().await;
    world.advance_to(&one, DAY);
    world.run().await;
    let order = world
        .raw
        .texts("SELECT id FROM shop_order WHERE kind = 'renewal'")
        .await
        .remove(0);
    refund(&world.shop, "test", &order.parse().unwrap(), "by mistake")
        .await
        .unwrap();
    let how = world.how(&one).await;
    assert_eq!((how.plan, how.next_at), (None, None));
    assert_eq!(world.run().await, None);
    assert_eq!(world.see(&one).await.ends_at, one.ends_at);
    assert_eq!(world.balance().await, 100_000 - PRICE);
}

async fn a_key_of_the_customers_is_not_in_the_way(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.renewing().await;
    let order = RenewOrder {
        idempotency: key(&format!("auto-renewal {} {}", one.id, one.ends_at.0), 1),
        ..world.renewal(&one).await
    };
    world.advance_to(&one, DAY);
    world.run().await;
    world.renew(order).await.unwrap();
    assert_eq!(world.renewals().await, 2);
}

/// Whatever happens: of all renewals that happen by themselves, no two are for one end of one subscription, and each was paid.
async fn random_programs_charge_each_end_once(site: &Site) {
    for _ in 0..4 {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        Site::run(site.engine, async |site| random_program(site, seed).await).await;
    }
}

async fn random_program(site: &Site, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let world = World::on(site)
        .network("NL-AMS")
        .exits(4)
        .balance(5 * PRICE)
        .open()
        .await;
    let other = site.open(Settings::default(), world.clock()).await;
    let shops = [world.shop.clone(), other];
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(world.renewing().await);
    }
    let mut ends: BTreeMap<SubscriptionId, UnixMillis> = all.iter().map(|one| (one.id.clone(), one.ends_at)).collect();
    for _ in 0..40 {
        let one = &all[rng.usize(..all.len())];
        match rng.u8(..10) {
            0 => world.credit(PRICE + rng.i64(0..PRICE)).await,
            1 => drop(world.wishes(one, Wish::Off).await),
            2 | 3 => drop(world.wishes(one, Wish::By(None)).await),
            4 => {
                let order = world.renewal(one).await;
                drop(world.renew(order).await);
            }
            5 => drop(world.upkeep().await),
            _ => {
                world.advance(Span::hours(rng.i64(1..200)));
                look_at_once(&shops, 2).await;
            }
        }
        for one in world.list().await {
            let before = ends.insert(one.id.clone(), one.ends_at);
            assert!(before.is_none_or(|before| before <= one.ends_at), "{seed}");
        }
    }
    let (all, apart) = (
        "SELECT COUNT(*) FROM shop_order WHERE idempotency_key LIKE 'auto-renewal·%'",
        "SELECT COUNT(DISTINCT idempotency_key) FROM shop_order WHERE idempotency_key LIKE 'auto-renewal·%'",
    );
    assert_eq!(world.raw.int(all).await, world.raw.int(apart).await, "{seed}");
}
