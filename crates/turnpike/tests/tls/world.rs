//! A shop whose gateway has a certificate of an authority that only these tests know.

use serde_json::{Value, json};
use testbed::authority::Authority;
use testbed::turnpike::{Builder, Turnpike};
use url::Url;

/// The exit that is bought, told by its address.
pub(crate) const EXIT: &str = "127.0.0.11";

/// An installation that is to use what this authority has issued.
pub(crate) fn certified(authority: &Authority) -> Builder {
    Turnpike::with()
        .certified(authority)
        .network("NL-AMS")
        .pool("nl-1", &[EXIT])
}

/// Buys by the API alone: the host in its links may be a name that only the test knows. The port, and the URL of HTTP.
pub(crate) fn bought(shop: &Turnpike) -> (u16, String) {
    let plan = shop.plan("NL-AMS", "private");
    let order = json!({"op": "purchase", "planId": plan, "repeatCount": 1, "quantity": 1});
    let _ = shop.order(&order).expect_status(200);
    let http = protocols(shop)["http"].as_str().unwrap().to_owned();
    (Url::parse(&http).unwrap().port().unwrap(), http)
}

/// What the API says of the first subscription.
pub(crate) fn protocols(shop: &Turnpike) -> Value {
    let answer = shop.ask("subscriptions").expect_status(200).json();
    answer["subscriptions"][0]["protocols"].clone()
}

/// The value of a gauge, where it is set.
pub(crate) fn gauge(shop: &Turnpike, name: &str) -> Option<f64> {
    let text = testbed::client::curled(&[&format!("http://{}/metrics", shop.metrics())]);
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")))?;
    line.parse().ok()
}
