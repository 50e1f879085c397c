//! From where a port asks no password.

use turnpike_shop::address_list::AddressList;
use turnpike_shop::allowed_addresses::Set;
use turnpike_shop::subscription::Subscription;
use turnpike_shop::types::Span;
use turnpike_shop::{Refusal, Result, allowed_addresses, routes, set_allowed_addresses};

use crate::site::Site;
use crate::world::{GATEWAY, MONTH, World};

on_both_engines! {
    a_list_is_told_to_the_gateway_and_to_its_owner,
    setting_what_is_set_changes_nothing,
    a_list_stays_with_its_subscription,
    lists_of_others_and_of_what_has_ended,
}

fn list(entries: &[&str]) -> AddressList {
    AddressList::parse(entries).unwrap()
}

async fn set(world: &World<'_>, one: &Subscription, entries: &[&str]) -> Result<Set> {
    set_allowed_addresses(&world.shop, &world.ann, &one.id, list(entries)).await
}

async fn seen(world: &World<'_>, one: &Subscription) -> AddressList {
    allowed_addresses(&world.shop, &world.ann, &one.id).await.unwrap()
}

/// The lists in the routes that are newer than `revision`.
async fn told(world: &World<'_>, revision: i64) -> Vec<AddressList> {
    let changes = routes::changes_since(&world.shop, GATEWAY, revision).await.unwrap();
    changes
        .routes
        .into_iter()
        .map(|route| route.allowed_addresses)
        .collect()
}

async fn a_list_is_told_to_the_gateway_and_to_its_owner(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let [one, other] = [world.bought("NL-AMS").await, world.bought("NL-AMS").await];
    assert_eq!(told(&world, 0).await, [AddressList::default(), AddressList::default()]);
    for entries in [&["192.0.2.0/24", "2001:db8::7"][..], &["192.0.2.0/24"], &[]] {
        let before = world.revision().await;
        let set = set(&world, &one, entries).await.unwrap();
        assert_eq!(
            set,
            Set {
                addresses: list(entries),
                gateway: GATEWAY.to_owned(),
                revision: before + 1
            }
        );
        assert_eq!(told(&world, before).await, [list(entries)]);
        assert_eq!(seen(&world, &one).await, list(entries));
        assert_eq!(seen(&world, &other).await, AddressList::default());
    }
}

async fn setting_what_is_set_changes_nothing(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let first = set(&world, &one, &["192.0.2.0/24", "198.51.100.1"]).await.unwrap();
    let again = set(&world, &one, &["198.51.100.1", "192.0.2.77/24"]).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(world.revision().await, first.revision);
}

async fn a_list_stays_with_its_subscription(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    set(&world, &one, &["192.0.2.1"]).await.unwrap();
    world.change_credentials(&one).await.unwrap();
    world.switch(&one, "DE-BER").await.unwrap();
    let one = world.see(&one).await;
    world.advance(MONTH);
    world.upkeep().await;
    let order = world.renewal(&one).await;
    world.renew(order).await.unwrap();
    assert_eq!(told(&world, 0).await, [list(&["192.0.2.1"])]);
    assert_eq!(seen(&world, &one).await, list(&["192.0.2.1"]));
}

async fn lists_of_others_and_of_what_has_ended(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let bob = world.person("bob@example.com", 0).await;
    let theirs = set_allowed_addresses(&world.shop, &bob, &one.id, list(&["192.0.2.1"]));
    assert_eq!(world.refuses(theirs).await, Refusal::SubscriptionNotFound);
    let theirs = allowed_addresses(&world.shop, &bob, &one.id);
    assert_eq!(world.refuses(theirs).await, Refusal::SubscriptionNotFound);
    world.advance(Span(MONTH.0));
    for _ in 0..2 {
        assert_eq!(
            world.refuses(set(&world, &one, &["192.0.2.1"])).await,
            Refusal::SubscriptionEnded
        );
        world.upkeep().await;
    }
    assert_eq!(seen(&world, &one).await, AddressList::default());
}
