//! What gateways are told: routes and exits, by revision. And what they tell of exits.
//!
//! One revision counter per gateway. Whatever changes a route or an exit ends its transaction with [`publish`] or
//! [`publish_exits`], which advance the counter last: its row stays locked until the commit, so revisions become visible in
//! order and a gateway that asks for everything after the one it has misses nothing.

mod alive;
mod exits;
mod opened;
mod publish;

use std::net::IpAddr;
use std::time::Duration;

use crate::address_list::AddressList;
use crate::allowed_addresses;
use crate::catalogue::{self, ExitSpec};
use crate::credentials::Credentials;
use crate::error::{Error, Refusal, Result};
use crate::limits::{Limits, Usage};
use crate::shop::Shop;
use crate::store::{Engine, Row, Tx, Value};
use crate::types::{AccountId, ExitId, SubscriptionId, UnixMillis};

pub use alive::{Load, alive};
pub use exits::{ExitState, exit_health, exits};
pub(crate) use opened::{Telling, recall, tell};
pub(crate) use publish::{publish, publish_exits, publish_with};

/// How often a gateway tells that it lives ([`alive`]).
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often a gateway of another process is asked for what it has applied.
const APPLIED_POLL: Duration = Duration::from_millis(50);

/// Makes a gateway known, with the host name of its customers' URLs and its port range, or brings those up to date.
/// Called by everything that opens the shop with a configuration; idempotent. What is known of its TLS
/// ([`set_gateway_tls`]) and of its version ([`alive`]) stays.
///
/// # Errors
/// [`crate::Refusal::Catalogue`] where the port range is not one.
pub async fn register_gateway(
    shop: &Shop,
    name: &str,
    public_host: &str,
    ports: std::ops::RangeInclusive<u16>,
) -> Result<()> {
    let (first, last) = (i64::from(*ports.start()), i64::from(*ports.end()));
    if first == 0 || first > last {
        return Err(Refusal::Catalogue(format!(
            "gateway.ports = \"{first}-{last}\" is not a range of ports; write it like \"12001-12999\""
        ))
        .into());
    }
    let (now, name, public_host) = (shop.now(), name.to_owned(), public_host.to_owned());
    shop.store
        .transaction(move |tx| {
            let (name, public_host) = (Value::Text(name.clone()), Value::Text(public_host.clone()));
            Box::pin(async move {
                let known = tx
                    .optional(
                        "SELECT first_port, last_port FROM gateway WHERE name = $1 FOR NO KEY UPDATE",
                        std::slice::from_ref(&name),
                    )
                    .await?;
                tx.execute(
                    "INSERT INTO gateway (name, public_host, first_port, last_port) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (name) DO UPDATE SET public_host = excluded.public_host,
                         first_port = excluded.first_port, last_port = excluded.last_port",
                    &[name.clone(), public_host, Value::Int(first), Value::Int(last)],
                )
                .await?;
                tx.execute(
                    "INSERT INTO gateway_state (gateway, revision, applied_revision, seen_at, tunnels) VALUES ($1, 0, 0, $2, 0)
                     ON CONFLICT (gateway) DO NOTHING",
                    &[name.clone(), Value::Int(now.0)],
                )
                .await?;
                let had = known
                    .map(|row| Ok::<_, Error>((row.int("first_port")?, row.int("last_port")?)))
                    .transpose()?;
                if had != Some((first, last)) {
                    give_ports(tx, &name, first, last).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Remembers the name that a gateway's certificate is for, or that it has none: from then on links say so. Called by the
/// gateway's own process, which alone knows its certificate.
///
/// # Errors
/// Only the database's.
pub async fn set_gateway_tls(shop: &Shop, gateway: &str, server_name: Option<&str>) -> Result<()> {
    let server_name = server_name.map_or(Value::NullText, |name| Value::Text(name.to_owned()));
    let gateway = Value::Text(gateway.to_owned());
    shop.store
        .transaction(move |tx| {
            let told = [server_name.clone(), gateway.clone()];
            Box::pin(async move {
                tx.execute("UPDATE gateway SET tls_server_name = $1 WHERE name = $2", &told)
                    .await?;
                Ok(())
            })
        })
        .await
}

/// Makes the rows of a port range; ports outside it are not given out any more, and keep their subscriptions.
async fn give_ports(tx: &mut Tx, gateway: &Value, first: i64, last: i64) -> Result<()> {
    let range = [gateway.clone(), Value::Int(first), Value::Int(last)];
    tx.execute(
        "WITH RECURSIVE numbers (port) AS
             (SELECT CAST($2 AS BIGINT) UNION ALL SELECT port + 1 FROM numbers WHERE port < $3)
         INSERT INTO port (gateway, port, in_range, freed_at) SELECT $1, port, 1, 0 FROM numbers WHERE true
         ON CONFLICT (gateway, port) DO UPDATE SET in_range = 1",
        &range,
    )
    .await?;
    tx.execute(
        "UPDATE port SET in_range = 0 WHERE gateway = $1 AND in_range = 1 AND NOT (port BETWEEN $2 AND $3)",
        &range,
    )
    .await?;
    Ok(())
}

/// The revision that carries a subscription's route as it is now.
///
/// # Errors
/// Only the database's.
pub(crate) async fn revision_of(tx: &mut Tx, subscription: &SubscriptionId) -> Result<i64> {
    tx.one(
        "SELECT revision FROM subscription WHERE id = $1",
        &[Value::Text(subscription.to_string())],
    )
    .await?
    .int("revision")
}

/// The newest revisions that concern an account's running subscriptions, by gateway: whoever has just changed the account waits for
/// them ([`wait_applied`]).
///
/// # Errors
/// Only the database's.
pub async fn revisions_of(shop: &Shop, account: &AccountId) -> Result<Vec<(String, i64)>> {
    let key = Value::Text(account.to_string());
    shop.store
        .read(move |tx| {
            let key = key.clone();
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT gateway, MAX(revision) AS revision FROM subscription
                         WHERE account_id = $1 AND state = 'active' GROUP BY gateway ORDER BY gateway",
                        &[key],
                    )
                    .await?;
                rows.iter()
                    .map(|row| Ok((row.text("gateway")?, row.int("revision")?)))
                    .collect()
            })
        })
        .await
}

/// A gateway's newest revision, this transaction's own included.
///
/// # Errors
/// Only the database's.
pub(crate) async fn revision_now(tx: &mut Tx, gateway: &str) -> Result<i64> {
    tx.one(
        "SELECT revision FROM gateway_state WHERE gateway = $1",
        &[Value::Text(gateway.to_owned())],
    )
    .await?
    .int("revision")
}

/// The newest revision of a gateway's routes and exits. One row, cheap enough to ask several times a second. On PostgreSQL new
/// subscriptions that nobody has told of get one first.
///
/// # Errors
/// Only the database's.
pub async fn revision(shop: &Shop, gateway: &str) -> Result<i64> {
    let name = Value::Text(gateway.to_owned());
    let asked = match shop.store.engine() {
        Engine::Sqlite => {
            let newest = "SELECT revision FROM gateway_state WHERE gateway = $1";
            let row = shop.store.look_up(newest, vec![name]).await?;
            return row.map_or(Ok(0), |row| row.int("revision"));
        }
        Engine::Postgres => {
            "SELECT g.revision, EXISTS (SELECT 1 FROM subscription s
                 WHERE s.gateway = g.gateway AND s.revision = 0 AND s.started_at <= $2)::INT::BIGINT AS has_untold
             FROM gateway_state g WHERE g.gateway = $1"
        }
    };
    let overdue = Value::Int(shop.now().minus(opened::OVERDUE).0);
    match shop.store.look_up(asked, vec![name, overdue]).await? {
        Some(row) if row.int("has_untold")? == 1 => opened::advance(shop, gateway).await,
        Some(row) => row.int("revision"),
        None => Ok(0),
    }
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
    /// From where HTTP and SOCKS need no password.
    pub allowed_addresses: AddressList,
    /// What it has bought.
    pub limits: Limits,
    /// What it has used, as far as that was recorded.
    pub usage: Usage,
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
    /// Routes that should not be served any more: ended, suspended, moved away, of a disabled exit.
    pub removed: Vec<SubscriptionId>,
    /// All changes up to this revision are in it.
    pub revision: i64,
}

/// Everything after `revision`; with 0, all exits and all running routes of the gateway.
///
/// # Errors
/// Only the database's.
pub async fn changes_since(shop: &Shop, gateway: &str, revision: i64) -> Result<Changes> {
    let (owned, gateway) = (shop.clone(), gateway.to_owned());
    shop.store
        .read(move |tx| {
            let (shop, gateway) = (owned.clone(), Value::Text(gateway.clone()));
            Box::pin(async move { changes(&shop, tx, gateway, revision).await })
        })
        .await
}

async fn changes(shop: &Shop, tx: &mut Tx, gateway: Value, after: i64) -> Result<Changes> {
    let newest = tx
        .optional(
            "SELECT revision FROM gateway_state WHERE gateway = $1",
            std::slice::from_ref(&gateway),
        )
        .await?;
    let mut changes = Changes {
        revision: newest.map_or(Ok(0), |row| row.int("revision"))?,
        ..Changes::default()
    };
    let asked = [gateway, Value::Int(after)];
    let exits = tx
        .all(
            "SELECT e.id, e.name, n.code, e.sealed_spec, e.present_address, n.allow_smtp
             FROM network_exit e JOIN network n ON n.id = e.network_id
             WHERE e.gateway = $1 AND e.revision > $2
               AND (e.active = 1 OR EXISTS
                    (SELECT 1 FROM subscription s WHERE s.exit_id = e.id AND s.state = 'active'))
             ORDER BY e.id",
            &asked,
        )
        .await?;
    for row in &exits {
        changes.exits.push(route_exit(shop, row)?);
    }
    let now = shop.now();
    let routes = tx
        .all(
            "SELECT s.id, s.port, s.username, s.sealed_credentials, s.exit_id, s.ends_at, s.state,
                    s.allowed_addresses, a.status, e.standing,
                    s.max_connections, s.max_source_addresses, s.mbit_per_second, s.traffic_bytes, s.traffic_before,
                    t.bytes_up, t.bytes_down
             FROM subscription s JOIN account a ON a.id = s.account_id JOIN network_exit e ON e.id = s.exit_id
             LEFT JOIN traffic_total t ON t.subscription_id = s.id
             WHERE s.gateway = $1 AND s.revision > $2 AND ($2 > 0 OR s.state = 'active')
             ORDER BY s.revision",
            &asked,
        )
        .await?;
    for row in &routes {
        let id: SubscriptionId = row.parsed("id")?;
        let ends_at = UnixMillis(row.int("ends_at")?);
        let is_served = row.text("state")? == "active"
            && row.text("status")? == "active"
            && row.text("standing")? != "disabled"
            && ends_at > now;
        if is_served {
            changes.routes.push(route(shop, id, ends_at, row)?);
        } else {
            changes.removed.push(id);
        }
    }
    let moved = tx
        .all(
            "SELECT subscription_id FROM moved_route WHERE gateway = $1 AND revision > $2",
            &asked,
        )
        .await?;
    for row in &moved {
        changes.removed.push(row.parsed("subscription_id")?);
    }
    Ok(changes)
}

fn route(shop: &Shop, id: SubscriptionId, ends_at: UnixMillis, row: &Row) -> Result<Route> {
    let credentials = Credentials::open(&shop.master_key, &id, &row.bytes("sealed_credentials")?)?;
    let port = row.int("port")?;
    Ok(Route {
        port: u16::try_from(port).map_err(|_| Error::Failed(format!("{port} is no port")))?,
        username: row.text("username")?,
        password: credentials.password,
        vpn: credentials.vpn,
        exit: row.parsed("exit_id")?,
        allowed_addresses: allowed_addresses::of_row(row)?,
        ends_at,
        limits: Limits::read(row)?,
        usage: Usage::read(row)?,
        subscription: id,
    })
}

fn route_exit(shop: &Shop, row: &Row) -> Result<RouteExit> {
    let id: ExitId = row.parsed("id")?;
    Ok(RouteExit {
        name: format!("{}/{}", row.text("code")?, row.text("name")?),
        spec: catalogue::open_spec(&shop.master_key, &id, &row.bytes("sealed_spec")?)?,
        present_address: row.optional_parsed("present_address")?,
        allow_smtp: row.int("allow_smtp")? == 1,
        id,
    })
}

/// A gateway of this process has applied everything up to `revision`: wakes who waits for it here ([`wait_applied`]).
pub fn applied_here(shop: &Shop, gateway: &str, revision: i64) {
    shop.applied.send_modify(|applied| {
        applied.insert(gateway.to_owned(), revision);
    });
}

/// Writes down, for those who wait in other processes, that a gateway has applied everything up to `revision`.
///
/// # Errors
/// Only the database's.
pub async fn applied(shop: &Shop, gateway: &str, revision: i64) -> Result<()> {
    let (now, gateway) = (shop.now(), gateway.to_owned());
    shop.store
        .transaction(move |tx| {
            let gateway = gateway.clone();
            Box::pin(async move {
                tx.execute(
                    "UPDATE gateway_state SET applied_revision = $1, seen_at = $2 WHERE gateway = $3",
                    &[Value::Int(revision), Value::Int(now.0), Value::Text(gateway)],
                )
                .await?;
                Ok(())
            })
        })
        .await
}

/// Waits until a gateway has applied `revision`, at most `bound`; whether it has.
///
/// # Errors
/// Only the database's.
pub async fn wait_applied(shop: &Shop, gateway: &str, revision: i64, bound: Duration) -> Result<bool> {
    let mut applied = shop.applied.subscribe();
    let until_applied = async {
        loop {
            let here = applied.borrow_and_update().get(gateway).copied();
            let known = match here {
                Some(known) => known,
                None => applied_revision(shop, gateway).await?,
            };
            if known >= revision {
                return Ok(true);
            }
            // Woken by a gateway of this process; one of another process is asked again and again.
            let _ = tokio::time::timeout(APPLIED_POLL, applied.changed()).await;
        }
    };
    tokio::time::timeout(bound, until_applied).await.unwrap_or(Ok(false))
}

async fn applied_revision(shop: &Shop, gateway: &str) -> Result<i64> {
    let asked = "SELECT applied_revision FROM gateway_state WHERE gateway = $1";
    let row = shop.store.look_up(asked, vec![Value::Text(gateway.to_owned())]).await?;
    row.map_or(Ok(0), |row| row.int("applied_revision"))
}
