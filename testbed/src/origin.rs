//! Servers out in the world that remember who came to them, and with what.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request, a connection or a datagram, as the origin got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Whom the origin saw.
    pub from: SocketAddr,
    /// The head of an HTTP request exactly as it arrived, or a datagram's content. Empty for plain connections.
    pub said: String,
}

impl Visit {
    /// The values of a header field of the request, whatever its name's case.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<&str> {
        let fields = self.said.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    visits: Arc<Mutex<Vec<Visit>>>,
    ended: Arc<AtomicBool>,
}

impl Origin {
    /// An HTTP server on loopback. `/` answers the address that the request came from; `/bytes/N` the first N bytes of
    /// [`pattern`]; a POST to `/echo` what was posted. Connections are kept alive.
    #[must_use]
    pub fn http() -> Self {
        Self::http_at(Ipv4Addr::LOCALHOST.into())
    }

    /// The same at another address of this machine.
    #[must_use]
    pub fn http_at(address: IpAddr) -> Self {
        Self::stream(address, |connection, from, visits| {
            // A peer that goes away ends its connection, nothing else.
            let _ = serve_http(connection, from, visits);
        })
    }

    /// A server on loopback that sends back every byte until the peer has finished.
    #[must_use]
    pub fn echo() -> Self {
        Self::echo_at(Ipv4Addr::LOCALHOST.into())
    }

    /// The same at another address of this machine.
    #[must_use]
    pub fn echo_at(address: IpAddr) -> Self {
        Self::stream(address, |connection, from, visits| {
            visits.lock().expect("the visits").push(Visit {
                from,
                said: String::new(),
            });
            let mut reader = connection;
            if let Ok(mut writer) = reader.try_clone() {
                let _ = std::io::copy(&mut reader, &mut writer);
                let _ = writer.shutdown(std::net::Shutdown::Write);
            }
        })
    }

    /// A UDP server on loopback that answers each datagram with its sender's address, a space, and its content.
    #[must_use]
    pub fn udp() -> Self {
        Self::udp_at(Ipv4Addr::LOCALHOST.into())
    }

    /// The same at another address of this machine.
    #[must_use]
    pub fn udp_at(address: IpAddr) -> Self {
        let socket = UdpSocket::bind((address, 0)).expect("a UDP socket");
        // So that the thread notices that it has been dropped.
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a time limit");
        let origin = Self::new(socket.local_addr().expect("the socket's address"));
        let (visits, ended) = (Arc::clone(&origin.visits), Arc::clone(&origin.ended));
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let _ = socket.send_to(format!("{} {said}", from.ip()).as_bytes(), from);
                visits.lock().expect("the visits").push(Visit { from, said });
            }
        });
        origin
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path of an HTTP origin.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything that has come so far, in order of arrival.
    ///
    /// # Panics
    /// When a thread of the origin panicked.
    #[must_use]
    pub fn visits(&self) -> Vec<Visit> {
        self.visits.lock().expect("the visits").clone()
    }

    /// The addresses that have been here, in order of arrival.
    #[must_use]
    pub fn visitors(&self) -> Vec<IpAddr> {
        self.visits().iter().map(|visit| visit.from.ip()).collect()
    }

    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            visits: Arc::default(),
            ended: Arc::default(),
        }
    }

    fn stream(address: IpAddr, serve: fn(TcpStream, SocketAddr, &Mutex<Vec<Visit>>)) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a listener");
        let origin = Self::new(listener.local_addr().expect("the listener's address"));
        let (visits, ended) = (Arc::clone(&origin.visits), Arc::clone(&origin.ended));
        thread::spawn(move || {
            while let Ok((connection, from)) = listener.accept() {
                // A server at `::` sees IPv4 in IPv6's spelling.
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let visits = Arc::clone(&visits);
                thread::spawn(move || serve(connection, from, &visits));
            }
        });
        origin
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts. In another network namespace it sleeps on until the process ends.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(100));
    }
}

/// The first `length` bytes of an endless sequence in which no stretch repeats soon, so that a lost, doubled or foreign byte shows.
pub fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..length).map(|_| next()).collect()
}

fn serve_http(connection: TcpStream, from: SocketAddr, visits: &Mutex<Vec<Visit>>) -> std::io::Result<()> {
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    loop {
        let mut said = String::new();
        while !said.ends_with("\r\n\r\n") {
            if reader.read_line(&mut said)? == 0 {
                return Ok(());
            }
        }
        let visit = Visit { from, said };
        let target = visit.said.split(' ').nth(1).unwrap_or("/").to_owned();
        let length = visit
            .header("content-length")
            .first()
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        let is_last = visit.header("connection").contains(&"close");
        visits.lock().expect("the visits").push(visit);
        let mut posted = vec![0; length];
        reader.read_exact(&mut posted)?;
        let body = match (target.strip_prefix("/bytes/"), target.as_str()) {
            (Some(length), _) => pattern(length.parse().unwrap_or(0)),
            (None, "/echo") => posted,
            (None, _) => from.ip().to_string().into_bytes(),
        };
        writer.write_all(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
            .as_bytes(),
        )?;
        writer.write_all(&body)?;
        if is_last {
            return Ok(());
        }
    }
}
