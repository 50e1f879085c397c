//! Moving to another network: what stays, what is told to whom, and that what is listed is what works.

use turnpike_shop::types::{ConnectionType, NetworkId, RotationPolicy, Span, SubscriptionId};
use turnpike_shop::{Refusal, available_networks, purchase, rotation, routes, switch_network};

use crate::site::Site;
use crate::world::{GATEWAY, MONTH, PRICE, World, refusal};

on_both_engines! {
    a_switch_keeps_port_credentials_and_end,
    the_old_exit_can_be_sold_at_once,
    a_full_network_is_refused_and_not_listed,
    networks_that_cannot_be_switched_to,
    a_network_whose_subscriber_is_over_is_listed_and_works,
    a_withdrawn_exit_whose_subscriber_is_over_makes_no_network_available,
    nobody_elses_subscription_is_switched,
    an_ended_subscription_is_renewed_first,
    the_rotation_policy_stays_where_the_new_exit_can_rotate,
    shared_subscriptions_move_to_shared_exits,
    across_gateways_the_port_number_stays_where_it_is_free,
    across_gateways_another_port_is_taken_where_it_is_not,
    an_exit_of_the_present_gateway_is_preferred,
    there_and_back_again_tells_both_gateways,
    a_gateway_without_ports_makes_no_network_available,
}

async fn listed(world: &World<'_>, id: &SubscriptionId) -> Vec<String> {
    let networks = available_networks(&world.shop, &world.ann, id).await.unwrap();
    networks.into_iter().map(|network| network.code).collect()
}

async fn a_switch_keeps_port_credentials_and_end(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    assert_eq!(listed(&world, &one.id).await, ["DE-BER"]);
    world.advance(Span::hours(1));
    let moved = world.switch(&one, "DE-BER").await.unwrap();
    assert_eq!(moved.network_code, "DE-BER");
    assert_eq!(moved.country, "DE");
    assert_eq!((&moved.id, moved.port, moved.ends_at), (&one.id, one.port, one.ends_at));
    assert_eq!(
        (&moved.username, &moved.password, moved.vpn),
        (&one.username, &one.password, one.vpn)
    );
    assert_eq!(moved.rotate_token, one.rotate_token);
    assert_eq!(moved.revision, one.revision + 1);
    assert_eq!((world.slots_taken().await, world.ports_taken().await), (1, 1));
    assert_eq!(world.balance().await, 100_000 - PRICE);
    let told = routes::changes_since(&world.shop, GATEWAY, one.revision).await.unwrap();
    assert_eq!(told.routes.len(), 1);
    assert_eq!(
        world.raw.texts("SELECT exit_id FROM subscription").await,
        [told.routes[0].exit.to_string()]
    );
}

async fn the_old_exit_can_be_sold_at_once(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let order = world.order("NL-AMS").await;
    assert_eq!(
        world.refuses(world.buy(order.clone())).await,
        Refusal::SoldOut { free: 0, wanted: 1 }
    );
    world.switch(&one, "DE-BER").await.unwrap();
    world.buy(order).await.unwrap();
}

async fn a_full_network_is_refused_and_not_listed(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    world.bought("DE-BER").await;
    assert!(listed(&world, &one.id).await.is_empty());
    assert_eq!(
        world.refuses(world.switch(&one, "DE-BER")).await,
        Refusal::SoldOut { free: 0, wanted: 1 }
    );
}

async fn networks_that_cannot_be_switched_to(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .network("FR-PAR")
        .shared(3)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    assert_eq!(listed(&world, &one.id).await, ["DE-BER"]);
    assert_eq!(world.refuses(world.switch(&one, "NL-AMS")).await, Refusal::SameNetwork);
    assert_eq!(
        world.refuses(world.switch(&one, "FR-PAR")).await,
        Refusal::SoldOut { free: 0, wanted: 1 }
    );
    let unknown = NetworkId::random();
    let switched = switch_network(&world.shop, &world.ann, &one.id, &unknown);
    assert_eq!(world.refuses(switched).await, Refusal::UnknownNetwork);
    world.catalogue.networks.retain(|network| network.code != "DE-BER");
    world.catalogue.plans.retain(|plan| plan.network != "DE-BER");
    world.apply().await;
    assert!(listed(&world, &one.id).await.is_empty());
    assert_eq!(
        world.refuses(world.switch(&one, "DE-BER")).await,
        Refusal::NetworkInactive
    );
}

async fn a_network_whose_subscriber_is_over_is_listed_and_works(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let bob = world.person("bob@example.com", PRICE).await;
    let order = world.order("DE-BER").await;
    let bobs = purchase(&world.shop, &bob, order)
        .await
        .unwrap()
        .subscriptions
        .remove(0);
    world.advance(Span::days(1));
    let one = world.bought("NL-AMS").await;
    assert!(listed(&world, &one.id).await.is_empty());
    world.advance(Span(MONTH.0 - Span::days(1).0));
    assert_eq!(listed(&world, &one.id).await, ["DE-BER"]);
    let moved = world.switch(&one, "DE-BER").await.unwrap();
    let told = routes::changes_since(&world.shop, GATEWAY, moved.revision - 1)
        .await
        .unwrap();
    assert_eq!(told.removed, [bobs.id]);
}

async fn a_withdrawn_exit_whose_subscriber_is_over_makes_no_network_available(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let bob = world.person("bob@example.com", PRICE).await;
    let order = world.order("DE-BER").await;
    purchase(&world.shop, &bob, order).await.unwrap();
    world.advance(Span::days(1));
    let one = world.bought("NL-AMS").await;
    world.catalogue.networks[1].exits.clear();
    world.apply().await;
    world.advance(Span(MONTH.0 - Span::days(1).0));
    assert!(listed(&world, &one.id).await.is_empty());
    assert_eq!(
        world.refuses(world.switch(&one, "DE-BER")).await,
        Refusal::SoldOut { free: 0, wanted: 1 }
    );
}

async fn nobody_elses_subscription_is_switched(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let bob = world.person("bob@example.com", PRICE).await;
    let target = world.network("DE-BER").await;
    assert_eq!(
        world.refuses(switch_network(&world.shop, &bob, &one.id, &target)).await,
        Refusal::SubscriptionNotFound
    );
    let networks = available_networks(&world.shop, &bob, &one.id).await;
    assert_eq!(refusal(networks), Refusal::SubscriptionNotFound);
}

async fn an_ended_subscription_is_renewed_first(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    world.advance(MONTH);
    for _ in 0..2 {
        assert_eq!(
            world.refuses(world.switch(&one, "DE-BER")).await,
            Refusal::SubscriptionEnded
        );
        let networks = available_networks(&world.shop, &world.ann, &one.id).await;
        assert_eq!(refusal(networks), Refusal::SubscriptionEnded);
        world.upkeep().await;
    }
}

async fn the_rotation_policy_stays_where_the_new_exit_can_rotate(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .network("FR-PAR")
        .fixed_exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let policy = RotationPolicy::try_from(30).unwrap();
    rotation::set_policy(&world.shop, &world.ann, &one.id, policy)
        .await
        .unwrap();
    let moved = world.switch(&one, "DE-BER").await.unwrap();
    assert_eq!((moved.rotation_policy, moved.can_rotate), (policy, true));
    let moved = world.switch(&one, "FR-PAR").await.unwrap();
    assert_eq!((moved.rotation_policy, moved.can_rotate), (RotationPolicy::OFF, false));
}

async fn shared_subscriptions_move_to_shared_exits(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .shared(2)
        .network("DE-BER")
        .exits(1)
        .shared(2)
        .open()
        .await;
    let one = world.bought_shared("NL-AMS").await;
    let moved = world.switch(&one, "DE-BER").await.unwrap();
    assert_eq!(moved.connection_type, ConnectionType::Shared);
    assert_eq!(world.exit_of(&moved).await, "exit-2");
}

async fn across_gateways_the_port_number_stays_where_it_is_free(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .gateway("gw2", 12_001..=12_010)
        .exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let moved = world.switch(&one, "DE-BER").await.unwrap();
    assert_eq!(
        (moved.gateway.as_str(), moved.host.as_str()),
        ("gw2", "gw2.example.com")
    );
    assert_eq!(moved.port, one.port);
    assert_eq!(world.ports_taken().await, 1);
    // The one that it has left is told to drop it, the other one to serve it.
    let left = routes::changes_since(&world.shop, "gw1", one.revision).await.unwrap();
    assert_eq!((left.routes.len(), left.removed), (0, vec![one.id.clone()]));
    let reached = routes::changes_since(&world.shop, "gw2", 0).await.unwrap();
    assert_eq!((reached.routes.len(), reached.removed.len()), (1, 0));
    assert_eq!(reached.revision, moved.revision);
}

async fn across_gateways_another_port_is_taken_where_it_is_not(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .gateway("gw2", 12_001..=12_010)
        .exits(2)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    assert_eq!(world.bought("DE-BER").await.port, one.port);
    let moved = world.switch(&one, "DE-BER").await.unwrap();
    assert_eq!((moved.gateway.as_str(), moved.port), ("gw2", 12_002));
}

async fn an_exit_of_the_present_gateway_is_preferred(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .gateway("gw2", 12_001..=12_010)
        .exits(5)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    // Free since later than all the others, so that the longest free would be another.
    world
        .raw
        .run("UPDATE slot SET freed_at = 1 WHERE exit_id IN (SELECT id FROM network_exit WHERE gateway = 'gw1')")
        .await;
    assert_eq!(world.switch(&one, "DE-BER").await.unwrap().gateway, "gw1");
}

async fn there_and_back_again_tells_both_gateways(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .gateway("gw2", 12_001..=12_010)
        .exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    world.switch(&one, "DE-BER").await.unwrap();
    let back = world.switch(&one, "NL-AMS").await.unwrap();
    // Whoever slept through all of it hears of the present alone.
    let first = routes::changes_since(&world.shop, "gw1", one.revision).await.unwrap();
    assert_eq!((first.routes.len(), first.removed.len()), (1, 0));
    assert_eq!(first.routes[0].port, back.port);
    let second = routes::changes_since(&world.shop, "gw2", 0).await.unwrap();
    assert_eq!((second.routes.len(), second.removed), (0, vec![one.id]));
}

async fn a_gateway_without_ports_makes_no_network_available(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .gateway("gw2", 13_001..=13_001)
        .exits(2)
        .open()
        .await;
    world.bought("DE-BER").await;
    let one = world.bought("NL-AMS").await;
    assert!(listed(&world, &one.id).await.is_empty());
    assert_eq!(world.refuses(world.switch(&one, "DE-BER")).await, Refusal::NoFreePort);
}
