//! What there is only so much of: exits, money, coupons, trials.

use std::collections::HashSet;
use std::net::IpAddr;

use serde_json::json;
use testbed::origin::Origin;
use testbed::race::at_once;
use testbed::turnpike::{Builder, Customer};

use crate::{count, exits, settled};

testbed::on_both_engines!(
    forty_purchases_of_ten_free_exits_sell_exactly_ten,
    spending_at_once_never_overdraws,
    a_coupon_is_redeemed_as_often_as_it_may_be,
    one_trial_is_given,
    switches_to_the_last_free_exits_take_each_once,
);

fn forty_purchases_of_ten_free_exits_sell_exactly_ten(shop: Builder) {
    let shop = exits(shop, "NL-AMS", 3, 10).start();
    let order = json!({"op": "purchase", "planId": shop.plan("NL-AMS", "private")});
    let answers = at_once(40, |number| settled(&shop, &order, &number.to_string()));
    assert_eq!(count(&answers, 200, ""), 10, "{answers:?}");
    assert_eq!(count(&answers, 409, "sold_out"), 30, "{answers:?}");

    let sold = shop.subscriptions();
    assert_eq!(sold.len(), 10);
    let origin = Origin::http();
    let addresses: HashSet<IpAddr> = sold.iter().map(|sold| sold.address_at(&origin)).collect();
    assert_eq!(addresses.len(), 10, "each has an exit of its own");
    assert_eq!(shop.balance(&shop.email), 1_000_000 - 10 * 1_200);
}

fn spending_at_once_never_overdraws(shop: Builder) {
    let shop = shop.network("NL-AMS").shared("nl-1", "127.0.0.11", 15).start();
    // Enough for the first subscription and ten more orders.
    let buyer = shop.customer("ann@example.com", 11 * 300 + 299);
    let first = buyer.buy_shared("NL-AMS");
    let plan = buyer.plan("NL-AMS", "shared");
    let purchase = json!({"op": "purchase", "planId": plan});
    let renewal = json!({"op": "renew", "planId": plan, "subscriptionId": first.id});
    let answers = at_once(40, |number| {
        let order = if number % 2 == 0 { &purchase } else { &renewal };
        settled(&buyer, order, &number.to_string())
    });
    assert_eq!(count(&answers, 200, ""), 10, "{answers:?}");
    assert_eq!(count(&answers, 402, "insufficient_balance"), 30, "{answers:?}");
    assert_eq!(shop.balance(&buyer.email), 299);

    let bought = count(&answers.iter().step_by(2).cloned().collect::<Vec<_>>(), 200, "");
    assert_eq!(buyer.subscriptions().len(), 1 + bought);
    let renewed = i64::try_from(10 - bought).unwrap() * 30 * 86_400_000;
    assert_eq!(buyer.subscription(&first.id).active_until, first.active_until + renewed);
}

fn a_coupon_is_redeemed_as_often_as_it_may_be(shop: Builder) {
    let shop = shop
        .ports(45)
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", 40)
        .coupon("HALF", "percent_off = 50\nmax_redemptions = 5\nper_account = 2")
        .start();
    let buyers: Vec<Customer> = (0..4)
        .map(|number| shop.customer(&format!("buyer-{number}@example.com"), 10_000))
        .collect();
    let order = json!({"op": "purchase", "planId": shop.plan("NL-AMS", "shared"), "couponCode": "HALF"});
    let answers = at_once(40, |number| settled(&buyers[number % 4], &order, &number.to_string()));
    assert_eq!(count(&answers, 200, ""), 5, "{answers:?}");
    assert_eq!(count(&answers, 400, "invalid_coupon"), 35, "{answers:?}");

    let redeemed = buyers.iter().map(|buyer| {
        let spent = 10_000 - shop.balance(&buyer.email);
        assert_eq!(spent % 150, 0, "each order cost half of 3.00");
        spent / 150
    });
    let redeemed: Vec<i64> = redeemed.collect();
    assert_eq!(redeemed.iter().sum::<i64>(), 5);
    assert!(redeemed.iter().all(|redeemed| *redeemed <= 2), "{redeemed:?}");
}

fn one_trial_is_given(shop: Builder) {
    let shop = shop.network("NL-AMS").shared("nl-1", "127.0.0.11", 15).start();
    let order = json!({"op": "trial", "planId": shop.plan("NL-AMS", "shared")});
    let answers = at_once(20, |number| settled(&shop, &order, &number.to_string()));
    assert_eq!(count(&answers, 200, ""), 1, "{answers:?}");
    assert_eq!(count(&answers, 403, "trial_used"), 19, "{answers:?}");
    assert_eq!(shop.subscriptions().len(), 1);
}

fn switches_to_the_last_free_exits_take_each_once(shop: Builder) {
    let shop = exits(exits(shop, "NL-AMS", 4, 10), "DE-BER", 5, 4).start();
    let bought: Vec<_> = (0..10).map(|_| shop.buy("NL-AMS")).collect();
    let targets = shop
        .ask(&format!("available-networks&subscriptionId={}", bought[0].id))
        .expect_status(200)
        .json();
    let target = &targets["networks"][0]["id"];
    let answers = at_once(bought.len(), |number| {
        let order = json!({"op": "switch-network", "subscriptionId": bought[number].id, "targetNetwork": target});
        settled(&shop, &order, &number.to_string())
    });
    assert_eq!(count(&answers, 200, ""), 4, "{answers:?}");
    assert_eq!(count(&answers, 409, "sold_out"), 6, "{answers:?}");

    let origin = Origin::http();
    let addresses: HashSet<IpAddr> = shop
        .subscriptions()
        .iter()
        .map(|sold| sold.address_at(&origin))
        .collect();
    assert_eq!(addresses.len(), 10, "each has an exit of its own, in either network");
}
