//! What the gateway needs to know of one subscription.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, ExitId};
use crate::guests::{Guest, Guests};
use crate::limits::{Limits, Quota};
use crate::meter::Meter;
use crate::refusals::Log;
use crate::sealed::Sealed;

/// A subscription's id as the shop spells it; the gateway only compares it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub Arc<str>);

/// One subscription as the gateway is told of it.
#[derive(Debug, Clone)]
pub struct Route {
    /// Which subscription.
    pub id: RouteId,
    /// The port, TCP and UDP, that is its own.
    pub port: u16,
    /// The user name of HTTP and SOCKS.
    pub username: String,
    /// The password of HTTP, SOCKS and Shadowsocks.
    pub password: SecretString,
    /// The VLESS id.
    pub uuid: [u8; 16],
    /// The exit that it leaves by.
    pub exit: ExitId,
    /// When it stops, in milliseconds since 1970.
    pub ends_at: i64,
    /// From where HTTP and SOCKS need no password.
    pub allowed_addresses: Vec<IpNet>,
    /// What it may use.
    pub limits: Limits,
    /// How many bytes it has ever moved, both ways together, as far as that has been recorded. What this gateway has counted
    /// itself since it was first told counts too, recorded or not.
    pub moved: u64,
}

/// A route in force: what every session on its port holds on to.
///
/// It is replaced whole. Where the new one differs in credentials or exit, `cut` of the old one is cancelled, and
/// every tunnel opened under it ends; where only the end time differs, the tokens are carried over.
#[derive(Debug)]
pub(crate) struct ActiveRoute {
    pub(crate) route: Arc<Route>,
    pub(crate) exit: Arc<Exit>,
    pub(crate) meter: Arc<Meter>,
    /// Who is served without a password; the subscription's, whichever route it has.
    pub(crate) guests: Arc<Guests>,
    /// What it may use, and what is in use; the subscription's, whichever route it has.
    pub(crate) quota: Arc<Quota>,
    /// What its port has refused; the subscription's, whichever route it has.
    pub(crate) refusals: Arc<Log>,
    /// What Shadowsocks needs; absent where the password makes no keys.
    pub(crate) sealed: Option<Arc<Sealed>>,
    /// Cancelled when tunnels opened under this route must end at once.
    pub(crate) cut: CancellationToken,
}

impl ActiveRoute {
    /// The same, whose tunnels end when `cut` says so.
    pub(crate) fn cut_by(&self, cut: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            route: Arc::clone(&self.route),
            exit: Arc::clone(&self.exit),
            meter: Arc::clone(&self.meter),
            guests: Arc::clone(&self.guests),
            quota: Arc::clone(&self.quota),
            refusals: Arc::clone(&self.refusals),
            sealed: self.sealed.clone(),
            cut,
        })
    }

    /// A client from `address`, if it may come without a password.
    pub(crate) fn invite(&self, address: IpAddr) -> Option<Guest> {
        // Few subscriptions have a list; the others' connections meet at no lock.
        if self.route.allowed_addresses.is_empty() {
            return None;
        }
        self.guests.invite(address, self)
    }

    /// Whether these are the subscription's credentials, compared in constant time, both parts always.
    pub(crate) fn authenticates(&self, username: &[u8], password: &[u8]) -> bool {
        use secrecy::ExposeSecret as _;
        use subtle::ConstantTimeEq as _;
        let name = self.route.username.as_bytes().ct_eq(username);
        let word = self.route.password.expose_secret().as_bytes().ct_eq(password);
        bool::from(name & word)
    }
}
