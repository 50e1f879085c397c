//! Buying: what is given, what is taken, and that it is all or nothing.

use std::collections::BTreeSet;

use turnpike_shop::subscription::Page;
use turnpike_shop::types::{AccountStatus, Cents, ConnectionType, PlanId, RotationPolicy, Span, SubscriptionState};
use turnpike_shop::{PurchaseOrder, Refusal, account, ledger, purchase, subscriptions};

use crate::site::Site;
use crate::world::{ANN, GATEWAY, MONTH, PRICE, World, quantity, times};

on_both_engines! {
    a_purchase_takes_the_price_a_slot_and_a_port,
    several_have_ports_names_and_secrets_of_their_own,
    what_was_bought_at_once_is_listed_as_the_purchase_has_it,
    repeating_multiplies_time_and_price,
    a_purchase_of_more_than_there_is_leaves_nothing,
    a_purchase_beyond_the_balance_leaves_nothing,
    the_last_cent_can_be_spent,
    a_price_beyond_counting_is_beyond_the_balance,
    a_free_plan_is_booked_like_any_other,
    unknown_and_withdrawn_plans_are_told_apart,
    a_suspended_account_buys_nothing,
    the_exit_that_was_free_longest_is_sold_first,
    an_exit_that_is_down_is_sold_last,
    a_gateway_without_ports_sells_nothing,
    shared_exits_are_sold_by_the_slot,
    an_exit_whose_subscriber_is_over_is_sold_before_upkeep_comes,
    what_left_the_catalogue_is_not_given_back_to_the_shelf,
    an_exit_whose_gateway_has_no_port_is_not_cleared_in_vain,
}

async fn a_purchase_takes_the_price_a_slot_and_a_port(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).balance(5_000).open().await;
    let revision = world.revision().await;
    let order = world.order("NL-AMS").await;
    let bought = world.buy(order).await.unwrap();
    assert_eq!(bought.price, Cents(PRICE));
    assert!(!bought.replayed);
    let [one] = bought.subscriptions.as_slice() else {
        panic!("one was ordered")
    };
    assert_eq!(one.state, SubscriptionState::Active);
    assert_eq!(one.ends_at, world.now().plus(MONTH));
    assert_eq!(one.user_note, "");
    assert_eq!(one.rotation_policy, RotationPolicy::OFF);
    assert_eq!(one.connection_type, ConnectionType::Private);
    assert_eq!(
        (one.network_code.as_str(), one.city.as_str(), one.country.as_str()),
        ("NL-AMS", "City of NL-AMS", "NL")
    );
    assert_eq!(
        (one.host.as_str(), one.gateway.as_str(), one.port),
        ("gw1.example.com", GATEWAY, 12_001)
    );
    assert!(
        one.username.starts_with("u_") && one.username.len() == 14,
        "{}",
        one.username
    );
    assert_eq!(one.password.len(), 22);
    assert_eq!(one.rotate_token.len(), 24);
    assert!(one.can_rotate);
    assert_eq!(one.revision, revision + 1);
    assert_eq!(world.revision().await, revision + 1);
    assert_eq!(world.balance().await, 5_000 - PRICE);
    assert_eq!((world.slots_taken().await, world.ports_taken().await), (1, 1));
    let statement = ledger::statement(&world.shop, ANN, 1).await.unwrap();
    assert_eq!(statement[0].kind, "purchase");
    assert_eq!(
        (statement[0].amount, statement[0].balance),
        (Cents(-PRICE), Cents(5_000 - PRICE))
    );
    let seen = world.see(one).await;
    assert_eq!(serde_json::to_value(&seen).unwrap(), serde_json::to_value(one).unwrap());
}

async fn what_was_bought_at_once_is_listed_as_the_purchase_has_it(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(20).open().await;
    let mut bought = Vec::new();
    for _ in 0..4 {
        let order = PurchaseOrder {
            quantity: quantity(5),
            ..world.order("NL-AMS").await
        };
        bought.extend(world.buy(order).await.unwrap().subscriptions);
        world.advance(Span::seconds(1));
    }
    // Nothing has been given back yet, so ports are taken in turn.
    assert!(bought.is_sorted_by_key(|one| one.port));
    let bought: Vec<_> = bought.into_iter().map(|one| one.id).collect();
    let (listed, _) = subscriptions(&world.shop, &world.ann, Page::default()).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|one| one.id).collect();
    assert_eq!(listed, bought);
    let page = Page {
        after: Some(bought[6].clone()),
        limit: Some(3),
    };
    let (listed, has_more) = subscriptions(&world.shop, &world.ann, page).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|one| one.id).collect();
    assert_eq!((listed.as_slice(), has_more), (&bought[7..10], true));
}

async fn several_have_ports_names_and_secrets_of_their_own(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(5).open().await;
    let order = PurchaseOrder {
        quantity: quantity(5),
        ..world.order("NL-AMS").await
    };
    let bought = world.buy(order).await.unwrap();
    assert_eq!(bought.price, Cents(5 * PRICE));
    let ports: Vec<u16> = bought.subscriptions.iter().map(|one| one.port).collect();
    assert_eq!(ports, [12_001, 12_002, 12_003, 12_004, 12_005]);
    let secrets: BTreeSet<String> = bought
        .subscriptions
        .iter()
        .flat_map(|one| {
            [
                one.id.to_string(),
                one.username.clone(),
                one.password.clone(),
                one.vpn.to_string(),
                one.rotate_token.clone(),
            ]
        })
        .collect();
    assert_eq!(secrets.len(), 5 * 5);
    // One order, one charge, one revision for all of them.
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM shop_order").await, 1);
    let revisions: Vec<i64> = bought.subscriptions.iter().map(|one| one.revision).collect();
    assert_eq!(revisions, [world.revision().await; 5]);
}

async fn repeating_multiplies_time_and_price(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let order = PurchaseOrder {
        repeat: times(3),
        quantity: quantity(2),
        ..world.order("NL-AMS").await
    };
    let bought = world.buy(order).await.unwrap();
    assert_eq!(bought.price, Cents(6 * PRICE));
    for one in &bought.subscriptions {
        assert_eq!(one.ends_at, world.now().plus(Span(3 * MONTH.0)));
    }
}

async fn a_purchase_of_more_than_there_is_leaves_nothing(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(3).open().await;
    world.bought("NL-AMS").await;
    let order = PurchaseOrder {
        quantity: quantity(3),
        ..world.order("NL-AMS").await
    };
    assert_eq!(
        world.refuses(world.buy(order)).await,
        Refusal::SoldOut { free: 2, wanted: 3 }
    );
}

async fn a_purchase_beyond_the_balance_leaves_nothing(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(3)
        .balance(2 * PRICE - 1)
        .open()
        .await;
    let order = PurchaseOrder {
        quantity: quantity(2),
        ..world.order("NL-AMS").await
    };
    assert_eq!(
        world.refuses(world.buy(order)).await,
        Refusal::InsufficientBalance {
            balance: Cents(2 * PRICE - 1),
            price: Cents(2 * PRICE),
        }
    );
}

async fn the_last_cent_can_be_spent(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).balance(PRICE).open().await;
    world.bought("NL-AMS").await;
    assert_eq!(world.balance().await, 0);
}

async fn a_price_beyond_counting_is_beyond_the_balance(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .priced(i64::MAX / 50)
        .open()
        .await;
    let order = PurchaseOrder {
        repeat: times(100),
        ..world.order("NL-AMS").await
    };
    let refused = world.refuses(world.buy(order)).await;
    assert_eq!(
        refused,
        Refusal::InsufficientBalance {
            balance: Cents(100_000),
            price: Cents(i64::MAX),
        }
    );
    assert!(refused.to_string().contains("1000.00"), "{refused}");
}

async fn a_free_plan_is_booked_like_any_other(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .priced(0)
        .balance(0)
        .open()
        .await;
    world.bought("NL-AMS").await;
    let statement = ledger::statement(&world.shop, ANN, 10).await.unwrap();
    assert_eq!(statement.len(), 1);
    assert_eq!((statement[0].amount, statement[0].balance), (Cents(0), Cents(0)));
}

async fn unknown_and_withdrawn_plans_are_told_apart(site: &Site) {
    let mut world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let unknown = PurchaseOrder {
        plan: PlanId::random(),
        ..world.order("NL-AMS").await
    };
    assert_eq!(world.refuses(world.buy(unknown)).await, Refusal::UnknownPlan);

    // The plan alone is withdrawn, then the other one with its network.
    world.catalogue.plans.retain(|plan| plan.network != "NL-AMS");
    world.apply().await;
    let order = world.order("NL-AMS").await;
    assert_eq!(world.refuses(world.buy(order)).await, Refusal::PlanInactive);
    world.catalogue.networks.retain(|network| network.code != "DE-BER");
    world.catalogue.plans.clear();
    world.apply().await;
    let order = world.order("DE-BER").await;
    assert_eq!(world.refuses(world.buy(order)).await, Refusal::PlanInactive);

    // A plan whose network alone is inactive is no more sold.
    world.raw.run("UPDATE plan SET active = 1").await;
    let order = world.order("DE-BER").await;
    assert_eq!(world.refuses(world.buy(order)).await, Refusal::PlanInactive);
    let on_sale = turnpike_shop::plans(&world.shop).await.unwrap();
    assert_eq!(
        on_sale
            .plans
            .iter()
            .map(|plan| plan.network.code.as_str())
            .collect::<Vec<_>>(),
        ["NL-AMS"]
    );
}

async fn a_suspended_account_buys_nothing(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    account::set_status(&world.shop, "test", ANN, AccountStatus::Suspended)
        .await
        .unwrap();
    let order = world.order("NL-AMS").await;
    assert_eq!(world.refuses(world.buy(order.clone())).await, Refusal::AccountSuspended);
    account::set_status(&world.shop, "test", ANN, AccountStatus::Active)
        .await
        .unwrap();
    world.buy(order).await.unwrap();
}

async fn the_exit_that_was_free_longest_is_sold_first(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(3).open().await;
    let mut sold = Vec::new();
    for _ in 0..3 {
        let one = world.bought("NL-AMS").await;
        sold.push((world.exit_of(&one).await, one.port));
        world.advance(Span::minutes(1));
    }
    // They end one after the other, so each exit is free since another moment.
    world.advance(Span(MONTH.0 - Span::minutes(3).0));
    for _ in 0..3 {
        world.upkeep().await;
        world.advance(Span::minutes(1));
    }
    world.advance(Span::hours(73));
    world.upkeep().await;
    for (exit, _) in &sold {
        let one = world.bought("NL-AMS").await;
        assert_eq!(&world.exit_of(&one).await, exit);
        // Ports that were never used come before those that were.
        assert!(!sold.iter().any(|(_, port)| *port == one.port), "{}", one.port);
    }
}

async fn an_exit_that_is_down_is_sold_last(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    world
        .raw
        .run("UPDATE network_exit SET health = 'down' WHERE name = 'exit-1'")
        .await;
    let first = world.bought("NL-AMS").await;
    let second = world.bought("NL-AMS").await;
    assert_eq!(world.exit_of(&first).await, "exit-2");
    assert_eq!(world.exit_of(&second).await, "exit-1");
}

async fn a_gateway_without_ports_sells_nothing(site: &Site) {
    let world = World::on(site)
        .ports(12_001..=12_002)
        .network("NL-AMS")
        .exits(4)
        .open()
        .await;
    let order = PurchaseOrder {
        quantity: quantity(3),
        ..world.order("NL-AMS").await
    };
    assert_eq!(world.refuses(world.buy(order.clone())).await, Refusal::NoFreePort);
    let order = PurchaseOrder {
        quantity: quantity(2),
        ..order
    };
    world.buy(order.clone()).await.unwrap();
    let order = PurchaseOrder {
        quantity: quantity(1),
        ..order
    };
    assert_eq!(world.refuses(world.buy(order)).await, Refusal::NoFreePort);
}

async fn shared_exits_are_sold_by_the_slot(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).shared(3).open().await;
    let order = PurchaseOrder {
        quantity: quantity(3),
        ..world.order_of("NL-AMS", ConnectionType::Shared).await
    };
    let bought = world.buy(order.clone()).await.unwrap();
    for one in &bought.subscriptions {
        assert_eq!(world.exit_of(one).await, "exit-2");
        assert!(!one.can_rotate, "others use it too");
    }
    let order = PurchaseOrder {
        quantity: quantity(1),
        ..order
    };
    assert_eq!(
        world.refuses(world.buy(order)).await,
        Refusal::SoldOut { free: 0, wanted: 1 }
    );
    world.bought("NL-AMS").await;
}

async fn an_exit_whose_subscriber_is_over_is_sold_before_upkeep_comes(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let old = [world.bought("NL-AMS").await, world.bought("NL-AMS").await];
    let bob = world.person("bob@example.com", 100_000).await;
    world.advance(MONTH);
    let order = PurchaseOrder {
        quantity: quantity(2),
        ..world.order("NL-AMS").await
    };
    let bought = purchase(&world.shop, &bob, order.clone()).await.unwrap();
    assert_eq!(bought.subscriptions.len(), 2);
    for old in &old {
        let old = world.see(old).await;
        assert_eq!(old.state, SubscriptionState::Expired);
        // Its gateway is told that it is over by the same revision that tells of the new ones.
        assert_eq!(old.revision, bought.subscriptions[0].revision);
    }
    assert_eq!(refused_free(&world, &bob, order).await, 0);
}

async fn refused_free(world: &World<'_>, buyer: &turnpike_shop::types::AccountId, order: PurchaseOrder) -> i64 {
    match world.refuses(purchase(&world.shop, buyer, order)).await {
        Refusal::SoldOut { free, .. } => free,
        other => panic!("{other}"),
    }
}

async fn what_left_the_catalogue_is_not_given_back_to_the_shelf(site: &Site) {
    let mut world = World::on(site).network("NL-AMS").exits(2).open().await;
    let first = world.bought("NL-AMS").await;
    world.advance(Span::seconds(1));
    let second = world.bought("NL-AMS").await;
    let withdrawn = world.exit_of(&first).await;
    world.catalogue.networks[0].exits.retain(|exit| exit.name != withdrawn);
    world.apply().await;
    // Both run on. When both are over, the first one is over longer, but only the second one's exit can be sold again.
    assert_eq!(world.see(&first).await.state, SubscriptionState::Active);
    world.advance(MONTH);
    let next = world.bought("NL-AMS").await;
    assert_eq!(world.exit_of(&next).await, world.exit_of(&second).await);
    let order = world.order("NL-AMS").await;
    assert_eq!(
        world.refuses(world.buy(order)).await,
        Refusal::SoldOut { free: 0, wanted: 1 }
    );
}

async fn an_exit_whose_gateway_has_no_port_is_not_cleared_in_vain(site: &Site) {
    let world = World::on(site)
        .ports(12_001..=12_001)
        .network("NL-AMS")
        .exits(1)
        .gateway("gw2", 13_001..=13_002)
        .exits(1)
        .open()
        .await;
    let mut both = [world.bought("NL-AMS").await, world.bought("NL-AMS").await];
    both.sort_by(|one, other| one.gateway.cmp(&other.gateway));
    // The one on the gateway without a second port has been over longer.
    let sql = format!(
        "UPDATE subscription SET started_at = started_at - 1000, ends_at = ends_at - 1000 WHERE id = '{}'",
        both[0].id
    );
    world.raw.run(&sql).await;
    world.advance(MONTH);
    let next = world.bought("NL-AMS").await;
    assert_eq!((next.gateway.as_str(), next.port), ("gw2", 13_002));
    let order = world.order("NL-AMS").await;
    assert_eq!(world.refuses(world.buy(order)).await, Refusal::NoFreePort);
}
