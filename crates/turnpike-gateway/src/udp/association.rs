//! A customer's datagrams on their way out, whatever protocol brought them in.
//!
//! The protocol's side opens an [`Association`] for each of its clients, gives it datagrams with their destinations
//! ([`Association::send`]), and gets replies with their sources through [`Customer::deliver`]. Everything between is
//! here: the destination rule, names, the exit's sockets, counting. Nothing in it waits for anybody: what cannot go at
//! once is dropped, as datagrams may be.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use turnpike_wire::address::{Destination, Host};

use super::Place;
use super::mapping::{Mapping, MappingEnd};
use super::names::Names;
use super::socket::{Datagram, Received};
use crate::gateway::Shared;
use crate::route::ActiveRoute;

/// After a socket could not be opened, the next try waits this long: a flood must not become a flood of tries.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Who gets an association's replies.
pub(crate) trait Customer: Send + Sync + 'static {
    /// Hands a reply over, or drops it. Says whether it went; never waits.
    fn deliver(&self, source: SocketAddr, datagram: Datagram<'_>) -> bool;
}

/// One client's datagrams through its subscription's exit. It ends with its route, or when it is closed.
pub(crate) struct Association {
    shared: Arc<Shared>,
    route: Arc<ActiveRoute>,
    customer: Box<dyn Customer>,
    closed: CancellationToken,
    state: Mutex<State>,
    _place: Place,
}

#[derive(Default)]
struct State {
    v4: Outlet,
    v6: Outlet,
    names: Names,
}

/// The socket of one family.
#[derive(Default)]
struct Outlet {
    mapping: Option<Arc<Mapping>>,
    /// Not to be opened before.
    pause: Option<Instant>,
}

impl Association {
    /// An association with no socket yet. Whoever opens it must [`Association::close`] it.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        route: &Arc<ActiveRoute>,
        place: Place,
        customer: Box<dyn Customer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            route: Arc::clone(route),
            customer,
            closed: route.cut.child_token(),
            state: Mutex::default(),
            _place: place,
        })
    }

    /// Ends it: sockets are closed, and what still arrives is dropped.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Waits until it has ended: closed, or cut with its route.
    pub(crate) async fn ended(&self) {
        self.closed.cancelled().await;
    }

    /// Sends a datagram of the customer's, or drops it.
    pub(crate) fn send(self: &Arc<Self>, destination: &Destination, datagram: &[u8]) {
        let name = match &destination.host {
            Host::Ip(address) => return self.send_to(SocketAddr::new(*address, destination.port), datagram),
            Host::Name(name) => name,
        };
        let mut state = self.lock();
        if let Some(address) = state.names.address(name) {
            drop(state);
            self.send_to(SocketAddr::new(address, destination.port), datagram);
        } else if state.names.wait(name, destination.port, datagram) {
            drop(state);
            let resolve = Arc::clone(self).resolve(destination.clone());
            self.shared.spawn(resolve);
        }
    }

    /// Each address and port is judged, also those that a name led to.
    fn send_to(self: &Arc<Self>, to: SocketAddr, datagram: &[u8]) {
        if !self.route.exit.permits_udp(to) {
            metrics::counter!("turnpike_refusals_total", "reason" => "destination").increment(1);
            return;
        }
        if let Some(mapping) = self.mapping(to.ip())
            && mapping.send(datagram, to)
        {
            self.route.meter.add_up(datagram.len() as u64);
        }
    }

    /// The socket towards `address`, opened where there is none.
    fn mapping(self: &Arc<Self>, address: IpAddr) -> Option<Arc<Mapping>> {
        let mut state = self.lock();
        let outlet = state.outlet(address);
        if let Some(mapping) = &outlet.mapping {
            return Some(Arc::clone(mapping));
        }
        if self.closed.is_cancelled() || outlet.pause.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let opened = self.open_mapping(address).map(Arc::new);
        outlet.pause = opened.is_none().then(|| Instant::now() + REOPEN_PAUSE);
        outlet.mapping.clone_from(&opened);
        drop(state);
        let mapping = opened?;
        let receive = Arc::clone(self).receive(Arc::clone(&mapping), address);
        self.shared.spawn(receive);
        Some(mapping)
    }

    fn open_mapping(&self, address: IpAddr) -> Option<Mapping> {
        let descriptor = self.shared.descriptors.take(1)?;
        let egress = self.route.exit.udp(address).ok()?;
        Mapping::new(egress, descriptor).ok()
    }

    /// Hands replies over until the mapping ends.
    async fn receive(self: Arc<Self>, mapping: Arc<Mapping>, address: IpAddr) {
        let replies = mapping.receive(|received| self.reply(received));
        let end = self.closed.run_until_cancelled(replies).await;
        let mut state = self.lock();
        state.outlet(address).mapping = None;
        if end == Some(MappingEnd::Moved) {
            // The exit's new address may be of another family than what names were resolved to.
            state.names.forget();
        }
    }

    fn reply(&self, received: Received<'_>) {
        let source = received.source;
        let length = received.datagram.payload().len() as u64;
        // Nobody reaches back through an exit into the networks that it must not lead to.
        if self.route.exit.accepts_reply_from(source) && self.customer.deliver(source, received.datagram) {
            self.route.meter.add_down(length);
        }
    }

    /// Resolves a name and sends what has waited for it.
    async fn resolve(self: Arc<Self>, destination: Destination) {
        let resolved = self
            .closed
            .run_until_cancelled(self.route.exit.resolve_udp(&destination))
            .await;
        let address = resolved.and_then(Result::ok).map(|to| to.ip());
        let Host::Name(name) = &destination.host else { return };
        let waited = self.lock().names.resolved(name, address);
        if let Some(address) = address {
            for (port, datagram) in waited {
                self.send_to(SocketAddr::new(address, port), &datagram);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn outlet(&mut self, address: IpAddr) -> &mut Outlet {
        match address {
            IpAddr::V4(_) => &mut self.v4,
            IpAddr::V6(_) => &mut self.v6,
        }
    }
}
