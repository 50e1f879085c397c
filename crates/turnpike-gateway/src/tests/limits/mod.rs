//! What plans limit, by every way in: who is refused in which words, how fast things move, and what ends when traffic does.

mod admission;
mod speed;
mod strangers;
mod traffic;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use base64::Engine as _;
use testbed::shadowsocks::{self, Answer, Client, Method, Request, Sealer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::world::{Origin, World, now, route, within};
use crate::{Change, Limits, Route};

const PATIENCE: Duration = Duration::from_secs(20);
const PORT: u16 = 12_001;
const PASSWORD: &str = "aJZJWOgeoJk2DX454niuYw";

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn limited(limits: Limits) -> Route {
    Route {
        password: PASSWORD.into(),
        limits,
        ..route("a", PORT)
    }
}

async fn world(limits: Limits) -> World {
    let world = World::start().await;
    world.apply([Change::Route(limited(limits))]).await;
    world
}

/// A way into the port that ends in a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Http,
    Socks5,
    Socks4,
    Vless,
    Shadowsocks,
}

const WAYS: [Way; 5] = [Way::Http, Way::Socks5, Way::Socks4, Way::Vless, Way::Shadowsocks];

/// A connection by one of them.
struct Entered {
    stream: TcpStream,
    /// Of Shadowsocks.
    seal: Option<(Sealer, Answer)>,
}

impl Way {
    /// Comes in from `client`, as far as the request and its first byte of data, an `x`.
    async fn comes_in(self, world: &World, client: IpAddr, to: SocketAddr) -> Entered {
        self.comes_in_with(world, client, to, PASSWORD).await
    }

    async fn comes_in_with(self, world: &World, client: IpAddr, to: SocketAddr, password: &str) -> Entered {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(client, 0)).unwrap();
        let mut stream = socket.connect(SocketAddr::new(world.address, PORT)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let IpAddr::V4(address) = to.ip() else {
            panic!("origins are IPv4")
        };
        let (ip, port) = (address.octets(), to.port().to_be_bytes());
        let mut seal = None;
        let request = match self {
            Self::Http => {
                let credentials = base64::engine::general_purpose::STANDARD.encode(format!("user:{password}"));
                format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nProxy-Authorization: Basic {credentials}\r\n\r\nx")
                    .into_bytes()
            }
            Self::Socks5 => {
                let length = u8::try_from(password.len()).unwrap();
                let login = [&b"\x05\x01\x02\x01\x04user"[..], &[length], password.as_bytes()].concat();
                [&login[..], &[5, 1, 0, 1], &ip, &port, b"x"].concat()
            }
            Self::Socks4 => {
                let user = format!("user:{password}\0x");
                [&[4, 1][..], &port, &ip, user.as_bytes()].concat()
            }
            Self::Vless => {
                let id = if password == PASSWORD {
                    route("a", PORT).uuid
                } else {
                    [9; 16]
                };
                [&[0][..], &id, &[0, 1], &port, &[1], &ip, b"x"].concat()
            }
            Self::Shadowsocks => {
                let client = Client::new(Method::Blake3Aes128Gcm, password);
                let request = Request {
                    salt: rand::random::<[u8; 16]>().to_vec(),
                    time: u64::try_from(now() / 1_000).unwrap(),
                    to: shadowsocks::address(to),
                    payload: b"x".to_vec(),
                };
                let (bytes, sealer) = client.request(&request);
                seal = Some((sealer, client.answer(&request.salt)));
                bytes
            }
        };
        stream.write_all(&request).await.unwrap();
        Entered { stream, seal }
    }

    /// An association of SOCKS5, which lasts as long as what is given back.
    async fn associates(self, world: &World, client: IpAddr) -> TcpStream {
        assert_eq!(self, Self::Socks5);
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(client, 0)).unwrap();
        let mut stream = socket.connect(SocketAddr::new(world.address, PORT)).await.unwrap();
        let length = u8::try_from(PASSWORD.len()).unwrap();
        let login = [&b"\x05\x01\x02\x01\x04user"[..], &[length], PASSWORD.as_bytes()].concat();
        stream
            .write_all(&[&login[..], &[5, 3, 0, 1, 0, 0, 0, 0, 0, 0]].concat())
            .await
            .unwrap();
        let mut answer = [0; 14];
        within(PATIENCE, stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer[..8], [5, 2, 1, 0, 5, 0, 0, 1]);
        stream
    }

    /// A tunnel to an echo, which works.
    async fn opens(self, world: &World, client: IpAddr, echo: SocketAddr) -> Entered {
        let mut entered = self.comes_in(world, client, echo).await;
        let answer = entered.answer().await;
        assert!(answer.ends_with(b"x"), "{self:?}: {}", String::from_utf8_lossy(&answer));
        entered
    }

    /// Opens as soon as it may.
    async fn opens_soon(self, world: &World, client: IpAddr, echo: SocketAddr) -> Entered {
        let opening = async {
            loop {
                let mut entered = self.comes_in(world, client, echo).await;
                if entered.answer().await.ends_with(b"x") {
                    return entered;
                }
            }
        };
        within(PATIENCE, opening).await
    }

    /// Everything that is answered to somebody who is refused.
    async fn refusal(self, world: &World, client: IpAddr, to: SocketAddr) -> Vec<u8> {
        self.refusal_of(world, client, to, PASSWORD).await
    }

    async fn refusal_of(self, world: &World, client: IpAddr, to: SocketAddr, password: &str) -> Vec<u8> {
        let mut entered = self.comes_in_with(world, client, to, password).await;
        let mut answer = Vec::new();
        within(PATIENCE, entered.stream.read_to_end(&mut answer)).await.unwrap();
        answer
    }
}

impl Entered {
    /// What comes until the echo of the `x`, or the end.
    async fn answer(&mut self) -> Vec<u8> {
        let mut answer = Vec::new();
        let mut bytes = vec![0; 4096];
        while !answer.ends_with(b"x") {
            let count = within(PATIENCE, self.stream.read(&mut bytes)).await.unwrap_or(0);
            if count == 0 {
                break;
            }
            match &mut self.seal {
                Some((_, opener)) => answer.extend(opener.take(&bytes[..count])),
                None => answer.extend_from_slice(&bytes[..count]),
            }
        }
        answer
    }
}

/// Each way's refusal of a limit: HTTP's head and sentence, SOCKS' codes, and silence.
async fn assert_refused(world: &World, client: IpAddr, to: SocketAddr, status: &str, error: &str, sentence: &str) {
    for way in WAYS {
        let answer = way.refusal(world, client, to).await;
        match way {
            Way::Http => {
                let text = String::from_utf8(answer).unwrap();
                assert!(text.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{text}");
                assert!(
                    text.contains(&format!("\r\nProxy-Status: turnpike; error={error}\r\n")),
                    "{text}"
                );
                assert!(text.ends_with(&format!("\r\n\r\n{sentence}\n")), "{text}");
            }
            Way::Socks5 => assert_eq!(answer, [5, 2, 1, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0]),
            Way::Socks4 => assert_eq!(answer, [0, 0x5b, 0, 0, 0, 0, 0, 0]),
            Way::Vless | Way::Shadowsocks => assert_eq!(answer, b"", "{way:?}"),
        }
    }
}

/// A Shadowsocks client that sends datagrams from `client`, and what it seals them with.
struct Sender {
    socket: UdpSocket,
    sealing: Client,
    gateway: SocketAddr,
}

impl Sender {
    async fn at(world: &World, client: IpAddr) -> Self {
        Self {
            socket: UdpSocket::bind(SocketAddr::new(client, 0)).await.unwrap(),
            sealing: Client::new(Method::Aes128Gcm, PASSWORD),
            gateway: SocketAddr::new(world.address, PORT),
        }
    }

    async fn send(&self, to: SocketAddr, data: &[u8]) {
        let salt: [u8; 16] = rand::random();
        let packet = self.sealing.packet(&salt, &shadowsocks::address(to), data);
        self.socket.send_to(&packet, self.gateway).await.unwrap();
    }
}

/// An origin that gets datagrams.
async fn receiver() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn at_most(number: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(number)
}
