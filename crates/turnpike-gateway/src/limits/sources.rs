//! The addresses that a subscription is used from.
//!
//! An address counts while it has a connection and five minutes after: for long enough that two who share take no turns, and no
//! longer than somebody who changes from one network to another can bear. Nothing is remembered where there is no limit, and
//! never more addresses than the limit.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::session::admission::Source;

/// How long an address counts after its last connection has ended.
const REMEMBERED: Duration = Duration::from_secs(300);

/// The addresses of one subscription's clients.
#[derive(Debug, Default)]
pub(super) struct Sources(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    /// 0 for none.
    most: u32,
    known: HashMap<Source, Entry>,
}

#[derive(Debug)]
struct Entry {
    connections: u32,
    left: Instant,
}

impl Entry {
    fn counts(&self) -> bool {
        self.connections > 0 || self.left.elapsed() < REMEMBERED
    }
}

impl Sources {
    /// 0 for no limit.
    pub(super) fn limit_to(&self, most: u32) {
        let mut books = self.lock();
        books.most = most;
        if most == 0 {
            // Those who are in are not known any more, and leave without a trace.
            books.known = HashMap::new();
        }
    }

    /// A connection from `client` comes in.
    ///
    /// # Errors
    /// The limit, where its address would be one too many.
    pub(super) fn take(self: &Arc<Self>, client: IpAddr) -> Result<SourceSeat, u32> {
        let mut books = self.lock();
        if books.most == 0 {
            return Ok(SourceSeat(None));
        }
        let source = Source::of(client);
        if !books.known.contains_key(&source) {
            if books.is_full() {
                books.known.retain(|_, entry| entry.counts());
            }
            if books.is_full() {
                return Err(books.most);
            }
        }
        let entry = books.known.entry(source).or_insert_with(|| Entry {
            connections: 0,
            left: Instant::now(),
        });
        entry.connections += 1;
        Ok(SourceSeat(Some((Arc::clone(self), source))))
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn is_full(&self) -> bool {
        self.known.len() >= usize::try_from(self.most).unwrap_or(usize::MAX)
    }
}

/// A connection of an address that counts, until it is dropped.
#[derive(Debug)]
pub(crate) struct SourceSeat(Option<(Arc<Sources>, Source)>);

impl SourceSeat {
    /// Whether it is for this address, or for any.
    pub(crate) fn is_for(&self, client: IpAddr) -> bool {
        self.0.as_ref().is_none_or(|(_, source)| *source == Source::of(client))
    }
}

impl Drop for SourceSeat {
    fn drop(&mut self) {
        let Some((sources, source)) = self.0.take() else { return };
        if let Some(entry) = sources.lock().known.get_mut(&source) {
            entry.connections = entry.connections.saturating_sub(1);
            entry.left = Instant::now();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;

    fn sources(most: u32) -> Arc<Sources> {
        let sources = Arc::new(Sources::default());
        sources.limit_to(most);
        sources
    }

    fn take(sources: &Arc<Sources>, client: &str) -> Result<SourceSeat, u32> {
        sources.take(client.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_counts_while_it_is_connected_and_five_minutes_after() {
        let sources = sources(1);
        let first = take(&sources, "192.0.2.1").unwrap();
        let second = take(&sources, "::ffff:192.0.2.1").unwrap();
        tokio::time::advance(2 * REMEMBERED).await;
        assert_eq!(take(&sources, "192.0.2.2").unwrap_err(), 1);
        drop(first);
        tokio::time::advance(2 * REMEMBERED).await;
        assert_eq!(take(&sources, "192.0.2.2").unwrap_err(), 1);
        drop(second);
        tokio::time::advance(REMEMBERED - Duration::from_millis(1)).await;
        assert_eq!(take(&sources, "192.0.2.2").unwrap_err(), 1);
        tokio::time::advance(Duration::from_millis(1)).await;
        let _other = take(&sources, "192.0.2.2").unwrap();
        assert_eq!(take(&sources, "192.0.2.1").unwrap_err(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ipv6_address_is_its_64() {
        let sources = sources(2);
        let _seats: Vec<_> = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"]
            .map(|client| take(&sources, client).unwrap())
            .into();
        assert_eq!(take(&sources, "2001:db8:1:4::1").unwrap_err(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_remembered_than_may_come_in_and_nothing_without_a_limit() {
        let sources = sources(3);
        for number in 0..100_000_u32 {
            let _ = sources.take(std::net::Ipv4Addr::from_bits(number).into());
        }
        assert_eq!(sources.lock().known.len(), 3);
        let seat = take(&sources, "0.0.0.1").unwrap();
        sources.limit_to(0);
        for number in 0..1_000_u32 {
            sources.take(std::net::Ipv4Addr::from_bits(number).into()).unwrap();
        }
        assert!(sources.lock().known.is_empty());
        sources.limit_to(1);
        drop(seat);
        let _other = take(&sources, "192.0.2.9").unwrap();
        assert_eq!(take(&sources, "192.0.2.8").unwrap_err(), 1);
    }
}
