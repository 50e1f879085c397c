//! Coupons: what they take off, and when they do not apply.

use turnpike_shop::catalogue::{Coupon, Discount};
use turnpike_shop::types::{AccountId, Cents, Span, UnixMillis};
use turnpike_shop::{CouponProblem, PurchaseOrder, Refusal, RenewOrder, catalogue, purchase};

use crate::site::Site;
use crate::world::{NOW, PRICE, World, coupon, quantity, refusal, times};

on_both_engines! {
    a_coupon_takes_its_share_of_the_whole_order,
    a_broken_cent_goes_to_the_customer,
    a_fixed_discount_never_makes_the_price_negative,
    a_coupon_applies_to_renewals_too,
    codes_are_compared_without_case_and_blanks,
    a_coupon_is_used_up_by_its_last_redemption,
    an_account_has_its_share_and_others_theirs,
    a_coupon_ends_when_its_time_is_over,
    an_unknown_and_a_withdrawn_code_are_told_alike,
    a_refused_order_uses_nothing_up,
    a_limit_below_what_was_redeemed_is_refused,
}

async fn order(world: &World<'_>, code: &str) -> PurchaseOrder {
    PurchaseOrder {
        coupon: Some(code.to_owned()),
        ..world.order("NL-AMS").await
    }
}

async fn problem(world: &World<'_>, code: &str) -> CouponProblem {
    let order = order(world, code).await;
    match world.refuses(world.buy(order)).await {
        Refusal::InvalidCoupon(problem) => problem,
        other => panic!("{other}"),
    }
}

async fn a_coupon_takes_its_share_of_the_whole_order(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(2)
        .coupon(coupon("TENTH", Discount::Percent(10)))
        .open()
        .await;
    let order = PurchaseOrder {
        repeat: times(3),
        quantity: quantity(2),
        ..order(&world, "TENTH").await
    };
    assert_eq!(world.buy(order).await.unwrap().price, Cents(6 * PRICE * 9 / 10));
    assert_eq!(world.balance().await, 100_000 - 6 * PRICE * 9 / 10);
    // However many it was for, it was redeemed once.
    assert_eq!(world.raw.int("SELECT redeemed FROM coupon").await, 1);
}

async fn a_broken_cent_goes_to_the_customer(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .priced(999)
        .coupon(coupon("TENTH", Discount::Percent(10)))
        .open()
        .await;
    let order = order(&world, "TENTH").await;
    assert_eq!(world.buy(order).await.unwrap().price, Cents(899));
}

async fn a_fixed_discount_never_makes_the_price_negative(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .balance(0)
        .coupon(coupon("LOT", Discount::Fixed(Cents(PRICE + 500))))
        .open()
        .await;
    let order = order(&world, "LOT").await;
    assert_eq!(world.buy(order).await.unwrap().price, Cents(0));
    assert_eq!(world.balance().await, 0);
}

async fn a_coupon_applies_to_renewals_too(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .coupon(coupon("HUNDRED", Discount::Fixed(Cents(100))))
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let order = RenewOrder {
        coupon: Some("hundred".to_owned()),
        repeat: times(2),
        ..world.renewal(&one).await
    };
    assert_eq!(world.renew(order).await.unwrap().price, Cents(2 * PRICE - 100));
}

async fn codes_are_compared_without_case_and_blanks(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(3)
        .coupon(coupon("MyCode", Discount::Percent(50)))
        .open()
        .await;
    for code in ["MYCODE", " mycode ", "MyCode"] {
        let order = order(&world, code).await;
        assert_eq!(world.buy(order).await.unwrap().price, Cents(PRICE / 2));
    }
    assert_eq!(world.raw.int("SELECT redeemed FROM coupon").await, 3);
}

async fn a_coupon_is_used_up_by_its_last_redemption(site: &Site) {
    let limited = Coupon {
        max_redemptions: Some(2),
        ..coupon("TWICE", Discount::Percent(10))
    };
    let world = World::on(site).network("NL-AMS").exits(3).coupon(limited).open().await;
    for _ in 0..2 {
        let order = order(&world, "TWICE").await;
        world.buy(order).await.unwrap();
    }
    assert_eq!(problem(&world, "TWICE").await, CouponProblem::UsedUp);
}

async fn an_account_has_its_share_and_others_theirs(site: &Site) {
    let limited = Coupon {
        max_redemptions: Some(3),
        per_account: Some(2),
        ..coupon("SHARE", Discount::Percent(10))
    };
    let world = World::on(site).network("NL-AMS").exits(5).coupon(limited).open().await;
    for _ in 0..2 {
        let order = order(&world, "SHARE").await;
        world.buy(order).await.unwrap();
    }
    assert_eq!(problem(&world, "SHARE").await, CouponProblem::UsedByAccount);
    let bob = world.person("bob@example.com", 10 * PRICE).await;
    let by_bob = async |buyer: &AccountId| purchase(&world.shop, buyer, order(&world, "SHARE").await).await;
    by_bob(&bob).await.unwrap();
    let refused = refusal(by_bob(&bob).await);
    assert_eq!(refused, Refusal::InvalidCoupon(CouponProblem::UsedUp));
}

async fn a_coupon_ends_when_its_time_is_over(site: &Site) {
    let until = NOW.plus(Span::days(1));
    let passing = Coupon {
        valid_until: Some(until),
        ..coupon("TODAY", Discount::Percent(10))
    };
    let world = World::on(site).network("NL-AMS").exits(2).coupon(passing).open().await;
    world.advance(Span(Span::days(1).0 - 1));
    let last = order(&world, "TODAY").await;
    world.buy(last).await.unwrap();
    world.advance(Span(1));
    assert_eq!(world.now(), UnixMillis(until.0));
    assert_eq!(problem(&world, "TODAY").await, CouponProblem::Expired);
}

async fn an_unknown_and_a_withdrawn_code_are_told_alike(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(2)
        .coupon(coupon("GONE", Discount::Percent(10)))
        .open()
        .await;
    assert_eq!(problem(&world, "NEVER").await, CouponProblem::Unknown);
    assert_eq!(problem(&world, "").await, CouponProblem::Unknown);
    let gone = world.catalogue.coupons.remove(0);
    world.apply().await;
    assert_eq!(problem(&world, "GONE").await, CouponProblem::Unknown);
    // What comes back counts on from where it was.
    world.catalogue.coupons.push(Coupon {
        max_redemptions: Some(1),
        ..gone
    });
    world.apply().await;
    let order = order(&world, "GONE").await;
    world.buy(order).await.unwrap();
    assert_eq!(problem(&world, "GONE").await, CouponProblem::UsedUp);
}

async fn a_refused_order_uses_nothing_up(site: &Site) {
    let limited = Coupon {
        max_redemptions: Some(1),
        per_account: Some(1),
        ..coupon("ONCE", Discount::Percent(10))
    };
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .balance(PRICE)
        .coupon(limited)
        .open()
        .await;
    let too_many = PurchaseOrder {
        quantity: quantity(2),
        ..order(&world, "ONCE").await
    };
    let refused = world.refuses(world.buy(too_many)).await;
    assert!(matches!(refused, Refusal::InsufficientBalance { .. }), "{refused}");
    let order = order(&world, "ONCE").await;
    world.buy(order).await.unwrap();
}

async fn a_limit_below_what_was_redeemed_is_refused(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(3)
        .coupon(coupon("OFTEN", Discount::Percent(10)))
        .open()
        .await;
    for _ in 0..2 {
        let order = order(&world, "OFTEN").await;
        world.buy(order).await.unwrap();
    }
    for (max_redemptions, per_account, said) in [(Some(1), None, "max_redemptions"), (Some(2), Some(1), "per_account")]
    {
        world.catalogue.coupons[0] = Coupon {
            max_redemptions,
            per_account,
            ..coupon("OFTEN", Discount::Percent(10))
        };
        let applied = catalogue::apply(&world.shop, "test", world.catalogue.clone(), false).await;
        let sentence = refusal(applied).to_string();
        assert!(sentence.contains(said) && sentence.contains("2 times"), "{sentence}");
    }
    world.catalogue.coupons[0] = Coupon {
        max_redemptions: Some(2),
        per_account: Some(2),
        ..coupon("OFTEN", Discount::Percent(10))
    };
    world.apply().await;
    assert_eq!(problem(&world, "OFTEN").await, CouponProblem::UsedUp);
}
