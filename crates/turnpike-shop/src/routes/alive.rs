//! That a gateway lives, and how much it has to do.

use std::sync::LazyLock;

use crate::error::Result;
use crate::shop::Shop;
use crate::store::many::{MOST, filled, rows};
use crate::store::{Tx, Value};
use crate::types::ExitId;

/// What a gateway has open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// Connections.
    pub tunnels: u64,
    /// The exits that they go through, and how many through each; those without any left out.
    pub by_exit: Vec<(ExitId, u64)>,
}

/// A gateway is alive: which version of the program it runs, and what it has open. Called by the gateway's own process every few
/// seconds.
///
/// # Errors
/// Only the database's.
pub async fn alive(shop: &Shop, gateway: &str, version: &str, load: Load) -> Result<()> {
    let told = [
        Value::Int(shop.now().0),
        Value::Text(version.to_owned()),
        count(load.tunnels),
        Value::Text(gateway.to_owned()),
    ];
    shop.store
        .transaction(move |tx| {
            let (told, by_exit) = (told.clone(), load.by_exit.clone());
            Box::pin(async move {
                let [.., gateway] = &told;
                write(tx, gateway, &by_exit).await?;
                // Last: whoever buys waits for this row.
                tx.execute(
                    "UPDATE gateway_state SET seen_at = $1, version = $2, tunnels = $3 WHERE gateway = $4",
                    &told,
                )
                .await?;
                Ok(())
            })
        })
        .await
}

static WRITE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO exit_tunnels (exit_id, gateway, tunnels) VALUES {} ON CONFLICT (exit_id) DO NOTHING",
        rows(MOST, 3)
    )
});

/// In place of what it told before. An exit that another gateway has told of stays that one's until it tells again.
async fn write(tx: &mut Tx, gateway: &Value, by_exit: &[(ExitId, u64)]) -> Result<()> {
    tx.execute(
        "DELETE FROM exit_tunnels WHERE gateway = $1",
        std::slice::from_ref(gateway),
    )
    .await?;
    for part in by_exit.chunks(MOST) {
        // A row that is there already makes no difference here either.
        let values: Vec<Value> = filled(part.to_vec())
            .iter()
            .flat_map(|(exit, tunnels)| [Value::Text(exit.to_string()), gateway.clone(), count(*tunnels)])
            .collect();
        tx.execute(&WRITE, &values).await?;
    }
    Ok(())
}

fn count(tunnels: u64) -> Value {
    Value::Int(i64::try_from(tunnels).unwrap_or(i64::MAX))
}
