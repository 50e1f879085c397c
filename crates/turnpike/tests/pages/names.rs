//! Names that people choose, in every place where one stands: hostile ones, very long ones, and from right to left.

use testbed::turnpike::Turnpike;

use crate::{EMAIL, OPERATOR, account, browser, done};

/// As long as an address can be, and another from right to left.
fn emails() -> [String; 2] {
    let label = "w".repeat(60);
    [
        format!("{label}@{label}.{label}.{label}.example"),
        "לקוח@דוגמה.example".to_owned(),
    ]
}

#[test]
fn names_are_text_wherever_they_stand_and_break_no_page() {
    let Some(mut walk) = browser("names.mjs") else { return };
    let shop = Turnpike::with()
        .set("notices.webhooks", "true")
        .ports(120)
        .network("NL-AMS")
        .shared("nl-shared", "127.0.9.250", 60)
        .pools(3)
        .start();
    let (customers, operators) = (account(&shop, EMAIL, &[]), account(&shop, OPERATOR, &["--admin"]));
    let [long, hebrew] = emails();
    let (longs, hebrews) = (account(&shop, &long, &[]), account(&shop, &hebrew, &[]));
    for email in [EMAIL, &long, &hebrew] {
        shop.run(&["account", "credit", email, "1000000"]);
    }
    walk.env("SHOP", shop.url("").trim_end_matches('/'))
        .env("EMAIL", EMAIL)
        .env("PASSWORD", customers)
        .env("OTHER", long)
        .env("OTHER_PASSWORD", longs)
        .env("THIRD", hebrew)
        .env("THIRD_PASSWORD", hebrews)
        .env("OPERATOR", OPERATOR)
        .env("OPERATOR_PASSWORD", operators);
    done(&mut walk);
}
