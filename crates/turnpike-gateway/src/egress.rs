//! May we dial this? The destination rule, judged on the address that is dialled.
//!
//! A gateway stands inside a network: behind it are its own services, its operator's other machines, the cloud's
//! metadata, the admin page of every modem. To a customer it leads to the public internet and to nothing else.
//! What is judged is an address after resolution, and that same address is dialled. A name is judged before
//! resolution too, but only to say early and clearly what could not come out well; no name is safe by its spelling.
//!
//! - [`addresses`]: what an address is, in every spelling that IPv6 has for one of IPv4
//! - [`names`]: names that never leave the machine
//! - [`installation`]: what is this installation itself

mod addresses;
mod installation;
mod names;
#[cfg(test)]
pub(crate) mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::{IpNet, Ipv4Net};

pub(crate) use installation::Installation;

/// What the rule says of one address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be dialled.
    Allowed,
    /// It may not: the words say what it is ("a private address").
    Refused(&'static str),
}

/// Which destinations a gateway refuses. Everything that is not public unicast is refused, in every spelling.
///
/// # Which word wins
/// Ports 0 and 25 are judged first, and nothing opens them but `allow_smtp` the latter.
///
/// What is the installation's own is closed although it may be public, and `allow` is open although it may be private.
/// Where both have an address, the narrower word wins. `10.0.0.0/8` in `allow` opens a network, not the database that
/// happens to be in it; naming the database's `10.0.0.5/32` itself does open it, since nothing else can have been meant.
/// Ranges of loopback in `allow` win always: they have nothing but this machine's own services in them, so whoever
/// opens them means those (the demo does, whose customers ask its API for their address).
///
/// `shop_ports` are where customers may reach the installation itself: at its own addresses that are public, where the
/// shop answers anybody who comes from outside. A customer sees there which address he leaves from.
///
/// `allow` speaks of the address that is dialled. It opens no tunnel to it: with `10.0.0.0/8` in it, a NAT64 or 6to4
/// address that leads to 10.0.0.1 is refused as before.
///
/// # Loops
/// A connection to one of the gateway's own ports would come back as another customer's. No rule about ports is needed
/// against that: the addresses on which they listen are the installation's own. Where the operator opens them in spite
/// of that, a loop still costs its maker one complete handshake per turn, and meets the limits on connections per source.
#[derive(Debug)]
pub struct DestinationPolicy {
    allow: Vec<IpNet>,
    shop_ports: Vec<u16>,
    /// What was told at the start.
    told: Vec<IpAddr>,
    /// That, and what has been found since.
    own: ArcSwap<Installation>,
}

impl DestinationPolicy {
    /// Refuses everything that is not public, and `own`, but for what `allow` has.
    #[must_use]
    pub fn new(allow: Vec<IpNet>, own: Vec<IpAddr>) -> Self {
        let policy = Self {
            allow: allow.into_iter().map(canonical).collect(),
            shop_ports: Vec::new(),
            told: own,
            own: ArcSwap::default(),
        };
        policy.learn(Installation::default());
        policy
    }

    /// Takes note of what is the installation's own besides what was told at the start, in place of what was known.
    pub(crate) fn learn(&self, mut found: Installation) {
        for address in &self.told {
            found.add(*address);
        }
        self.own.store(Arc::new(found));
    }

    /// Opens these ports at public addresses of the installation.
    #[must_use]
    pub fn with_shop_ports(self, shop_ports: Vec<u16>) -> Self {
        Self { shop_ports, ..self }
    }

    /// Judges one destination; `allow_smtp` opens port 25.
    #[must_use]
    pub fn judge(&self, destination: SocketAddr, allow_smtp: bool) -> Verdict {
        match destination.port() {
            0 => return Verdict::Refused("port 0"),
            25 if !allow_smtp => return Verdict::Refused("port 25, by which mail is sent"),
            _ => {}
        }
        // The system dials `::ffff:a.b.c.d` as IPv4: these two are one address, not one that leads to another.
        let address = destination.ip().to_canonical();
        if !self.is_shop(address, destination.port())
            && let Some(what) = self.own(address)
        {
            return Verdict::Refused(what);
        }
        if self.allow.iter().any(|range| range.contains(&address)) {
            return Verdict::Allowed;
        }
        match addresses::special(address) {
            Some(what) => Verdict::Refused(what),
            None => Verdict::Allowed,
        }
    }

    /// Judges a name before it is resolved.
    #[must_use]
    pub fn judge_name(&self, name: &str) -> Verdict {
        match names::special(name) {
            Some(what) => Verdict::Refused(what),
            None => Verdict::Allowed,
        }
    }

    /// What of the installation's own `address` is or leads to, where `allow` has no narrower word on it.
    fn own(&self, address: IpAddr) -> Option<&'static str> {
        let own = self.own.load();
        if let IpAddr::V6(address) = address {
            let leads_to_ours = addresses::embedded(address).find_map(|inner| own.with(inner.into()).next());
            if let Some((_, what)) = leads_to_ours {
                return Some(what);
            }
        }
        own.with(address)
            .find(|(ours, _)| !self.is_named(address, ours))
            .map(|(_, what)| what)
    }

    /// Whether the shop answers there. An address that only leads to one of ours by some translation is none of ours.
    fn is_shop(&self, address: IpAddr, port: u16) -> bool {
        self.shop_ports.contains(&port)
            && self.own.load().is_this_machine(address)
            && addresses::special(address).is_none()
    }

    /// Whether `allow` opens `address` by a range that is no wider than `ours`, or is one of loopback.
    fn is_named(&self, address: IpAddr, ours: &IpNet) -> bool {
        self.allow
            .iter()
            .any(|range| range.contains(&address) && (ours.contains(range) || is_loopback(range)))
    }
}

/// Whether a range has loopback addresses only.
fn is_loopback(range: &IpNet) -> bool {
    range.network().is_loopback() && range.broadcast().is_loopback()
}

/// A range of IPv4-mapped addresses as the range of IPv4 that it is.
fn canonical(range: IpNet) -> IpNet {
    match (range.network().to_canonical(), range.prefix_len().checked_sub(96)) {
        (IpAddr::V4(network), Some(length)) if range.network().is_ipv6() => {
            Ipv4Net::new(network, length).map_or(range, IpNet::V4)
        }
        _ => range,
    }
}
