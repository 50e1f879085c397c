//! Links and lists of addresses, row by row: a token is made by the shop's key, and a list of addresses is a text.

use super::Finding;
use crate::address_list::AddressList;
use crate::error::Result;
use crate::rotation::{named_token, own_token, token_hash};
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{LinkId, SubscriptionId};

/// Rows that are read at a time.
const PAGE: i64 = 1_000;

/// How many are named of those that break a rule.
const NAMED: usize = 20;

/// I16, as far as a query cannot tell.
pub(super) async fn check(shop: &Shop, tx: &mut Tx) -> Result<Vec<Finding>> {
    let own = walk(
        tx,
        "SELECT id, rotate_version AS version, rotate_token_hash AS token_hash FROM subscription
         WHERE id > $1 ORDER BY id LIMIT $2",
        |row| {
            let token = SubscriptionId::try_from(row.text("id")?)
                .ok()
                .zip(row.int("version").ok())
                .map(|(id, version)| own_token(shop, &id, version));
            is_token(row, token)
        },
    );
    let mut tokens = own.await?;
    let named = walk(
        tx,
        "SELECT id, version, token_hash FROM rotate_link
         WHERE token_hash IS NOT NULL AND id > $1 ORDER BY id LIMIT $2",
        |row| {
            let token = LinkId::try_from(row.text("id")?)
                .ok()
                .zip(row.int("version").ok())
                .map(|(id, version)| named_token(shop, &id, version));
            is_token(row, token)
        },
    );
    tokens.extend(named.await?);
    let mut lists = walk(
        tx,
        "SELECT id, allowed_addresses FROM subscription
         WHERE allowed_addresses <> '' AND id > $1 ORDER BY id LIMIT $2",
        is_list,
    )
    .await?;
    let of_links = walk(
        tx,
        "SELECT id, allowed_addresses FROM rotate_link
         WHERE allowed_addresses <> '' AND id > $1 ORDER BY id LIMIT $2",
        is_list,
    );
    lists.extend(of_links.await?);
    Ok(vec![
        finding(
            "every link is found by the token that its id and its version give",
            tokens,
        ),
        finding(
            "every list of allowed addresses can be read, within its bounds and as it was written",
            lists,
        ),
    ])
}

fn finding(rule: &'static str, mut broken: Vec<String>) -> Finding {
    broken.truncate(NAMED);
    Finding {
        invariant: "I16",
        rule,
        broken,
    }
}

/// Reads a table in pages, by the column `id`; the ids of the rows of which `holds` does not hold, the first of them.
async fn walk(tx: &mut Tx, sql: &'static str, holds: impl Fn(&Row) -> Result<bool>) -> Result<Vec<String>> {
    let (mut broken, mut last) = (Vec::new(), String::new());
    loop {
        let rows = tx.all(sql, &[Value::Text(last.clone()), Value::Int(PAGE)]).await?;
        for row in &rows {
            last = row.text("id")?;
            if !holds(row)? {
                broken.push(last.clone());
            }
        }
        if rows.is_empty() || broken.len() >= NAMED {
            return Ok(broken);
        }
    }
}

/// Whether a row has the hash of this token.
fn is_token(row: &Row, token: Option<String>) -> Result<bool> {
    let stored = row.bytes("token_hash")?;
    Ok(token.is_some_and(|token| token_hash(&token) == stored))
}

/// Whether a row's list is one, and is written as it would be written now.
fn is_list(row: &Row) -> Result<bool> {
    let stored = row.text("allowed_addresses")?;
    Ok(AddressList::read(&stored).is_some_and(|list| list.stored() == stored))
}
