//! What is sold: networks, exits, plans and coupons, as operators write them and as customers see them.

mod apply;
mod on_sale;
mod present;

use std::net::IpAddr;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::secrets::MasterKey;
use crate::shop::Shop;
use crate::store::Row;
use crate::types::{Cents, ConnectionType, ExitId, NetworkId, NetworkType, PlanId, Span, UnixMillis};

pub use apply::{apply, apply_seen, digest, put_coupon, put_plan, retire_coupon, retire_plan};
pub(crate) use on_sale::LastRead;
pub use on_sale::{OnSale, plans};
pub use present::{Seen, export, present};

/// A whole catalogue, already checked for form; [`apply`] checks it against itself and the database.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// Places.
    pub networks: Vec<Network>,
    /// What is sold there.
    pub plans: Vec<Plan>,
    /// Discounts.
    pub coupons: Vec<Coupon>,
}

/// A network and its exits.
#[derive(Debug, Clone)]
pub struct Network {
    /// `NL-AMS`.
    pub code: String,
    /// `Amsterdam`.
    pub city: String,
    /// ISO 3166-1 alpha-2, upper-case.
    pub country: String,
    /// What kind of lines.
    pub network_type: NetworkType,
    /// Whether port 25 may be dialled.
    pub allow_smtp: bool,
    /// Its ways out.
    pub exits: Vec<Exit>,
}

/// One way out.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Unique in its network.
    pub name: String,
    /// The gateway it is on; absent: the only one.
    pub gateway: Option<String>,
    /// How it leaves and rotates.
    pub spec: ExitSpec,
    /// 0: sold whole, as `private`; more: sold as `shared`, so many times.
    pub shared_slots: i64,
}

/// How an exit leaves and rotates. Kept sealed: upstreams and rotate calls carry credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitSpec {
    /// How it leaves.
    pub way: ExitWay,
    /// How it is told to get another address.
    pub rotate: Option<RotateMethod>,
    /// How long tunnels opened before a rotation keep their address, in seconds.
    pub drain_seconds: u32,
}

impl ExitSpec {
    /// Whether it can get another address: a pool of several, a prefix, or a method.
    #[must_use]
    pub fn can_rotate(&self) -> bool {
        self.rotate.is_some()
            || match &self.way {
                ExitWay::Addresses(pool) => pool.len() > 1,
                ExitWay::Prefix(_) => true,
                ExitWay::Interface(_) | ExitWay::Upstream(_) => false,
            }
    }
}

/// How an exit leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitWay {
    /// From one of these addresses of the gateway.
    Addresses(Vec<IpAddr>),
    /// From a random address of this prefix.
    Prefix(Ipv6Net),
    /// By this network device.
    Interface(String),
    /// Through this proxy: `http://` or `socks5://`, with credentials where it wants them.
    Upstream(String),
}

/// How an exit is told to get another address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotateMethod {
    /// Run this program with these arguments.
    Command(Vec<String>),
    /// GET this URL.
    Http(String),
}

/// Something sold.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The operator's name for it.
    pub code: String,
    /// The network's code.
    pub network: String,
    /// Whole exits or slots.
    pub connection_type: ConnectionType,
    /// For how long.
    pub duration: Span,
    /// For how much.
    pub price: Cents,
    /// Marked in lists.
    pub popular: bool,
    /// How long a trial is; absent: no trial.
    pub trial: Option<Span>,
    /// What of it may be used.
    pub limits: Limits,
}

/// A discount.
#[derive(Debug, Clone)]
pub struct Coupon {
    /// What customers type; compared without regard to case.
    pub code: String,
    /// How much.
    pub discount: Discount,
    /// How often in all.
    pub max_redemptions: Option<i64>,
    /// How often per account.
    pub per_account: Option<i64>,
    /// Until when.
    pub valid_until: Option<UnixMillis>,
}

/// How much a coupon takes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discount {
    /// 1 to 100 per cent, rounded in the customer's favour.
    Percent(u8),
    /// So many cents, never below a price of zero.
    Fixed(Cents),
}

/// One difference that [`apply`] makes or would make, for the operator to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// `create`, `update`, `deactivate`, `reactivate`.
    pub change: &'static str,
    /// `network`, `exit`, `plan`, `coupon`.
    pub kind: &'static str,
    /// Its code or name.
    pub name: String,
    /// What changes, `key: old -> new`, without secrets.
    pub detail: Vec<String>,
}

/// A plan as customers see it.
#[derive(Debug, Clone)]
pub struct PlanOnSale {
    /// Its id.
    pub id: PlanId,
    /// Whole exits or slots.
    pub connection_type: ConnectionType,
    /// For how long.
    pub duration: Span,
    /// For how much.
    pub price: Cents,
    /// Marked in lists.
    pub popular: bool,
    /// How long a trial is, where there is one.
    pub trial: Option<Span>,
    /// What of it may be used.
    pub limits: Limits,
    /// Its network.
    pub network: NetworkOnSale,
}

/// A network as customers see it.
#[derive(Debug, Clone)]
pub struct NetworkOnSale {
    /// Its id.
    pub id: NetworkId,
    /// `NL-AMS`.
    pub code: String,
    /// `Amsterdam`.
    pub city: String,
    /// `NL`.
    pub country: String,
    /// What kind of lines.
    pub network_type: NetworkType,
}

/// How many are free of each network and connection type that has any.
///
/// # Errors
/// Only the database's.
pub async fn free(shop: &Shop) -> Result<Vec<(NetworkId, ConnectionType, i64)>> {
    shop.store
        .read(|tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT network_id, connection_type, COUNT(*) AS free FROM slot
                         WHERE subscription_id IS NULL AND sellable = 1 GROUP BY network_id, connection_type",
                        &[],
                    )
                    .await?;
                rows.iter()
                    .map(|row| {
                        Ok((
                            row.parsed("network_id")?,
                            row.parsed("connection_type")?,
                            row.int("free")?,
                        ))
                    })
                    .collect()
            })
        })
        .await
}

impl PlanOnSale {
    /// From a row with the plan's columns and its network's (`network_id` for the network's id).
    pub(crate) fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.parsed("id")?,
            connection_type: row.parsed("connection_type")?,
            duration: Span(row.int("duration_ms")?),
            price: Cents(row.int("price_cents")?),
            popular: row.int("popular")? == 1,
            trial: row.optional_int("trial_ms")?.map(Span),
            limits: Limits::read(row)?,
            network: NetworkOnSale::read(row)?,
        })
    }
}

impl NetworkOnSale {
    /// From a row with the network's columns (`network_id` for its id).
    pub(crate) fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.parsed("network_id")?,
            code: row.text("code")?,
            city: row.text("city")?,
            country: row.text("country")?,
            network_type: row.parsed("network_type")?,
        })
    }
}

/// Scheme, host and port of a URL: user information, paths and queries may hold secrets.
#[must_use]
pub fn without_credentials(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else {
        return "(not a URL)".to_owned();
    };
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// Seals an exit's specification for its row.
///
/// # Errors
/// [`Error::Failed`].
pub(crate) fn seal_spec(key: &MasterKey, exit: &ExitId, spec: &ExitSpec) -> Result<Vec<u8>> {
    let plain =
        serde_json::to_vec(spec).map_err(|error| Error::Failed(format!("writing an exit's specification: {error}")))?;
    key.seal(&associated(exit), &plain)
}

/// The inverse of [`seal_spec`].
///
/// # Errors
/// [`Error::Failed`].
pub(crate) fn open_spec(key: &MasterKey, exit: &ExitId, sealed: &[u8]) -> Result<ExitSpec> {
    let plain = key.open(&associated(exit), sealed)?;
    serde_json::from_slice(&plain)
        .map_err(|error| Error::Failed(format!("reading the specification of exit {exit}: {error}")))
}

fn associated(exit: &ExitId) -> String {
    format!("specification of exit {exit}")
}
