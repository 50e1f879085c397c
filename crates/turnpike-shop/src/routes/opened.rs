//! How gateways learn of new subscriptions where many transactions commit side by side.
//!
//! On SQLite one transaction writes at a time, and a new subscription is told as any other change is. On PostgreSQL every purchase would
//! hold its gateway's row until its own commit is on the disk, and all purchases of a gateway would stand in line for the disk. There a
//! new subscription is committed with revision 0, and [`tell`] gives the next revision to all that are there by then, in one
//! transaction. Should whoever sold it go away in between, its gateway does so itself ([`super::revision`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::shop::Shop;
use crate::store::many::Listed;
use crate::store::{Tx, Value};
use crate::subscription::Subscription;
use crate::types::{Span, SubscriptionId};

/// Whoever sold it would have told of it by now.
pub(super) const OVERDUE: Span = Span::seconds(1);

/// For so long at most a customer waits for one round: his order is paid, and its port opens all the same.
const ROUND: Duration = Duration::from_secs(3);

/// Tells the gateways of those that have no revision yet, and gives them one that tells of them. A failure is told in the log: they are
/// sold, and their gateways find them by themselves.
pub(crate) async fn tell(shop: &Shop, sold: &mut [Subscription]) {
    let mut revisions: BTreeMap<String, i64> = BTreeMap::new();
    for one in sold.iter_mut().filter(|one| one.revision == 0) {
        one.revision = match revisions.get(&one.gateway) {
            Some(revision) => *revision,
            None => {
                let told = shop.telling.of(&one.gateway).tell(shop, &one.gateway).await;
                let revision = told.unwrap_or(0);
                revisions.insert(one.gateway.clone(), revision);
                revision
            }
        };
    }
}

/// Gives those of a remembered answer the revisions that they have got since it was written down: only who has none yet is told again.
///
/// # Errors
/// Only the database's.
pub(crate) async fn recall(tx: &mut Tx, sold: &mut [Subscription]) -> Result<()> {
    let untold = sold.iter().filter(|one| one.revision == 0);
    let ids: Vec<_> = untold.map(|one| Value::Text(one.id.to_string())).collect();
    let mut revisions: HashMap<SubscriptionId, i64> = HashMap::new();
    for row in REVISIONS.all(tx, &[], &ids).await? {
        revisions.insert(row.parsed("id")?, row.int("revision")?);
    }
    for one in sold.iter_mut() {
        if let Some(revision) = revisions.get(&one.id) {
            one.revision = *revision;
        }
    }
    Ok(())
}

static REVISIONS: LazyLock<Listed> = LazyLock::new(|| {
    Listed::of(0, |ids| {
        format!("SELECT id, revision FROM subscription WHERE id IN ({ids})")
    })
});

/// Who tells which gateway, in this process.
#[derive(Default)]
pub(crate) struct Telling(Mutex<HashMap<String, Arc<Teller>>>);

impl Telling {
    fn of(&self, gateway: &str) -> Arc<Teller> {
        let mut tellers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tellers.entry(gateway.to_owned()).or_default())
    }
}

/// Tells a gateway for all who ask meanwhile at once: who asks while it is told waits for the next round, which is one for all of them.
#[derive(Default)]
struct Teller {
    /// How many have asked.
    asked: AtomicU64,
    last: tokio::sync::Mutex<Round>,
}

/// The last round.
#[derive(Default)]
struct Round {
    /// So many had asked before it began.
    asked: u64,
    /// The revision that it gave; absent where it failed, for all of them.
    revision: Option<i64>,
}

impl Teller {
    /// The revision that tells of all that were committed before this was called; absent where that failed.
    async fn tell(&self, shop: &Shop, gateway: &str) -> Option<i64> {
        let own = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut last = self.last.lock().await;
        if last.asked < own {
            let asked = self.asked.load(Ordering::Acquire);
            let advanced = timeout(ROUND, advance(shop, gateway)).await;
            let advanced = advanced.unwrap_or_else(|_| Err(Error::Unavailable("it did not answer in time".to_owned())));
            if let Err(error) = &advanced {
                tracing::warn!(gateway, %error, "new subscriptions could not be told; their gateway will find them");
            }
            *last = Round {
                asked,
                revision: advanced.ok(),
            };
        }
        last.revision
    }
}

/// Gives the next revision to all new subscriptions of a gateway, if there are any; the newest revision then. One statement, so that the
/// gateway's row is held for no way to the server and back.
///
/// Its row is locked first: whoever tells of the same ones elsewhere has committed by then. Others take that row last, so nothing
/// else may be waited for: a new subscription that somebody holds for another reason is left for the next time.
///
/// # Errors
/// Only the database's.
pub(super) async fn advance(shop: &Shop, gateway: &str) -> Result<i64> {
    let advanced = shop
        .store
        .look_up(
            "WITH now AS (SELECT revision FROM gateway_state WHERE gateway = $1 FOR NO KEY UPDATE),
                  untold AS (SELECT s.id, now.revision + 1 AS revision FROM now, subscription s
                             WHERE s.gateway = $1 AND s.revision = 0 FOR NO KEY UPDATE OF s SKIP LOCKED),
                  told AS (UPDATE subscription s SET told_gateway = $1, revision = untold.revision
                           FROM untold WHERE s.id = untold.id RETURNING s.revision),
                  next AS (UPDATE gateway_state SET revision = (SELECT MAX(revision) FROM told)
                           WHERE gateway = $1 AND EXISTS (SELECT 1 FROM told) RETURNING revision)
             SELECT now.revision, next.revision AS next FROM now LEFT JOIN next ON true",
            vec![Value::Text(gateway.to_owned())],
        )
        .await?;
    let Some(row) = advanced else { return Ok(0) };
    match row.optional_int("next")? {
        Some(next) => {
            shop.store.wake();
            Ok(next)
        }
        None => row.int("revision"),
    }
}
