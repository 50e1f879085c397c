//! Taking an exit out of sale or out of service by hand, and back.
//!
//! The catalogue says what there is, the standing whether it is used: applying a catalogue changes no standing.

use crate::audit_log::{self, Actor};
use crate::error::{Refusal, Result};
use crate::routes;
use crate::shop::Shop;
use crate::slot;
use crate::store::many::filled;
use crate::store::{Tx, Value};
use crate::types::{ExitId, ExitStanding, SubscriptionId};

/// An exit whose standing was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its gateway.
    pub gateway: String,
    /// The revision by which the gateway learns of it.
    pub revision: i64,
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
            let (now, actor, exit) = (owned.now(), actor.clone(), exit.clone());
            Box::pin(async move {
                let key = Value::Text(exit.to_string());
                // The strongest lock: no sale may be under way that has found it open.
                let row = tx
                    .optional(
                        "SELECT e.gateway, e.standing, e.name, n.code FROM network_exit e JOIN network n ON n.id = e.network_id
                         WHERE e.id = $1 FOR UPDATE OF e",
                        std::slice::from_ref(&key),
                    )
                    .await?
                    .ok_or(Refusal::UnknownExit)?;
                let gateway = row.text("gateway")?;
                let before: ExitStanding = row.parsed("standing")?;
                if before != standing {
                    tx.execute(
                        "UPDATE network_exit SET standing = $1 WHERE id = $2",
                        &[Value::Text(standing.to_string()), key],
                    )
                    .await?;
                    slot::offer(tx, &filled(vec![Value::Text(exit.to_string())])).await?;
                    let name = format!("{}/{}", row.text("code")?, row.text("name")?);
                    let detail = serde_json::json!({ "from": before, "to": standing });
                    audit_log::write(tx, &actor, "exit.standing", &name, &detail, now).await?;
                    if before == ExitStanding::Disabled || standing == ExitStanding::Disabled {
                        let held = held(tx, &exit).await?;
                        routes::publish(tx, &held).await?;
                    }
                }
                let revision = routes::revision_now(tx, &gateway).await?;
                Ok(Changed { gateway, revision })
            })
        })
        .await
}

async fn held(tx: &mut Tx, exit: &ExitId) -> Result<Vec<SubscriptionId>> {
    let rows = tx
        .all(
            "SELECT subscription_id FROM slot WHERE exit_id = $1 AND subscription_id IS NOT NULL ORDER BY subscription_id",
            &[Value::Text(exit.to_string())],
        )
        .await?;
    rows.iter().map(|row| row.parsed("subscription_id")).collect()
}
