//! What is this installation's own, against what the operator has opened.

use super::*;

const OWN: Verdict = Verdict::Refused("an address of this installation");

fn judged(policy: &DestinationPolicy, address: &str) -> Verdict {
    policy.judge(SocketAddr::new(address.parse().unwrap(), 5432), false)
}

#[test]
fn own_addresses_are_closed_in_every_spelling_though_they_are_public() {
    let policy = policy(&[], &["1.2.3.4", "2606:4700::1"]);
    for address in [
        "1.2.3.4",
        "::ffff:1.2.3.4",
        "::1.2.3.4",
        "::ffff:0:1.2.3.4",
        "64:ff9b::1.2.3.4",
        "64:ff9b:1::1.2.3.4",
        "64:ff9b:1:102:3:400::",
        "2002:102:304::1",
        "2606:4700::5efe:1.2.3.4",
        "2606:4700::200:5efe:1.2.3.4",
        "2606:4700::1",
    ] {
        assert_eq!(judged(&policy, address), OWN, "{address}");
    }
    for address in ["1.2.3.5", "::ffff:1.2.3.5", "64:ff9b::1.2.3.5", "2606:4700::2"] {
        assert_eq!(judged(&policy, address), Verdict::Allowed, "{address}");
    }
}

#[test]
fn own_addresses_may_be_told_as_mapped_ones() {
    assert_eq!(judged(&policy(&[], &["::ffff:1.2.3.4"]), "1.2.3.4"), OWN);
}

#[test]
fn a_wider_range_does_not_open_an_own_address() {
    for wider in ["10.0.0.0/8", "10.0.0.4/30", "0.0.0.0/0"] {
        let policy = policy(&[wider], &["10.0.0.5"]);
        assert_eq!(judged(&policy, "10.0.0.5"), OWN, "{wider}");
        assert_eq!(judged(&policy, "10.0.0.6"), Verdict::Allowed, "{wider}");
    }
}

#[test]
fn naming_an_own_address_opens_it() {
    let policy = policy(
        &["10.0.0.0/8", "10.0.0.5/32", "1.2.3.4/32"],
        &["10.0.0.5", "1.2.3.4", "10.0.0.7"],
    );
    assert_eq!(judged(&policy, "10.0.0.5"), Verdict::Allowed);
    assert_eq!(judged(&policy, "1.2.3.4"), Verdict::Allowed);
    assert_eq!(judged(&policy, "10.0.0.7"), OWN);
    // But not the ways around it.
    assert_eq!(judged(&policy, "64:ff9b::1.2.3.4"), OWN);
}

#[test]
fn opening_loopback_opens_this_machines_own_services_there() {
    let demo = policy(&["127.0.0.0/8"], &["127.0.0.1", "::1", "10.0.0.5"]);
    assert_eq!(judged(&demo, "127.0.0.1"), Verdict::Allowed);
    assert_eq!(judged(&demo, "127.0.0.9"), Verdict::Allowed);
    assert_eq!(judged(&demo, "::1"), OWN);
    assert_eq!(judged(&demo, "10.0.0.5"), OWN);
    let everything = policy(&["0.0.0.0/0"], &["127.0.0.1"]);
    assert_eq!(judged(&everything, "127.0.0.1"), OWN);
}

#[test]
fn mail_to_a_named_address_is_refused_all_the_same() {
    let policy = policy(&["10.0.0.5/32"], &["10.0.0.5"]);
    let mail = SocketAddr::from(([10, 0, 0, 5], 25));
    assert_ne!(policy.judge(mail, false), Verdict::Allowed);
}

#[test]
fn the_shop_is_reached_at_its_public_address_and_nothing_else_is() {
    let policy = policy(&[], &["93.184.216.34", "10.0.0.5", "198.18.255.1"]).with_shop_ports(vec![443]);
    let judged = |address: &str, port| policy.judge(SocketAddr::new(address.parse().unwrap(), port), false);
    assert_eq!(judged("93.184.216.34", 443), Verdict::Allowed);
    for (address, port) in [
        ("93.184.216.34", 22),
        ("10.0.0.5", 443),
        ("198.18.255.1", 443),
        ("64:ff9b::5db8:d822", 443),
        ("2002:5db8:d822::1", 443),
    ] {
        assert!(matches!(judged(address, port), Verdict::Refused(_)), "{address} {port}");
    }
    // An upstream proxy may listen on a port of that number too.
    let mut found = Installation::default();
    found.add("93.184.216.35".parse().unwrap());
    found.add_upstream("93.184.216.36".parse().unwrap());
    found.add("10.0.0.6".parse().unwrap());
    policy.learn(found);
    assert_eq!(judged("93.184.216.35", 443), Verdict::Allowed);
    assert!(matches!(judged("93.184.216.36", 443), Verdict::Refused(_)));
}

#[test]
fn the_shops_ports_open_no_private_address_in_a_range_that_is_open() {
    let policy = policy(&["10.0.0.0/8"], &["10.0.0.5"]).with_shop_ports(vec![5432]);
    assert_eq!(judged(&policy, "10.0.0.5"), OWN);
}

#[test]
fn what_is_found_is_closed_beside_what_was_told() {
    let policy = policy(&[], &["1.2.3.4"]);
    let mut found = Installation::default();
    found.add("2.3.4.5".parse().unwrap());
    found.add_range("2606:4700:7::/48".parse::<IpNet>().unwrap());
    policy.learn(found);
    for address in [
        "1.2.3.4",
        "2.3.4.5",
        "64:ff9b::2.3.4.5",
        "2606:4700:7::1",
        "2606:4700:7:ffff::",
    ] {
        assert_eq!(judged(&policy, address), OWN, "{address}");
    }
    assert_eq!(judged(&policy, "2606:4700:8::1"), Verdict::Allowed);
    policy.learn(Installation::default());
    assert_eq!(judged(&policy, "2.3.4.5"), Verdict::Allowed);
    assert_eq!(judged(&policy, "1.2.3.4"), OWN);
}

#[test]
fn an_address_that_is_ours_twice_is_opened_by_the_narrowest_name_only() {
    let policy = policy(&["2606:4700:7::/48"], &["2606:4700:7::1"]);
    let mut found = Installation::default();
    found.add_range("2606:4700::/32".parse::<IpNet>().unwrap());
    policy.learn(found);
    assert_eq!(judged(&policy, "2606:4700:7::2"), Verdict::Allowed);
    assert_eq!(judged(&policy, "2606:4700:7::1"), OWN);
    assert_eq!(judged(&policy, "2606:4700:8::2"), OWN);
}

#[test]
fn a_modems_page_stays_closed_when_private_space_is_opened() {
    let modem = Verdict::Refused("an address on the network of an exit's device");
    let found = || {
        let mut found = Installation::default();
        found.add_network_of_device("192.168.8.0/24".parse().unwrap());
        found.add_network_of_device("1.2.3.0/24".parse().unwrap());
        found
    };
    let wide = policy(&["192.168.0.0/16"], &[]);
    wide.learn(found());
    assert_eq!(judged(&wide, "192.168.8.1"), modem);
    assert_eq!(judged(&wide, "192.168.9.1"), Verdict::Allowed);
    assert_eq!(
        judged(&wide, "1.2.3.1"),
        Verdict::Allowed,
        "the internet's hosts are in a public network"
    );
    let narrow = policy(&["192.168.8.0/24"], &[]);
    narrow.learn(found());
    assert_eq!(judged(&narrow, "192.168.8.1"), Verdict::Allowed);
    let strict = strict();
    strict.learn(found());
    assert_eq!(judged(&strict, "192.168.8.1"), modem);
}
