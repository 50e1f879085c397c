//! Every key of the configuration, in the order in which they are documented.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::{Config, Database, Gateway, Limits, Role, Secrets, Server, notices, tls};
use crate::document::{Mistake, Place, Table, Value};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// To which the firewall redirects, where nobody names another: the one before those that are sold usually.
const REDIRECT_PORT: u16 = 12_000;
const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(super) fn config(document: Table) -> Result<Config, Mistake> {
    let defaults = Config::default();
    let mut root = document.with_keys(&["roles", "server", "database", "gateway", "limits", "notices", "secrets"])?;
    Ok(Config {
        roles: root.or("roles", defaults.roles, roles)?,
        server: server(&mut root, defaults.server)?,
        database: database(&mut root, defaults.database)?,
        gateway: gateway(&mut root, defaults.gateway)?,
        limits: limits(&mut root, &defaults.limits)?,
        notices: notices::read(&mut root)?,
        secrets: secrets(&mut root)?,
    })
}

fn server(root: &mut Table, defaults: Server) -> Result<Server, Mistake> {
    let mut server = root.section(
        "server",
        &["listen", "public_url", "metrics_listen", "sign_up", "trusted_proxies"],
    )?;
    Ok(Server {
        listen: server.or("listen", defaults.listen, |value| listener(&value))?,
        public_url: server.or("public_url", defaults.public_url, |value| public_url(&value))?,
        metrics_listen: server.or("metrics_listen", defaults.metrics_listen, |value| match value.text() {
            Ok("off") => Ok(None),
            _ => value
                .parsed("an address and a port like \"127.0.0.1:9100\", or \"off\"")
                .map(Some),
        })?,
        sign_up: server.or("sign_up", defaults.sign_up, |value| value.boolean())?,
        trusted_proxies: server.or("trusted_proxies", defaults.trusted_proxies, |value| {
            each(value, |value| network(&value))
        })?,
    })
}

fn database(root: &mut Table, defaults: Database) -> Result<Database, Mistake> {
    let mut database = root.section("database", &["url", "url_file"])?;
    let (url, file) = (database.take("url"), database.take("url_file"));
    let is_variable = |value: &Value| matches!(value.place(), Place::Variable(_));
    let url = match (url, file) {
        (None, None) => return Ok(defaults),
        (Some(url), Some(file)) if is_variable(&url) == is_variable(&file) => {
            return Err(file.wrong("stands beside database.url; give one of the two"));
        }
        // The environment is stronger than the file.
        (Some(url), Some(file)) if is_variable(&file) => {
            drop(url);
            url_from_file(&file)?
        }
        (Some(url), _) => database_url(&url, url.secret()?)?,
        (None, Some(file)) => url_from_file(&file)?,
    };
    Ok(Database { url })
}

fn url_from_file(file: &Value) -> Result<SecretString, Mistake> {
    let path = file.text()?;
    let text =
        fs::read_to_string(path).map_err(|error| file.wrong(&format!("names a file that cannot be read: {error}")))?;
    database_url(file, text.trim())
}

/// The text is never shown: it may hold a password.
fn database_url(value: &Value, text: &str) -> Result<SecretString, Mistake> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        if url::Url::parse(text).is_err() {
            return Err(value.wrong(
                "must be like postgres://user:password@host/database, with special characters of the password percent-encoded",
            ));
        }
    } else if text.strip_prefix("sqlite://").is_none_or(str::is_empty) {
        return Err(value.wrong("must be like sqlite://turnpike.db or postgres://user:password@host/database"));
    }
    Ok(SecretString::from(text.to_owned()))
}

fn gateway(root: &mut Table, defaults: Gateway) -> Result<Gateway, Mistake> {
    let mut gateway = root.section(
        "gateway",
        &[
            "name",
            "public_host",
            "bind",
            "ports",
            "allow_destinations",
            "dns_servers",
            "idle_timeout",
            "peer_timeout",
            "drain_timeout",
            "listen_mode",
            "redirect_port",
            "udp",
            "stealth",
            "tls",
        ],
    )?;
    let sold = gateway.or("ports", defaults.ports, |value| {
        value.spelled("a range of ports like \"12001-12999\"", ports)
    })?;
    let redirects = gateway.or("listen_mode", false, |value| {
        value.spelled("\"ports\" or \"redirect\"", |text| match text {
            "ports" => Some(false),
            "redirect" => Some(true),
            _ => None,
        })
    })?;
    let redirect_port = gateway.or("redirect_port", REDIRECT_PORT, |value| value.integer(1..=u16::MAX))?;
    if redirects && sold.contains(&redirect_port) {
        return Err(Mistake::new(format!(
            "gateway.redirect_port must be outside of gateway.ports, and {redirect_port} is not: name another one"
        )));
    }
    let public_host = gateway.or("public_host", defaults.public_host, |value| public_host(&value))?;
    Ok(Gateway {
        name: gateway.or("name", defaults.name, |value| gateway_name(&value))?,
        bind: gateway.or("bind", defaults.bind, |value| {
            let addresses = each(value.clone(), |value| {
                value.parsed("an IP address like \"0.0.0.0\" or \"::\"")
            })?;
            if addresses.is_empty() {
                return Err(value.wrong("must name at least one address, like [\"0.0.0.0\", \"::\"]"));
            }
            Ok(addresses)
        })?,
        redirect_port: redirects.then_some(redirect_port),
        ports: sold,
        allow_destinations: gateway.or("allow_destinations", defaults.allow_destinations, |value| {
            each(value, |value| network(&value))
        })?,
        dns_servers: gateway.or("dns_servers", defaults.dns_servers, |value| {
            each(value, |value| {
                value.spelled(
                    "the address of a name server, like \"9.9.9.9\" or \"[2620:fe::fe]:53\"",
                    name_server,
                )
            })
        })?,
        idle_timeout: gateway.or("idle_timeout", defaults.idle_timeout, |value| {
            value.duration(SECOND..=24 * HOUR)
        })?,
        peer_timeout: gateway.or("peer_timeout", defaults.peer_timeout, |value| {
            value.duration(4 * SECOND..=HOUR)
        })?,
        drain_timeout: gateway.or("drain_timeout", defaults.drain_timeout, |value| {
            value.duration(Duration::ZERO..=HOUR)
        })?,
        udp: gateway.or("udp", defaults.udp, |value| value.boolean())?,
        stealth: gateway.or("stealth", defaults.stealth, |value| value.boolean())?,
        tls: tls::read(&mut gateway, &public_host)?,
        public_host,
    })
}

fn limits(root: &mut Table, defaults: &Limits) -> Result<Limits, Mistake> {
    let mut limits = root.section(
        "limits",
        &[
            "api_requests_per_second",
            "api_burst",
            "rotation_cooldown_seconds",
            "grace",
            "auto_renew_before",
        ],
    )?;
    Ok(Limits {
        api_requests_per_second: limits.or("api_requests_per_second", defaults.api_requests_per_second, |value| {
            value.integer(1..=1_000_000)
        })?,
        api_burst: limits.or("api_burst", defaults.api_burst, |value| value.integer(1..=1_000_000))?,
        rotation_cooldown_seconds: limits.or(
            "rotation_cooldown_seconds",
            defaults.rotation_cooldown_seconds,
            |value| value.integer(0..=86_400),
        )?,
        grace: limits.or("grace", defaults.grace, |value| value.duration(Duration::ZERO..=YEAR))?,
        auto_renew_before: limits.or("auto_renew_before", defaults.auto_renew_before, |value| {
            value.duration(MINUTE..=YEAR)
        })?,
    })
}

fn secrets(root: &mut Table) -> Result<Secrets, Mistake> {
    let mut secrets = root.section("secrets", &["master_key_file"])?;
    let master_key_file = secrets.optional("master_key_file", |value| {
        value.spelled("the path of a file", |text| {
            (!text.is_empty()).then(|| PathBuf::from(text))
        })
    })?;
    Ok(Secrets { master_key_file })
}

fn roles(value: Value) -> Result<Vec<Role>, Mistake> {
    let mut roles = Vec::new();
    for value in value.clone().list()? {
        let role = value.spelled("\"web\" or \"gateway\"", |text| match text {
            "web" => Some(Role::Web),
            "gateway" => Some(Role::Gateway),
            _ => None,
        })?;
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    if roles.is_empty() {
        return Err(value.wrong("must name at least one role, [\"web\", \"gateway\"] for both"));
    }
    Ok(roles)
}

pub(super) fn each<T>(value: Value, read: impl Fn(Value) -> Result<T, Mistake>) -> Result<Vec<T>, Mistake> {
    value.list()?.into_iter().map(read).collect()
}

fn listener(value: &Value) -> Result<SocketAddr, Mistake> {
    value.parsed("an address and a port like \"127.0.0.1:8080\"")
}

pub(super) fn network(value: &Value) -> Result<ipnet::IpNet, Mistake> {
    value.spelled("an address or a network like \"192.0.2.1\" or \"10.0.0.0/8\"", |text| {
        text.parse()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(Into::into))
    })
}

fn public_url(value: &Value) -> Result<String, Mistake> {
    value.spelled("like \"https://shop.example.com\"", |text| {
        let url = url::Url::parse(text).ok()?;
        let is_fit = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        is_fit.then(|| text.trim_end_matches('/').to_owned())
    })
}

fn gateway_name(value: &Value) -> Result<String, Mistake> {
    value.spelled("1 to 63 letters, digits, dots, dashes and underscores", |text| {
        let is_fit = (1..=63).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        is_fit.then(|| text.to_owned())
    })
}

/// A name or an address, as it stands in URLs: an IPv6 address gets its brackets where it is written, not here.
fn public_host(value: &Value) -> Result<String, Mistake> {
    value.spelled(
        "a name or an address like \"proxy.example.com\", without a port",
        |text| {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            if let Ok(address) = bare.parse::<IpAddr>() {
                return Some(address.to_string());
            }
            let host = url::Host::parse(text).ok()?;
            matches!(host, url::Host::Domain(_)).then(|| host.to_string())
        },
    )
}

fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?);
    (first > 0 && first <= last).then_some(first..=last)
}

/// An address with or without a port; 53 is the usual one.
fn name_server(text: &str) -> Option<SocketAddr> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 53)))
}
