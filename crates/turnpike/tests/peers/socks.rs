//! A user behind a client: SOCKS5 without a password, as programs on one's own machine speak it (RFC 1928).

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use testbed::Running;

/// So long is waited for an answer that a client may have given to somebody else.
const MIXED_UP: Duration = Duration::from_secs(1);

/// No step takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

const CONNECT: u8 = 1;
const ASSOCIATE: u8 = 3;

/// Opens a connection to `to` through the SOCKS5 port.
#[track_caller]
pub(crate) fn connect(port: SocketAddr, to: SocketAddr) -> TcpStream {
    requested(port, CONNECT, &address(&to.ip().to_string()), to.port()).0
}

/// A user's socket for datagrams.
#[derive(Debug)]
pub(crate) struct Datagrams {
    /// The association lives as long as this connection.
    _control: TcpStream,
    socket: UdpSocket,
    is_mixed_up: bool,
}

impl Datagrams {
    #[track_caller]
    pub(crate) fn through(client: &Running) -> Self {
        let port = client.socks();
        let (control, told) = requested(port, ASSOCIATE, &address("0.0.0.0"), 0);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Some clients say that it is the address which they were reached at.
        let relay = if told.ip().is_unspecified() {
            SocketAddr::new(port.ip(), told.port())
        } else {
            told
        };
        socket.connect(relay).unwrap();
        Self {
            _control: control,
            socket,
            is_mixed_up: client.mixes_up(),
        }
    }

    /// Sends a datagram to a name or an address.
    pub(crate) fn send(&self, host: &str, port: u16, content: &[u8]) {
        let packet = [&[0, 0, 0][..], &address(host), &port.to_be_bytes(), content].concat();
        self.socket.send(&packet).unwrap();
    }

    /// Waits for a datagram: where it says that it is from, and its content. Absent where none comes within `limit`.
    pub(crate) fn receive_within(&self, limit: Duration) -> Option<(String, Vec<u8>)> {
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let mut packet = vec![0; 65_536];
        let length = self.socket.recv(&mut packet).ok()?;
        let mut rest = &packet[3..length];
        let from = read_address(&mut rest);
        Some((from, rest.to_vec()))
    }

    /// Sends a datagram once, and `expected` is what comes next: from `from`, where that is to be seen. Only behind a client that
    /// mixes answers up it is sent again, and what is not expected is passed over.
    #[track_caller]
    pub(crate) fn answers(&self, host: &str, port: u16, data: &[u8], from: Option<SocketAddr>, expected: &[u8]) {
        let is_expected =
            |source: &str, came: &[u8]| came == expected && from.is_none_or(|from| source.parse() == Ok(from));
        if !self.is_mixed_up {
            self.send(host, port, data);
            let (source, came) = self.receive();
            let length = came.len();
            assert!(
                is_expected(&source, &came),
                "to {host}:{port} went {} bytes, {length} bytes came from {source}",
                data.len()
            );
            return;
        }
        let came = (0..3).any(|_| {
            self.send(host, port, data);
            std::iter::from_fn(|| self.receive_within(MIXED_UP)).any(|(source, came)| is_expected(&source, &came))
        });
        assert!(came, "to {host}:{port} went {} bytes, no answer came", data.len());
    }

    #[track_caller]
    pub(crate) fn receive(&self) -> (String, Vec<u8>) {
        self.receive_within(PATIENCE).expect("a datagram")
    }
}

/// Sends a request; the connection, and the address that it was answered with.
#[track_caller]
fn requested(port: SocketAddr, command: u8, address: &[u8], destination: u16) -> (TcpStream, SocketAddr) {
    let mut stream = TcpStream::connect_timeout(&port, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[5, 1, 0]).unwrap();
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).unwrap();
    assert_eq!(chosen, [5, 0]);
    stream
        .write_all(&[&[5, command, 0][..], address, &destination.to_be_bytes()].concat())
        .unwrap();
    let mut reply = [0; 3];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply, [5, 0, 0]);
    let bound = read_address(&mut stream);
    (stream, bound.parse().unwrap())
}

/// `type address` (RFC 1928 §5).
fn address(host: &str) -> Vec<u8> {
    match host.parse() {
        Ok(IpAddr::V4(v4)) => [&[1][..], &v4.octets()].concat(),
        Ok(IpAddr::V6(v6)) => [&[4][..], &v6.octets()].concat(),
        Err(_) => [&[3, u8::try_from(host.len()).unwrap()][..], host.as_bytes()].concat(),
    }
}

/// Reads `type address port`, written as one would.
fn read_address(from: &mut impl std::io::Read) -> String {
    let mut field = |length: usize| {
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes).unwrap();
        bytes
    };
    let host = match field(1)[0] {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(field(4)).unwrap()).to_string(),
        4 => format!("[{}]", Ipv6Addr::from(<[u8; 16]>::try_from(field(16)).unwrap())),
        3 => {
            let length = usize::from(field(1)[0]);
            String::from_utf8(field(length)).unwrap()
        }
        other => panic!("an address of type {other}"),
    };
    let port = field(2);
    format!("{host}:{}", u16::from_be_bytes([port[0], port[1]]))
}
