//! Taking an exit, or a whole network, out of sale or out of service by hand, and back.
//!
//! The catalogue says what there is, the standing whether it is used: applying a catalogue changes no standing.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::audit_log::{self, Actor};
use crate::error::{Refusal, Result};
use crate::routes;
use crate::shop::Shop;
use crate::slot;
use crate::store::many::{MOST, filled, placeholders};
use crate::store::{Row, Tx, Value};
use crate::types::{ExitId, ExitStanding, UnixMillis};

/// An exit whose standing was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its gateway.
    pub gateway: String,
    /// The revision by which the gateway learns of it.
    pub revision: i64,
}

/// A network whose exits' standing was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedNetwork {
    /// How many of its exits stood otherwise before.
    pub exits: usize,
    /// Its exits' gateways, with the revisions by which they learn of it.
    pub gateways: Vec<Changed>,
}

/// The exits that a condition names, by the strongest lock: no sale may be under way that has found one open.
macro_rules! locked {
    ($which:literal) => {
        concat!(
            "SELECT e.id, e.gateway, e.standing, e.name, n.code
             FROM network_exit e JOIN network n ON n.id = e.network_id WHERE ",
            $which,
            " FOR UPDATE OF e"
        )
    };
}

/// Sets whether an exit is sold and served. Draining: it is not sold any more, and whoever has it keeps it, renewals included.
/// Disabled: the ports of whoever has it close within a second, while their time runs on; they may switch. Open: both again.
///
/// # Errors
/// [`Refusal::UnknownExit`].
pub async fn set_standing(
    shop: &Shop,
    actor: impl Into<Actor>,
    exit: &ExitId,
    standing: ExitStanding,
) -> Result<Changed> {
    let (owned, actor, exit) = (shop.clone(), Actor::of(actor), exit.clone());
    shop.store
        .transaction(move |tx| {
            let (now, actor, key) = (owned.now(), actor.clone(), Value::Text(exit.to_string()));
            Box::pin(async move {
                let found = lock(tx, locked!("e.id = $1"), key).await?;
                let exit = found.into_iter().next().ok_or(Refusal::UnknownExit)?;
                let gateway = exit.gateway.clone();
                set(tx, &actor, vec![exit], standing, now).await?;
                let revision = routes::revision_now(tx, &gateway).await?;
                Ok(Changed { gateway, revision })
            })
        })
        .await
}

/// The same for all exits of a network, which is named by its code, those that have left the catalogue included: all at once or
/// none. Exits that are added to it later are open.
///
/// # Errors
/// [`Refusal::NoSuchNetwork`].
pub async fn set_network_standing(
    shop: &Shop,
    actor: impl Into<Actor>,
    network: &str,
    standing: ExitStanding,
) -> Result<ChangedNetwork> {
    let (owned, actor, network) = (shop.clone(), Actor::of(actor), network.to_owned());
    shop.store
        .transaction(move |tx| {
            let (now, actor, network) = (owned.now(), actor.clone(), network.clone());
            Box::pin(async move {
                let key = Value::Text(network.clone());
                let known = tx
                    .optional("SELECT id FROM network WHERE code = $1", std::slice::from_ref(&key))
                    .await?;
                if known.is_none() {
                    return Err(Refusal::NoSuchNetwork(network).into());
                }
                // By id, as the catalogue locks them.
                let found = lock(tx, locked!("n.code = $1 ORDER BY e.id"), key).await?;
                let gateways: BTreeSet<String> = found.iter().map(|exit| exit.gateway.clone()).collect();
                let exits = set(tx, &actor, found, standing, now).await?;
                let mut changed = ChangedNetwork {
                    exits,
                    gateways: Vec::new(),
                };
                for gateway in gateways {
                    let revision = routes::revision_now(tx, &gateway).await?;
                    changed.gateways.push(Changed { gateway, revision });
                }
                Ok(changed)
            })
        })
        .await
}

/// A locked exit.
struct Locked {
    id: String,
    gateway: String,
    standing: ExitStanding,
    /// `NL-AMS/modem-1`.
    name: String,
}

async fn lock(tx: &mut Tx, sql: &'static str, key: Value) -> Result<Vec<Locked>> {
    let rows = tx.all(sql, &[key]).await?;
    let read = |row: &Row| {
        Ok(Locked {
            id: row.text("id")?,
            gateway: row.text("gateway")?,
            standing: row.parsed("standing")?,
            name: format!("{}/{}", row.text("code")?, row.text("name")?),
        })
    };
    rows.iter().map(read).collect()
}

/// Sets the standing of locked exits, and tells the gateways of those that begin or cease to serve; how many stood otherwise.
async fn set(
    tx: &mut Tx,
    actor: &Actor,
    mut exits: Vec<Locked>,
    standing: ExitStanding,
    now: UnixMillis,
) -> Result<usize> {
    exits.retain(|exit| exit.standing != standing);
    let mut held = Vec::new();
    for part in exits.chunks(MOST) {
        let ids = filled(part.iter().map(|exit| Value::Text(exit.id.clone())).collect());
        let mut values = ids.clone();
        values.push(Value::Text(standing.to_string()));
        tx.execute(&SET, &values).await?;
        slot::offer(tx, &ids).await?;
        for exit in part {
            let detail = serde_json::json!({ "from": exit.standing, "to": standing });
            audit_log::write(tx, actor, "exit.standing", &exit.name, &detail, now).await?;
        }
        let is_served = |standing: ExitStanding| standing != ExitStanding::Disabled;
        let served: Vec<_> = part
            .iter()
            .filter(|exit| is_served(exit.standing) != is_served(standing))
            .map(|exit| Value::Text(exit.id.clone()))
            .collect();
        if !served.is_empty() {
            let rows = tx.all(&HELD, &filled(served)).await?;
            for row in &rows {
                held.push(row.parsed("subscription_id")?);
            }
        }
    }
    if !held.is_empty() {
        routes::publish(tx, &held).await?;
    }
    Ok(exits.len())
}

static SET: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE network_exit SET standing = ${} WHERE id IN ({})",
        MOST + 1,
        placeholders(1, MOST)
    )
});

/// Who has them.
static HELD: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT subscription_id FROM slot WHERE exit_id IN ({}) AND subscription_id IS NOT NULL ORDER BY subscription_id",
        placeholders(1, MOST)
    )
});
