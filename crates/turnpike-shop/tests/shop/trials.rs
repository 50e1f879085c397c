//! Who has tried what.

use secrecy::{ExposeSecret as _, SecretString};
use turnpike_shop::api_key::{self, NewApiKey};
use turnpike_shop::session::{self, Origin};
use turnpike_shop::trials::trials;
use turnpike_shop::types::{AccountId, Role, Span};
use turnpike_shop::{TrialOrder, account, trial, upkeep};

use crate::site::Site;
use crate::world::World;

on_both_engines! {
    trials_are_told_with_what_their_accounts_have_in_common,
    accounts_without_browsers_are_compared_by_where_their_keys_were_used,
    from_where_accounts_were_used_is_forgotten_after_30_days,
}

const PASSWORD: &str = "correct horse battery";

/// Somebody whose browser came from this address, and who has had a trial.
async fn tried(world: &World<'_>, email: &str, source: &str) -> AccountId {
    let made = account::create(
        &world.shop,
        "test",
        email,
        Role::Customer,
        Some(SecretString::from(PASSWORD)),
    )
    .await
    .unwrap();
    let origin = Origin {
        source: source.parse().unwrap(),
        agent: String::new(),
    };
    session::sign_in(&world.shop, email, PASSWORD.into(), origin)
        .await
        .unwrap();
    let order = TrialOrder {
        plan: world.plan("NL-AMS").await,
        idempotency: None,
        source: None,
    };
    trial(&world.shop, &made.id, order).await.unwrap();
    made.id
}

async fn trials_are_told_with_what_their_accounts_have_in_common(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(6)
        .trial(Span::hours(1))
        .open()
        .await;
    assert_eq!(trials(&world.shop, 0, 10).await.unwrap().given, 0);
    tried(&world, "one@a.example", "198.51.100.1").await;
    world.advance(Span::minutes(1));
    tried(&world, "two@a.example", "198.51.100.2").await;
    world.advance(Span::minutes(1));
    tried(&world, "three@b.example", "198.51.100.2").await;
    world.advance(Span::minutes(1));
    world.try_out("NL-AMS").await.unwrap();
    world.bought("NL-AMS").await;
    let all = trials(&world.shop, 0, 10).await.unwrap();
    assert_eq!((all.given, all.bought), (4, 1));
    let told: Vec<_> = all
        .uses
        .iter()
        .map(|one| (one.email.as_str(), one.same_source, one.same_domain, one.has_bought))
        .collect();
    assert_eq!(
        told,
        [
            ("ann@example.com", 0, 0, true),
            ("three@b.example", 1, 0, false),
            ("two@a.example", 1, 1, false),
            ("one@a.example", 0, 1, false),
        ]
    );
    let first = &all.uses[0];
    assert_eq!(
        (first.network_code.as_str(), first.used_at, first.next_at),
        ("NL-AMS", world.now(), world.now().plus(Span::days(30)))
    );
    let page = trials(&world.shop, 1, 2).await.unwrap();
    assert_eq!((page.given, page.uses), (4, all.uses[1..3].to_vec()));
    world.advance(Span::days(30));
    assert_eq!(trials(&world.shop, 0, 10).await.unwrap().given, 0);
}

/// Somebody who has only ever used an API key.
async fn by_key(world: &World<'_>, email: &str) -> (AccountId, SecretString) {
    let made = account::create(&world.shop, "test", email, Role::Customer, None)
        .await
        .unwrap();
    let new = NewApiKey {
        allow_trial: true,
        ..NewApiKey::default()
    };
    let (_, key) = api_key::create(&world.shop, "test", email, new).await.unwrap();
    (made.id, key)
}

async fn ask_for_trial(world: &World<'_>, account: &AccountId, source: Option<&str>) {
    let order = TrialOrder {
        plan: world.plan("NL-AMS").await,
        idempotency: None,
        source: source.map(|source| source.parse().unwrap()),
    };
    trial(&world.shop, account, order).await.unwrap();
}

async fn accounts_without_browsers_are_compared_by_where_their_keys_were_used(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(6)
        .trial(Span::hours(1))
        .open()
        .await;
    let (one, _) = by_key(&world, "one@a.example").await;
    let (two, key) = by_key(&world, "two@b.example").await;
    let (three, passing) = by_key(&world, "three@c.example").await;
    let (four, _) = by_key(&world, "four@d.example").await;
    ask_for_trial(&world, &one, Some("2001:db8:1:2::1")).await;
    ask_for_trial(&world, &two, None).await;
    ask_for_trial(&world, &three, Some("198.51.100.9")).await;
    ask_for_trial(&world, &four, Some("2001:db8:1:3::1")).await;
    let common = async || {
        let told = trials(&world.shop, 0, 10).await.unwrap();
        let mut common: Vec<_> = told
            .uses
            .iter()
            .map(|one| (one.email.split('@').next().unwrap().to_owned(), one.same_source))
            .filter(|(_, others)| *others > 0)
            .collect();
        common.sort();
        (told.keys, common)
    };
    assert_eq!(common().await, (4, Vec::new()));
    // The same line, by another device; noted behind the request's back.
    let from = "2001:db8:1:2:ffff::7".parse().unwrap();
    api_key::authenticate(&world.shop, key.expose_secret(), from)
        .await
        .unwrap();
    let noted = "SELECT COUNT(*) FROM account_source WHERE source = '2001:db8:1:2::/64'";
    while world.raw.int(noted).await < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(common().await, (4, vec![("one".to_owned(), 1), ("two".to_owned(), 1)]));
    // A key that has been revoked gives none.
    let id = &api_key::list(&world.shop, Some("three@c.example")).await.unwrap()[0].id;
    api_key::revoke(&world.shop, "test", id.as_str()).await.unwrap();
    assert!(
        api_key::authenticate(&world.shop, passing.expose_secret(), from)
            .await
            .is_err()
    );
    assert_eq!(common().await.0, 3);
}

async fn from_where_accounts_were_used_is_forgotten_after_30_days(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(3)
        .trial(Span::hours(1))
        .open()
        .await;
    let kept = "SELECT COUNT(*) FROM account_source";
    tried(&world, "one@a.example", "198.51.100.1").await;
    world.advance(Span::days(29));
    tried(&world, "two@a.example", "198.51.100.2").await;
    assert_eq!(world.raw.int(kept).await, 2);
    world.advance(Span::days(1));
    upkeep::run(&world.shop).await.unwrap();
    assert_eq!(world.raw.int(kept).await, 1);
}
