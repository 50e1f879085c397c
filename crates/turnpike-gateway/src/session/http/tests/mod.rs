//! Byte scripts: a client that says exactly this, an origin that sees exactly that, and a real gateway between them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

mod bodies;
mod forwarding;
mod lifetime;
mod login;
mod refusals;
mod tunnels;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{Change, Event, ExitId, ExitSpec, ExitWay, Gateway, GatewayConfig, Limits, Route, RouteId};

/// `user:pass`.
const LOGIN: &str = "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n";

/// The port of the one route.
const PORT: u16 = 12_001;

/// What every await of a script has to come within; none of them needs it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway with one exit (127.0.0.1, then 127.0.0.2) and one route.
struct World {
    gateway: Gateway,
    /// An address of this test's own, so that its port is nobody else's.
    address: IpAddr,
    _events: tokio::sync::mpsc::UnboundedReceiver<Event>,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let address = own_address();
        let mut config = GatewayConfig {
            bind: vec![address],
            public_host: "127.0.0.1".to_owned(),
            allow_destinations: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            own_addresses: Vec::new(),
            own_hosts: Vec::new(),
            shop_ports: Vec::new(),
            idle_timeout: PATIENCE,
            peer_timeout: Duration::from_secs(120),
            handshake_timeout: PATIENCE,
            first_byte_timeout: PATIENCE,
            connect_timeout: PATIENCE,
            dns_servers: Vec::new(),
            redirect_port: None,
            udp: true,
            stealth: false,
        };
        change(&mut config);
        let (gateway, events) = Gateway::start(config, Arc::new(|| 1_700_000_000_000));
        let exit = ExitSpec {
            id: exit(),
            name: "test".to_owned(),
            way: ExitWay::Pool(vec![[127, 0, 0, 1].into(), [127, 0, 0, 2].into()]),
            rotate: None,
            present_address: Some([127, 0, 0, 1].into()),
            drain: Duration::from_secs(30),
            allow_smtp: false,
        };
        assert!(gateway.apply(vec![Change::Exit(exit)]).await.failed.is_empty());
        let route = Route {
            id: route(),
            port: PORT,
            username: "user".to_owned(),
            password: SecretString::from("pass"),
            uuid: [7; 16],
            exit: self::exit(),
            ends_at: i64::MAX,
            allowed_addresses: Vec::new(),
            limits: Limits::default(),
            moved: 0,
        };
        assert!(gateway.apply(vec![Change::Route(route)]).await.failed.is_empty());
        Self {
            gateway,
            address,
            _events: events,
        }
    }

    async fn client(&self) -> Script {
        Script {
            stream: TcpStream::connect((self.address, PORT)).await.unwrap(),
        }
    }

    /// Bytes counted so far, up and down.
    fn traffic(&self) -> (u64, u64) {
        let batch = self.gateway.traffic();
        let rows = batch.iter().flat_map(|batch| &batch.rows);
        rows.fold((0, 0), |(up, down), row| (up + row.up, down + row.down))
    }
}

fn exit() -> ExitId {
    ExitId("exit".into())
}

fn route() -> RouteId {
    RouteId("route".into())
}

fn own_address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = (std::process::id() << 6).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    Ipv4Addr::from_bits(0x7f80_0000 | number & 0x003f_ffff).into()
}

/// An origin that waits for the gateway's connections.
struct Origin {
    listener: TcpListener,
}

impl Origin {
    async fn new() -> Self {
        Self {
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
        }
    }

    fn authority(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    async fn accept(&self) -> Script {
        self.accept_from().await.0
    }

    async fn accept_from(&self) -> (Script, IpAddr) {
        let (stream, peer) = patiently(self.listener.accept()).await.unwrap();
        (Script { stream }, peer.ip())
    }

    /// Nobody has connected, and nobody will because of what has happened so far.
    fn assert_unvisited(self) {
        let listener = self.listener.into_std().unwrap();
        let refused = listener.accept().map(|_| ()).map_err(|error| error.kind());
        assert_eq!(refused, Err(std::io::ErrorKind::WouldBlock));
    }
}

/// One end of a connection that follows a script.
struct Script {
    stream: TcpStream,
}

impl Script {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next bytes are exactly these.
    async fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut seen = Vec::with_capacity(expected.len());
        while seen.len() < expected.len() {
            let mut portion = vec![0; expected.len() - seen.len()];
            let count = patiently(self.stream.read(&mut portion)).await.unwrap_or_else(|error| {
                panic!("{error} behind {:?}", String::from_utf8_lossy(&seen));
            });
            seen.extend_from_slice(&portion[..count]);
            if count == 0 || !expected.starts_with(&seen) {
                break;
            }
        }
        assert_eq!(String::from_utf8_lossy(&seen), String::from_utf8_lossy(expected));
    }

    /// The connection ends here, without another byte.
    async fn expect_end(&mut self) {
        let mut rest = Vec::new();
        patiently(self.stream.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }

    /// Everything up to the end.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        patiently(self.stream.read_to_end(&mut rest)).await.unwrap();
        String::from_utf8(rest).unwrap()
    }

    /// One head, to its empty line.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = patiently(self.stream.read_u8()).await.unwrap_or_else(|error| {
                panic!("{error} behind {:?}", String::from_utf8_lossy(&head));
            });
            head.push(byte);
        }
        String::from_utf8(head).unwrap()
    }

    /// One answer that has a Content-Length: its head and its body.
    async fn answer(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .unwrap_or_else(|| panic!("no length in {head:?}"));
        let mut body = vec![0; length.parse().unwrap()];
        patiently(self.stream.read_exact(&mut body)).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// A GET of `http://{authority}{path}` with good credentials.
    async fn get(&mut self, authority: &str, path: &str) {
        self.send(format!(
            "GET http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n{LOGIN}\r\n"
        ))
        .await;
    }

    /// What that GET is for the origin.
    async fn expect_get(&mut self, authority: &str, path: &str) {
        self.expect(format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\n\r\n"))
            .await;
    }

    async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }
}

async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("the script is stuck")
}
