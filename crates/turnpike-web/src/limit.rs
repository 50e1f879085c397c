//! Rate limits: per address before authentication, per key or account after it, and wrong credentials per address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::config::WebConfig;

/// How many customers may sit behind one address without getting into each other's way.
const CUSTOMERS_PER_ADDRESS: u32 = 4;
/// `/ip` is how customers look through their ports, and many ports leave by one address. `/readyz` is asked by machines.
const IP_FACTOR: u32 = 25;

/// Tests of connections that an account may ask for at once; then one a second.
const TESTS_AT_ONCE: u32 = 5;

/// Accounts that one address may try to make for itself.
const SIGN_UPS_PER_MINUTE: u32 = 10;

/// Who shares a limit: an IPv4 address, or an IPv6 /64, since a customer of IPv6 has 2^64 addresses to himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & !u128::from(u64::MAX);
                Self(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
            v4 => Self(v4),
        }
    }
}

/// Where a caller stands with a limit, for the RateLimit header fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The limit's name.
    pub(crate) policy: &'static str,
    /// Requests that a rested caller can make at once.
    pub(crate) quota: u32,
    /// Seconds in which that many are given back.
    pub(crate) window: u64,
    /// Requests left now.
    pub(crate) remaining: u32,
    /// Seconds until all are given back; where none is left, until the next one.
    pub(crate) reset: u64,
}

/// A limit that said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) standing: Standing,
}

/// One limit for each of many keys.
pub(crate) struct Limiter<K: Hash + Eq + Clone> {
    policy: &'static str,
    per_second: NonZeroU32,
    burst: NonZeroU32,
    buckets: RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>,
    clock: DefaultClock,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    fn new(policy: &'static str, per_second: u32, burst: u32) -> Self {
        let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self {
            policy,
            per_second,
            burst,
            buckets: RateLimiter::dashmap(quota).with_middleware(),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one request from `key`'s share.
    pub(crate) fn check(&self, key: &K) -> Result<Standing, Exceeded> {
        match self.buckets.check_key(key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let missing = self.burst.get().saturating_sub(remaining);
                Ok(self.standing(remaining, u64::from(missing.div_ceil(self.per_second.get()))))
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.now());
                Err(Exceeded {
                    standing: self.standing(0, whole_seconds(wait)),
                })
            }
        }
    }

    fn standing(&self, remaining: u32, reset: u64) -> Standing {
        Standing {
            policy: self.policy,
            quota: self.burst.get(),
            window: u64::from(self.burst.get().div_ceil(self.per_second.get())),
            remaining,
            reset: reset.max(1),
        }
    }

    fn forget_rested(&self) {
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
    }
}

/// Rounded up, since coming back a moment early is refused again.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// Wrong keys and tokens (or other things that should be rare) per source, in windows of a minute.
pub(crate) struct BadCredentials {
    allowed: u32,
    seen: Mutex<HashMap<Source, (Instant, u32)>>,
}

impl BadCredentials {
    const WINDOW: Duration = Duration::from_secs(60);

    fn new(allowed: u32) -> Self {
        Self {
            allowed,
            seen: Mutex::default(),
        }
    }

    /// Refuses a source that has shown too many of late.
    pub(crate) fn check(&self, source: Source) -> Result<(), Exceeded> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(&source) {
            Some((since, count)) if *count >= self.allowed && since.elapsed() < Self::WINDOW => {
                let wait = Self::WINDOW.saturating_sub(since.elapsed());
                Err(Exceeded {
                    standing: Standing {
                        policy: "credentials",
                        quota: self.allowed,
                        window: Self::WINDOW.as_secs(),
                        remaining: 0,
                        reset: whole_seconds(wait).max(1),
                    },
                })
            }
            _ => Ok(()),
        }
    }

    /// Counts one more.
    pub(crate) fn note(&self, source: Source) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = seen.entry(source).or_insert_with(|| (Instant::now(), 0));
        if since.elapsed() >= Self::WINDOW {
            *since = Instant::now();
            *count = 0;
        }
        *count = count.saturating_add(1);
    }

    fn forget_rested(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, (since, _)| since.elapsed() < Self::WINDOW);
        seen.shrink_to_fit();
    }
}

/// Every limit of the server.
pub(crate) struct Limits {
    /// API requests per address, before anything is looked at.
    pub(crate) address: Limiter<Source>,
    /// API requests per key, or per account where somebody is signed in.
    pub(crate) caller: Limiter<String>,
    /// Rotate links per address.
    pub(crate) link: Limiter<Source>,
    /// Subscription URLs per address.
    pub(crate) profile: Limiter<Source>,
    /// Each subscription URL that is one, from wherever it is loaded.
    pub(crate) profile_url: Limiter<String>,
    /// `/ip` per address.
    pub(crate) ip: Limiter<Source>,
    /// `/readyz` per address.
    pub(crate) report: Limiter<Source>,
    /// Tests of connections per account.
    pub(crate) tests: Limiter<String>,
    /// Accounts made per address.
    pub(crate) sign_ups: BadCredentials,
    /// Wrong credentials per address.
    pub(crate) bad_credentials: BadCredentials,
}

impl Limits {
    pub(crate) fn new(config: &WebConfig) -> Self {
        let (rate, burst) = (config.requests_per_second, config.burst);
        let times = |factor: u32| (rate.saturating_mul(factor), burst.saturating_mul(factor));
        let (address_rate, address_burst) = times(CUSTOMERS_PER_ADDRESS);
        let (ip_rate, ip_burst) = times(IP_FACTOR);
        Self {
            address: Limiter::new("address", address_rate, address_burst),
            caller: Limiter::new("key", rate, burst),
            link: Limiter::new("link", address_rate, address_burst),
            profile: Limiter::new("subscription-url-address", address_rate, address_burst),
            profile_url: Limiter::new("subscription-url", rate, burst),
            ip: Limiter::new("ip", ip_rate, ip_burst),
            report: Limiter::new("report", ip_rate, ip_burst),
            tests: Limiter::new("connection-test", 1, TESTS_AT_ONCE),
            sign_ups: BadCredentials::new(SIGN_UPS_PER_MINUTE),
            bad_credentials: BadCredentials::new(config.bad_credentials_per_minute),
        }
    }

    /// Drops what is remembered of those who have not come for a while; without it, memory would grow with every address
    /// ever seen.
    pub(crate) fn forget_rested(&self) {
        self.address.forget_rested();
        self.caller.forget_rested();
        self.link.forget_rested();
        self.profile.forget_rested();
        self.profile_url.forget_rested();
        self.ip.forget_rested();
        self.report.forget_rested();
        self.tests.forget_rested();
        self.sign_ups.forget_rested();
        self.bad_credentials.forget_rested();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::from(text.parse::<IpAddr>().unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)))
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_limit_and_mapped_ipv4_is_ipv4() {
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    #[test]
    fn a_burst_is_allowed_and_the_next_request_is_told_when_to_come_back() {
        let limiter: Limiter<&str> = Limiter::new("key", 1, 3);
        let first = limiter.check(&"a");
        assert_eq!(
            first,
            Ok(Standing {
                policy: "key",
                quota: 3,
                window: 3,
                remaining: 2,
                reset: 1
            })
        );
        assert!(limiter.check(&"a").is_ok());
        assert!(limiter.check(&"a").is_ok());
        let exceeded = limiter.check(&"a");
        assert_eq!(
            exceeded,
            Err(Exceeded {
                standing: Standing {
                    policy: "key",
                    quota: 3,
                    window: 3,
                    remaining: 0,
                    reset: 1
                }
            })
        );
        assert!(limiter.check(&"b").is_ok(), "another key has its own share");
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_credentials_close_a_source_for_the_rest_of_the_minute() {
        let bad = BadCredentials::new(3);
        let here = source("192.0.2.1");
        for _ in 0..3 {
            assert!(bad.check(here).is_ok());
            bad.note(here);
        }
        tokio::time::advance(Duration::from_secs(20)).await;
        let exceeded = bad.check(here).err().map(|e| e.standing.reset);
        assert_eq!(exceeded, Some(40));
        assert!(bad.check(source("192.0.2.2")).is_ok());
        tokio::time::advance(Duration::from_secs(40)).await;
        assert!(bad.check(here).is_ok());
        bad.forget_rested();
        assert_eq!(bad.seen.lock().unwrap_or_else(PoisonError::into_inner).len(), 0);
    }
}
