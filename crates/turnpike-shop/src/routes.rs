//! What gateways are told: routes and exits, by revision. And what they tell of exits.
#![allow(unused_variables)]

use std::net::IpAddr;

use crate::catalogue::ExitSpec;
use crate::error::Result;
use crate::shop::Shop;
use crate::types::{ExitId, Health, SubscriptionId, UnixMillis};

/// Makes a gateway known, with the host name of its customers' URLs and its port range, or brings those up to date.
/// Called by everything that opens the shop with a configuration; idempotent.
///
/// # Errors
/// [`crate::Refusal::Catalogue`] where the port range is not one.
pub async fn register_gateway(shop: &Shop, name: &str, public_host: &str, ports: std::ops::RangeInclusive<u16>) -> Result<()> {
    unimplemented!("S1")
}

/// The newest revision of a gateway's routes and exits. One row, cheap enough to ask several times a second.
///
/// # Errors
/// Only the database's.
pub async fn revision(shop: &Shop, gateway: &str) -> Result<i64> {
    unimplemented!("S1")
}

/// A subscription as its gateway needs it. It holds secrets: never log it.
#[derive(Clone)]
pub struct Route {
    /// Which subscription.
    pub subscription: SubscriptionId,
    /// Its port.
    pub port: u16,
    /// User name of HTTP and SOCKS.
    pub username: String,
    /// Password of HTTP, SOCKS and Shadowsocks.
    pub password: String,
    /// VLESS id.
    pub vpn: uuid::Uuid,
    /// Its exit.
    pub exit: ExitId,
    /// When it ends.
    pub ends_at: UnixMillis,
}

/// An exit as its gateway needs it. It holds secrets: never log it.
#[derive(Clone)]
pub struct RouteExit {
    /// Which exit.
    pub id: ExitId,
    /// `NL-AMS/nl-ams-1`.
    pub name: String,
    /// How it leaves and rotates.
    pub spec: ExitSpec,
    /// The address it left from last.
    pub present_address: Option<IpAddr>,
    /// Whether port 25 may be dialled.
    pub allow_smtp: bool,
}

/// What changed for a gateway.
#[derive(Clone, Default)]
pub struct Changes {
    /// Exits that are new or different; told before the routes.
    pub exits: Vec<RouteExit>,
    /// Routes that are new or different and should be served.
    pub routes: Vec<Route>,
    /// Routes that should not be served any more: ended, suspended, moved away.
    pub removed: Vec<SubscriptionId>,
    /// All changes up to this revision are in it.
    pub revision: i64,
}

/// Everything after `revision`; with 0, all exits and all running routes of the gateway.
///
/// # Errors
/// Only the database's.
pub async fn changes_since(shop: &Shop, gateway: &str, revision: i64) -> Result<Changes> {
    unimplemented!("S1")
}

/// The gateway has applied everything up to `revision`: wakes who waits for it ([`wait_applied`]).
///
/// # Errors
/// Only the database's.
pub async fn applied(shop: &Shop, gateway: &str, revision: i64) -> Result<()> {
    unimplemented!("S1")
}

/// Waits until a gateway has applied `revision`, at most `bound`; whether it has.
///
/// # Errors
/// Only the database's.
pub async fn wait_applied(shop: &Shop, gateway: &str, revision: i64, bound: std::time::Duration) -> Result<bool> {
    unimplemented!("S1")
}

/// An exit of this gateway is up or down, and where it is known, its address.
///
/// # Errors
/// Only the database's.
pub async fn exit_health(
    shop: &Shop,
    exit: &ExitId,
    health: Health,
    detail: Option<&str>,
    address: Option<IpAddr>,
) -> Result<()> {
    unimplemented!("S1")
}

/// An exit as operators see it.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitState {
    /// `NL-AMS/nl-ams-1`.
    pub name: String,
    /// Its gateway.
    pub gateway: String,
    /// Whether it gets out.
    pub health: Health,
    /// Why not.
    pub detail: Option<String>,
    /// Its present address.
    pub address: Option<IpAddr>,
    /// Slots sold and in all.
    pub slots_taken: i64,
    /// Slots in all.
    pub slots: i64,
    /// Last rotation.
    pub rotated_at: Option<UnixMillis>,
}

/// Every active exit.
///
/// # Errors
/// Only the database's.
pub async fn exits(shop: &Shop) -> Result<Vec<ExitState>> {
    unimplemented!("S1")
}
