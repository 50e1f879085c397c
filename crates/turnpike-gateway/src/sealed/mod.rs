//! What a port needs to speak Shadowsocks: keys, the salts it has seen, and which method its clients use.
//!
//! It is the same for as long as the subscription's password is, whatever else changes of its route.

mod salts;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use turnpike_wire::shadowsocks::{Keys, Method, Salt};

use crate::refusals::Reason;
use salts::Salts;

/// How far a client's clock may be from ours, in seconds (SIP022 §3.1.3).
const CLOCK_TOLERANCE: u64 = 30;

#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) keys: Keys,
    streams: Book,
    /// By the older methods, apart from streams, which a flood of datagrams would push out.
    datagrams: Book,
    /// The position in [`Method::ALL`] of the method that was used last.
    last_method: AtomicU8,
}

/// There is none before the first stream, or datagram: most subscriptions are not used by Shadowsocks.
type Book = Mutex<Option<Box<Seen>>>;

/// The salts that have been seen. The older methods do not tell directions apart: what a gateway has sent opens as a customer's
/// would, and whoever heard it could send it back, with his victim's address in front of it. So our own are told too.
#[derive(Debug, Default)]
struct Seen {
    customers: Salts,
    own: Salts,
}

impl Seen {
    /// Notes a customer's, of a method that tells no time.
    fn note(&mut self, salt: &Salt) -> Result<(), Stale> {
        if self.own.has(salt) {
            return Err(Stale::Replay);
        }
        self.customers.note(salt)
    }

    /// Draws one of ours.
    fn draw(&mut self, method: Method) -> Option<Salt> {
        let salt = Salt::of(method, &rand::random::<[u8; 32]>())?;
        // 2022 says in which direction it goes.
        if Method::OLDER.contains(&method) {
            let _ = self.own.note(&salt);
        }
        Some(salt)
    }
}

/// Why a stream that opens is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    /// The client's clock is so many seconds ahead of ours, which is too far; negative for behind.
    Clock(i64),
    /// It speaks of before this gateway's start.
    JustStarted,
    /// These very bytes have come before.
    Replay,
    /// More streams in a minute than can be remembered.
    Busy,
}

impl From<Stale> for Reason {
    fn from(stale: Stale) -> Self {
        match stale {
            Stale::Clock(ahead) => Self::Clock(ahead),
            Stale::JustStarted => Self::JustStarted,
            Stale::Replay => Self::Replay,
            Stale::Busy => Self::TooManyStreams,
        }
    }
}

/// Whether a client's clock is near enough to ours, and what it says is not of before this gateway's start.
pub(crate) fn judge_time(time: u64, now: u64, started: u64) -> Result<(), Stale> {
    if time.abs_diff(now) > CLOCK_TOLERANCE {
        return Err(Stale::Clock(
            i64::try_from(i128::from(time) - i128::from(now)).unwrap_or(i64::MAX),
        ));
    }
    if time < started {
        return Err(Stale::JustStarted);
    }
    Ok(())
}

impl Sealed {
    /// Absent where the password makes no keys.
    pub(crate) fn of_password(password: &str) -> Option<Self> {
        Some(Self {
            keys: Keys::of_password(password)?,
            streams: Mutex::default(),
            datagrams: Mutex::default(),
            last_method: AtomicU8::new(0),
        })
    }

    /// All methods, the one that was used last in front: most subscriptions have one kind of client.
    pub(crate) fn methods(&self) -> [Method; 4] {
        let mut methods = Method::ALL;
        methods[..=usize::from(self.last_method.load(Ordering::Relaxed))].rotate_right(1);
        methods
    }

    /// Notes the salt of a datagram of the older methods that has opened; whether it is new. A recorded one that is sent again in
    /// somebody else's name would have its answer sent to him.
    pub(crate) fn note_datagram(&self, salt: &Salt) -> bool {
        with(&self.datagrams, |seen| seen.note(salt)).is_ok()
    }

    /// A salt for a stream of ours.
    pub(crate) fn draw(&self, method: Method) -> Option<Salt> {
        with(&self.streams, |seen| seen.draw(method))
    }

    /// A salt for a datagram of ours by one of the older methods.
    pub(crate) fn draw_for_datagram(&self, method: Method) -> Option<Salt> {
        with(&self.datagrams, |seen| seen.draw(method))
    }

    /// Judges a stream whose beginning has opened: its client's time (which only 2022 tells), then whether its salt is new.
    ///
    /// `started` is when this gateway did, in seconds: it remembers nothing of before, so what is older than that could be a
    /// replay.
    pub(crate) fn judge(
        &self,
        method: Method,
        salt: &Salt,
        time: Option<u64>,
        now: u64,
        started: u64,
    ) -> Result<(), Stale> {
        if let Some(time) = time {
            judge_time(time, now, started)?;
        }
        with(&self.streams, |seen| match time {
            Some(_) => seen.customers.note_timed(salt, now),
            None => seen.note(salt),
        })?;
        let position = Method::ALL.iter().position(|known| *known == method);
        if let Some(position) = position.and_then(|position| u8::try_from(position).ok()) {
            self.last_method.store(position, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn with<T>(book: &Book, work: impl FnOnce(&mut Seen) -> T) -> T {
    let mut seen = book.lock().unwrap_or_else(PoisonError::into_inner);
    work(seen.get_or_insert_default())
}
