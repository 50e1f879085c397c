//! Whole networks out of service and back, while they are in use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use turnpike_shop::routes::changes_since;
use turnpike_shop::store::Engine;
use turnpike_shop::types::ExitStanding;
use turnpike_shop::{Error, Result, Settings, Shop, exits, purchase, renew, switch_network};

use crate::relay::Relay;
use crate::site::Site;
use crate::world::{GATEWAY, World, quantity};

on_both_engines! {
    every_holder_of_a_large_network_is_told_once,
    a_network_is_disabled_while_it_is_bought_renewed_and_left,
}

on_postgres! {
    a_large_network_is_disabled_by_few_statements,
}

const ROOT: &str = "root@example.com";
const HELD: u64 = 250;

/// All of whose exits are held.
async fn large(site: &Site) -> World<'_> {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(usize::try_from(HELD).unwrap())
        .ports(12_001..=12_400)
        .balance(1_000_000)
        .open()
        .await;
    for count in [100, 100, HELD - 200] {
        let mut order = world.order("NL-AMS").await;
        order.quantity = quantity(count);
        world.buy(order).await.unwrap();
    }
    world
}

async fn set(shop: &Shop, standing: ExitStanding) -> Result<exits::ChangedNetwork> {
    exits::set_network_standing(shop, ROOT, "NL-AMS", standing).await
}

async fn every_holder_of_a_large_network_is_told_once(site: &Site) {
    let world = large(site).await;
    let told = world.revision().await;
    let changed = set(&world.shop, ExitStanding::Disabled).await.unwrap();
    assert_eq!(changed.exits, usize::try_from(HELD).unwrap());
    assert_eq!(world.revision().await, told + 1);
    let changes = changes_since(&world.shop, GATEWAY, told).await.unwrap();
    assert_eq!((changes.routes.len(), changes.removed.len()), (0, 250));
    let written = "SELECT COUNT(*) FROM audit_log WHERE action = 'exit.standing'";
    assert_eq!(world.raw.int(written).await, 250);
    set(&world.shop, ExitStanding::Open).await.unwrap();
    let changes = changes_since(&world.shop, GATEWAY, told + 1).await.unwrap();
    assert_eq!((changes.routes.len(), changes.removed.len()), (250, 0));
}

async fn a_large_network_is_disabled_by_few_statements(site: &Site) {
    let world = large(site).await;
    let relay = Relay::to(site.url(), Duration::ZERO).await;
    let shop = site
        .try_open(&relay.url(site.url()), Settings::default(), world.clock())
        .await;
    let shop = shop.unwrap();
    let before = relay.asked();
    set(&shop, ExitStanding::Disabled).await.unwrap();
    let asked = relay.asked() - before;
    // A few for each hundred; one for each exit would be more.
    assert!(asked < 120, "{asked} pieces were sent");
    shop.close().await;
}

/// What comes of a verb that may be told to come again, which it does. A deadlock would be told in [`deadlocks`].
async fn insist<T, V: Future<Output = Result<T>>>(verb: impl Fn() -> V) {
    loop {
        match verb().await {
            Ok(_) | Err(Error::Refused(_)) => return,
            Err(Error::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn a_network_is_disabled_while_it_is_bought_renewed_and_left(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(12)
        .network("DE-BER")
        .exits(12)
        .balance(1_000_000)
        .open()
        .await;
    let mut held = Vec::new();
    for network in ["NL-AMS", "NL-AMS", "NL-AMS", "NL-AMS", "DE-BER", "DE-BER"] {
        let one = world.bought(network).await;
        held.push((one.id.clone(), world.renewal(&one).await));
    }
    let held = Arc::new(held);
    let networks = Arc::new([world.network("NL-AMS").await, world.network("DE-BER").await]);
    let order = world.order("NL-AMS").await;
    // Processes of their own: what they count of deadlocks is there when they are gone.
    let before = match site.engine {
        Engine::Postgres => world
            .raw
            .texts("SELECT CAST(clock_timestamp() AS TEXT)")
            .await
            .remove(0),
        Engine::Sqlite => String::new(),
    };
    let shops = [
        site.open(Settings::default(), world.clock()).await,
        site.open(Settings::default(), world.clock()).await,
    ];
    let mut running = JoinSet::new();
    for number in 0..6 {
        let (shop, ann) = (shops[number % 2].clone(), world.ann.clone());
        let (held, networks, order) = (Arc::clone(&held), Arc::clone(&networks), order.clone());
        running.spawn(async move {
            for round in 0..8 {
                let (id, renewal) = &held[(number + round) % held.len()];
                match (number + round) % 4 {
                    0 => insist(|| renew(&shop, &ann, renewal.clone())).await,
                    1 => insist(|| purchase(&shop, &ann, order.clone())).await,
                    _ => insist(|| switch_network(&shop, &ann, id, &networks[round % 2])).await,
                }
            }
        });
    }
    for round in 0..10 {
        let standing = match round % 2 {
            0 => ExitStanding::Disabled,
            _ => ExitStanding::Open,
        };
        insist(|| set(&shops[round % 2], standing)).await;
    }
    insist(|| set(&shops[0], ExitStanding::Disabled)).await;
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    for shop in &shops {
        shop.close().await;
    }
    assert_eq!(deadlocks(&world, &before).await, 0);
    // Whoever is left there is not served, everybody else is.
    let served = changes_since(&world.shop, GATEWAY, 0).await.unwrap().routes;
    let by_network = "SELECT n.code FROM subscription s JOIN network n ON n.id = s.network_id ORDER BY s.id";
    let mut holders: BTreeMap<String, usize> = BTreeMap::new();
    for code in world.raw.texts(by_network).await {
        *holders.entry(code).or_default() += 1;
    }
    assert_eq!(served.len(), holders.get("DE-BER").copied().unwrap_or_default());
    let disabled = "SELECT COUNT(*) FROM network_exit WHERE standing = 'disabled'";
    assert_eq!(world.raw.int(disabled).await, 12);
}

/// How many deadlocks PostgreSQL has broken, once the connections made since then are gone; SQLite knows none.
async fn deadlocks(world: &World<'_>, since: &str) -> i64 {
    if world.site.engine == Engine::Sqlite {
        return 0;
    }
    let theirs = format!(
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_start > '{since}'"
    );
    let all_gone = async {
        while world.raw.int(&theirs).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_gone).await.unwrap();
    world
        .raw
        .int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        .await
}
