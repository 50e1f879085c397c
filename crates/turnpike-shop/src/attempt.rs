//! Running a verb's transaction again while what it needs is held by others that have not ended.
//!
//! Two things cannot be decided until somebody else commits or rolls back: a key whose first request is still running, and
//! the last free slots or ports while others hold them. Waiting for them inside the transaction would hold this one's own
//! locks meanwhile and invite deadlocks; so the transaction is given up and begun again.

use std::time::Duration;

use futures_util::future::BoxFuture;
use rand::RngExt as _;
use tokio::time::Instant;

use crate::error::{Error, Refusal, Result};
use crate::shop::Shop;
use crate::store::Tx;

/// How long a caller waits for others at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `work` as [`crate::store::Store::transaction`] does, and again while it answers [`contended`] or
/// [`Refusal::IdempotencyInFlight`].
pub(crate) async fn settled<T, F>(shop: &Shop, work: F) -> Result<T>
where
    T: Send + 'static,
    F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Clone + Send + Sync + 'static,
{
    let give_up = Instant::now() + PATIENCE;
    let mut longest_pause_ms = 4;
    loop {
        let error = match shop.store.transaction(work.clone()).await {
            Err(error) if is_unsettled(&error) => error,
            settled => return settled,
        };
        if Instant::now() >= give_up {
            return Err(match error {
                Error::Refused(Refusal::IdempotencyInFlight) => error,
                _ => Error::Unavailable("too many buy the last ones at once".to_owned()),
            });
        }
        // Random, so that those who met do not meet again.
        let pause_ms = rand::rng().random_range(1..=longest_pause_ms);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        longest_pause_ms = (longest_pause_ms * 2).min(64);
    }
}

/// Enough are free by the last commit, but transactions under way hold them: nobody can say yet whether it is sold out.
pub(crate) fn contended(wanted: i64) -> Error {
    Refusal::SoldOut { free: wanted, wanted }.into()
}

fn is_unsettled(error: &Error) -> bool {
    match error {
        Error::Refused(Refusal::IdempotencyInFlight) => true,
        Error::Refused(Refusal::SoldOut { free, wanted }) => free >= wanted,
        _ => false,
    }
}
