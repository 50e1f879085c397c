//! UDP through SOCKS5 associations, on the subscription's own port number.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

use std::net::{Ipv4Addr, Shutdown, UdpSocket};
use std::time::Duration;

use serde_json::json;
use testbed::client::Association;
use testbed::dns::NameServer;
use testbed::eventually;
use testbed::origin::Origin;
use testbed::turnpike::Turnpike;

#[test]
fn datagrams_to_addresses_and_names_leave_from_the_exit_that_was_bought() {
    let names = NameServer::knowing(&[("origin.example", Ipv4Addr::LOCALHOST)]);
    let origin = Origin::udp();
    let shop = Turnpike::with()
        .set("gateway.dns_servers", &format!("[\"{}\"]", names.address()))
        .network("NL-AMS")
        .pool("nl-1", &["127.0.0.11"])
        .network("DE-BER")
        .pool("de-1", &["127.0.0.21"])
        .start();
    for (network, address) in [("NL-AMS", "127.0.0.11"), ("DE-BER", "127.0.0.21")] {
        let bought = shop.buy(network);
        let association = Association::open(&bought).unwrap();
        assert_eq!(association.relay, bought.port);
        for host in ["127.0.0.1", "origin.example"] {
            association.send(host, origin.address().port(), host);
            assert_eq!(association.receive().unwrap(), format!("{address} {host}"));
        }
    }
}

#[test]
fn changed_credentials_end_associations_and_nobody_elses() {
    let origin = Origin::udp();
    let shop = Turnpike::with().network("NL-AMS").pools(2).start();
    let [old, neighbour] = [shop.buy("NL-AMS"), shop.buy("NL-AMS")];
    let mut ended = Association::open(&old).unwrap();
    let lasting = Association::open(&neighbour).unwrap();
    let port = origin.address().port();
    ended.send("127.0.0.1", port, "before");
    ended.receive().unwrap();

    let change = json!({"op": "change-credentials", "subscriptionId": old.id});
    let _ = shop.order(&change).expect_status(200);

    assert!(ended.control.closes_within(Duration::from_secs(2)).is_some());
    Association::open(&old).expect_err("the old password");
    ended.send("127.0.0.1", port, "too late");
    lasting.send("127.0.0.1", port, "still here");
    assert!(lasting.receive().unwrap().ends_with(" still here"));
    let said: Vec<_> = origin.visits().into_iter().map(|visit| visit.said).collect();
    assert_eq!(said, ["before", "still here"]);
}

#[test]
fn an_association_ends_with_its_connection_and_takes_nothing_from_strangers() {
    let origin = Origin::udp();
    let shop = Turnpike::with().network("NL-AMS").pools(1).start();
    let bought = shop.buy("NL-AMS");
    let mut mine = Association::open(&bought).unwrap();
    let port = origin.address().port();
    mine.send("127.0.0.1", port, "mine");
    mine.receive().unwrap();

    // Another socket of the same machine, with no association of its own.
    let another = UdpSocket::bind("127.0.0.1:0").unwrap();
    let own = std::mem::replace(&mut mine.socket, another);
    mine.send("127.0.0.1", port, "stranger");
    mine.socket = own;
    mine.send("127.0.0.1", port, "still mine");
    assert!(mine.receive().unwrap().ends_with(" still mine"));

    mine.control.0.shutdown(Shutdown::Both).unwrap();
    // Nobody tells the client's socket; so ask until nothing comes back.
    mine.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    eventually("the association is gone", || {
        mine.send("127.0.0.1", port, "late");
        mine.receive().is_err()
    });
    assert!(origin.visits().iter().all(|visit| visit.said != "stranger"));
}

#[test]
fn every_datagram_is_held_to_the_destination_rule() {
    let origin = Origin::udp();
    let forbidden = Origin::udp_at(Ipv4Addr::new(127, 0, 0, 77).into());
    let shop = Turnpike::with()
        .set("gateway.allow_destinations", "[\"127.0.0.1/32\"]")
        .network("NL-AMS")
        .pool("nl-1", &["127.0.0.11"])
        .start();
    let association = Association::open(&shop.buy("NL-AMS")).unwrap();
    for round in ["one", "two"] {
        association.send("127.0.0.77", forbidden.address().port(), round);
        association.send("127.0.0.1", origin.address().port(), round);
        assert!(association.receive().unwrap().ends_with(round));
    }
    assert_eq!(forbidden.visits(), []);
}
