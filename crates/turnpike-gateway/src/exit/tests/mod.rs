//! Exits against real sockets on loopback.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod check;
mod dialling;
mod health;
mod rotation;
mod survey;
mod update;
mod upstream;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use turnpike_wire::address::{Destination, Host};

use super::environment::{Bounds, Environment};
use super::{DialError, Exit, ExitId, ExitSpec, ExitWay, Opening, RotateMethod};
use crate::descriptors::Descriptors;
use crate::egress::DestinationPolicy;
use crate::gateway::Event;
use crate::resolve::NameServers;
use crate::resolve::name_server::NameServer;

/// An address of the documentation's: on no machine.
const NOT_HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A world with one exit, whose rule allows loopback; what it tells is kept.
struct World {
    environment: Arc<Environment>,
    events: mpsc::UnboundedReceiver<Event>,
}

/// How a world is made.
struct WorldPlan {
    bounds: Bounds,
    name_servers: NameServers,
    descriptors: Descriptors,
}

impl World {
    fn new() -> Self {
        Self::plan().start()
    }

    fn plan() -> WorldPlan {
        let mut bounds = Bounds::new(Duration::from_secs(2));
        bounds.silence = Duration::from_millis(200);
        bounds.connect_while_down = Duration::from_millis(500);
        bounds.probe_interval = Duration::from_millis(100);
        WorldPlan {
            bounds,
            name_servers: NameServers::system(PathBuf::from("/nonexistent/resolv.conf")),
            descriptors: Descriptors::of_this_process(),
        }
    }

    fn exit(&self, spec: ExitSpec) -> Arc<Exit> {
        Exit::new(spec, Arc::clone(&self.environment))
    }

    /// The next event, told as `up 127.0.0.1`, `up` or `down`, and the reason of the last.
    async fn event(&mut self) -> (String, String) {
        let event = tokio::time::timeout(Duration::from_secs(10), self.events.recv());
        match event.await.unwrap().unwrap() {
            Event::ExitUp {
                address: Some(address), ..
            } => (format!("up {address}"), String::new()),
            Event::ExitUp { address: None, .. } => ("up".to_owned(), String::new()),
            Event::ExitDown { reason, .. } => ("down".to_owned(), reason),
        }
    }

    fn has_no_event(&mut self) -> bool {
        self.events.try_recv().is_err()
    }
}

impl WorldPlan {
    fn names(mut self, server: &NameServer) -> Self {
        self.name_servers = NameServers::new(&[server.address]);
        self
    }

    fn bounds(mut self, change: impl FnOnce(&mut Bounds)) -> Self {
        change(&mut self.bounds);
        self
    }

    fn start(self) -> World {
        let allow = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let policy = Arc::new(DestinationPolicy::new(allow, Vec::new()));
        let (sender, events) = mpsc::unbounded_channel();
        World {
            environment: Environment::with(policy, self.name_servers, self.bounds, self.descriptors, sender),
            events,
        }
    }
}

impl Exit {
    fn present_address(&self) -> Option<IpAddr> {
        self.present.load().choice.address
    }
}

fn spec(way: ExitWay) -> ExitSpec {
    ExitSpec {
        id: ExitId("exit1".into()),
        name: "nl-ams-1".to_owned(),
        way,
        rotate: None,
        present_address: None,
        drain: Duration::ZERO,
        allow_smtp: false,
    }
}

fn pool(addresses: &[IpAddr]) -> ExitSpec {
    spec(ExitWay::Pool(addresses.to_vec()))
}

fn by_command(arguments: &[&str]) -> Option<RotateMethod> {
    let words = arguments.iter().map(|word| (*word).to_owned()).collect();
    Some(RotateMethod::Command(words))
}

fn loopback(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

fn to(address: SocketAddr) -> Destination {
    Destination {
        host: Host::Ip(address.ip()),
        port: address.port(),
    }
}

fn to_name(name: &str, port: u16) -> Destination {
    Destination {
        host: Host::Name(name.to_owned()),
        port,
    }
}

/// Something to dial, that tells each caller the address it sees.
struct Origin {
    address: SocketAddr,
}

impl Origin {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, from)) = listener.accept().await {
                tokio::spawn(async move {
                    let seen = format!("{}\n", from.ip());
                    let _ = stream.write_all(seen.as_bytes()).await;
                    // Until the caller closes.
                    let _ = stream.readable().await;
                });
            }
        });
        Self { address }
    }

    /// The address that the origin sees when it is dialled through this exit.
    async fn sees(&self, exit: &Arc<Exit>) -> Result<IpAddr, DialError> {
        let dialed = exit.dial(&to(self.address), Opening::Unknown).await?;
        Ok(line(dialed.stream.into_socket()).await.parse().unwrap())
    }
}

async fn line(mut stream: TcpStream) -> String {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let mut line = String::new();
    BufReader::new(&mut stream).read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}

/// A port where nobody listens.
async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Waits for what must come true soon.
async fn soon(what: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !what() {
        assert!(tokio::time::Instant::now() < deadline, "it did not come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
