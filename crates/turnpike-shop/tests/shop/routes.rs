//! What gateways are told: everything, in order, and nothing of what they should not serve.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use turnpike_shop::routes::{self, Changes, Route};
use turnpike_shop::types::{AccountStatus, Health, Span, SubscriptionId};
use turnpike_shop::{Refusal, Settings, Shop, account, purchase};

use crate::site::Site;
use crate::world::{ANN, GATEWAY, MONTH, NOW, World, refusal};

on_both_engines! {
    a_fresh_gateway_is_told_of_all_exits_and_running_routes,
    only_what_is_newer_is_told_again,
    each_verb_advances_the_revision_by_one,
    a_suspended_accounts_routes_are_taken_away_and_come_back,
    what_has_ended_is_not_served_whether_swept_up_or_not,
    an_exit_that_left_the_catalogue_is_told_while_it_is_used,
    an_unknown_gateway_has_nothing,
    a_follower_ends_where_a_fresh_gateway_begins,
    a_change_wakes_who_waits_for_one,
    those_who_buy_at_once_are_all_told,
    who_gets_the_slot_of_one_that_is_over_is_told_as_well,
    waiting_for_a_revision_ends_when_it_is_applied_and_not_later_than_its_bound,
    port_ranges_can_grow_shrink_and_come_back,
    a_gateways_tls_is_shown_with_its_subscriptions_until_it_is_taken_back,
    a_range_of_no_ports_is_refused,
    an_exits_health_and_addresses_are_remembered,
}

on_postgres! {
    a_new_subscription_whose_seller_has_gone_is_found_by_its_gateway,
}

/// A gateway that follows the shop as the joint does, without serving anything.
pub(crate) struct Follower {
    served: watch::Receiver<(i64, BTreeMap<SubscriptionId, u16>)>,
    following: JoinHandle<()>,
}

impl Follower {
    pub(crate) fn start(shop: &Shop, gateway: &'static str) -> Self {
        let shop = shop.clone();
        let (send, served) = watch::channel((0, BTreeMap::new()));
        let following = tokio::spawn(async move {
            loop {
                let (revision, mut served) = send.borrow().clone();
                let Changes {
                    routes,
                    removed,
                    revision: newest,
                    ..
                } = routes::changes_since(&shop, gateway, revision).await.unwrap();
                for id in removed {
                    served.remove(&id);
                }
                for route in routes {
                    served.insert(route.subscription, route.port);
                }
                send.send_replace((newest, served));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Self { served, following }
    }

    /// What is served once this revision has been reached.
    pub(crate) async fn caught_up(&self, revision: i64) -> BTreeMap<SubscriptionId, u16> {
        let mut served = self.served.clone();
        let reached = served.wait_for(|(reached, _)| *reached >= revision).await.unwrap();
        reached.1.clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.following.abort();
    }
}

async fn since(world: &World<'_>, revision: i64) -> Changes {
    routes::changes_since(&world.shop, GATEWAY, revision).await.unwrap()
}

fn ids(routes: &[Route]) -> BTreeSet<&SubscriptionId> {
    routes.iter().map(|route| &route.subscription).collect()
}

async fn a_fresh_gateway_is_told_of_all_exits_and_running_routes(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(2)
        .shared(3)
        .network("DE-BER")
        .gateway("gw2", 13_001..=13_002)
        .exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let told = since(&world, 0).await;
    assert_eq!(told.revision, world.revision().await);
    let names: Vec<&str> = told.exits.iter().map(|exit| exit.name.as_str()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(
        names.contains(&"NL-AMS/exit-3") && !names.contains(&"NL-AMS/exit-4"),
        "{names:?}"
    );
    let [route] = told.routes.as_slice() else {
        panic!("one is sold")
    };
    assert_eq!(
        (&route.subscription, route.port, route.ends_at),
        (&one.id, one.port, one.ends_at)
    );
    assert_eq!(
        (&route.username, &route.password, route.vpn),
        (&one.username, &one.password, one.vpn)
    );
    let exit = told
        .exits
        .iter()
        .find(|exit| exit.id == route.exit)
        .expect("its exit is told");
    assert!(
        world.catalogue.networks[0]
            .exits
            .iter()
            .any(|known| known.spec == exit.spec)
    );
    assert!(!exit.allow_smtp);
    assert!(told.removed.is_empty());
}

async fn only_what_is_newer_is_told_again(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(3).open().await;
    let first = world.bought("NL-AMS").await;
    let second = world.bought("NL-AMS").await;
    let told = since(&world, first.revision).await;
    assert_eq!(ids(&told.routes), [&second.id].into());
    assert!(told.exits.is_empty() && told.removed.is_empty());
    let told = since(&world, second.revision).await;
    assert_eq!(told.revision, second.revision);
    assert!(told.exits.is_empty() && told.routes.is_empty() && told.removed.is_empty());
}

async fn each_verb_advances_the_revision_by_one(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(2)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let mut revision = world.revision().await;
    let mut advanced = async |verb: &str| {
        revision += 1;
        assert_eq!(world.revision().await, revision, "{verb}");
    };
    let one = world.bought("NL-AMS").await;
    advanced("purchase").await;
    let order = world.renewal(&one).await;
    world.renew(order).await.unwrap();
    advanced("renew").await;
    world.change_credentials(&one).await.unwrap();
    advanced("change_credentials").await;
    let moved = world.switch(&one, "DE-BER").await.unwrap();
    advanced("switch_network").await;
    account::set_status(&world.shop, "test", ANN, AccountStatus::Suspended)
        .await
        .unwrap();
    advanced("suspend").await;
    account::set_status(&world.shop, "test", ANN, AccountStatus::Active)
        .await
        .unwrap();
    advanced("resume").await;
    world.advance(Span(2 * MONTH.0));
    world.upkeep().await;
    advanced("upkeep").await;
    assert_eq!(since(&world, revision - 1).await.removed, [moved.id]);
}

async fn a_suspended_accounts_routes_are_taken_away_and_come_back(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let one = world.bought("NL-AMS").await;
    account::set_status(&world.shop, "test", ANN, AccountStatus::Suspended)
        .await
        .unwrap();
    let told = since(&world, one.revision).await;
    assert_eq!((told.routes.len(), told.removed), (0, vec![one.id.clone()]));
    assert!(since(&world, 0).await.routes.is_empty());
    // Once more changes nothing.
    let revision = world.revision().await;
    account::set_status(&world.shop, "test", ANN, AccountStatus::Suspended)
        .await
        .unwrap();
    assert_eq!(world.revision().await, revision);
    account::set_status(&world.shop, "test", ANN, AccountStatus::Active)
        .await
        .unwrap();
    let told = since(&world, revision).await;
    assert_eq!((ids(&told.routes), told.removed.len()), ([&one.id].into(), 0));
}

async fn what_has_ended_is_not_served_whether_swept_up_or_not(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    world.advance(MONTH);
    assert!(since(&world, 0).await.routes.is_empty());
    world.upkeep().await;
    let told = since(&world, 0).await;
    assert!(told.routes.is_empty());
    assert_eq!(since(&world, one.revision).await.removed, [one.id]);
}

async fn an_exit_that_left_the_catalogue_is_told_while_it_is_used(site: &Site) {
    let mut world = World::on(site).network("NL-AMS").exits(2).open().await;
    let one = world.bought("NL-AMS").await;
    world.catalogue.networks[0].exits.clear();
    world.apply().await;
    let told = since(&world, 0).await;
    assert_eq!(told.exits.len(), 1);
    assert_eq!(told.exits[0].id, told.routes[0].exit);
    world.advance(one.ends_at.since(NOW));
    world.upkeep().await;
    assert!(since(&world, 0).await.exits.is_empty());
}

/// As it stands on PostgreSQL between a purchase's commit and what tells of it.
async fn a_new_subscription_whose_seller_has_gone_is_found_by_its_gateway(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let known = world.bought("NL-AMS").await;
    let one = world.bought("NL-AMS").await;
    let before = world.revision().await;
    let untold = format!(
        "UPDATE subscription SET told_gateway = NULL, revision = 0 WHERE id = '{}'",
        one.id
    );
    world.raw.run(&untold).await;
    assert_eq!(world.revision().await, before, "its seller may be about to tell of it");
    world.advance(Span::seconds(1));
    assert_eq!(world.revision().await, before + 1);
    let told = since(&world, before).await;
    assert_eq!(
        (told.revision, ids(&told.routes)),
        (before + 1, BTreeSet::from([&one.id]))
    );
    assert_eq!(world.revision().await, before + 1, "once is enough");
    assert!(ids(&since(&world, 0).await.routes).is_superset(&BTreeSet::from([&known.id, &one.id])));
}

async fn those_who_buy_at_once_are_all_told(site: &Site) {
    const BUYERS: usize = 12;
    let world = World::on(site).network("NL-AMS").exits(BUYERS).open().await;
    let follower = Follower::start(&world.shop, GATEWAY);
    let processes = [world.shop.clone(), site.open(Settings::default(), world.clock()).await];
    let order = world.order("NL-AMS").await;
    let buying = processes.iter().cycle().take(BUYERS).map(async |shop| {
        let one = purchase(shop, &world.ann, order.clone())
            .await
            .unwrap()
            .subscriptions
            .remove(0);
        assert!(one.revision > 0);
        let served = follower.caught_up(one.revision).await;
        assert_eq!(served.get(&one.id), Some(&one.port), "{served:?}");
    });
    futures_util::future::join_all(buying).await;
}

/// The end of the one and the beginning of the other are told in one transaction.
async fn who_gets_the_slot_of_one_that_is_over_is_told_as_well(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let follower = Follower::start(&world.shop, GATEWAY);
    let before = world.bought("NL-AMS").await;
    world.advance(before.ends_at.since(world.now()));
    let one = world.bought("NL-AMS").await;
    let served = follower.caught_up(one.revision).await;
    assert_eq!(served, BTreeMap::from([(one.id.clone(), one.port)]));
}

async fn an_unknown_gateway_has_nothing(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    assert_eq!(routes::revision(&world.shop, "nowhere").await.unwrap(), 0);
    let told = routes::changes_since(&world.shop, "nowhere", 0).await.unwrap();
    assert_eq!((told.revision, told.exits.len(), told.routes.len()), (0, 0, 0));
}

async fn a_follower_ends_where_a_fresh_gateway_begins(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(8)
        .network("DE-BER")
        .gateway("gw2", 12_001..=12_020)
        .exits(8)
        .open()
        .await;
    let followers = [Follower::start(&world.shop, "gw1"), Follower::start(&world.shop, "gw2")];
    let mut running = tokio::task::JoinSet::new();
    let (order, networks) = (
        world.order("NL-AMS").await,
        [world.network("DE-BER").await, world.network("NL-AMS").await],
    );
    for _ in 0..6 {
        let (shop, ann, order, networks) = (world.shop.clone(), world.ann.clone(), order.clone(), networks.clone());
        running.spawn(async move {
            let bought = turnpike_shop::purchase(&shop, &ann, order).await.unwrap();
            for network in networks.iter().cycle().take(5) {
                turnpike_shop::switch_network(&shop, &ann, &bought.subscriptions[0].id, network)
                    .await
                    .unwrap();
            }
        });
    }
    running.join_all().await;
    for (follower, gateway) in followers.iter().zip(["gw1", "gw2"]) {
        let fresh = routes::changes_since(&world.shop, gateway, 0).await.unwrap();
        let fresh_routes: BTreeMap<_, _> = fresh
            .routes
            .into_iter()
            .map(|route| (route.subscription, route.port))
            .collect();
        assert_eq!(follower.caught_up(fresh.revision).await, fresh_routes, "{gateway}");
    }
}

async fn a_change_wakes_who_waits_for_one(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(2)
        .balance(crate::world::PRICE)
        .open()
        .await;
    let mut changes = world.shop.changes();
    changes.mark_unchanged();
    let one = world.bought("NL-AMS").await;
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    let order = world.renewal(&one).await;
    refusal(world.renew(order).await);
    assert!(!changes.has_changed().unwrap(), "nothing was committed");
}

async fn waiting_for_a_revision_ends_when_it_is_applied_and_not_later_than_its_bound(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let wait = |revision, bound| routes::wait_applied(&world.shop, GATEWAY, revision, bound);
    assert!(!wait(one.revision, Duration::from_millis(20)).await.unwrap());
    let other_process = world.site.open(turnpike_shop::Settings::default(), world.clock()).await;
    let (waited, _) = tokio::join!(wait(one.revision, Duration::from_secs(20)), async {
        routes::applied(&other_process, GATEWAY, one.revision).await.unwrap();
    });
    assert!(waited.unwrap());
}

async fn port_ranges_can_grow_shrink_and_come_back(site: &Site) {
    let world = World::on(site)
        .ports(12_001..=12_002)
        .network("NL-AMS")
        .exits(5)
        .open()
        .await;
    let register = |ports| routes::register_gateway(&world.shop, GATEWAY, "other.example.com", ports);
    let first = world.bought("NL-AMS").await;
    // The range moves away from under it; it keeps its port.
    register(12_003..=12_003).await.unwrap();
    assert_eq!(world.see(&first).await.port, 12_001);
    assert_eq!(world.see(&first).await.host, "other.example.com");
    assert_eq!(world.bought("NL-AMS").await.port, 12_003);
    let order = world.order("NL-AMS").await;
    assert_eq!(world.refuses(world.buy(order)).await, Refusal::NoFreePort);
    register(12_001..=12_003).await.unwrap();
    assert_eq!(world.bought("NL-AMS").await.port, 12_002);
    // Told again as it is, nothing changes.
    let revision = world.revision().await;
    register(12_001..=12_003).await.unwrap();
    assert_eq!(world.revision().await, revision);
}

async fn a_gateways_tls_is_shown_with_its_subscriptions_until_it_is_taken_back(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    assert_eq!(one.tls, None);
    let tell = |name| routes::set_gateway_tls(&world.shop, GATEWAY, name);
    tell(Some("proxy.example.com")).await.unwrap();
    let server_name = async || world.see(&one).await.tls.map(|tls| tls.server_name);
    assert_eq!(server_name().await.as_deref(), Some("proxy.example.com"));
    // Commands that open the shop beside the server do not know the certificate.
    routes::register_gateway(&world.shop, GATEWAY, "proxy.example.com", 12_001..=12_999)
        .await
        .unwrap();
    assert_eq!(server_name().await.as_deref(), Some("proxy.example.com"));
    tell(None).await.unwrap();
    assert_eq!(server_name().await, None);
}

async fn a_range_of_no_ports_is_refused(site: &Site) {
    let world = World::on(site).open().await;
    #[allow(clippy::reversed_empty_ranges, reason = "that is what an operator may write")]
    for ports in [0..=10, 12_010..=12_001] {
        let refused = refusal(routes::register_gateway(&world.shop, "gw9", "h", ports).await);
        assert!(refused.to_string().contains("not a range of ports"), "{refused}");
    }
}

async fn an_exits_health_and_addresses_are_remembered(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let exit = since(&world, 0).await.exits.remove(0).id;
    let tell = |health, detail, address: Option<&str>| {
        let address = address.map(|text| text.parse().unwrap());
        routes::exit_health(&world.shop, &exit, health, detail, address)
    };
    tell(Health::Up, None, Some("192.0.2.1")).await.unwrap();
    world.advance(Span::seconds(1));
    tell(Health::Up, None, Some("192.0.2.1")).await.unwrap();
    tell(Health::Down, Some("no carrier"), None).await.unwrap();
    let [state] = <[_; 1]>::try_from(routes::exits(&world.shop).await.unwrap()).unwrap();
    assert_eq!((state.name.as_str(), state.health), ("NL-AMS/exit-1", Health::Down));
    assert_eq!(state.detail.as_deref(), Some("no carrier"));
    assert_eq!(state.address, Some("192.0.2.1".parse().unwrap()));
    assert_eq!((state.slots_taken, state.slots), (0, 1));
    let since_when = world.raw.int("SELECT health_since FROM network_exit").await;
    assert_eq!(since_when, NOW.plus(Span::seconds(1)).0);
    world.advance(Span::seconds(1));
    tell(Health::Up, None, Some("192.0.2.2")).await.unwrap();
    let addresses = world.raw.texts("SELECT address FROM exit_address ORDER BY since").await;
    assert_eq!(addresses, ["192.0.2.1", "192.0.2.2"]);
}
