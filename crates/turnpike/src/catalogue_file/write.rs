//! The catalogue as a file: what [`super::parse`] reads back to the same.

use std::fmt::Write as _;

use jiff::Timestamp;
use turnpike_shop::catalogue::{Catalogue, Coupon, Discount, Exit, ExitWay, Network, Plan, RotateMethod};
use turnpike_shop::limits::GIGABYTE;

use super::exit::USUAL_DRAIN_SECONDS;

/// The file's text. It holds the exits' credentials.
pub(crate) fn text(catalogue: &Catalogue) -> String {
    let mut file = File::default();
    for network in &catalogue.networks {
        file.network(network);
    }
    for plan in &catalogue.plans {
        file.plan(plan);
    }
    for coupon in &catalogue.coupons {
        file.coupon(coupon);
    }
    file.0
}

/// Text so far. Writing to memory cannot fail.
#[derive(Default)]
struct File(String);

impl File {
    fn table(&mut self, name: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}[[{name}]]");
    }

    fn bare(&mut self, key: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn string(&mut self, key: &str, value: &str) {
        self.bare(key, quoted(value));
    }

    fn number(&mut self, key: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.bare(key, value);
        }
    }

    fn network(&mut self, network: &Network) {
        self.table("network");
        self.string("code", &network.code);
        self.string("city", &network.city);
        self.string("country", &network.country);
        self.string("type", network.network_type.as_str());
        if network.allow_smtp {
            self.bare("allow_smtp", true);
        }
        for exit in &network.exits {
            self.exit(exit);
        }
    }

    fn exit(&mut self, exit: &Exit) {
        self.table("network.exit");
        self.string("name", &exit.name);
        if let Some(gateway) = &exit.gateway {
            self.string("gateway", gateway);
        }
        match &exit.spec.way {
            ExitWay::Addresses(pool) => {
                let pool: Vec<String> = pool.iter().map(|address| quoted(&address.to_string())).collect();
                self.bare("addresses", format!("[{}]", pool.join(", ")));
            }
            ExitWay::Prefix(prefix) => self.string("prefix", &prefix.to_string()),
            ExitWay::Interface(device) => self.string("interface", device),
            ExitWay::Upstream(url) => self.string("upstream", url),
        }
        match &exit.spec.rotate {
            Some(RotateMethod::Command(words)) => {
                let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                self.bare("rotate", format!("{{ command = [{}] }}", words.join(", ")));
            }
            Some(RotateMethod::Http(url)) => self.bare("rotate", format!("{{ http = {} }}", quoted(url))),
            None => {}
        }
        if exit.spec.drain_seconds != USUAL_DRAIN_SECONDS {
            self.bare("drain_seconds", exit.spec.drain_seconds);
        }
        if exit.shared_slots > 0 {
            self.bare("shared_slots", exit.shared_slots);
        }
    }

    fn plan(&mut self, plan: &Plan) {
        self.table("plan");
        self.string("code", &plan.code);
        self.string("network", &plan.network);
        self.string("connection_type", plan.connection_type.as_str());
        self.string("duration", &plan.duration.to_string());
        self.bare("price_cents", plan.price.0);
        if plan.popular {
            self.bare("popular", true);
        }
        if let Some(trial) = plan.trial {
            self.string("trial", &trial.to_string());
        }
        self.number("max_connections", plan.limits.max_connections);
        self.number("max_source_addresses", plan.limits.max_source_addresses);
        self.number("mbit_per_second", plan.limits.mbit_per_second);
        self.number("traffic_gb", plan.limits.traffic_bytes.map(|bytes| bytes / GIGABYTE));
    }

    fn coupon(&mut self, coupon: &Coupon) {
        self.table("coupon");
        self.string("code", &coupon.code);
        match coupon.discount {
            Discount::Percent(percent) => self.bare("percent_off", percent),
            Discount::Fixed(cents) => self.bare("cents_off", cents.0),
        }
        self.number("max_redemptions", coupon.max_redemptions);
        self.number("per_account", coupon.per_account);
        // The schema holds what the catalogue said, which was a moment.
        if let Some(until) = coupon.valid_until.and_then(|at| Timestamp::from_millisecond(at.0).ok()) {
            self.string("valid_until", &until.to_string());
        }
    }
}

/// A basic string (TOML 1.0, section String): quotes, backslashes and control characters escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_ascii_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
