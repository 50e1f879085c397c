//! What few shops and few customers have, so that no other walk meets it: an exit with two holders, traffic that is used up, a key that
//! is over, nothing to switch or renew to, a machine that lives and does not keep up.

use serde_json::{Value, json};
use testbed::client::{curl, curled};
use testbed::eventually;
use testbed::origin::Origin;
use testbed::turnpike::{Customer, Subscription, Turnpike};

use crate::other::Other;
use crate::{EMAIL, OPERATOR, OTHER, account, browser, database, done};

/// A machine that has much to do.
const BUSY: &str = "groningen";
const HOUR: i64 = 3_600_000;
/// Less than its plan allows.
const SOME: i64 = 30_000_000;

#[test]
fn what_is_seldom_seen_looks_as_if_it_were_meant_too() {
    let Some(mut walk) = browser("seldom.mjs") else { return };
    let shop = world();
    let (customers, operators) = (account(&shop, EMAIL, &[]), account(&shop, OPERATOR, &["--admin"]));
    shop.run(&["account", "credit", EMAIL, "5000"]);
    let ann = shop.key(EMAIL, &["--allow-trial"]);
    let held = ann.buy_shared("NL-AMS");
    let _ = shop.customer(OTHER, 5_000).buy_shared("NL-AMS");
    let used_up = use_up(&ann);
    move_some(&shop, &held);
    let booked = booked(&shop, &held);
    let unrenewable = retire(&shop, &ann);
    expire(&shop);
    fall_behind(&shop);
    let ids = json!({ "shared": held.id, "usedUp": used_up.id, "unrenewable": unrenewable.id });
    walk.env("SHOP", shop.url("").trim_end_matches('/'))
        .env("EMAIL", EMAIL)
        .env("PASSWORD", customers)
        .env("OTHER", OTHER)
        .env("OPERATOR", OPERATOR)
        .env("OPERATOR_PASSWORD", operators)
        .env("IDS", ids.to_string())
        .env("BOOKED", booked.to_string());
    done(&mut walk);
}

/// Nobody can sign up, nothing is told, and no network has room for what another one's customers have.
fn world() -> Turnpike {
    Turnpike::with()
        .network_without_plans("NL-AMS")
        .plan(
            "shared",
            "duration = \"30d\"\nprice_cents = 300\nmax_connections = 20\nmax_source_addresses = 3\nmbit_per_second = 2000\ntraffic_gb = 5",
        )
        .shared("nl-shared", "127.0.8.1", 2)
        .network_without_plans("DE-BER")
        .plan("shared", "duration = \"1d\"\nprice_cents = 100\ntrial = \"1h\"\ntraffic_gb = 1")
        .shared("de-shared", "127.0.8.2", 1)
        .network_without_plans("FR-PAR")
        .plan("private", "duration = \"30d\"\nprice_cents = 900")
        .pools(1)
        .start()
}

/// A trial whose traffic is all used.
fn use_up(ann: &Customer) -> Subscription {
    let trial = json!({"op": "trial", "planId": ann.plan("DE-BER", "shared")});
    let given = ann.order(&trial).expect_status(200).json();
    let given = Subscription::from(&given["subscription"]);
    let origin = Origin::http();
    let big = origin.url("/bytes/60000000");
    eventually("the trial's traffic is used up", || {
        // It is refused in the end.
        let _ = curl(&["--proxy", &given.http, "--output", "/dev/null", &big]);
        left(ann, &given) == 0
    });
    given
}

/// Some of what a plan allows is used.
fn move_some(shop: &Turnpike, held: &Subscription) {
    let origin = Origin::http();
    let _ = curled(&[
        "--proxy",
        &held.http,
        "--output",
        "/dev/null",
        &origin.url(&format!("/bytes/{SOME}")),
    ]);
    let moved = || {
        database(shop).query_row(
            "SELECT SUM(bytes_down) FROM traffic WHERE subscription_id = ?1",
            [&held.id],
            |row| row.get::<_, Option<i64>>(0),
        )
    };
    eventually("the traffic is counted", || {
        moved().expect("the traffic").is_some_and(|bytes| bytes >= SOME)
    });
}

/// What the books have of a subscription's traffic: the start of each hour, what it sent, what it received. Besides that of now
/// there are two hours of one day, and one that is too long ago to be shown.
fn booked(shop: &Turnpike, held: &Subscription) -> Value {
    let database = database(shop);
    database
        .execute_batch(&format!(
            "BEGIN IMMEDIATE;
             CREATE TEMP TABLE earlier AS
                 SELECT s.id, s.account_id, CAST(strftime('%s', 'now', 'start of day') AS BIGINT) * 1000 + {HOUR} * column1 AS hour,
                        column2 AS up, column3 AS down
                 FROM subscription s, (VALUES (-3 * 24, 1500, 2000000), (-3 * 24 + 1, 700, 900000), (-60 * 24, 5000000, 5000000))
                 WHERE s.id = '{}';
             INSERT INTO traffic (subscription_id, hour, bytes_up, bytes_down) SELECT id, hour, up, down FROM earlier;
             INSERT INTO traffic_day (account_id, day, bytes_up, bytes_down)
                 SELECT account_id, hour / (24 * {HOUR}), SUM(up), SUM(down) FROM earlier GROUP BY account_id, hour / (24 * {HOUR});
             UPDATE traffic_total
             SET bytes_up = bytes_up + (SELECT SUM(up) FROM earlier), bytes_down = bytes_down + (SELECT SUM(down) FROM earlier)
             WHERE subscription_id IN (SELECT id FROM earlier);
             COMMIT;",
            held.id
        ))
        .expect("hours of earlier days");
    let mut hours = database
        .prepare("SELECT hour, bytes_up, bytes_down FROM traffic WHERE subscription_id = ?1")
        .expect("asking for the hours");
    let hours = hours
        .query_map([&held.id], |row| {
            Ok(json!([
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?
            ]))
        })
        .expect("the hours");
    hours.collect::<Result<_, _>>().expect("each of them")
}

/// The plan that was bought is sold no more, and it was to renew itself by that.
fn retire(shop: &Turnpike, ann: &Customer) -> Subscription {
    let bought = ann.buy("FR-PAR");
    let path = format!("/api/v1/subscriptions/{}/auto-renew", bought.id);
    let wish = json!({"autoRenew": true, "planId": ann.plan("FR-PAR", "private")});
    let _ = ann
        .request("PUT", &path, &[], wish.to_string().as_bytes())
        .expect_status(200);
    let file = shop.home().join("catalogue.toml");
    let written = std::fs::read_to_string(&file).expect("the catalogue");
    let plan = written.rfind("[[plan]]").expect("its last plan");
    // And its network's line is another than that of all others.
    let network = written.find("code = \"FR-PAR\"").expect("its network");
    let (others, its) = written[..plan].split_at(network);
    shop.apply(&format!("{others}{}", its.replace("\"mobile\"", "\"residential\"")));
    bought
}

/// A key that has had its time.
fn expire(shop: &Turnpike) {
    let _ = shop.key(EMAIL, &["--name", "Last year's scraper", "--read-only"]);
    let changed = database(shop)
        .execute(
            "UPDATE api_key SET created_at = created_at - 2 * ?1, expires_at = created_at - ?1 WHERE name LIKE 'Last year%'",
            [HOUR],
        )
        .expect("a key that is over");
    assert_eq!(changed, 1);
}

/// A machine that tells that it lives, and has three changes to apply: it is as if its next word came in an hour.
fn fall_behind(shop: &Turnpike) {
    Other::start(shop, BUSY).kill();
    let changed = database(shop)
        .execute(
            "UPDATE gateway_state SET seen_at = seen_at + ?1, revision = revision + 3 WHERE gateway = ?2",
            (HOUR, BUSY),
        )
        .expect("a machine that is behind");
    assert_eq!(changed, 1);
}

/// What a subscription's traffic still allows, in bytes.
fn left(ann: &Customer, subscription: &Subscription) -> i64 {
    let listed = ann.ask("subscriptions").expect_status(200).json();
    let rows = listed["subscriptions"].as_array().expect("subscriptions");
    let row = rows
        .iter()
        .find(|row| row["subscriptionId"] == subscription.id.as_str());
    row.expect("the subscription")["usage"]["trafficLeftBytes"]
        .as_i64()
        .expect("a limit")
}
