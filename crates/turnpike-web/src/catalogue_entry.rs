//! One plan or coupon, as a form or a program says it: read by the same rules as a catalogue's file, by writing it as one.

use turnpike_shop::catalogue::{Catalogue, Coupon, Plan};
use turnpike_shop::types::{Cents, ConnectionType};
use turnpike_shop::{Error as ShopError, Refusal};

use crate::config::CatalogueText;
use crate::error::ApiError;

/// A plan's values. What is empty is left out.
pub(crate) struct PlanEntry<'a> {
    pub(crate) code: &'a str,
    pub(crate) network: &'a str,
    pub(crate) connection_type: ConnectionType,
    pub(crate) duration: &'a str,
    pub(crate) price: Cents,
    pub(crate) is_popular: bool,
    pub(crate) trial: &'a str,
    pub(crate) max_connections: &'a str,
    pub(crate) max_source_addresses: &'a str,
    pub(crate) mbit_per_second: &'a str,
    pub(crate) traffic_gb: &'a str,
}

impl PlanEntry<'_> {
    /// # Errors
    /// The catalogue's sentence about what is wrong.
    pub(crate) fn read(&self, text: CatalogueText) -> Result<Plan, ApiError> {
        let entry = Entry::default()
            // The plan's network is read with it; that it is one of the shop's, the shop says.
            .table("network")
            .string("code", self.network)
            .string("city", "-")
            .string("country", "NL")
            .string("type", "isp")
            .table("plan")
            .string("code", self.code)
            .string("network", self.network)
            .string("connection_type", self.connection_type.as_str())
            .string("duration", self.duration)
            .bare("price_cents", &self.price.0.to_string())
            .bare("popular", if self.is_popular { "true" } else { "false" })
            .string("trial", self.trial)
            .number("max_connections", self.max_connections)
            .number("max_source_addresses", self.max_source_addresses)
            .number("mbit_per_second", self.mbit_per_second)
            .number("traffic_gb", self.traffic_gb);
        let plan = entry.read(text)?.plans.pop();
        plan.ok_or_else(|| ShopError::Failed("a plan was not read".to_owned()).into())
    }
}

/// A coupon's values. What is empty is left out.
pub(crate) struct CouponEntry<'a> {
    pub(crate) code: &'a str,
    pub(crate) percent_off: &'a str,
    pub(crate) cents_off: &'a str,
    pub(crate) max_redemptions: &'a str,
    pub(crate) per_account: &'a str,
    /// A moment with its zone.
    pub(crate) valid_until: &'a str,
}

impl CouponEntry<'_> {
    /// # Errors
    /// The catalogue's sentence about what is wrong.
    pub(crate) fn read(&self, text: CatalogueText) -> Result<Coupon, ApiError> {
        let entry = Entry::default()
            .table("coupon")
            .string("code", self.code)
            .number("percent_off", self.percent_off)
            .number("cents_off", self.cents_off)
            .number("max_redemptions", self.max_redemptions)
            .number("per_account", self.per_account)
            .string("valid_until", self.valid_until);
        let coupon = entry.read(text)?.coupons.pop();
        coupon.ok_or_else(|| ShopError::Failed("a coupon was not read".to_owned()).into())
    }
}

/// Tables of a catalogue's text.
#[derive(Default)]
struct Entry(String);

impl Entry {
    fn table(mut self, name: &str) -> Self {
        self.0.push_str(&format!("[[{name}]]\n"));
        self
    }

    /// A string, even where it looks like a number.
    fn string(mut self, key: &str, value: &str) -> Self {
        if !value.is_empty() {
            // JSON's strings are TOML's basic strings, but for one character that neither codes nor names have.
            self.0
                .push_str(&format!("{key} = {}\n", serde_json::Value::from(value)));
        }
        self
    }

    /// A number; what is none is told by whoever reads it.
    fn number(self, key: &str, value: &str) -> Self {
        match value.parse::<i64>() {
            Ok(number) => self.bare(key, &number.to_string()),
            Err(_) => self.string(key, value),
        }
    }

    fn bare(mut self, key: &str, value: &str) -> Self {
        self.0.push_str(&format!("{key} = {value}\n"));
        self
    }

    /// # Errors
    /// The catalogue's sentence about what is wrong, without a line: nobody has seen one.
    fn read(&self, text: CatalogueText) -> Result<Catalogue, ApiError> {
        (text.read)("form", &self.0).map_err(|mistake| {
            let sentence = mistake
                .split_once(": ")
                .filter(|(place, _)| place.starts_with("form"))
                .map_or(mistake.as_str(), |(_, sentence)| sentence);
            ApiError::from(Refusal::Catalogue(sentence.to_owned()))
        })
    }
}
