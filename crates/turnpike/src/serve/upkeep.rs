//! What is done from time to time: subscriptions end, traffic and refusals are recorded, exits' health is told, gauges are set.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use turnpike_gateway::{Event, Gateway, RefusalRow, TrafficBatch};
use turnpike_shop::refusals::{self, Refusal};
use turnpike_shop::traffic::{self, Row};
use turnpike_shop::types::{ExitId, Health, SubscriptionId, UnixMillis};
use turnpike_shop::{Result, Shop, ledger, routes, upkeep};

/// The longest pause between two rounds of the shop's upkeep: so late can the slot of a subscription be free again that was
/// sold after the last round and has ended already.
const ROUND: Duration = Duration::from_secs(5);

/// How often traffic is recorded: a crash loses at most what moved since.
const RECORD: Duration = Duration::from_secs(2);

/// How long to wait after the database has not answered.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How often the ledger is summed, which reads all of it.
const LEDGER: Duration = Duration::from_secs(900);

/// Ends and releases what is due, until `stop`.
pub(super) async fn keep_shop(shop: Shop, stop: CancellationToken) {
    loop {
        let pause = match upkeep::run(&shop).await {
            Ok(next) => next.map_or(ROUND, |at| at.since(shop.now()).to_duration().min(ROUND)),
            Err(error) => {
                tracing::warn!(%error, "the shop's upkeep could not be done; it is tried again");
                AFTER_FAILURE
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Tells the shop again and again that the gateway lives, until `stop`.
pub(super) async fn tell_alive(shop: Shop, gateway: Gateway, name: String, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(routes::HEARTBEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let version = env!("CARGO_PKG_VERSION");
        if let Err(error) = routes::alive(&shop, &name, version, load(&gateway).await).await {
            tracing::debug!(%error, "the gateway could not tell that it lives");
        }
    }
}

async fn load(gateway: &Gateway) -> routes::Load {
    let by_exit = gateway.tunnels_by_exit().await;
    routes::Load {
        tunnels: gateway.tunnels_open(),
        // Its exits come from the shop, so their ids are the shop's.
        by_exit: by_exit
            .into_iter()
            .filter_map(|(exit, tunnels)| Some((exit.0.parse().ok()?, tunnels)))
            .collect(),
    }
}

/// Records traffic and refusals until `stop`.
pub(super) async fn record_traffic(shop: Shop, gateway: Gateway, name: String, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(RECORD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = record_waiting(&shop, &gateway, &name).await {
            tracing::warn!(%error, "traffic could not be recorded; it is kept and tried again");
        }
        if let Err(error) = record_refusals(&shop, &gateway).await {
            tracing::warn!(%error, "refusals could not be recorded; they are kept and tried again");
        }
    }
}

/// Records everything that waits.
///
/// # Errors
/// The database's; what was not recorded still waits.
pub(super) async fn record_waiting(shop: &Shop, gateway: &Gateway, name: &str) -> Result<()> {
    while let Some(batch) = gateway.traffic() {
        traffic::record(shop, name, &batch.id.run, batch.id.sequence, &rows(&batch)).await?;
        gateway.acknowledge(&batch.id);
    }
    Ok(())
}

/// Records one batch of refusals: what strangers cause must not cost the database more than that each time.
async fn record_refusals(shop: &Shop, gateway: &Gateway) -> Result<()> {
    if let Some(batch) = gateway.refusals() {
        refusals::record(shop, batch.rows.into_iter().filter_map(refusal).collect()).await?;
        gateway.acknowledge_refusals(batch.sequence);
    }
    Ok(())
}

fn refusal(row: RefusalRow) -> Option<Refusal> {
    Some(Refusal {
        subscription: row.route.0.parse().ok()?,
        number: row.number,
        first_at: UnixMillis(row.first_at),
        last_at: UnixMillis(row.last_at),
        times: i64::try_from(row.times).unwrap_or(i64::MAX),
        source: row.source.to_string(),
        protocol: row.protocol.to_owned(),
        code: row.code.to_owned(),
        reason: row.reason,
    })
}

fn rows(batch: &TrafficBatch) -> Vec<Row> {
    let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let row = |row: &turnpike_gateway::TrafficRow| {
        Some(Row {
            subscription: row.route.0.parse::<SubscriptionId>().ok()?,
            hour: UnixMillis(row.hour),
            up: bytes(row.up),
            down: bytes(row.down),
        })
    };
    batch.rows.iter().filter_map(row).collect()
}

/// An exit's health, why it is down, and its address where that is known.
type ExitState = (Health, Option<String>, Option<IpAddr>);

/// Writes down what the gateway tells of its exits, until it is gone. Only the newest of each exit matters.
pub(super) async fn note_exits(shop: Shop, mut events: UnboundedReceiver<Event>) {
    let mut waiting: HashMap<ExitId, ExitState> = HashMap::new();
    while let Some(event) = events.recv().await {
        remember(&mut waiting, event);
        while !waiting.is_empty() {
            while let Ok(event) = events.try_recv() {
                remember(&mut waiting, event);
            }
            let noted = note(&shop, &waiting).await;
            for exit in &noted {
                waiting.remove(exit);
            }
            if noted.is_empty() {
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

fn remember(waiting: &mut HashMap<ExitId, ExitState>, event: Event) {
    let (exit, state) = match event {
        Event::ExitUp { exit, address } => (exit, (Health::Up, None, address)),
        Event::ExitDown { exit, reason } => (exit, (Health::Down, Some(reason), None)),
    };
    if let Ok(exit) = exit.0.parse() {
        waiting.insert(exit, state);
    }
}

/// The exits whose state the database has now.
async fn note(shop: &Shop, waiting: &HashMap<ExitId, ExitState>) -> Vec<ExitId> {
    let mut noted = Vec::new();
    for (exit, (health, detail, address)) in waiting {
        match routes::exit_health(shop, exit, *health, detail.as_deref(), *address).await {
            Ok(()) => noted.push(exit.clone()),
            Err(error) => {
                tracing::warn!(%error, "an exit's state could not be recorded; it is tried again");
                break;
            }
        }
    }
    noted
}

/// Sums the ledger from time to time and sets the gauge that alerts look at, until `stop`.
pub(super) async fn sum_ledger(shop: Shop, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(LEDGER);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match ledger::imbalance(&shop).await {
            Ok(imbalance) => {
                if imbalance.0 != 0 {
                    tracing::error!(%imbalance, "the ledger does not sum to zero; run `turnpike audit`");
                }
                #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
                ::metrics::gauge!("turnpike_ledger_imbalance_cents").set(imbalance.0 as f64);
            }
            Err(error) => tracing::debug!(%error, "the ledger could not be summed"),
        }
    }
}
