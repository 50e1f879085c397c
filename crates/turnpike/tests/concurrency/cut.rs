//! Clients that hang up in the middle of a request, which stops whatever was being done for them at that point.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::race::at_once;
use testbed::turnpike::{Builder, Customer, Turnpike};

use crate::settled;

testbed::on_both_engines!(
    clients_that_hang_up_leave_nothing_half_done,
    purchases_whose_clients_hang_up_are_whole_or_not_there,
);

const CLIENTS: usize = 16;
const HOUR: i64 = 3_600_000;

/// 2,000 requests that are cut off: three reads for each renewal, of an hour for a cent. A write that is lost, or done twice,
/// shows in the end times.
fn clients_that_hang_up_leave_nothing_half_done(shop: Builder) {
    const RENEWALS: usize = 32;
    const READS: [&str; 3] = ["plans", "subscriptions", "plans"];
    let shop = shop
        .network_without_plans("NL-AMS")
        .shared("nl-1", "127.0.0.11", 16)
        .plan("shared", "duration = \"1h\"\nprice_cents = 1")
        .start();
    let bought: Vec<_> = (0..CLIENTS).map(|_| shop.buy_shared("NL-AMS")).collect();
    let plan = shop.plan("NL-AMS", "shared");
    let renewal = |number: usize| json!({"op": "renew", "planId": plan, "subscriptionId": bought[number].id});

    at_once(CLIENTS, |number| {
        for order in 0..RENEWALS {
            hang_up_amid(&shop, &ordering(&renewal(number), &key(number, order)));
            for read in READS {
                hang_up_amid(&shop, &format!("GET /api/proxy?op={read} HTTP/1.1\r\n\r\n"));
            }
        }
    });
    nothing_is_left_open(&shop);

    at_once(CLIENTS, |number| {
        for order in 0..RENEWALS {
            let answer = settled(&shop, &renewal(number), &key(number, order));
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    });
    for before in &bought {
        let now = shop.subscription(&before.id).active_until;
        assert_eq!(now, before.active_until + i64::try_from(RENEWALS).unwrap() * HOUR);
    }
    let orders = i64::try_from(CLIENTS * (1 + RENEWALS)).unwrap();
    assert_eq!(shop.balance(&shop.email), 1_000_000 - orders);
}

fn purchases_whose_clients_hang_up_are_whole_or_not_there(shop: Builder) {
    const PURCHASES: usize = 12;
    let orders = u16::try_from(CLIENTS * PURCHASES).unwrap();
    let shop = shop
        .ports(orders)
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", u32::from(orders))
        .start();
    let purchase = json!({"op": "purchase", "planId": shop.plan("NL-AMS", "shared")});
    at_once(CLIENTS, |number| {
        for order in 0..PURCHASES {
            hang_up_amid(&shop, &ordering(&purchase, &key(number, order)));
        }
    });
    nothing_is_left_open(&shop);
    // What was begun goes on to its end, so the two may be asked for at different moments at first.
    testbed::eventually("each purchase that is there is paid for", || {
        let whole = shop.subscriptions().len();
        shop.balance(&shop.email) == 1_000_000 - 300 * i64::try_from(whole).unwrap()
    });

    at_once(CLIENTS, |number| {
        for order in 0..PURCHASES {
            let answer = settled(&shop, &purchase, &key(number, order));
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    });
    assert_eq!(shop.subscriptions().len(), usize::from(orders));
    assert_eq!(shop.balance(&shop.email), 1_000_000 - 300 * i64::from(orders));
}

fn key(number: usize, order: usize) -> String {
    format!("client-{number}-{order}")
}

fn ordering(order: &Value, key: &str) -> String {
    let order = order.to_string();
    format!(
        "POST /api/proxy HTTP/1.1\r\nIdempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n{order}",
        order.len()
    )
}

/// Sends a request and closes the connection up to 5 ms later, whatever is being done for it then.
fn hang_up_amid(customer: &Customer, request: &str) {
    let mut connection = TcpStream::connect(customer.api()).expect("connecting to the API");
    let (line, rest) = request.split_once("\r\n").expect("a request's first line");
    let whole = format!("{line}\r\nHost: shop\r\nx-api-key: {}\r\n{rest}", customer.key);
    connection.write_all(whole.as_bytes()).expect("sending a request");
    std::thread::sleep(Duration::from_micros(fastrand::u64(0..5_000)));
}

/// Once everything that was begun has ended, no connection to the database may still be inside a transaction.
fn nothing_is_left_open(shop: &Turnpike) {
    let Some(database) = shop.postgres() else { return };
    testbed::eventually("all transactions have ended", || {
        database.query(
            "SELECT COUNT(*) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'",
        ) == "0"
    });
}
