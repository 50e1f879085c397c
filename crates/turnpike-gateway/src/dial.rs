//! Connecting to the first of several addresses that answers (RFC 8305, "happy eyeballs").
//!
//! The addresses have been resolved and judged already, and nothing here resolves again: what was judged is what is
//! dialled, so a name that changes its mind between the two (DNS rebinding) finds no gap.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustix::io::Errno;

/// How long one address may hesitate before the next is tried beside it (RFC 8305 §5, "Connection Attempt Delay").
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried at most.
const MAX_CANDIDATES: usize = 4;

/// Why one address could not be connected to, and whose fault that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AttemptError {
    /// The destination refused.
    Refused,
    /// No way to the destination's network.
    NetworkUnreachable,
    /// No way to the destination itself.
    HostUnreachable,
    /// The destination did not answer.
    TimedOut,
    /// The exit's source address or device is not there: no destination can be reached.
    Source(String),
    /// This machine has no port, descriptor or memory left. It says nothing about the exit or the destination.
    Exhausted(String),
}

impl AttemptError {
    /// What a failed `connect` means.
    pub(crate) fn of_connect(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::CONNREFUSED | Errno::CONNRESET | Errno::CONNABORTED) => Self::Refused,
            Some(Errno::TIMEDOUT) => Self::TimedOut,
            // INVAL: from a loopback source to another network; there is no such way either.
            Some(Errno::NETUNREACH | Errno::NETDOWN | Errno::INVAL | Errno::AFNOSUPPORT) => Self::NetworkUnreachable,
            // With IP_BIND_ADDRESS_NO_PORT the port is chosen while connecting, so its lack shows here.
            Some(Errno::ADDRNOTAVAIL) => Self::Exhausted("no source port is free towards this destination".to_owned()),
            Some(errno) if is_exhaustion(errno) => Self::Exhausted(error.to_string()),
            Some(Errno::NODEV | Errno::NXIO) => Self::Source(error.to_string()),
            // HOSTUNREACH, HOSTDOWN, and what a firewall says: ACCESS, PERM.
            _ => Self::HostUnreachable,
        }
    }

    /// How much it tells a customer, when several addresses failed in different ways. What came from outside counts for
    /// more than that the exit has no address of one family.
    fn weight(&self) -> u8 {
        match self {
            Self::Refused => 5,
            Self::Exhausted(_) => 4,
            Self::TimedOut => 3,
            Self::HostUnreachable => 2,
            Self::Source(_) => 1,
            Self::NetworkUnreachable => 0,
        }
    }
}

/// Whether the machine, not the network, is short of something.
pub(crate) fn is_exhaustion(errno: Errno) -> bool {
    matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
}

/// The addresses to try, in order: the families take turns, IPv6 first (RFC 8305 §4), at most four in all.
pub(crate) fn in_order(allowed: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = allowed.into_iter().partition(SocketAddr::is_ipv6);
    let mut ordered = Vec::with_capacity(MAX_CANDIDATES);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    loop {
        let pair = (v6.next(), v4.next());
        ordered.extend(pair.0);
        ordered.extend(pair.1);
        if pair == (None, None) || ordered.len() >= MAX_CANDIDATES {
            ordered.truncate(MAX_CANDIDATES);
            return ordered;
        }
    }
}

/// Connects to the first candidate that answers. The next one is tried when one fails or, if `beside_another`,
/// hesitates; those that lose are dropped, which closes them.
pub(crate) async fn race<T, F>(
    candidates: &[SocketAddr],
    beside_another: bool,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, AttemptError>
where
    F: Future<Output = Result<T, AttemptError>>,
{
    if let [only] = candidates {
        return connect(*only).await;
    }
    let mut waiting = candidates.iter().copied();
    let mut running = FuturesUnordered::new();
    let mut failure = AttemptError::NetworkUnreachable;
    loop {
        match waiting.next() {
            Some(candidate) => running.push(connect(candidate)),
            None if running.is_empty() => return Err(failure),
            None => {}
        }
        let outcome = if waiting.len() == 0 || !beside_another {
            running.next().await
        } else {
            tokio::time::timeout(ATTEMPT_DELAY, running.next())
                .await
                .unwrap_or(None)
        };
        match outcome {
            Some(Ok(connected)) => return Ok(connected),
            Some(Err(error)) if error.weight() >= failure.weight() => failure = error,
            Some(Err(_)) | None => {}
        }
    }
}

/// Which families an exit can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Families {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

impl Families {
    pub(crate) fn has(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::cell::RefCell;

    use tokio::time::Instant;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns_and_four_are_enough() {
        let v4 = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"].map(address);
        let v6 = ["[2001:db8::1]:1", "[2001:db8::2]:1"].map(address);
        let all: Vec<_> = v4.iter().chain(&v6).copied().collect();
        assert_eq!(in_order(all), [v6[0], v4[0], v6[1], v4[1]]);
        assert_eq!(in_order(v4.to_vec()), v4);
        assert_eq!(in_order(Vec::new()), []);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_is_tried_beside_one_that_hesitates() {
        let candidates = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"].map(address);
        let started = Instant::now();
        let tried = RefCell::new(Vec::new());
        let connect = async |to: SocketAddr| {
            tried.borrow_mut().push((to, started.elapsed().as_millis()));
            let delay = if to == candidates[1] { 100 } else { 10_000 };
            tokio::time::sleep(Duration::from_millis(delay)).await;
            Ok(to)
        };
        assert_eq!(race(&candidates, true, connect).await, Ok(candidates[1]));
        assert_eq!(tried.take(), [(candidates[0], 0), (candidates[1], 250)]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_after_the_other_the_next_is_tried_when_one_has_failed() {
        let candidates = ["192.0.2.1:1", "192.0.2.2:1"].map(address);
        let started = Instant::now();
        let connect = async |to: SocketAddr| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if to == candidates[0] {
                Err(AttemptError::Refused)
            } else {
                Ok(to)
            }
        };
        assert_eq!(race(&candidates, false, connect).await, Ok(candidates[1]));
        assert_eq!(started.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_is_tried_at_once_after_one_that_fails_and_the_telling_failure_is_given() {
        let candidates = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"].map(address);
        let started = Instant::now();
        let connect = async |to: SocketAddr| -> Result<(), AttemptError> {
            Err(match to {
                to if to == candidates[1] => AttemptError::Refused,
                _ => AttemptError::HostUnreachable,
            })
        };
        assert_eq!(race(&candidates, true, connect).await, Err(AttemptError::Refused));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_missing_address_of_one_family_is_told_only_where_the_other_has_nothing_to_say() {
        let candidates = ["[2001:db8::1]:1", "192.0.2.1:1"].map(address);
        let missing = || AttemptError::Source("the address 2001:db8::2 is not on this machine".to_owned());
        for (by_v4, expected) in [
            (AttemptError::Refused, AttemptError::Refused),
            (AttemptError::TimedOut, AttemptError::TimedOut),
            (AttemptError::HostUnreachable, AttemptError::HostUnreachable),
            (AttemptError::NetworkUnreachable, missing()),
        ] {
            for candidates in [candidates, [candidates[1], candidates[0]]] {
                let connect = async |to: SocketAddr| -> Result<(), AttemptError> {
                    Err(if to.is_ipv6() { missing() } else { by_v4.clone() })
                };
                assert_eq!(race(&candidates, true, connect).await, Err(expected.clone()));
            }
        }
    }

    #[tokio::test]
    async fn nothing_to_dial_is_unreachable() {
        let connect = async |_| Ok(());
        assert_eq!(race(&[], true, connect).await, Err(AttemptError::NetworkUnreachable));
    }
}
