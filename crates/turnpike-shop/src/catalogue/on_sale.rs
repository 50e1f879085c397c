//! What is on sale, read once for each state of the catalogue.
//!
//! The database counts each change of a plan or a network, whoever makes it (`catalogue_revision`). The count is read for each request, and the
//! plans only where it has moved: what is shown is never older than the catalogue.

use std::sync::{Arc, Mutex, PoisonError};

use super::PlanOnSale;
use crate::error::Result;
use crate::shop::Shop;
use crate::store::Tx;
use crate::written::Text;

/// Every active plan of an active network, by country, price and duration, and room for the text that a program makes of them.
pub struct OnSale {
    /// The plans.
    pub plans: Vec<PlanOnSale>,
    revision: i64,
    text: Text,
}

impl OnSale {
    /// The text that `write` makes of them, which must depend on nothing else: it is made once.
    ///
    /// # Errors
    /// Those of `write`; nothing is kept then.
    pub fn text<E>(&self, write: impl FnOnce(&[PlanOnSale]) -> Result<String, E>) -> Result<&str, E> {
        self.text.made(|| write(&self.plans))
    }
}

/// What was read last.
#[derive(Default)]
pub(crate) struct LastRead(Mutex<Option<Arc<OnSale>>>);

/// What is on sale now.
///
/// # Errors
/// Only the database's.
pub async fn plans(shop: &Shop) -> Result<Arc<OnSale>> {
    let found = shop.store.look_up(REVISION, Vec::new()).await?;
    let revision = found.map(|row| row.int("revision")).transpose()?;
    let last = shop.on_sale.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(last) = last.filter(|last| Some(last.revision) == revision) {
        return Ok(last);
    }
    let read = Arc::new(shop.store.read(|tx| Box::pin(read(tx))).await?);
    *shop.on_sale.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&read));
    Ok(read)
}

const REVISION: &str = "SELECT revision FROM catalogue_revision";

async fn read(tx: &mut Tx) -> Result<OnSale> {
    let revision = tx.one(REVISION, &[]).await?.int("revision")?;
    let rows = tx
        .all(
            "SELECT p.id, p.connection_type, p.duration_ms, p.price_cents, p.popular, p.trial_ms,
                    p.max_connections, p.max_source_addresses, p.mbit_per_second, p.traffic_bytes,
                    n.id AS network_id, n.code, n.city, n.country, n.network_type
             FROM plan p JOIN network n ON n.id = p.network_id
             WHERE p.active = 1 AND n.active = 1
             ORDER BY n.country, n.code, p.price_cents, p.duration_ms, p.id",
            &[],
        )
        .await?;
    Ok(OnSale {
        plans: rows.iter().map(PlanOnSale::read).collect::<Result<_>>()?,
        revision,
        text: Text::default(),
    })
}
