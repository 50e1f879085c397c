//! A shop that has ten thousand of everything, as a customer and an operator find their way in it.

use rusqlite::Connection;
use serde_json::json;
use testbed::turnpike::Turnpike;

use crate::{EMAIL, OPERATOR, account, browser, database, done};

/// So many that nobody can look through them by eye.
const MANY: usize = 10_000;

#[test]
fn ten_thousand_of_everything_are_searched_sorted_and_leafed_through() {
    let Some(mut walk) = browser("many.mjs") else { return };
    let mut shop = Turnpike::with()
        .network("NL-AMS")
        .shared("exit", "127.0.4.1", 500)
        .start();
    let (customers, operators) = (account(&shop, EMAIL, &[]), account(&shop, OPERATOR, &["--admin"]));
    shop.run(&["account", "credit", EMAIL, "5000"]);
    let key = shop.key(EMAIL, &[]);
    let order = json!({"op": "purchase", "planId": key.plan("NL-AMS", "shared")});
    let _ = key.order(&order).expect_status(200);
    let database = database(&shop);
    let kept = shop.home().join("kept.db");
    database
        .execute("VACUUM INTO ?1", [kept.display().to_string()])
        .expect("keeping the database");
    fill(&database);
    walk.env("SHOP", shop.url("").trim_end_matches('/'))
        .env("EMAIL", EMAIL)
        .env("PASSWORD", customers)
        .env("OPERATOR", OPERATOR)
        .env("OPERATOR_PASSWORD", operators)
        .env("MANY", MANY.to_string());
    done(&mut walk);
    // Nobody has paid for them, which the audit at the end would tell: the shop becomes what it was.
    drop(database);
    shop.stop();
    for beside in ["turnpike.db-wal", "turnpike.db-shm"] {
        let _ = std::fs::remove_file(shop.home().join(beside));
    }
    std::fs::rename(kept, shop.home().join("turnpike.db")).expect("the database as it was");
}

/// More of everything, each with a name of its own. Gateways are not told of them.
fn fill(database: &Connection) {
    database
        .execute_batch(&format!(
            "CREATE TEMP TABLE number AS WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < {MANY} - 1) SELECT n FROM up"
        ))
        .expect("numbers");
    multiply(
        database,
        "subscription",
        &[
            ("id", "printf('many%020d', n)"),
            ("port", "port + n"),
            ("username", "printf('many%d', n)"),
            ("rotate_token_hash", "randomblob(32)"),
            ("user_note", "printf('Customer %05d', n)"),
            ("ends_at", "ends_at + n * 60000"),
        ],
    );
    multiply(
        database,
        "account",
        &[
            ("id", "printf('many%020d', n)"),
            ("email", "printf('person-%05d@host-%d.example', n, n % 100)"),
            ("created_at", "created_at - n"),
        ],
    );
    database
        .execute_batch(
            "INSERT INTO ledger_account (id, kind, balance, postings) SELECT printf('many%020d', n), 'customer', n, 0 FROM number",
        )
        .expect("writing balances");
    multiply(
        database,
        "shop_order",
        &[
            ("id", "printf('many%020d', n)"),
            ("created_at", "created_at - n * 60000"),
            ("idempotency_key", "NULL"),
        ],
    );
    multiply(
        database,
        "network_exit",
        &[("id", "printf('many%020d', n)"), ("name", "printf('exit-%05d', n)")],
    );
    multiply(
        database,
        "audit_log",
        &[
            ("id", "printf('many%020d', n)"),
            ("number", "number + n"),
            (
                "action",
                "CASE n % 2 WHEN 1 THEN 'account.credit' ELSE 'exit.drain' END",
            ),
            ("subject", "printf('subject-%05d', n)"),
        ],
    );
    // Bookings have two lines, of which the customer's is numbered.
    let owner = format!("(SELECT id FROM account WHERE email = '{EMAIL}')");
    database
        .execute_batch(&format!(
            "CREATE TEMP TABLE past AS SELECT balance, postings FROM ledger_account WHERE id = {owner};
             INSERT INTO ledger_transaction (id, kind, order_id, note, created_at)
                 SELECT printf('many%020d', n), 'credit', NULL, printf('bank transfer %05d', n), (SELECT MAX(created_at) FROM ledger_transaction)
                 FROM number;
             INSERT INTO posting (transaction_id, line, ledger_account_id, amount_cents, number, balance_after, created_at)
                 SELECT printf('many%020d', n), 1, {owner}, 100, postings + n, balance + 100 * n, (SELECT MAX(created_at) FROM ledger_transaction)
                 FROM number, past;
             UPDATE ledger_account SET postings = postings + {MANY} - 1, balance = balance + 100 * ({MANY} - 1) WHERE id = {owner};"
        ))
        .expect("writing bookings");
}

/// Writes many more of a table's oldest row; what is not named here is as it is there.
fn multiply(database: &Connection, table: &str, own: &[(&str, &str)]) {
    let mut columns = database
        .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
        .expect("asking for the columns");
    let columns: Vec<String> = columns
        .query_map([], |row| row.get(0))
        .expect("the columns")
        .collect::<Result<_, _>>()
        .expect("their names");
    for (name, _) in own {
        assert!(columns.iter().any(|column| column == name), "{table} has no {name}");
    }
    let values: Vec<&str> = columns
        .iter()
        .map(|column| {
            own.iter()
                .find(|(name, _)| name == column)
                .map_or(column.as_str(), |(_, value)| value)
        })
        .collect();
    let written = database
        .execute(
            &format!(
                "INSERT INTO {table} SELECT {} FROM (SELECT * FROM {table} ORDER BY rowid LIMIT 1), number",
                values.join(", ")
            ),
            [],
        )
        .unwrap_or_else(|error| panic!("writing more of {table}: {error}"));
    assert_eq!(written, MANY - 1);
}
