//! Changing credentials, and how they lie in the database.

use turnpike_shop::types::Span;
use turnpike_shop::{Refusal, change_credentials, routes};

use crate::site::Site;
use crate::world::{GATEWAY, MONTH, World};

on_both_engines! {
    both_secrets_are_new_and_all_else_stays,
    the_gateway_is_told_of_the_new_ones,
    nobody_elses_and_no_ended_subscription_is_changed,
    no_secret_lies_open_in_the_database,
}

async fn both_secrets_are_new_and_all_else_stays(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let before = world.bought("NL-AMS").await;
    let changed = world.change_credentials(&before).await.unwrap();
    assert_ne!(changed.password, before.password);
    assert_ne!(changed.vpn, before.vpn);
    assert_eq!(changed.password.len(), 22);
    let after = world.see(&before).await;
    assert_eq!((&after.password, after.vpn), (&changed.password, changed.vpn));
    assert_eq!((&after.username, after.port), (&before.username, before.port));
    assert_eq!(
        (after.ends_at, &after.rotate_token),
        (before.ends_at, &before.rotate_token)
    );
    assert_eq!(changed.revision, before.revision + 1);
    assert_eq!(world.balance().await, 100_000 - crate::world::PRICE);
}

async fn the_gateway_is_told_of_the_new_ones(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let changed = world.change_credentials(&one).await.unwrap();
    let told = routes::changes_since(&world.shop, GATEWAY, one.revision).await.unwrap();
    assert_eq!(told.revision, changed.revision);
    assert_eq!(told.routes.len(), 1);
    assert_eq!(
        (&told.routes[0].password, told.routes[0].vpn),
        (&changed.password, changed.vpn)
    );
    assert_eq!(told.routes[0].username, one.username);
}

async fn nobody_elses_and_no_ended_subscription_is_changed(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let bob = world.person("bob@example.com", 0).await;
    let changed = change_credentials(&world.shop, &bob, &one.id);
    assert_eq!(world.refuses(changed).await, Refusal::SubscriptionNotFound);
    world.advance(MONTH);
    for _ in 0..2 {
        assert_eq!(
            world.refuses(world.change_credentials(&one)).await,
            Refusal::SubscriptionEnded
        );
        world.upkeep().await;
    }
    world.advance(Span::hours(72));
    world.upkeep().await;
    assert_eq!(
        world.refuses(world.change_credentials(&one)).await,
        Refusal::SubscriptionEnded
    );
}

async fn no_secret_lies_open_in_the_database(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let secrets = [one.password.clone(), one.vpn.to_string(), one.rotate_token.clone()];
    let everything = world.everything().await;
    assert!(
        everything.contains(&one.username),
        "what is looked through holds the subscription"
    );
    for secret in secrets {
        assert!(!everything.contains(&secret));
    }
}
