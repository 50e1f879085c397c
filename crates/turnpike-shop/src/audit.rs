//! The books, proven: each invariant is a query that must find nothing, or a look at each row where a query cannot tell.

mod links;

use serde::Serialize;

use crate::error::Result;
use crate::shop::Shop;
use crate::store::{Engine, Tx, Value};
use crate::types::{Span, UnixMillis};

/// One invariant and what breaks it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// `I1` to `I16`.
    pub invariant: &'static str,
    /// What must hold, in a sentence.
    pub rule: &'static str,
    /// What was found to break it, at most 20 of them; empty when it holds.
    pub broken: Vec<String>,
}

/// An invariant: a query whose rows break it and name what does in their column `broken`.
struct Invariant {
    name: &'static str,
    rule: &'static str,
    sql: &'static str,
    takes: Takes,
}

/// What a query's placeholders are given.
#[derive(Clone, Copy)]
enum Takes {
    Nothing,
    /// `$1` is [`OVERDUE`] ago.
    Overdue,
    /// `$1` is [`UNTOLD`] where new subscriptions are told after their commit, else 0.
    Untold,
}

/// How long a new subscription may be unknown to a gateway that lives: it looks for those that nobody has told of.
const UNTOLD: Span = Span::minutes(1);

/// How late a rotation's end may be recorded before that is a finding.
const OVERDUE: Span = Span::minutes(5);

const INVARIANTS: &[Invariant] = &[
    Invariant {
        name: "I1",
        rule: "the postings of every ledger transaction sum to zero, and there are at least two",
        sql: "SELECT t.id AS broken FROM ledger_transaction t LEFT JOIN posting p ON p.transaction_id = t.id
              GROUP BY t.id HAVING COUNT(p.line) < 2 OR CAST(COALESCE(SUM(p.amount_cents), 0) AS BIGINT) <> 0 LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I2",
        rule: "every customer's cached balance is the sum of his postings",
        sql: "SELECT l.id AS broken FROM ledger_account l LEFT JOIN posting p ON p.ledger_account_id = l.id
              WHERE l.kind = 'customer' GROUP BY l.id, l.balance
              HAVING l.balance <> CAST(COALESCE(SUM(p.amount_cents), 0) AS BIGINT) LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I3",
        rule: "no customer's balance is below zero, now or after any posting",
        sql: "SELECT id AS broken FROM ledger_account WHERE kind = 'customer' AND balance < 0
              UNION ALL SELECT transaction_id FROM posting WHERE balance_after < 0 LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I4",
        rule: "the system accounts balance the customers' accounts, and every account has its place in the ledger",
        sql: "SELECT 'the whole ledger' AS broken
              FROM (SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS cents FROM posting) AS whole WHERE cents <> 0
              UNION ALL SELECT a.id FROM account a
              WHERE NOT EXISTS (SELECT 1 FROM ledger_account l WHERE l.id = a.id AND l.kind = 'customer') LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I5",
        rule: "every subscription's paid time is the sum of its orders' durations, less what refunds took back",
        sql: "SELECT s.id AS broken FROM subscription s LEFT JOIN order_line o ON o.subscription_id = s.id
              GROUP BY s.id, s.started_at, s.ends_at, s.lapsed_ms, s.cut_ms
              HAVING s.ends_at - s.started_at - s.lapsed_ms + s.cut_ms <> CAST(COALESCE(SUM(o.duration_ms), 0) AS BIGINT) LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I5",
        rule: "every order has exactly one ledger transaction, of its price, from its buyer",
        // The buyer's posting is picked from its transaction's few. As a condition of the join it would invite an engine to
        // read all postings of the buyer for each of his orders.
        sql: "SELECT o.id AS broken FROM shop_order o
              LEFT JOIN ledger_transaction t ON t.order_id = o.id AND t.kind = o.kind
              LEFT JOIN posting p ON p.transaction_id = t.id
              GROUP BY o.id, o.account_id, o.price_cents
              HAVING COUNT(DISTINCT t.id) <> 1
                  OR COUNT(CASE WHEN p.ledger_account_id = o.account_id THEN 1 END) <> 1
                  OR CAST(COALESCE(SUM(CASE WHEN p.ledger_account_id = o.account_id THEN p.amount_cents END), 0) AS BIGINT)
                      <> -o.price_cents LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I5",
        rule: "every refund gives one order's price back to its buyer, and no order has two",
        sql: "SELECT t.id AS broken FROM ledger_transaction t
              LEFT JOIN shop_order o ON o.id = t.order_id
              LEFT JOIN posting p ON p.transaction_id = t.id
              WHERE t.kind = 'refund'
              GROUP BY t.id, o.id, o.account_id, o.price_cents
              HAVING o.id IS NULL OR COUNT(CASE WHEN p.ledger_account_id = o.account_id THEN 1 END) <> 1
                  OR CAST(COALESCE(SUM(CASE WHEN p.ledger_account_id = o.account_id THEN p.amount_cents END), 0) AS BIGINT)
                      <> o.price_cents
              UNION ALL
              SELECT order_id FROM ledger_transaction WHERE kind = 'refund' AND order_id IS NOT NULL
              GROUP BY order_id HAVING COUNT(*) > 1 LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I5",
        rule: "time was taken back only from subscriptions of refunded orders, and no more than these gave",
        sql: "SELECT s.id AS broken FROM subscription s
              LEFT JOIN order_line l ON l.subscription_id = s.id
              LEFT JOIN ledger_transaction t ON t.order_id = l.order_id AND t.kind = 'refund'
              WHERE s.cut_ms > 0 GROUP BY s.id, s.cut_ms
              HAVING s.cut_ms > CAST(COALESCE(SUM(CASE WHEN t.id IS NOT NULL THEN l.duration_ms END), 0) AS BIGINT) LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I5",
        rule: "every order has as many lines as its quantity",
        sql: "SELECT o.id AS broken FROM shop_order o LEFT JOIN order_line l ON l.order_id = o.id
              GROUP BY o.id, o.quantity HAVING COUNT(l.subscription_id) <> o.quantity LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I5",
        rule: "every subscription's traffic is what its orders gave, since the last that gave it without a limit",
        sql: "SELECT s.id AS broken FROM subscription s LEFT JOIN order_line o ON o.subscription_id = s.id
              GROUP BY s.id, s.traffic_bytes
              HAVING COALESCE(s.traffic_bytes, 0) > CAST(COALESCE(SUM(o.traffic_bytes), 0) AS BIGINT)
                  OR (COUNT(o.traffic_bytes) = COUNT(o.order_id)
                      AND COALESCE(s.traffic_bytes, 0) <> CAST(COALESCE(SUM(o.traffic_bytes), 0) AS BIGINT)) LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I6",
        rule: "every active subscription holds exactly one slot, of its exit, its network and its connection type",
        sql: "SELECT s.id AS broken FROM subscription s LEFT JOIN slot t ON t.subscription_id = s.id
              WHERE s.state = 'active'
                AND (t.exit_id IS NULL OR t.exit_id <> s.exit_id OR t.network_id <> s.network_id
                     OR t.connection_type <> s.connection_type) LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I6",
        rule: "no slot is held by a subscription that is not active, and none beyond its exit's capacity is sold",
        sql: "SELECT t.exit_id AS broken FROM slot t JOIN subscription s ON s.id = t.subscription_id WHERE s.state <> 'active'
              UNION ALL
              SELECT t.exit_id FROM slot t JOIN network_exit e ON e.id = t.exit_id
              WHERE t.sellable = 1 AND t.slot_no > CASE WHEN e.shared_slots = 0 THEN 1 ELSE e.shared_slots END LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I7",
        rule: "every subscription that is not over for good holds exactly its port of its gateway, and no other does",
        sql: "SELECT s.id AS broken FROM subscription s LEFT JOIN port p ON p.subscription_id = s.id
              WHERE s.state <> 'released' AND (p.port IS NULL OR p.port <> s.port OR p.gateway <> s.gateway)
              UNION ALL
              SELECT s.id FROM subscription s JOIN port p ON p.subscription_id = s.id WHERE s.state = 'released' LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I7",
        rule: "no two subscriptions that hold a port of one gateway have the same user name",
        sql: "SELECT username AS broken FROM subscription WHERE state <> 'released'
              GROUP BY gateway, username HAVING COUNT(*) > 1 LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I8",
        rule: "no coupon is redeemed more often than it may, and its counters are the number of its orders",
        sql: "SELECT c.code AS broken FROM coupon c
              WHERE c.redeemed > COALESCE(c.max_redemptions, c.redeemed)
                 OR c.redeemed <> (SELECT COUNT(*) FROM shop_order o WHERE o.coupon_id = c.id)
                 OR c.redeemed <> (SELECT CAST(COALESCE(SUM(u.redeemed), 0) AS BIGINT) FROM coupon_use u WHERE u.coupon_id = c.id)
              UNION ALL
              SELECT c.code FROM coupon_use u JOIN coupon c ON c.id = u.coupon_id
              WHERE u.redeemed > COALESCE(c.per_account, u.redeemed)
                 OR u.redeemed <> (SELECT COUNT(*) FROM shop_order o WHERE o.coupon_id = u.coupon_id AND o.account_id = u.account_id)
              LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I9",
        rule: "every remembered Idempotency-Key has its answer, and no key made two orders within the time that it is remembered",
        sql: "SELECT i.key AS broken FROM idempotency i WHERE i.sealed_outcome IS NULL
              UNION ALL
              SELECT i.key FROM idempotency i
              JOIN shop_order o ON o.account_id = i.account_id AND o.idempotency_key = i.key AND o.created_at >= i.created_at
              GROUP BY i.account_id, i.key HAVING COUNT(*) > 1 LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I10",
        rule: "every subscription has been told to its gateway, by a revision that the gateway has reached",
        sql: "SELECT s.id AS broken FROM subscription s JOIN gateway_state g ON g.gateway = s.gateway
              WHERE (s.told_gateway IS NULL OR s.told_gateway <> s.gateway OR s.revision < 1 OR s.revision > g.revision)
                AND NOT ($1 > 0 AND s.told_gateway IS NULL AND s.revision = 0 AND s.started_at > g.seen_at - $1)
              UNION ALL
              SELECT g.gateway FROM gateway_state g WHERE g.applied_revision > g.revision LIMIT 20",
        takes: Takes::Untold,
    },
    Invariant {
        name: "I10",
        rule: "every subscription is on its exit's gateway, which is not told that it has left",
        sql: "SELECT s.id AS broken FROM subscription s JOIN network_exit e ON e.id = s.exit_id
              WHERE s.state <> 'released' AND s.gateway <> e.gateway
              UNION ALL
              SELECT s.id FROM subscription s JOIN moved_route m ON m.subscription_id = s.id AND m.gateway = s.gateway LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I11",
        rule: "every subscription's traffic in all is the sum of its hours",
        sql: "SELECT s.id AS broken FROM subscription s
              LEFT JOIN (SELECT subscription_id, CAST(SUM(bytes_up) AS BIGINT) AS up, CAST(SUM(bytes_down) AS BIGINT) AS down
                         FROM traffic GROUP BY subscription_id) h ON h.subscription_id = s.id
              LEFT JOIN traffic_total t ON t.subscription_id = s.id
              WHERE COALESCE(h.up, 0) <> COALESCE(t.bytes_up, 0) OR COALESCE(h.down, 0) <> COALESCE(t.bytes_down, 0)
                 OR s.traffic_before > COALESCE(t.bytes_up, 0) + COALESCE(t.bytes_down, 0) LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I11",
        rule: "every account's traffic by day is the sum of its subscriptions' hours",
        sql: "SELECT account_id AS broken FROM
                  (SELECT account_id, day, bytes_up AS up, bytes_down AS down FROM traffic_day
                   UNION ALL
                   SELECT s.account_id, t.hour / 86400000, -t.bytes_up, -t.bytes_down
                   FROM traffic t JOIN subscription s ON s.id = t.subscription_id) moved
              GROUP BY account_id, day HAVING SUM(up) <> 0 OR SUM(down) <> 0 LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I12",
        rule: "no exit has two rotations open, and none is open long past its deadline",
        sql: "SELECT exit_id AS broken FROM rotation WHERE state IN ('queued', 'running')
              GROUP BY exit_id HAVING COUNT(*) > 1
              UNION ALL
              SELECT r.exit_id FROM rotation r JOIN gateway_state g ON g.gateway = r.gateway
              WHERE r.state IN ('queued', 'running') AND r.deadline < $1 AND g.seen_at > r.deadline + 300000 LIMIT 20",
        takes: Takes::Overdue,
    },
    Invariant {
        name: "I13",
        rule: "no account has two trials in one network within 30 days",
        sql: "SELECT a.account_id AS broken
              FROM shop_order a JOIN shop_order b
                ON b.account_id = a.account_id AND b.network_id = a.network_id AND b.kind = 'trial' AND b.id > a.id
              WHERE a.kind = 'trial' AND ABS(a.created_at - b.created_at) < 2592000000 LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I14",
        rule: "no money row has gone: every customer's postings are counted without a gap, each with the balance that follows",
        sql: "SELECT l.id AS broken FROM ledger_account l LEFT JOIN posting p ON p.ledger_account_id = l.id
              WHERE l.kind = 'customer' GROUP BY l.id, l.postings
              HAVING COUNT(p.number) <> l.postings OR COUNT(p.line) <> l.postings OR COALESCE(MAX(p.number), 0) <> l.postings
              UNION ALL
              SELECT p.transaction_id FROM posting p
              LEFT JOIN posting b ON b.ledger_account_id = p.ledger_account_id AND b.number = p.number - 1
              WHERE p.number IS NOT NULL AND p.balance_after <> COALESCE(b.balance_after, 0) + p.amount_cents LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I14",
        rule: "every money row that another one names is there, and every charge names its order",
        sql: "SELECT p.transaction_id AS broken FROM posting p
              WHERE NOT EXISTS (SELECT 1 FROM ledger_transaction t WHERE t.id = p.transaction_id)
              UNION ALL
              SELECT l.order_id FROM order_line l WHERE NOT EXISTS (SELECT 1 FROM shop_order o WHERE o.id = l.order_id)
              UNION ALL
              SELECT t.id FROM ledger_transaction t
              WHERE t.kind IN ('purchase', 'renewal', 'trial', 'refund')
                AND NOT EXISTS (SELECT 1 FROM shop_order o WHERE o.id = t.order_id) LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I16",
        rule: "every named link belongs to a subscription that is there, and has a token unless it was revoked",
        sql: "SELECT l.id AS broken FROM rotate_link l
              WHERE (l.token_hash IS NULL) <> (l.revoked_at IS NOT NULL)
                 OR NOT EXISTS (SELECT 1 FROM subscription s WHERE s.id = l.subscription_id) LIMIT 20",
        takes: Takes::Nothing,
    },
    Invariant {
        name: "I16",
        rule: "no subscription has more than 20 named links or remembers more than 20 revoked ones, and no two have one name",
        sql: "SELECT subscription_id AS broken FROM rotate_link
              GROUP BY subscription_id, CASE WHEN revoked_at IS NULL THEN 1 ELSE 0 END HAVING COUNT(*) > 20
              UNION ALL
              SELECT subscription_id FROM rotate_link WHERE revoked_at IS NULL
              GROUP BY subscription_id, name HAVING COUNT(*) > 1 OR name = 'main' LIMIT 20",
        takes: Takes::Nothing,
    },
];

/// Checks every invariant in one consistent view of the database.
///
/// I15 (what is revoked is refused within a second) and the half of I11 that says that traffic counters never fall are about moments
/// and not about rows; the schema (`CHECK`, triggers) and tests hold them.
///
/// # Errors
/// Only the database's.
pub async fn audit(shop: &Shop) -> Result<Vec<Finding>> {
    let (owned, now) = (shop.clone(), shop.now());
    shop.store
        .read(move |tx| {
            let owned = owned.clone();
            Box::pin(async move {
                tx.take_time().await?;
                let mut findings = Vec::with_capacity(INVARIANTS.len());
                for invariant in INVARIANTS {
                    findings.push(check(tx, invariant, now).await?);
                }
                findings.extend(links::check(&owned, tx).await?);
                Ok(findings)
            })
        })
        .await
}

async fn check(tx: &mut Tx, invariant: &Invariant, now: UnixMillis) -> Result<Finding> {
    let values = match invariant.takes {
        Takes::Nothing => Vec::new(),
        Takes::Overdue => vec![Value::Int(now.minus(OVERDUE).0)],
        Takes::Untold => vec![Value::Int(match tx.engine() {
            Engine::Sqlite => 0,
            Engine::Postgres => UNTOLD.0,
        })],
    };
    let rows = tx.all(invariant.sql, &values).await?;
    Ok(Finding {
        invariant: invariant.name,
        rule: invariant.rule,
        broken: rows.iter().map(|row| row.text("broken")).collect::<Result<_>>()?,
    })
}
