//! One Idempotency-Key sent many times at once.

use serde_json::json;
use testbed::http::Answer;
use testbed::race::at_once;
use testbed::turnpike::Builder;

use crate::{count, settled};

testbed::on_both_engines!(
    twenty_sends_of_one_key_charge_once_and_are_answered_alike,
    one_key_for_two_different_orders_buys_one_of_them,
);

const SENDS: usize = 20;

fn twenty_sends_of_one_key_charge_once_and_are_answered_alike(shop: Builder) {
    let shop = shop.network("NL-AMS").shared("nl-1", "127.0.0.11", 15).start();
    let plan = shop.plan("NL-AMS", "shared");
    let purchase = json!({"op": "purchase", "planId": plan, "quantity": 2});
    let answers = at_once(SENDS, |_| settled(&shop, &purchase, "buy-1"));
    assert_alike(&answers);
    let sold = shop.subscriptions();
    assert_eq!(sold.len(), 2);
    assert_eq!(shop.balance(&shop.email), 1_000_000 - 600);

    let renewal = json!({"op": "renew", "planId": plan, "subscriptionId": sold[0].id});
    let answers = at_once(SENDS, |_| settled(&shop, &renewal, "renew-1"));
    assert_alike(&answers);
    assert_eq!(shop.balance(&shop.email), 1_000_000 - 900);

    let trial = json!({"op": "trial", "planId": plan});
    let answers = at_once(SENDS, |_| settled(&shop, &trial, "try-1"));
    assert_alike(&answers);
    assert_eq!(shop.subscriptions().len(), 3);
}

#[track_caller]
fn assert_alike(answers: &[Answer]) {
    assert_eq!(count(answers, 200, ""), SENDS, "{answers:?}");
    assert!(
        answers.iter().all(|answer| answer.body == answers[0].body),
        "{answers:?}"
    );
    let replayed = answers
        .iter()
        .filter(|answer| answer.header("idempotent-replayed") == Some("true"));
    assert_eq!(replayed.count(), SENDS - 1, "all but the first are told so");
}

fn one_key_for_two_different_orders_buys_one_of_them(shop: Builder) {
    let shop = shop.network("NL-AMS").shared("nl-1", "127.0.0.11", 15).start();
    let plan = shop.plan("NL-AMS", "shared");
    let orders = [1, 2].map(|quantity| json!({"op": "purchase", "planId": plan, "quantity": quantity}));
    let answers = at_once(SENDS, |number| settled(&shop, &orders[number % 2], "buy-1"));
    assert_eq!(count(&answers, 200, ""), SENDS / 2, "{answers:?}");
    assert_eq!(count(&answers, 409, "idempotency_mismatch"), SENDS / 2, "{answers:?}");
    let bought = shop.subscriptions().len();
    assert!(bought == 1 || bought == 2);
    assert_eq!(
        shop.balance(&shop.email),
        1_000_000 - 300 * i64::try_from(bought).unwrap()
    );
}
