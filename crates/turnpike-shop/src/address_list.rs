//! A list of addresses and networks that a customer names: from where a link works, from where a port asks no password.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// Entries of one list.
pub const MOST: usize = 32;

/// The widest networks that may be named. What is wider is a slip of the keyboard, or opens a port to a continent.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 32;

/// At most [`MOST`] networks, each once, sorted; IPv4 in IPv6's clothes (`::ffff:192.0.2.1`) is IPv4.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AddressList(Vec<IpNet>);

/// Why something is no list of addresses, in a sentence that names the entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAList {
    /// An entry is neither an address nor a network.
    #[error("\"{0}\" is neither an address nor a network; write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/48")]
    Entry(String),
    /// An entry is wider than anybody's own network.
    #[error("{network} is too wide; name networks of /{WIDEST_V4} and longer, with IPv6 of /{WIDEST_V6} and longer")]
    TooWide {
        /// The entry.
        network: IpNet,
    },
    /// An entry is an address that nobody comes from.
    #[error("{0} is an address that nobody comes from")]
    Nobody(IpNet),
    /// There are more than [`MOST`].
    #[error("there are more than {MOST} addresses; name whole networks, such as 192.0.2.0/24")]
    TooMany,
}

impl AddressList {
    /// Reads what a customer wrote, an address or a network each. What is behind a network's length is dropped:
    /// `192.0.2.7/24` is `192.0.2.0/24`.
    ///
    /// # Errors
    /// [`NotAList`].
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<Self, NotAList> {
        if entries.len() > MOST {
            return Err(NotAList::TooMany);
        }
        let mut networks = entries
            .iter()
            .map(|entry| network(entry.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        networks.sort_unstable();
        networks.dedup();
        Ok(Self(networks))
    }

    /// As it is stored: the networks with commas between them.
    pub(crate) fn stored(&self) -> String {
        let networks: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        networks.join(",")
    }

    /// The inverse of [`AddressList::stored`]. Absent where it is none.
    pub(crate) fn read(stored: &str) -> Option<Self> {
        let entries: Vec<&str> = stored.split(',').filter(|entry| !entry.is_empty()).collect();
        Self::parse(&entries).ok()
    }

    /// Whether nothing is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this address is in one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The networks, sorted.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }

    /// The entries as people write them: a single address without its length.
    #[must_use]
    pub fn entries(&self) -> Vec<String> {
        let entry = |network: &IpNet| match network.prefix_len() == network.max_prefix_len() {
            true => network.addr().to_string(),
            false => network.to_string(),
        };
        self.0.iter().map(entry).collect()
    }
}

fn network(entry: &str) -> Result<IpNet, NotAList> {
    let entry = entry.trim();
    let unreadable = || NotAList::Entry(entry.chars().take(64).collect());
    let network = match entry.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => entry.parse::<IpNet>().map_err(|_| unreadable())?.trunc(),
    };
    let network = canonical(network);
    let widest = match network {
        IpNet::V4(_) => WIDEST_V4,
        IpNet::V6(_) => WIDEST_V6,
    };
    if network.prefix_len() < widest {
        return Err(NotAList::TooWide { network });
    }
    if network.addr().is_unspecified() || network.addr().is_multicast() {
        return Err(NotAList::Nobody(network));
    }
    Ok(network)
}

/// A network inside `::ffff:0:0/96` is the IPv4 network that it stands for, as its clients' addresses are.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(v6) = network else { return network };
    let length = v6.prefix_len().checked_sub(MAPPED);
    match (v6.addr().to_ipv4_mapped(), length) {
        (Some(address), Some(length)) => Ipv4Net::new(address, length).map_or(network, IpNet::V4),
        _ => IpNet::V6(Ipv6Net::trunc(&v6)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AddressList {
        AddressList::parse(entries).unwrap()
    }

    #[test]
    fn entries_are_addresses_and_networks_in_any_spelling_each_once() {
        let read = list(&[
            "2001:DB8::7",
            " 192.0.2.7/24",
            "192.0.2.0/24",
            "::ffff:198.51.100.1",
            "::ffff:203.0.113.0/120",
            "10.0.0.0/8",
        ]);
        assert_eq!(
            read.entries(),
            [
                "10.0.0.0/8",
                "192.0.2.0/24",
                "198.51.100.1",
                "203.0.113.0/24",
                "2001:db8::7"
            ]
        );
        assert_eq!(AddressList::read(&read.stored()), Some(read));
        assert_eq!(AddressList::read(""), Some(AddressList::default()));
        assert_eq!(AddressList::read("nonsense"), None);
    }

    #[test]
    fn what_is_no_list_is_told_by_its_entry() {
        for (entry, sentence) in [
            (
                "example.com",
                "\"example.com\" is neither an address nor a network; write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/48",
            ),
            (
                "0.0.0.0/0",
                "0.0.0.0/0 is too wide; name networks of /8 and longer, with IPv6 of /32 and longer",
            ),
            (
                "::/0",
                "::/0 is too wide; name networks of /8 and longer, with IPv6 of /32 and longer",
            ),
            (
                "::ffff:0:0/96",
                "0.0.0.0/0 is too wide; name networks of /8 and longer, with IPv6 of /32 and longer",
            ),
            ("0.0.0.0", "0.0.0.0/32 is an address that nobody comes from"),
            ("ff02::1", "ff02::1/128 is an address that nobody comes from"),
        ] {
            assert_eq!(AddressList::parse(&[entry]).unwrap_err().to_string(), sentence);
        }
        for entry in [
            "",
            "192.0.2.1/33",
            "192.0.2.256",
            "192.0.2.1,192.0.2.2",
            "fe80::1%eth0",
            "192.0.2.1:80",
        ] {
            assert!(
                matches!(AddressList::parse(&[entry]), Err(NotAList::Entry(_))),
                "{entry}"
            );
        }
        let many: Vec<String> = (0..=MOST).map(|last| format!("192.0.2.{last}")).collect();
        assert_eq!(AddressList::parse(&many), Err(NotAList::TooMany));
        let long = AddressList::parse(&["x".repeat(5_000)]).unwrap_err().to_string();
        assert!(long.len() < 200, "{long}");
    }

    #[test]
    fn an_address_is_found_in_its_network_in_either_clothes() {
        let list = list(&["192.0.2.0/24", "2001:db8::/48"]);
        for (address, is_in) in [
            ("192.0.2.255", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.3.0", false),
            ("2001:db8::1", true),
            ("2001:db8:1::1", false),
        ] {
            assert_eq!(list.contains(address.parse().unwrap()), is_in, "{address}");
        }
        assert!(!AddressList::default().contains("192.0.2.1".parse().unwrap()));
    }
}
