//! A client's socket for datagrams: an association, and the session that its replies go to.
//!
//! Where the client names the socket (XUDP's GlobalID), another session may take it over, on this connection or another one of
//! the same subscription, and it stays for a while when its session has ended: a client whose connection broke keeps its
//! address and port in the eyes of everybody out there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use turnpike_wire::address::Destination;
use turnpike_wire::mux::{self, GlobalId};

use crate::session::Context;
use crate::session::downlink::Downlink;
use crate::udp::{Association, Customer, Datagram};

/// For so long a named socket waits for another session.
const KEPT: Duration = Duration::from_secs(60);

/// The named sockets of one subscription. Other subscriptions' clients may choose the same names.
#[derive(Default)]
pub(crate) struct GlobalIds(Mutex<HashMap<GlobalId, Arc<Endpoint>>>);

/// A session, as its endpoint sees it.
pub(super) struct Line {
    session: u16,
    downlink: Weak<Downlink>,
    last_used: Mutex<Instant>,
}

impl Line {
    pub(super) fn new(session: u16, downlink: &Arc<Downlink>) -> Arc<Self> {
        Arc::new(Self {
            session,
            downlink: Arc::downgrade(downlink),
            last_used: Mutex::new(Instant::now()),
        })
    }

    pub(super) fn last_used(&self) -> Instant {
        *lock(&self.last_used)
    }

    pub(super) fn used(&self) {
        *lock(&self.last_used) = Instant::now();
    }

    /// Tells the client that the session is over.
    pub(super) fn end(&self, has_failed: bool) {
        if let Some(downlink) = self.downlink.upgrade() {
            downlink.put(&mux::end(self.session, has_failed));
        }
    }

    fn deliver(&self, source: SocketAddr, mut datagram: Datagram<'_>) -> bool {
        let length = datagram.payload().len();
        // A frame without data would be taken for none by some, and one that is too long for the end by others.
        if !(1..=mux::LONGEST_DATAGRAM).contains(&length) {
            return false;
        }
        let Some(downlink) = self.downlink.upgrade() else {
            return false;
        };
        self.used();
        let header = mux::datagram(self.session, source, u16::try_from(length).unwrap_or(u16::MAX));
        downlink.put_datagram(datagram.behind(&header))
    }
}

/// Takes replies to the session that has the endpoint now.
#[derive(Default)]
struct Switch {
    held: Mutex<Held>,
    changed: Notify,
}

enum Held {
    By(Arc<Line>),
    /// By nobody, since then.
    Since(Instant),
}

impl Default for Held {
    fn default() -> Self {
        Self::Since(Instant::now())
    }
}

impl Customer for Arc<Switch> {
    fn deliver(&self, source: SocketAddr, datagram: Datagram<'_>) -> bool {
        let line = match &*lock(&self.held) {
            Held::By(line) => Arc::clone(line),
            Held::Since(_) => return false,
        };
        line.deliver(source, datagram)
    }
}

pub(super) struct Endpoint {
    association: Arc<Association>,
    switch: Arc<Switch>,
    id: Option<GlobalId>,
}

impl Endpoint {
    /// The endpoint of this name, taken over from whoever has it, or a new one. Absent where the subscription has too many.
    pub(super) fn open(context: &Context, id: Option<GlobalId>, line: &Arc<Line>) -> Option<Arc<Self>> {
        let mut named = lock(&context.global_ids.0);
        let known = id
            .and_then(|id| named.get(&id))
            .filter(|endpoint| !endpoint.association.is_closed());
        if let Some(endpoint) = known {
            endpoint.attach(line);
            return Some(Arc::clone(endpoint));
        }
        let switch = Arc::new(Switch::default());
        let customer = Box::new(Arc::clone(&switch));
        let association = context
            .udp
            .open(&context.shared, &context.route, context.caller(), customer)?;
        let endpoint = Arc::new(Self {
            association,
            switch,
            id,
        });
        endpoint.attach(line);
        if let Some(id) = id {
            named.insert(id, Arc::clone(&endpoint));
        }
        // It may outlive the connection, and must not keep anything of it.
        let (ids, closing) = (Arc::clone(&context.global_ids), context.closing.clone());
        context.shared.spawn(Arc::clone(&endpoint).keep(ids, closing));
        Some(endpoint)
    }

    /// Whether this session has it, and it works.
    pub(super) fn is_held_by(&self, line: &Arc<Line>) -> bool {
        !self.association.is_closed() && self.has(line)
    }

    pub(super) fn send(&self, to: &Destination, data: &[u8]) {
        self.association.send(to, data);
    }

    /// The session is over. Nothing happens where another one has the endpoint by now.
    pub(super) fn release(&self, line: &Arc<Line>) {
        if !self.has(line) {
            return;
        }
        *lock(&self.switch.held) = Held::default();
        match self.id {
            Some(_) => self.switch.changed.notify_one(),
            None => self.association.close(),
        }
    }

    fn has(&self, line: &Arc<Line>) -> bool {
        matches!(&*lock(&self.switch.held), Held::By(present) if Arc::ptr_eq(present, line))
    }

    fn attach(&self, line: &Arc<Line>) {
        let before = std::mem::replace(&mut *lock(&self.switch.held), Held::By(Arc::clone(line)));
        if let Held::By(before) = before {
            before.end(false);
        }
        self.switch.changed.notify_one();
    }

    /// Ends it when nobody has had it for long enough, and tells who has it when it ends by itself.
    async fn keep(self: Arc<Self>, ids: Arc<GlobalIds>, closing: CancellationToken) {
        loop {
            let due = match &*lock(&self.switch.held) {
                Held::By(_) => None,
                Held::Since(since) => Some(*since + KEPT),
            };
            let is_over = async {
                match due {
                    Some(due) => {
                        tokio::select! {
                            () = tokio::time::sleep_until(due) => {}
                            // A gateway that stops does not wait for those that nobody has.
                            () = closing.cancelled() => {}
                        }
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.association.ended() => break,
                () = self.switch.changed.notified() => {}
                () = is_over => if self.forget_if_free(&ids) {
                    break;
                }
            }
        }
        self.association.close();
        self.forget(&mut lock(&ids.0));
        if let Held::By(line) = &*lock(&self.switch.held) {
            line.end(true);
        }
    }

    /// Nobody takes it over while it is being forgotten.
    fn forget_if_free(&self, ids: &GlobalIds) -> bool {
        let mut named = lock(&ids.0);
        let is_free = matches!(&*lock(&self.switch.held), Held::Since(_));
        if is_free {
            self.forget(&mut named);
        }
        is_free
    }

    /// Another one may have the name by now.
    fn forget(&self, named: &mut HashMap<GlobalId, Arc<Self>>) {
        if let Some(id) = &self.id
            && named.get(id).is_some_and(|present| std::ptr::eq(&**present, self))
        {
            named.remove(id);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
