//! Shadowsocks by a client that is written for these tests, on other cryptographic libraries than the gateway's.

mod chunks;
mod datagrams;
mod leaks;
mod longest;
mod silence;
mod upstream;

use std::net::SocketAddr;
use std::time::Duration;

use testbed::shadowsocks::{Answer, Client, Method, Request, Sealer, address};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::world::{World, now, route, within};
use crate::{Change, GatewayConfig, Route};

/// What every step comes within.
const PATIENCE: Duration = Duration::from_secs(20);

/// The port of the one route, and its password.
const PORT: u16 = 12_001;
const PASSWORD: &str = "aJZJWOgeoJk2DX454niuYw";

/// A gateway with one route.
async fn world() -> World {
    world_with(|_| {}).await
}

async fn world_with(adjust: impl FnOnce(&mut GatewayConfig)) -> World {
    let world = World::start_with(adjust).await;
    world.apply([Change::Route(sealed_route())]).await;
    world
}

fn sealed_route() -> Route {
    Route {
        password: PASSWORD.into(),
        ..route("a", PORT)
    }
}

fn clients() -> impl Iterator<Item = Client> {
    Method::ALL.into_iter().map(|method| Client::new(method, PASSWORD))
}

fn seconds() -> u64 {
    u64::try_from(now() / 1_000).unwrap()
}

/// A request of now with a salt that no other has.
fn request(client: &Client, to: SocketAddr, payload: &[u8]) -> Request {
    Request {
        salt: rand::random::<[u8; 32]>()[..client.method().key_length()].to_vec(),
        time: seconds(),
        to: address(to),
        payload: payload.to_vec(),
    }
}

/// A connection of a customer's.
struct Tunnel {
    stream: TcpStream,
    sealer: Sealer,
    answer: Answer,
}

impl Tunnel {
    async fn open(world: &World, client: &Client, to: SocketAddr, payload: &[u8]) -> Self {
        let request = request(client, to, payload);
        let (bytes, sealer) = client.request(&request);
        let mut stream = world.connect(PORT).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(&bytes).await.unwrap();
        Self {
            stream,
            sealer,
            answer: client.answer(&request.salt),
        }
    }

    /// Sends text as one chunk.
    async fn send(&mut self, text: &[u8]) {
        let chunk = self.sealer.chunk(text);
        self.stream.write_all(&chunk).await.unwrap();
    }

    /// The next text of this length.
    async fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut text = Vec::new();
        while text.len() < length {
            let more = self.more().await;
            assert!(!more.is_empty(), "{} of {length} bytes, and then the end", text.len());
            text.extend(more);
        }
        assert_eq!(text.len(), length);
        text
    }

    /// All text until the end, which must be between two chunks.
    async fn rest(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        loop {
            let more = self.more().await;
            if more.is_empty() {
                assert!(self.answer.is_whole());
                return text;
            }
            text.extend(more);
        }
    }

    /// Some text; none at the end.
    async fn more(&mut self) -> Vec<u8> {
        loop {
            let mut bytes = vec![0; 65_536];
            let count = within(PATIENCE, self.stream.read(&mut bytes)).await.unwrap();
            let text = self.answer.take(&bytes[..count]);
            if count == 0 || !text.is_empty() {
                return text;
            }
        }
    }
}
