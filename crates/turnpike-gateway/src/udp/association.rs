//! A customer's datagrams on their way out, whatever protocol brought them in.
//!
//! The protocol's side opens an [`Association`] for each of its clients, gives it datagrams with their destinations
//! ([`Association::send`]), and gets replies with their sources through [`Customer::deliver`]. Everything between is
//! here: the destination rule, names, the exit's sockets, counting. Nothing in it waits for anybody: what cannot go at
//! once is dropped, as datagrams may be.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use turnpike_wire::address::{Destination, Host};

use super::Place;
use super::mapping::{Mapping, MappingEnd};
use super::names::Names;
use super::outlet::{Outlet, Outlets, Way};
use super::socket::{Datagram, Received};
use crate::exit::DialError;
use crate::gateway::Shared;
use crate::limits::pace::{self, DatagramPace};
use crate::refusals::{Caller, Reason};
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
    /// Cancelled when an upstream proxy has ended its part, or refused to begin it.
    is_refused: CancellationToken,
    state: Mutex<State>,
    up: DatagramPace,
    down: DatagramPace,
    /// Who has it, for what is refused.
    caller: Caller,
    _place: Place,
}

#[derive(Default)]
struct State {
    outlets: Outlets,
    names: Names,
}

impl Association {
    /// An association with no socket yet. Whoever opens it must [`Association::close`] it.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        route: &Arc<ActiveRoute>,
        place: Place,
        caller: Caller,
        customer: Box<dyn Customer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            route: Arc::clone(route),
            customer,
            closed: route.cut.child_token(),
            is_refused: CancellationToken::new(),
            state: Mutex::default(),
            up: DatagramPace::default(),
            down: DatagramPace::default(),
            caller,
            _place: place,
        })
    }

    /// Ends it: sockets are closed, and what still arrives is dropped.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Waits until it is closed, or cut with its route.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Waits until it has ended: closed, or left without a way out because an upstream proxy has ended its part. A client whose
    /// protocol can tell it so should be told. For any other the next datagram tries again.
    pub(crate) async fn ended(&self) {
        tokio::select! {
            () = self.closed.cancelled() => {}
            () = self.is_refused.cancelled() => {}
        }
    }

    /// Opens the way out where it leads through an upstream proxy, so that a client can be told when that is refused; any
    /// other way opens with the first datagram.
    pub(crate) async fn open_way(self: &Arc<Self>) -> Result<(), DialError> {
        if !self.route.exit.has_upstream() {
            return Ok(());
        }
        // Which family the client will want is not known; that of the other opens when it is wanted.
        let way = Way::by_upstream(Ipv4Addr::UNSPECIFIED.into());
        *self.lock().outlets.of(way) = Outlet::opening();
        self.open_by_upstream(way).await
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
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
        if let Err(error) = self.route.exit.permit_udp(to) {
            return self.refused(&error);
        }
        if !self.may_move(pace::Way::Up, datagram.len()) {
            return;
        }
        if let Some(mapping) = self.mapping(to, datagram) {
            self.send_by(&mapping, to, datagram);
        }
    }

    fn send_by(&self, mapping: &Mapping, to: SocketAddr, datagram: &[u8]) {
        if mapping.send(datagram, to) {
            self.route.meter.add_up(datagram.len() as u64);
        }
    }

    /// The socket towards `to`, opened where there is none. Where that takes a moment the datagram waits for it, and there is
    /// nothing to be done now.
    fn mapping(self: &Arc<Self>, to: SocketAddr, datagram: &[u8]) -> Option<Arc<Mapping>> {
        let way = if self.route.exit.has_upstream() {
            Way::by_upstream(to.ip())
        } else {
            Way::own(to.ip())
        };
        let mut state = self.lock();
        let outlet = state.outlets.of(way);
        match outlet {
            Outlet::Open(mapping) => return Some(Arc::clone(mapping)),
            Outlet::Opening(waiting) => {
                waiting.keep(to, datagram);
                return None;
            }
            Outlet::Closed { until } if until.is_some_and(|until| Instant::now() < until) => return None,
            Outlet::Closed { .. } => {}
        }
        if self.closed.is_cancelled() {
            return None;
        }
        if way.by_upstream {
            if let Some(refusal) = self.route.exit.udp_refusal() {
                self.refused(&refusal);
                self.is_refused.cancel();
                return None;
            }
            *outlet = Outlet::opening();
            if let Outlet::Opening(waiting) = outlet {
                waiting.keep(to, datagram);
            }
            drop(state);
            let association = Arc::clone(self);
            self.shared.spawn(async move {
                let opening = association.open_by_upstream(way);
                if let Some(Err(error)) = association.closed.run_until_cancelled(opening).await {
                    association.refused(&error);
                }
            });
            return None;
        }
        let opened = self.route.exit.udp(to.ip()).ok();
        let Some(mapping) = opened.and_then(|egress| Mapping::new(egress).ok()).map(Arc::new) else {
            *outlet = Outlet::closed_until(Instant::now() + REOPEN_PAUSE);
            return None;
        };
        *outlet = Outlet::Open(Arc::clone(&mapping));
        drop(state);
        let receive = Arc::clone(self).receive(Arc::clone(&mapping), way);
        self.shared.spawn(receive);
        Some(mapping)
    }

    /// Has the upstream proxy open its part, and sends what has waited for that.
    async fn open_by_upstream(self: &Arc<Self>, way: Way) -> Result<(), DialError> {
        let opened = self.route.exit.udp_by_upstream().await;
        let opened = opened.and_then(|egress| Mapping::new(egress).map_err(|_| DialError::NetworkUnreachable));
        let mut state = self.lock();
        let outlet = state.outlets.of(way);
        let mapping = match opened {
            Ok(mapping) => Arc::new(mapping),
            Err(error) => {
                *outlet = Outlet::closed_until(Instant::now() + REOPEN_PAUSE);
                drop(state);
                self.is_refused.cancel();
                return Err(error);
            }
        };
        // Under the lock, so that nothing overtakes what has waited.
        if let Outlet::Opening(waiting) = std::mem::replace(outlet, Outlet::Open(Arc::clone(&mapping))) {
            for (to, datagram) in waiting.into_datagrams() {
                self.send_by(&mapping, to, &datagram);
            }
        }
        drop(state);
        self.shared.spawn(Arc::clone(self).receive(mapping, way));
        Ok(())
    }

    /// Hands replies over until the mapping ends.
    async fn receive(self: Arc<Self>, mapping: Arc<Mapping>, way: Way) {
        let replies = mapping.receive(|received| self.reply(received));
        let end = self.closed.run_until_cancelled(replies).await;
        let mut state = self.lock();
        *state.outlets.of(way) = match end {
            Some(MappingEnd::Ended) => Outlet::closed_until(Instant::now() + REOPEN_PAUSE),
            Some(MappingEnd::Idle | MappingEnd::Moved) | None => Outlet::default(),
        };
        match end {
            // The exit's new address may be of another family than what names were resolved to.
            Some(MappingEnd::Moved) => state.names.forget(),
            Some(MappingEnd::Ended) => self.is_refused.cancel(),
            Some(MappingEnd::Idle) | None => {}
        }
    }

    fn reply(&self, received: Received<'_>) {
        let source = received.source;
        let length = received.datagram.payload().len() as u64;
        // Nobody reaches back through an exit into the networks that it must not lead to.
        if self.route.exit.accepts_reply_from(source)
            && self.may_move(pace::Way::Down, received.datagram.payload().len())
            && self.customer.deliver(source, received.datagram)
        {
            self.route.meter.add_down(length);
        }
    }

    /// Whether the subscription's speed allows one more datagram now.
    fn may_move(&self, way: pace::Way, length: usize) -> bool {
        let pace = match way {
            pace::Way::Up => &self.up,
            pace::Way::Down => &self.down,
        };
        let may = pace.admits(&self.route.quota.speed, way, length);
        if !may {
            metrics::counter!("turnpike_refusals_total", "reason" => "speed").increment(1);
        }
        may
    }

    /// Resolves a name and sends what has waited for it.
    async fn resolve(self: Arc<Self>, destination: Destination) {
        let resolved = self
            .closed
            .run_until_cancelled(self.route.exit.resolve_udp(&destination))
            .await;
        if let Some(Err(error)) = &resolved {
            self.refused(error);
        }
        let address = resolved.and_then(Result::ok).map(|to| to.ip());
        let Host::Name(name) = &destination.host else { return };
        let waited = self.lock().names.resolved(name, address);
        if let Some(address) = address {
            for (port, datagram) in waited {
                self.send_to(SocketAddr::new(address, port), &datagram);
            }
        }
    }

    /// A datagram was refused, if it was that.
    fn refused(&self, error: &DialError) {
        if let Some(reason) = Reason::of_dial(error) {
            self.shared.refused(&self.route, self.caller, reason);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
