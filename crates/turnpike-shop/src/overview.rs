//! How the shop stands, for whoever runs it: what it earns, what is free, what works and what does not.

use crate::error::Result;
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{Cents, ConnectionType, RotationId, Span, UnixMillis};

/// An open rotation older than this is stuck: the slowest exits take a minute.
pub const STUCK_AFTER: Span = Span::minutes(2);
/// A gateway that has not told so long that it lives does not, or cannot reach the database.
pub const SILENT_AFTER: Span = Span::seconds(35);
/// How many of what does not work are named.
const MOST_NAMED: i64 = 20;

/// How the shop stands.
#[derive(Debug, Clone)]
pub struct Overview {
    /// What it earned lately.
    pub revenue: Revenue,
    /// Subscriptions running now.
    pub active_subscriptions: i64,
    /// Customers' accounts.
    pub customers: i64,
    /// What it sells and how much of that is free, by network and connection type.
    pub stock: Vec<Stock>,
    /// How the exits of the catalogue are, by network.
    pub exits: Vec<Exits>,
    /// Exits that do not work, those that failed last first, at most 20.
    pub down: Vec<DownExit>,
    /// Rotations that are open for longer than [`STUCK_AFTER`], the oldest first, at most 20.
    pub stuck: Vec<StuckRotation>,
    /// Rotations that failed within a day.
    pub failed_rotations: i64,
    /// What ports have refused within a day, by reason, the most frequent first, at most 20.
    pub refused: Vec<Refused>,
    /// The gateways, by name.
    pub gateways: Vec<Gateway>,
}

/// What orders paid, less what was given back, up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revenue {
    /// Since 24 hours ago.
    pub day: Cents,
    /// Since 7 days ago.
    pub week: Cents,
    /// Since 30 days ago.
    pub month: Cents,
}

/// What of a network is sold and free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stock {
    /// `NL-AMS`.
    pub network_code: String,
    /// `Amsterdam`.
    pub city: String,
    /// `NL`.
    pub country: String,
    /// Whether anything of it can be bought.
    pub is_sold: bool,
    /// Whole exits or slots.
    pub connection_type: ConnectionType,
    /// Slots held by subscriptions.
    pub taken: i64,
    /// Slots that can be bought.
    pub free: i64,
}

/// How the exits of a network are; those that left the catalogue do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exits {
    /// `NL-AMS`.
    pub network_code: String,
    /// Those that work.
    pub up: i64,
    /// Those that do not.
    pub down: i64,
    /// Those that nobody has tried yet.
    pub unknown: i64,
}

/// An exit that does not work.
#[derive(Debug, Clone)]
pub struct DownExit {
    /// `NL-AMS`.
    pub network_code: String,
    /// Its name in the catalogue.
    pub name: String,
    /// Since when.
    pub since: Option<UnixMillis>,
    /// Why, as far as that is known.
    pub detail: Option<String>,
}

/// How often ports have refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason's word ([`crate::refusals::Refusal::code`]).
    pub code: String,
    /// How often, of what is kept ([`crate::refusals::KEPT`]).
    pub times: i64,
    /// Of how many subscriptions.
    pub subscriptions: i64,
}

/// A rotation that does not end.
#[derive(Debug, Clone)]
pub struct StuckRotation {
    /// Its id.
    pub id: RotationId,
    /// `NL-AMS`.
    pub network_code: String,
    /// The exit's name in the catalogue.
    pub exit: String,
    /// The gateway that is to do it.
    pub gateway: String,
    /// Since when it is open.
    pub requested_at: UnixMillis,
    /// Whether its gateway has begun with it.
    pub is_running: bool,
}

/// A gateway and how far it has come.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// The host in customers' URLs.
    pub public_host: String,
    /// The program's version, where it has said so.
    pub version: Option<String>,
    /// The first port of its range.
    pub first_port: i64,
    /// The last one.
    pub last_port: i64,
    /// How many of its ports are held.
    pub ports_taken: i64,
    /// The newest change of its routes and exits.
    pub revision: i64,
    /// The newest that it has applied.
    pub applied_revision: i64,
    /// Connections that it has open, as it has told last.
    pub tunnels: i64,
    /// What went through it within 24 hours, both ways, in bytes.
    pub moved: i64,
    /// Active exits of it.
    pub exits: i64,
    /// When it last told that it lives.
    pub seen_at: UnixMillis,
}

impl Gateway {
    /// Whether it has not told for [`SILENT_AFTER`] that it lives.
    #[must_use]
    pub fn is_silent(&self, now: UnixMillis) -> bool {
        self.seen_at <= now.minus(SILENT_AFTER)
    }
}

/// The gateways, by name.
///
/// # Errors
/// Only the database's.
pub async fn gateways(shop: &Shop) -> Result<Vec<Gateway>> {
    let now = shop.now();
    shop.store
        .read(move |tx| Box::pin(async move { all_gateways(tx, now).await }))
        .await
}

/// How the shop stands, in one consistent view.
///
/// # Errors
/// Only the database's.
pub async fn overview(shop: &Shop) -> Result<Overview> {
    let now = shop.now();
    shop.store
        .read(move |tx| {
            Box::pin(async move {
                let counted = tx
                    .one(
                        "SELECT (SELECT COUNT(*) FROM subscription WHERE state = 'active' AND ends_at > $1) AS active,
                                (SELECT COUNT(*) FROM account WHERE role = 'customer') AS customers,
                                (SELECT COUNT(*) FROM rotation WHERE state = 'failed' AND finished_at > $2) AS failed",
                        &[Value::Int(now.0), Value::Int(now.minus(Span::days(1)).0)],
                    )
                    .await?;
                Ok(Overview {
                    revenue: revenue(tx, now).await?,
                    active_subscriptions: counted.int("active")?,
                    customers: counted.int("customers")?,
                    failed_rotations: counted.int("failed")?,
                    refused: refused(tx, now).await?,
                    stock: stock(tx).await?,
                    exits: exits(tx).await?,
                    down: down(tx).await?,
                    stuck: stuck(tx, now).await?,
                    gateways: all_gateways(tx, now).await?,
                })
            })
        })
        .await
}

async fn revenue(tx: &mut Tx, now: UnixMillis) -> Result<Revenue> {
    let row = tx
        .one(
            "SELECT CAST(COALESCE(SUM(CASE WHEN created_at > $1 THEN amount_cents END), 0) AS BIGINT) AS day,
                    CAST(COALESCE(SUM(CASE WHEN created_at > $2 THEN amount_cents END), 0) AS BIGINT) AS week,
                    CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS month
             FROM posting WHERE ledger_account_id = 'revenue' AND number IS NULL AND created_at > $3",
            &[1, 7, 30].map(|days| Value::Int(now.minus(Span::days(days)).0)),
        )
        .await?;
    Ok(Revenue {
        day: Cents(row.int("day")?),
        week: Cents(row.int("week")?),
        month: Cents(row.int("month")?),
    })
}

async fn stock(tx: &mut Tx) -> Result<Vec<Stock>> {
    let rows = tx
        .all(
            "SELECT n.code, n.city, n.country, n.active, t.connection_type, COUNT(t.subscription_id) AS taken,
                    COUNT(CASE WHEN t.subscription_id IS NULL AND t.sellable = 1 AND n.active = 1 THEN 1 END) AS free
             FROM slot t JOIN network n ON n.id = t.network_id
             GROUP BY n.code, n.city, n.country, n.active, t.connection_type
             HAVING n.active = 1 OR COUNT(t.subscription_id) > 0 ORDER BY n.code, t.connection_type",
            &[],
        )
        .await?;
    let read = |row: &Row| {
        Ok(Stock {
            network_code: row.text("code")?,
            city: row.text("city")?,
            country: row.text("country")?,
            is_sold: row.int("active")? == 1,
            connection_type: row.parsed("connection_type")?,
            taken: row.int("taken")?,
            free: row.int("free")?,
        })
    };
    rows.iter().map(read).collect()
}

async fn exits(tx: &mut Tx) -> Result<Vec<Exits>> {
    let rows = tx
        .all(
            "SELECT n.code, COUNT(CASE WHEN e.health = 'up' THEN 1 END) AS up,
                    COUNT(CASE WHEN e.health = 'down' THEN 1 END) AS down,
                    COUNT(CASE WHEN e.health = 'unknown' THEN 1 END) AS untried
             FROM network_exit e JOIN network n ON n.id = e.network_id
             WHERE e.active = 1 GROUP BY n.code ORDER BY n.code",
            &[],
        )
        .await?;
    let read = |row: &Row| {
        Ok(Exits {
            network_code: row.text("code")?,
            up: row.int("up")?,
            down: row.int("down")?,
            unknown: row.int("untried")?,
        })
    };
    rows.iter().map(read).collect()
}

async fn down(tx: &mut Tx) -> Result<Vec<DownExit>> {
    let rows = tx
        .all(
            "SELECT n.code, e.name, e.health_since, e.health_detail
             FROM network_exit e JOIN network n ON n.id = e.network_id
             WHERE e.active = 1 AND e.health = 'down' ORDER BY COALESCE(e.health_since, 0) DESC, e.id LIMIT $1",
            &[Value::Int(MOST_NAMED)],
        )
        .await?;
    let read = |row: &Row| {
        Ok(DownExit {
            network_code: row.text("code")?,
            name: row.text("name")?,
            since: row.optional_int("health_since")?.map(UnixMillis),
            detail: row.optional_text("health_detail")?,
        })
    };
    rows.iter().map(read).collect()
}

async fn refused(tx: &mut Tx, now: UnixMillis) -> Result<Vec<Refused>> {
    let rows = tx
        .all(
            "SELECT code, CAST(SUM(times) AS BIGINT) AS times, COUNT(DISTINCT subscription_id) AS subscriptions
             FROM refusal WHERE last_at > $1 GROUP BY code ORDER BY SUM(times) DESC, code LIMIT $2",
            &[Value::Int(now.minus(Span::days(1)).0), Value::Int(MOST_NAMED)],
        )
        .await?;
    let read = |row: &Row| {
        Ok(Refused {
            code: row.text("code")?,
            times: row.int("times")?,
            subscriptions: row.int("subscriptions")?,
        })
    };
    rows.iter().map(read).collect()
}

async fn stuck(tx: &mut Tx, now: UnixMillis) -> Result<Vec<StuckRotation>> {
    let rows = tx
        .all(
            "SELECT r.id, n.code, e.name, r.gateway, r.requested_at, r.state
             FROM rotation r JOIN network_exit e ON e.id = r.exit_id JOIN network n ON n.id = e.network_id
             WHERE r.state IN ('queued', 'running') AND r.requested_at <= $1 ORDER BY r.requested_at, r.id LIMIT $2",
            &[Value::Int(now.minus(STUCK_AFTER).0), Value::Int(MOST_NAMED)],
        )
        .await?;
    let read = |row: &Row| {
        Ok(StuckRotation {
            id: row.parsed("id")?,
            network_code: row.text("code")?,
            exit: row.text("name")?,
            gateway: row.text("gateway")?,
            requested_at: UnixMillis(row.int("requested_at")?),
            is_running: row.text("state")? == "running",
        })
    };
    rows.iter().map(read).collect()
}

async fn all_gateways(tx: &mut Tx, now: UnixMillis) -> Result<Vec<Gateway>> {
    let rows = tx
        .all(
            "SELECT g.name, g.public_host, g.first_port, g.last_port, t.version, t.revision, t.applied_revision, t.seen_at, t.tunnels,
                    (SELECT COUNT(*) FROM network_exit e WHERE e.gateway = g.name AND e.active = 1) AS exits,
                    (SELECT CAST(COALESCE(SUM(f.bytes_up + f.bytes_down), 0) AS BIGINT) FROM gateway_traffic f
                     WHERE f.gateway = g.name AND f.hour > $1) AS moved,
                    (SELECT COUNT(p.subscription_id) FROM port p WHERE p.gateway = g.name) AS ports_taken
             FROM gateway g JOIN gateway_state t ON t.gateway = g.name ORDER BY g.name",
            &[Value::Int(now.minus(Span::hours(24)).0)],
        )
        .await?;
    let read = |row: &Row| {
        Ok(Gateway {
            name: row.text("name")?,
            public_host: row.text("public_host")?,
            version: row.optional_text("version")?,
            first_port: row.int("first_port")?,
            last_port: row.int("last_port")?,
            ports_taken: row.int("ports_taken")?,
            revision: row.int("revision")?,
            applied_revision: row.int("applied_revision")?,
            tunnels: row.int("tunnels")?,
            moved: row.int("moved")?,
            exits: row.int("exits")?,
            seen_at: UnixMillis(row.int("seen_at")?),
        })
    };
    rows.iter().map(read).collect()
}
