//! What pages say to those who do not see them.

use serde_json::json;
use testbed::turnpike::Turnpike;

use crate::{EMAIL, OPERATOR, account, browser, done};

#[test]
fn what_is_found_is_told_and_tables_stay_tables_on_a_phone() {
    let Some(mut walk) = browser("heard.mjs") else { return };
    let shop = Turnpike::with()
        .set(
            "notices.smtp",
            // Nobody listens there, and no letter is asked for.
            "{ host = \"127.0.0.1\", port = 9, tls = \"off\", from = \"shop@example.com\" }",
        )
        .network_without_plans("DE-BER")
        .plan("private", "duration = \"30d\"\nprice_cents = 1500")
        .pool("exit", &["127.0.4.9"])
        .network_without_plans("NL-AMS")
        .plan("private", "duration = \"30d\"\nprice_cents = 1200")
        .pools(3)
        .start();
    let password = account(&shop, EMAIL, &[]);
    let operators = account(&shop, OPERATOR, &["--admin"]);
    shop.run(&["account", "credit", EMAIL, "100000"]);
    let key = shop.key(EMAIL, &[]);
    for network in ["NL-AMS", "DE-BER"] {
        let order = json!({"op": "purchase", "planId": key.plan(network, "private")});
        let _ = key.order(&order).expect_status(200);
    }
    walk.env("SHOP", shop.url("").trim_end_matches('/'))
        .env("EMAIL", EMAIL)
        .env("PASSWORD", password)
        .env("OPERATOR", OPERATOR)
        .env("OPERATOR_PASSWORD", operators);
    done(&mut walk);
    shop.audit();
}
