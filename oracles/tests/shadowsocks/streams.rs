//! Their client's streams through the gateway.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::task::{Context as Task, Poll};

use oracles::{LONGEST_NAME, PASSWORD, World, name_of_length, within};
use shadowsocks::ProxyClientStream;
use shadowsocks::relay::Address;
use testbed::origin::{Origin, pattern};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, split};
use tokio::net::{TcpListener, TcpStream};
use turnpike_wire::shadowsocks::{Method, TAG};

use crate::oracle::{configuration, context};

/// About which lengths chunks are cut, the longest of the older methods and of 2022; and nothing, which is a chunk, too.
const LENGTHS: [usize; 12] = [
    0, 1, 2, 0x3ffe, 0x3fff, 0x4000, 0x7fff, 0xfffe, 0xffff, 0x1_0000, 0, 1_000_000,
];

/// As many at once.
const TUNNELS: usize = 200;

/// A connection that counts what is written to it.
struct Counted {
    stream: TcpStream,
    written: usize,
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, task: &mut Task<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(task, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write(task, bytes);
        if let Poll::Ready(Ok(count)) = poll {
            this.written += count;
        }
        poll
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(task)
    }
}

type Tunnel = ProxyClientStream<Counted>;

/// Opens a tunnel with this payload in its first chunk, which must have room for it.
async fn tunnel(world: &World, method: Method, to: &Address, payload: &[u8]) -> Tunnel {
    loop {
        let stream = TcpStream::connect(world.address()).await.unwrap();
        let counted = Counted { stream, written: 0 };
        let configuration = configuration(method, world.address(), PASSWORD);
        let mut tunnel = ProxyClientStream::from_stream(context(), counted, &configuration, to.clone());
        assert_eq!(tunnel.write(payload).await.unwrap(), payload.len());
        // Once in 901 times they pad nothing with nothing, which SIP022 forbids and the gateway refuses.
        let shortest = method.salt_length() + (1 + 8 + 2 + TAG) + (to.serialized_len() + 2 + TAG);
        if method != Method::Aes128Gcm2022 || tunnel.get_ref().written > shortest {
            return tunnel;
        }
    }
}

/// Sends each payload, in as many chunks as they make of it, and finishes; what has been heard by the end.
async fn heard_of(tunnel: Tunnel, payloads: &[Vec<u8>]) -> Vec<u8> {
    let (mut read, mut write) = split(tunnel);
    let sending = async {
        for payload in payloads {
            let mut rest = &payload[..];
            loop {
                let count = write.write(rest).await.unwrap();
                rest = &rest[count..];
                if rest.is_empty() {
                    break;
                }
            }
        }
        write.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    let receiving = async { read.read_to_end(&mut heard).await.unwrap() };
    within("the tunnel ends", async { tokio::join!(sending, receiving) }).await;
    heard
}

/// Everywhere that a client may want to go: by IPv4, by IPv6, and by names of all lengths.
fn destinations(world: &World) -> Vec<(Origin, Address)> {
    let here = |at: IpAddr| {
        let origin = Origin::echo_at(at);
        let to = Address::SocketAddress(origin.address());
        (origin, to)
    };
    let named = |length: usize| {
        let origin = Origin::echo();
        let to = Address::DomainNameAddress(name_of_length(length), origin.address().port());
        (origin, to)
    };
    let v6 = world.has_v6().then(|| here(Ipv6Addr::LOCALHOST.into()));
    let names = [9, 10, 64, 128, LONGEST_NAME].map(named);
    std::iter::once(here(Ipv4Addr::LOCALHOST.into()))
        .chain(v6)
        .chain(names)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_of_every_length_come_back_as_they_went() {
    let world = World::start().await;
    let payloads: Vec<_> = LENGTHS.map(pattern).into();
    for method in Method::ALL {
        for (_origin, to) in destinations(&world) {
            for first in [&b""[..], b"1", &pattern(0x3e00)] {
                let tunnel = tunnel(&world, method, &to, first).await;
                let heard = heard_of(tunnel, &payloads).await;
                let said = [first, &payloads.concat()].concat();
                assert!(
                    heard == said,
                    "{method:?} to {to}: {} of {} bytes",
                    heard.len(),
                    said.len()
                );
            }
        }
    }
    world.closes_its_tunnels().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_chunks_of_every_length_come_back_as_they_went() {
    let world = World::start().await;
    let origin = Origin::echo();
    let to = Address::SocketAddress(origin.address());
    // Lengths far apart, in no order.
    let payloads: Vec<_> = (0..400_usize).map(|number| pattern(number * 7_919 % 33_000)).collect();
    for method in Method::ALL {
        let heard = heard_of(tunnel(&world, method, &to, b"first").await, &payloads).await;
        assert!(
            heard == [&b"first"[..], &payloads.concat()].concat(),
            "{method:?}: {}",
            heard.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_may_finish_first_and_the_other_goes_on() {
    let world = World::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = Address::SocketAddress(listener.local_addr().unwrap());
    for method in Method::ALL {
        let mut client = tunnel(&world, method, &to, b"question").await;
        let (mut server, _) = within("it arrives", listener.accept()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = String::new();
        within("its end arrives", server.read_to_string(&mut question))
            .await
            .unwrap();
        assert_eq!(question, "question");
        let answer = pattern(300_000);
        let (mut heard, client) = (Vec::new(), &mut client);
        let answering = async {
            server.write_all(&answer).await.unwrap();
            drop(server);
        };
        let hearing = async { client.read_to_end(&mut heard).await.unwrap() };
        within("the answer", async { tokio::join!(answering, hearing) }).await;
        assert!(heard == answer, "{method:?}");

        // A server that speaks first, to a client that has said nothing yet.
        let mut client = tunnel(&world, method, &to, b"").await;
        let (mut server, _) = within("it arrives", listener.accept()).await.unwrap();
        server.write_all(b"greeting").await.unwrap();
        server.shutdown().await.unwrap();
        let mut greeting = String::new();
        within("the server's end", client.read_to_string(&mut greeting))
            .await
            .unwrap();
        assert_eq!(greeting, "greeting");
        client.write_all(b"thanks").await.unwrap();
        client.shutdown().await.unwrap();
        let mut thanks = String::new();
        within("thanks", server.read_to_string(&mut thanks)).await.unwrap();
        assert_eq!(thanks, "thanks");
    }
    world.closes_its_tunnels().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tunnels_at_once_do_not_mix() {
    let world = World::start().await;
    let origin = Origin::echo();
    let to = Address::SocketAddress(origin.address());
    let mut tunnels = Vec::new();
    for number in 0..TUNNELS {
        let method = Method::ALL[number % Method::ALL.len()];
        let said = format!("tunnel {number};").into_bytes();
        tunnels.push((tunnel(&world, method, &to, &said).await, said));
    }
    for (tunnel, said) in tunnels {
        let payloads = vec![pattern(20_000), said.clone()];
        let heard = heard_of(tunnel, &payloads).await;
        assert!(heard == [&said[..], &payloads.concat()].concat());
    }
    world.closes_its_tunnels().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_goes_their_client_hears_the_end_and_nothing_else() {
    let world = World::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let named = |name: &str, port| Address::DomainNameAddress(name.into(), port);
    for method in Method::ALL {
        for to in [
            Address::SocketAddress(closed),
            Address::SocketAddress("10.1.2.3:80".parse().unwrap()),
            named("private.example", 80),
            named("nowhere.invalid", 80),
        ] {
            let mut client = tunnel(&world, method, &to, b"hello").await;
            let mut heard = Vec::new();
            let end = within("the end", client.read_to_end(&mut heard)).await;
            // To their older methods an end without a salt is one too early. A reset would be another error.
            let end = end.map_err(|error| error.kind());
            assert!(
                matches!(end, Ok(0) | Err(ErrorKind::UnexpectedEof)),
                "{method:?} to {to}: {end:?}"
            );
            assert_eq!(heard, b"", "{method:?} to {to}");
        }
    }
}
