//! How each network stands: its exits, and what of it is free.

use crate::error::{Refusal, Result};
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::NetworkType;

/// A network as operators see it. Exits that left the catalogue do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkView {
    /// `NL-AMS`.
    pub code: String,
    /// `Amsterdam`.
    pub city: String,
    /// `NL`.
    pub country: String,
    /// What kind of line its exits have.
    pub network_type: NetworkType,
    /// Whether it stands in the catalogue.
    pub is_sold: bool,
    /// Exits that get out.
    pub up: i64,
    /// Exits that do not.
    pub down: i64,
    /// Exits that nobody has tried yet.
    pub untried: i64,
    /// Exits, of all these, that an operator has taken from sale: drained ones and disabled ones.
    pub held_back: i64,
    /// Slots that subscriptions have.
    pub taken: i64,
    /// Slots that can be bought.
    pub free: i64,
    /// Connections that are open through its exits, as their gateways have told last.
    pub tunnels: i64,
}

/// The networks by code: those of the catalogue, and those that somebody still has something of.
///
/// # Errors
/// Only the database's.
pub async fn networks(shop: &Shop) -> Result<Vec<NetworkView>> {
    shop.store.read(|tx| Box::pin(all(tx))).await
}

/// How one network's exits stand by what operators have decided, those that have left the catalogue included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkStanding {
    /// `NL-AMS`.
    pub code: String,
    /// `Amsterdam`.
    pub city: String,
    /// `NL`.
    pub country: String,
    /// Exits that are open.
    pub open: i64,
    /// Exits that drain.
    pub draining: i64,
    /// Exits that are disabled.
    pub disabled: i64,
    /// Slots that subscriptions have.
    pub taken: i64,
}

/// A network by its code.
///
/// # Errors
/// [`Refusal::NoSuchNetwork`].
pub async fn network(shop: &Shop, code: &str) -> Result<NetworkStanding> {
    let code = code.to_owned();
    shop.store
        .read(move |tx| {
            let code = code.clone();
            Box::pin(async move {
                let row = tx
                    .optional(
                        "SELECT n.code, n.city, n.country, COUNT(CASE WHEN e.standing = 'open' THEN 1 END) AS open,
                                COUNT(CASE WHEN e.standing = 'draining' THEN 1 END) AS draining,
                                COUNT(CASE WHEN e.standing = 'disabled' THEN 1 END) AS disabled,
                                (SELECT COUNT(s.subscription_id) FROM slot s WHERE s.network_id = n.id) AS taken
                         FROM network n LEFT JOIN network_exit e ON e.network_id = n.id
                         WHERE n.code = $1 GROUP BY n.id, n.code, n.city, n.country",
                        &[Value::Text(code.clone())],
                    )
                    .await?
                    .ok_or(Refusal::NoSuchNetwork(code))?;
                Ok(NetworkStanding {
                    code: row.text("code")?,
                    city: row.text("city")?,
                    country: row.text("country")?,
                    open: row.int("open")?,
                    draining: row.int("draining")?,
                    disabled: row.int("disabled")?,
                    taken: row.int("taken")?,
                })
            })
        })
        .await
}

async fn all(tx: &mut Tx) -> Result<Vec<NetworkView>> {
    let rows = tx
        .all(
            "SELECT n.code, n.city, n.country, n.network_type, n.active,
                    COALESCE(e.up, 0) AS up, COALESCE(e.down, 0) AS down, COALESCE(e.untried, 0) AS untried,
                    COALESCE(e.held_back, 0) AS held_back,
                    COALESCE(t.taken, 0) AS taken, CASE WHEN n.active = 1 THEN COALESCE(t.free, 0) ELSE 0 END AS free,
                    COALESCE(o.tunnels, 0) AS tunnels
             FROM network n
             LEFT JOIN (SELECT network_id, COUNT(CASE WHEN health = 'up' THEN 1 END) AS up,
                               COUNT(CASE WHEN health = 'down' THEN 1 END) AS down,
                               COUNT(CASE WHEN health = 'unknown' THEN 1 END) AS untried,
                               COUNT(CASE WHEN standing <> 'open' THEN 1 END) AS held_back
                        FROM network_exit WHERE active = 1 GROUP BY network_id) e ON e.network_id = n.id
             LEFT JOIN (SELECT network_id, COUNT(subscription_id) AS taken,
                               COUNT(CASE WHEN subscription_id IS NULL AND sellable = 1 THEN 1 END) AS free
                        FROM slot GROUP BY network_id) t ON t.network_id = n.id
             LEFT JOIN (SELECT x.network_id, CAST(SUM(u.tunnels) AS BIGINT) AS tunnels
                        FROM exit_tunnels u JOIN network_exit x ON x.id = u.exit_id GROUP BY x.network_id) o ON o.network_id = n.id
             WHERE n.active = 1 OR t.taken > 0 ORDER BY n.code",
            &[],
        )
        .await?;
    let read = |row: &Row| {
        Ok(NetworkView {
            code: row.text("code")?,
            city: row.text("city")?,
            country: row.text("country")?,
            network_type: row.parsed("network_type")?,
            is_sold: row.int("active")? == 1,
            up: row.int("up")?,
            down: row.int("down")?,
            untried: row.int("untried")?,
            held_back: row.int("held_back")?,
            taken: row.int("taken")?,
            free: row.int("free")?,
            tunnels: row.int("tunnels")?,
        })
    };
    rows.iter().map(read).collect()
}
