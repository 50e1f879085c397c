//! One way out, as the catalogue spells it.

use std::net::IpAddr;

use ipnet::Ipv6Net;
use percent_encoding::percent_decode_str;
use turnpike_shop::catalogue::{Exit, ExitSpec, ExitWay, RotateMethod};
use url::Url;

use super::{Seen, code_text};
use crate::document::{Mistake, Table, Value};

/// How long tunnels keep their address after a rotation, where the catalogue does not say.
pub(super) const USUAL_DRAIN_SECONDS: u32 = 30;
const DAY_SECONDS: u32 = 86_400;
const MOST_SLOTS: i64 = 10_000;

/// The ways out, of which an exit has one.
const WAYS: [&str; 4] = ["addresses", "prefix", "interface", "upstream"];

pub(super) fn exit(table: Table, names: &mut Seen) -> Result<Exit, Mistake> {
    let mut table = table.with_keys(&[
        "name",
        "gateway",
        "addresses",
        "prefix",
        "interface",
        "upstream",
        "rotate",
        "shared_slots",
        "drain_seconds",
    ])?;
    let name = table.need("name")?;
    let name = names.add(&name, code_text(&name)?)?;
    Ok(Exit {
        gateway: table.optional("gateway", |value| code_text(&value))?,
        spec: ExitSpec {
            way: way(&mut table, &name)?,
            rotate: table.optional("rotate", rotate)?,
            drain_seconds: table.or("drain_seconds", USUAL_DRAIN_SECONDS, |value| {
                value.integer(0..=DAY_SECONDS)
            })?,
        },
        shared_slots: table.or("shared_slots", 0, |value| value.integer(1..=MOST_SLOTS))?,
        name,
    })
}

fn way(table: &mut Table, name: &str) -> Result<ExitWay, Mistake> {
    let mut given = Vec::new();
    for key in WAYS {
        given.extend(table.take(key).map(|value| (key, value)));
    }
    let mut given = given.into_iter();
    match (given.next(), given.next()) {
        (None, _) => Err(table.wrong(&format!("{name} needs one of {}", WAYS.join(", ")))),
        (Some((first, _)), Some((_, second))) => Err(second.wrong(&format!(
            "stands beside {first}, and {name} can leave only one way; give one of {}",
            WAYS.join(", ")
        ))),
        (Some(("addresses", value)), None) => pool(value).map(ExitWay::Addresses),
        (Some(("prefix", value)), None) => prefix(&value).map(ExitWay::Prefix),
        (Some(("interface", value)), None) => device(&value).map(ExitWay::Interface),
        (Some((_, value)), None) => upstream(&value).map(ExitWay::Upstream),
    }
}

fn pool(value: Value) -> Result<Vec<IpAddr>, Mistake> {
    let mut pool = Vec::new();
    for value in value.clone().list()? {
        let address = value.spelled("an address of this machine, like \"198.51.100.11\"", |text| {
            let address = text.parse::<IpAddr>().ok()?;
            let is_fit = !address.is_unspecified() && !address.is_multicast() && !is_broadcast(address);
            is_fit.then_some(address)
        })?;
        if pool.contains(&address) {
            return Err(value.wrong(&format!("has {address} twice")));
        }
        pool.push(address);
    }
    if pool.is_empty() {
        return Err(value.wrong("must have at least one address"));
    }
    Ok(pool)
}

fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_broadcast())
}

fn prefix(value: &Value) -> Result<Ipv6Net, Mistake> {
    let prefix: Ipv6Net = value.parsed("an IPv6 prefix like \"2001:db8:1::/48\"")?;
    if prefix.addr() != prefix.network() {
        return Err(value.wrong(&format!("has bits beyond its length; write \"{}\"", prefix.trunc())));
    }
    if prefix.prefix_len() == 128 {
        return Err(value.wrong(&format!(
            "is a single address; write addresses = [\"{}\"] instead",
            prefix.addr()
        )));
    }
    Ok(prefix)
}

/// A device's name, as Linux allows it.
fn device(value: &Value) -> Result<String, Mistake> {
    value.spelled("the name of a network device, like \"wwan0\"", |text| {
        let is_fit = (1..=15).contains(&text.len())
            && text != "."
            && text != ".."
            && !text
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || "/:".contains(c));
        is_fit.then(|| text.to_owned())
    })
}

/// The text is never shown: it may hold a password.
fn upstream(value: &Value) -> Result<String, Mistake> {
    let text = value.secret()?;
    let is_text = |part: &str| percent_decode_str(part).decode_utf8().is_ok();
    let is_fit = |url: &Url| {
        matches!(url.scheme(), "http" | "socks5" | "socks5h")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.port() != Some(0)
            && is_text(url.username())
            && is_text(url.password().unwrap_or_default())
    };
    match Url::parse(text) {
        Ok(url) if is_fit(&url) => Ok(text.to_owned()),
        _ => Err(value.wrong(
            "must be like \"socks5://user:password@198.51.100.7:1080\" or \"http://proxy.example:3128\", \
             with special characters of the password percent-encoded",
        )),
    }
}

fn rotate(value: Value) -> Result<RotateMethod, Mistake> {
    let one_of =
        "must be { command = [\"/usr/local/bin/redial\", \"wwan0\"] } or { http = \"http://192.168.8.1/redial\" }";
    // Kept for the sentence; neither method is shown, since both may hold a password.
    let whole = value.clone();
    let Ok(mut table) = value.table() else {
        return Err(whole.wrong(one_of));
    };
    if let Some(value) = table.take("modemmanager") {
        return Err(value.wrong("is not supported by this version yet; rotate by command or by http"));
    }
    let mut table = table.with_keys(&["command", "http"])?;
    match (table.take("command"), table.take("http")) {
        (Some(value), None) => command(value).map(RotateMethod::Command),
        (None, Some(value)) => call(&value).map(RotateMethod::Http),
        (None, None) | (Some(_), Some(_)) => Err(whole.wrong(one_of)),
    }
}

fn command(value: Value) -> Result<Vec<String>, Mistake> {
    let what = "must be a program and its arguments, like [\"/usr/local/bin/redial\", \"wwan0\"]";
    let whole = value.clone();
    let words = value.list().map_err(|_| whole.wrong(what))?;
    let words: Vec<String> = words
        .iter()
        .map(|word| word.secret().map(str::to_owned))
        .collect::<Result<_, _>>()?;
    if words.first().is_none_or(String::is_empty) || words.iter().any(|word| word.contains('\0')) {
        return Err(whole.wrong(what));
    }
    Ok(words)
}

fn call(value: &Value) -> Result<String, Mistake> {
    let text = value.secret()?;
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(text.to_owned()),
        _ => Err(value.wrong("must be like \"http://192.168.8.1/redial\" or \"https://partner.example/rotate\"")),
    }
}
