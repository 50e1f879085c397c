//! What a subscription may use: connections, addresses of its clients, speed, traffic.
//!
//! A [`Quota`] belongs to a subscription and outlives its routes: a renewal changes its numbers, and every tunnel that is open
//! sees them. Whoever comes in with good credentials takes a [`Seat`], or learns by [`Denied`] why there is none. Bytes are
//! paced by [`pace`]. Traffic is looked at when somebody comes in, and a few times a second for those who are in
//! ([`crate::table`]).
//!
//! A number that is zero is no limit: it cannot be sold.

mod bucket;
pub(crate) mod pace;
mod sources;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::meter::Meter;
use pace::Speed;
pub(crate) use sources::SourceSeat;
use sources::Sources;

/// What a route may use; each absent where there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at a time, once they have shown good credentials.
    pub max_connections: Option<NonZeroU32>,
    /// Addresses of clients that have a connection, or had one within the last five minutes. An IPv6 one is its /64.
    pub max_source_addresses: Option<NonZeroU32>,
    /// Speed each way, all connections together, in millions of bits per second.
    pub mbit_per_second: Option<NonZeroU32>,
    /// Bytes that it may ever have moved, both ways together; see [`crate::Route::moved`].
    pub traffic: Option<u64>,
}

/// Why somebody with good credentials does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("this subscription may have {0} connections at a time and has them: close some, or buy a plan with more")]
    Connections(u32),
    #[error(
        "this subscription may be used from {0} addresses at a time and is: \
         five minutes after one of them has left, another may come"
    )]
    Sources(u32),
    #[error("the traffic of this subscription is used up: renew it or buy more")]
    Traffic,
}

impl Denied {
    /// As refusals are counted.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Connections(_) => "connections",
            Self::Sources(_) => "sources",
            Self::Traffic => "traffic",
        }
    }
}

/// A subscription's limits as they are now, and what is in use of them.
#[derive(Debug)]
pub(crate) struct Quota {
    meter: Arc<Meter>,
    /// `u64::MAX` where there is no limit.
    traffic: AtomicU64,
    max_connections: AtomicU32,
    connections: AtomicU32,
    sources: Arc<Sources>,
    /// How fast it may be.
    pub(crate) speed: Speed,
}

impl Quota {
    /// Without limits.
    pub(crate) fn new(meter: Arc<Meter>) -> Arc<Self> {
        Arc::new(Self {
            meter,
            traffic: AtomicU64::new(u64::MAX),
            max_connections: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            sources: Arc::default(),
            speed: Speed::default(),
        })
    }

    /// Puts these in force, for what is open too: nobody is sent away for a smaller number, but nobody comes in above it.
    pub(crate) fn limit_to(&self, limits: &Limits) {
        let number = |limit: Option<NonZeroU32>| limit.map_or(0, NonZeroU32::get);
        self.traffic
            .store(limits.traffic.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.max_connections
            .store(number(limits.max_connections), Ordering::Relaxed);
        self.sources.limit_to(number(limits.max_source_addresses));
        self.speed.limit_to(number(limits.mbit_per_second));
    }

    /// So much has been recorded of it; see [`crate::Route::moved`].
    pub(crate) fn know(&self, moved: u64) {
        self.meter.know(moved);
    }

    /// Whether its traffic has an end at all.
    pub(crate) fn has_traffic_limit(&self) -> bool {
        self.traffic.load(Ordering::Relaxed) != u64::MAX
    }

    /// Whether its traffic is used up.
    pub(crate) fn is_used_up(&self) -> bool {
        self.meter.total() >= self.traffic.load(Ordering::Relaxed)
    }

    /// # Errors
    /// [`Denied::Traffic`].
    pub(crate) fn check_traffic(&self) -> Result<(), Denied> {
        if self.is_used_up() {
            return Err(Denied::Traffic);
        }
        Ok(())
    }

    /// A place for a connection from `client`, once it has shown good credentials.
    ///
    /// # Errors
    /// Each of [`Denied`].
    pub(crate) fn admit(self: &Arc<Self>, client: IpAddr) -> Result<Seat, Denied> {
        let source = self.admit_datagrams(client)?;
        Ok(Seat {
            _source: source,
            _connection: ConnectionSeat::take(self)?,
        })
    }

    /// The same for datagrams that no connection brings: they are no connection, but their source counts.
    ///
    /// # Errors
    /// [`Denied::Traffic`], [`Denied::Sources`].
    pub(crate) fn admit_datagrams(&self, client: IpAddr) -> Result<SourceSeat, Denied> {
        self.check_traffic()?;
        self.sources.take(client).map_err(Denied::Sources)
    }
}

/// A client connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    _source: SourceSeat,
    _connection: ConnectionSeat,
}

/// One of a subscription's connections, until it is dropped. It is counted whether there is a limit or not, since one may come.
#[derive(Debug)]
pub(crate) struct ConnectionSeat(Arc<Quota>);

impl ConnectionSeat {
    /// # Errors
    /// [`Denied::Connections`].
    pub(crate) fn take(quota: &Arc<Quota>) -> Result<Self, Denied> {
        let most = quota.max_connections.load(Ordering::Relaxed);
        let one_more = |taken: u32| (most == 0 || taken < most).then(|| taken.saturating_add(1));
        quota
            .connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map_err(|_| Denied::Connections(most))?;
        Ok(Self(Arc::clone(quota)))
    }
}

impl Drop for ConnectionSeat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;

    fn quota(limits: &Limits) -> Arc<Quota> {
        let quota = Quota::new(Arc::default());
        quota.limit_to(limits);
        quota
    }

    fn from(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[tokio::test(start_paused = true)]
    async fn without_limits_everybody_comes_in() {
        let quota = quota(&Limits::default());
        let seats: Vec<_> = (0..=255).map(|last| quota.admit(from(last)).unwrap()).collect();
        assert!(!quota.has_traffic_limit() && !quota.is_used_up());
        drop(seats);
    }

    #[tokio::test(start_paused = true)]
    async fn a_seat_given_back_is_taken_again_and_a_refusal_takes_none() {
        let quota = quota(&Limits {
            max_connections: NonZeroU32::new(2),
            ..Limits::default()
        });
        let first = quota.admit(from(1)).unwrap();
        let _second = quota.admit(from(2)).unwrap();
        for _ in 0..3 {
            assert_eq!(quota.admit(from(3)).unwrap_err(), Denied::Connections(2));
        }
        drop(first);
        let _third = quota.admit(from(3)).unwrap();
        assert_eq!(quota.admit(from(1)).unwrap_err(), Denied::Connections(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_smaller_limit_sends_nobody_away_and_lets_nobody_in() {
        let quota = quota(&Limits::default());
        let mut seats: Vec<_> = (0..5).map(|_| quota.admit(from(1)).unwrap()).collect();
        quota.limit_to(&Limits {
            max_connections: NonZeroU32::new(4),
            ..Limits::default()
        });
        assert_eq!(quota.admit(from(1)).unwrap_err(), Denied::Connections(4));
        seats.truncate(3);
        let _fourth = quota.admit(from(1)).unwrap();
        quota.limit_to(&Limits::default());
        let _more: Vec<_> = (0..9).map(|_| quota.admit(from(1)).unwrap()).collect();
    }

    #[test]
    fn seats_taken_by_many_at_once_are_never_more_than_there_are() {
        let quota = quota(&Limits {
            max_connections: NonZeroU32::new(3),
            ..Limits::default()
        });
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let quota = Arc::clone(&quota);
                std::thread::spawn(move || {
                    for _ in 0..20_000 {
                        let seat = ConnectionSeat::take(&quota);
                        assert!(quota.connections.load(Ordering::Relaxed) <= 3);
                        drop(seat);
                    }
                })
            })
            .collect();
        for taker in takers {
            taker.join().unwrap();
        }
        assert_eq!(quota.connections.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn used_up_traffic_admits_nobody_until_there_is_more() {
        let meter = Arc::new(Meter::default());
        let quota = Quota::new(Arc::clone(&meter));
        let may_move = |bytes| Limits {
            traffic: Some(bytes),
            ..Limits::default()
        };
        quota.limit_to(&may_move(100));
        meter.know(60);
        meter.add_up(30);
        meter.add_down(9);
        let _seat = quota.admit(from(1)).unwrap();
        meter.add_down(1);
        assert_eq!(quota.admit(from(1)).unwrap_err(), Denied::Traffic);
        assert_eq!(quota.admit_datagrams(from(1)).unwrap_err(), Denied::Traffic);
        quota.limit_to(&may_move(101));
        assert_eq!(quota.check_traffic(), Ok(()));
    }
}
