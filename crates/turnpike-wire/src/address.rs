//! Destinations, and the ways that protocols write them.

use std::net::IpAddr;

/// Where a customer wants to go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The host.
    pub host: Host,
    /// The port; never 0.
    pub port: u16,
}

/// A host: an address, or a name that is no address in disguise.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address; IPv4-mapped IPv6 has been unmapped.
    Ip(IpAddr),
    /// A lower-case name of 1 to 253 letters, digits, `-`, `_` and `.`, without a trailing dot.
    Name(String),
}
