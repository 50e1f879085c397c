//! The story of one connection, from accept to end: sniff, authenticate, dial, relay.
//!
//! A connection starts as a small task that waits for its first bytes and owns no buffer. The sniffer says which
//! protocol they are, and that protocol's session ([`http`], [`socks`], [`vless`], [`shadowsocks`]) takes over with
//! what has been read. Where it succeeds, what the stream has [`reach`]ed goes on in a task of its own, so that nothing of the
//! handshake is kept: mostly a [`crate::relay::tunnel`] to the destination, but a stream may also carry datagrams
//! ([`datagrams`]), or many streams and datagrams ([`mux`]), whatever protocol brought it.

pub(crate) mod admission;
mod datagrams;
mod downlink;
mod http;
pub(crate) mod mux;
mod peer;
mod reach;
mod shadowsocks;
mod socks;
mod tls;
mod vless;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use turnpike_wire::shadowsocks::Method;
use turnpike_wire::sniff::{self, Guess, Known, Sniffed};

use crate::exit::DialError;
use crate::gateway::{GatewayConfig, Shared};
use crate::guests::Guest;
use crate::limits::Denied;
use crate::listener::Port;
use crate::refusals::{Caller, Complaints, Protocol, Reason};
use crate::route::ActiveRoute;
use crate::sealed::Sealed;
use crate::stream::Stream;
use admission::{Unpaid, Visitor};

/// What is read of a connection before it has proven itself, and the most that a sniffer is shown.
const FIRST_READ: usize = 4096;

/// A silent connection's end is told within this, or not at all.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What every step of a session may need besides the connection itself.
///
/// A session runs under `route.cut`: where the route is cut, its task is dropped at the next await. It need not watch
/// the token itself.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) config: Arc<GatewayConfig>,
    /// What all connections of the gateway share: `shared.buffers` is the pool to read into.
    pub(crate) shared: Arc<Shared>,
    pub(crate) route: Arc<ActiveRoute>,
    pub(crate) peer: SocketAddr,
    /// The port that it has come to.
    pub(crate) port: u16,
    pub(crate) accepted: Instant,
    /// Cancelled when the port closes or the gateway drains: a connection that waits between two requests ends.
    pub(crate) closing: CancellationToken,
    /// The datagrams' side of the same port.
    pub(crate) udp: Arc<crate::udp::Port>,
    /// The clients' sockets that have a name, on the same port.
    global_ids: Arc<mux::GlobalIds>,
    /// What the client speaks, once that is known.
    protocol: Protocol,
    /// Present where the client's address needs no password.
    guest: Option<Arc<Guest>>,
    visitor: Arc<Visitor>,
}

/// A client's connection and what has been read of it but not yet consumed.
pub(crate) struct Client {
    pub(crate) stream: Stream,
    pub(crate) buffer: BytesMut,
    /// When a complete request must have arrived.
    pub(crate) deadline: Instant,
}

/// What to do with a pair of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// They are the subscription's.
    Good,
    /// They are not: answer so in the protocol's words.
    Bad,
    /// They are not, and nothing may be answered (too many bad ones from this source, or the gateway is stealthy):
    /// hand the socket to [`Context::fall_silent`].
    Silent,
}

/// Serves a connection from accept to its end, or until it is a tunnel.
pub(crate) async fn run(port: Arc<Port>, socket: TcpStream, peer: SocketAddr, visitor: Visitor) {
    let stream = Stream::from(socket);
    let accepted = Instant::now();
    let first_bytes = timeout(port.shared.config.first_byte_timeout, first_bytes(&stream));
    let buffer = tokio::select! {
        biased;
        () = port.closing.cancelled() => return,
        read = first_bytes => read,
    };
    // Closed by its owner, or never used: browsers park connections at a proxy.
    let Ok(Some(buffer)) = buffer else { return };
    let mut context = Context {
        config: Arc::clone(&port.shared.config),
        shared: Arc::clone(&port.shared),
        route: port.route(),
        peer,
        port: port.number,
        protocol: Protocol::Unknown,
        guest: None,
        accepted,
        closing: port.closing.clone(),
        udp: Arc::clone(&port.udp),
        global_ids: Arc::clone(&port.global_ids),
        visitor: Arc::new(visitor),
    };
    let guest = context.route.invite(peer.ip()).map(Arc::new);
    context.guest.clone_from(&guest);
    drop(port);
    let deadline = Instant::now() + context.config.handshake_timeout;
    let route = Arc::clone(&context.route);
    // On the heap, since a protocol's session is large, and a connection that waits for its first bytes should not be.
    let session = Box::pin(serve(
        context,
        Client {
            stream,
            buffer,
            deadline,
        },
    ));
    let session = async {
        match guest {
            Some(guest) => tokio::select! {
                biased;
                () = guest.shown_out() => {}
                () = session => {}
            },
            None => session.await,
        }
    };
    let _ = route.cut.run_until_cancelled(session).await;
}

/// Waits until there is something to read, and only then makes a buffer for it. Absent at the end of the stream.
async fn first_bytes(stream: &Stream) -> Option<BytesMut> {
    loop {
        stream.readable().await.ok()?;
        let mut buffer = BytesMut::with_capacity(FIRST_READ);
        match stream.try_read_buf(&mut buffer) {
            Ok(0) => return None,
            Ok(_) => return Some(buffer),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

async fn serve(mut context: Context, mut client: Client) {
    let outside = Spoken {
        shadowsocks: context.route.sealed.as_deref(),
        tls: context.shared.tls.load().is_some(),
    };
    let mut sniffed = recognise(&context.route, &outside, &mut client).await;
    let is_inside = sniffed == Sniffed::Tls;
    if is_inside {
        context.protocol = Protocol::Tls;
        let Some(inside) = tls::enter(&context, client).await else {
            return;
        };
        context.speaks(Protocol::Tls);
        client = inside;
        // One seal is enough: no client wants another inside.
        sniffed = recognise(&context.route, &Spoken::default(), &mut client).await;
    }
    match sniffed {
        Sniffed::Http => {
            context.speaks(Protocol::Http);
            http::serve(context, client).await;
        }
        Sniffed::Socks5 => {
            context.speaks(Protocol::Socks5);
            socks::serve_socks5(context, client).await;
        }
        Sniffed::Socks4 => {
            context.speaks(Protocol::Socks4);
            socks::serve_socks4(context, client).await;
        }
        Sniffed::Vless => {
            context.speaks(Protocol::Vless);
            vless::serve(context, client).await;
        }
        Sniffed::Shadowsocks(method) => {
            context.speaks(Protocol::Shadowsocks);
            if let Some(sealed) = context.route.sealed.clone() {
                shadowsocks::serve(context, client, sealed, method).await;
            }
        }
        Sniffed::Tls | Sniffed::Wait | Sniffed::Unknown => {
            let guess = sniff::guess(&client.buffer, &context.route.route.uuid);
            context.protocol = guess.into();
            context.refused(match (guess, sniffed) {
                (Guess::Vless { is_known: true }, _) => Reason::Version,
                (Guess::Vless { is_known: false }, _) => Reason::WrongId,
                (Guess::Shadowsocks, _) if !is_inside => Reason::WrongKey,
                (Guess::Tls, _) if !is_inside => Reason::NoTls,
                (Guess::Socks5, _) => Reason::NoLoginOffered,
                (_, Sniffed::Wait) => Reason::CutShort,
                _ => Reason::UnknownProtocol,
            });
            context.fall_silent(client.stream).await;
        }
    }
}

/// What may be spoken besides what always is.
#[derive(Default)]
struct Spoken<'s> {
    shadowsocks: Option<&'s Sealed>,
    tls: bool,
}

/// Reads until the sniffer knows. Where it has not become one of ours in time, it still waits.
async fn recognise(route: &ActiveRoute, spoken: &Spoken<'_>, client: &mut Client) -> Sniffed {
    let methods = spoken.shadowsocks.map_or(Method::ALL, Sealed::methods);
    let known = Known {
        vless: &route.route.uuid,
        shadowsocks: spoken.shadowsocks.map(|sealed| &sealed.keys),
        methods: &methods,
        tls: spoken.tls,
    };
    loop {
        match sniff::sniff(&client.buffer, &known) {
            Sniffed::Wait => {}
            known => return known,
        }
        if client.buffer.len() >= FIRST_READ {
            return Sniffed::Unknown;
        }
        match timeout_at(client.deadline, client.read()).await {
            Ok(Ok(1..)) => {}
            _ => break,
        }
    }
    // No more comes that could open, and a short line is HTTP then.
    let without_shadowsocks = Known {
        shadowsocks: None,
        ..known
    };
    match sniff::sniff(&client.buffer, &without_shadowsocks) {
        Sniffed::Http => Sniffed::Http,
        _ => Sniffed::Wait,
    }
}

impl Client {
    /// Waits for more, behind what is buffered. 0 is the end of the stream.
    async fn read(&mut self) -> std::io::Result<usize> {
        peer::read_more(&self.stream, &mut self.buffer).await
    }
}

impl Context {
    /// Judges a user name and a password, or that there are none. Good ones always work. Without them only a client of an
    /// allowed address comes in, whatever it says. Bad ones are counted per source and port, and past ten in a minute they
    /// are not answered any more.
    pub(crate) fn login(&mut self, said: Option<(&[u8], &[u8])>) -> Login {
        if said.is_some_and(|(username, password)| self.route.authenticates(username, password)) {
            self.visitor.prove();
            return Login::Good;
        }
        if let Some(own) = self.guest.as_ref().and_then(|guest| guest.come_in()) {
            self.route = own;
            self.visitor.prove();
            return Login::Good;
        }
        let Some((username, _)) = said else {
            return self.without_password();
        };
        let is_over = self.visitor.note_bad_credentials(self.port);
        let is_user = username == self.route.route.username.as_bytes();
        self.refused(match (is_over, is_user) {
            (true, _) => Reason::Throttled,
            (false, true) => Reason::WrongPassword,
            (false, false) => Reason::WrongUser,
        });
        if is_over || self.config.stealth {
            Login::Silent
        } else {
            Login::Bad
        }
    }

    /// Browsers and runtimes send their credentials when they have been asked for them, mostly on the same connection. So
    /// this is a refusal to be told of only when the connection ends without.
    fn without_password(&self) -> Login {
        if self.config.stealth {
            self.refused(Reason::NoPassword);
            return Login::Silent;
        }
        metrics::counter!("turnpike_refusals_total", "reason" => Reason::NoPassword.kind()).increment(1);
        self.visitor.owe_password(Unpaid {
            log: Arc::clone(&self.route.refusals),
            caller: self.caller(),
            at: self.shared.clock.now(),
        });
        Login::Bad
    }

    /// The client speaks this, as far as is known now.
    fn speaks(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.shared.connection_speaks(protocol);
    }

    /// Who it is that is refused.
    pub(crate) fn caller(&self) -> Caller {
        Caller {
            source: self.peer.ip(),
            protocol: self.protocol,
        }
    }

    /// Lets a connection that has shown good credentials use the subscription, as far as its limits allow. To be asked for
    /// each request, at the latest before the dial; the connection has its place until it ends.
    ///
    /// # Errors
    /// [`Denied`], which has been counted: answer so in the protocol's words.
    pub(crate) fn admit(&self) -> Result<(), Denied> {
        let quota = &self.route.quota;
        quota
            .check_traffic()
            .and_then(|()| self.visitor.be_seated(|| quota.admit(self.peer.ip())))
            .inspect_err(|denied| self.refused(Reason::Limit(*denied)))
    }

    /// For what is refused in the middle of the connection.
    fn complaints(&self) -> Complaints {
        Complaints {
            log: Arc::clone(&self.route.refusals),
            clock: Arc::clone(&self.shared.clock),
            caller: self.caller(),
        }
    }

    /// Counts a refusal, and keeps it for the customer.
    pub(crate) fn refused(&self, reason: Reason) {
        self.shared.refused(&self.route, self.caller(), reason);
    }

    /// Counts a dial that came to nothing. What went wrong out there is no refusal of ours, and is not kept: the customer would
    /// find nothing else.
    fn dial_failed(&self, error: &DialError) {
        match Reason::of_dial(error) {
            Some(reason) => self.refused(reason),
            None => metrics::counter!("turnpike_refusals_total", "reason" => "dial").increment(1),
        }
    }

    /// The connection's entry in the books of admission; it must live as long as the connection.
    pub(crate) fn visitor(&self) -> &Arc<Visitor> {
        &self.visitor
    }

    /// Answers nothing: reads and discards until the time at which every silent connection ends, then finishes.
    ///
    /// A prober learns neither how many bytes were looked at nor which protocol came nearest.
    pub(crate) async fn fall_silent(&self, stream: Stream) {
        let Some(_place) = self.visitor.fall_silent() else {
            // Too many of them: all are reset alike.
            let _ = stream.set_zero_linger();
            return;
        };
        let end = self.accepted + self.config.first_byte_timeout;
        tokio::select! {
            biased;
            () = self.closing.cancelled() => {}
            _ = timeout_at(end, self.discard(&stream)) => {}
        }
        let _ = tokio::time::timeout(LAST_WORDS, stream.half_close()).await;
    }

    /// Reads to the end of the stream and throws it away.
    async fn discard(&self, stream: &Stream) {
        while stream.readable().await.is_ok() {
            // Taken when there is something to read, and given back before the next wait.
            match self.shared.buffers.take().try_read_from(stream, usize::MAX) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}
