//! Which routes are in force, and what a change does to ports and tunnels.
//!
//! One writer at a time; sessions read what it publishes per port without a lock. A batch of changes is applied in two
//! steps: first every change is entered, which cuts tunnels and closes ports where it must, then the wanted ports are
//! opened. So two routes can exchange their ports in one batch.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use secrecy::ExposeSecret as _;

use crate::clock::SteadyClock;
use crate::exit::{Environment, Exit, ExitId, ExitSpec};
use crate::gateway::{Applied, Change, PortError, Shared};
use crate::guests::Guests;
use crate::limits::Quota;
use crate::listener::{self, OpenPort};
use crate::meter::Meters;
use crate::refusals::Log;
use crate::route::{ActiveRoute, Route, RouteId};
use crate::sealed::Sealed;

/// Sockets are opened and closed without waiting; after this many changes others have a turn.
const CHANGES_PER_TURN: usize = 64;

/// Numbers that may be asked for while the table is being changed.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    open_ports: AtomicUsize,
}

impl Counts {
    pub(crate) fn open_ports(&self) -> usize {
        self.open_ports.load(Ordering::Relaxed)
    }
}

pub(crate) struct Table {
    shared: Arc<Shared>,
    environment: Arc<Environment>,
    meters: Arc<Meters>,
    clock: Arc<SteadyClock>,
    counts: Arc<Counts>,
    addresses: Vec<IpAddr>,
    exits: HashMap<ExitId, Arc<Exit>>,
    /// Each on its own, since a map keeps room for half as many again.
    routes: HashMap<RouteId, Box<Served>>,
    /// Every route in force by its end.
    ends: BTreeSet<(i64, RouteId)>,
    /// Routes whose traffic has an end, and is not known to be used up.
    metered: HashSet<RouteId>,
    /// Routes in force, or waiting for their exit, whose port is not open on every address.
    unopened: HashSet<RouteId>,
    closed: bool,
}

/// A route as it was told last, and what has come of it.
struct Served {
    route: Arc<Route>,
    /// Absent when it has ended, or its exit is unknown.
    active: Option<Arc<ActiveRoute>>,
    guests: Arc<Guests>,
    quota: Arc<Quota>,
    refusals: Arc<Log>,
    port: Option<OpenPort>,
    /// The operator has been told that its port cannot be opened.
    reported: bool,
}

impl Table {
    pub(crate) fn new(
        shared: Arc<Shared>,
        environment: Arc<Environment>,
        meters: Arc<Meters>,
        clock: Arc<SteadyClock>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            addresses: listener::bindable(&shared.config.bind),
            shared,
            environment,
            meters,
            clock,
            counts,
            exits: HashMap::new(),
            routes: HashMap::new(),
            ends: BTreeSet::new(),
            metered: HashSet::new(),
            unopened: HashSet::new(),
            closed: false,
        }
    }

    pub(crate) fn exit(&self, id: &ExitId) -> Option<Arc<Exit>> {
        self.exits.get(id).cloned()
    }

    pub(crate) fn exits(&self) -> Vec<Arc<Exit>> {
        self.exits.values().cloned().collect()
    }

    /// See [`crate::Gateway::replace_all`].
    pub(crate) async fn replace_all(&mut self, exits: Vec<ExitSpec>, routes: Vec<Route>) -> Applied {
        let kept_exits: HashSet<_> = exits.iter().map(|exit| &exit.id).collect();
        let kept_routes: HashSet<_> = routes.iter().map(|route| &route.id).collect();
        let gone_routes = self
            .routes
            .keys()
            .filter(|id| !kept_routes.contains(id))
            .cloned()
            .map(Change::RemoveRoute);
        let gone_exits = self
            .exits
            .keys()
            .filter(|id| !kept_exits.contains(id))
            .cloned()
            .map(Change::RemoveExit);
        // An exit goes last: until its routes have moved away they may dial through it.
        let (gone_routes, gone_exits): (Vec<_>, Vec<_>) = (gone_routes.collect(), gone_exits.collect());
        let exits = exits.into_iter().map(Change::Exit);
        let routes = routes.into_iter().map(Change::Route);
        self.apply(
            gone_routes
                .into_iter()
                .chain(exits)
                .chain(routes)
                .chain(gone_exits)
                .collect(),
        )
        .await
    }

    /// See [`crate::Gateway::apply`]. Where this future is dropped midway, what it has not opened is opened by
    /// [`Table::retry`]. Once the ports are closed for good nothing is opened any more, but what must end still ends.
    pub(crate) async fn apply(&mut self, changes: Vec<Change>) -> Applied {
        let now = self.clock.now();
        let mut closing = Vec::new();
        let mut told = Vec::new();
        for (count, change) in changes.into_iter().enumerate() {
            match change {
                Change::Exit(_) if self.closed => {}
                Change::Exit(spec) => told.extend(self.set_exit(spec)),
                Change::RemoveExit(id) => self.remove_exit(&id),
                Change::Route(route) => {
                    told.push(route.id.clone());
                    closing.extend(self.set_route(route, now));
                }
                Change::RemoveRoute(id) => closing.extend(self.remove_route(&id)),
            }
            if count % CHANGES_PER_TURN == CHANGES_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.count_ports();
        for port in closing {
            port.close().await;
        }
        if self.closed {
            return Applied::default();
        }
        self.open_told(told).await
    }

    async fn open_told(&mut self, told: Vec<RouteId>) -> Applied {
        let mut applied = Applied::default();
        for (count, id) in told.into_iter().enumerate() {
            if self.unopened.contains(&id)
                && let Err(error) = self.open(&id)
                && !applied.failed.iter().any(|(failed, _)| *failed == id)
            {
                applied.failed.push((id, error));
            }
            if count % CHANGES_PER_TURN == CHANGES_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.count_ports();
        applied
    }

    /// Enters an exit; gives back the routes that have waited for it.
    fn set_exit(&mut self, spec: ExitSpec) -> Vec<RouteId> {
        if let Some(exit) = self.exits.get(&spec.id) {
            exit.update(spec);
            return Vec::new();
        }
        let id = spec.id.clone();
        self.exits
            .insert(id.clone(), Exit::new(spec, Arc::clone(&self.environment)));
        let waits = |route: &&RouteId| self.routes.get(route).is_some_and(|served| served.route.exit == id);
        self.unopened.iter().filter(waits).cloned().collect()
    }

    fn remove_exit(&mut self, id: &ExitId) {
        if let Some(exit) = self.exits.remove(id) {
            exit.close();
        }
    }

    /// Enters a route; gives back a port to close.
    fn set_route(&mut self, route: Route, now: i64) -> Option<OpenPort> {
        let id = route.id.clone();
        let route = Arc::new(route);
        let mut served = match self.routes.remove(&id) {
            Some(mut served) => {
                self.ends.remove(&(served.route.ends_at, id.clone()));
                served.route = route;
                served
            }
            None => Box::new(Served {
                quota: Quota::new(self.meters.meter(&id)),
                refusals: self.shared.refusals.log(&id),
                route,
                active: None,
                guests: Arc::default(),
                port: None,
                reported: false,
            }),
        };
        served.guests.allow(&served.route.allowed_addresses);
        served.quota.know(served.route.moved);
        served.quota.limit_to(&served.route.limits);
        if served.quota.has_traffic_limit() {
            self.metered.insert(id.clone());
        } else {
            self.metered.remove(&id);
        }
        let has_ended = served.route.ends_at <= now;
        let exit = self.exits.get(&served.route.exit).filter(|_| !has_ended);
        let active = exit.map(|exit| self.activate(&served, exit));
        let keeps_port = active.is_some() && served.is_on(served.route.port);
        let closing = if keeps_port { None } else { served.port.take() };

        // The new route first, the cut second: a connection that comes in between is under the new one.
        if let (Some(port), Some(active)) = (&served.port, &active) {
            port.serve(Arc::clone(active));
        }
        if let Some(old) = std::mem::replace(&mut served.active, active)
            && served.active.as_ref().is_none_or(|new| new.cut != old.cut)
        {
            old.cut.cancel();
        }
        if !has_ended {
            self.ends.insert((served.route.ends_at, id.clone()));
        }
        if has_ended {
            self.unopened.remove(&id);
        } else if served.port.is_none() {
            self.unopened.insert(id.clone());
        }
        self.routes.insert(id, served);
        closing
    }

    /// Makes the route ready for sessions, with the tokens of the present one where its tunnels may go on.
    fn activate(&self, served: &Served, exit: &Arc<Exit>) -> Arc<ActiveRoute> {
        let same_credentials = served
            .active
            .as_ref()
            .filter(|old| has_same_credentials(&old.route, &served.route));
        // A recorded stream must not be played again because the subscription was renewed or moved meanwhile.
        let sealed = match same_credentials {
            Some(old) => old.sealed.clone(),
            None => Sealed::of_password(served.route.password.expose_secret()).map(Arc::new),
        };
        let goes_on = same_credentials.filter(|old| !old.cut.is_cancelled() && Arc::ptr_eq(&old.exit, exit));
        Arc::new(ActiveRoute {
            route: Arc::clone(&served.route),
            exit: Arc::clone(exit),
            meter: self.meters.meter(&served.route.id),
            guests: Arc::clone(&served.guests),
            quota: Arc::clone(&served.quota),
            refusals: Arc::clone(&served.refusals),
            sealed,
            cut: goes_on.map_or_else(|| self.shared.stop.child_token(), |old| old.cut.clone()),
        })
    }

    fn remove_route(&mut self, id: &RouteId) -> Option<OpenPort> {
        let mut served = self.routes.remove(id)?;
        self.ends.remove(&(served.route.ends_at, id.clone()));
        self.unopened.remove(id);
        self.metered.remove(id);
        if let Some(active) = served.active.take() {
            active.cut.cancel();
        }
        self.meters.retire(id);
        served.port.take()
    }

    /// Ends the routes whose time is over. They stay known: a renewal opens them again.
    pub(crate) fn expire(&mut self, now: i64) {
        let mut closing = Vec::new();
        while let Some((ends_at, id)) = self.ends.pop_first() {
            if ends_at > now {
                self.ends.insert((ends_at, id));
                break;
            }
            self.unopened.remove(&id);
            if let Some(served) = self.routes.get_mut(&id) {
                closing.extend(served.port.take());
                if let Some(active) = served.active.take() {
                    active.cut.cancel();
                }
            }
        }
        if !closing.is_empty() {
            // Nobody waits for these ports to be free: to drop them is enough.
            drop(closing);
            self.count_ports();
        }
    }

    /// Ends what is open of the routes whose traffic is used up. Their ports stay open, to say so.
    pub(crate) fn cut_used_up(&mut self) {
        let routes = &self.routes;
        let is_over = |id: &&RouteId| routes.get(id).is_none_or(|served| served.quota.is_used_up());
        let over: Vec<_> = self.metered.iter().filter(is_over).cloned().collect();
        for id in over {
            self.metered.remove(&id);
            let Some(served) = self.routes.get_mut(&id) else {
                continue;
            };
            tracing::debug!(subscription = %id.0, "its traffic is used up");
            let Some(old) = served.active.take() else { continue };
            let new = old.cut_by(self.shared.stop.child_token());
            if let Some(port) = &served.port {
                port.serve(Arc::clone(&new));
            }
            served.active = Some(new);
            old.cut.cancel();
        }
    }

    /// Tries again what could not be opened.
    pub(crate) fn retry(&mut self) {
        if self.closed {
            return;
        }
        let damaged = self
            .routes
            .iter()
            .filter(|(_, served)| served.port.as_ref().is_some_and(OpenPort::is_damaged));
        self.unopened.extend(damaged.map(|(id, _)| id.clone()));
        if self.unopened.is_empty() {
            return;
        }
        for id in self.unopened.iter().cloned().collect::<Vec<_>>() {
            // The failure has been told already.
            let _ = self.open(&id);
        }
        self.count_ports();
    }

    /// Opens a route's port where it is not open yet.
    fn open(&mut self, id: &RouteId) -> Result<(), PortError> {
        let Some(mut served) = self.routes.remove(id) else {
            return Ok(());
        };
        let outcome = self.open_served(&mut served);
        match &outcome {
            Ok(()) => {
                self.unopened.remove(id);
                if std::mem::take(&mut served.reported) {
                    tracing::info!(subscription = %id.0, port = served.route.port, "the port is open now");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut served.reported, true) {
                    tracing::warn!(subscription = %id.0, %error, "a subscription is not served; trying again");
                }
            }
        }
        self.routes.insert(id.clone(), served);
        outcome
    }

    fn open_served(&mut self, served: &mut Served) -> Result<(), PortError> {
        let active = match &served.active {
            Some(active) => Arc::clone(active),
            None => {
                let exit = self.exits.get(&served.route.exit).ok_or(PortError::UnknownExit)?;
                Arc::clone(served.active.insert(self.activate(served, exit)))
            }
        };
        let mut port = served
            .port
            .take()
            .unwrap_or_else(|| OpenPort::new(served.route.port, active, &self.shared));
        let outcome = port.open(&self.addresses);
        if port.is_open() {
            served.port = Some(port);
        }
        outcome
    }

    /// Closes every port, for good. Tunnels go on until their route ends.
    pub(crate) async fn close_ports(&mut self) {
        self.closed = true;
        let ports: Vec<_> = self
            .routes
            .values_mut()
            .filter_map(|served| served.port.take())
            .collect();
        self.count_ports();
        for port in ports {
            port.close().await;
        }
    }

    /// Closes every exit, for good.
    pub(crate) fn close_exits(&mut self) {
        for (_, exit) in self.exits.drain() {
            exit.close();
        }
    }

    fn count_ports(&self) {
        let open = self.routes.values().filter(|served| served.port.is_some()).count();
        self.counts.open_ports.store(open, Ordering::Relaxed);
    }
}

impl Served {
    fn is_on(&self, number: u16) -> bool {
        self.port.as_ref().is_some_and(|port| port.number() == number)
    }
}

/// Whether who could open a tunnel under one route can under the other.
fn has_same_credentials(one: &Route, other: &Route) -> bool {
    one.username == other.username
        && one.password.expose_secret() == other.password.expose_secret()
        && one.uuid == other.uuid
}
