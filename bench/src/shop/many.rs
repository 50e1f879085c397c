//! What the shop's operations cost in books of 1,000,000 subscriptions of 10,000 accounts, beside books of 1,000; and how long a start takes.
//!
//! Those that run are bought, as only the shop can seal their credentials; the rest has ended long ago, half of it on another gateway, and is
//! written into the books by SQL, with orders and postings of nothing, so that `turnpike audit` has nothing to say but that their links
//! have no tokens, which only the shop can make too.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rusqlite::Connection as Database;
use serde_json::{Value, json};
use testbed::turnpike::{Customer, Turnpike};

use super::client::{Connection, get, post};
use super::{Figure, shop};
use crate::measure::{Core, pin};

/// How often each operation is done, and how often before it is timed.
const TIMES: usize = 100;
const BEFORE: usize = 10;

/// How large the books are.
#[derive(Debug, Clone, Copy)]
struct Books {
    subscriptions: usize,
    accounts: usize,
    /// Of these subscriptions, on this gateway.
    running: u16,
}

const MANY: Books = Books {
    subscriptions: 1_000_000,
    accounts: 10_000,
    running: 9_000,
};
const FEW: Books = Books {
    subscriptions: 1_000,
    accounts: 10,
    running: 100,
};

/// The most that one order gives.
pub(super) const LOT: u16 = 100;
/// What the customer has whose operations are timed.
const OWN: u16 = 20;

/// An operation and how long it takes, in the middle.
struct Timed {
    name: &'static str,
    took: Duration,
}

pub(super) fn measure(figures: &mut Vec<Figure>) -> Result<()> {
    let (few, _) = of(FEW).context("with 1,000 subscriptions")?;
    let (many, start) = of(MANY).context("with 1,000,000 subscriptions")?;
    for (many, few) in many.iter().zip(&few) {
        figures.push(Figure {
            name: many.name,
            unit: "ms",
            beside: "with 1,000 subscriptions",
            own: many.took.as_secs_f64() * 1e3,
            bound: Some(few.took.as_secs_f64() * 1e3),
        });
    }
    figures.push(Figure {
        name: "start until it is ready",
        unit: "s",
        beside: "",
        own: start.as_secs_f64(),
        bound: None,
    });
    Ok(())
}

/// Each operation's time in books of this size, and a start's.
fn of(books: Books) -> Result<(Vec<Timed>, Duration)> {
    pin(Core::Contender)?;
    let spare = 200 + OWN;
    let mut shop = shop(Turnpike::with(), books.running + spare)
        .network("DE-BER")
        .shared("de-1", "127.0.0.12", u32::from(spare))
        .network("US-NYC")
        .pool("us-1", &["127.0.2.1", "127.0.2.2"])
        .start();
    pin(Core::Load)?;
    let plan = shop.plan("NL-AMS", "shared");
    let other = shop.customer("other@example.com", 1_000_000_000);
    let own = shop.key("first@example.com", &[]);
    let bought = buy(&own, &plan, OWN)?;
    for _ in 0..(books.running - OWN) / LOT {
        buy(&other, &plan, LOT)?;
    }
    let private = buy(&own, &shop.plan("US-NYC", "private"), 1)?;
    shop.stop();
    shop.leave_unproved();
    let networks = fill(&shop, books)?;
    if books.subscriptions == FEW.subscriptions {
        prove(&shop)?;
    }
    let start = Instant::now();
    pin(Core::Contender)?;
    shop.serve();
    pin(Core::Load)?;
    let ready = start.elapsed();
    Ok((operations(&shop, &own, &plan, &bought, &private, &networks)?, ready))
}

/// Buys so many at once; the id of the first.
pub(super) fn buy(customer: &Customer, plan: &str, quantity: u16) -> Result<String> {
    let order = json!({"op": "purchase", "planId": plan, "quantity": quantity});
    let answer = customer.order(&order).expect_status(200).json();
    answer["subscriptionId"]
        .as_str()
        .map(str::to_owned)
        .context("what was bought")
}

/// Proves the books, which differ from each other in nothing but the length of their past.
fn prove(shop: &Turnpike) -> Result<()> {
    let said = shop.try_run(&["audit"]).stdout;
    let said = String::from_utf8_lossy(&said);
    let broken: Vec<&str> = said.lines().filter(|line| line.starts_with("FAIL")).collect();
    let is_as_it_must_be = broken
        .iter()
        .all(|line| line.contains("every link is found by the token"));
    ensure!(
        said.contains("invariants") && is_as_it_must_be,
        "the books are out of order: {broken:?}"
    );
    Ok(())
}

/// Writes a long past into the books; the ids of two networks.
fn fill(shop: &Turnpike, books: Books) -> Result<[String; 2]> {
    let database = Database::open(shop.home().join("turnpike.db"))?;
    let Books { accounts, .. } = books;
    let past = books.subscriptions - usize::from(books.running);
    database.execute_batch(&format!(
        "PRAGMA cache_size = -200000;
         BEGIN;
         CREATE TEMP TABLE number (n BIGINT PRIMARY KEY);
         INSERT INTO number WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < {past}) SELECT n FROM up;
         CREATE TEMP TABLE one AS SELECT *, started_at - 7776000000 AS since FROM subscription ORDER BY started_at, id LIMIT 1;
         INSERT INTO gateway (name, public_host, first_port, last_port)
             VALUES ('elsewhere', 'elsewhere.example.com', 20000, 20001);
         INSERT INTO gateway_state (gateway, revision, applied_revision, seen_at, tunnels)
             SELECT 'elsewhere', 1, 1, started_at, 0 FROM one;
         INSERT INTO account (id, email, role, status, version, created_at)
             SELECT printf('person%018d', n), 'person-' || n || '@example.com', 'customer', 'active', 1, since
             FROM number, one WHERE n <= {accounts};
         INSERT INTO ledger_account (id, kind, balance, postings)
             SELECT printf('person%018d', n), 'customer', 0, {past} / {accounts} + (n <= {past} % {accounts})
             FROM number WHERE n <= {accounts};
         INSERT INTO subscription (id, account_id, plan_id, network_id, connection_type, exit_id, gateway, port, username,
                 sealed_credentials, rotate_version, rotate_token_hash, rotation_policy, user_note, state, started_at, ends_at,
                 lapsed_ms, told_gateway, revision)
             SELECT printf('past%020d', n), printf('person%018d', (n - 1) % {accounts} + 1), plan_id, network_id, connection_type,
                 exit_id, CASE n % 2 WHEN 0 THEN gateway ELSE 'elsewhere' END, port, 'u_past' || n, zeroblob(64), 1,
                 CAST('past' || n AS BLOB), 0, '', 'released', since + n, since + n + 2592000000, 0,
                 CASE n % 2 WHEN 0 THEN gateway ELSE 'elsewhere' END, 1
             FROM number, one;
         INSERT INTO shop_order (id, account_id, kind, plan_id, network_id, repeat_count, quantity, unit_price_cents, discount_cents,
                 price_cents, created_at)
             SELECT printf('order%019d', n), printf('person%018d', (n - 1) % {accounts} + 1), 'purchase', plan_id, network_id, 1, 1, 0,
                 0, 0, since + n FROM number, one;
         INSERT INTO order_line (order_id, subscription_id, duration_ms)
             SELECT printf('order%019d', n), printf('past%020d', n), 2592000000 FROM number;
         INSERT INTO ledger_transaction (id, kind, order_id, note, created_at)
             SELECT printf('sale%020d', n), 'purchase', printf('order%019d', n), '', since + n FROM number, one;
         INSERT INTO posting (transaction_id, line, ledger_account_id, amount_cents, number, balance_after, created_at)
             SELECT printf('sale%020d', n), 1, printf('person%018d', (n - 1) % {accounts} + 1), 0, (n - 1) / {accounts} + 1, 0,
                 since + n FROM number, one;
         INSERT INTO posting (transaction_id, line, ledger_account_id, amount_cents, number, balance_after, created_at)
             SELECT printf('sale%020d', n), 2, 'revenue', 0, NULL, NULL, since + n FROM number, one;
         COMMIT;
         PRAGMA wal_checkpoint(TRUNCATE);"
    ))?;
    let network = |code| database.query_row("SELECT id FROM network WHERE code = ?1", [code], |row| row.get(0));
    Ok([network("DE-BER")?, network("NL-AMS")?])
}

/// The operations of the contract, one after the other on one connection.
fn operations(
    shop: &Turnpike,
    own: &Customer,
    plan: &str,
    bought: &str,
    private: &str,
    networks: &[String; 2],
) -> Result<Vec<Timed>> {
    let server = shop.api();
    let ask = |query: String| move |_: usize| get(server, &format!("/api/proxy?op={query}"), &own.key);
    let order = |body: Value| move |_: usize| post(server, &body, &own.key);
    let of_one = |op: &str| format!("{op}&subscriptionId={bought}");
    let turn = |time: usize| {
        let body = json!({"op": "switch-network", "subscriptionId": bought, "targetNetwork": networks[time % 2]});
        post(server, &body, &own.key)
    };
    type Requests<'a> = Box<dyn Fn(usize) -> Vec<u8> + 'a>;
    let all: Vec<(&'static str, Requests<'_>)> = vec![
        ("op=plans", Box::new(ask("plans".to_owned()))),
        ("op=subscriptions", Box::new(ask("subscriptions".to_owned()))),
        ("op=renewal-plans", Box::new(ask(of_one("renewal-plans")))),
        ("op=available-networks", Box::new(ask(of_one("available-networks")))),
        (
            "op=rotate-links",
            Box::new(ask(format!("rotate-links&subscriptionId={private}"))),
        ),
        ("op=allowed-addresses", Box::new(ask(of_one("allowed-addresses")))),
        ("op=refusals", Box::new(ask(of_one("refusals")))),
        (
            "op=purchase",
            Box::new(order(json!({"op": "purchase", "planId": plan}))),
        ),
        (
            "op=renew",
            Box::new(order(json!({"op": "renew", "subscriptionId": bought, "planId": plan}))),
        ),
        (
            "op=change-credentials",
            Box::new(order(json!({"op": "change-credentials", "subscriptionId": bought}))),
        ),
        (
            "op=set-rotation-policy",
            Box::new(order(
                json!({"op": "set-rotation-policy", "subscriptionId": private, "rotationPolicy": 60}),
            )),
        ),
        (
            "op=set-allowed-addresses",
            Box::new(order(
                json!({"op": "set-allowed-addresses", "subscriptionId": bought, "addresses": ["192.0.2.1"]}),
            )),
        ),
        (
            "op=renew-subscription-url",
            Box::new(order(json!({"op": "renew-subscription-url", "subscriptionId": bought}))),
        ),
        ("op=switch-network", Box::new(turn)),
    ];
    let mut connection = Connection::open(server)?;
    let mut timed = Vec::new();
    for (name, request) in &all {
        let mut took = Vec::with_capacity(TIMES);
        for time in 0..BEFORE + TIMES {
            let request = request(time);
            let start = Instant::now();
            connection.exchange(&request).with_context(|| (*name).to_owned())?;
            if time >= BEFORE {
                took.push(start.elapsed());
            }
        }
        took.sort_unstable();
        timed.push(Timed {
            name,
            took: took[TIMES / 2],
        });
    }
    Ok(timed)
}
