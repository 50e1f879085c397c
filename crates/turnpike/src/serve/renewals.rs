//! Subscriptions that renew themselves, from time to time, in every process.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use turnpike_shop::{Shop, auto_renew};

/// The longest pause between two looks: so late can be noticed what another process has made due.
const ROUND: Duration = Duration::from_secs(5);

/// Renews what is due until `stop`.
pub(super) async fn work(shop: Shop, stop: CancellationToken) {
    let mut is_failing = false;
    loop {
        let pause = match auto_renew::run(&shop).await {
            Ok(next) => {
                is_failing = false;
                next.map_or(ROUND, |at| at.since(shop.now()).to_duration().min(ROUND))
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "subscriptions cannot renew themselves; it is tried again");
                }
                ROUND
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
