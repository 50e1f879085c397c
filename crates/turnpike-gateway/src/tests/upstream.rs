//! An upstream proxy that carries datagrams, as far as the tests of its customers need one, and VLESS through it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Notify;
use turnpike_wire::address::Host;
use turnpike_wire::socks5;

use super::world::{World, eventually, exit, route, within};
use crate::{Change, ExitSpec, ExitWay, Upstream};

/// The address that its datagrams leave from.
pub(super) const LEAVES_FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 41);

/// How it behaves.
#[derive(Clone, Copy)]
pub(super) struct Manners {
    /// The code that it answers a request for an association with.
    pub(super) reply: u8,
    /// The address that it says its relay is at; absent for a name.
    pub(super) tells: Option<IpAddr>,
    /// How long it takes to answer.
    pub(super) takes: Duration,
    /// What it puts before the data of a reply that says `odd`.
    pub(super) odd: Odd,
}

/// What a proxy may do that no client should fall for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Odd {
    No,
    Fragment,
    /// It names the sender instead of giving its address.
    Name,
    /// It sends from another port.
    Port,
    /// It says that a private address has sent it.
    Private,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            reply: 0,
            tells: Some(Ipv4Addr::LOCALHOST.into()),
            takes: Duration::ZERO,
            odd: Odd::No,
        }
    }
}

/// A SOCKS5 proxy at 127.0.0.1 that knows UDP ASSOCIATE.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    asked: AtomicUsize,
    open: AtomicUsize,
    end: Notify,
    carried: Mutex<Vec<SocketAddr>>,
}

impl Proxy {
    pub(super) async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _ = serve(stream, manners, &state).await;
                });
            }
        });
        Self { address, state }
    }

    /// The exit `first` through it.
    pub(super) fn exit(&self) -> ExitSpec {
        ExitSpec {
            way: ExitWay::Socks5Upstream(Upstream {
                host: self.address.ip().to_string(),
                port: self.address.port(),
                credentials: Some(("partner".to_owned(), "word".to_owned().into())),
            }),
            ..exit("first", super::world::FIRST_EXIT)
        }
    }

    /// Where the datagrams went that it has been given.
    pub(super) fn carried(&self) -> Vec<SocketAddr> {
        self.state.carried.lock().unwrap().clone()
    }

    /// The same, and forgets them.
    pub(super) fn take_carried(&self) -> Vec<SocketAddr> {
        std::mem::take(&mut *self.state.carried.lock().unwrap())
    }

    /// How often it was asked for anything.
    pub(super) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// How many associations it has open.
    pub(super) fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// Ends all its associations.
    pub(super) fn end_all(&self) {
        self.state.end.notify_waiters();
    }
}

/// An association in the proxy's books.
struct Entry<'a>(&'a State);

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(mut stream: TcpStream, manners: Manners, state: &State) -> std::io::Result<()> {
    expect(&mut stream, &[5, 2, 0, 2]).await?;
    stream.write_all(&[5, 2]).await?;
    expect(&mut stream, b"\x01\x07partner\x04word").await?;
    stream.write_all(&[1, 0]).await?;
    let mut command = [0; 2];
    stream.read_exact(&mut command).await?;
    state.asked.fetch_add(1, Ordering::SeqCst);
    if command == [5, 1] {
        // It connects to nobody.
        return stream.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    }
    assert_eq!(command, [5, 3]);
    expect(&mut stream, &[0, 1, 0, 0, 0, 0, 0, 0]).await?;
    tokio::time::sleep(manners.takes).await;
    if manners.reply != 0 {
        return stream.write_all(&[5, manners.reply, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    }
    let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = relay.local_addr()?.port();
    let answer = match manners.tells {
        Some(address) => socks5::reply(socks5::Reply::Succeeded, Some(SocketAddr::new(address, port))),
        None => [&[5, 0, 0, 3, 5][..], b"relay", &port.to_be_bytes()].concat(),
    };
    state.open.fetch_add(1, Ordering::SeqCst);
    let _entry = Entry(state);
    let end = state.end.notified();
    stream.write_all(&answer).await?;
    let mut byte = [0];
    tokio::select! {
        () = end => Ok(()),
        _ = stream.read(&mut byte) => Ok(()),
        outcome = carry(&relay, manners.odd, state) => outcome,
    }
}

async fn expect(stream: &mut TcpStream, expected: &[u8]) -> std::io::Result<()> {
    let mut read = vec![0; expected.len()];
    stream.read_exact(&mut read).await?;
    assert_eq!(read, expected);
    Ok(())
}

/// Carries one client's datagrams both ways. Replies of which it is told `odd` go twice: first oddly, then as they should.
async fn carry(relay: &UdpSocket, odd: Odd, state: &State) -> std::io::Result<()> {
    let outside = UdpSocket::bind((LEAVES_FROM, 0)).await?;
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (mut from_client, mut from_outside) = (vec![0; 65_536], vec![0; 65_536]);
    let mut client = None;
    loop {
        tokio::select! {
            received = relay.recv_from(&mut from_client) => {
                let (length, from) = received?;
                client = Some(from);
                let (to, data) = socks5::datagram(&from_client[..length]).unwrap();
                let Host::Ip(address) = to.host else { panic!("an upstream gets addresses only") };
                state.carried.lock().unwrap().push((address, to.port).into());
                let _ = outside.send_to(data, (address, to.port)).await;
            }
            received = outside.recv_from(&mut from_outside) => {
                let (length, from) = received?;
                let Some(client) = client else { continue };
                let good = [&socks5::datagram_header(from)[..], &from_outside[..length]].concat();
                let private = SocketAddr::from(([10, 1, 2, 3], from.port()));
                match odd {
                    Odd::No => {}
                    Odd::Fragment => {
                        let _ = relay.send_to(&[&[0, 0, 1], &good[3..]].concat(), client).await;
                    }
                    Odd::Name => {
                        let name = [&[0, 0, 0, 3, 6][..], b"origin", &good[8..]].concat();
                        let _ = relay.send_to(&name, client).await;
                    }
                    Odd::Port => {
                        let _ = other.send_to(&good, client).await;
                    }
                    Odd::Private => {
                        let packet = [&socks5::datagram_header(private)[..], &from_outside[..length]].concat();
                        let _ = relay.send_to(&packet, client).await;
                    }
                }
                let _ = relay.send_to(&good, client).await;
            }
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

/// A VLESS stream of datagrams to `to`, with one in it that says `hello`.
async fn stream(world: &World, to: SocketAddr) -> TcpStream {
    let SocketAddr::V4(v4) = to else { panic!("{to}") };
    let to = [&v4.port().to_be_bytes()[..], &[1], &v4.ip().octets()].concat();
    let head = [&[0][..], &route("a", 12_001).uuid, &[0, 2], &to, b"\0\x05hello"].concat();
    let mut stream = world.connect(12_001).await.unwrap();
    stream.write_all(&head).await.unwrap();
    stream
}

async fn world(proxy: &Proxy) -> World {
    let world = World::start().await;
    world
        .apply([Change::Exit(proxy.exit()), Change::Route(route("a", 12_001))])
        .await;
    world
}

#[tokio::test]
async fn a_vless_stream_goes_by_the_upstream_and_ends_with_its_association() {
    let proxy = Proxy::start(Manners::default()).await;
    let world = world(&proxy).await;
    let origin = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut stream = stream(&world, origin.local_addr().unwrap()).await;
    let mut buffer = [0; 64];
    let (length, from) = within(PATIENCE, origin.recv_from(&mut buffer)).await.unwrap();
    assert_eq!((&buffer[..length], from.ip()), (&b"hello"[..], LEAVES_FROM.into()));
    origin.send_to(b"welcome", from).await.unwrap();
    let mut answer = [0; 11];
    within(PATIENCE, stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"\0\0\0\x07welcome");
    assert_eq!(world.traffic("a"), (5, 7));

    proxy.end_all();
    assert_eq!(within(PATIENCE, stream.read(&mut buffer)).await.unwrap(), 0);
    eventually(PATIENCE, "nothing is left", || {
        world.gateway.shared().connections() == 0 && proxy.open() == 0
    })
    .await;
}

#[tokio::test]
async fn a_datagram_that_is_too_long_with_the_upstreams_header_is_dropped() {
    let proxy = Proxy::start(Manners::default()).await;
    let world = world(&proxy).await;
    let origin = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut stream = stream(&world, origin.local_addr().unwrap()).await;
    for length in [65_507_u16, 65_498, 65_497] {
        let content = vec![7; usize::from(length)];
        stream.write_all(&length.to_be_bytes()).await.unwrap();
        stream.write_all(&content).await.unwrap();
    }
    let mut buffer = vec![0; 65_536];
    for expected in [5, 65_497] {
        let (length, _) = within(PATIENCE, origin.recv_from(&mut buffer)).await.unwrap();
        assert_eq!(length, expected);
    }
    assert_eq!(world.traffic("a"), (5 + 65_497, 0));
}

#[tokio::test]
async fn a_vless_stream_that_the_upstream_does_not_carry_ends_without_a_byte() {
    for (reply, asked) in [(7, 1), (2, 1), (8, 1)] {
        let proxy = Proxy::start(Manners {
            reply,
            ..Manners::default()
        })
        .await;
        let world = world(&proxy).await;
        for _ in 0..3 {
            let mut stream = stream(&world, "127.0.0.1:9".parse().unwrap()).await;
            assert_eq!(within(PATIENCE, stream.read(&mut [0; 8])).await.unwrap(), 0);
        }
        assert_eq!(proxy.asked(), asked, "it is remembered");
    }
}
