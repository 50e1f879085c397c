//! What the pages cost for a customer who has much: 10,000 subscriptions with two weeks of traffic, 200,000 lines of statement.
//!
//! `cargo bench --package turnpike --bench pages` prints the time and the size of each page, and what a first visit loads. It ends
//! with an error where a page takes longer than 50 ms (median) or is larger than 200 KiB, or a first visit loads 150 KiB or more.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark may panic, and prints what it found"
)]

use std::fs;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};
use testbed::http::{self, Answer};
use testbed::turnpike::{Customer, Turnpike};

const SUBSCRIPTIONS: usize = 10_000;
const STATEMENT_LINES: usize = 200_000;
/// Days of traffic, a row for each hour and subscription.
const TRAFFIC_HOURS: usize = 14 * 24;
/// Subscriptions of one purchase, the most that there can be.
const QUANTITY: usize = 100;

const EMAIL: &str = "much@example.com";
const ROUNDS: usize = 40;

const MOST_MILLIS: f64 = 50.0;
const MOST_BYTES: usize = 200 * 1024;
const MOST_FIRST_LOAD: usize = 150 * 1024;

fn main() {
    let shop = stocked();
    let (password, customer) = customer(&shop);
    let bought = buy(&customer);
    let mut shop = shop;
    shop.stop();
    fill(&shop);
    shop.audit();
    shop.serve();
    let cookie = sign_in(&shop, &password);
    let subscription = format!("/subscriptions/{bought}");
    let pages = [
        "/overview".to_owned(),
        "/plans".to_owned(),
        format!("/plans/{}", customer.plan("NL-AMS", "shared")),
        "/subscriptions".to_owned(),
        "/subscriptions?order=end".to_owned(),
        "/subscriptions?q=note+of+nobody".to_owned(),
        "/subscriptions?q=nl&state=active".to_owned(),
        subscription.clone(),
        format!("{subscription}/links"),
        format!("{subscription}/renew"),
        "/statement".to_owned(),
        "/statement?below=100000".to_owned(),
        "/keys".to_owned(),
        "/account".to_owned(),
    ];
    println!("| page | median | slowest of {ROUNDS} | HTML |\n| --- | ---: | ---: | ---: |");
    let mut over = Vec::new();
    for page in &pages {
        let (times, size) = measure(&shop, page, &cookie);
        let shown = page.replace(&bought, "…");
        let (median, slowest) = (millis(times[ROUNDS / 2]), millis(times[ROUNDS - 1]));
        println!(
            "| `{shown}` | {median:.1} ms | {slowest:.1} ms | {:.1} KiB |",
            kib(size)
        );
        if median > MOST_MILLIS || size > MOST_BYTES {
            over.push(shown);
        }
    }
    let first_load = first_load(&shop);
    println!("\nA first visit loads {:.1} KiB.", kib(first_load));
    if first_load >= MOST_FIRST_LOAD {
        over.push("the first visit".to_owned());
    }
    assert!(over.is_empty(), "over their bounds: {}", over.join(", "));
}

/// Ports for all, which nobody listens on: this class of machine does not allow so many descriptors, and pages ask no gateway.
fn stocked() -> Turnpike {
    let mut shop = Turnpike::with()
        .set("gateway.ports", "\"20000-30999\"")
        .network("NL-AMS");
    for exit in 1..=20 {
        shop = shop.shared(&format!("exit-{exit}"), &format!("127.0.1.{exit}"), 500);
    }
    let mut shop = shop.network("DE-BER").shared("other", "127.0.2.1", 10).prepare();
    let file = shop.home().join("turnpike.toml");
    let configuration = fs::read_to_string(&file).expect("the configuration");
    fs::write(&file, format!("roles = [\"web\"]\n{configuration}")).expect("writing the configuration");
    shop.serve();
    shop
}

fn customer(shop: &Turnpike) -> (String, Customer) {
    let made: Value = serde_json::from_str(&shop.run(&["account", "create", EMAIL, "--json"])).expect("an account");
    shop.run(&["account", "credit", EMAIL, "100000000"]);
    let password = made["password"].as_str().expect("a password was made up").to_owned();
    (password, shop.key(EMAIL, &[]))
}

/// Buys everything; the id of one of them. Nobody waits for a gateway that is not there longer than it takes: many at a time.
fn buy(customer: &Customer) -> String {
    let plan = customer.plan("NL-AMS", "shared");
    let body = json!({"op": "purchase", "planId": plan, "quantity": QUANTITY});
    std::thread::scope(|scope| {
        let buyers: Vec<_> = (0..10)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..SUBSCRIPTIONS / QUANTITY / 10 {
                        let _ = customer.order(&body).expect_status(200);
                    }
                })
            })
            .collect();
        for buyer in buyers {
            buyer.join().expect("a buyer");
        }
    });
    let listed = customer.ask("op=subscriptions").expect_status(200).json();
    listed["subscriptions"][0]["subscriptionId"]
        .as_str()
        .expect("a subscription")
        .to_owned()
}

/// Writes traffic and a long past into the books, which stay in order.
fn fill(shop: &Turnpike) {
    let database = Connection::open(shop.home().join("turnpike.db")).expect("the database");
    let account: String = database
        .query_row("SELECT id FROM account WHERE email = ?1", [EMAIL], |row| row.get(0))
        .expect("the account");
    let lines = STATEMENT_LINES;
    database
        .execute_batch(&format!(
            "BEGIN;
             CREATE TEMP TABLE number (n BIGINT PRIMARY KEY);
             INSERT INTO number WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < {lines}) SELECT n FROM up;
             CREATE TEMP TABLE past AS
                 SELECT balance, postings, (SELECT MAX(created_at) FROM ledger_transaction) AS latest
                 FROM ledger_account WHERE id = '{account}';
             INSERT INTO ledger_transaction (id, kind, order_id, note, created_at)
                 SELECT printf('bench%019d', n), CASE n % 2 WHEN 1 THEN 'credit' ELSE 'debit' END, NULL, 'bank transfer ' || n, latest
                 FROM number, past;
             INSERT INTO posting (transaction_id, line, ledger_account_id, amount_cents, number, balance_after, created_at)
                 SELECT printf('bench%019d', n), 1, '{account}', CASE n % 2 WHEN 1 THEN 1 ELSE -1 END, postings + n,
                        balance + n % 2, latest FROM number, past;
             INSERT INTO posting (transaction_id, line, ledger_account_id, amount_cents, number, balance_after, created_at)
                 SELECT printf('bench%019d', n), 2, 'funding', CASE n % 2 WHEN 1 THEN -1 ELSE 1 END, NULL, NULL, latest
                 FROM number, past;
             UPDATE ledger_account SET postings = postings + {lines} WHERE id = '{account}';
             INSERT INTO traffic (subscription_id, hour, bytes_up, bytes_down)
                 SELECT s.id, s.started_at / 3600000 - n, 1000000 + n, 10000000 + n FROM subscription s, number
                 WHERE n <= {TRAFFIC_HOURS};
             INSERT INTO traffic_total (subscription_id, bytes_up, bytes_down)
                 SELECT subscription_id, SUM(bytes_up), SUM(bytes_down) FROM traffic WHERE 1 GROUP BY subscription_id
                 ON CONFLICT (subscription_id) DO UPDATE SET bytes_up = excluded.bytes_up, bytes_down = excluded.bytes_down;
             INSERT INTO traffic_day (account_id, day, bytes_up, bytes_down)
                 SELECT s.account_id, t.hour / 86400000, SUM(t.bytes_up), SUM(t.bytes_down)
                 FROM traffic t JOIN subscription s ON s.id = t.subscription_id WHERE 1 GROUP BY 1, 2;
             COMMIT;
             PRAGMA wal_checkpoint(TRUNCATE);"
        ))
        .expect("filling the books");
}

fn sign_in(shop: &Turnpike, password: &str) -> String {
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("email", EMAIL)
        .append_pair("password", password)
        .finish();
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("sec-fetch-site", "same-origin"),
    ];
    let answer = http::request(shop.api(), "POST", "/sign-in", &headers, body.as_bytes()).expect_status(303);
    let cookie = answer.header("set-cookie").expect("a session");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

fn measure(shop: &Turnpike, page: &str, cookie: &str) -> ([Duration; ROUNDS], usize) {
    let mut size = 0;
    let mut times = [Duration::ZERO; ROUNDS];
    // Once before, as whoever comes second finds it.
    for time in [None].into_iter().chain(times.iter_mut().map(Some)) {
        let began = Instant::now();
        let answer = http::request(shop.api(), "GET", page, &[("cookie", cookie)], b"").expect_status(200);
        size = answer.body.len();
        if let Some(time) = time {
            *time = began.elapsed();
        }
    }
    times.sort_unstable();
    (times, size)
}

/// The page that strangers see, with all that it names.
fn first_load(shop: &Turnpike) -> usize {
    let accepted = [("accept-encoding", "gzip, br")];
    let length = |answer: &Answer| -> usize {
        let length = answer.header("content-length").expect("a length");
        length.parse().expect("a number")
    };
    let page = http::request(shop.api(), "GET", "/sign-in", &accepted, b"").expect_status(200);
    let files = page.body.split('"').filter(|text| text.starts_with("/assets/"));
    length(&page)
        + files
            .map(|file| length(&http::request(shop.api(), "GET", file, &accepted, b"").expect_status(200)))
            .sum::<usize>()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn kib(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1_024.0
}
