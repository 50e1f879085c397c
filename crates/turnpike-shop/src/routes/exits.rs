//! What gateways tell of their exits, and what operators see of them.

use std::net::IpAddr;

use crate::error::Result;
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{ExitId, Health, UnixMillis};

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
    let (now, exit, detail) = (shop.now(), exit.clone(), detail.map(str::to_owned));
    shop.store
        .transaction(move |tx| {
            let (exit, detail) = (exit.clone(), detail.clone());
            Box::pin(async move {
                let exit = Value::Text(exit.to_string());
                tx.execute(
                    "UPDATE network_exit SET health = $1, health_detail = $2,
                         health_since = CASE WHEN health = $1 THEN health_since ELSE $3 END
                     WHERE id = $4",
                    &[
                        Value::Text(health.to_string()),
                        detail.map_or(Value::NullText, Value::Text),
                        Value::Int(now.0),
                        exit.clone(),
                    ],
                )
                .await?;
                if let Some(address) = address {
                    remember_address(tx, exit, address, now).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Sets an exit's present address, and adds it to the exit's history where it is another than before.
async fn remember_address(tx: &mut Tx, exit: Value, address: IpAddr, now: UnixMillis) -> Result<()> {
    let address = Value::Text(address.to_string());
    let is_another = tx
        .execute(
            "UPDATE network_exit SET present_address = $1
             WHERE id = $2 AND (present_address IS NULL OR present_address <> $1)",
            &[address.clone(), exit.clone()],
        )
        .await?
        > 0;
    if is_another {
        tx.execute(
            "INSERT INTO exit_address (exit_id, since, address) VALUES ($1, $2, $3)
             ON CONFLICT (exit_id, since) DO UPDATE SET address = excluded.address",
            &[exit, Value::Int(now.0), address],
        )
        .await?;
    }
    Ok(())
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
    shop.store
        .read(|tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT n.code, e.name, e.gateway, e.health, e.health_detail, e.present_address, e.rotated_at,
                                COUNT(s.slot_no) AS slots, COUNT(s.subscription_id) AS slots_taken
                         FROM network_exit e JOIN network n ON n.id = e.network_id
                         LEFT JOIN slot s ON s.exit_id = e.id
                         WHERE e.active = 1
                         GROUP BY n.code, e.id, e.name, e.gateway, e.health, e.health_detail, e.present_address, e.rotated_at
                         ORDER BY n.code, e.name",
                        &[],
                    )
                    .await?;
                rows.iter().map(exit_state).collect()
            })
        })
        .await
}

fn exit_state(row: &Row) -> Result<ExitState> {
    Ok(ExitState {
        name: format!("{}/{}", row.text("code")?, row.text("name")?),
        gateway: row.text("gateway")?,
        health: row.parsed("health")?,
        detail: row.optional_text("health_detail")?,
        address: row.optional_parsed("present_address")?,
        slots_taken: row.int("slots_taken")?,
        slots: row.int("slots")?,
        rotated_at: row.optional_int("rotated_at")?.map(UnixMillis),
    })
}
