//! Who has tried what.

use secrecy::SecretString;
use turnpike_shop::session::{self, Origin};
use turnpike_shop::trials::trials;
use turnpike_shop::types::{AccountId, Role, Span};
use turnpike_shop::{TrialOrder, account, trial};

use crate::site::Site;
use crate::world::World;

on_both_engines! {
    trials_are_told_with_what_their_accounts_have_in_common,
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
