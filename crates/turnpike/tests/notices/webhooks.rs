//! Webhooks, whose calls the Standard Webhooks library from PyPI verifies.

use serde_json::json;
use testbed::eventually;
use testbed::turnpike::{Builder, Turnpike};

use crate::page::{Browser, form, text};
use crate::receiver::Receiver;

const ANN: &str = "ann@example.com";

testbed::on_both_engines! {
    what_happens_is_told_by_calls_that_the_library_accepts,
}

fn with_webhooks(shop: Builder) -> Builder {
    shop.set("server.sign_up", "true")
        .set("notices.webhooks", "true")
        .network("NL-AMS")
        .pool("nl-1", &["127.0.0.11", "127.0.0.12"])
}

/// A shop whose webhooks may lead to this machine, as a test's must.
fn open_shop(shop: Builder) -> Turnpike {
    with_webhooks(shop)
        .set("notices.allow_destinations", "[\"127.0.0.0/8\"]")
        .start()
}

/// A webhook of Ann's at a receiver, and the path of its page.
fn webhook(browser: &Browser, receiver: &mut Receiver) -> String {
    let (path, secret) = browser.webhook(&format!("http://127.0.0.1:{}/hook?a=b", receiver.port));
    receiver.tell(&secret);
    path
}

fn what_happens_is_told_by_calls_that_the_library_accepts(shop: Builder) {
    let Some(mut receiver) = Receiver::start("webhook_receiver.py", &["ok"]) else {
        return;
    };
    let shop = open_shop(shop);
    let browser = Browser::of(&shop, ANN);
    let page = webhook(&browser, &mut receiver);
    browser.choose(&[
        "account.signed_in webhook",
        "balance.low webhook",
        "subscription.renewed webhook",
        "exit.rotated webhook",
    ]);
    browser.sign_in_elsewhere(ANN, "<b>Firefox</b>");
    let told = receiver.next();
    assert_eq!(told["verified"], true, "{told}");
    assert_eq!(
        (text(&told, "/path"), text(&told, "/body/type")),
        ("/hook?a=b", "account.signed_in")
    );
    assert_eq!(
        told["body"]["data"],
        json!({"source": "127.0.0.1", "agent": "<b>Firefox</b>"})
    );

    let ann = shop.key(ANN, &[]);
    let order = json!({"op": "purchase", "planId": shop.plan("NL-AMS", "private"), "repeatCount": 80});
    let bought = ann.order(&order).expect_status(200).json();
    let told = receiver.next();
    assert_eq!(
        (text(&told, "/body/type"), &told["verified"]),
        ("balance.low", &json!(true))
    );
    assert_eq!(
        told["body"]["data"],
        json!({"balanceCents": 4_000, "lowBalanceCents": 5_000})
    );

    let one = bought["subscription"]["subscriptionId"].as_str().unwrap();
    let renewal = json!({"op": "renew", "subscriptionId": one, "planId": shop.plan("NL-AMS", "private")});
    let _renewed = ann.order(&renewal).expect_status(200);
    let told = receiver.next();
    assert_eq!(
        (text(&told, "/body/type"), &told["verified"]),
        ("subscription.renewed", &json!(true))
    );
    assert_eq!(told["body"]["data"]["subscriptionId"], one);
    assert_eq!(told["body"]["data"]["byItself"], false);

    let rotated = shop
        .get(bought["subscription"]["rotate"]["rotatePath"].as_str().unwrap())
        .json();
    let told = receiver.next();
    assert_eq!(
        (text(&told, "/body/type"), &told["verified"]),
        ("exit.rotated", &json!(true))
    );
    assert_eq!(told["body"]["data"]["ip"], rotated["ip"]);

    // The log shows all of it, as text; and what is sent once more has the same id.
    let log = browser.get(&page);
    assert!(log.contains("exit.rotated") && log.contains("answered 200 OK"), "{log}");
    assert!(!log.contains("<b>Firefox"), "{log}");
    browser.send(form(&log, "/redeliver"), &[]);
    let again = receiver.next();
    assert_eq!(again["id"], told["id"]);
    assert_eq!((&again["body"], &again["verified"]), (&told["body"], &json!(true)));
    browser.send(&format!("{page}/test"), &[]);
    assert_eq!(text(&receiver.next(), "/body/type"), "webhook.test");
    browser.send(&format!("{page}/delete"), &[]);
    browser.sign_in_elsewhere(ANN, "x");
    assert_eq!(receiver.rest(), Vec::<serde_json::Value>::new());
    shop.audit();
}

#[test]
fn a_call_that_fails_is_made_again_with_the_same_id() {
    let Some(mut receiver) = Receiver::start("webhook_receiver.py", &["twice"]) else {
        return;
    };
    let shop = open_shop(Turnpike::with());
    let browser = Browser::of(&shop, ANN);
    let page = webhook(&browser, &mut receiver);
    browser.send(&format!("{page}/test"), &[]);
    let first = receiver.next();
    // After about five seconds, and then after about a minute; the customer need not wait for that.
    let second = receiver.next();
    assert_eq!((&first["id"], &first["verified"]), (&second["id"], &json!(true)));
    eventually("the failure in the log", || {
        browser.get(&page).contains("answered 500 Internal Server Error")
    });
    browser.send(form(&browser.get(&page), "/redeliver"), &[]);
    assert_eq!(receiver.next()["id"], first["id"]);
    eventually("the success in the log", || {
        browser.get(&page).contains("answered 200 OK")
    });
}

#[test]
fn nobody_is_followed_elsewhere_nor_read_without_end_and_who_is_gone_is_asked_no_more() {
    for (manner, said) in [
        ("redirect", "redirects are not followed"),
        ("endless", "answered 200 OK"),
        ("gone", "answered 410 Gone"),
    ] {
        let Some(mut receiver) = Receiver::start("webhook_receiver.py", &[manner]) else {
            return;
        };
        let shop = open_shop(Turnpike::with());
        let browser = Browser::of(&shop, ANN);
        let page = webhook(&browser, &mut receiver);
        browser.send(&format!("{page}/test"), &[]);
        assert_eq!(text(&receiver.next(), "/path"), "/hook?a=b");
        eventually(said, || browser.get(&page).contains(said));
        assert_eq!(receiver.rest(), Vec::<serde_json::Value>::new(), "{manner}");
        assert_eq!(browser.get(&page).contains("Given up"), manner == "gone", "{manner}");
    }
}

#[test]
fn no_webhook_leads_inside() {
    let shop = with_webhooks(Turnpike::with())
        .set("notices.allow_destinations", "[\"127.0.0.77/32\"]")
        .start();
    let browser = Browser::of(&shop, ANN);
    let here = shop.api().port();
    for (url, why) in [
        (format!("https://127.0.0.1:{here}/healthz"), "127.0.0.1 is"),
        (format!("http://127.0.0.1:{here}/healthz"), "127.0.0.1 is"),
        (format!("https://[::1]:{here}/"), "::1 is"),
        (
            "https://169.254.169.254/latest/meta-data/".to_owned(),
            "169.254.169.254 is",
        ),
    ] {
        let (page, _) = browser.webhook(&url);
        browser.send(&format!("{page}/test"), &[]);
        eventually(&url, || browser.get(&page).contains(why));
        browser.send(&format!("{page}/delete"), &[]);
    }
}
