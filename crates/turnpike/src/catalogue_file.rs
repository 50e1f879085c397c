//! The operator's file of what is sold: networks with their exits, plans, coupons.
//!
//! It is read whole or not at all. What contradicts itself is told here with both lines; what contradicts the database (an exit that
//! cannot move, a gateway that nobody knows) is told by [`turnpike_shop::catalogue::apply`].

mod country;
mod exit;
mod sale;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests;
mod write;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use turnpike_shop::catalogue::{Catalogue, Network};
use turnpike_shop::types::NetworkType;

pub(crate) use write::text;

use crate::document::{self, Mistake, Table, Value, nearest};

/// Reads the catalogue in `file`.
///
/// # Errors
/// The file cannot be read, or a [`Mistake`] that names the line and the key.
pub(crate) fn read(file: &Path) -> anyhow::Result<Catalogue> {
    let text = fs::read_to_string(file).with_context(|| format!("the catalogue {} cannot be read", file.display()))?;
    Ok(parse(&file.display().to_string(), &text)?)
}

/// Reads a catalogue's text; `file` is what mistakes call it.
///
/// # Errors
/// A [`Mistake`] that names the line and the key.
pub(crate) fn parse(file: &str, text: &str) -> Result<Catalogue, Mistake> {
    let mut root = document::parse(file, text)?.with_keys(&["network", "plan", "coupon"])?;
    let (networks, plans, coupons) = (root.take("network"), root.take("plan"), root.take("coupon"));

    let mut codes = Seen::default();
    let networks = tables(networks)?
        .into_iter()
        .map(|table| network(table, &mut codes))
        .collect::<Result<Vec<_>, _>>()?;
    let codes: Vec<&str> = networks.iter().map(|network| network.code.as_str()).collect();

    let mut seen = Seen::default();
    let plans = tables(plans)?
        .into_iter()
        .map(|table| sale::plan(table, &codes, &mut seen))
        .collect::<Result<_, _>>()?;
    let mut seen = Seen::default();
    let coupons = tables(coupons)?
        .into_iter()
        .map(|table| sale::coupon(table, &mut seen))
        .collect::<Result<_, _>>()?;
    Ok(Catalogue {
        networks,
        plans,
        coupons,
    })
}

fn network(table: Table, codes: &mut Seen) -> Result<Network, Mistake> {
    let mut table = table.with_keys(&["code", "city", "country", "type", "allow_smtp", "exit"])?;
    let code = table.need("code")?;
    let name = codes.add(&code, code_text(&code)?)?;
    let mut exits = Seen::default();
    Ok(Network {
        code: name,
        city: table.need("city")?.spelled("the name of a city", |text| {
            let text = text.trim();
            (!text.is_empty() && text.chars().count() <= 100).then(|| text.to_owned())
        })?,
        country: table.need("country")?.spelled(
            "a country's ISO 3166-1 code of two capital letters, like \"NL\"",
            country::code,
        )?,
        network_type: table
            .need("type")?
            .parsed::<NetworkType>("\"mobile\", \"residential\", \"datacenter\" or \"isp\"")?,
        allow_smtp: table.or("allow_smtp", false, |value| value.boolean())?,
        exits: tables(table.take("exit"))?
            .into_iter()
            .map(|table| exit::exit(table, &mut exits))
            .collect::<Result<_, _>>()?,
    })
}

/// The tables of an array such as `[[network]]`.
fn tables(value: Option<Value>) -> Result<Vec<Table>, Mistake> {
    match value {
        Some(value) => value.tables(),
        None => Ok(Vec::new()),
    }
}

/// A code or name that operators choose: it stands in URLs, logs and metrics.
fn code_text(value: &Value) -> Result<String, Mistake> {
    value.spelled("1 to 64 letters, digits, dots, dashes and underscores", |text| {
        let is_fit = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        is_fit.then(|| text.to_owned())
    })
}

/// Names that have come, each once, with the place of the first.
#[derive(Debug, Default)]
struct Seen(HashMap<String, Value>);

impl Seen {
    /// The name, if it has not come before.
    fn add(&mut self, value: &Value, name: String) -> Result<String, Mistake> {
        match self.0.insert(name.clone(), value.clone()) {
            None => Ok(name),
            Some(first) => Err(value.wrong(&format!("{value} stands twice; first {}", first.place()))),
        }
    }
}

/// The end of a sentence that tells what would have been understood.
fn hint(wanted: &str, known: &[&str]) -> String {
    match nearest(wanted, known) {
        Some(near) => format!("did you mean {near}?"),
        None if known.is_empty() => "it has none".to_owned(),
        None => format!("it has {}", known.join(", ")),
    }
}
