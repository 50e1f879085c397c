//! Every way into a port, spoken by hand, so that every refusal can be told from every other.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use testbed::turnpike::Subscription;

/// No answer takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(25);

/// A way into a port by TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// HTTP CONNECT.
    Connect,
    /// HTTP with the absolute URI.
    Forward,
    /// SOCKS4, which has no names and no IPv6.
    Socks4,
    /// SOCKS4a, the destination written as a name, whatever it is.
    Socks4a,
    /// SOCKS5, an address by its type.
    Socks5,
    /// SOCKS5, the destination written as a name, whatever it is.
    Socks5Name,
}

/// What a dial can come to other than a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The destination rule.
    Prohibited,
    NoSuchName,
    /// The name servers did not say.
    NameTimeout,
    Refused,
    NetworkUnreachable,
    HostUnreachable,
    TimedOut,
    /// The exit is down, or its upstream refuses us.
    Unavailable,
}

impl Outcome {
    /// How this outcome is told by an entry, as [`Entry::fetch`] gives it back.
    pub(crate) fn by(self, entry: Entry) -> Result<String, String> {
        let (http, socks5) = match self {
            Self::Prohibited => ("403 destination_ip_prohibited", "5:02"),
            Self::NoSuchName => ("502 dns_error", "5:04"),
            Self::NameTimeout => ("504 dns_timeout", "5:04"),
            Self::Refused => ("502 connection_refused", "5:05"),
            Self::NetworkUnreachable => ("502 destination_ip_unroutable", "5:03"),
            Self::HostUnreachable => ("502 destination_ip_unroutable", "5:04"),
            Self::TimedOut => ("504 connection_timeout", "5:06"),
            Self::Unavailable => ("503 destination_unavailable", "5:01"),
        };
        let words = match entry {
            Entry::Connect | Entry::Forward => http,
            Entry::Socks5 | Entry::Socks5Name => socks5,
            Entry::Socks4 | Entry::Socks4a => "4:5b",
        };
        Err(words.to_owned())
    }
}

impl Entry {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Connect,
        Self::Forward,
        Self::Socks4,
        Self::Socks4a,
        Self::Socks5,
        Self::Socks5Name,
    ];

    /// Whether it can name such a host.
    pub(crate) fn can_name(self, host: &str) -> bool {
        match (self, host.parse::<IpAddr>()) {
            (Self::Socks4, Ok(IpAddr::V4(_))) => true,
            (Self::Socks4, _) | (Self::Socks5, Err(_)) => false,
            _ => true,
        }
    }

    /// Fetches `/` of an HTTP origin this way.
    ///
    /// # Errors
    /// The refusal: `403 destination_ip_prohibited` of HTTP, `5:02` of SOCKS5, `4:5b` of SOCKS4; or what became of the
    /// connection.
    pub(crate) fn fetch(self, bought: &Subscription, host: &str, port: u16) -> Result<String, String> {
        self.fetch_path(bought, host, port, "/")
            .map(|body| String::from_utf8_lossy(&body).into_owned())
    }

    /// Fetches any path; the body.
    ///
    /// # Errors
    /// As [`Entry::fetch`].
    pub(crate) fn fetch_path(
        self,
        bought: &Subscription,
        host: &str,
        port: u16,
        path: &str,
    ) -> Result<Vec<u8>, String> {
        let authority = authority(host, port);
        if self == Self::Forward {
            let login = [("proxy-authorization", bought.basic())];
            let head = head(&format!("http://{authority}{path}"), &authority, &login);
            return answer(&mut connected(bought.port)?, &head);
        }
        let mut tunnel = self.open(bought, host, port)?;
        answer(&mut tunnel, &head(path, &authority, &[]))
    }

    /// Opens a tunnel this way.
    ///
    /// # Errors
    /// As [`Entry::fetch`].
    pub(crate) fn open(self, bought: &Subscription, host: &str, port: u16) -> Result<TcpStream, String> {
        assert!(self.can_name(host), "{self:?} cannot name {host}");
        let mut stream = connected(bought.port)?;
        let opened = match self {
            Self::Connect => connect(&mut stream, bought, &authority(host, port)),
            Self::Forward => panic!("it opens no tunnel"),
            Self::Socks4 | Self::Socks4a => socks4(&mut stream, bought, host, port, self == Self::Socks4a),
            Self::Socks5 | Self::Socks5Name => log_in(&mut stream, bought).and_then(|()| {
                let destination = match (self, host.parse()) {
                    (Self::Socks5, Ok(address)) => of_address(SocketAddr::new(address, port)),
                    _ => of_name(host, port),
                };
                request(&mut stream, 0x01, &destination).map(drop)
            }),
        };
        opened.map(|()| stream)
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn head(target: &str, authority: &str, fields: &[(&str, String)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("GET {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{fields}\r\n")
}

/// The body of an answer of 200; of any other the status and the error in `Proxy-Status`.
fn answer(stream: &mut TcpStream, head: &str) -> Result<Vec<u8>, String> {
    stream.write_all(head.as_bytes()).map_err(words)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(words)?;
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or("closed without an answer")?;
    let body = answer.split_off(end + 4);
    match status(&String::from_utf8_lossy(&answer)) {
        "200" => Ok(body),
        _ => Err(refusal(&String::from_utf8_lossy(&answer))),
    }
}

fn connect(stream: &mut TcpStream, bought: &Subscription, authority: &str) -> Result<(), String> {
    let basic = bought.basic();
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: {basic}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(words)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(received::<1>(stream)?);
    }
    let head = String::from_utf8_lossy(&head);
    match status(&head) {
        "200" => Ok(()),
        _ => Err(refusal(&head)),
    }
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// The status and what `Proxy-Status` says.
fn refusal(head: &str) -> String {
    let error = head
        .lines()
        .find_map(|line| line.split_once("; error="))
        .map(|(_, error)| error);
    format!("{} {}", status(head), error.unwrap_or("without Proxy-Status"))
}

/// SOCKS4 and 4a: user name and password stand in the user id.
fn socks4(stream: &mut TcpStream, bought: &Subscription, host: &str, port: u16, by_name: bool) -> Result<(), String> {
    let address: [u8; 4] = match host.parse() {
        Ok(IpAddr::V4(address)) if !by_name => address.octets(),
        _ => [0, 0, 0, 1],
    };
    let mut request = [
        &[4, 1][..],
        &port.to_be_bytes(),
        &address,
        bought.userinfo().as_bytes(),
        &[0],
    ]
    .concat();
    if by_name {
        request.extend([host.as_bytes(), &[0]].concat());
    }
    stream.write_all(&request).map_err(words)?;
    match received::<8>(stream)? {
        [0, 0x5a, ..] => Ok(()),
        [_, reply, ..] => Err(format!("4:{reply:02x}")),
    }
}

/// Greeting and password of SOCKS5.
pub(crate) fn log_in(stream: &mut TcpStream, bought: &Subscription) -> Result<(), String> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let login = [&[5, 1, 2, 1][..], &text(&bought.username), &text(&bought.password)].concat();
    stream.write_all(&login).map_err(words)?;
    match (received::<2>(stream)?, received::<2>(stream)?) {
        ([5, 2], [1, 0]) => Ok(()),
        other => Err(format!("no login: {other:02x?}")),
    }
}

/// A request of SOCKS5; the address in its reply.
pub(crate) fn request(stream: &mut TcpStream, command: u8, destination: &[u8]) -> Result<SocketAddr, String> {
    stream
        .write_all(&[&[5, command, 0], destination].concat())
        .map_err(words)?;
    let [_, reply, _, kind] = received(stream)?;
    let address: IpAddr = match kind {
        1 => received::<4>(stream)?.into(),
        4 => received::<16>(stream)?.into(),
        other => return Err(format!("an address of type {other}")),
    };
    let port = u16::from_be_bytes(received(stream)?);
    match reply {
        0 => Ok(SocketAddr::new(address, port)),
        reply => Err(format!("5:{reply:02x}")),
    }
}

/// An address as SOCKS5 writes it.
pub(crate) fn of_address(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(address) => [&[1][..], &address.octets(), &port].concat(),
        IpAddr::V6(address) => [&[4][..], &address.octets(), &port].concat(),
    }
}

/// A name as SOCKS5 writes it.
pub(crate) fn of_name(name: &str, port: u16) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[3, length], name.as_bytes(), &port.to_be_bytes()].concat()
}

/// A connection to a port.
pub(crate) fn connected(port: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&port, PATIENCE).map_err(words)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(words)?;
    Ok(stream)
}

fn received<const N: usize>(stream: &mut TcpStream) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).map_err(words)?;
    Ok(bytes)
}

fn words(error: io::Error) -> String {
    error.to_string()
}
