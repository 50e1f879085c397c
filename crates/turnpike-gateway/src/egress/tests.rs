//! The destination rule: a table of spellings, properties, and another implementation's opinion.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod oracle;
mod own;
pub(crate) mod spellings;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;
use turnpike_wire::address::Host;

use super::*;

/// A rule without exceptions.
fn strict() -> DestinationPolicy {
    DestinationPolicy::new(Vec::new(), Vec::new())
}

fn policy(allow: &[&str], own: &[&str]) -> DestinationPolicy {
    DestinationPolicy::new(
        allow.iter().map(|range| range.parse().unwrap()).collect(),
        own.iter().map(|address| address.parse().unwrap()).collect(),
    )
}

fn is_allowed(policy: &DestinationPolicy, address: impl Into<IpAddr>) -> bool {
    policy.judge(SocketAddr::new(address.into(), 443), false) == Verdict::Allowed
}

/// The judgement of a host as a client writes it, by the way that sessions take: read, then judged as what it is.
/// Absent where it is not even read.
fn judgement(policy: &DestinationPolicy, field: &str) -> Option<Verdict> {
    Host::from_field(field.as_bytes()).map(|host| match host {
        Host::Ip(address) => policy.judge(SocketAddr::new(address, 443), false),
        Host::Name(name) => policy.judge_name(&name),
    })
}

#[test]
fn ports_0_and_25_are_refused_whatever_the_address() {
    let open = policy(&["0.0.0.0/0", "::/0"], &[]);
    for address in ["1.1.1.1", "10.0.0.1", "127.0.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
        let at = |port| SocketAddr::new(address.parse().unwrap(), port);
        assert_eq!(open.judge(at(0), true), Verdict::Refused("port 0"), "{address}");
        let mail = Verdict::Refused("port 25, by which mail is sent");
        assert_eq!(open.judge(at(25), false), mail, "{address}");
        assert_eq!(open.judge(at(25), true), Verdict::Allowed, "{address}");
        for port in [1, 24, 26, 465, 587, u16::MAX] {
            assert_eq!(open.judge(at(port), false), Verdict::Allowed, "{address} {port}");
        }
    }
    let private = SocketAddr::from(([10, 0, 0, 1], 25));
    assert_eq!(strict().judge(private, true), Verdict::Refused("a private address"));
}

#[test]
fn a_range_that_is_allowed_is_open_and_its_neighbours_are_not() {
    let policy = policy(&["10.1.0.0/16", "fd00:1::/32", "::ffff:192.168.7.0/120"], &[]);
    for (address, expected) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("10.2.0.0", false),
        ("10.0.255.255", false),
        ("192.168.7.9", true),
        ("192.168.8.9", false),
        ("fd00:1::5", true),
        ("fd00:2::5", false),
        ("1.1.1.1", true),
        // What leads to it is another matter.
        ("64:ff9b::10.1.2.3", false),
        ("64:ff9b:1::10.1.2.3", false),
        ("2002:a01:203::", false),
        ("2606:4700::5efe:10.1.2.3", false),
        ("::10.1.2.3", false),
    ] {
        assert_eq!(
            is_allowed(&policy, address.parse::<IpAddr>().unwrap()),
            expected,
            "{address}"
        );
    }
}

#[test]
fn a_tunnel_is_opened_by_naming_it() {
    let policy = policy(&["64:ff9b::a00:0/104"], &[]);
    assert!(is_allowed(&policy, "64:ff9b::10.1.2.3".parse::<IpAddr>().unwrap()));
    assert!(!is_allowed(&policy, "10.1.2.3".parse::<IpAddr>().unwrap()));
}

/// Every way to write an address of IPv4 as one of IPv6; the mapped one is the address itself.
fn disguises(inner: Ipv4Addr, filler: u128) -> Vec<Ipv6Addr> {
    let bits = u128::from(inner.to_bits());
    let global = 0x2606_4700_u128 << 96 | (filler & 0xffff_ffff) << 64;
    [
        bits,
        0xffff << 32 | bits,
        0xffff << 48 | bits,
        0x64_ff9b << 96 | bits,
        0x64_ff9b_0001 << 80 | bits,
        0x2002 << 112 | bits << 80 | (filler & 0xffff_ffff),
        global | 0x5efe << 32 | bits,
        global | 0x0200_5efe << 32 | bits,
    ]
    .into_iter()
    .chain(by_rfc_6052(bits))
    .map(Ipv6Addr::from_bits)
    .collect()
}

/// Below 64:ff9b:1::/48 with prefixes of 48, 56 and 64 bits: the byte at bit 64 stays empty.
fn by_rfc_6052(inner: u128) -> [u128; 3] {
    let at = |prefix: u128, bytes_before: u32| {
        let octets = u32::try_from(inner).unwrap().to_be_bytes();
        let mut place = prefix / 8;
        let mut bits = 0x64_ff9b_0001_u128 << 80;
        assert_eq!(bytes_before, u32::try_from(8 - place).unwrap());
        for octet in octets {
            if place == 8 {
                place += 1;
            }
            bits |= u128::from(octet) << (120 - 8 * place);
            place += 1;
        }
        bits
    };
    [at(48, 2), at(56, 1), at(64, 0)]
}

fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
    let near_an_edge = (prop::sample::select(edges()), -2_i64..=2).prop_map(|(edge, offset)| {
        Ipv4Addr::from_bits(u32::try_from((i64::from(edge) + offset).clamp(0, i64::from(u32::MAX))).unwrap())
    });
    prop_oneof![any::<Ipv4Addr>(), near_an_edge]
}

/// Where ranges of IPv4 begin and end.
fn edges() -> Vec<u32> {
    antissrf::ip_address_ranges::RECOMMENDED_LATEST
        .iter()
        .filter_map(|range| range.parse::<Ipv4Net>().ok())
        .flat_map(|range| [range.network().to_bits(), range.broadcast().to_bits()])
        .collect()
}

proptest! {
    #[test]
    fn no_disguise_opens_what_is_closed(inner in any_v4(), filler in any::<u128>()) {
        let policy = strict();
        if !is_allowed(&policy, inner) {
            // 0/8 is the one that local NAT64 cannot be asked for: a zero byte there means that nothing is written.
            let is_readable = |disguise: &Ipv6Addr| inner.octets()[0] != 0 || disguise.segments()[2] != 1;
            for disguise in disguises(inner, filler).into_iter().filter(is_readable) {
                prop_assert!(!is_allowed(&policy, disguise), "{inner} as {disguise}");
            }
        }
    }

    #[test]
    fn no_disguise_closes_what_is_open(inner in any_v4()) {
        let policy = strict();
        if is_allowed(&policy, inner) {
            // Local NAT64 is left to the table: an address may be written so that its parts are another, closed one.
            for disguise in disguises(inner, 0).into_iter().filter(|disguise| disguise.segments()[2] != 1) {
                prop_assert!(is_allowed(&policy, disguise), "{inner} as {disguise}");
            }
        }
    }

    #[test]
    fn a_mapped_address_is_the_address_itself(
        inner in any_v4(),
        port in any::<u16>(),
        allow_smtp in any::<bool>(),
        allowed in prop::collection::vec((any_v4(), 0_u8..=32), 0..3),
        own in prop::collection::vec(any_v4().prop_map(IpAddr::V4), 0..3),
    ) {
        let allow = allowed.into_iter().map(|(address, length)| IpNet::new(address.into(), length).unwrap());
        let policy = DestinationPolicy::new(allow.collect(), own);
        let mapped = SocketAddr::new(inner.to_ipv6_mapped().into(), port);
        prop_assert_eq!(
            policy.judge(SocketAddr::new(inner.into(), port), allow_smtp),
            policy.judge(mapped, allow_smtp)
        );
    }

    #[test]
    fn whatever_is_allowed_in_addition_closes_nothing(address in any::<IpAddr>(), range in any::<IpAddr>(), length in 0_u8..=32) {
        let wider = DestinationPolicy::new(vec![IpNet::new(range, length).unwrap()], Vec::new());
        prop_assert!(is_allowed(&wider, address) || !is_allowed(&strict(), address));
    }

    #[test]
    fn names_are_judged_without_a_panic_and_in_any_case(name in "\\PC{0,30}") {
        let policy = strict();
        prop_assert_eq!(policy.judge_name(&name), policy.judge_name(&name.to_ascii_uppercase()));
    }

    #[test]
    fn every_number_is_refused_as_a_name(value in any::<u32>(), parts in 1_usize..=4, radixes in any::<[u8; 4]>()) {
        let name = as_inet_aton_reads_it(value, parts, radixes);
        prop_assert_ne!(strict().judge_name(&name), Verdict::Allowed, "{}", name);
    }

    #[test]
    fn names_of_the_public_dns_are_let_through(
        labels in prop::collection::vec("[a-z0-9_]([a-z0-9_-]{0,8}[a-z0-9_])?", 1..4),
        top in "[a-z]{2}",
    ) {
        let name = format!("{}.{top}", labels.join("."));
        prop_assert_eq!(strict().judge_name(&name), Verdict::Allowed, "{}", name);
    }
}

/// `value` in `parts` numbers, of which the last fills what the others leave, each in the radix that is drawn for it.
fn as_inet_aton_reads_it(value: u32, parts: usize, radixes: [u8; 4]) -> String {
    let bytes = value.to_be_bytes();
    let (single, rest) = bytes.split_at(parts - 1);
    let last = rest.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    let numbers = single.iter().map(|byte| u32::from(*byte)).chain([last]);
    let spelled: Vec<_> = numbers
        .zip(radixes)
        .map(|(number, radix)| match radix % 4 {
            0 => format!("{number}"),
            1 => format!("0{number:o}"),
            2 => format!("0x{number:x}"),
            _ => format!("0X{number:08X}"),
        })
        .collect();
    spelled.join(".")
}
