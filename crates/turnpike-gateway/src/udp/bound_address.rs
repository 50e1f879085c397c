//! Which address a SOCKS5 client is told to send its datagrams to (BND.ADDR, RFC 1928 §6).
//!
//! Some clients send to it as it is, so it must be one that they can reach: the one that their TCP connection reached,
//! or, where that is an inside address behind a NAT (a cloud's machine), the one that customers know the gateway by.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use turnpike_wire::address::Host;

use crate::descriptors::Descriptors;
use crate::dial::Families;
use crate::egress::{DestinationPolicy, Verdict};
use crate::exit::Source;
use crate::resolve::{NameServers, NameService, Resolver};

pub(crate) struct BoundAddress {
    /// Absent where the configuration's word is neither a name nor an address.
    public: Option<Host>,
    resolver: Arc<Resolver>,
    everywhere: DestinationPolicy,
}

impl BoundAddress {
    /// `public_host` is what customers know the gateway by; `dns_servers` are asked instead of the system's, if any.
    pub(crate) fn new(public_host: &str, dns_servers: &[SocketAddr], descriptors: Descriptors) -> Self {
        let names = NameService::new(NameServers::new(dns_servers), descriptors);
        Self {
            public: Host::from_field(public_host.as_bytes()),
            resolver: Resolver::new(Source::Unbound, names),
            everywhere: DestinationPolicy::new(Vec::new(), Vec::new()),
        }
    }

    /// For a client at `client` whose TCP connection came to `local`.
    pub(crate) async fn towards(&self, client: IpAddr, local: SocketAddr) -> SocketAddr {
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        if self.is_public(local.ip()) || !self.is_public(client) {
            return local;
        }
        let public = self.public_address(local.is_ipv6()).await;
        SocketAddr::new(public.unwrap_or(local.ip()), local.port())
    }

    /// The gateway's public address of one family.
    async fn public_address(&self, v6: bool) -> Option<IpAddr> {
        match self.public.as_ref()? {
            Host::Ip(address) => Some(*address).filter(|address| address.is_ipv6() == v6),
            Host::Name(name) => {
                let addresses = self.resolver.addresses(name, Families { v4: !v6, v6 }).await;
                addresses.ok()?.first().copied()
            }
        }
    }

    fn is_public(&self, address: IpAddr) -> bool {
        self.everywhere.judge(SocketAddr::new(address, 1), true) == Verdict::Allowed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::resolve::name_server::{NameServer, Reply};

    #[tokio::test]
    async fn a_client_is_told_an_address_that_it_can_reach() {
        let names = NameServer::start(|name, _| match name {
            "proxy.example.com" => {
                Reply::Addresses(vec![[198, 35, 26, 96].into(), "2620:0:862::1".parse().unwrap()], 60)
            }
            _ => Reply::NoSuchName,
        })
        .await;
        for (public_host, client, local, expected) in [
            ("proxy.example.com", "9.9.9.9", "1.1.1.1:500", "1.1.1.1:500"),
            ("proxy.example.com", "9.9.9.9", "10.0.0.5:500", "198.35.26.96:500"),
            (
                "proxy.example.com",
                "9.9.9.9",
                "[::ffff:10.0.0.5]:500",
                "198.35.26.96:500",
            ),
            ("proxy.example.com", "10.0.0.9", "10.0.0.5:500", "10.0.0.5:500"),
            ("proxy.example.com", "127.0.0.1", "127.0.0.1:500", "127.0.0.1:500"),
            (
                "proxy.example.com",
                "2620:fe::9",
                "[fd00::5]:500",
                "[2620:0:862::1]:500",
            ),
            ("198.35.26.97", "9.9.9.9", "100.64.0.5:500", "198.35.26.97:500"),
            ("198.35.26.97", "2620:fe::9", "[fd00::5]:500", "[fd00::5]:500"),
            ("elsewhere.example.com", "9.9.9.9", "10.0.0.5:500", "10.0.0.5:500"),
            ("no name", "9.9.9.9", "10.0.0.5:500", "10.0.0.5:500"),
        ] {
            let address = BoundAddress::new(public_host, &[names.address], Descriptors::of_this_process());
            let told = address.towards(client.parse().unwrap(), local.parse().unwrap()).await;
            assert_eq!(told, expected.parse().unwrap(), "{public_host} {client} {local}");
        }
    }
}
