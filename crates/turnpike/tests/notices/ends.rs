//! Subscriptions that end, or would renew themselves and cannot, told to a mail server and to a webhook.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::clock::Clock;
use testbed::turnpike::{Builder, Turnpike};

use crate::page::{Browser, text};
use crate::receiver::Receiver;

const ANN: &str = "ann@example.com";
/// What Ann chooses to be told.
const KINDS: [&str; 3] = [
    "subscription.ending",
    "subscription.ended",
    "subscription.renewal_failed",
];

testbed::on_both_engines! {
    ends_are_told_by_calls_that_the_library_accepts,
    ends_are_told_by_letters,
}

/// A shop with a plan of an hour, and one as long that its customer can pay once.
fn shop(builder: Builder, clock: &Clock) -> Turnpike {
    builder
        .clock(clock)
        .set("server.sign_up", "true")
        .network_without_plans("NL-AMS")
        .pool("nl-1", &["127.0.0.11"])
        .pool("nl-2", &["127.0.0.12"])
        .plan("private", "duration = \"1h\"\nprice_cents = 1")
        .plan("private", "duration = \"1h\"\nprice_cents = 60000")
        .start()
}

/// Chooses to be told, buys one that is let end and one that is to renew itself without the money for it: both.
fn bought(shop: &Turnpike, browser: &Browser, way: &str) -> (String, String) {
    let wanted: Vec<String> = KINDS.iter().map(|kind| format!("{kind} {way}")).collect();
    browser.choose(&wanted.iter().map(String::as_str).collect::<Vec<_>>());
    let ann = shop.key(ANN, &[]);
    let plans = ann.ask("plans").json();
    let buy = |price: i64| {
        let plans = plans["plans"].as_array().unwrap();
        let plan = plans.iter().find(|plan| plan["priceAmountCents"] == price).unwrap();
        let order = json!({"op": "purchase", "planId": plan["id"]});
        let bought = ann.order(&order).expect_status(200).json();
        let id = bought["subscription"]["subscriptionId"].as_str().unwrap().to_owned();
        (id, plan["id"].as_str().unwrap().to_owned())
    };
    let (dear, plan) = buy(60_000);
    browser.send(&format!("/subscriptions/{dear}/auto-renew"), &[("plan", &plan)]);
    let (cheap, _) = buy(1);
    (cheap, dear)
}

/// What a receiver gets: while the hour goes to its end, and when it is over.
fn told(receiver: &Receiver, clock: &Clock) -> Vec<Value> {
    let mut all = Vec::new();
    for minutes in [50, 61] {
        clock.set(Duration::from_secs(60 * minutes));
        all.extend([receiver.next(), receiver.next()]);
    }
    all
}

fn ends_are_told_by_calls_that_the_library_accepts(builder: Builder) {
    let Some(clock) = Clock::new() else { return };
    let Some(mut receiver) = Receiver::by_clock("webhook_receiver.py", &["ok"], &clock) else {
        return;
    };
    let shop = shop(
        builder
            .set("notices.webhooks", "true")
            .set("notices.allow_destinations", "[\"127.0.0.0/8\"]"),
        &clock,
    );
    let browser = Browser::of(&shop, ANN);
    let (_, secret) = browser.webhook(&format!("http://127.0.0.1:{}/", receiver.port));
    receiver.tell(&secret);
    let (cheap, dear) = bought(&shop, &browser, "webhook");
    let mut calls: BTreeMap<(String, String), Value> = BTreeMap::new();
    for call in told(&receiver, &clock) {
        assert_eq!(call["verified"], true, "{call}");
        let which = (
            text(&call, "/body/type").to_owned(),
            text(&call, "/body/data/subscriptionId").to_owned(),
        );
        calls.insert(which, call["body"]["data"].clone());
    }
    let of = |kind: &str, which: &str| {
        calls
            .get(&(kind.to_owned(), which.to_owned()))
            .unwrap_or_else(|| panic!("no {kind} of {which} in {calls:?}"))
    };
    for (kind, which) in [(KINDS[0], &cheap), (KINDS[1], &cheap), (KINDS[1], &dear)] {
        assert_eq!(of(kind, which)["network"], "NL-AMS");
    }
    let failed = of(KINDS[2], &dear);
    assert_eq!(
        failed["reason"],
        "the balance of 399.99 does not cover the price of 600.00; add 200.01 or more"
    );
    assert_eq!(
        failed["refusal"],
        json!({"code": "insufficient_balance", "data": {"balance": 39_999, "price": 60_000}})
    );
}

fn ends_are_told_by_letters(builder: Builder) {
    let Some(clock) = Clock::new() else { return };
    let Some(receiver) = Receiver::start("mail_receiver.py", &[]) else {
        return;
    };
    let smtp = format!(
        "{{ host = \"127.0.0.1\", port = {}, tls = \"off\", from = \"shop@example.com\" }}",
        receiver.port
    );
    let shop = shop(builder.set("notices.smtp", &smtp), &clock);
    let browser = Browser::of(&shop, ANN);
    let (cheap, dear) = bought(&shop, &browser, "email");
    let letters = told(&receiver, &clock);
    for (subject, which, said) in [
        ("ends soon", &cheap, "Renew it here, or let it renew itself:"),
        ("has ended", &cheap, "renew it here, and it works again."),
        ("has ended", &dear, "renew it here, and it works again."),
        (
            "could not renew itself",
            &dear,
            "could not renew itself: the balance of 399.99 does not cover the price of 600.00",
        ),
    ] {
        let fits = |letter: &&Value| {
            text(letter, "/subject").ends_with(subject)
                && text(letter, "/text").contains(&format!("/subscriptions/{which}"))
                && text(letter, "/text").contains(said)
        };
        assert_eq!(letters.iter().filter(fits).count(), 1, "{subject}: {letters:?}");
    }
}
