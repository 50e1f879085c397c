//! What an address is, where it is not one of the public internet's hosts.
//!
//! The ranges are those of IANA's special-purpose registries, and what clouds have put at public addresses. IPv6 also
//! has seven ways to write an address of IPv4, by most of which some router or kernel can be made to lead there: all are
//! read, and the address inside must be public as well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const PRIVATE: &str = "a private address";
const LOOPBACK: &str = "a loopback address";
const LINK_LOCAL: &str = "a link-local address";
const CARRIER: &str = "an address inside a carrier's network";
const MULTICAST: &str = "a multicast address";
const RESERVED: &str = "a reserved address";
const DOCUMENTATION: &str = "an address for documentation";
const BENCHMARK: &str = "an address for benchmarks";
const RELAY: &str = "an address of a tunnel's relay";
const SINK: &str = "an address that swallows names of private networks";
const CLOUD: &str = "an address of the cloud that the gateway may run in";

const V4: [(Ipv4Net, &str); 20] = [
    (v4(0, 0, 0, 0, 8), RESERVED), // To the kernel 0.0.0.0 is this machine.
    (v4(10, 0, 0, 0, 8), PRIVATE),
    (v4(100, 64, 0, 0, 10), CARRIER), // With Alibaba's metadata, 100.100.100.200.
    (v4(127, 0, 0, 0, 8), LOOPBACK),
    (v4(168, 63, 129, 16, 32), CLOUD),    // Azure's agent.
    (v4(169, 254, 0, 0, 16), LINK_LOCAL), // With nearly everybody's metadata, 169.254.169.254.
    (v4(172, 16, 0, 0, 12), PRIVATE),
    (v4(192, 0, 0, 0, 24), RESERVED),
    (v4(192, 0, 2, 0, 24), DOCUMENTATION),
    (v4(192, 31, 196, 0, 24), SINK),
    (v4(192, 52, 193, 0, 24), RELAY),
    (v4(192, 88, 99, 0, 24), RELAY),
    (v4(192, 168, 0, 0, 16), PRIVATE),
    (v4(192, 175, 48, 0, 24), SINK),
    (v4(198, 18, 0, 0, 15), BENCHMARK),
    (v4(198, 51, 100, 0, 24), DOCUMENTATION),
    (v4(203, 0, 113, 0, 24), DOCUMENTATION),
    (v4(224, 0, 0, 0, 4), MULTICAST),
    (v4(255, 255, 255, 255, 32), "the broadcast address"),
    (v4(240, 0, 0, 0, 4), RESERVED),
];

/// The first that has an address names it. Nothing but 2000::/3 has ever been given to networks (RFC 4291 §2.4), so the
/// rest is refused whole; the ranges outside are here for their names.
const V6: [(Ipv6Net, &str); 10] = [
    (
        v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
        "an address of a tunnel or a protocol",
    ), // With Teredo, 2001::/32.
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), DOCUMENTATION),
    (v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48), SINK),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), DOCUMENTATION),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), LOOPBACK),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), PRIVATE), // With Amazon's metadata, fd00:ec2::254.
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), LINK_LOCAL),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), PRIVATE),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), MULTICAST),
    (
        v6([0x0100, 0, 0, 0, 0, 0, 0, 0], 64),
        "an address that swallows everything",
    ),
];

const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// IPv4-compatible (RFC 4291 §2.5.5.1), IPv4-mapped (§2.5.5.2), IPv4-translated (RFC 2765 §2.1), and the well-known
/// prefix of NAT64 (RFC 6052 §2.1): the last 32 bits.
const LAST_32_BITS: [Ipv6Net; 4] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
];

/// NAT64 inside a network (RFC 8215).
const LOCAL_NAT64: Ipv6Net = v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48);

/// RFC 3056: the 32 bits behind the prefix.
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);

/// What `address` is, where it is no public host's.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    V4.iter()
        .find(|(range, _)| range.contains(&address))
        .map(|(_, what)| *what)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some((_, what)) = V6.iter().find(|(range, _)| range.contains(&address)) {
        return Some(what);
    }
    let mut leads_somewhere = false;
    for inner in embedded(address) {
        leads_somewhere = true;
        if let Some(what) = special_v4(inner) {
            return Some(what);
        }
    }
    let is_translated = LAST_32_BITS.iter().any(|prefix| prefix.contains(&address)) || LOCAL_NAT64.contains(&address);
    let is_public = GLOBAL_UNICAST.contains(&address) || (is_translated && leads_somewhere);
    (!is_public).then_some(RESERVED)
}

/// The addresses of IPv4 that this one may lead to.
pub(super) fn embedded(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let bits = address.to_bits();
    let last_32_bits = LAST_32_BITS
        .iter()
        .any(|prefix| prefix.contains(&address))
        .then(|| v4_at(bits, 96));
    let six_to_four = SIX_TO_FOUR.contains(&address).then(|| v4_at(bits, 16));
    let local_nat64 = LOCAL_NAT64.contains(&address).then(|| of_local_nat64(bits));
    // ISATAP (RFC 5214 §6.1), under any prefix: an interface id of 0:5efe or, where it is globally unique, 200:5efe.
    let isatap = matches!(address.segments()[4..6], [0 | 0x200, 0x5efe]).then(|| v4_at(bits, 96));
    [last_32_bits, six_to_four, isatap]
        .into_iter()
        .chain(local_nat64.into_iter().flatten())
        .flatten()
}

/// A network chooses itself how long a prefix it takes of 64:ff9b:1::/48, and the length says where the address is
/// (RFC 6052 §2.2, which leaves out bits 64 to 71). We do not know it, so it is read at every place.
///
/// Where an address was written for one length, the other places hold zeros and parts of it. What begins with a zero
/// byte is therefore taken for no address; as one it would be no host's, and no router would pass it on.
fn of_local_nat64(bits: u128) -> [Option<Ipv4Addr>; 4] {
    // The byte at bit 64 taken out, so that each is in one piece.
    let first_half = bits & (u128::MAX << 64);
    let closed_up = first_half | ((bits << 8) & u128::from(u64::MAX));
    [
        v4_at(closed_up, 48),
        v4_at(closed_up, 56),
        v4_at(closed_up, 64),
        v4_at(bits, 96),
    ]
    .map(|address| Some(address).filter(|address| address.octets()[0] != 0))
}

/// The 32 bits behind the first `offset`.
fn v4_at(bits: u128, offset: u32) -> Ipv4Addr {
    let shifted = (bits << offset) >> 96;
    Ipv4Addr::from_bits(u32::try_from(shifted).unwrap_or_default())
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}
