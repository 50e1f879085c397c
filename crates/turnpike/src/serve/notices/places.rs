//! Where webhooks may lead: names are resolved here, and the very addresses that are dialled are judged by the gateway's rule.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use turnpike_gateway::{DestinationPolicy, Verdict};

/// The rule, and who is asked for names.
pub(super) struct Places {
    policy: DestinationPolicy,
    /// What the operator has opened; `http://` leads there only.
    opened: Vec<IpNet>,
    resolver: TokioResolver,
}

/// Why a place may not be called.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotAllowed(String);

impl Places {
    pub(super) fn new(opened: Vec<IpNet>, own: Vec<IpAddr>, name_servers: &[SocketAddr]) -> Result<Self> {
        let mut options = ResolverOpts::default();
        options.use_hosts_file = hickory_resolver::config::ResolveHosts::Never;
        let provider = TokioRuntimeProvider::default();
        let builder = match name_servers {
            [] => TokioResolver::builder(provider).context("reading the system's name servers")?,
            servers => {
                let servers = servers.iter().map(|server| {
                    let mut udp = ConnectionConfig::udp();
                    udp.port = server.port();
                    let mut tcp = ConnectionConfig::tcp();
                    tcp.port = server.port();
                    NameServerConfig::new(server.ip(), true, vec![udp, tcp])
                });
                TokioResolver::builder_with_config(ResolverConfig::from_name_servers(servers.collect()), provider)
            }
        };
        Ok(Self {
            policy: DestinationPolicy::new(opened.clone(), own),
            opened,
            resolver: builder.with_options(options).build()?,
        })
    }

    /// Judges what can be judged before a name is resolved.
    pub(super) fn judge(&self, url: &url::Url) -> Result<(), NotAllowed> {
        let port = url.port_or_known_default().unwrap_or(0);
        let address = match url.host() {
            Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
            Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
            // The port is judged with any address; the name's own are judged when it is resolved.
            Some(url::Host::Domain(_)) | None => return self.judge_port(port),
        };
        self.judge_address(address, port, url.scheme() == "https")
    }

    fn judge_port(&self, port: u16) -> Result<(), NotAllowed> {
        match port {
            0 | 25 => Err(NotAllowed(format!("port {port} is not called"))),
            _ => Ok(()),
        }
    }

    fn judge_address(&self, address: IpAddr, port: u16, is_sealed: bool) -> Result<(), NotAllowed> {
        let address = address.to_canonical();
        match self.policy.judge(SocketAddr::new(address, port), false) {
            Verdict::Refused(what) => Err(NotAllowed(format!("{address} is {what}, which is not called"))),
            Verdict::Allowed if !is_sealed && !self.opened.iter().any(|range| range.contains(&address)) => {
                Err(NotAllowed(format!("{address} is called by https only")))
            }
            Verdict::Allowed => Ok(()),
        }
    }

    /// The addresses of a name, all of which may be dialled.
    async fn resolve(&self, name: &str, is_sealed: bool) -> Result<Vec<SocketAddr>, NotAllowed> {
        let found = self.resolver.lookup_ip(name).await;
        let found = found.map_err(|_| NotAllowed(format!("{name} has no address")))?;
        let mut addresses = Vec::new();
        for address in found.iter() {
            // One that leads inside makes the whole name unfit: nobody has such a name by chance.
            self.judge_address(address, 443, is_sealed)?;
            addresses.push(SocketAddr::new(address, 0));
        }
        Ok(addresses)
    }
}

/// What a client asks for names: with it, no address is dialled that was not judged.
pub(super) struct Judging {
    pub(super) places: Arc<Places>,
    /// Whether it is for `https://`.
    pub(super) is_sealed: bool,
}

impl Resolve for Judging {
    fn resolve(&self, name: Name) -> Resolving {
        let (places, is_sealed) = (Arc::clone(&self.places), self.is_sealed);
        Box::pin(async move {
            let addresses = places.resolve(name.as_str(), is_sealed).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use super::*;

    #[test]
    fn what_leads_inside_is_not_called() {
        let places = |opened: &[&str]| {
            let opened = opened.iter().map(|range| range.parse().unwrap()).collect();
            let servers = ["192.0.2.53:53".parse().unwrap()];
            Places::new(opened, vec!["203.0.113.1".parse().unwrap()], &servers).unwrap()
        };
        let judged =
            |places: &Places, url: &str| places.judge(&url.parse().unwrap()).map_err(|error| error.to_string());
        let closed = places(&[]);
        for (url, why) in [
            ("https://127.0.0.1/", "127.0.0.1 is"),
            ("https://0x7f.1/", "127.0.0.1 is"),
            ("https://2130706433/", "127.0.0.1 is"),
            ("https://[::1]/", "::1 is"),
            ("https://[::ffff:10.0.0.1]/", "10.0.0.1 is"),
            ("https://169.254.169.254/latest/", "169.254.169.254 is"),
            ("https://192.168.1.1/", "192.168.1.1 is"),
            ("https://203.0.113.1/", "203.0.113.1 is"),
            ("https://8.8.8.8:25/", "port 25"),
            ("https://hooks.example.com:25/", "port 25"),
            ("http://8.8.8.8/", "8.8.8.8 is called by https only"),
        ] {
            let refused = judged(&closed, url).unwrap_err();
            assert!(refused.contains(why), "{url}: {refused}");
        }
        assert_eq!(judged(&closed, "https://8.8.8.8/"), Ok(()));
        let opened = places(&["127.0.0.0/8"]);
        assert_eq!(judged(&opened, "http://127.0.0.1:8000/"), Ok(()));
        assert!(judged(&opened, "https://10.0.0.1/").is_err());
    }
}
