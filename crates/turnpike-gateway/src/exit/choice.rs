//! Which address an exit leaves from: the first one, and the next.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;
use rand::RngExt as _;
use secrecy::ExposeSecret as _;

use super::{ExitSpec, ExitWay, RotationError, Source, Upstream};
use crate::dial::Families;

/// What an exit leaves from, and what the world sees of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) source: Source,
    /// The address of a pool or prefix that leads: the other family of a mixed pool follows it.
    leading: Option<IpAddr>,
    /// The public address, where it is known. A device's and an upstream's are known only from a rotation that told.
    pub(crate) address: Option<IpAddr>,
    /// Whether a rotation made this choice, and the shop has not been heard since.
    pub(crate) is_rotated: bool,
}

impl Choice {
    /// The address that the exit had last, else the first that this machine has.
    pub(crate) fn first(spec: &ExitSpec) -> Self {
        match &spec.way {
            ExitWay::Pool(pool) => {
                let last = spec.present_address.filter(|last| pool.contains(last));
                let leading = leading_family(pool);
                last.or_else(|| leading.iter().copied().find(|own| is_here(*own)))
                    .or_else(|| leading.first().copied())
                    .map_or_else(Self::nowhere, |address| Self::of_pool(pool, address))
            }
            ExitWay::Prefix(prefix) => {
                let last = match spec.present_address {
                    Some(IpAddr::V6(last)) if prefix.contains(&last) => Some(last),
                    _ => None,
                };
                Self::of_prefix(last.unwrap_or_else(|| random_address(prefix)))
            }
            ExitWay::Interface(device) => Self {
                source: Source::Device(device.clone()),
                leading: None,
                address: spec.present_address,
                is_rotated: false,
            },
            ExitWay::HttpUpstream(_) | ExitWay::Socks5Upstream(_) => Self {
                source: Source::Unbound,
                leading: None,
                address: spec.present_address,
                is_rotated: false,
            },
        }
    }

    /// The same choice under a new way; none where that way does not have it.
    pub(crate) fn kept_by(&self, before: &ExitWay, now: &ExitWay) -> Option<Self> {
        let is_kept = match (before, now) {
            (ExitWay::Pool(_), ExitWay::Pool(pool)) => {
                let own = self.leading.filter(|own| pool.contains(own))?;
                return Some(Self {
                    source: Self::of_pool(pool, own).source,
                    ..self.clone()
                });
            }
            (ExitWay::Prefix(_), ExitWay::Prefix(prefix)) => self
                .leading
                .is_some_and(|own| matches!(own, IpAddr::V6(own) if prefix.contains(&own))),
            (ExitWay::Interface(before), ExitWay::Interface(now)) => before == now,
            (ExitWay::HttpUpstream(before), ExitWay::HttpUpstream(now))
            | (ExitWay::Socks5Upstream(before), ExitWay::Socks5Upstream(now)) => is_same_proxy(before, now),
            _ => false,
        };
        is_kept.then(|| self.clone())
    }

    /// Another address of a pool or a prefix; the same choice where the way has no other by itself.
    pub(crate) fn next(&self, way: &ExitWay) -> Result<Self, RotationError> {
        let mut next = match way {
            ExitWay::Pool(pool) if can_move(way) => {
                let leading = leading_family(pool);
                let own = self.leading;
                let after = leading
                    .iter()
                    .position(|address| Some(*address) == own)
                    .map_or(0, |at| at + 1);
                let address = leading
                    .iter()
                    .cycle()
                    .skip(after)
                    .take(leading.len())
                    .copied()
                    .find(|address| Some(*address) != own && is_here(*address))
                    .ok_or_else(|| {
                        RotationError::Failed("none of the pool's other addresses is on this machine".to_owned())
                    })?;
                Self::of_pool(pool, address)
            }
            ExitWay::Prefix(prefix) if can_move(way) => {
                let own = self.leading;
                let mut address = random_address(prefix);
                while Some(IpAddr::V6(address)) == own {
                    address = random_address(prefix);
                }
                Self::of_prefix(address)
            }
            _ => self.clone(),
        };
        next.is_rotated = true;
        Ok(next)
    }

    /// The same choice once the shop has been heard.
    pub(crate) fn told(self) -> Self {
        Self {
            is_rotated: false,
            ..self
        }
    }

    /// The families that it can reach.
    pub(crate) fn families(&self) -> Families {
        self.source.families()
    }

    /// A pool's `address`, and with it the one at the same place among those of the other family: customers of a pool
    /// with both reach both internets, and a rotation changes what both see.
    fn of_pool(pool: &[IpAddr], address: IpAddr) -> Self {
        let (own, other): (Vec<IpAddr>, Vec<IpAddr>) =
            pool.iter().copied().partition(|one| one.is_ipv4() == address.is_ipv4());
        let place = own.iter().position(|one| *one == address).unwrap_or(0);
        let companion = other
            .iter()
            .cycle()
            .skip(place)
            .take(other.len())
            .copied()
            .find(|one| is_here(*one));
        let mut source = Source::of_address(address, false);
        if let Source::Addresses { v4, v6, .. } = &mut source {
            match companion {
                Some(IpAddr::V4(companion)) => *v4 = Some(companion),
                Some(IpAddr::V6(companion)) => *v6 = Some(companion),
                None => {}
            }
        }
        Self {
            source,
            leading: Some(address),
            address: Some(address),
            is_rotated: false,
        }
    }

    fn of_prefix(address: Ipv6Addr) -> Self {
        Self {
            source: Source::of_address(address.into(), true),
            leading: Some(address.into()),
            address: Some(address.into()),
            is_rotated: false,
        }
    }

    /// An empty pool: it reaches nothing.
    fn nowhere() -> Self {
        Self {
            source: Source::Addresses {
                v4: None,
                v6: None,
                freebind: false,
            },
            leading: None,
            address: None,
            is_rotated: false,
        }
    }
}

/// Whether the way itself has more than one address.
pub(crate) fn can_move(way: &ExitWay) -> bool {
    match way {
        ExitWay::Pool(pool) => {
            let leading = leading_family(pool);
            leading.iter().any(|address| Some(address) != leading.first())
        }
        ExitWay::Prefix(prefix) => prefix.prefix_len() < 128,
        ExitWay::Interface(_) | ExitWay::HttpUpstream(_) | ExitWay::Socks5Upstream(_) => false,
    }
}

/// The addresses of the family that has more of them; on a tie, of the family that is named first.
fn leading_family(pool: &[IpAddr]) -> Vec<IpAddr> {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = pool.iter().copied().partition(IpAddr::is_ipv4);
    let v4_first = pool.first().is_some_and(IpAddr::is_ipv4);
    if v4.len() > v6.len() || (v4.len() == v6.len() && v4_first) {
        v4
    } else {
        v6
    }
}

/// Whether sockets can be bound to it on this machine.
fn is_here(address: IpAddr) -> bool {
    Source::of_address(address, false).check().is_ok()
}

fn random_address(prefix: &Ipv6Net) -> Ipv6Addr {
    let host_bits = prefix.hostmask().to_bits();
    let random: u128 = rand::rng().random();
    Ipv6Addr::from_bits(prefix.network().to_bits() | (random & host_bits))
}

fn is_same_proxy(before: &Upstream, now: &Upstream) -> bool {
    let credentials = |upstream: &Upstream| {
        upstream
            .credentials
            .as_ref()
            .map(|(name, word)| (name.clone(), word.expose_secret().to_owned()))
    };
    before.host == now.host && before.port == now.port && credentials(before) == credentials(now)
}
