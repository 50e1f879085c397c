//! Other opinions: Microsoft's AntiSSRF list, by the `antissrf` crate, and the standard library's own predicates.
//!
//! More addresses are tried where `PROPTEST_CASES` says so; each case is a handful.

use std::sync::LazyLock;

use antissrf::CIDRBlock;
use antissrf::ip_address_ranges::RECOMMENDED_LATEST;

use super::*;

static DENIED: LazyLock<Vec<CIDRBlock>> = LazyLock::new(|| {
    RECOMMENDED_LATEST
        .iter()
        .map(|range| CIDRBlock::parse(range).unwrap())
        .collect()
});

fn is_denied(address: impl Into<IpAddr>) -> bool {
    let address = address.into();
    DENIED.iter().any(|range| range.contains(address))
}

/// What AntiSSRF's list says once the two things are added that it leaves out on purpose: it refuses transition
/// prefixes whole where we read what is inside, and it does not ask whether an address was ever given to a network.
fn expected_of_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, ..] = address.segments();
    let octets = address.octets();
    let inner = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&octets[at..at + 4]).unwrap());
    let is_isatap = matches!((e, f), (0 | 0x200, 0x5efe));
    if is_isatap && is_denied(inner(12)) {
        return false;
    }
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => !is_denied(inner(12)),
        [0x2002, ..] => !is_denied(inner(2)),
        [0x2000..=0x3fff, ..] => !is_denied(address),
        _ => false,
    }
}

/// Addresses of every kind that the rule has a word for, and some of none.
fn any_v6() -> impl Strategy<Value = Ipv6Addr> {
    let heads: Vec<u128> = RECOMMENDED_LATEST
        .iter()
        .chain(&[
            "2000::/3",
            "3ffe::/16",
            "2001:200::/23",
            "2606:4700::/32",
            "fe00::/9",
            "200::/7",
        ])
        .filter_map(|range| range.parse::<ipnet::Ipv6Net>().ok())
        .flat_map(|range| [range.network().to_bits(), range.broadcast().to_bits()])
        .collect();
    let near_a_range = (prop::sample::select(heads), any::<u128>(), 0_u32..128)
        .prop_map(|(head, noise, shift)| Ipv6Addr::from_bits(head ^ noise.checked_shr(shift).unwrap_or(0)));
    let at_an_edge = (
        prop::sample::select(vec![0_u128, 1 << 96, 0x2000 << 112, 0x4000 << 112]),
        -2_i128..=2,
    )
        .prop_map(|(edge, offset)| Ipv6Addr::from_bits(edge.wrapping_add_signed(offset)));
    let disguised = (any_v4(), any::<u128>(), any::<prop::sample::Index>())
        .prop_map(|(inner, filler, which)| *which.get(&disguises(inner, filler)));
    prop_oneof![any::<Ipv6Addr>(), near_a_range, at_an_edge, disguised]
}

proptest! {
    #[test]
    fn antissrf_agrees_on_ipv4(addresses in prop::collection::vec(any_v4(), 64)) {
        let policy = strict();
        for address in addresses {
            prop_assert_eq!(is_allowed(&policy, address), !is_denied(address), "{}", address);
        }
    }

    #[test]
    fn antissrf_agrees_on_ipv6(addresses in prop::collection::vec(any_v6(), 64)) {
        let policy = strict();
        for address in addresses {
            // Where an address sits below this prefix only its network knows; `spellings` has them.
            if address.segments()[..3] != [0x64, 0xff9b, 1] {
                prop_assert_eq!(is_allowed(&policy, address), expected_of_v6(address), "{}", address);
            }
        }
    }

    #[test]
    fn what_the_standard_library_calls_private_is_never_allowed(
        v4 in prop::collection::vec(any_v4(), 64),
        v6 in prop::collection::vec(any_v6(), 64),
    ) {
        let policy = strict();
        for address in v4 {
            let is_special = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_broadcast() || address.is_documentation() || address.is_multicast()
                || address.is_unspecified();
            prop_assert!(!(is_special && is_allowed(&policy, address)), "{address}");
        }
        for address in v6 {
            let is_special = address.is_loopback() || address.is_unspecified() || address.is_multicast()
                || address.is_unique_local() || address.is_unicast_link_local();
            prop_assert!(!(is_special && is_allowed(&policy, address)), "{address}");
        }
    }
}

#[test]
fn the_list_of_the_other_opinion_is_the_one_that_the_rule_was_written_against() {
    let at = |address: &str| is_denied(address.parse::<IpAddr>().unwrap());
    assert!(at("168.63.129.16") && at("192.31.196.1") && at("3fff::1") && !at("1.1.1.1") && !at("2606:4700::1111"));
}
