//! The rotation queue of one gateway: policies that fall due are queued, what is queued is done, and what came of it is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_gateway::Gateway;
use turnpike_shop::rotation::{self, Task};
use turnpike_shop::{Result, Shop};

use super::{retried, translate};

/// Rotations of different exits that run at once. Most wait for a modem and cost nothing meanwhile.
const AT_ONCE: usize = 256;

/// How often the queue is looked at for what another process has put there.
const POLL: Duration = Duration::from_millis(500);

/// Works on the queue until `stop`, and returns when what was under way then has come to its end.
pub(super) async fn work(shop: Shop, gateway: Gateway, name: String, stop: CancellationToken) {
    let mut woken = shop.changes();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let under_way = TaskTracker::new();
    let mut is_failing = false;
    loop {
        let next = match turn(&shop, &gateway, &name, &places, &under_way).await {
            Ok(next) => {
                is_failing = false;
                next
            }
            Err(error) => {
                if !is_failing {
                    tracing::warn!(%error, "the rotation queue cannot be read");
                }
                is_failing = true;
                POLL
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = woken.changed() => {}
            () = tokio::time::sleep(next.min(POLL)) => {}
        }
    }
    under_way.close();
    under_way.wait().await;
}

/// Queues what is due, starts what is queued as far as there are places; when to come again at the latest.
async fn turn(
    shop: &Shop,
    gateway: &Gateway,
    name: &str,
    places: &Arc<Semaphore>,
    under_way: &TaskTracker,
) -> Result<Duration> {
    let next = rotation::schedule(shop, name, count(AT_ONCE)).await?;
    for task in rotation::claim(shop, name, count(places.available_permits())).await? {
        let place = Arc::clone(places).try_acquire_owned().ok();
        let (shop, gateway) = (shop.clone(), gateway.clone());
        under_way.spawn(async move {
            rotate(&shop, &gateway, &task).await;
            drop(place);
        });
    }
    Ok(next.map_or(POLL, |at| at.since(shop.now()).to_duration()))
}

fn count(places: usize) -> i64 {
    i64::try_from(places).unwrap_or(i64::MAX)
}

async fn rotate(shop: &Shop, gateway: &Gateway, task: &Task) {
    let outcome = gateway
        .rotate(&translate::exit_id(&task.exit))
        .await
        .map(|rotated| (rotated.address, rotated.previous))
        .map_err(|error| error.to_string());
    if let Err(why) = &outcome {
        tracing::warn!(exit = %task.exit, %why, "a rotation has failed");
    }
    // Recording twice changes nothing, so it is tried until the database has it.
    retried("what became of a rotation", || {
        rotation::finish(shop, &task.id, outcome.clone())
    })
    .await;
}
