//! Who may come in: caps on connections that have not proven themselves, and on guessing credentials.
//!
//! A connection costs its sender nothing before it has shown credentials, so those are few per source; one that has
//! shown good ones is paid for and is not counted. A source is an IPv4 address or an IPv6 /64, which is what one
//! subscriber of an access network has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::descriptors::Permit;
use crate::limits::{Denied, Seat};
use crate::refusals::{Caller, Log, Reason};

/// Strangers per source. A scraper opens a thousand connections in one round trip, before the first can prove itself.
const STRANGERS_PER_SOURCE: u32 = 1_024;

/// Strangers per source that has shown good credentials within [`PROVEN_FOR`].
const STRANGERS_PER_PROVEN_SOURCE: u32 = 8_192;

/// Strangers from sources that have not shown any: in all, and per port, so that whoever floods one subscription's
/// port from everywhere leaves the others room.
const STRANGERS: u32 = 16_384;
const STRANGERS_PER_PORT: u32 = STRANGERS / 4;

/// How long good credentials vouch for further connections of their source.
const PROVEN_FOR: Duration = Duration::from_secs(600);

/// Connections that are read and not answered, per source and in all.
const SILENT_PER_SOURCE: u32 = 32;
const SILENT: usize = 4_096;

/// Bad credentials that are answered, per source and port.
const ANSWERED_GUESSES: u32 = 10;
const GUESS_WINDOW: Duration = Duration::from_secs(60);

/// Entries of either map; past it the idle ones are given up.
const ENTRIES: usize = 65_536;

/// The books of a gateway's admission. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Admission {
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    /// Strangers from sources that have not shown good credentials.
    strangers: u32,
    strangers_by_port: HashMap<u16, u32>,
    silent: usize,
    sources: HashMap<Source, Entry>,
    guesses: HashMap<(Source, u16), Guesses>,
}

/// Where a client is: what one subscriber of an access network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    V4(u32),
    /// The upper half of the address.
    V6(u64),
}

#[derive(Debug, Default)]
struct Entry {
    strangers: u32,
    silent: u32,
    proven: Option<Instant>,
}

#[derive(Debug)]
struct Guesses {
    since: Instant,
    count: u32,
}

impl Admission {
    /// Lets a new connection to `port` in as a stranger, unless there are too many. `descriptors` are held until it has
    /// ended. A source that has shown good credentials lately is not kept out by what others do.
    pub(crate) fn admit(&self, address: IpAddr, port: u16, descriptors: Permit) -> Option<Visitor> {
        let source = Source::of(address);
        let mut books = self.lock();
        let entry = books.sources.get(&source);
        let of_source = entry.map_or(0, |entry| entry.strangers);
        let is_known = entry.is_some_and(|entry| entry.proven.is_some_and(|at| at.elapsed() < PROVEN_FOR));
        let may_enter = if is_known {
            of_source < STRANGERS_PER_PROVEN_SOURCE
        } else {
            let of_port = books.strangers_by_port.get(&port).copied().unwrap_or(0);
            of_source < STRANGERS_PER_SOURCE && of_port < STRANGERS_PER_PORT && books.strangers < STRANGERS
        };
        if !may_enter {
            return None;
        }
        books.sources.entry(source).or_default().strangers += 1;
        if !is_known {
            *books.strangers_by_port.entry(port).or_default() += 1;
            books.strangers += 1;
        }
        drop(books);
        Some(Visitor {
            admission: self.clone(),
            source,
            counted_on: (!is_known).then_some(port),
            proven: AtomicBool::new(false),
            seat: OnceLock::new(),
            unpaid: OnceLock::new(),
            _descriptors: descriptors,
        })
    }

    /// Forgets what is too old to matter. To be called each minute or so.
    pub(crate) fn sweep(&self) {
        self.lock().sweep();
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// Takes a stranger off all counts.
    fn no_stranger(&mut self, source: Source, counted_on: Option<u16>, leave: impl FnOnce(&mut Entry)) {
        if let Some(port) = counted_on {
            self.strangers -= 1;
            if let Some(count) = self.strangers_by_port.get_mut(&port) {
                *count -= 1;
                if *count == 0 {
                    self.strangers_by_port.remove(&port);
                }
            }
        }
        self.leave(source, |entry| {
            entry.strangers -= 1;
            leave(entry);
        });
    }

    fn sweep(&mut self) {
        self.sources.retain(|_, entry| !entry.is_idle());
        self.guesses.retain(|_, guesses| guesses.since.elapsed() < GUESS_WINDOW);
    }

    /// Takes one count off a source, and its entry with it where nothing is left to remember.
    fn leave(&mut self, source: Source, leave: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.sources.get_mut(&source) {
            leave(entry);
            if entry.is_idle() {
                self.sources.remove(&source);
            }
        }
    }
}

impl Entry {
    fn is_idle(&self) -> bool {
        self.strangers == 0 && self.silent == 0 && self.proven.is_none_or(|at| at.elapsed() >= PROVEN_FOR)
    }
}

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6(
                    [a, b, c, d]
                        .into_iter()
                        .fold(0, |high, part| high << 16 | u64::from(part)),
                )
            }
        }
    }
}

/// What is told of a connection that ends without the password that it was asked for.
#[derive(Debug)]
pub(crate) struct Unpaid {
    pub(crate) log: Arc<Log>,
    pub(crate) caller: Caller,
    /// When it was asked, in milliseconds since 1970.
    pub(crate) at: i64,
}

/// A connection's entry in the books, from accept to its end.
#[derive(Debug)]
pub(crate) struct Visitor {
    admission: Admission,
    source: Source,
    /// The port on which it counts as a stranger; absent where its source is known.
    counted_on: Option<u16>,
    proven: AtomicBool,
    /// Its place among the subscription's connections, once it has one.
    seat: OnceLock<Seat>,
    /// Present once it has been asked for a password.
    unpaid: OnceLock<Box<Unpaid>>,
    _descriptors: Permit,
}

impl Visitor {
    /// Gives it a place among its subscription's connections, unless it has one. It is kept until the connection has ended.
    pub(crate) fn be_seated(&self, seat: impl FnOnce() -> Result<Seat, Denied>) -> Result<(), Denied> {
        if self.seat.get().is_none() {
            // Only this connection's task seats it: the place is free.
            let _ = self.seat.set(seat()?);
        }
        Ok(())
    }

    /// It has been asked for a password. If it ends without a good one, that is told.
    pub(crate) fn owe_password(&self, unpaid: Unpaid) {
        self.unpaid.get_or_init(|| Box::new(unpaid));
    }

    /// It has shown good credentials: it no longer counts as a stranger.
    pub(crate) fn prove(&self) {
        if self.proven.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut books = self.admission.lock();
        // A full map remembers no more sources; theirs are then as strangers the next time, which is no refusal.
        let remember = books.sources.len() <= ENTRIES;
        books.no_stranger(self.source, self.counted_on, |entry| {
            if remember {
                entry.proven = Some(Instant::now());
            }
        });
    }

    /// Counts bad credentials; says whether there were too many of them lately for an answer.
    pub(crate) fn note_bad_credentials(&self, port: u16) -> bool {
        let mut books = self.admission.lock();
        if books.guesses.len() >= ENTRIES {
            books.sweep();
            if books.guesses.len() >= ENTRIES {
                // Somebody with a /48 gets some more answers: better than memory without a bound, and 127 random bits
                // are not guessed by it.
                books.guesses.clear();
            }
        }
        let now = Instant::now();
        let guesses = books
            .guesses
            .entry((self.source, port))
            .or_insert(Guesses { since: now, count: 0 });
        if now - guesses.since >= GUESS_WINDOW {
            *guesses = Guesses { since: now, count: 0 };
        }
        guesses.count = guesses.count.saturating_add(1);
        guesses.count > ANSWERED_GUESSES
    }

    /// A place among the connections that are read and not answered, until it is dropped.
    pub(crate) fn fall_silent(&self) -> Option<SilentPlace> {
        let mut books = self.admission.lock();
        if books.silent >= SILENT {
            return None;
        }
        let entry = books.sources.entry(self.source).or_default();
        if entry.silent >= SILENT_PER_SOURCE {
            return None;
        }
        entry.silent += 1;
        books.silent += 1;
        drop(books);
        Some(SilentPlace {
            admission: self.admission.clone(),
            source: self.source,
        })
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if *self.proven.get_mut() {
            return;
        }
        if let Some(unpaid) = self.unpaid.take() {
            let Unpaid { log, caller, at } = *unpaid;
            log.note(at, caller, Reason::NoPassword);
        }
        self.admission.lock().no_stranger(self.source, self.counted_on, |_| {});
    }
}

/// A place among the connections that are read and not answered.
#[derive(Debug)]
pub(crate) struct SilentPlace {
    admission: Admission,
    source: Source,
}

impl Drop for SilentPlace {
    fn drop(&mut self) {
        let mut books = self.admission.lock();
        books.silent -= 1;
        books.leave(self.source, |entry| entry.silent -= 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::descriptors::Descriptors;

    fn visit(admission: &Admission, address: &str) -> Option<Visitor> {
        visit_port(admission, address, 12_001)
    }

    fn visit_port(admission: &Admission, address: &str, port: u16) -> Option<Visitor> {
        admission.admit(
            address.parse().unwrap(),
            port,
            Descriptors::of_this_process().take(1).unwrap(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_are_capped_per_source_and_proof_raises_the_cap() {
        let admission = Admission::default();
        let mut inside: Vec<_> = (0..STRANGERS_PER_SOURCE)
            .map(|_| visit(&admission, "192.0.2.1").unwrap())
            .collect();
        assert!(visit(&admission, "192.0.2.1").is_none());
        assert!(
            visit(&admission, "::ffff:192.0.2.1").is_none(),
            "the mapped form is the same source"
        );
        assert!(visit(&admission, "192.0.2.2").is_some(), "others are not disturbed");

        inside[0].prove();
        inside[0].prove();
        inside.extend((0..100).map(|_| visit(&admission, "192.0.2.1").unwrap()));
        tokio::time::advance(PROVEN_FOR).await;
        assert!(visit(&admission, "192.0.2.1").is_none());
        drop(inside);
        assert!(admission.lock().sources.is_empty());
        assert_eq!(admission.lock().strangers, 0);
        assert!(admission.lock().strangers_by_port.is_empty());
    }

    /// As many strangers from everywhere as `port` takes.
    fn flood(admission: &Admission, port: u16) -> Vec<Visitor> {
        (0..=u32::MAX)
            .map_while(|number| {
                let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 | u32::from(port) << 16 | number);
                visit_port(admission, &address.to_string(), port)
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_port_leaves_the_others_room_and_its_customer_too() {
        let admission = Admission::default();
        visit(&admission, "192.0.2.1").unwrap().prove();
        let flood_of_one = flood(&admission, 1);
        assert_eq!(flood_of_one.len(), STRANGERS_PER_PORT as usize);
        assert!(visit_port(&admission, "192.0.2.2", 2).is_some());
        assert!(
            visit_port(&admission, "192.0.2.1", 1).is_some(),
            "the customer is known"
        );

        let floods: Vec<_> = (2..5).map(|port| flood(&admission, port)).collect();
        assert!(
            visit_port(&admission, "192.0.2.2", 5).is_none(),
            "there are too many in all"
        );
        let known: Vec<_> = (0..100).map(|_| visit(&admission, "192.0.2.1").unwrap()).collect();
        drop(floods);
        assert_eq!(
            admission.lock().strangers,
            STRANGERS_PER_PORT,
            "known ones are not counted"
        );
        assert!(visit_port(&admission, "192.0.2.2", 5).is_some());
        drop((flood_of_one, known));
        assert_eq!(admission.lock().strangers, 0);
        assert!(admission.lock().strangers_by_port.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_ipv6_source_is_its_64() {
        let admission = Admission::default();
        let visitor = visit(&admission, "2001:db8:1:2::1").unwrap();
        let _places: Vec<_> = (0..SILENT_PER_SOURCE).map(|_| visitor.fall_silent().unwrap()).collect();
        assert!(
            visit(&admission, "2001:db8:1:2:ffff::9")
                .unwrap()
                .fall_silent()
                .is_none()
        );
        assert!(visit(&admission, "2001:db8:1:3::1").unwrap().fall_silent().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_eleventh_guess_in_a_minute_is_not_answered() {
        let admission = Admission::default();
        let visitor = visit(&admission, "192.0.2.1").unwrap();
        for _ in 0..ANSWERED_GUESSES {
            assert!(!visitor.note_bad_credentials(12_001));
        }
        assert!(visitor.note_bad_credentials(12_001));
        assert!(
            !visitor.note_bad_credentials(12_002),
            "another port is another subscription"
        );
        assert!(!visit(&admission, "192.0.2.2").unwrap().note_bad_credentials(12_001));
        tokio::time::advance(GUESS_WINDOW).await;
        assert!(!visitor.note_bad_credentials(12_001));
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_from_everywhere_do_not_grow_memory() {
        let admission = Admission::default();
        for number in 0..100_000_u64 {
            let address = std::net::Ipv6Addr::from_bits(u128::from(number) << 64);
            visit(&admission, &address.to_string()).unwrap().note_bad_credentials(1);
        }
        assert!(admission.lock().guesses.len() <= ENTRIES);
        assert!(admission.lock().sources.is_empty());
        tokio::time::advance(GUESS_WINDOW).await;
        admission.sweep();
        assert!(admission.lock().guesses.is_empty());
    }
}
