//! Taking an exit, or a whole network, out of sale or out of service by hand, and back.
//!
//! The catalogue says what there is, the standing whether it is used: applying a catalogue changes no standing.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::attempt;
use crate::audit_log::{self, Actor};
use crate::error::{Error, Refusal, Result};
use crate::routes;
use crate::shop::Shop;
use crate::slot;
use crate::store::many::{Listed, MOST, filled};
use crate::store::{Row, Tx, Value};
use crate::types::{ExitId, ExitStanding, SubscriptionId, UnixMillis};

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

/// The statements about the exits that a condition names.
struct Which {
    /// The subscriptions of those that would begin or cease to serve.
    holders: &'static str,
    /// The exits, by the strongest lock: no sale may be under way that has found one open.
    exits: &'static str,
}

macro_rules! which {
    ($condition:literal) => {
        Which {
            holders: concat!(
                "SELECT s.id FROM network_exit e JOIN network n ON n.id = e.network_id
                 JOIN slot t ON t.exit_id = e.id JOIN subscription s ON s.id = t.subscription_id WHERE ",
                $condition,
                " AND (e.standing = 'disabled') <> ($2 = 'disabled') ORDER BY s.id FOR NO KEY UPDATE OF s"
            ),
            exits: concat!(
                "SELECT e.id, e.gateway, e.standing, e.name, n.code
                 FROM network_exit e JOIN network n ON n.id = e.network_id WHERE ",
                $condition,
                " ORDER BY e.id FOR UPDATE OF e"
            ),
        }
    };
}

const ONE: Which = which!("e.id = $1");
const OF_NETWORK: Which = which!("n.code = $1");

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
    attempt::settled(shop, move |tx| {
        let (now, actor, key) = (owned.now(), actor.clone(), Value::Text(exit.to_string()));
        Box::pin(async move {
            let found = lock(tx, &ONE, key, standing).await?;
            let gateway = found.exits.first().ok_or(Refusal::UnknownExit)?.gateway.clone();
            set(tx, &actor, found, standing, now).await?;
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
    attempt::settled(shop, move |tx| {
        let (now, actor, network) = (owned.now(), actor.clone(), network.clone());
        Box::pin(async move {
            let key = Value::Text(network.clone());
            let known = tx
                .optional("SELECT id FROM network WHERE code = $1", std::slice::from_ref(&key))
                .await?;
            if known.is_none() {
                return Err(Refusal::NoSuchNetwork(network).into());
            }
            let found = lock(tx, &OF_NETWORK, key, standing).await?;
            let gateways: BTreeSet<String> = found.exits.iter().map(|exit| exit.gateway.clone()).collect();
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

/// What is locked before anything is changed.
struct Locked {
    exits: Vec<LockedExit>,
    /// Who has those of them that begin or cease to serve.
    holders: Vec<SubscriptionId>,
}

/// A locked exit.
struct LockedExit {
    id: String,
    gateway: String,
    standing: ExitStanding,
    /// `NL-AMS/modem-1`.
    name: String,
}

/// Locks the holders, then the exits, as [`crate::order`] tells. Nobody comes to an exit that is locked, but somebody may have until
/// then: he is locked without waiting, or all begins again, because whoever holds him may be waiting for the exit.
async fn lock(tx: &mut Tx, which: &Which, key: Value, standing: ExitStanding) -> Result<Locked> {
    let asked = [key, Value::Text(standing.to_string())];
    let mut locked = ids(&tx.all(which.holders, &asked).await?)?;
    let rows = tx.all(which.exits, &asked[..1]).await?;
    let exits = rows.iter().map(LockedExit::read).collect::<Result<Vec<_>>>()?;
    let is_served = |standing: ExitStanding| standing != ExitStanding::Disabled;
    let served: Vec<_> = exits
        .iter()
        .filter(|exit| is_served(exit.standing) != is_served(standing))
        .map(|exit| Value::Text(exit.id.clone()))
        .collect();
    let holders = ids(&HOLDERS.all(tx, &[], &served).await?)?;
    let late: Vec<_> = holders.difference(&locked).cloned().map(Value::Text).collect();
    locked.extend(ids(&LOCK_LATE.all(tx, &[], &late).await?)?);
    if !holders.is_subset(&locked) {
        return Err(attempt::contended(1));
    }
    let parsed = |id: &String| {
        id.parse()
            .map_err(|_| Error::Failed(format!("{id} is no subscription's id")))
    };
    Ok(Locked {
        exits,
        holders: holders.iter().map(parsed).collect::<Result<_>>()?,
    })
}

impl LockedExit {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.text("id")?,
            gateway: row.text("gateway")?,
            standing: row.parsed("standing")?,
            name: format!("{}/{}", row.text("code")?, row.text("name")?),
        })
    }
}

fn ids(rows: &[Row]) -> Result<BTreeSet<String>> {
    rows.iter().map(|row| row.text("id")).collect()
}

/// Sets the standing of locked exits, and tells the gateways of those that begin or cease to serve; how many stood otherwise.
async fn set(
    tx: &mut Tx,
    actor: &Actor,
    Locked { mut exits, holders }: Locked,
    standing: ExitStanding,
    now: UnixMillis,
) -> Result<usize> {
    exits.retain(|exit| exit.standing != standing);
    let changed: Vec<_> = exits.iter().map(|exit| Value::Text(exit.id.clone())).collect();
    SET.execute(tx, &[Value::Text(standing.to_string())], &changed).await?;
    for part in changed.chunks(MOST) {
        slot::offer(tx, &filled(part.to_vec())).await?;
    }
    let told: Vec<_> = exits
        .iter()
        .map(|exit| {
            (
                exit.name.clone(),
                serde_json::json!({ "from": exit.standing, "to": standing }),
            )
        })
        .collect();
    audit_log::write_all(tx, actor, "exit.standing", &told, now).await?;
    routes::publish(tx, &holders).await?;
    Ok(exits.len())
}

static SET: LazyLock<Listed> = LazyLock::new(|| {
    Listed::of(1, |ids| {
        format!("UPDATE network_exit SET standing = $1 WHERE id IN ({ids})")
    })
});

/// Who has them.
static HOLDERS: LazyLock<Listed> = LazyLock::new(|| {
    Listed::of(0, |ids| {
        format!("SELECT subscription_id AS id FROM slot WHERE exit_id IN ({ids}) AND subscription_id IS NOT NULL")
    })
});

static LOCK_LATE: LazyLock<Listed> = LazyLock::new(|| {
    Listed::of(0, |ids| {
        format!("SELECT id FROM subscription WHERE id IN ({ids}) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED")
    })
});
