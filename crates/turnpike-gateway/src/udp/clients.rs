//! Which association a datagram belongs to, by where it comes from.
//!
//! An association is known by the address of its TCP connection; its port for datagrams shows with the first of them
//! (RFC 1928 §7). Until then it waits. What a client declares as its port decides between several that wait, and
//! nothing else: behind a NAT it is wrong. Where that does not decide, those opened just now have their turn in the
//! order of opening, since a client sends as soon as it may; behind them come older ones, the newest first, since the
//! longer one has not sent, the less it will.
//!
//! So two clients at one address may have each other's association, which neither notices until one of them ends: the other goes on
//! sending from a port whose association is gone. Who does that for a second is given the one that has fallen silent for it.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

/// For so long an association counts as opened just now.
const FRESH: Duration = Duration::from_secs(2);

/// A client that sends from a port for so long after its association has ended has another one. What was on its way arrives sooner.
const PERSISTENT: Duration = Duration::from_secs(1);

/// For so long it may come back to that.
const REMEMBERED: Duration = Duration::from_secs(300);

/// Ports whose association has ended, at most.
const LEFT: usize = 256;

/// The associations of one port; `T` is whatever is found.
#[derive(Debug)]
pub(super) struct Clients<T> {
    pinned: HashMap<SocketAddr, Client<T>>,
    /// The newest last.
    waiting: Vec<Client<T>>,
    last: u64,
    /// Ports whose association has ended while others of the same address went on; the oldest first.
    left: VecDeque<Left>,
}

#[derive(Debug, Clone, Copy)]
struct Left {
    source: SocketAddr,
    /// When the association ended, and when it had been opened.
    ended: Instant,
    opened: Instant,
}

#[derive(Debug)]
struct Client<T> {
    id: ClientId,
    ip: IpAddr,
    declared: Option<u16>,
    opened: Instant,
    /// When its last datagram came.
    heard: Instant,
    value: T,
}

/// Whose datagram one is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// This one's, which has sent from there before.
    Pinned(T),
    /// One's that has not sent yet.
    Waiting,
}

/// Names one of them for as long as the port is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientId(u64);

impl<T> Default for Clients<T> {
    fn default() -> Self {
        Self {
            pinned: HashMap::new(),
            waiting: Vec::new(),
            last: 0,
            left: VecDeque::new(),
        }
    }
}

impl<T: Clone> Clients<T> {
    /// An association whose TCP connection comes from `ip`.
    pub(super) fn add(&mut self, ip: IpAddr, declared: Option<u16>, value: T) -> ClientId {
        self.last += 1;
        let id = ClientId(self.last);
        self.waiting.push(Client {
            id,
            ip: ip.to_canonical(),
            declared,
            opened: Instant::now(),
            heard: Instant::now(),
            value,
        });
        id
    }

    pub(super) fn remove(&mut self, id: ClientId) {
        self.waiting.retain(|client| client.id != id);
        let found = self.pinned.iter().find(|(_, client)| client.id == id);
        let Some((source, opened)) = found.map(|(source, client)| (*source, client.opened)) else {
            return;
        };
        self.pinned.remove(&source);
        self.left
            .retain(|left| left.source != source && left.ended.elapsed() < REMEMBERED);
        if self.pinned.values().any(|client| client.ip == source.ip()) {
            if self.left.len() >= LEFT {
                self.left.pop_front();
            }
            self.left.push_back(Left {
                source,
                ended: Instant::now(),
                opened,
            });
        }
    }

    /// Whose datagram this is, if it is one. Where that is not settled yet, [`Clients::pin`] settles it, when the datagram
    /// has proven to be one.
    pub(super) fn find(&mut self, source: SocketAddr) -> Option<Found<T>> {
        let source = canonical(source);
        if let Some(client) = self.pinned.get_mut(&source) {
            client.heard = Instant::now();
            return Some(Found::Pinned(client.value.clone()));
        }
        let may_have_one = self.position(source).is_some() || self.exchanged(source).is_some();
        may_have_one.then_some(Found::Waiting)
    }

    /// Gives the port `source` to the association that has waited for it, unless it has one.
    pub(super) fn pin(&mut self, source: SocketAddr) -> Option<T> {
        let source = canonical(source);
        if !self.pinned.contains_key(&source) {
            if let Some(position) = self.position(source) {
                let client = self.waiting.remove(position);
                self.pinned.insert(source, client);
            } else if let Some((place, silent)) = self.exchanged(source) {
                self.exchange(place, silent, source);
            }
        }
        let client = self.pinned.get_mut(&source)?;
        client.heard = Instant::now();
        Some(client.value.clone())
    }

    /// Where `source` is among those that have left, and the port of the association that it seems to have had all the time: silent,
    /// and opened at about the same time as the one that has ended.
    fn exchanged(&self, source: SocketAddr) -> Option<(usize, SocketAddr)> {
        let place = self.left.iter().position(|left| left.source == source)?;
        let left = self.left.get(place)?;
        if !(PERSISTENT..REMEMBERED).contains(&left.ended.elapsed()) {
            return None;
        }
        let (silent, _) = self
            .pinned
            .iter()
            .filter(|(_, client)| client.ip == source.ip() && client.heard.elapsed() >= PERSISTENT)
            .min_by_key(|(_, client)| {
                let (one, other) = (client.opened, left.opened);
                one.max(other) - one.min(other)
            })?;
        Some((place, *silent))
    }

    /// Gives the association of the port `silent` to `source`. Where that was wrong, its client may have the next.
    fn exchange(&mut self, place: usize, silent: SocketAddr, source: SocketAddr) {
        if let Some(client) = self.pinned.remove(&silent)
            && let Some(left) = self.left.get_mut(place)
        {
            left.source = silent;
            left.opened = client.opened;
            self.pinned.insert(source, client);
        }
    }

    /// Which of those that wait at this address has its turn.
    fn position(&self, source: SocketAddr) -> Option<usize> {
        let is_there = |client: &Client<T>| client.ip == source.ip();
        let has_declared = |client: &Client<T>| is_there(client) && client.declared == Some(source.port());
        let is_fresh = |client: &Client<T>| is_there(client) && client.opened.elapsed() < FRESH;
        let waiting = &self.waiting;
        let declared = waiting.iter().rposition(has_declared);
        let fresh = || waiting.iter().position(is_fresh);
        let newest = || waiting.iter().rposition(is_there);
        declared.or_else(fresh).or_else(newest)
    }
}

fn canonical(source: SocketAddr) -> SocketAddr {
    SocketAddr::new(source.ip().to_canonical(), source.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_declared_port_decides_and_else_it_goes_by_turns() {
        let mut clients = Clients::default();
        let home = at("192.0.2.1:0").ip();
        clients.add(home, None, "old");
        clients.add(home, None, "less old");
        tokio::time::advance(FRESH).await;
        clients.add(home, Some(500), "declared");
        let first = clients.add(home, Some(600), "first");
        clients.add(home, None, "second");
        assert_eq!(clients.find(at("192.0.2.2:700")), None);
        assert_eq!(clients.pin(at("192.0.2.2:700")), None);

        assert_eq!(clients.find(at("192.0.2.1:500")), Some(Found::Waiting));
        for (source, expected) in [
            ("192.0.2.1:500", "declared"),
            ("[::ffff:192.0.2.1]:700", "first"),
            ("192.0.2.1:600", "second"),
            ("192.0.2.1:601", "less old"),
            ("192.0.2.1:602", "old"),
        ] {
            assert_eq!(clients.pin(at(source)), Some(expected));
        }
        assert_eq!(clients.find(at("192.0.2.1:700")), Some(Found::Pinned("first")));
        assert_eq!(clients.find(at("192.0.2.1:800")), None);
        clients.remove(first);
        assert_eq!(clients.find(at("192.0.2.1:700")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_had_anothers_association_keeps_one_when_that_ends() {
        let mut clients = Clients::default();
        let home = at("192.0.2.1:0").ip();
        clients.add(home, None, "of a third");
        assert_eq!(clients.pin(at("192.0.2.1:300")), Some("of a third"));
        tokio::time::advance(FRESH).await;
        let first = clients.add(home, None, "of the first");
        clients.add(home, None, "of the second");
        // The second sends first.
        assert_eq!(clients.pin(at("192.0.2.1:200")), Some("of the first"));
        assert_eq!(clients.pin(at("192.0.2.1:100")), Some("of the second"));
        clients.remove(first);
        assert_eq!(clients.find(at("192.0.2.1:200")), None, "it may be what was on its way");
        tokio::time::advance(PERSISTENT).await;
        assert_eq!(clients.find(at("192.0.2.2:200")), None);
        assert_eq!(clients.find(at("192.0.2.1:200")), Some(Found::Waiting));
        assert_eq!(clients.pin(at("192.0.2.1:200")), Some("of the second"));
        assert_eq!(clients.find(at("192.0.2.1:200")), Some(Found::Pinned("of the second")));
        assert_eq!(clients.find(at("192.0.2.1:300")), Some(Found::Pinned("of a third")));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_the_last_of_three_keeps_one() {
        let mut clients = Clients::default();
        let home = at("192.0.2.1:0").ip();
        let first = clients.add(home, None, "of the first");
        let second = clients.add(home, None, "of the second");
        clients.add(home, None, "of the third");
        // The third has the first's, the first the second's, the second the third's.
        for (source, expected) in [("192.0.2.1:300", "of the first"), ("192.0.2.1:100", "of the second")] {
            assert_eq!(clients.pin(at(source)), Some(expected));
        }
        assert_eq!(clients.pin(at("192.0.2.1:200")), Some("of the third"));
        clients.remove(first);
        // The second goes on a little longer than the first.
        tokio::time::advance(PERSISTENT / 2).await;
        assert_eq!(clients.find(at("192.0.2.1:200")), Some(Found::Pinned("of the third")));
        clients.remove(second);
        tokio::time::advance(PERSISTENT).await;
        assert_eq!(clients.pin(at("192.0.2.1:300")), Some("of the third"));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_takes_an_association_that_is_used() {
        let mut clients = Clients::default();
        let home = at("192.0.2.1:0").ip();
        let ended = clients.add(home, None, "ended");
        clients.add(home, None, "used");
        assert_eq!(clients.pin(at("192.0.2.1:100")), Some("ended"));
        assert_eq!(clients.pin(at("192.0.2.1:200")), Some("used"));
        clients.remove(ended);
        tokio::time::advance(PERSISTENT).await;
        assert_eq!(clients.find(at("192.0.2.1:200")), Some(Found::Pinned("used")));
        assert_eq!(clients.find(at("192.0.2.1:100")), None);
        assert_eq!(clients.pin(at("192.0.2.1:100")), None);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u8, Option<u16>),
        Datagram(u8, u16),
        Remove(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_u8, proptest::option::of(1..6_u16)).prop_map(|(ip, port)| Step::Add(ip, port)),
            (0..3_u8, 1..6_u16).prop_map(|(ip, port)| Step::Datagram(ip, port)),
            any::<prop::sample::Index>().prop_map(Step::Remove),
        ]
    }

    proptest! {
        /// Whatever happens: a datagram finds an association of its own address or none, the same one each time until
        /// that is removed, and no two ports share one.
        #[test]
        fn associations_are_never_mixed_up(steps in proptest::collection::vec(step(), 0..60)) {
            let mut clients = Clients::default();
            let mut open: Vec<(ClientId, u32, u8)> = Vec::new();
            let mut known: HashMap<SocketAddr, u32> = HashMap::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Add(ip, declared) => {
                        next += 1;
                        open.push((clients.add([192, 0, 2, ip].into(), declared, next), next, ip));
                    }
                    Step::Datagram(ip, port) => {
                        let source = SocketAddr::from(([192, 0, 2, ip], port));
                        let before = clients.find(source);
                        let found = clients.pin(source);
                        prop_assert_eq!(before.is_some(), found.is_some());
                        prop_assert_eq!(clients.find(source), found.map(Found::Pinned));
                        let free = open.iter().filter(|(_, value, at)| {
                            *at == ip && !known.values().any(|taken| taken == value)
                        });
                        match (known.get(&source), found) {
                            (Some(before), found) => prop_assert_eq!(found, Some(*before)),
                            (None, Some(found)) => {
                                prop_assert!(free.into_iter().any(|(_, value, _)| *value == found));
                                known.insert(source, found);
                            }
                            (None, None) => prop_assert_eq!(free.count(), 0),
                        }
                    }
                    Step::Remove(index) if !open.is_empty() => {
                        let (id, value, _) = open.remove(index.index(open.len()));
                        clients.remove(id);
                        known.retain(|_, kept| *kept != value);
                    }
                    Step::Remove(_) => {}
                }
            }
        }
    }
}
