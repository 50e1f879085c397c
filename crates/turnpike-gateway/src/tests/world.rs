//! A gateway with routes and exits on loopback, and the two ends of its tunnels.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use crate::{
    Applied, Change, Event, ExitId, ExitSpec, ExitWay, Gateway, GatewayConfig, Limits, Route, RouteId, TrafficRow,
    WallClock,
};

/// Lets this process have as many open files as it may; whether those are enough for a test with thousands of connections.
pub(super) fn raise_descriptor_limit() -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let is_enough = limit.maximum.is_none_or(|most| most >= 10_000);
    if !is_enough {
        eprintln!("skipped: this test needs 10,000 open files");
    }
    is_enough
}

/// A far end of time.
pub(super) const NEVER: i64 = i64::MAX;

/// The exits' addresses.
pub(super) const FIRST_EXIT: &str = "127.0.0.11";
pub(super) const SECOND_EXIT: &str = "127.0.0.12";

pub(super) struct World {
    pub(super) gateway: Gateway,
    /// An address of this test's own, so that its ports are nobody else's.
    pub(super) address: IpAddr,
    _events: mpsc::UnboundedReceiver<Event>,
}

impl World {
    /// A gateway with the exits `first` and `second`.
    pub(super) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(super) async fn start_with(adjust: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::start_at(Arc::new(now), adjust).await
    }

    /// The same with a clock of the test's own.
    pub(super) async fn start_at(clock: WallClock, adjust: impl FnOnce(&mut GatewayConfig)) -> Self {
        let address = own_address();
        let mut config = GatewayConfig {
            bind: vec![address],
            public_host: "127.0.0.1".into(),
            allow_destinations: vec!["127.0.0.0/8".parse().unwrap()],
            own_addresses: Vec::new(),
            own_hosts: Vec::new(),
            shop_ports: Vec::new(),
            idle_timeout: Duration::from_secs(60),
            peer_timeout: Duration::from_secs(120),
            handshake_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            dns_servers: vec!["127.0.0.1:9".parse().unwrap()],
            redirect_port: None,
            udp: true,
            stealth: false,
        };
        adjust(&mut config);
        let (gateway, events) = Gateway::start(config, clock);
        let world = Self {
            gateway,
            address,
            _events: events,
        };
        world
            .apply([
                Change::Exit(exit("first", FIRST_EXIT)),
                Change::Exit(exit("second", SECOND_EXIT)),
            ])
            .await;
        world
    }

    /// Applies changes that must succeed.
    pub(super) async fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        let applied = self.try_apply(changes).await;
        assert!(applied.failed.is_empty(), "{:?}", applied.failed);
    }

    pub(super) async fn try_apply(&self, changes: impl IntoIterator<Item = Change>) -> Applied {
        self.gateway.apply(changes.into_iter().collect()).await
    }

    pub(super) async fn connect(&self, port: u16) -> std::io::Result<TcpStream> {
        TcpStream::connect((self.address, port)).await
    }

    /// A tunnel through `port` to `origin`, opened with the route's password.
    pub(super) async fn tunnel(&self, port: u16, origin: SocketAddr) -> TcpStream {
        let client = self.connect(port).await.unwrap();
        self.open_tunnel(client, origin).await
    }

    /// A tunnel whose client has little room: what it does not read stays with the gateway.
    pub(super) async fn narrow_tunnel(&self, port: u16, origin: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let client = socket.connect((self.address, port).into()).await.unwrap();
        self.open_tunnel(client, origin).await
    }

    async fn open_tunnel(&self, mut client: TcpStream, origin: SocketAddr) -> TcpStream {
        client.write_all(&connect_request(origin, "secret")).await.unwrap();
        assert_eq!(read_head(&mut client).await, "HTTP/1.1 200 Connection established");
        client
    }

    /// All traffic so far, acknowledged as it is read.
    pub(super) fn traffic(&self, route: &str) -> (u64, u64) {
        let mut rows: Vec<TrafficRow> = Vec::new();
        while let Some(batch) = self.gateway.traffic() {
            self.gateway.acknowledge(&batch.id);
            rows.extend(batch.rows);
        }
        rows.iter()
            .filter(|row| &*row.route.0 == route)
            .fold((0, 0), |(up, down), row| (up + row.up, down + row.down))
    }
}

pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis()
        .try_into()
        .unwrap()
}

fn own_address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = (std::process::id() << 4).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    Ipv4Addr::from_bits(0x7f40_0000 | number & 0x003f_ffff).into()
}

pub(super) fn exit(id: &str, address: &str) -> ExitSpec {
    ExitSpec {
        id: ExitId(id.into()),
        name: id.into(),
        way: ExitWay::Pool(vec![address.parse().unwrap()]),
        rotate: None,
        present_address: None,
        drain: Duration::ZERO,
        allow_smtp: false,
    }
}

/// A route by the exit `first`, without an end.
pub(super) fn route(id: &str, port: u16) -> Route {
    Route {
        id: RouteId(id.into()),
        port,
        username: "user".into(),
        password: "secret".into(),
        uuid: [7; 16],
        exit: ExitId("first".into()),
        ends_at: NEVER,
        allowed_addresses: Vec::new(),
        limits: Limits::default(),
        moved: 0,
    }
}

pub(super) fn connect_request(origin: SocketAddr, password: &str) -> Vec<u8> {
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("user:{password}"));
    format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\nProxy-Authorization: Basic {credentials}\r\n\r\n")
        .into_bytes()
}

/// Reads to the end of the head and not a byte further; gives the first line.
pub(super) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().lines().next().unwrap().to_owned()
}

/// An origin that hands its connections to the test.
pub(super) struct Origin {
    listener: TcpListener,
}

impl Origin {
    pub(super) async fn listen() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    /// An origin that sends back what it gets, and its end after it.
    pub(super) async fn echo() -> SocketAddr {
        let origin = Self::listen().await;
        let address = origin.address();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = origin.accept().await;
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    let _ = write.shutdown().await;
                });
            }
        });
        address
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Its listener, for asking without waiting.
    pub(super) fn into_std(self) -> std::net::TcpListener {
        self.listener.into_std().unwrap()
    }

    pub(super) async fn accept(&self) -> (TcpStream, SocketAddr) {
        self.listener.accept().await.unwrap()
    }
}

/// Asks again until it is so; fails after `limit`.
pub(super) async fn eventually(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Fails unless `work` ends in time.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, work).await.expect("it did not end in time")
}

/// A stream of bytes that can be checked where it arrives: every byte depends on all before it.
pub(super) struct Pattern(u64);

impl Pattern {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for eight in bytes.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let word = self.0.to_le_bytes();
            eight.copy_from_slice(&word[..eight.len()]);
        }
    }

    /// Sends `count` bytes of it, a multiple of eight; counts them as they go.
    pub(super) async fn send(
        mut self,
        mut to: impl tokio::io::AsyncWrite + Unpin,
        count: usize,
        sent: &AtomicI64,
    ) -> std::io::Result<()> {
        let mut chunk = vec![0; 64 * 1024];
        let mut left = count;
        while left > 0 {
            let size = left.min(chunk.len());
            self.fill(&mut chunk[..size]);
            to.write_all(&chunk[..size]).await?;
            sent.fetch_add(size as i64, Ordering::Relaxed);
            left -= size;
        }
        to.shutdown().await
    }

    /// Reads to the end, and checks that it is this stream; gives its length.
    pub(super) async fn check(mut self, mut from: impl tokio::io::AsyncRead + Unpin) -> usize {
        let mut expected = [0; 8];
        let mut got = vec![0; 64 * 1024];
        let mut total = 0;
        loop {
            let count = from.read(&mut got).await.unwrap();
            if count == 0 {
                return total;
            }
            for byte in &got[..count] {
                if total % 8 == 0 {
                    self.fill(&mut expected);
                }
                assert_eq!(*byte, expected[total % 8], "at byte {total}");
                total += 1;
            }
        }
    }
}
