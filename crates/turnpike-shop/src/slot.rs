//! Slots and ports: taking the longest-free one, giving it back.
//!
//! A slot or port that another transaction has locked is passed over, never waited for, so taking them in any order cannot
//! deadlock. What that costs is told in [`crate::attempt`].
//!
//! A slot's exit is locked as well, against the catalogue alone, which might move it to another gateway just now.

use std::sync::LazyLock;

use crate::attempt::contended;
use crate::error::{Error, Refusal, Result};
use crate::shop::Shop;
use crate::store::many::{MOST, placeholders};
use crate::store::{Row, Tx, Value};
use crate::subscription;
use crate::types::{ConnectionType, ExitId, NetworkId, SubscriptionId, UnixMillis};

/// A free slot, locked until the transaction ends.
pub(crate) struct Slot {
    /// Its exit.
    pub(crate) exit: ExitId,
    /// Which of the exit's.
    pub(crate) number: i64,
    /// The exit's gateway.
    pub(crate) gateway: String,
    /// The host name of its customers' URLs.
    pub(crate) host: String,
    /// The name that its certificate is for.
    pub(crate) tls_server_name: Option<String>,
    /// Whether the exit can get another address.
    pub(crate) exit_can_rotate: bool,
}

impl Slot {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            exit: row.parsed("exit_id")?,
            number: row.int("slot_no")?,
            gateway: row.text("gateway")?,
            host: row.text("public_host")?,
            tls_server_name: row.optional_text("tls_server_name")?,
            exit_can_rotate: row.int("can_rotate")? == 1,
        })
    }
}

/// What kind of slot is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    /// In which network.
    pub(crate) network: &'a NetworkId,
    /// Whole exits or slots of shared ones.
    pub(crate) connection_type: ConnectionType,
    /// A gateway where no port is needed, because the subscription has one there; preferred.
    pub(crate) home: Option<&'a str>,
}

/// A slot for a sale, and who had to end for it.
pub(crate) struct Taken {
    /// The slot.
    pub(crate) slot: Slot,
    /// Subscriptions that were over and had not been swept up yet; their gateways have to be told.
    pub(crate) ended: Vec<SubscriptionId>,
}

/// Locks a slot for the next of `wanted` subscriptions, `taken` of which this transaction has. Before it says "sold out" it
/// ends what is due in this network.
pub(crate) async fn take(
    shop: &Shop,
    tx: &mut Tx,
    search: Search<'_>,
    taken: i64,
    wanted: i64,
    now: UnixMillis,
) -> Result<Taken> {
    if let Some(slot) = longest_free(tx, search).await? {
        let ended = Vec::new();
        return Ok(Taken { slot, ended });
    }
    let ended = subscription::end_due_in(shop, tx, search, now, wanted - taken).await?;
    match longest_free(tx, search).await? {
        Some(slot) => Ok(Taken { slot, ended }),
        None => Err(why_none(tx, search, taken, wanted, now).await?),
    }
}

/// Locks the slot that has been free longest, of an exit that is not down where there is one, on a gateway that has a port
/// to go with it.
async fn longest_free(tx: &mut Tx, search: Search<'_>) -> Result<Option<Slot>> {
    for is_down in [0, 1] {
        if search.home.is_some() {
            let at_home = candidate(tx, search, is_down, true).await?;
            if at_home.is_some() {
                return Ok(at_home);
            }
        }
        let anywhere = candidate(tx, search, is_down, false).await?;
        if anywhere.is_some() {
            return Ok(anywhere);
        }
    }
    Ok(None)
}

async fn candidate(tx: &mut Tx, search: Search<'_>, is_down: i64, only_at_home: bool) -> Result<Option<Slot>> {
    // By EXISTS, PostgreSQL would read all free ports. Those that have been free longest are where the index holds what was sold lately.
    let row = tx
        .optional(
            "SELECT s.exit_id, s.slot_no, e.gateway, g.public_host, g.tls_server_name, e.can_rotate
             FROM slot s JOIN network_exit e ON e.id = s.exit_id JOIN gateway g ON g.name = e.gateway
             WHERE s.network_id = $1 AND s.connection_type = $2 AND s.subscription_id IS NULL AND s.sellable = 1
               AND CASE WHEN e.health = 'down' THEN 1 ELSE 0 END = $3
               AND (e.gateway = $4 OR ($5 = 0 AND
                    (SELECT 1 FROM port p WHERE p.gateway = e.gateway AND p.subscription_id IS NULL AND p.in_range = 1
                     ORDER BY p.gateway DESC, p.freed_at DESC, p.port DESC LIMIT 1) = 1))
             ORDER BY s.freed_at, s.exit_id, s.slot_no LIMIT 1
             FOR NO KEY UPDATE OF s SKIP LOCKED FOR KEY SHARE OF e SKIP LOCKED",
            &[
                Value::Text(search.network.to_string()),
                Value::Text(search.connection_type.to_string()),
                Value::Int(is_down),
                Value::Text(search.home.unwrap_or_default().to_owned()),
                Value::Int(i64::from(only_at_home)),
            ],
        )
        .await?;
    row.as_ref().map(Slot::read).transpose()
}

/// Locks an exit against changes by the catalogue, as a search does for those that it finds.
pub(crate) async fn lock_exit(tx: &mut Tx, exit: &ExitId) -> Result<()> {
    let lock = "SELECT id FROM network_exit WHERE id = $1 FOR KEY SHARE";
    tx.one(lock, &[Value::Text(exit.to_string())]).await?;
    Ok(())
}

/// Locks a free slot of one exit, which is locked; waits for whoever has locked the slot. Only for a transaction that holds no
/// slot yet.
pub(crate) async fn free_of_exit(tx: &mut Tx, exit: &ExitId, connection_type: ConnectionType) -> Result<Option<Slot>> {
    let row = tx
        .optional(
            "SELECT s.exit_id, s.slot_no, e.gateway, g.public_host, g.tls_server_name, e.can_rotate
             FROM slot s JOIN network_exit e ON e.id = s.exit_id JOIN gateway g ON g.name = e.gateway
             WHERE s.exit_id = $1 AND s.connection_type = $2 AND s.subscription_id IS NULL AND s.sellable = 1
             ORDER BY s.slot_no LIMIT 1 FOR NO KEY UPDATE OF s",
            &[Value::Text(exit.to_string()), Value::Text(connection_type.to_string())],
        )
        .await?;
    row.as_ref().map(Slot::read).transpose()
}

/// Why [`longest_free`] found none although `wanted` were asked for, `taken` of which this transaction has. A slot whose
/// holder is over counts as free: this transaction has ended all that it could lock, so somebody else is about to.
async fn why_none(tx: &mut Tx, search: Search<'_>, taken: i64, wanted: i64, now: UnixMillis) -> Result<Error> {
    let row = tx
        .one(
            "SELECT CAST(COUNT(*) AS BIGINT) AS free, CAST(COALESCE(SUM(has_port), 0) AS BIGINT) AS with_port
             FROM (SELECT CASE WHEN e.gateway = $3 OR EXISTS
                        (SELECT 1 FROM port p WHERE p.gateway = e.gateway AND p.subscription_id IS NULL AND p.in_range = 1)
                    THEN 1 ELSE 0 END AS has_port
                   FROM slot s JOIN network_exit e ON e.id = s.exit_id
                   LEFT JOIN subscription h ON h.id = s.subscription_id AND h.state = 'active' AND h.ends_at <= $4
                   WHERE s.network_id = $1 AND s.connection_type = $2 AND s.sellable = 1
                     AND (s.subscription_id IS NULL OR h.id IS NOT NULL)
                  ) AS visible",
            &[
                Value::Text(search.network.to_string()),
                Value::Text(search.connection_type.to_string()),
                Value::Text(search.home.unwrap_or_default().to_owned()),
                Value::Int(now.0),
            ],
        )
        .await?;
    let free = taken + row.int("free")?;
    Ok(if taken + row.int("with_port")? >= wanted {
        contended(wanted)
    } else if free >= wanted {
        Refusal::NoFreePort.into()
    } else {
        Refusal::SoldOut { free, wanted }.into()
    })
}

/// Says anew which slots of exits are for sale: all that each should have, while it is in the catalogue and open. `exits` are ids,
/// [`filled`](crate::store::many::filled) up.
pub(crate) async fn offer(tx: &mut Tx, exits: &[Value]) -> Result<()> {
    tx.execute(&OFFER, exits).await?;
    Ok(())
}

static OFFER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE slot SET sellable = CASE WHEN slot_no <= COALESCE(
             (SELECT CASE WHEN e.shared_slots = 0 THEN 1 ELSE e.shared_slots END FROM network_exit e
              WHERE e.id = slot.exit_id AND e.active = 1 AND e.standing = 'open'), 0) THEN 1 ELSE 0 END
         WHERE exit_id IN ({})",
        placeholders(1, MOST)
    )
});

/// Gives a locked slot to a subscription, which must not hold another.
pub(crate) const GIVE: &str = "UPDATE slot SET subscription_id = $1 WHERE exit_id = $2 AND slot_no = $3";

impl Slot {
    /// The values of [`GIVE`].
    pub(crate) fn given_to(&self, subscription: &SubscriptionId) -> [Value; 3] {
        [
            Value::Text(subscription.to_string()),
            Value::Text(self.exit.to_string()),
            Value::Int(self.number),
        ]
    }
}

/// As [`GIVE`].
pub(crate) async fn give(tx: &mut Tx, slot: &Slot, subscription: &SubscriptionId) -> Result<()> {
    tx.execute(GIVE, &slot.given_to(subscription)).await?;
    Ok(())
}

/// Takes a subscription's slot from it.
pub(crate) async fn free(tx: &mut Tx, subscription: &SubscriptionId, now: UnixMillis) -> Result<()> {
    tx.execute(
        "UPDATE slot SET subscription_id = NULL, freed_at = $1 WHERE subscription_id = $2",
        &[Value::Int(now.0), Value::Text(subscription.to_string())],
    )
    .await?;
    Ok(())
}

/// Locks the port of a gateway that has been free longest; this one where it is free.
pub(crate) async fn free_port(tx: &mut Tx, gateway: &str, preferred: Option<i64>) -> Result<i64> {
    if let Some(preferred) = preferred {
        let same = tx
            .optional(
                "SELECT port FROM port
                 WHERE gateway = $1 AND port = $2 AND subscription_id IS NULL AND in_range = 1 FOR NO KEY UPDATE SKIP LOCKED",
                &[Value::Text(gateway.to_owned()), Value::Int(preferred)],
            )
            .await?;
        if same.is_some() {
            return Ok(preferred);
        }
    }
    tx.optional(
        "SELECT port FROM port WHERE gateway = $1 AND subscription_id IS NULL AND in_range = 1
         ORDER BY freed_at, port LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
        &[Value::Text(gateway.to_owned())],
    )
    .await?
    // The slot was chosen because its gateway had one a moment ago.
    .ok_or_else(|| contended(1))?
    .int("port")
}

/// Gives a locked port to a subscription, which must not hold another.
pub(crate) const GIVE_PORT: &str = "UPDATE port SET subscription_id = $1 WHERE gateway = $2 AND port = $3";

/// The values of [`GIVE_PORT`].
pub(crate) fn port_given(gateway: &str, port: i64, subscription: &SubscriptionId) -> [Value; 3] {
    [
        Value::Text(subscription.to_string()),
        Value::Text(gateway.to_owned()),
        Value::Int(port),
    ]
}

/// As [`GIVE_PORT`].
pub(crate) async fn give_port(tx: &mut Tx, gateway: &str, port: i64, subscription: &SubscriptionId) -> Result<()> {
    tx.execute(GIVE_PORT, &port_given(gateway, port, subscription)).await?;
    Ok(())
}

/// Takes a subscription's port from it.
pub(crate) async fn release_port(tx: &mut Tx, subscription: &SubscriptionId, now: UnixMillis) -> Result<()> {
    tx.execute(
        "UPDATE port SET subscription_id = NULL, freed_at = $1 WHERE subscription_id = $2",
        &[Value::Int(now.0), Value::Text(subscription.to_string())],
    )
    .await?;
    Ok(())
}
