//! Applying a catalogue: what differs is told, done, and done once.

use std::sync::Arc;

use serde_json::json;
use turnpike_shop::catalogue::{self, Catalogue, Coupon, Difference, Discount, Exit, ExitWay, RotateMethod};
use turnpike_shop::types::{Cents, ConnectionType, Span, UnixMillis};
use turnpike_shop::{Refusal, audit_log, plans, routes};

use crate::site::Site;
use crate::world::{GATEWAY, MONTH, World, coupon, refusal};

on_both_engines! {
    what_is_applied_again_changes_nothing,
    a_dry_run_tells_the_same_and_leaves_nothing,
    a_change_is_told_and_its_gateway_too,
    what_leaves_is_deactivated_and_comes_back_as_it_was,
    secrets_are_never_told,
    contradictions_are_named,
    an_exit_must_be_on_a_known_gateway,
    a_used_exit_changes_neither_its_kind_nor_its_gateway,
    an_exit_is_free_to_move_once_nobody_can_come_back_to_it,
    shared_slots_can_grow_and_shrink,
    hundreds_of_exits_are_each_what_the_catalogue_says,
    whether_mail_may_be_sent_is_told_to_all_exits,
    plans_are_listed_by_country_and_price,
    plans_are_read_once_for_each_state_of_the_catalogue,
    a_refused_catalogue_leaves_nothing,
}

async fn apply(world: &World<'_>) -> Vec<Difference> {
    catalogue::apply(&world.shop, "cli:root", world.catalogue.clone(), false)
        .await
        .unwrap()
}

async fn refused(world: &World<'_>) -> String {
    let applied = catalogue::apply(&world.shop, "cli:root", world.catalogue.clone(), false);
    match world.refuses(applied).await {
        Refusal::Catalogue(sentence) => sentence,
        other => panic!("{other}"),
    }
}

fn told(differences: &[Difference]) -> Vec<String> {
    differences
        .iter()
        .map(|one| format!("{} {} {}", one.change, one.kind, one.name))
        .collect()
}

async fn what_is_applied_again_changes_nothing(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(2)
        .shared(3)
        .trial(Span::hours(1))
        .coupon(Coupon {
            max_redemptions: Some(5),
            per_account: Some(1),
            valid_until: Some(UnixMillis(1_800_000_000_000)),
            ..coupon("TENTH", Discount::Percent(10))
        })
        .coupon(coupon("FIVE", Discount::Fixed(Cents(500))))
        .open()
        .await;
    let (revision, everything) = (world.revision().await, world.everything().await);
    assert_eq!(apply(&world).await, []);
    assert_eq!(world.revision().await, revision);
    assert_eq!(world.everything().await, everything);
}

async fn a_dry_run_tells_the_same_and_leaves_nothing(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(2)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    world.catalogue.networks[0].city = "Mokum".to_owned();
    world.catalogue.networks[0].exits.remove(1);
    world.catalogue.plans[1].price = Cents(1);
    let everything = world.everything().await;
    let dry = catalogue::apply(&world.shop, "cli:root", world.catalogue.clone(), true)
        .await
        .unwrap();
    assert_eq!(world.everything().await, everything);
    assert_eq!(apply(&world).await, dry);
    assert_eq!(
        told(&dry),
        [
            "update network NL-AMS",
            "deactivate exit NL-AMS/exit-2",
            "update plan DE-BER private"
        ]
    );
    assert_eq!(dry[0].detail, ["city: City of NL-AMS -> Mokum"]);
    assert_eq!(dry[2].detail, ["price_cents: 1200 -> 1"]);
}

async fn a_change_is_told_and_its_gateway_too(site: &Site) {
    let mut world = World::on(site).network("NL-AMS").exits(2).open().await;
    let revision = world.revision().await;
    world.advance(Span(1));
    world.catalogue.networks[0].exits[1].spec.drain_seconds = 5;
    assert_eq!(apply(&world).await[0].detail, ["drain_seconds: 30 -> 5"]);
    assert_eq!(world.revision().await, revision + 1);
    let changes = routes::changes_since(&world.shop, GATEWAY, revision).await.unwrap();
    assert_eq!(changes.exits.len(), 1);
    assert_eq!(changes.exits[0].name, "NL-AMS/exit-2");
    assert_eq!(changes.exits[0].spec, world.catalogue.networks[0].exits[1].spec);
    let [entry] = <[_; 1]>::try_from(audit_log::newest(&world.shop, 1).await.unwrap()).unwrap();
    assert_eq!(
        (entry.actor.as_str(), entry.action.as_str()),
        ("cli:root", "catalogue.apply")
    );
    assert!(entry.detail.contains("drain_seconds: 30 -> 5"), "{}", entry.detail);
}

async fn what_leaves_is_deactivated_and_comes_back_as_it_was(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .coupon(coupon("TENTH", Discount::Percent(10)))
        .open()
        .await;
    let (plan, network) = (world.plan("NL-AMS").await, world.network("NL-AMS").await);
    let whole = std::mem::take(&mut world.catalogue);
    assert_eq!(
        told(&apply(&world).await),
        [
            "deactivate network NL-AMS",
            "deactivate exit NL-AMS/exit-1",
            "deactivate plan NL-AMS private",
            "deactivate coupon TENTH"
        ]
    );
    assert!(plans(&world.shop).await.unwrap().plans.is_empty());
    assert_eq!(apply(&world).await, []);
    world.catalogue = whole;
    assert_eq!(
        told(&apply(&world).await),
        [
            "reactivate network NL-AMS",
            "reactivate exit NL-AMS/exit-1",
            "reactivate plan NL-AMS private",
            "reactivate coupon TENTH"
        ]
    );
    assert_eq!(
        (world.plan("NL-AMS").await, world.network("NL-AMS").await),
        (plan, network)
    );
    world.bought("NL-AMS").await;
}

async fn secrets_are_never_told(site: &Site) {
    let mut world = World::on(site).network("NL-AMS").exits(1).open().await;
    let exit = &mut world.catalogue.networks[0].exits[0];
    exit.spec.way = ExitWay::Upstream("socks5://partner:hunter2@198.51.100.7:1080".to_owned());
    exit.spec.rotate = Some(RotateMethod::Http(
        "https://partner.example/hunter2?k=hunter2".to_owned(),
    ));
    let differences = apply(&world).await;
    let text = json!(differences).to_string();
    assert!(text.contains("upstream socks5://198.51.100.7:1080"), "{text}");
    assert!(text.contains("http https://partner.example"), "{text}");
    // Another password alone is a difference as well, though it cannot be shown.
    world.catalogue.networks[0].exits[0].spec.way =
        ExitWay::Upstream("socks5://partner:hunter2-new@198.51.100.7:1080".to_owned());
    let differences = apply(&world).await;
    assert_eq!(differences[0].detail, ["credentials changed"]);
    world.catalogue.networks[0].exits[0].spec.rotate = Some(RotateMethod::Command(vec![
        "/usr/local/bin/redial".to_owned(),
        "hunter2".to_owned(),
    ]));
    let differences = apply(&world).await;
    assert!(json!(differences).to_string().contains("command /usr/local/bin/redial"));
    assert!(!world.everything().await.contains("hunter2"));
}

async fn contradictions_are_named(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .coupon(coupon("TENTH", Discount::Percent(10)))
        .open()
        .await;
    let good = world.catalogue.clone();
    let change = |change: fn(&mut Catalogue)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    for (bad, said) in [
        (
            change(|all| all.networks.push(all.networks[0].clone())),
            "network NL-AMS stands twice",
        ),
        (
            change(|all| {
                let again = all.networks[0].exits[0].clone();
                all.networks[0].exits.push(again);
            }),
            "exit exit-1 stands twice in network NL-AMS",
        ),
        (
            change(|all| all.plans.push(all.plans[0].clone())),
            "plan NL-AMS private stands twice",
        ),
        (
            change(|all| all.plans[0].network = "XX".to_owned()),
            "names the network XX",
        ),
        (
            change(|all| all.coupons.push(coupon(" tenth", Discount::Percent(5)))),
            "compared without case",
        ),
    ] {
        world.catalogue = bad;
        let sentence = refused(&world).await;
        assert!(sentence.contains(said), "{sentence}");
    }
}

async fn an_exit_must_be_on_a_known_gateway(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .gateway("gw2", 13_001..=13_002)
        .open()
        .await;
    world.catalogue.networks[0].exits[0].gateway = Some("gw3".to_owned());
    assert_eq!(
        refused(&world).await,
        "exit NL-AMS/exit-1 names the gateway gw3; known are gw1, gw2"
    );
    world.catalogue.networks[0].exits[0].gateway = None;
    let sentence = refused(&world).await;
    assert!(sentence.contains("does not say which gateway it is on"), "{sentence}");
}

async fn a_used_exit_changes_neither_its_kind_nor_its_gateway(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .gateway("gw2", 13_001..=13_002)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    world.catalogue.networks[0].exits[0].shared_slots = 5;
    let sentence = refused(&world).await;
    assert!(
        sentence.contains("cannot change between private and shared"),
        "{sentence}"
    );
    world.catalogue.networks[0].exits[0].shared_slots = 0;
    world.catalogue.networks[0].exits[0].gateway = Some("gw2".to_owned());
    let sentence = refused(&world).await;
    assert!(sentence.contains("cannot move to gateway gw2"), "{sentence}");
    // Nor while the one that has ended may still be renewed: it would come back to a gateway without its exit.
    world.advance(one.ends_at.since(world.now()));
    world.upkeep().await;
    let sentence = refused(&world).await;
    assert!(sentence.contains("cannot move to gateway gw2"), "{sentence}");
    let order = world.renewal(&one).await;
    world.renew(order).await.unwrap();
}

async fn an_exit_is_free_to_move_once_nobody_can_come_back_to_it(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .gateway("gw2", 13_001..=13_002)
        .open()
        .await;
    world.bought("NL-AMS").await;
    world.advance(Span(MONTH.0 + Span::hours(72).0));
    world.upkeep().await;
    world.upkeep().await;
    world.catalogue.networks[0].exits[0].gateway = Some("gw2".to_owned());
    assert_eq!(apply(&world).await[0].detail, ["gateway: gw1 -> gw2"]);
    assert_eq!(world.bought("NL-AMS").await.gateway, "gw2");
}

async fn shared_slots_can_grow_and_shrink(site: &Site) {
    let mut world = World::on(site).network("NL-AMS").shared(2).open().await;
    let first = world.bought_shared("NL-AMS").await;
    world.advance(Span::days(1));
    world.bought_shared("NL-AMS").await;
    world.catalogue.networks[0].exits[0].shared_slots = 1;
    world.apply().await;
    // Both run on; only one slot comes back to the shelf, whichever ends first.
    assert_eq!(world.list().await.len(), 2);
    world.advance(first.ends_at.since(world.now()));
    world.upkeep().await;
    let order = world.order_of("NL-AMS", ConnectionType::Shared).await;
    let sold = world.buy(order.clone()).await.is_ok();
    world.advance(Span::days(1));
    world.upkeep().await;
    assert_ne!(
        world.buy(order.clone()).await.is_ok(),
        sold,
        "one of the two slots is gone"
    );
    world.catalogue.networks[0].exits[0].shared_slots = 3;
    world.apply().await;
    for _ in 0..2 {
        world.buy(order.clone()).await.unwrap();
    }
    assert_eq!(
        world.refuses(world.buy(order)).await,
        Refusal::SoldOut { free: 0, wanted: 1 }
    );
}

/// They are written many at a time.
async fn hundreds_of_exits_are_each_what_the_catalogue_says(site: &Site) {
    let mut world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.catalogue.networks[0].exits[0].clone();
    let many = (0..237_i64).map(|number| Exit {
        name: format!("many-{number}"),
        shared_slots: if number % 3 == 0 { number % 4 } else { 0 },
        ..one.clone()
    });
    world.catalogue.networks[0].exits = many.collect();
    let revision = world.revision().await;
    assert_eq!(apply(&world).await.len(), 238, "the one before has left");
    sells_what_the_catalogue_says(&world).await;
    let changes = routes::changes_since(&world.shop, GATEWAY, revision).await.unwrap();
    assert_eq!(changes.exits.len(), 237);
    assert_eq!(world.revision().await, revision + 1);
    assert_eq!(apply(&world).await, []);

    let exits = &mut world.catalogue.networks[0].exits;
    exits.retain(|exit| !exit.name.ends_with('7'));
    for exit in exits.iter_mut().step_by(2) {
        exit.shared_slots = 3 - exit.shared_slots;
        exit.spec.drain_seconds += 1;
    }
    apply(&world).await;
    sells_what_the_catalogue_says(&world).await;
    world.catalogue.networks[0].exits.clear();
    apply(&world).await;
    sells_what_the_catalogue_says(&world).await;
}

/// What is free is what the first network's exits have, of which nothing is sold.
async fn sells_what_the_catalogue_says(world: &World<'_>) {
    let free = catalogue::free(&world.shop).await.unwrap();
    let of = |kind| {
        free.iter()
            .filter(|(_, of, _)| *of == kind)
            .map(|(_, _, free)| free)
            .sum::<i64>()
    };
    let slots = world.catalogue.networks[0].exits.iter().map(|exit| exit.shared_slots);
    let alone = slots.clone().filter(|slots| *slots == 0).count();
    assert_eq!(of(ConnectionType::Private), i64::try_from(alone).unwrap());
    assert_eq!(of(ConnectionType::Shared), slots.sum::<i64>());
}

async fn whether_mail_may_be_sent_is_told_to_all_exits(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(3)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let revision = world.revision().await;
    world.catalogue.networks[0].allow_smtp = true;
    assert_eq!(apply(&world).await[0].detail, ["allow_smtp: false -> true"]);
    let changes = routes::changes_since(&world.shop, GATEWAY, revision).await.unwrap();
    assert_eq!(changes.exits.len(), 3);
    assert!(changes.exits.iter().all(|exit| exit.allow_smtp));
}

async fn plans_are_listed_by_country_and_price(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .shared(2)
        .trial(Span::hours(1))
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    world.catalogue.plans[1].price = Cents(300);
    world.catalogue.plans[0].popular = true;
    world.apply().await;
    let listed = plans(&world.shop).await.unwrap();
    let shown: Vec<_> = listed
        .plans
        .iter()
        .map(|plan| (plan.network.code.as_str(), plan.price.0, plan.popular, plan.trial))
        .collect();
    assert_eq!(
        shown,
        [
            ("DE-BER", 1_200, false, None),
            ("NL-AMS", 300, false, Some(Span::hours(1))),
            ("NL-AMS", 1_200, true, Some(Span::hours(1))),
        ]
    );
}

async fn plans_are_read_once_for_each_state_of_the_catalogue(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let first = plans(&world.shop).await.unwrap();
    let made = || first.text(|plans| Ok::<_, ()>(format!("{} at {}", plans.len(), plans[0].price)));
    assert_eq!(made(), Ok("1 at 12.00"));
    // Neither a sale nor a catalogue that is refused or changes nothing is a change of what is on sale.
    world.bought("NL-AMS").await;
    world.apply().await;
    assert!(Arc::ptr_eq(&plans(&world.shop).await.unwrap(), &first));

    // Whoever changes it, and of what: a plan, its network, one that comes, one that goes.
    let changes = [
        ("UPDATE plan SET price_cents = 1300", 1, 1_300, "NL-AMS"),
        ("UPDATE network SET code = 'NL-RTM'", 1, 1_300, "NL-RTM"),
        (
            "INSERT INTO plan (id, code, network_id, connection_type, duration_ms, price_cents, popular, active, created_at)
             SELECT 'another00000000000000000', 'another', network_id, connection_type, duration_ms, 1, popular, active, created_at FROM plan",
            2,
            1,
            "NL-RTM",
        ),
        ("DELETE FROM plan WHERE code = 'another'", 1, 1_300, "NL-RTM"),
    ];
    let mut last = first;
    for (sql, count, price, network) in changes {
        world.raw.run(sql).await;
        let now = plans(&world.shop).await.unwrap();
        assert!(!Arc::ptr_eq(&now, &last), "{sql}");
        let cheapest = &now.plans[0];
        assert_eq!(
            (now.plans.len(), cheapest.price, cheapest.network.code.as_str()),
            (count, Cents(price), network),
            "{sql}"
        );
        last = now;
    }
}

async fn a_refused_catalogue_leaves_nothing(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    world.bought("DE-BER").await;
    let everything = world.everything().await;
    world.catalogue.networks[0].city = "Mokum".to_owned();
    world.catalogue.networks[1].exits[0].shared_slots = 4;
    let applied = catalogue::apply(&world.shop, "cli:root", world.catalogue.clone(), false).await;
    assert!(matches!(refusal(applied), Refusal::Catalogue(_)));
    assert_eq!(world.everything().await, everything);
}
