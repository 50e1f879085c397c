//! Which notices an account gets, and by which ways.

use super::KINDS;
use crate::error::{Refusal, Result};
use crate::shop::Shop;
use crate::store::Value;
use crate::types::{AccountId, Cents, NoticeKind, NoticeWay};

/// What is more than this is not called low.
const HIGHEST_LIMIT: Cents = Cents(100_000_000);

/// What an account has chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    /// What it is told, and by which way.
    pub wanted: Vec<(NoticeKind, NoticeWay)>,
    /// A balance that falls below this is low.
    pub low_balance: Cents,
}

impl Choices {
    /// Whether it is told this by this way.
    #[must_use]
    pub fn has(&self, kind: NoticeKind, way: NoticeWay) -> bool {
        self.wanted.contains(&(kind, way))
    }
}

/// What an account has chosen; at the beginning nothing.
///
/// # Errors
/// Only the database's.
pub async fn choices(shop: &Shop, account: &AccountId) -> Result<Choices> {
    let id = Value::Text(account.to_string());
    shop.store
        .read(move |tx| {
            let id = [id.clone()];
            Box::pin(async move {
                let low = tx
                    .one("SELECT low_balance_cents FROM account WHERE id = $1", &id)
                    .await?;
                let rows = tx
                    .all(
                        "SELECT kind, way FROM notice_choice WHERE account_id = $1 ORDER BY kind, way",
                        &id,
                    )
                    .await?;
                Ok(Choices {
                    wanted: rows
                        .iter()
                        .map(|row| Ok((row.parsed("kind")?, row.parsed("way")?)))
                        .collect::<Result<_>>()?,
                    low_balance: Cents(low.int("low_balance_cents")?),
                })
            })
        })
        .await
}

/// Sets all of it.
///
/// # Errors
/// [`Refusal::UnfitLowBalance`].
pub async fn set_choices(shop: &Shop, account: &AccountId, choices: Choices) -> Result<()> {
    if !(Cents(0)..=HIGHEST_LIMIT).contains(&choices.low_balance) {
        return Err(Refusal::UnfitLowBalance.into());
    }
    let id = Value::Text(account.to_string());
    shop.store
        .transaction(move |tx| {
            let (id, choices) = (id.clone(), choices.clone());
            Box::pin(async move {
                tx.execute(
                    "UPDATE account SET low_balance_cents = $1 WHERE id = $2",
                    &[Value::Int(choices.low_balance.0), id.clone()],
                )
                .await?;
                tx.execute(
                    "DELETE FROM notice_choice WHERE account_id = $1",
                    std::slice::from_ref(&id),
                )
                .await?;
                for kind in KINDS {
                    for way in [NoticeWay::Email, NoticeWay::Webhook] {
                        if choices.has(kind, way) {
                            tx.execute(
                                "INSERT INTO notice_choice (account_id, kind, way) VALUES ($1, $2, $3)",
                                &[id.clone(), Value::Text(kind.to_string()), Value::Text(way.to_string())],
                            )
                            .await?;
                        }
                    }
                }
                Ok(())
            })
        })
        .await
}
