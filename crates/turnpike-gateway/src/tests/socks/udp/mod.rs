//! Datagrams through UDP ASSOCIATE.

mod delivery;
mod lifetime;
mod refusals;
mod upstream;

use std::net::Ipv4Addr;

use tokio::net::UdpSocket;

use super::*;

/// A client with an association.
struct Associated {
    tcp: Script,
    udp: UdpSocket,
    /// Where its datagrams go.
    relay: SocketAddr,
}

impl Associated {
    async fn new(world: &World) -> Self {
        Self::of(Script::start(world).await).await
    }

    /// Goes through the handshake on a fresh connection.
    async fn of(mut tcp: Script) -> Self {
        let gateway = tcp.0.peer_addr().unwrap();
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        tcp.says([GREETING, LOGIN, &request(3, nowhere)].concat()).await;
        // The port is the subscription's own, and the address is the one that was dialled.
        let bound = request(0, gateway);
        tcp.hears([CHOSEN, WELCOME, &bound].concat()).await;
        let own = SocketAddr::new(tcp.0.local_addr().unwrap().ip(), 0);
        Self {
            udp: UdpSocket::bind(own).await.unwrap(),
            tcp,
            relay: gateway,
        }
    }

    async fn sends(&self, datagram: impl AsRef<[u8]>) {
        self.udp.send_to(datagram.as_ref(), self.relay).await.unwrap();
    }

    /// The next datagram is exactly this.
    async fn receives(&self, expected: impl AsRef<[u8]>) {
        let (heard, from) = receive(&self.udp).await;
        assert_eq!(from, self.relay);
        // Not by assert_eq: it would print 65,507 bytes twice.
        assert!(heard == expected.as_ref(), "{} bytes", heard.len());
    }

    /// Sends `payload` to an echo and gets it back; whatever was sent before has been dealt with then.
    async fn echoes(&self, echo: SocketAddr, payload: &[u8]) {
        self.sends(datagram(echo, payload)).await;
        self.receives(datagram(echo, payload)).await;
    }
}

fn datagram(to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, 0], &request(0, to)[3..], payload].concat()
}

fn datagram_to_name(name: &str, port: u16, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, 0], &request_name(0, name, port)[3..], payload].concat()
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (length, from) = within(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap();
    buffer.truncate(length);
    (buffer, from)
}

/// Nothing has arrived.
fn assert_silent(socket: &UdpSocket) {
    let received = socket.try_recv_from(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(received.unwrap_err(), std::io::ErrorKind::WouldBlock);
}

async fn origin(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// An origin that sends each datagram back.
async fn echo(address: &str) -> SocketAddr {
    let (socket, address) = origin(address).await;
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
    address
}
