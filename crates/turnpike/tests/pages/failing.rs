//! A shop in trouble, which no walk through a healthy one meets: what has ended, what fails, what is silent, what is sold out.
//!
//! Everything that a shop can be brought to by itself is brought about so; time that would have to pass is written into the books.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use testbed::http;
use testbed::turnpike::{Customer, Subscription, Turnpike};
use testbed::{eventually, poll};

use crate::other::Other;
use crate::{EMAIL, OPERATOR, PATIENCE, account, browser, database};

/// Whose balance does not renew what he has.
const POOR: &str = "poor@example.com";
/// Who have tried, and have more in common than two strangers would.
const TRIERS: [&str; 2] = ["tom@one.example", "tina@one.example"];
/// The other machine, which is gone.
const GONE: &str = "rotterdam";
const MINUTE: i64 = 60_000;

#[test]
fn what_goes_wrong_is_said_and_looks_as_if_it_were_meant() {
    let Some(mut walk) = browser("failing.mjs") else { return };
    let mut shop = world();
    let (password, operators) = (account(&shop, EMAIL, &[]), account(&shop, OPERATOR, &["--admin"]));
    shop.run(&["account", "credit", EMAIL, "30000"]);
    let ann = shop.key(EMAIL, &[]);
    let bought = Bought::by(&ann);
    let other = Other::start(&shop, GONE);
    sell_there(&shop);
    let silent = ann.buy("PL-WAW");
    vanish(other, &shop);
    leave_behind(&ann, &silent);
    refuse(&bought.rotating);
    fail_to_rotate(&ann, &bought.broken);
    let poors = poor(&shop);
    tried(&shop);
    end(&mut shop, &bought.ended);
    let ids = json!({
        "ended": bought.ended.id, "rotating": bought.rotating.id, "slow": bought.slow.id, "broken": bought.broken.id,
        "silent": silent.id, "poor": poors.1,
    });
    walk.env("SHOP", shop.url("").trim_end_matches('/'))
        .env("EMAIL", EMAIL)
        .env("PASSWORD", password)
        .env("OPERATOR", OPERATOR)
        .env("OPERATOR_PASSWORD", operators)
        .env("THIRD", POOR)
        .env("THIRD_PASSWORD", poors.0)
        .env("IDS", ids.to_string());
    let mut walk = walk
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starting node");
    serve_wishes(&mut walk, &shop);
    assert!(walk.wait().expect("its end").success(), "what failed is told above");
}

/// Does to the database what the walk asks for by a line that begins with `> `; other lines are passed on.
fn serve_wishes(walk: &mut Child, shop: &Turnpike) {
    let mut input = walk.stdin.take().expect("its input");
    let output = BufReader::new(walk.stdout.take().expect("its output"));
    let database = database(shop);
    for line in output.lines().map_while(Result::ok) {
        let Some(wish) = line.strip_prefix("> ") else {
            println!("{line}");
            continue;
        };
        let statement = match wish {
            "lose a table" => "ALTER TABLE notice_choice RENAME TO lost",
            "find it again" => "ALTER TABLE lost RENAME TO notice_choice",
            "occupy the books" => "BEGIN IMMEDIATE",
            "let go" => "ROLLBACK",
            other => panic!("the walk asks for {other:?}"),
        };
        database.execute_batch(statement).expect(wish);
        writeln!(input, "done").expect("telling the walk");
    }
}

fn world() -> Turnpike {
    Turnpike::with()
        .set("server.sign_up", "true")
        .set("limits.rotation_cooldown_seconds", "15")
        .ports(30)
        .network_without_plans("NL-AMS")
        .plan(
            "private",
            "duration = \"30d\"\nprice_cents = 1200\npopular = true\ntrial = \"1h\"",
        )
        .plan("shared", "duration = \"30d\"\nprice_cents = 300\ntrial = \"1h\"")
        .plan("private", "duration = \"1h\"\nprice_cents = 11")
        .pools(8)
        .shared("nl-shared", "127.0.4.1", 10)
        .network_without_plans("DE-BER")
        .plan("private", "duration = \"30d\"\nprice_cents = 1000")
        .pools(1)
        .network_without_plans("FR-PAR")
        .plan("private", "duration = \"30d\"\nprice_cents = 900")
        .exit(
            "partner",
            "upstream = \"socks5://127.0.0.1:9\"\nrotate = { http = \"http://127.0.0.1:9/rotate\" }",
        )
        .network_without_plans("AT-VIE")
        .plan("private", "duration = \"30d\"\nprice_cents = 1500")
        .exit(
            "modem",
            "interface = \"lo\"\nrotate = { command = [\"/bin/sleep\", \"25\"] }",
        )
        .start()
}

/// What the customer has, each with a trouble of its own.
struct Bought {
    ended: Subscription,
    rotating: Subscription,
    slow: Subscription,
    broken: Subscription,
}

impl Bought {
    fn by(ann: &Customer) -> Self {
        let _ = ann.buy("DE-BER");
        Self {
            ended: ann.buy_plan(&plan(ann, "NL-AMS", 11)),
            rotating: ann.buy_plan(&plan(ann, "NL-AMS", 1200)),
            slow: ann.buy("AT-VIE"),
            broken: ann.buy("FR-PAR"),
        }
    }
}

/// The plan of a network that costs so many cents.
fn plan(customer: &Customer, network: &str, cents: i64) -> String {
    let answer = customer.ask("plans").expect_status(200).json();
    let plans = answer["plans"].as_array().expect("plans");
    let found = plans
        .iter()
        .find(|plan| plan["network"]["name"] == network && plan["priceAmountCents"] == cents);
    let found = found.unwrap_or_else(|| panic!("no plan of {network} for {cents}: {answer}"));
    found["id"].as_str().expect("an id").to_owned()
}

/// The other machine is gone without a word, for an hour as far as the books know; a rotation waits for it.
fn vanish(other: Other, shop: &Turnpike) {
    other.kill();
    let database = database(shop);
    let changed = database
        .execute(
            "UPDATE gateway_state SET seen_at = seen_at - 60 * ?1 WHERE gateway = ?2",
            (MINUTE, GONE),
        )
        .expect("an hour");
    assert_eq!(changed, 1);
    let waits = database
        .execute(
            "INSERT INTO rotation (id, exit_id, gateway, subscription_id, reason, state, requested_at, deadline)
             SELECT printf('waits%019d', 1), s.exit_id, s.gateway, s.id, 'request', 'queued',
                    CAST(strftime('%s', 'now') AS BIGINT) * 1000 - 12 * ?1, CAST(strftime('%s', 'now') AS BIGINT) * 1000 + 60 * ?1
             FROM subscription s WHERE s.gateway = ?2",
            (MINUTE, GONE),
        )
        .expect("a rotation that waits");
    assert_eq!(waits, 1);
}

/// A network of the other machine is sold too.
fn sell_there(shop: &Turnpike) {
    const EXIT: &str = "[[network.exit]]\n";
    let written = fs::read_to_string(shop.home().join("catalogue.toml")).expect("the catalogue");
    // Where there are two machines, each exit says on which it is.
    let placed = written.replace(EXIT, &format!("{EXIT}gateway = \"gw1\"\n"));
    let more = format!(
        "\n[[network]]\ncode = \"PL-WAW\"\ncity = \"WAW\"\ncountry = \"PL\"\ntype = \"mobile\"\n
         [[network.exit]]\nname = \"pl-1\"\ngateway = \"{GONE}\"\naddresses = [\"127.0.5.1\", \"127.0.5.2\"]\n
         [[plan]]\ncode = \"pl\"\nnetwork = \"PL-WAW\"\nconnection_type = \"private\"\nduration = \"30d\"\nprice_cents = 1100\n"
    );
    shop.apply(&format!("{placed}{more}"));
}

/// Two hours pass for one subscription, while nobody serves.
fn end(shop: &mut Turnpike, subscription: &Subscription) {
    shop.stop();
    let written = database(shop).execute(
        "UPDATE subscription SET started_at = started_at - 120 * ?1, ends_at = ends_at - 120 * ?1 WHERE id = ?2",
        (MINUTE, &subscription.id),
    );
    assert_eq!(written.expect("two hours"), 1);
    shop.serve();
    let has_ended = || {
        let state = "SELECT state = 'expired' FROM subscription WHERE id = ?1";
        database(shop).query_row(state, [&subscription.id], |row| row.get(0)) == Ok(true)
    };
    eventually("it has ended", has_ended);
}

/// A change that the other machine does not learn of.
fn leave_behind(ann: &Customer, silent: &Subscription) {
    let _ = ann
        .order(&json!({"op": "change-credentials", "subscriptionId": silent.id}))
        .expect_status(200);
}

/// Attempts with a wrong password, which the port tells of.
fn refuse(port: &Subscription) {
    for _ in 0..3 {
        let wrong = [("proxy-authorization", "Basic d3Jvbmc6d3Jvbmc=")];
        let _ = http::request(port.port, "GET", "http://127.0.0.1:9/", &wrong, b"").expect_status(407);
    }
}

/// A rotation that its exit's operator refuses.
fn fail_to_rotate(ann: &Customer, broken: &Subscription) {
    let _ = ann.request("GET", &broken.rotate_path, &[], b"").expect_status(502);
}

/// Somebody whose subscription could not renew itself: his password, and the subscription.
fn poor(shop: &Turnpike) -> (String, String) {
    let password = account(shop, POOR, &[]);
    shop.run(&["account", "credit", POOR, "15"]);
    let poor = shop.key(POOR, &[]);
    let bought = poor.buy_plan(&plan(&poor, "NL-AMS", 11));
    let path = format!("/api/v1/subscriptions/{}/auto-renew", bought.id);
    let wish = json!({"autoRenew": true, "planId": plan(&poor, "NL-AMS", 1200)});
    let _ = poor
        .request("PUT", &path, &[], wish.to_string().as_bytes())
        .expect_status(200);
    let is_tried = poll(PATIENCE, || {
        let stands = poor.request("GET", &path, &[], b"").expect_status(200).json();
        stands["trouble"].is_string().then_some(())
    });
    assert!(is_tried.is_some(), "a renewal is tried");
    (password, bought.id)
}

/// Two of one mail domain and one address have tried; one of them has bought since.
fn tried(shop: &Turnpike) {
    for email in TRIERS {
        let password = account(shop, email, &[]);
        let trier = shop.key(email, &["--allow-trial"]);
        let trial = json!({"op": "trial", "planId": trier.plan("NL-AMS", "shared")});
        let _ = trier.order(&trial).expect_status(200);
        let form: String = format!("email={email}&password={password}").replace('@', "%40");
        let from = [
            ("origin", &*shop.url("")),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let _ = http::request(shop.api(), "POST", "/sign-in", &from, form.as_bytes()).expect_status(303);
    }
    let alone = shop.customer("lone@two.example", 0);
    let alone = shop.key(&alone.email, &["--allow-trial"]);
    let _ = alone
        .order(&json!({"op": "trial", "planId": alone.plan("NL-AMS", "shared")}))
        .expect_status(200);
    shop.run(&["account", "credit", TRIERS[1], "300"]);
    let tina = shop.key(TRIERS[1], &[]);
    let _: Value = tina
        .order(&json!({"op": "purchase", "planId": tina.plan("NL-AMS", "shared")}))
        .expect_status(200)
        .json();
}
