//! Telling gateways that routes or exits have changed: the last writes of a verb.
//!
//! However many they are, they are told by lists: the gateways' counters are locked meanwhile, and every statement is a way to
//! PostgreSQL and back.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::error::Result;
use crate::store::many::Listed;
use crate::store::{Engine, Tx, Value};
use crate::types::{ExitId, SubscriptionId};

/// Tells the gateways of these subscriptions that their routes have changed. The last write of a verb: it locks the counters of
/// the gateways concerned, by name, until the commit.
///
/// # Errors
/// Only the database's.
pub(crate) async fn publish(tx: &mut Tx, changed: &[SubscriptionId]) -> Result<()> {
    publish_with(tx, changed, std::iter::empty()).await?;
    Ok(())
}

/// As [`publish`], also of subscriptions that this transaction has opened on these gateways; the revisions that tell of them. On
/// PostgreSQL those are for [`super::tell`] when this is committed, unless their gateway is told of something else here.
///
/// # Errors
/// Only the database's.
pub(crate) async fn publish_with<'a>(
    tx: &mut Tx,
    changed: &[SubscriptionId],
    opened: impl Iterator<Item = (&'a SubscriptionId, &'a str)>,
) -> Result<BTreeMap<String, i64>> {
    let mut by_gateway: BTreeMap<String, News> = BTreeMap::new();
    let ids: Vec<_> = changed.iter().map(|id| Value::Text(id.to_string())).collect();
    for row in TOLD.all(tx, &[], &ids).await? {
        let (id, gateway) = (Value::Text(row.text("id")?), row.text("gateway")?);
        let told = row.optional_text("told_gateway")?;
        if let Some(told) = told.filter(|told| *told != gateway) {
            by_gateway.entry(told).or_default().left.push(id.clone());
        }
        by_gateway.entry(gateway).or_default().changed.push(id);
    }
    let are_told_later = tx.engine() == Engine::Postgres;
    for (id, gateway) in opened {
        if !are_told_later || by_gateway.contains_key(gateway) {
            let news = by_gateway.entry(gateway.to_owned()).or_default();
            news.opened.push(Value::Text(id.to_string()));
        }
    }
    let mut revisions = BTreeMap::new();
    for (gateway, news) in by_gateway {
        let revision = advance(tx, &gateway).await?;
        news.tell(tx, &gateway, revision).await?;
        revisions.insert(gateway, revision);
    }
    Ok(revisions)
}

/// What a gateway is to be told: ids of subscriptions.
#[derive(Default)]
struct News {
    /// Now somebody else's.
    left: Vec<Value>,
    /// Known, or come from somebody else.
    changed: Vec<Value>,
    /// Known to nobody yet.
    opened: Vec<Value>,
}

impl News {
    async fn tell(self, tx: &mut Tx, gateway: &str, revision: i64) -> Result<()> {
        let told = [Value::Text(gateway.to_owned()), Value::Int(revision)];
        LEAVE.execute(tx, &told, &self.left).await?;
        CHANGE.execute(tx, &told, &self.opened).await?;
        CHANGE.execute(tx, &told, &self.changed).await?;
        COME_BACK.execute(tx, &told[..1], &self.changed).await
    }
}

/// Who was told of them, and who is to be.
static TOLD: LazyLock<Listed> = LazyLock::new(|| {
    Listed::of(0, |ids| {
        format!("SELECT id, gateway, told_gateway FROM subscription WHERE id IN ({ids})")
    })
});

static LEAVE: LazyLock<Listed> = LazyLock::new(|| {
    Listed::of(2, |ids| {
        format!(
            "INSERT INTO moved_route (gateway, subscription_id, revision)
             SELECT $1, id, $2 FROM subscription WHERE id IN ({ids})
             ON CONFLICT (gateway, subscription_id) DO UPDATE SET revision = excluded.revision"
        )
    })
});

static CHANGE: LazyLock<Listed> = LazyLock::new(|| {
    Listed::of(2, |ids| {
        format!("UPDATE subscription SET told_gateway = $1, revision = $2 WHERE id IN ({ids})")
    })
});

/// Whoever has left this gateway before.
static COME_BACK: LazyLock<Listed> = LazyLock::new(|| {
    Listed::of(1, |ids| {
        format!("DELETE FROM moved_route WHERE gateway = $1 AND subscription_id IN ({ids})")
    })
});

/// As [`publish`], for exits.
///
/// # Errors
/// Only the database's.
pub(crate) async fn publish_exits(tx: &mut Tx, changed: &[(String, ExitId)]) -> Result<()> {
    let mut by_gateway: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (gateway, exit) in changed {
        by_gateway
            .entry(gateway)
            .or_default()
            .push(Value::Text(exit.to_string()));
    }
    for (gateway, exits) in by_gateway {
        let revision = Value::Int(advance(tx, gateway).await?);
        CHANGE_EXITS.execute(tx, &[revision], &exits).await?;
    }
    Ok(())
}

static CHANGE_EXITS: LazyLock<Listed> = LazyLock::new(|| {
    Listed::of(1, |ids| {
        format!("UPDATE network_exit SET revision = $1 WHERE id IN ({ids})")
    })
});

async fn advance(tx: &mut Tx, gateway: &str) -> Result<i64> {
    tx.wake();
    tx.one(
        "UPDATE gateway_state SET revision = revision + 1 WHERE gateway = $1 RETURNING revision",
        &[Value::Text(gateway.to_owned())],
    )
    .await?
    .int("revision")
}
