//! From where accounts are used: by browsers, by API keys. Operators compare those that try things by it ([`crate::trials`]).

use std::net::{IpAddr, Ipv6Addr};

use crate::error::Result;
use crate::store::{Tx, Value};
use crate::types::{AccountId, Span, UnixMillis};

/// How long it is kept.
const KEPT: Span = Span::days(30);
/// The part of an IPv6 address that is a customer's line; the rest is his devices', and changes by itself.
const LINE: u128 = !0 << 64;

/// An account was used from here.
pub(crate) async fn note(tx: &mut Tx, account: &AccountId, source: IpAddr, now: UnixMillis) -> Result<()> {
    tx.execute(
        "INSERT INTO account_source (account_id, source, seen_at) VALUES ($1, $2, $3)
         ON CONFLICT (account_id, source) DO UPDATE SET seen_at = $3",
        &[
            Value::Text(account.to_string()),
            Value::Text(line(source)),
            Value::Int(now.0),
        ],
    )
    .await?;
    Ok(())
}

/// Forgets what is older than [`KEPT`], at most `limit` rows; how many.
pub(crate) async fn forget(tx: &mut Tx, now: UnixMillis, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM account_source WHERE (account_id, source) IN
             (SELECT account_id, source FROM account_source WHERE seen_at <= $1 ORDER BY seen_at LIMIT $2)",
        &[Value::Int(now.minus(KEPT).0), Value::Int(limit)],
    )
    .await
}

fn line(source: IpAddr) -> String {
    match source.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{}/64", Ipv6Addr::from_bits(address.to_bits() & LINE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_address_or_a_slash_64() {
        for (source, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(source.parse().map(line), Ok(expected.to_owned()));
        }
    }
}
