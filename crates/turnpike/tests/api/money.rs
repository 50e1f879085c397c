//! What is charged, and that races neither charge nor sell twice.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};
use testbed::http::Answer;
use testbed::on_both_engines;
use testbed::turnpike::{Builder, Subscription, Turnpike};

use crate::errors::assert_error;

on_both_engines!(
    a_purchase_is_charged_to_the_cent_and_a_refused_one_not_at_all,
    an_idempotency_key_charges_once_however_often_it_is_sent_at_once,
    parallel_buyers_get_every_exit_once
);

fn a_purchase_is_charged_to_the_cent_and_a_refused_one_not_at_all(with: Builder) {
    let shop = with
        .balance(7_500)
        .network("NL-AMS")
        .pools(5)
        .coupon("THIRD", "percent_off = 33\nmax_redemptions = 1")
        .start();
    let plan = shop.plan("NL-AMS", "private");
    let order = |quantity: u32, repeat: u32| json!({"op": "purchase", "planId": plan, "quantity": quantity, "repeatCount": repeat});
    // More than the balance, more than there is: nothing of it is kept.
    assert_eq!(shop.order(&order(5, 2)).status, 402);
    assert_eq!(shop.order(&order(6, 1)).status, 409);
    assert_eq!((balance(&shop), shop.subscriptions().len()), (7_500, 0));

    let _ = shop.order(&order(2, 2)).expect_status(200);
    assert_eq!(balance(&shop), 7_500 - 4_800);
    let with_coupon = json!({"op": "purchase", "planId": plan, "couponCode": "third"});
    let _ = shop.order(&with_coupon).expect_status(200);
    // A third of 12.00 as the coupon has it is 3.96.
    assert_eq!(balance(&shop), 7_500 - 4_800 - 804);
    assert_eq!(shop.order(&with_coupon).json()["code"], "invalid_coupon");
    assert_eq!(shop.subscriptions().len(), 3);
}

fn an_idempotency_key_charges_once_however_often_it_is_sent_at_once(with: Builder) {
    let shop = with.network("NL-AMS").pools(18).start();
    let order = json!({"op": "purchase", "planId": shop.plan("NL-AMS", "private"), "quantity": 2});
    let send = || shop.order_with(&order, &[("Idempotency-Key", "the same")]);
    let answers: Vec<Answer> = thread::scope(|scope| {
        let sent: Vec<_> = (0..20).map(|_| scope.spawn(send)).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &answers[0].body));
    }
    assert_eq!(send().body, answers[0].body);
    assert_eq!(shop.subscriptions().len(), 2);
    assert_eq!(balance(&shop), 1_000_000 - 2 * 1_200);

    let other = json!({"op": "purchase", "planId": shop.plan("NL-AMS", "private"), "quantity": 3});
    let answer = shop.order_with(&other, &[("Idempotency-Key", "the same")]);
    assert_error(
        &answer,
        409,
        "idempotency_mismatch",
        Some("Idempotency-Key"),
        "another body",
    );
}

fn parallel_buyers_get_every_exit_once(with: Builder) {
    let shop = with.network("NL-AMS").pools(10).start();
    let buyers: Vec<_> = (0..4)
        .map(|n| shop.customer(&format!("buyer-{n}@example.com"), 100_000))
        .collect();
    let order = json!({"op": "purchase", "planId": shop.plan("NL-AMS", "private")});
    let answers: Vec<Answer> = thread::scope(|scope| {
        let order = &order;
        let tries = buyers
            .iter()
            .flat_map(|buyer| (0..10).map(move |_| scope.spawn(move || buyer.order(order))));
        tries
            .collect::<Vec<_>>()
            .into_iter()
            .map(|sent| sent.join().unwrap())
            .collect()
    });
    let (sold, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((sold.len(), refused.len()), (10, 30));
    for answer in refused {
        assert_error(answer, 409, "sold_out", None, "the eleventh");
    }
    let ports: BTreeSet<_> = sold
        .iter()
        .map(|answer| Subscription::from(&answer.json()["subscription"]).port)
        .collect();
    assert_eq!(ports.len(), 10);
}

/// In cents, as the operator sees it.
fn balance(shop: &Turnpike) -> i64 {
    let shown: Value = serde_json::from_str(&shop.run(&["account", "show", &shop.email, "--json"])).unwrap();
    shown["balance"]
        .as_i64()
        .unwrap_or_else(|| panic!("no balance in {shown}"))
}
