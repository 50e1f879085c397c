//! What is inside a stream, byte by byte: mux.cool and XUDP, and datagrams by packetaddr and UDP over TCP.

mod carriers;
mod datagrams;
mod global_ids;
mod lifetime;
mod rules;
mod streams;
mod upstream;

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::vless::{
    PATIENCE, PORT, RESPONSE, TCP, UDP, destination, hears, hears_the_end, named, opened, received, socket, world,
};
use super::world::{Origin, World, eventually, route, within};
use crate::Change;

const NEW: u8 = 1;
const KEEP: u8 = 2;
const END: u8 = 3;
const KEEP_ALIVE: u8 = 4;

const DATA: u8 = 1;
const ERROR: u8 = 2;

/// A frame, in the words of its specification.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    session: u16,
    status: u8,
    option: u8,
    /// What is behind that in the metadata.
    more: Vec<u8>,
    data: Option<Vec<u8>>,
}

impl Frame {
    fn new(session: u16, network: u8, to: &[u8], data: &[u8]) -> Self {
        let more = [&[network], to].concat();
        Self::of(session, NEW, more, Some(data))
    }

    fn keep(session: u16, data: &[u8]) -> Self {
        Self::of(session, KEEP, Vec::new(), Some(data))
    }

    /// A datagram with an address of its own.
    fn keep_to(session: u16, to: &[u8], data: &[u8]) -> Self {
        Self::of(session, KEEP, [&[UDP], to].concat(), Some(data))
    }

    fn end(session: u16, option: u8) -> Self {
        Self {
            option,
            ..Self::of(session, END, Vec::new(), None)
        }
    }

    fn of(session: u16, status: u8, more: Vec<u8>, data: Option<&[u8]>) -> Self {
        Self {
            session,
            status,
            option: if data.is_some() { DATA } else { 0 },
            more,
            data: data.map(<[u8]>::to_vec),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let length = u16::try_from(4 + self.more.len()).unwrap();
        let [length, session] = [length.to_be_bytes(), self.session.to_be_bytes()];
        let mut bytes = [&length[..], &session, &[self.status, self.option], &self.more].concat();
        if let Some(data) = &self.data {
            bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            bytes.extend(data);
        }
        bytes
    }
}

/// A client of mux.cool over VLESS.
struct Client(TcpStream);

impl Client {
    async fn connect(world: &World) -> Self {
        Self::connect_to(world, PORT).await
    }

    async fn connect_to(world: &World, port: u16) -> Self {
        let mut stream = world.connect(port).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(&mux_head()).await.unwrap();
        hears(&mut stream, RESPONSE).await;
        Self(stream)
    }

    async fn says(&mut self, frame: Frame) {
        self.0.write_all(&frame.bytes()).await.unwrap();
    }

    /// The next frame is exactly this.
    async fn hears(&mut self, frame: Frame) {
        let heard = self.next().await;
        // Not by assert_eq, which would print all of a long datagram twice.
        assert!(
            heard == frame,
            "{:.300}\ninstead of\n{:.300}",
            format!("{heard:?}"),
            format!("{frame:?}")
        );
    }

    async fn next(&mut self) -> Frame {
        within(PATIENCE, async {
            let length = usize::from(self.0.read_u16().await.unwrap());
            let mut metadata = vec![0; length];
            self.0.read_exact(&mut metadata).await.unwrap();
            let option = metadata[3];
            let data = if option & DATA == 0 {
                None
            } else {
                let mut data = vec![0; usize::from(self.0.read_u16().await.unwrap())];
                self.0.read_exact(&mut data).await.unwrap();
                Some(data)
            };
            Frame {
                session: u16::from_be_bytes([metadata[0], metadata[1]]),
                status: metadata[2],
                option,
                more: metadata[4..].to_vec(),
                data,
            }
        })
        .await
    }

    /// So much data of a stream's, each frame of it as it should be.
    async fn hears_stream(&mut self, session: u16, length: usize) -> Vec<u8> {
        let mut heard = Vec::new();
        while heard.len() < length {
            let frame = self.next().await;
            let data = frame.data.clone().unwrap_or_default();
            assert!((1..=8_192).contains(&data.len()), "{} bytes in a frame", data.len());
            assert_eq!(
                Frame { data: None, ..frame },
                Frame {
                    data: None,
                    ..Frame::keep(session, b"")
                }
            );
            heard.extend(data);
        }
        assert_eq!(heard.len(), length);
        heard
    }

    /// Whatever was said before has been dealt with.
    async fn is_served(&mut self) {
        self.says(Frame::keep(u16::MAX, b"")).await;
        self.hears(Frame::end(u16::MAX, 0)).await;
    }

    /// The same, whatever else comes meanwhile.
    async fn is_served_after_answers(&mut self) {
        self.says(Frame::keep(u16::MAX, b"")).await;
        while self.next().await != Frame::end(u16::MAX, 0) {}
    }

    async fn hears_the_end(mut self) {
        hears_the_end(&mut self.0).await;
    }
}

fn mux_head() -> Vec<u8> {
    [&[0][..], &route("a", PORT).uuid, &[0, 3]].concat()
}

/// An origin that sends each datagram back.
async fn echo_datagrams() -> SocketAddr {
    let (origin, address) = socket("127.0.0.1:0").await;
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = origin.recv_from(&mut buffer).await {
            let _ = origin.send_to(&buffer[..length], from).await;
        }
    });
    address
}

/// Nothing has arrived.
fn assert_silent(socket: &UdpSocket) {
    let received = socket.try_recv_from(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(received.unwrap_err(), std::io::ErrorKind::WouldBlock);
}
