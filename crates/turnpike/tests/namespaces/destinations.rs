//! The destination rule on every way in: what is not the public internet's is not reached, though it would answer.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, TcpListener};

use testbed::eventually;
use testbed::origin::Origin;

use crate::client::{Entry, Outcome};
use crate::world::{ORIGIN, World};

/// Addresses on the internet's side that are not the internet's: a neighbour in private space, the page of a modem, a cloud's
/// metadata, a carrier's inside.
const INSIDE: [&str; 4] = ["10.20.30.40", "192.168.8.1", "169.254.169.254", "100.64.0.1"];

/// An HTTP server at every address of a machine.
fn everywhere() -> Origin {
    Origin::http_at(Ipv6Addr::UNSPECIFIED.into())
}

/// A world in which everything that must not be reached has something that would answer: on the gateway, and outside.
struct Temptation {
    world: World,
    own: Origin,
    outside: Origin,
}

impl Temptation {
    fn new() -> Option<Self> {
        let world = World::with_uplinks(1)?;
        for address in INSIDE
            .iter()
            .chain(&["fd00::1", "64:ff9b::a14:1e28", "2002:a14:1e28::1"])
        {
            world.internet_has(address);
        }
        let own = world.gateway.enter(everywhere);
        let outside = world.internet.enter(everywhere);
        Some(Self { world, own, outside })
    }
}

#[test]
fn nothing_private_and_nothing_of_the_gateways_own_is_reached_by_any_entry() {
    let Some(Temptation { world, own, outside }) = Temptation::new() else {
        return;
    };
    world.gateway.ip("-6 route add local 2a0a:6400:1::/48 dev lo");
    let shop = world
        .shop()
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11", "2a0a:1::11"])
        .network("DE-BER")
        .exit("de-1", "interface = \"wan1\"")
        .network("FR-PAR")
        .exit("fr-1", "prefix = \"2a0a:6400:1::/48\"")
        .start();
    let bought = shop.buy("NL-AMS");
    let by_device = shop.buy("DE-BER");
    let (at_own, at_outside) = (own.address().port(), outside.address().port());
    let on_the_gateway = [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        // Its uplinks: that of the exit, another address there, and one that no exit leaves by.
        "45.1.0.11",
        "45.1.0.12",
        "45.0.0.11",
        "::1",
        "::ffff:127.0.0.1",
        "2a0a:1::11",
        "2a0a:0::11",
        // A prefix leads here with all its addresses.
        "2a0a:6400:1::1",
        "2a0a:6400:1:2:3:4:5:6",
    ];
    let beyond = ["fd00::1", "64:ff9b::a14:1e28", "2002:a14:1e28::1", "::ffff:10.20.30.40"];
    let closed = on_the_gateway
        .iter()
        .map(|host| (*host, at_own))
        .chain(INSIDE.iter().chain(&beyond).map(|host| (*host, at_outside)));
    shop.inside(|| {
        for (host, port) in closed {
            for entry in Entry::ALL.into_iter().filter(|entry| entry.can_name(host)) {
                for bought in [&bought, &by_device] {
                    assert_eq!(
                        entry.fetch(bought, host, port),
                        Outcome::Prohibited.by(entry),
                        "{entry:?} {host}"
                    );
                }
            }
        }
        // Names that mean this machine, and numbers that the system's resolver would take for its address.
        for host in ["localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1"] {
            for entry in Entry::ALL.into_iter().filter(|entry| entry.can_name(host)) {
                assert!(entry.fetch(&bought, host, at_own).is_err(), "{entry:?} {host}");
            }
        }
        // The same by the same entries: what is public.
        for entry in Entry::ALL {
            let fetched = entry.fetch(&bought, &ORIGIN.to_string(), at_outside);
            assert_eq!(fetched, Ok("45.1.0.11".to_owned()), "{entry:?}");
        }
    });
    assert_eq!(own.visits(), []);
    assert_eq!(outside.visits().len(), Entry::ALL.len());
}

#[test]
fn an_address_that_the_gateway_gets_later_is_closed_too() {
    let Some(Temptation { world, own, .. }) = Temptation::new() else {
        return;
    };
    let shop = world.shop().network("NL-AMS").pool("nl-1", &["45.1.0.11"]).start();
    let bought = shop.buy("NL-AMS");
    world.gateway.ip("addr add 45.1.0.77/24 dev wan1");
    let port = own.address().port();
    eventually("the new address is closed", || {
        shop.inside(|| Entry::Connect.fetch(&bought, "45.1.0.77", port)) == Outcome::Prohibited.by(Entry::Connect)
    });
    shop.inside(|| {
        for entry in Entry::ALL {
            assert_eq!(
                entry.fetch(&bought, "45.1.0.77", port),
                Outcome::Prohibited.by(entry),
                "{entry:?}"
            );
        }
    });
}

#[test]
fn what_the_operator_opens_is_reached_by_every_entry_and_nothing_beside_it() {
    let Some(Temptation { world, outside, .. }) = Temptation::new() else {
        return;
    };
    let shop = world
        .shop()
        .set("gateway.allow_destinations", "[\"192.168.8.0/24\"]")
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11"])
        .start();
    let bought = shop.buy("NL-AMS");
    let port = outside.address().port();
    shop.inside(|| {
        for entry in Entry::ALL {
            assert_eq!(
                entry.fetch(&bought, "192.168.8.1", port),
                Ok("45.1.0.11".to_owned()),
                "{entry:?}"
            );
            assert_eq!(
                entry.fetch(&bought, "10.20.30.40", port),
                Outcome::Prohibited.by(entry),
                "{entry:?}"
            );
        }
    });
}

#[test]
fn mail_is_not_sent_by_any_entry() {
    let Some(world) = World::with_uplinks(1) else { return };
    let shop = world.shop().network("NL-AMS").pool("nl-1", &["45.1.0.11"]).start();
    let bought = shop.buy("NL-AMS");
    let mail = world.internet.enter(|| TcpListener::bind((ORIGIN, 25)).unwrap());
    shop.inside(|| {
        for entry in Entry::ALL {
            assert_eq!(
                entry.fetch(&bought, &ORIGIN.to_string(), 25),
                Outcome::Prohibited.by(entry),
                "{entry:?}"
            );
        }
    });
    mail.set_nonblocking(true).unwrap();
    assert_eq!(mail.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
