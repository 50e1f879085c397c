//! A client of every protocol: blocking, one thread each.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use testbed::shadowsocks::{self, Answer, Method, Request, Sealer};

/// What a client waits for at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to go through a contender.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) proxy: SocketAddr,
    pub(crate) protocol: Protocol,
}

#[derive(Debug, Clone)]
pub(crate) enum Protocol {
    /// The contender leads to one origin and nowhere else.
    Bare,
    Http {
        username: String,
        password: String,
    },
    Socks5 {
        username: String,
        password: String,
    },
    Vless {
        id: [u8; 16],
    },
    Shadowsocks(shadowsocks::Client),
}

/// A tunnel to the origin.
#[derive(Debug)]
pub(crate) struct Tunnel {
    socket: TcpStream,
    seal: Option<(Sealer, Answer)>,
    /// Text that has been opened and not been read.
    text: Vec<u8>,
    /// So many bytes of the answer are the protocol's own.
    skip: usize,
}

impl Way {
    /// Whether plain requests can be sent through it.
    pub(crate) fn passes_requests(&self) -> bool {
        matches!(self.protocol, Protocol::Bare | Protocol::Http { .. })
    }

    /// Whether its protocol has datagrams beside the stream.
    pub(crate) fn carries_datagrams(&self) -> bool {
        matches!(self.protocol, Protocol::Socks5 { .. } | Protocol::Shadowsocks(_))
    }

    /// The head of a request for something of the origin's.
    pub(crate) fn request(&self, origin: SocketAddr) -> Vec<u8> {
        match &self.protocol {
            Protocol::Http { username, password } => format!(
                "GET http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\nProxy-Authorization: Basic {}\r\n\r\n",
                BASE64_STANDARD.encode(format!("{username}:{password}"))
            ),
            _ => format!("GET / HTTP/1.1\r\nHost: {origin}\r\n\r\n"),
        }
        .into_bytes()
    }

    /// An association for datagrams by SOCKS5: the connection that it lives by, and where they are sent.
    pub(crate) fn associate(&self, username: &str, password: &str) -> io::Result<(TcpStream, SocketAddr)> {
        let mut tunnel = Tunnel::over(self.connect()?);
        tunnel.log_in(username.as_bytes(), password.as_bytes())?;
        tunnel.socket.write_all(&[5, 3, 0, 1, 0, 0, 0, 0, 0, 0])?;
        let [version, outcome, _, kind, a, b, c, d, high, low] = tunnel.exactly::<10>()?;
        require((version, outcome, kind) == (5, 0, 1), "it carries no datagrams")?;
        let port = u16::from_be_bytes([high, low]);
        let told = Ipv4Addr::new(a, b, c, d);
        let relay = if told.is_unspecified() {
            self.proxy.ip()
        } else {
            told.into()
        };
        Ok((tunnel.socket, SocketAddr::new(relay, port)))
    }

    /// A connection to the contender, and nothing said yet.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let socket = TcpStream::connect(self.proxy)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(socket)
    }

    /// Opens a tunnel and says the first words through it.
    pub(crate) fn open(&self, origin: SocketAddr, first: &[u8]) -> io::Result<Tunnel> {
        let mut tunnel = Tunnel::over(self.connect()?);
        match &self.protocol {
            Protocol::Bare => tunnel.socket.write_all(first)?,
            Protocol::Http { username, password } => {
                let said = BASE64_STANDARD.encode(format!("{username}:{password}"));
                let head =
                    format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\nProxy-Authorization: Basic {said}\r\n\r\n");
                tunnel.socket.write_all(head.as_bytes())?;
                tunnel.expect_head()?;
                tunnel.socket.write_all(first)?;
            }
            Protocol::Socks5 { username, password } => {
                tunnel.log_in(username.as_bytes(), password.as_bytes())?;
                let request = [&[5, 1, 0][..], &shadowsocks::address(origin)].concat();
                tunnel.socket.write_all(&request)?;
                let [version, outcome, ..] = tunnel.exactly::<10>()?;
                require((version, outcome) == (5, 0), "it does not connect")?;
                tunnel.socket.write_all(first)?;
            }
            Protocol::Vless { id } => {
                tunnel.skip = 2;
                let SocketAddr::V4(v4) = origin else {
                    return Err(io::ErrorKind::Unsupported.into());
                };
                let port = v4.port().to_be_bytes();
                let head = [&[0][..], id, &[0, 1], &port, &[1], &v4.ip().octets(), first].concat();
                tunnel.socket.write_all(&head)?;
            }
            Protocol::Shadowsocks(client) => {
                let mut salt = vec![0; client.method().key_length()];
                salt.fill_with(|| fastrand::u8(..));
                let time = SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default();
                let (bytes, sealer) = client.request(&Request {
                    salt: salt.clone(),
                    time: time.as_secs(),
                    to: shadowsocks::address(origin),
                    payload: first.to_vec(),
                });
                tunnel.socket.write_all(&bytes)?;
                tunnel.seal = Some((sealer, client.answer(&salt)));
            }
        }
        Ok(tunnel)
    }
}

impl Tunnel {
    fn over(socket: TcpStream) -> Self {
        Self {
            socket,
            seal: None,
            text: Vec::new(),
            skip: 0,
        }
    }

    /// Answers 2xx, and ends its head in the same piece: nothing is said behind it before the client speaks.
    fn expect_head(&mut self) -> io::Result<()> {
        let mut head = Vec::new();
        let mut room = [0; 512];
        while !head.ends_with(b"\r\n\r\n") {
            match self.socket.read(&mut room)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => head.extend_from_slice(&room[..count]),
            }
        }
        require(head.get(9) == Some(&b'2'), "it does not connect")
    }

    fn log_in(&mut self, username: &[u8], password: &[u8]) -> io::Result<()> {
        self.socket.write_all(&[5, 1, 2])?;
        require(self.exactly::<2>()? == [5, 2], "it takes no password")?;
        let length = |text: &[u8]| u8::try_from(text.len()).map_err(io::Error::other);
        let login = [&[1, length(username)?], username, &[length(password)?], password].concat();
        self.socket.write_all(&login)?;
        require(self.exactly::<2>()? == [1, 0], "it refuses the password")
    }

    fn exactly<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.socket.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let Some((sealer, _)) = &mut self.seal else {
            return self.socket.write_all(text);
        };
        let sealed: Vec<u8> = text.chunks(16_383).flat_map(|chunk| sealer.chunk(chunk)).collect();
        self.socket.write_all(&sealed)
    }

    pub(crate) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.text.is_empty() {
                let count = self.text.len().min(room.len());
                room[..count].copy_from_slice(&self.text[..count]);
                self.text.drain(..count);
                return Ok(count);
            }
            if self.seal.is_none() && self.skip == 0 {
                return self.socket.read(room);
            }
            let mut wire = vec![0; room.len().max(4096)];
            let count = self.socket.read(&mut wire)?;
            if count == 0 {
                return Ok(0);
            }
            match &mut self.seal {
                Some((_, answer)) => self.text = answer.take(&wire[..count]),
                None => {
                    let own = self.skip.min(count);
                    self.skip -= own;
                    self.text = wire[own..count].to_vec();
                }
            }
        }
    }

    /// Says a byte, which must come back.
    pub(crate) fn ping(&mut self) -> io::Result<()> {
        self.write(b"p")?;
        self.expect(b"p")
    }

    pub(crate) fn expect(&mut self, expected: &[u8]) -> io::Result<()> {
        let mut got = vec![0; expected.len()];
        let mut filled = 0;
        while filled < got.len() {
            match self.read(&mut got[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        require(got == expected, "other bytes than expected")
    }

    pub(crate) fn finish(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }
}

/// The method that harness and peers call by this name.
pub(crate) fn sealed(method: Method, password: &str) -> Protocol {
    Protocol::Shadowsocks(shadowsocks::Client::new(method, password))
}

fn require(holds: bool, otherwise: &'static str) -> io::Result<()> {
    if holds {
        Ok(())
    } else {
        Err(io::Error::other(otherwise))
    }
}
