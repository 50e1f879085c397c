//! UDP on the subscription's own port number: SOCKS5 associations (RFC 1928 §7), Shadowsocks, and what other protocols share
//! with them.
//!
//! A datagram's story: [`socket`] receives it, [`clients`] says whose it is by where it comes from, or [`sealed`] by what
//! opens it, [`association`] judges its destination and sends it from the association's [`mapping`], an own socket of the exit's
//! or one to an upstream proxy's relay. A reply takes the way back. Each step either does its part at once or drops the datagram.
//!
//! Nobody who has no association gets an answer, so that the port cannot be made to reflect.

mod association;
mod bound_address;
mod clients;
mod mapping;
mod names;
mod outbox;
mod outlet;
mod sealed;
mod socket;
mod window;

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::ready;
use std::time::Duration;

use turnpike_wire::socks5;

use crate::exit::DialError;
use crate::gateway::Shared;
use crate::listener;
use crate::refusals::Caller;
use crate::route::ActiveRoute;
pub(crate) use association::{Association, Customer};
pub(crate) use bound_address::BoundAddress;
use clients::{ClientId, Clients, Found};
use sealed::{Desk, Sessions};
use socket::Received;
pub(crate) use socket::{Datagram, DatagramSocket};

/// Associations of one subscription, of all protocols together.
const ASSOCIATIONS: usize = 256;

/// How long a port rests when its socket cannot be read.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// The datagrams' side of one subscription's port: its open associations. It is made when the port opens and is shared
/// by the port's connections as `Context::udp`.
#[derive(Default)]
pub(crate) struct Port {
    clients: Mutex<Clients<Arc<Client>>>,
    sessions: Sessions,
    open: Arc<AtomicUsize>,
}

/// One of a subscription's places for associations.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A SOCKS5 client's association, as its port knows it.
struct Client {
    association: Arc<Association>,
    path: Arc<Path>,
}

/// The way back to a client; there is none before its first datagram.
#[derive(Default)]
struct Path(Mutex<Option<Hop>>);

#[derive(Clone)]
struct Hop {
    /// Weak, since the port closes when its listener says so, and not when the last reply has been sent.
    socket: Weak<DatagramSocket>,
    client: SocketAddr,
    local: Option<IpAddr>,
}

/// A SOCKS5 association while its TCP connection is open: dropping it ends it.
pub(crate) struct OpenAssociation {
    port: Arc<Port>,
    id: ClientId,
    association: Arc<Association>,
}

impl Port {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Opens an association for a client that is connected and says that it will send from port `declared`.
    /// Absent where the subscription has too many.
    pub(crate) fn associate(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        route: &Arc<ActiveRoute>,
        caller: Caller,
        declared: Option<u16>,
    ) -> Option<OpenAssociation> {
        let place = self.place()?;
        let path = Arc::new(Path::default());
        let association = Association::open(shared, route, place, caller, Box::new(Arc::clone(&path)));
        let client = Arc::new(Client {
            association: Arc::clone(&association),
            path,
        });
        let id = self.clients().add(caller.source, declared, client);
        Some(OpenAssociation {
            port: Arc::clone(self),
            id,
            association,
        })
    }

    /// Opens an association of another protocol, whose session gives it datagrams and closes it in the end. Absent where the
    /// subscription has too many.
    pub(crate) fn open(
        &self,
        shared: &Arc<Shared>,
        route: &Arc<ActiveRoute>,
        caller: Caller,
        customer: Box<dyn Customer>,
    ) -> Option<Arc<Association>> {
        Some(Association::open(shared, route, self.place()?, caller, customer))
    }

    fn place(&self) -> Option<Place> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.open));
        (before < ASSOCIATIONS).then_some(place)
    }

    fn receive(self: &Arc<Self>, port: &listener::Port, socket: &Arc<DatagramSocket>, received: Received<'_>) {
        let source = received.source;
        let found = self.clients().find(source);
        let is_associated = found.is_some();
        let (Some(found), Some((destination, payload))) = (found, socks5::datagram(received.datagram.payload())) else {
            let desk = Desk {
                port: self,
                shared: &port.shared,
                route: &port.route(),
                socket,
                is_associated,
            };
            return desk.take(received);
        };
        let client = match found {
            Found::Pinned(client) => client,
            Found::Waiting => match self.clients().pin(source) {
                Some(client) => client,
                None => return,
            },
        };
        client.path.lead(socket, source, received.local);
        client.association.send(&destination, payload);
    }

    fn clients(&self) -> MutexGuard<'_, Clients<Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the socket that is bound to one of the gateway's addresses, until the listener drops this future. There is one of these
/// per port and address, so it is small.
pub(crate) fn serve(port: Arc<listener::Port>, socket: DatagramSocket) -> impl Future<Output = ()> + Send {
    let socket = Arc::new(socket);
    let mut rest = listener::Rest::default();
    poll_fn(move |cx| {
        loop {
            ready!(rest.poll(cx));
            let take = |received: Received<'_>| port.udp.receive(&port, &socket, received);
            if let Err(error) = ready!(socket.poll_receive(cx, take)) {
                tracing::debug!(%error, "a port rests for a moment: no datagram can be read");
                rest.begin(ERROR_PAUSE);
            }
        }
    })
}

impl Path {
    /// Notes where a datagram has come from, and to which address of ours.
    fn lead(&self, socket: &Arc<DatagramSocket>, client: SocketAddr, local: Option<IpAddr>) {
        let mut hop = self.lock();
        let is_known = hop.as_ref().is_some_and(|hop| {
            hop.client == client && hop.local == local && std::ptr::eq(hop.socket.as_ptr(), Arc::as_ptr(socket))
        });
        if !is_known {
            *hop = Some(Hop {
                socket: Arc::downgrade(socket),
                client,
                local,
            });
        }
    }

    /// Sends what is ready to be sent to the client. Whether it went.
    fn send(&self, packet: &[u8]) -> bool {
        let Some(hop) = self.lock().clone() else {
            return false;
        };
        let socket = hop.socket.upgrade();
        socket.is_some_and(|socket| socket.send(packet, hop.client, hop.local).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Hop>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Customer for Arc<Path> {
    fn deliver(&self, source: SocketAddr, mut datagram: Datagram<'_>) -> bool {
        let Some(hop) = self.lock().clone() else {
            return false;
        };
        let Some(socket) = hop.socket.upgrade() else {
            return false;
        };
        let header = socks5::datagram_header(source);
        socket.send(datagram.behind(&header), hop.client, hop.local).is_ok()
    }
}

impl OpenAssociation {
    /// Opens its way out, as [`Association::open_way`] says.
    pub(crate) async fn open_way(&self) -> Result<(), DialError> {
        self.association.open_way().await
    }

    /// Waits until the association is cut, or an upstream proxy has ended it.
    pub(crate) async fn ended(&self) {
        self.association.ended().await;
    }
}

impl Drop for OpenAssociation {
    fn drop(&mut self) {
        self.port.clients().remove(self.id);
        self.association.close();
    }
}
