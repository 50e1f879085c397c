//! Exits and clients with one family of addresses only, and ways from one to the other.

use testbed::dns::Reply;
use testbed::origin::Origin;

use crate::client::{Entry, Outcome};
use crate::world::{ORIGIN, ORIGIN_V6, World};

/// The origin's IPv4 address as networks with IPv6 alone write it, who have a translator for it (RFC 6052).
const TRANSLATED: &str = "64:ff9b::c623:1a60";

#[test]
fn an_exit_with_ipv6_alone_reaches_ipv4_by_its_networks_translator_and_not_otherwise() {
    let Some(world) = World::with_uplinks(1) else { return };
    // What a resolver of such a network says of names without an address of IPv6 (RFC 6147).
    let _names = world.names(|question| match (question.name.as_str(), question.v6) {
        ("inside.example", true) => Reply::Addresses(vec!["64:ff9b::7f00:1".parse().unwrap()], 60),
        (_, true) => Reply::Addresses(vec![TRANSLATED.parse().unwrap()], 60),
        (_, false) => Reply::Addresses(vec![ORIGIN.into()], 60),
    });
    world.internet_has(TRANSLATED);
    let translated = world.internet.enter(|| Origin::http_at(TRANSLATED.parse().unwrap()));
    let (origin, origin_v6) = (world.origin(), world.origin_v6());
    let shop = world.shop().network("NL-AMS").pool("nl-1", &["2a0a:1::11"]).start();
    let bought = shop.buy("NL-AMS");
    let here = Ok("2a0a:1::11".to_owned());
    shop.inside(|| {
        for entry in Entry::ALL {
            let fetch = |host: &str, origin: &Origin| entry.fetch(&bought, host, origin.address().port());
            let refused = fetch(&ORIGIN.to_string(), &origin);
            assert_eq!(refused, Outcome::NetworkUnreachable.by(entry), "{entry:?}");
            if entry.can_name("::1") {
                assert_eq!(fetch(&ORIGIN_V6.to_string(), &origin_v6), here, "{entry:?}");
                assert_eq!(fetch(TRANSLATED, &translated), here, "{entry:?}");
            }
            if entry.can_name("a.name") {
                assert_eq!(fetch("only4.example", &translated), here, "{entry:?}");
                let inside = fetch("inside.example", &translated);
                assert_eq!(inside, Outcome::Prohibited.by(entry), "{entry:?}");
            }
        }
    });
    assert_eq!(origin.visits(), []);
}

#[test]
fn a_client_with_ipv6_alone_leaves_by_an_exit_of_ipv4() {
    let Some(world) = World::with_uplinks(1) else { return };
    let client = world.neighbour(20);
    client.ip("addr del 45.20.0.2/24 dev eth0");
    let shop = world
        .shop()
        .set("gateway.bind", "[\"::\"]")
        .set("gateway.public_host", "\"2a0a:0::11\"")
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11"])
        .start();
    let origin = world.origin();
    let bought = shop.buy("NL-AMS");
    assert!(bought.port.is_ipv6(), "{}", bought.http);
    client.enter(|| {
        for entry in Entry::ALL {
            let fetched = entry.fetch(&bought, &ORIGIN.to_string(), origin.address().port());
            assert_eq!(fetched, Ok("45.1.0.11".to_owned()), "{entry:?}");
        }
    });
}
