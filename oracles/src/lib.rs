//! A gateway in this process, for the tests of this crate: clients that other people wrote, as libraries, against it.
//!
//! They stand in a crate of their own because the libraries bring another cryptographic library with them, which nobody who
//! builds Turnpike or tests another crate should wait for.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a fixture that cannot be set up fails its test on the spot"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testbed::dns::{NameServer, Reply};
use testbed::ports::Ports;
use tokio::net::UdpSocket;
use turnpike_gateway::{Change, ExitId, ExitSpec, ExitWay, Gateway, GatewayConfig, Limits, Route, RouteId};

/// The subscription's user name.
pub const USERNAME: &str = "customer";
/// The subscription's password: with `==` behind it, the base64 of 16 bytes.
pub const PASSWORD: &str = "Zm9yIG9yYWNsZXMgb25seQ";

/// The longest text that a name can have in DNS.
pub const LONGEST_NAME: usize = 253;

/// No step takes longer, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway with one subscription, whose exit may go to loopback.
pub struct World {
    address: SocketAddr,
    gateway: Gateway,
    has_v6: bool,
    _ports: Ports,
    _names: NameServer,
}

impl World {
    /// Starts it. Its name server knows every name that ends with `.example`, as 127.0.0.1; those that begin with `private.` as
    /// an address that is not to be reached.
    ///
    /// # Panics
    /// When its port does not open.
    pub async fn start() -> Self {
        let names = NameServer::at((Ipv4Addr::LOCALHOST, 0).into(), |question| {
            let address = match question.name.as_str() {
                name if !name.ends_with(".example") => return Reply::NoSuchName,
                name if name.starts_with("private.") => Ipv4Addr::new(10, 1, 2, 3),
                _ => Ipv4Addr::LOCALHOST,
            };
            Reply::Addresses(vec![address.into()], 60)
        });
        let ports = Ports::reserve(1);
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), ports.nth(0));
        let config = GatewayConfig {
            bind: vec![address.ip()],
            public_host: "127.0.0.1".into(),
            allow_destinations: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            own_addresses: Vec::new(),
            own_hosts: Vec::new(),
            shop_ports: Vec::new(),
            idle_timeout: PATIENCE,
            peer_timeout: Duration::from_secs(120),
            handshake_timeout: PATIENCE,
            first_byte_timeout: PATIENCE,
            connect_timeout: Duration::from_secs(10),
            dns_servers: vec![names.address()],
            redirect_port: None,
            udp: true,
            stealth: false,
        };
        let (gateway, mut events) = Gateway::start(config, Arc::new(now));
        tokio::spawn(async move { while events.recv().await.is_some() {} });

        let has_v6 = has_v6();
        let addresses: Vec<IpAddr> = std::iter::once(Ipv4Addr::new(127, 0, 0, 11).into())
            .chain(has_v6.then_some(Ipv6Addr::LOCALHOST.into()))
            .collect();
        let exit = ExitSpec {
            id: ExitId("exit".into()),
            name: "exit".into(),
            way: ExitWay::Pool(addresses),
            rotate: None,
            present_address: None,
            drain: Duration::ZERO,
            allow_smtp: false,
        };
        let route = Route {
            id: RouteId("route".into()),
            port: address.port(),
            username: USERNAME.into(),
            password: PASSWORD.into(),
            uuid: [7; 16],
            exit: exit.id.clone(),
            ends_at: i64::MAX,
            allowed_addresses: Vec::new(),
            limits: Limits::default(),
            moved: 0,
        };
        let applied = gateway.apply(vec![Change::Exit(exit), Change::Route(route)]).await;
        assert!(applied.failed.is_empty(), "{:?}", applied.failed);
        Self {
            address,
            gateway,
            has_v6,
            _ports: ports,
            _names: names,
        }
    }

    /// The subscription's port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether this machine has IPv6 on loopback.
    #[must_use]
    pub fn has_v6(&self) -> bool {
        self.has_v6
    }

    /// Waits until no tunnel is open.
    ///
    /// # Panics
    /// When one stays open.
    pub async fn closes_its_tunnels(&self) {
        let closed = async {
            while self.gateway.tunnels_open() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("the tunnels end", closed).await;
    }
}

/// Whether this machine has IPv6 on loopback.
fn has_v6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Fails unless `work` ends in time.
///
/// # Panics
/// When it does not.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// A server for datagrams at any address of this machine that sends each back as it came.
///
/// # Panics
/// When there is no such address.
pub async fn echo_of_datagrams(at: IpAddr) -> SocketAddr {
    let socket = UdpSocket::bind((at, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
    address
}

/// A name of exactly this length, at least 10, that the name server of [`World`] knows.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn name_of_length(length: usize) -> String {
    const END: &str = ".example";
    assert!((END.len() + 1..=LONGEST_NAME).contains(&length));
    let mut name = String::new();
    while name.len() + END.len() < length {
        let left = length - END.len() - name.len();
        // A dot needs a letter behind it.
        let is_dot = name.len() % 61 == 60 && left > 1;
        name.push(if is_dot { '.' } else { 'n' });
    }
    name + END
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
