//! Where a request comes from: the peer, unless the peer is a proxy that we trust to say.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The connection's other end, put into each request by the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The address that the request comes from.
///
/// `X-Forwarded-For` is a list to which each proxy appends whom it heard from. It is read from its end for as long as the
/// one who wrote the entry is trusted; everything before that is whatever the client made up.
pub(crate) fn of_request(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut source = peer.to_canonical();
    let mut entries: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("").split(','))
        .map(str::trim)
        .collect();
    while is_trusted(source, trusted) {
        match entries.pop().and_then(address) {
            Some(named) => source = named,
            None => break,
        }
    }
    source
}

/// Whether this address is one of our own reverse proxies.
pub(crate) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// Some proxies write a port behind the address, and brackets around IPv6.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .or_else(|_| entry.parse::<SocketAddr>().map(|socket| socket.ip()))
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use http::HeaderValue;

    use super::*;

    fn source(peer: &str, forwarded: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        of_request(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(source("192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
        assert_eq!(source("::ffff:192.0.2.9", &[]), "192.0.2.9");
    }

    #[test]
    fn a_trusted_proxy_is_believed_about_its_own_peer_only() {
        assert_eq!(source("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(source("10.0.0.1", &["203.0.113.7, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            source("10.0.0.1", &["203.0.113.7, 198.51.100.1, 10.9.9.9"]),
            "198.51.100.1"
        );
        assert_eq!(source("10.0.0.1", &["203.0.113.7", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(source("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
    }

    #[test]
    fn an_entry_may_have_a_port_and_what_is_no_address_is_not_believed() {
        assert_eq!(source("10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(source("2001:db8::1", &["[2a00::7]:443"]), "2a00::7");
        assert_eq!(source("2001:db8::1", &["[2a00::7]"]), "2a00::7");
        assert_eq!(source("10.0.0.1", &["unknown"]), "10.0.0.1");
        assert_eq!(source("10.0.0.1", &["198.51.100.1, unknown"]), "10.0.0.1");
        assert_eq!(source("10.0.0.1", &[]), "10.0.0.1");
    }
}
