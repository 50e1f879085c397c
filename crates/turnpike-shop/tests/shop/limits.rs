//! What plans limit: fixed with the purchase, taken over by renewals, told to gateways, and traffic counted against it.

use turnpike_shop::limits::{GIGABYTE, Limits, Usage};
use turnpike_shop::profile;
use turnpike_shop::traffic::{self, Row};
use turnpike_shop::types::{Span, UnixMillis};
use turnpike_shop::{PurchaseOrder, RenewOrder, catalogue, plans, renewal_plans, routes};

use crate::site::Site;
use crate::world::{GATEWAY, World, key, times};

on_both_engines! {
    a_catalogue_says_what_its_plans_limit,
    a_purchase_fixes_the_limits_whatever_becomes_of_the_plan,
    a_renewal_brings_its_plans_limits_and_adds_its_traffic,
    a_renewal_without_a_traffic_limit_lifts_it_and_the_next_counts_anew,
    a_trial_has_the_plans_limits_and_its_share_of_the_traffic,
    what_has_moved_is_seen_by_the_owner_and_told_to_the_gateway,
    a_profile_tells_what_may_move_of_one_and_of_all,
    another_network_and_new_credentials_change_no_limits,
    a_remembered_answer_from_before_there_were_limits_is_still_an_answer,
}

const LIMITS: Limits = Limits {
    max_connections: Some(10),
    max_source_addresses: Some(2),
    mbit_per_second: Some(50),
    traffic_bytes: Some(100 * GIGABYTE),
};

const FREE: Limits = Limits {
    max_connections: None,
    max_source_addresses: None,
    mbit_per_second: None,
    traffic_bytes: None,
};

const OTHER: Limits = Limits {
    max_connections: Some(20),
    max_source_addresses: None,
    mbit_per_second: Some(5),
    traffic_bytes: Some(7 * GIGABYTE),
};

async fn limited(site: &Site) -> World<'_> {
    World::on(site)
        .network("NL-AMS")
        .exits(2)
        .trial(Span::hours(72))
        .limits(LIMITS)
        .network("DE-BER")
        .exits(1)
        .open()
        .await
}

impl World<'_> {
    /// Makes the plans of whole exits limit this from now on.
    async fn now_limits(&mut self, limits: Limits) {
        for plan in &mut self.catalogue.plans {
            plan.limits = limits;
        }
        self.apply().await;
    }

    async fn moves(&self, subscription: &turnpike_shop::subscription::Subscription, batch: u64, up: i64, down: i64) {
        let moved = Row {
            subscription: subscription.id.clone(),
            hour: UnixMillis(1_760_000_400_000),
            up,
            down,
        };
        traffic::record(&self.shop, GATEWAY, "run", batch, &[moved])
            .await
            .unwrap();
    }

    /// What the gateway is told of the only route.
    async fn told(&self) -> (Limits, Usage) {
        let mut told = routes::changes_since(&self.shop, GATEWAY, 0).await.unwrap().routes;
        let route = told.pop().unwrap();
        assert!(told.is_empty());
        (route.limits, route.usage)
    }
}

async fn a_catalogue_says_what_its_plans_limit(site: &Site) {
    let mut world = limited(site).await;
    let find = async |world: &World<'_>| {
        let all = plans(&world.shop).await.unwrap();
        all.plans
            .iter()
            .find(|plan| plan.network.code == "NL-AMS")
            .unwrap()
            .limits
    };
    assert_eq!(find(&world).await, LIMITS);
    let apply = async |world: &World<'_>, dry_run| {
        catalogue::apply(&world.shop, "test", world.catalogue.clone(), dry_run)
            .await
            .unwrap()
    };
    assert_eq!(apply(&world, false).await, []);
    world.catalogue.plans[0].limits = Limits {
        max_connections: Some(11),
        max_source_addresses: None,
        ..LIMITS
    };
    let expected = ["max_connections: 10 -> 11", "max_source_addresses: 2 -> none"];
    assert_eq!(apply(&world, true).await[0].detail, expected);
    assert_eq!(find(&world).await, LIMITS, "a dry run changes nothing");
    assert_eq!(apply(&world, false).await[0].detail, expected);
    assert_eq!(find(&world).await, world.catalogue.plans[0].limits);
    assert_eq!(apply(&world, false).await, []);
    world.now_limits(FREE).await;
    world.now_limits(LIMITS).await;
    assert_eq!(find(&world).await, LIMITS);
    world.catalogue.plans[0].limits.traffic_bytes = Some(GIGABYTE);
    assert_eq!(apply(&world, false).await[0].detail, ["traffic_gb: 100 -> 1"]);
}

async fn a_purchase_fixes_the_limits_whatever_becomes_of_the_plan(site: &Site) {
    let mut world = limited(site).await;
    let order = PurchaseOrder {
        repeat: times(3),
        ..world.order("NL-AMS").await
    };
    let one = world.buy(order).await.unwrap().subscriptions.remove(0);
    let bought = Limits {
        traffic_bytes: Some(300 * GIGABYTE),
        ..LIMITS
    };
    assert_eq!((one.limits, one.usage), (bought, Usage::default()));
    assert_eq!(world.told().await, (bought, Usage::default()));
    world.now_limits(OTHER).await;
    assert_eq!(world.see(&one).await.limits, bought);
    assert_eq!(world.told().await.0, bought);
}

async fn a_renewal_brings_its_plans_limits_and_adds_its_traffic(site: &Site) {
    let mut world = limited(site).await;
    let one = world.bought("NL-AMS").await;
    world.moves(&one, 1, 99 * GIGABYTE, 2 * GIGABYTE).await;
    let seen = world.see(&one).await;
    assert_eq!(
        seen.usage.left(&seen.limits),
        Some(0),
        "a gateway is late, and the rest is not owed"
    );
    world.now_limits(OTHER).await;
    let offered = renewal_plans(&world.shop, &world.ann, &one.id).await.unwrap();
    assert_eq!(offered[0].limits, OTHER);
    let revision = world.revision().await;
    let order = RenewOrder {
        repeat: times(2),
        ..world.renewal(&one).await
    };
    world.renew(order).await.unwrap();
    assert_eq!(world.revision().await, revision + 1);
    let renewed = Limits {
        traffic_bytes: Some(114 * GIGABYTE),
        ..OTHER
    };
    let seen = world.see(&one).await;
    assert_eq!(seen.limits, renewed);
    assert_eq!(seen.usage.left(&seen.limits), Some(13 * GIGABYTE));
    assert_eq!(world.told().await, (renewed, seen.usage));
}

async fn a_renewal_without_a_traffic_limit_lifts_it_and_the_next_counts_anew(site: &Site) {
    let mut world = limited(site).await;
    let one = world.bought("NL-AMS").await;
    world.moves(&one, 1, 1, 2).await;
    world.now_limits(FREE).await;
    let order = world.renewal(&one).await;
    world.renew(order.clone()).await.unwrap();
    let seen = world.see(&one).await;
    assert_eq!(
        (seen.limits, seen.usage.used(), seen.usage.left(&FREE)),
        (FREE, 3, None)
    );
    world.moves(&one, 2, 10, 20).await;
    world.now_limits(LIMITS).await;
    world.renew(order.clone()).await.unwrap();
    let seen = world.see(&one).await;
    assert_eq!(seen.limits, LIMITS);
    assert_eq!((seen.usage.moved(), seen.usage.used()), (33, 0));
    world.moves(&one, 3, 100, 200).await;
    world.renew(order).await.unwrap();
    let seen = world.see(&one).await;
    assert_eq!(seen.limits.traffic_bytes, Some(200 * GIGABYTE));
    assert_eq!(
        seen.usage,
        Usage {
            bytes_up: 111,
            bytes_down: 222,
            before: 33
        }
    );
    assert_eq!(world.told().await, (seen.limits, seen.usage));
}

async fn a_profile_tells_what_may_move_of_one_and_of_all(site: &Site) {
    let mut world = limited(site).await;
    let own = profile::account_token(&world.shop, &world.ann).await.unwrap();
    let allowed = async |world: &World<'_>, token: &str| profile::open(&world.shop, token).await.unwrap().allowed;
    assert_eq!(allowed(&world, &own).await, None, "nothing is bought, nothing is bound");
    let (one, other) = (world.bought("NL-AMS").await, world.bought("NL-AMS").await);
    assert_eq!(allowed(&world, &one.url_token).await, Some(100 * GIGABYTE));
    assert_eq!(allowed(&world, &own).await, Some(200 * GIGABYTE));
    world.moves(&one, 1, 1, 2).await;
    world.now_limits(FREE).await;
    let order = world.renewal(&one).await;
    world.renew(order.clone()).await.unwrap();
    assert_eq!(allowed(&world, &one.url_token).await, None);
    assert_eq!(allowed(&world, &other.url_token).await, Some(100 * GIGABYTE));
    assert_eq!(
        allowed(&world, &own).await,
        None,
        "of one that has no bound and one that has"
    );
    // A client shows what is left as the bound less all that has moved: also before there was a bound.
    world.moves(&one, 2, 10, 20).await;
    world.now_limits(LIMITS).await;
    world.renew(order).await.unwrap();
    assert_eq!(allowed(&world, &one.url_token).await, Some(100 * GIGABYTE + 33));
    assert_eq!(allowed(&world, &own).await, Some(200 * GIGABYTE + 33));
}

async fn a_trial_has_the_plans_limits_and_its_share_of_the_traffic(site: &Site) {
    let world = limited(site).await;
    let one = world.try_out("NL-AMS").await.unwrap().subscriptions.remove(0);
    let share = Limits {
        traffic_bytes: Some(10 * GIGABYTE),
        ..LIMITS
    };
    assert_eq!(one.limits, share);
    let order = world.renewal(&one).await;
    world.renew(order).await.unwrap();
    assert_eq!(world.see(&one).await.limits.traffic_bytes, Some(110 * GIGABYTE));
}

async fn what_has_moved_is_seen_by_the_owner_and_told_to_the_gateway(site: &Site) {
    let world = limited(site).await;
    let one = world.bought("NL-AMS").await;
    world.moves(&one, 1, 5, 7).await;
    world.moves(&one, 1, 5, 7).await;
    world.moves(&one, 2, 1, 1).await;
    let usage = Usage {
        bytes_up: 6,
        bytes_down: 8,
        before: 0,
    };
    let seen = world.see(&one).await;
    assert_eq!(seen.usage, usage);
    assert_eq!(seen.usage.left(&seen.limits), Some(100 * GIGABYTE - 14));
    assert_eq!(world.told().await, (LIMITS, usage));
}

async fn another_network_and_new_credentials_change_no_limits(site: &Site) {
    let world = limited(site).await;
    let one = world.bought("NL-AMS").await;
    world.moves(&one, 1, 5, 7).await;
    let before = world.told().await;
    assert_eq!(world.switch(&one, "DE-BER").await.unwrap().limits, LIMITS);
    world.change_credentials(&one).await.unwrap();
    assert_eq!(world.told().await, before);
}

async fn a_remembered_answer_from_before_there_were_limits_is_still_an_answer(site: &Site) {
    let world = limited(site).await;
    let order = PurchaseOrder {
        idempotency: key("k", 1),
        ..world.order("NL-AMS").await
    };
    let purchased = world.buy(order).await.unwrap();
    let mut remembered = serde_json::to_value(&purchased).unwrap();
    let subscription = remembered["subscriptions"][0].as_object_mut().unwrap();
    assert!(subscription.remove("limits").is_some() && subscription.remove("usage").is_some());
    let old: turnpike_shop::Purchased = serde_json::from_value(remembered).unwrap();
    assert_eq!(old.subscriptions[0].limits, Limits::default());
}
