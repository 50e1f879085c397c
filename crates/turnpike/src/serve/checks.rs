//! Tests of exits that operators ask for: taken from the shop, done by the gateway, and told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_gateway::{CheckTarget, Gateway};
use turnpike_shop::exits::{self, CheckTask};
use turnpike_shop::types::Span;
use turnpike_shop::{Result, Shop};

use super::{retried, translate};

/// Tests of different exits that run at once.
const AT_ONCE: usize = 16;

/// How often the shop is asked for what another process has put there.
const POLL: Duration = Duration::from_millis(500);

/// Where tests go: the shop's own `/ip`, which tells the address that it was asked from. Behind TLS connecting is the test; the
/// gateway speaks none to origins. Absent where `public_url` is none.
pub(super) fn target(public_url: &str) -> Option<CheckTarget> {
    let url = url::Url::parse(public_url).ok()?;
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    let path = format!("{}/ip", url.path().trim_end_matches('/'));
    Some(CheckTarget {
        authority: format!("{host}:{port}"),
        path: (url.scheme() == "http").then_some(path),
    })
}

/// Does what is asked until `stop`, and returns when what was under way then has come to its end.
pub(super) async fn work(shop: Shop, gateway: Gateway, name: String, target: CheckTarget, stop: CancellationToken) {
    let mut woken = shop.changes();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let under_way = TaskTracker::new();
    let mut is_failing = false;
    loop {
        match turn(&shop, &gateway, &name, &target, &places, &under_way).await {
            Ok(()) => is_failing = false,
            Err(error) => {
                if !is_failing {
                    tracing::warn!(%error, "it cannot be read which exits are to be tested");
                }
                is_failing = true;
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = woken.changed() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
    under_way.close();
    under_way.wait().await;
}

async fn turn(
    shop: &Shop,
    gateway: &Gateway,
    name: &str,
    target: &CheckTarget,
    places: &Arc<Semaphore>,
    under_way: &TaskTracker,
) -> Result<()> {
    for task in exits::claim_checks(shop, name).await? {
        let (shop, gateway, target, places) = (shop.clone(), gateway.clone(), target.clone(), Arc::clone(places));
        under_way.spawn(async move {
            // Nobody closes it.
            let place = places.acquire_owned().await.ok();
            check(&shop, &gateway, &task, &target).await;
            drop(place);
        });
    }
    Ok(())
}

async fn check(shop: &Shop, gateway: &Gateway, task: &CheckTask, target: &CheckTarget) {
    let outcome = gateway
        .check(&translate::exit_id(&task.exit), target)
        .await
        .map(|checked| {
            let took = i64::try_from(checked.took.as_millis()).unwrap_or(i64::MAX);
            (checked.address, Span(took))
        });
    // Recording twice changes nothing, so it is tried until the database has it.
    retried("what a test of an exit found", || {
        exits::finish_check(shop, task, outcome.clone())
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_go_to_the_shops_own_address() {
        let reached = |url: &str| target(url).map(|target| (target.authority, target.path));
        let with_path = |authority: &str, path: &str| Some((authority.to_owned(), Some(path.to_owned())));
        assert_eq!(
            reached("http://shop.example:8080"),
            with_path("shop.example:8080", "/ip")
        );
        assert_eq!(reached("http://[::1]/shop/"), with_path("[::1]:80", "/shop/ip"));
        assert_eq!(
            reached("https://shop.example"),
            Some(("shop.example:443".to_owned(), None))
        );
        assert_eq!(reached("not a URL"), None);
    }
}
