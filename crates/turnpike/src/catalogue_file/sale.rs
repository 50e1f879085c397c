//! Plans and coupons, as the catalogue spells them.

use std::time::Duration;

use jiff::Timestamp;
use turnpike_shop::catalogue::{Coupon, Discount, Plan};
use turnpike_shop::limits::{GIGABYTE, Limits};
use turnpike_shop::types::{Cents, ConnectionType, Span, UnixMillis};

use super::{Seen, code_text, hint};
use crate::document::{Mistake, Table, Value};

const MINUTE: Duration = Duration::from_secs(60);
/// Ten years.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

/// An order multiplies a price by at most 10,000; the product stays far below what a balance can hold.
const HIGHEST_CENTS: i64 = 1_000_000_000;
const MOST_REDEMPTIONS: i64 = 1_000_000_000;

const MOST_CONNECTIONS: i64 = 1_000_000;
/// A gateway remembers so many per subscription.
const MOST_SOURCES: i64 = 10_000;
/// 100 Gbit/s.
const FASTEST: i64 = 100_000;
/// A hundred terabytes: 900 orders of a hundred periods of it can still be counted.
const MOST_GIGABYTES: i64 = 100_000;

pub(super) fn plan(table: Table, networks: &[&str], codes: &mut Seen) -> Result<Plan, Mistake> {
    let mut table = table.with_keys(&[
        "code",
        "network",
        "connection_type",
        "duration",
        "price_cents",
        "popular",
        "trial",
        "max_connections",
        "max_source_addresses",
        "mbit_per_second",
        "traffic_gb",
    ])?;
    let code = table.need("code")?;
    let code = codes.add(&code, code_text(&code)?)?;
    let network = table.need("network")?;
    let name = network.text()?.to_owned();
    if !networks.contains(&name.as_str()) {
        return Err(network.wrong(&format!(
            "names {network}, which is no network of this catalogue; {}",
            hint(&name, networks)
        )));
    }
    Ok(Plan {
        code,
        network: name,
        connection_type: table
            .need("connection_type")?
            .parsed::<ConnectionType>("\"private\" or \"shared\"")?,
        duration: span(&table.need("duration")?)?,
        price: Cents(table.need("price_cents")?.integer(0..=HIGHEST_CENTS)?),
        popular: table.or("popular", false, |value| value.boolean())?,
        trial: table.optional("trial", |value| span(&value))?,
        limits: limits(&mut table)?,
    })
}

/// What a plan limits; a key that is absent is no limit.
fn limits(table: &mut Table) -> Result<Limits, Mistake> {
    let traffic_gb: Option<i64> = table.optional("traffic_gb", |value| value.integer(1..=MOST_GIGABYTES))?;
    Ok(Limits {
        max_connections: table.optional("max_connections", |value| value.integer(1..=MOST_CONNECTIONS))?,
        max_source_addresses: table.optional("max_source_addresses", |value| value.integer(1..=MOST_SOURCES))?,
        mbit_per_second: table.optional("mbit_per_second", |value| value.integer(1..=FASTEST))?,
        traffic_bytes: traffic_gb.map(|gigabytes| gigabytes * GIGABYTE),
    })
}

fn span(value: &Value) -> Result<Span, Mistake> {
    let duration = value.duration(MINUTE..=LONGEST)?;
    Ok(Span(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
}

pub(super) fn coupon(table: Table, codes: &mut Seen) -> Result<Coupon, Mistake> {
    let mut table = table.with_keys(&[
        "code",
        "percent_off",
        "cents_off",
        "max_redemptions",
        "per_account",
        "valid_until",
    ])?;
    let code = table.need("code")?;
    let name = code_text(&code)?;
    // Customers type it in any case.
    codes.add(&code, name.to_uppercase())?;
    let discount = match (table.take("percent_off"), table.take("cents_off")) {
        (Some(percent), None) => Discount::Percent(percent.integer(1..=100)?),
        (None, Some(cents)) => Discount::Fixed(Cents(cents.integer(1..=HIGHEST_CENTS)?)),
        (Some(_), Some(cents)) => {
            return Err(cents.wrong("stands beside percent_off; a coupon takes off one of the two"));
        }
        (None, None) => return Err(table.wrong(&format!("{name} needs percent_off or cents_off"))),
    };
    Ok(Coupon {
        code: name,
        discount,
        max_redemptions: table.optional("max_redemptions", |value| value.integer(1..=MOST_REDEMPTIONS))?,
        per_account: table.optional("per_account", |value| value.integer(1..=MOST_REDEMPTIONS))?,
        valid_until: table.optional("valid_until", |value| moment(&value))?,
    })
}

fn moment(value: &Value) -> Result<UnixMillis, Mistake> {
    let text = value.moment()?;
    let moment = text.parse::<Timestamp>().map_err(|_| {
        value.wrong(&format!(
            "must be a moment with its time zone, like \"2027-01-01T00:00:00Z\", not {value}"
        ))
    })?;
    Ok(UnixMillis(moment.as_millisecond()))
}
