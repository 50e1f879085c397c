//! Shadowsocks datagrams: no TCP connection keeps them, so each client has a session of its own until it is silent for long.
//!
//! A 2022 client names its session, may move to another address, and its packets are numbered: what comes twice is dropped
//! (SIP022 §3.2). A client of the older methods is who sends from one address, and its packets are told by their salts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use turnpike_wire::address::Destination;
use turnpike_wire::shadowsocks::datagram::{self, Header, Reply, SessionId, SessionKey};
use turnpike_wire::shadowsocks::{Method, Refused, Salt};

use super::association::{Association, Customer};
use super::mapping::DNS;
use super::socket::{Datagram, DatagramSocket, Received};
use super::window::Window;
use super::{Path, Port};
use crate::clock::SteadyClock;
use crate::gateway::Shared;
use crate::limits::SourceSeat;
use crate::refusals::{Caller, Protocol, Reason};
use crate::route::ActiveRoute;
use crate::sealed::{self, Sealed, Stale};

/// A client that has been silent for this long has gone (RFC 4787 REQ-5).
const IDLE: Duration = Duration::from_secs(300);

/// The same for one that has asked name servers only, which some clients do from a new session for each question: else these would soon
/// have all places of a subscription. SIP022 §3.2.4 wants a session's numbers remembered for at least this long.
const IDLE_AFTER_DNS: Duration = Duration::from_secs(60);

/// A port's sessions.
#[derive(Default)]
pub(super) struct Sessions {
    named: Mutex<HashMap<SessionId, Arc<Session>>>,
    by_address: Mutex<HashMap<(SocketAddr, Method), Arc<Session>>>,
}

/// One client.
struct Session {
    association: Arc<Association>,
    path: Arc<Path>,
    /// Absent for a client of the older methods.
    numbered: Option<Numbered>,
    last_used: Mutex<Instant>,
    is_dns_only: AtomicBool,
    /// Its place among the addresses that the subscription is used from.
    seat: Mutex<SourceSeat>,
}

/// What a 2022 session has of its client's side.
struct Numbered {
    key: SessionKey,
    window: Mutex<Window>,
}

impl Session {
    fn used(&self, to: &Destination) {
        if to.port != DNS {
            self.is_dns_only.store(false, Ordering::Relaxed);
        }
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn due(&self) -> Instant {
        let is_dns_only = self.is_dns_only.load(Ordering::Relaxed);
        let allowed = if is_dns_only { IDLE_AFTER_DNS } else { IDLE };
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) + allowed
    }
}

/// Everything that is needed to take a datagram.
pub(super) struct Desk<'a> {
    pub(super) port: &'a Arc<Port>,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) route: &'a Arc<ActiveRoute>,
    pub(super) socket: &'a Arc<DatagramSocket>,
    /// Whether the sender has a SOCKS5 association, and only the datagram is none of that.
    pub(super) is_associated: bool,
}

impl Desk<'_> {
    /// Takes a datagram that is no SOCKS client's: it opens with one of the subscription's keys, or it is dropped.
    pub(super) fn take(&self, mut received: Received<'_>) {
        let is_ours = match &self.route.sealed {
            Some(sealed) => self.take_2022(sealed, &mut received) || self.take_older(sealed, &mut received),
            None => false,
        };
        if !is_ours {
            let (protocol, reason) = self.guess(received.datagram.payload());
            self.refused(received.source, protocol, reason);
        }
    }

    /// What a datagram was that is nobody's. Nothing is ever answered to it.
    fn guess(&self, bytes: &[u8]) -> (Protocol, Reason) {
        match bytes {
            [0, 0, 0, 0x01 | 0x03 | 0x04, ..] if self.is_associated => (Protocol::Socks5, Reason::Malformed),
            [0, 0, 0, 0x01 | 0x03 | 0x04, ..] => (Protocol::Socks5, Reason::NoAssociation),
            [0, 0, 1..=255, ..] if self.is_associated => (Protocol::Socks5, Reason::Fragment),
            _ if bytes.len() >= datagram::SHORTEST => (Protocol::Shadowsocks, Reason::StrangeDatagram),
            _ => (Protocol::Unknown, Reason::StrangeDatagram),
        }
    }

    fn refused(&self, client: SocketAddr, protocol: Protocol, reason: Reason) {
        let caller = Caller {
            source: client.ip(),
            protocol,
        };
        self.shared.refused(self.route, caller, reason);
    }

    /// Whether it was a packet of a 2022 session.
    fn take_2022(&self, sealed: &Arc<Sealed>, received: &mut Received<'_>) -> bool {
        let Some(header) = Header::open(&sealed.keys, received.datagram.payload()) else {
            return false;
        };
        let known = lock(&self.port.sessions.named).get(&header.session).cloned();
        if let Some(session) = &known {
            let Some(numbered) = &session.numbered else {
                return false;
            };
            // A copy costs nothing more than this look.
            if !lock(&numbered.window).is_new(header.packet) {
                return true;
            }
            self.open_numbered(session, numbered, header, received);
            return true;
        }
        let Some(key) = SessionKey::new(&sealed.keys, header.session) else {
            return false;
        };
        // It is opened in a copy: whatever it is, the older methods are to see it as it came.
        let mut packet = received.datagram.payload().to_vec();
        match key.open(header, &mut packet) {
            Ok(_) => {}
            Err(Refused::Sealed) => return false,
            Err(Refused::Malformed | Refused::Address) => {
                self.refused(received.source, Protocol::Shadowsocks, Reason::Malformed);
                return true;
            }
        }
        let numbered = Numbered {
            key,
            window: Mutex::default(),
        };
        let reply = match ServerSession::new(sealed, &self.shared.clock, header.session) {
            Some(reply) => reply,
            None => return true,
        };
        let Some(session) = self.open_session(received.source, Some(numbered), |path| {
            Box::new(Sealing2022 { path, reply })
        }) else {
            return true;
        };
        let Some(numbered) = &session.numbered else { return true };
        self.open_numbered(&session, numbered, header, received);
        if lock(&numbered.window).has_any() {
            lock(&self.port.sessions.named).insert(header.session, Arc::clone(&session));
            let port = Arc::clone(self.port);
            let forget = move || drop(lock(&port.sessions.named).remove(&header.session));
            self.shared.spawn(end_when_idle(session, forget));
        } else {
            session.association.close();
        }
        true
    }

    /// Opens a packet of a session, judges its time and its number, and sends its data.
    fn open_numbered(&self, session: &Arc<Session>, numbered: &Numbered, header: Header, received: &mut Received<'_>) {
        let packet = received.datagram.payload_mut();
        let opened = match numbered.key.open(header, packet) {
            Ok(opened) => opened,
            Err(refused) => {
                let reason = match refused {
                    Refused::Sealed => Reason::BrokenDatagram,
                    Refused::Malformed | Refused::Address => Reason::Malformed,
                };
                return self.refused(received.source, Protocol::Shadowsocks, reason);
            }
        };
        let now = self.shared.clock.seconds();
        let judged = sealed::judge_time(opened.time.unwrap_or_default(), now, self.shared.started);
        // The number is noted last: a forged or old packet must not move the window.
        let judged = judged.and_then(|()| {
            let is_new = lock(&numbered.window).note(header.packet);
            is_new.then_some(()).ok_or(Stale::Replay)
        });
        if let Err(stale) = judged {
            return self.refused(received.source, Protocol::Shadowsocks, stale.into());
        }
        if !self.may_come_from(session, received.source) {
            return;
        }
        session.used(&opened.destination);
        session.path.lead(self.socket, received.source, received.local);
        let data = received.datagram.payload().get(opened.data).unwrap_or_default();
        session.association.send(&opened.destination, data);
    }

    /// Whether it was a packet of one of the older methods.
    fn take_older(&self, sealed: &Arc<Sealed>, received: &mut Received<'_>) -> bool {
        for method in Method::OLDER {
            let Some(salt) = Salt::of(method, received.datagram.payload()) else {
                continue;
            };
            // Opened in a copy, since a wrong key spoils what it is tried on.
            let mut packet = received.datagram.payload().to_vec();
            let opened = match datagram::open_legacy(&sealed.keys, method, &mut packet) {
                Ok(opened) => opened,
                Err(Refused::Sealed) => continue,
                Err(Refused::Malformed | Refused::Address) => {
                    self.refused(received.source, Protocol::Shadowsocks, Reason::Malformed);
                    return true;
                }
            };
            if !sealed.note_datagram(&salt) {
                self.refused(received.source, Protocol::Shadowsocks, Reason::Replay);
                return true;
            }
            let key = (received.source, method);
            let known = lock(&self.port.sessions.by_address).get(&key).cloned();
            let session = match known {
                Some(session) => session,
                None => {
                    let sealing = |path| {
                        let sealed = Arc::clone(sealed);
                        Box::new(SealingOlder { path, sealed, method }) as Box<dyn Customer>
                    };
                    let Some(session) = self.open_session(received.source, None, sealing) else {
                        return true;
                    };
                    lock(&self.port.sessions.by_address).insert(key, Arc::clone(&session));
                    let port = Arc::clone(self.port);
                    let forget = move || drop(lock(&port.sessions.by_address).remove(&key));
                    self.shared.spawn(end_when_idle(Arc::clone(&session), forget));
                    session
                }
            };
            session.used(&opened.destination);
            session.path.lead(self.socket, received.source, received.local);
            let data = packet.get(opened.data).unwrap_or_default();
            session.association.send(&opened.destination, data);
            return true;
        }
        false
    }

    /// Whether a session may be used from there: it may have moved, and then its new address counts.
    fn may_come_from(&self, session: &Session, client: SocketAddr) -> bool {
        let mut seat = lock(&session.seat);
        if seat.is_for(client.ip()) {
            return true;
        }
        match self.admit(client) {
            Some(new) => {
                *seat = new;
                true
            }
            None => false,
        }
    }

    fn admit(&self, client: SocketAddr) -> Option<SourceSeat> {
        let admitted = self.route.quota.admit_datagrams(client.ip());
        let refused = |denied| self.refused(client, Protocol::Shadowsocks, Reason::Limit(denied));
        admitted.map_err(refused).ok()
    }

    /// Absent where the subscription has too many, or its limits do not allow it.
    fn open_session(
        &self,
        client: SocketAddr,
        numbered: Option<Numbered>,
        customer: impl FnOnce(Arc<Path>) -> Box<dyn Customer>,
    ) -> Option<Arc<Session>> {
        let seat = Mutex::new(self.admit(client)?);
        let Some(place) = self.port.place() else {
            self.refused(client, Protocol::Shadowsocks, Reason::TooManyAssociations);
            return None;
        };
        let path = Arc::new(Path::default());
        let caller = Caller {
            source: client.ip(),
            protocol: Protocol::Shadowsocks,
        };
        let association = Association::open(self.shared, self.route, place, caller, customer(Arc::clone(&path)));
        Some(Arc::new(Session {
            association,
            path,
            numbered,
            last_used: Mutex::new(Instant::now()),
            is_dns_only: AtomicBool::new(true),
            seat,
        }))
    }
}

/// Keeps a session until it has been silent for long or is cut with its route.
async fn end_when_idle(session: Arc<Session>, forget: impl FnOnce()) {
    loop {
        let due = session.due();
        if due <= Instant::now() {
            break;
        }
        tokio::select! {
            biased;
            // Not where an upstream proxy has ended its part: there is no word for that in this protocol, and a session that was
            // forgotten early could be replayed.
            () = session.association.closed() => break,
            () = tokio::time::sleep_until(due) => {}
        }
    }
    session.association.close();
    forget();
}

/// What a 2022 session has of our side: its own id, and its packets' numbers.
struct ServerSession {
    sealed: Arc<Sealed>,
    clock: Arc<SteadyClock>,
    client: SessionId,
    own: SessionId,
    key: SessionKey,
    sent: AtomicU64,
}

impl ServerSession {
    fn new(sealed: &Arc<Sealed>, clock: &Arc<SteadyClock>, client: SessionId) -> Option<Self> {
        let own = SessionId(rand::random());
        Some(Self {
            key: SessionKey::new(&sealed.keys, own)?,
            sealed: Arc::clone(sealed),
            clock: Arc::clone(clock),
            client,
            own,
            sent: AtomicU64::new(0),
        })
    }

    fn seal(&self, sender: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
        let reply = Reply {
            header: Header {
                session: self.own,
                packet: self.sent.fetch_add(1, Ordering::Relaxed),
            },
            client: self.client,
            now: self.clock.seconds(),
        };
        let mut packet = Vec::with_capacity(data.len() + datagram::LONGEST_OVERHEAD);
        self.key.seal(&self.sealed.keys, reply, sender, data, &mut packet)?;
        Some(packet)
    }
}

struct Sealing2022 {
    path: Arc<Path>,
    reply: ServerSession,
}

impl Customer for Sealing2022 {
    fn deliver(&self, source: SocketAddr, datagram: Datagram<'_>) -> bool {
        let packet = self.reply.seal(source, datagram.payload());
        packet.is_some_and(|packet| self.path.send(&packet))
    }
}

struct SealingOlder {
    path: Arc<Path>,
    sealed: Arc<Sealed>,
    method: Method,
}

impl Customer for SealingOlder {
    fn deliver(&self, source: SocketAddr, datagram: Datagram<'_>) -> bool {
        let packet = seal_older(&self.sealed, self.method, source, datagram.payload());
        packet.is_some_and(|packet| self.path.send(&packet))
    }
}

fn seal_older(sealed: &Sealed, method: Method, sender: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
    let salt = sealed.draw_for_datagram(method)?;
    let mut packet = Vec::with_capacity(data.len() + datagram::LONGEST_OVERHEAD);
    datagram::seal_legacy(&sealed.keys, method, &salt, sender, data, &mut packet)?;
    Some(packet)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
