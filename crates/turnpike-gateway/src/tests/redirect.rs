//! All ports through one socket. That the firewall's rules lead there is tried in network namespaces, with the binary.

use tokio::io::AsyncReadExt as _;
use tokio::net::UdpSocket;

use super::world::{World, route};
use crate::Change;

const GATE: u16 = 11_000;
const FIRST: u16 = 1_024;
const PORTS: u16 = 60_000;

#[tokio::test]
async fn sixty_thousand_ports_cost_one_descriptor() {
    let world = World::start_with(|config| {
        config.redirect_port = Some(GATE);
        config.udp = false;
    })
    .await;
    let before = world.gateway.shared().descriptors.used();
    let numbers = FIRST..FIRST + PORTS;
    world
        .apply(numbers.map(|number| Change::Route(route(&number.to_string(), number))))
        .await;
    assert_eq!(world.gateway.ports_open(), usize::from(PORTS));
    assert_eq!(world.gateway.shared().descriptors.used() - before, 1);
}

#[tokio::test]
async fn who_was_not_redirected_is_turned_away_by_a_reset() {
    let world = World::start_with(|config| config.redirect_port = Some(GATE)).await;
    world.apply([Change::Route(route("a", FIRST))]).await;
    let refused = world.connect(FIRST).await.unwrap_err();
    assert_eq!(
        refused.kind(),
        std::io::ErrorKind::ConnectionRefused,
        "nothing listens there"
    );
    // The machine's connection tracking, where it is on, says of this one that it was for the gate itself.
    let mut direct = world.connect(GATE).await.unwrap();
    let reset = direct.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    let taken = UdpSocket::bind((world.address, FIRST)).await.unwrap_err();
    assert_eq!(
        taken.kind(),
        std::io::ErrorKind::AddrInUse,
        "datagrams have their socket"
    );
}
