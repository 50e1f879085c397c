//! Datagrams: sent through a contender to an origin that sends them back, a window of them at a time.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, SystemTime};

use testbed::shadowsocks::{self, ClientSession};

use crate::client::{Protocol, Way};
use crate::load::{Amounts, Cost, cost, spread};

/// What is sent in one of them, as in a packet of a video.
const LENGTH: usize = 1_200;
/// Clients at one time, each with an association of its own.
const CLIENTS: usize = 4;
/// Datagrams that a client has on their way. Those of all clients fit into what the system keeps for one socket by default.
const WINDOW: usize = 16;
/// How long an answer may take before it counts as lost.
const PATIENCE: Duration = Duration::from_millis(500);
/// Of the datagrams, how many may be lost before the figure is worth nothing: one in so many.
const LOST: usize = 100;

/// An origin that sends every datagram back. It lives as long as the process.
pub(crate) fn echo() -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, 1), 0))?;
    let address = socket.local_addr()?;
    thread::spawn(move || {
        let mut room = [0; 2 * LENGTH];
        loop {
            // A client that has gone is no reason to stop.
            if let Ok((count, from)) = socket.recv_from(&mut room) {
                let _ = socket.send_to(&room[..count], from);
            }
        }
    });
    Ok(address)
}

/// A client's way to the origin and back.
struct Client<'a> {
    socket: UdpSocket,
    way: &'a Way,
    /// The origin, as the protocols write it.
    to: Vec<u8>,
    session: [u8; 8],
    /// The next datagram's number.
    number: u64,
    /// A SOCKS5 association lives as long as its connection.
    _connection: Option<TcpStream>,
}

/// Per datagram there and back. Absent where the contender does not carry datagrams.
pub(crate) fn datagrams(way: &Way, origin: SocketAddr, amounts: &Amounts, pid: u32) -> io::Result<Cost> {
    Client::open(way, origin)?.verify()?;
    let rounds = amounts.datagrams / CLIENTS / WINDOW;
    cost(pid, (rounds * CLIENTS * WINDOW) as f64, || {
        spread(
            CLIENTS,
            CLIENTS,
            || Client::open(way, origin),
            |client| client.exchange(rounds),
        )
    })
}

impl<'a> Client<'a> {
    fn open(way: &'a Way, origin: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let (relay, connection) = match &way.protocol {
            Protocol::Socks5 { username, password } => {
                let (connection, relay) = way.associate(username, password)?;
                (relay, Some(connection))
            }
            Protocol::Shadowsocks(_) => (way.proxy, None),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        socket.connect(relay)?;
        Ok(Self {
            socket,
            way,
            to: shadowsocks::address(origin),
            session: std::array::from_fn(|_| fastrand::u8(..)),
            number: 0,
            _connection: connection,
        })
    }

    /// The next datagram, as it goes over the wire.
    fn sealed(&mut self, data: &[u8]) -> Vec<u8> {
        let Protocol::Shadowsocks(client) = &self.way.protocol else {
            return [&[0, 0, 0], &self.to[..], data].concat();
        };
        let number = self.number;
        self.number += 1;
        if !client.method().is_2022() {
            let salt: Vec<u8> = (0..client.method().key_length()).map(|_| fastrand::u8(..)).collect();
            return client.packet(&salt, &self.to, data);
        }
        let time = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let session = ClientSession {
            session: self.session,
            number,
            time: time.as_secs(),
        };
        client.packet_2022(&session, &self.to, data)
    }

    /// One datagram comes back as it went.
    fn verify(&mut self) -> io::Result<()> {
        let data: Vec<u8> = (0..LENGTH).map(|_| fastrand::u8(..)).collect();
        let sealed = self.sealed(&data);
        self.socket.send(&sealed)?;
        let mut room = [0; 2 * LENGTH];
        let count = self.socket.recv(&mut room)?;
        let got = match &self.way.protocol {
            Protocol::Shadowsocks(client) => client.open(&room[..count]).data,
            // Three bytes, and the sender's address as long as the destination's.
            _ => room[..count].get(3 + self.to.len()..).unwrap_or_default().to_vec(),
        };
        match got == data {
            true => Ok(()),
            false => Err(io::Error::other("another datagram than was sent")),
        }
    }

    /// So many windows, each answered before the next is sent.
    fn exchange(&mut self, rounds: usize) -> io::Result<()> {
        let data = [b'd'; LENGTH];
        let mut room = [0; 2 * LENGTH];
        let mut lost = 0;
        for _ in 0..rounds {
            for _ in 0..WINDOW {
                let sealed = self.sealed(&data);
                self.socket.send(&sealed)?;
            }
            for answered in 0..WINDOW {
                match self.socket.recv(&mut room) {
                    Ok(_) => {}
                    Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                        lost += WINDOW - answered;
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            if lost > rounds * WINDOW / LOST {
                return Err(io::Error::other("too many datagrams are lost"));
            }
        }
        Ok(())
    }
}
