//! The ways out that an association has open, and what waits for one that is being opened.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::time::Instant;

use super::mapping::Mapping;

/// Datagrams that wait for an upstream proxy, and their bytes in all.
const WAITING: usize = 16;
const WAITING_BYTES: usize = 128 * 1024;

/// Which socket leads to a destination: one for each family, also through an upstream proxy, since some (sing-box) keep an
/// association to the family of its first destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) by_upstream: bool,
    is_v6: bool,
}

impl Way {
    pub(super) fn own(to: IpAddr) -> Self {
        Self {
            by_upstream: false,
            is_v6: to.is_ipv6(),
        }
    }

    pub(super) fn by_upstream(to: IpAddr) -> Self {
        Self {
            by_upstream: true,
            is_v6: to.is_ipv6(),
        }
    }
}

/// An association's ways out.
#[derive(Default)]
pub(super) struct Outlets {
    v4: Outlet,
    v6: Outlet,
    upstream_v4: Outlet,
    upstream_v6: Outlet,
}

impl Outlets {
    pub(super) fn of(&mut self, way: Way) -> &mut Outlet {
        match (way.by_upstream, way.is_v6) {
            (false, false) => &mut self.v4,
            (false, true) => &mut self.v6,
            (true, false) => &mut self.upstream_v4,
            (true, true) => &mut self.upstream_v6,
        }
    }
}

/// One way out.
pub(super) enum Outlet {
    /// Not to be opened before that time, where there is one.
    Closed {
        until: Option<Instant>,
    },
    Opening(Waiting),
    Open(Arc<Mapping>),
}

impl Default for Outlet {
    fn default() -> Self {
        Self::Closed { until: None }
    }
}

impl Outlet {
    pub(super) fn opening() -> Self {
        Self::Opening(Waiting::default())
    }

    pub(super) fn closed_until(until: Instant) -> Self {
        Self::Closed { until: Some(until) }
    }
}

/// Datagrams that wait for their way out, with their destinations.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    datagrams: Vec<(SocketAddr, Box<[u8]>)>,
    bytes: usize,
}

impl Waiting {
    /// Keeps a datagram, or drops it where too many wait.
    pub(super) fn keep(&mut self, to: SocketAddr, datagram: &[u8]) {
        if self.datagrams.len() < WAITING && self.bytes + datagram.len() <= WAITING_BYTES {
            self.bytes += datagram.len();
            self.datagrams.push((to, datagram.into()));
        }
    }

    /// What has waited, in the order in which it came.
    pub(super) fn into_datagrams(self) -> Vec<(SocketAddr, Box<[u8]>)> {
        self.datagrams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_the_newest_is_dropped() {
        let to = SocketAddr::from(([192, 0, 2, 1], 1));
        let mut waiting = Waiting::default();
        for number in 0..100 {
            waiting.keep(to, &[number]);
        }
        let kept: Vec<u8> = waiting
            .into_datagrams()
            .iter()
            .map(|(_, datagram)| datagram[0])
            .collect();
        assert_eq!(kept, (0..16).collect::<Vec<u8>>());
        let mut waiting = Waiting::default();
        for _ in 0..10 {
            waiting.keep(to, &[0; 65_507]);
        }
        assert_eq!(waiting.into_datagrams().len(), 2);
    }
}
