//! The catalogue, changed by hand and told.

use turnpike_shop::catalogue::{
    Catalogue, Discount, apply, apply_seen, digest, export, present, put_coupon, put_plan, retire_coupon, retire_plan,
};
use turnpike_shop::limits::Limits;
use turnpike_shop::types::{Cents, Span, UnixMillis};
use turnpike_shop::{Refusal, audit_log, plans};

use crate::site::Site;
use crate::world::{World, coupon, refusal};

on_both_engines! {
    what_is_told_of_the_catalogue_changes_nothing_when_it_is_applied,
    a_plan_is_made_changed_and_retired_and_nothing_else_changes,
    a_coupon_is_made_changed_and_ended,
    a_difference_that_is_not_the_one_looked_at_is_not_applied,
    edits_at_once_do_not_undo_each_other,
}

const ROOT: &str = "root@example.com";

async fn now(world: &World<'_>) -> Catalogue {
    export(&world.shop, ROOT).await.unwrap()
}

async fn what_is_told_of_the_catalogue_changes_nothing_when_it_is_applied(site: &Site) {
    let mut plenty = coupon("MYCODE", Discount::Percent(10));
    plenty.max_redemptions = Some(9);
    plenty.per_account = Some(2);
    plenty.valid_until = Some(UnixMillis(1_800_000_000_000));
    let world = World::on(site)
        .network("NL-AMS")
        .exits(2)
        .shared(3)
        .trial(Span::hours(1))
        .limits(Limits {
            max_connections: Some(7),
            traffic_bytes: Some(5_000_000_000),
            ..Limits::default()
        })
        .network("DE-BER")
        .gateway("gw2", 13_001..=13_010)
        .fixed_exits(1)
        .coupon(plenty)
        .coupon(coupon("FIXED", Discount::Fixed(Cents(250))))
        .open()
        .await;
    let told = now(&world).await;
    assert_eq!((told.networks.len(), told.plans.len(), told.coupons.len()), (2, 3, 2));
    assert_eq!(apply(&world.shop, ROOT, told, true).await.unwrap(), []);
    let exported = export(&world.shop, ROOT).await.unwrap();
    assert_eq!(apply(&world.shop, ROOT, exported, true).await.unwrap(), []);
    let log = audit_log::newest(&world.shop, 1).await.unwrap().remove(0);
    assert_eq!((log.action.as_str(), log.actor.as_str()), ("catalogue.export", ROOT));
}

async fn a_plan_is_made_changed_and_retired_and_nothing_else_changes(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    world.bought("NL-AMS").await;
    let mut plan = world.catalogue.plans[0].clone();
    let first = plan.code.clone();
    assert_eq!(present(&world.shop).await.unwrap().running[&first], 1);
    plan.code = "nl-7d".to_owned();
    plan.duration = Span::days(7);
    let [made] = put_plan(&world.shop, ROOT, plan.clone())
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!((made.change, made.name.as_str()), ("create", "nl-7d"));
    plan.price = Cents(399);
    let [changed] = put_plan(&world.shop, ROOT, plan.clone())
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(
        (changed.change, changed.detail),
        ("update", vec!["price_cents: 1200 -> 399".to_owned()])
    );
    assert_eq!(put_plan(&world.shop, ROOT, plan.clone()).await.unwrap(), []);
    let codes = async |world: &World<'_>| {
        let told = now(world).await.plans;
        told.into_iter().map(|plan| plan.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&world).await, [first.as_str(), "nl-7d"]);
    let [gone] = retire_plan(&world.shop, ROOT, &first)
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!((gone.change, gone.name), ("deactivate", first.clone()));
    assert_eq!(retire_plan(&world.shop, ROOT, &first).await.unwrap(), []);
    assert_eq!(codes(&world).await, ["nl-7d"]);
    assert_eq!(plans(&world.shop).await.unwrap().plans.len(), 1);
    plan.network = "XX".to_owned();
    let nowhere = put_plan(&world.shop, ROOT, plan).await;
    assert!(matches!(refusal(nowhere), Refusal::Catalogue(why) if why.contains("XX")));
    let again = put_plan(&world.shop, ROOT, world.catalogue.plans[0].clone())
        .await
        .unwrap();
    assert_eq!(again[0].change, "reactivate");
}

async fn a_coupon_is_made_changed_and_ended(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let mut ten = coupon("Ten", Discount::Percent(10));
    let [made] = put_coupon(&world.shop, ROOT, ten.clone())
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!((made.change, made.name.as_str()), ("create", "TEN"));
    ten.per_account = Some(1);
    let [changed] = put_coupon(&world.shop, ROOT, ten.clone())
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(changed.change, "update");
    let [ended] = retire_coupon(&world.shop, ROOT, "tEN")
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(ended.change, "deactivate");
    assert_eq!(now(&world).await.coupons.len(), 0);
    assert_eq!(now(&world).await.plans.len(), 1);
}

async fn a_difference_that_is_not_the_one_looked_at_is_not_applied(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let mut wanted = now(&world).await;
    wanted.plans[0].price = Cents(100);
    let seen = digest(&apply(&world.shop, ROOT, wanted.clone(), true).await.unwrap());
    // Somebody else is quicker.
    let mut other = wanted.plans[0].clone();
    other.popular = true;
    put_plan(&world.shop, ROOT, other).await.unwrap();
    let refused = apply_seen(&world.shop, ROOT, wanted.clone(), &seen).await;
    assert_eq!(refusal(refused), Refusal::CatalogueMoved);
    assert!(now(&world).await.plans[0].popular);
    let seen = digest(&apply(&world.shop, ROOT, wanted.clone(), true).await.unwrap());
    apply_seen(&world.shop, ROOT, wanted.clone(), &seen).await.unwrap();
    assert!(!now(&world).await.plans[0].popular);
    // A form that is sent twice.
    let again = apply_seen(&world.shop, ROOT, wanted, &seen).await;
    assert_eq!(refusal(again), Refusal::CatalogueMoved);
}

async fn edits_at_once_do_not_undo_each_other(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let all = (0..8).map(|number| {
        let mut plan = world.catalogue.plans[0].clone();
        plan.code = format!("plan-{number}");
        let shop = world.shop.clone();
        async move { put_plan(&shop, ROOT, plan).await.unwrap() }
    });
    futures_util::future::join_all(all).await;
    assert_eq!(now(&world).await.plans.len(), 9);
}
