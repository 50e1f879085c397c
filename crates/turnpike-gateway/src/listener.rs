//! One subscription's port: its sockets on every address of the gateway, and letting connections in.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol as Transport, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use crate::descriptors::Permit;
use crate::gateway::{PortError, Shared};
use crate::refusals::{Caller, Protocol, Reason};
use crate::route::ActiveRoute;
use crate::{session, udp};

/// Connections that may wait to be accepted; the system may cap it lower.
const BACKLOG: i32 = 4096;

/// The system counts in seconds.
const LEAST_KEEPALIVE: Duration = Duration::from_secs(1);

/// How long a listener rests when the system is out of something.
const OUT_OF_RESOURCES_PAUSE: Duration = Duration::from_millis(50);

/// Unsent bytes above which a socket does not ask for more: a slow phone's megabytes stay at the origin.
const UNSENT_LOW_WATER: u32 = 64 * 1024;

/// A port while it is open, as its connections see it.
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) shared: Arc<Shared>,
    pub(crate) udp: Arc<udp::Port>,
    pub(crate) global_ids: Arc<session::mux::GlobalIds>,
    /// Cancelled when the port closes; tunnels go on, but for what is cut with their route.
    pub(crate) closing: CancellationToken,
    route: ArcSwap<ActiveRoute>,
}

impl Port {
    /// The route in force now.
    pub(crate) fn route(&self) -> Arc<ActiveRoute> {
        self.route.load_full()
    }

    /// Starts a session, or closes the connection where there are too many.
    pub(crate) fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Two: the client's socket and the origin's.
        let visitor = self
            .shared
            .descriptors
            .take(2)
            .and_then(|permit| self.shared.admission.admit(peer.ip(), self.number, permit));
        match visitor {
            Some(visitor) => self.shared.spawn(session::run(Arc::clone(self), stream, peer, visitor)),
            None => {
                let caller = Caller {
                    source: peer.ip(),
                    protocol: Protocol::Unknown,
                };
                self.shared.refused(&self.route(), caller, Reason::Strangers);
            }
        }
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Accepts for ever. There is one of these per port, so it is small: no step of it has a future of its own.
pub(crate) fn accept(
    listener: TcpListener,
    admit: impl Fn(TcpStream, SocketAddr) + Send,
) -> impl Future<Output = ()> + Send {
    let mut rest = Rest::default();
    poll_fn(move |cx| {
        loop {
            ready!(rest.poll(cx));
            // Goes on until nothing is left to accept; the runtime gives others a turn in between.
            match ready!(listener.poll_accept(cx)) {
                Ok((stream, peer)) => admit(stream, peer),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::debug!(%error, "a port rests for a moment: nothing can be accepted");
                    rest.begin(OUT_OF_RESOURCES_PAUSE);
                }
            }
        }
    })
}

/// A pause of a port's, which holds nothing while there is none.
#[derive(Debug, Default)]
pub(crate) struct Rest(Option<Pin<Box<Sleep>>>);

impl Rest {
    /// Starts one.
    pub(crate) fn begin(&mut self, pause: Duration) {
        self.0 = Some(Box::pin(sleep(pause)));
    }

    /// Waits for its end, where there is one.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.0 {
            ready!(pause.as_mut().poll(cx));
            self.0 = None;
        }
        Poll::Ready(())
    }
}

/// The owner's handle of a port.
pub(crate) struct OpenPort {
    port: Arc<Port>,
    sockets: Vec<Sockets>,
}

/// The sockets on one address: two, without that for connections where these come through a gate, and without that for datagrams where
/// none are taken.
struct Sockets {
    address: IpAddr,
    /// The one that accepts, and the one that receives datagrams.
    tasks: [Option<JoinHandle<()>>; 2],
    _descriptors: Permit,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for task in self.tasks.iter().flatten() {
            task.abort();
        }
    }
}

impl OpenPort {
    /// A port with no sockets yet.
    pub(crate) fn new(number: u16, route: Arc<ActiveRoute>, shared: &Arc<Shared>) -> Self {
        let port = Arc::new(Port {
            number,
            shared: Arc::clone(shared),
            udp: udp::Port::new(),
            global_ids: Arc::default(),
            closing: shared.draining.child_token(),
            route: ArcSwap::new(route),
        });
        Self {
            port,
            sockets: Vec::new(),
        }
    }

    /// Its number.
    pub(crate) fn number(&self) -> u16 {
        self.port.number
    }

    /// Whether it is open on some address at least.
    pub(crate) fn is_open(&self) -> bool {
        !self.sockets.is_empty()
    }

    /// Whether one of its tasks has ended although it should not have: it has panicked.
    pub(crate) fn is_damaged(&self) -> bool {
        self.sockets.iter().any(|sockets| self.are_damaged(sockets))
    }

    fn are_damaged(&self, sockets: &Sockets) -> bool {
        let gate = self.port.shared.gate.as_ref();
        sockets.tasks.iter().flatten().any(JoinHandle::is_finished)
            || gate.is_some_and(|gate| !gate.is_open(sockets.address))
    }

    /// Puts another route in force for connections from now on.
    pub(crate) fn serve(&self, route: Arc<ActiveRoute>) {
        self.port.route.store(route);
    }

    /// Opens the port on those of `addresses` where it is not open yet.
    ///
    /// # Errors
    /// The first address that failed; the others are open all the same.
    pub(crate) fn open(&mut self, addresses: &[IpAddr]) -> Result<(), PortError> {
        let sockets = std::mem::take(&mut self.sockets);
        self.sockets = sockets
            .into_iter()
            .filter(|sockets| !self.are_damaged(sockets))
            .collect();
        let mut outcome = Ok(());
        for &address in addresses {
            if self.sockets.iter().any(|sockets| sockets.address == address) {
                continue;
            }
            if let Err(error) = self.open_on(address) {
                let failed = PortError::Bind {
                    address,
                    port: self.port.number,
                    reason: error.to_string(),
                };
                outcome = outcome.and(Err(failed));
            }
        }
        outcome
    }

    fn open_on(&mut self, address: IpAddr) -> io::Result<()> {
        let Shared {
            gate,
            config,
            descriptors,
            ..
        } = &*self.port.shared;
        let descriptors = descriptors
            .take(usize::from(gate.is_none()) + usize::from(config.udp))
            .ok_or_else(|| io::Error::other("too many open files"))?;
        let at = SocketAddr::new(address, self.port.number);
        let listener = match gate {
            Some(_) => None,
            None => Some(TcpListener::from_std(listen(at, config.peer_timeout)?.into())?),
        };
        let datagrams = match config.udp {
            true => Some(udp::DatagramSocket::new(UdpSocket::from_std(bind_udp(at)?.into())?)?),
            false => None,
        };
        if let Some(gate) = gate {
            gate.serve(&self.port, address)?;
        }
        let accept = listener.map(|listener| {
            let port = Arc::clone(&self.port);
            tokio::spawn(accept(listener, move |stream, peer| port.admit(stream, peer)))
        });
        let serve = datagrams.map(|socket| tokio::spawn(udp::serve(Arc::clone(&self.port), socket)));
        // Most gateways have one address or two, and there are thousands of ports.
        self.sockets.reserve_exact(1);
        self.sockets.push(Sockets {
            address,
            tasks: [accept, serve],
            _descriptors: descriptors,
        });
        Ok(())
    }

    /// Closes all sockets; when it returns, the port is free.
    pub(crate) async fn close(mut self) {
        self.port.closing.cancel();
        for mut sockets in std::mem::take(&mut self.sockets) {
            for task in sockets.tasks.iter_mut().flatten() {
                task.abort();
                // However it ends, it has let go of its socket then.
                let _ = task.await;
            }
        }
    }
}

impl Drop for OpenPort {
    /// Closes the sockets too, but tells nobody when that is done.
    fn drop(&mut self) {
        self.port.closing.cancel();
    }
}

pub(crate) fn listen(at: SocketAddr, peer_timeout: Duration) -> io::Result<Socket> {
    let socket = socket(at, Type::STREAM, Transport::TCP)?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit these: one call per port instead of six per connection.
    socket.set_tcp_nodelay(true)?;
    tune(&SockRef::from(&socket), peer_timeout)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn bind_udp(at: SocketAddr) -> io::Result<Socket> {
    let socket = socket(at, Type::DGRAM, Transport::UDP)?;
    socket.bind(&at.into())?;
    Ok(socket)
}

fn socket(at: SocketAddr, kind: Type, protocol: Transport) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), kind, Some(protocol))?;
    if at.is_ipv6() {
        // Else "::" would take IPv4's port too, and "0.0.0.0" beside it would fail.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Finds peers that have vanished from a connection at rest, within `peer_timeout`, and keeps little unsent.
///
/// There is no `TCP_USER_TIMEOUT` here on purpose: Linux counts a closed window too, and a customer who pauses a video
/// would lose the connection; and where it is set, keep-alive's count of probes is ignored for it. Who vanishes while something is
/// on its way to him is found by [`crate::stream::Stream::presence`].
pub(crate) fn tune(socket: &SockRef<'_>, peer_timeout: Duration) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time((peer_timeout / 2).max(LEAST_KEEPALIVE))
        .with_interval((peer_timeout / 8).max(LEAST_KEEPALIVE))
        .with_retries(4);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_notsent_lowat(UNSENT_LOW_WATER)
}

/// Those of `addresses` that this machine can bind at all: a machine without IPv6 has no `::`.
pub(crate) fn bindable(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let (able, unable): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(|address| {
        let probe = || {
            socket(SocketAddr::new(*address, 0), Type::STREAM, Transport::TCP)?
                .bind(&SocketAddr::new(*address, 0).into())
        };
        !(address.is_ipv6() && address.is_unspecified()) || probe().is_ok()
    });
    if !unable.is_empty() && !able.is_empty() {
        tracing::warn!("this machine has no IPv6: ports are opened without it");
        return able;
    }
    addresses.to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn accepted_connections_inherit_what_the_listener_was_tuned_to() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), Duration::from_secs(120)).unwrap();
        listener.set_nonblocking(false).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.tcp_nodelay().unwrap());
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
        assert_eq!(accepted.tcp_notsent_lowat().unwrap(), UNSENT_LOW_WATER);
        assert_eq!(accepted.tcp_user_timeout().unwrap(), None);
    }
}
