//! Datagrams with an address in front, as SOCKS5 and packetaddr write it.

use std::net::{IpAddr, SocketAddr};

use turnpike_wire::address::Host;
use turnpike_wire::{packetaddr, socks5};

pub(crate) fn run(data: &[u8]) {
    if let Some((destination, payload)) = socks5::datagram(data) {
        assert!(data.ends_with(payload));
        if let Host::Ip(ip) = destination.host {
            again(ip, destination.port, payload, socks5::datagram_header, socks5::datagram);
        }
    }
    if let Some((destination, payload)) = packetaddr::datagram(data) {
        assert!(data.ends_with(payload));
        let Host::Ip(ip) = destination.host else {
            panic!("packetaddr has no names");
        };
        again(ip, destination.port, payload, packetaddr::header, packetaddr::datagram);
    }
}

type Read = fn(&[u8]) -> Option<(turnpike_wire::address::Destination, &[u8])>;

/// What is written for this sender is read as what it says.
fn again(ip: IpAddr, port: u16, payload: &[u8], header: fn(SocketAddr) -> Vec<u8>, read: Read) {
    let written = [&header(SocketAddr::new(ip, port)), payload].concat();
    let (destination, data) = read(&written).unwrap();
    assert_eq!(
        (destination.host, destination.port, data),
        (Host::Ip(ip), port, payload)
    );
}
