//! What of the internet is this installation itself, as far as is known now.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::addresses;

const OWN: &str = "an address of this installation";
const UPSTREAM: &str = "an address of an upstream proxy";
const BEHIND_A_DEVICE: &str = "an address on the network of an exit's device";

/// Addresses and ranges that are the installation's own.
#[derive(Debug, Default)]
pub(crate) struct Installation {
    /// This machine's single addresses, of which it may have hundreds.
    machine: HashSet<IpAddr>,
    ranges: Vec<(IpNet, &'static str)>,
}

impl Installation {
    /// This address is this machine's.
    pub(crate) fn add(&mut self, address: IpAddr) {
        self.machine.insert(address.to_canonical());
    }

    /// This address is another machine's of the installation: its database's.
    pub(crate) fn add_machine_beside(&mut self, address: IpAddr) {
        self.add_range(address.to_canonical());
    }

    /// At this address is the proxy that an exit goes through. It may know us by our address, and ask no password.
    pub(crate) fn add_upstream(&mut self, address: IpAddr) {
        self.ranges.push((address.to_canonical().into(), UPSTREAM));
    }

    /// All of this range leads here, whether an interface has the address or not.
    pub(crate) fn add_range(&mut self, range: impl Into<IpNet>) {
        self.ranges.push((range.into(), OWN));
    }

    /// This is the network directly behind an exit's device. If it is private, there is a modem or a router in it, and
    /// its admin page; a public one has the internet's hosts in it.
    pub(crate) fn add_network_of_device(&mut self, network: IpNet) {
        if addresses::special(network.network()).is_some() {
            self.ranges.push((network, BEHIND_A_DEVICE));
        }
    }

    /// Whether it is one of this machine's single addresses.
    pub(super) fn is_this_machine(&self, address: IpAddr) -> bool {
        self.machine.contains(&address)
    }

    /// Whatever of ours has `address` in it, and what to call it.
    pub(super) fn with(&self, address: IpAddr) -> impl Iterator<Item = (IpNet, &'static str)> {
        let alone = self.machine.contains(&address).then(|| (address.into(), OWN));
        let ranges = self.ranges.iter().filter(move |(range, _)| range.contains(&address));
        alone.into_iter().chain(ranges.copied())
    }
}
