//! SOCKS, byte by byte: a client that says exactly this and hears exactly that.

mod connect;
mod socks4;
mod udp;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::world::{Origin, World, exit, route, within};
use crate::resolve::name_server::{NameServer, Reply};
use crate::{Change, ExitSpec, ExitWay, GatewayConfig};

/// What every step of a script comes within.
const PATIENCE: Duration = Duration::from_secs(10);

/// The port of the one route.
const PORT: u16 = 12_001;

const GREETING: &[u8] = &[5, 1, 2];
const CHOSEN: &[u8] = &[5, 2];
const LOGIN: &[u8] = b"\x01\x04user\x06secret";
const WELCOME: &[u8] = &[1, 0];
const CONNECTED: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

/// A gateway with one route.
async fn world() -> World {
    world_with(|_| {}, |_| {}).await
}

async fn world_with(config: impl FnOnce(&mut GatewayConfig), way_out: impl FnOnce(&mut ExitSpec)) -> World {
    let world = World::start_with(config).await;
    let mut first = exit("first", super::world::FIRST_EXIT);
    way_out(&mut first);
    world
        .apply([Change::Exit(first), Change::Route(route("a", PORT))])
        .await;
    world
}

/// A client that follows a script.
struct Script(TcpStream);

impl Script {
    async fn start(world: &World) -> Self {
        let stream = world.connect(PORT).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    async fn says(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next bytes are exactly these.
    async fn hears(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut heard = vec![0; expected.len()];
        within(PATIENCE, self.0.read_exact(&mut heard)).await.unwrap();
        assert_eq!(heard, expected);
    }

    /// The last bytes are exactly these; there may be none.
    async fn hears_last(mut self, expected: impl AsRef<[u8]>) {
        let mut heard = Vec::new();
        within(PATIENCE, self.0.read_to_end(&mut heard)).await.unwrap();
        assert_eq!(heard, expected.as_ref());
    }
}

/// Nobody has connected, and nobody will because of what has been answered so far.
fn assert_unvisited(origin: Origin) {
    let refused = origin.into_std().accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(refused, Err(std::io::ErrorKind::WouldBlock));
}

fn request(command: u8, to: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![5, command, 0];
    match to.ip() {
        IpAddr::V4(ip) => {
            bytes.push(1);
            bytes.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(4);
            bytes.extend(ip.octets());
        }
    }
    bytes.extend(to.port().to_be_bytes());
    bytes
}

fn request_name(command: u8, name: &str, port: u16) -> Vec<u8> {
    let mut bytes = vec![5, command, 0, 3, u8::try_from(name.len()).unwrap()];
    bytes.extend(name.as_bytes());
    bytes.extend(port.to_be_bytes());
    bytes
}

/// Knows `here.example` as 127.0.0.1, `loop.example` as ::1, `private.example` as 10.1.2.3, and no other name.
async fn name_server() -> NameServer {
    NameServer::start(|name, _| match name {
        "here.example" => Reply::Addresses(vec![[127, 0, 0, 1].into()], 60),
        "loop.example" => Reply::Addresses(vec![std::net::Ipv6Addr::LOCALHOST.into()], 60),
        "private.example" => Reply::Addresses(vec![[10, 1, 2, 3].into()], 60),
        _ => Reply::NoSuchName,
    })
    .await
}

/// An exit that has IPv6 and nothing else.
fn leave_by_ipv6(exit: &mut ExitSpec) {
    exit.way = ExitWay::Pool(vec![std::net::Ipv6Addr::LOCALHOST.into()]);
}
