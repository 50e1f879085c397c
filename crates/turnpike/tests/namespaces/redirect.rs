//! One socket for all ports, to which the firewall redirects what comes for them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use testbed::eventually;
use testbed::turnpike::Subscription;

use crate::client::{Entry, connected, log_in, of_address, request};
use crate::world::{ORIGIN, World, own};

/// The command of SOCKS5 that asks for datagrams.
const ASSOCIATE: u8 = 3;

#[test]
fn one_socket_serves_every_port_by_the_rules_that_the_program_prints() {
    let Some(world) = World::with_uplinks(1) else { return };
    let origin = world.origin();
    let shop = world
        .shop()
        .set("gateway.bind", "[\"0.0.0.0\", \"::\"]")
        .set("gateway.public_host", "\"45.0.0.11\"")
        .set("gateway.listen_mode", "\"redirect\"")
        .set("gateway.redirect_port", "9999")
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11"])
        .pool("nl-2", &["45.1.0.12"])
        .start();
    let bought = [shop.buy("NL-AMS"), shop.buy("NL-AMS")];
    let client = world.neighbour(20);
    let fetch_by = |entry: Entry, bought: &Subscription| {
        client.enter(|| entry.fetch(bought, &ORIGIN.to_string(), origin.address().port()))
    };
    assert!(fetch_by(Entry::Connect, &bought[0]).is_err(), "nothing redirects yet");

    world.gateway.nft(&shop.run(&["firewall"]));
    let leaves_by = bought
        .each_ref()
        .map(|bought| fetch_by(Entry::Connect, bought).unwrap());
    let mut sorted = leaves_by.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        ["45.1.0.11", "45.1.0.12"],
        "each port has its own subscription's exit"
    );
    // The second address of a device, and the other family.
    let addresses = [own(0, 11), own(0, 12), "2a0a:0::11".parse().unwrap()];
    let at = |bought: &Subscription, address: IpAddr| {
        let mut there = bought.clone();
        there.port.set_ip(address);
        there
    };
    for address in addresses {
        for entry in Entry::ALL {
            for (bought, by) in bought.iter().zip(&leaves_by) {
                assert_eq!(
                    fetch_by(entry, &at(bought, address)).as_ref(),
                    Ok(by),
                    "{entry:?} at {address}"
                );
            }
        }
        let there = at(&bought[0], address);
        let datagrams_go_to = client.enter(|| {
            let mut stream = connected(there.port).unwrap();
            log_in(&mut stream, &there).unwrap();
            request(&mut stream, ASSOCIATE, &of_address((Ipv4Addr::UNSPECIFIED, 0).into()))
        });
        assert_eq!(datagrams_go_to, Ok(there.port), "where the client has dialled");
    }
    let from_here = shop.inside(|| Entry::Connect.fetch(&bought[0], &ORIGIN.to_string(), origin.address().port()));
    assert_eq!(
        from_here.as_ref(),
        Ok(&leaves_by[0]),
        "this machine's own connections are redirected, too"
    );
    for bought in &bought {
        let free = world
            .gateway
            .enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, bought.port.port())));
        assert!(free.is_ok(), "no socket listens on {} itself", bought.port);
    }

    // Printed again, the rules take the place of those before.
    world.gateway.nft(&shop.run(&["firewall"]));
    assert_eq!(fetch_by(Entry::Socks5, &bought[1]).as_ref(), Ok(&leaves_by[1]));
    let mut nobodys = bought[0].clone();
    nobodys.port = SocketAddr::new(nobodys.port.ip(), bought[0].port.port().max(bought[1].port.port()) + 1);
    assert!(
        fetch_by(Entry::Connect, &nobodys).is_err(),
        "nobody has bought {}",
        nobodys.port
    );
    shop.run(&["account", "suspend", "first@example.com"]);
    eventually("a suspended account's ports are closed", || {
        bought.iter().all(|bought| fetch_by(Entry::Connect, bought).is_err())
    });
}
