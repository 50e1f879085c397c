//! The shop's words in the gateway's: what a route and an exit are called on either side.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use turnpike_gateway as gateway;
use turnpike_shop::catalogue::{ExitWay, RotateMethod};
use turnpike_shop::routes::{Route, RouteExit};
use turnpike_shop::types::{ExitId, SubscriptionId};
use url::Url;

pub(super) fn route_id(subscription: &SubscriptionId) -> gateway::RouteId {
    gateway::RouteId(Arc::from(subscription.as_str()))
}

pub(super) fn exit_id(exit: &ExitId) -> gateway::ExitId {
    gateway::ExitId(Arc::from(exit.as_str()))
}

pub(super) fn route(route: Route) -> gateway::Route {
    gateway::Route {
        id: route_id(&route.subscription),
        port: route.port,
        username: route.username,
        password: SecretString::from(route.password),
        uuid: route.vpn.into_bytes(),
        exit: exit_id(&route.exit),
        ends_at: route.ends_at.0,
        allowed_addresses: route.allowed_addresses.networks().to_vec(),
        limits: gateway::Limits {
            max_connections: limit(route.limits.max_connections),
            max_source_addresses: limit(route.limits.max_source_addresses),
            mbit_per_second: limit(route.limits.mbit_per_second),
            // The gateway counts all that was ever moved, so that it need not know when an allowance began.
            traffic: route
                .limits
                .traffic_bytes
                .map(|bytes| count(route.usage.before.saturating_add(bytes))),
        },
        moved: count(route.usage.moved()),
    }
}

/// The schema holds limits above zero; one beyond counting is none.
fn limit(number: Option<i64>) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(number?).ok()?)
}

fn count(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

/// # Errors
/// A sentence for the operator, where the upstream's address cannot be used.
pub(super) fn exit(exit: RouteExit) -> Result<gateway::ExitSpec, String> {
    let way = match exit.spec.way {
        ExitWay::Addresses(pool) => gateway::ExitWay::Pool(pool),
        ExitWay::Prefix(prefix) => gateway::ExitWay::Prefix(prefix),
        ExitWay::Interface(device) => gateway::ExitWay::Interface(device),
        ExitWay::Upstream(url) => upstream(&url).map_err(|why| format!("the exit {}: {why}", exit.name))?,
    };
    Ok(gateway::ExitSpec {
        id: exit_id(&exit.id),
        name: exit.name,
        way,
        rotate: exit.spec.rotate.map(|method| match method {
            RotateMethod::Command(words) => gateway::RotateMethod::Command(words),
            RotateMethod::Http(url) => gateway::RotateMethod::Http(url),
        }),
        present_address: exit.present_address,
        drain: Duration::from_secs(u64::from(exit.spec.drain_seconds)),
        allow_smtp: exit.allow_smtp,
    })
}

/// Reads `http://user:pass@host:port` or `socks5://…`. The sentence of an error never repeats the credentials.
fn upstream(text: &str) -> Result<gateway::ExitWay, String> {
    let url = Url::parse(text).map_err(|error| format!("its upstream is not a URL: {error}"))?;
    let default_port = match url.scheme() {
        "http" => 80,
        "socks5" | "socks5h" => 1080,
        other => {
            return Err(format!(
                "its upstream is {other}://…; http:// and socks5:// can be used"
            ));
        }
    };
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return Err("its upstream names no host".to_owned());
    }
    let decoded = |part: &str| {
        percent_decode_str(part)
            .decode_utf8()
            .map(|text| text.into_owned())
            .map_err(|_| "its upstream's user name or password is not UTF-8".to_owned())
    };
    let credentials = match (url.username(), url.password()) {
        ("", None) => None,
        (username, password) => Some((
            decoded(username)?,
            SecretString::from(decoded(password.unwrap_or_default())?),
        )),
    };
    let upstream = gateway::Upstream {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: url.port().unwrap_or(default_port),
        credentials,
    };
    Ok(if url.scheme() == "http" {
        gateway::ExitWay::HttpUpstream(upstream)
    } else {
        gateway::ExitWay::Socks5Upstream(upstream)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn upstreams_are_read_with_their_credentials_and_default_ports() {
        let gateway::ExitWay::Socks5Upstream(read) = upstream("socks5://us%40er:p%3Ass@198.51.100.7").unwrap() else {
            panic!("it is SOCKS5");
        };
        assert_eq!((read.host.as_str(), read.port), ("198.51.100.7", 1080));
        let (username, password) = read.credentials.unwrap();
        assert_eq!((username.as_str(), password.expose_secret()), ("us@er", "p:ss"));

        let gateway::ExitWay::HttpUpstream(read) = upstream("http://[2001:db8::7]:3128").unwrap() else {
            panic!("it is HTTP");
        };
        assert_eq!((read.host.as_str(), read.port), ("2001:db8::7", 3128));
        assert!(read.credentials.is_none());
    }

    #[test]
    fn what_is_no_upstream_is_told_without_its_password() {
        for text in [
            "ftp://user:hush@host",
            "nonsense",
            "http://",
            "socks5://user:hush@:1080",
        ] {
            let sentence = upstream(text).unwrap_err();
            assert!(!sentence.contains("hush"), "{sentence}");
        }
    }
}
