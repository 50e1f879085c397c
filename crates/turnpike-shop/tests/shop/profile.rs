//! Subscription URLs and what they lead to.

use turnpike_shop::profile::{self, Extent, Profile, Standing};
use turnpike_shop::subscription::Subscription;
use turnpike_shop::traffic::{self, Row, Total};
use turnpike_shop::types::{AccountStatus, Span, UnixMillis};
use turnpike_shop::{Refusal, account};

use crate::site::Site;
use crate::world::{ANN, GATEWAY, MONTH, World, refusal};

on_both_engines! {
    a_subscriptions_url_leads_to_it_and_an_accounts_to_all_of_its,
    a_url_shows_what_its_owner_is_shown,
    a_renewed_url_voids_the_one_before_and_no_other,
    only_its_owner_renews_a_url,
    a_url_outlives_what_it_leads_to,
    a_suspended_accounts_urls_lead_to_nothing_until_it_is_resumed,
    traffic_is_told_of_one_and_of_all,
    whatever_is_no_url_leads_nowhere,
    what_was_sold_before_there_were_urls_has_one,
}

async fn open(world: &World<'_>, token: &str) -> Profile {
    profile::open(&world.shop, token).await.unwrap()
}

async fn own_url(world: &World<'_>) -> String {
    profile::account_token(&world.shop, &world.ann).await.unwrap()
}

fn ids(profile: &Profile) -> Vec<&str> {
    profile.live.iter().map(|one| one.id.as_str()).collect()
}

async fn gone(world: &World<'_>, token: &str) {
    let refused = refusal(profile::open(&world.shop, token).await);
    assert_eq!(refused, Refusal::SubscriptionNotFound, "{token}");
}

async fn a_subscriptions_url_leads_to_it_and_an_accounts_to_all_of_its(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let own = own_url(&world).await;
    let nothing = open(&world, &own).await;
    assert_eq!(
        (nothing.standing, nothing.ends_at, nothing.live.len()),
        (Standing::Ended, None, 0)
    );
    let one = world.bought("NL-AMS").await;
    world.advance(Span::seconds(1));
    let other = world.bought("NL-AMS").await;
    let shown = open(&world, &one.url_token).await;
    assert_eq!(shown.extent, Extent::Subscription(one.id.clone()));
    assert_eq!((shown.standing, ids(&shown)), (Standing::Live, vec![one.id.as_str()]));
    assert_eq!(shown.ends_at, Some(one.ends_at));
    let all = open(&world, &own).await;
    assert_eq!(all.extent, Extent::Account);
    assert_eq!(ids(&all), [one.id.as_str(), other.id.as_str()]);
    // What ends first is what one has to know.
    assert_eq!(all.ends_at, Some(one.ends_at));
    assert_eq!((&all.account, &shown.account), (&world.ann, &world.ann));
}

async fn a_url_shows_what_its_owner_is_shown(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let before = world.bought("NL-AMS").await;
    world.change_credentials(&before).await.unwrap();
    world.switch(&before, "DE-BER").await.unwrap();
    let after = world.see(&before).await;
    assert_eq!(after.url_token, before.url_token);
    let shown = open(&world, &before.url_token).await.live.remove(0);
    assert_eq!((&shown.password, shown.vpn), (&after.password, after.vpn));
    assert_ne!(shown.password, before.password);
    assert_eq!((shown.network_code.as_str(), shown.port), ("DE-BER", before.port));
}

async fn a_renewed_url_voids_the_one_before_and_no_other(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let (one, other) = (world.bought("NL-AMS").await, world.bought("NL-AMS").await);
    let own = own_url(&world).await;
    let renew = async |of: Option<&Subscription>| {
        profile::renew_token(&world.shop, &world.ann, of.map(|one| &one.id))
            .await
            .unwrap()
    };
    let next = renew(Some(&one)).await;
    gone(&world, &one.url_token).await;
    for works in [&next, &other.url_token, &own] {
        open(&world, works).await;
    }
    assert_eq!(world.see(&one).await.url_token, next);
    let next_own = renew(None).await;
    gone(&world, &own).await;
    for works in [&next, &other.url_token, &next_own] {
        open(&world, works).await;
    }
    assert_eq!(own_url(&world).await, next_own);
    let third = renew(Some(&one)).await;
    gone(&world, &next).await;
    open(&world, &third).await;
}

async fn only_its_owner_renews_a_url(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let own = own_url(&world).await;
    let bob = world.person("bob@example.com", 0).await;
    let renewed = profile::renew_token(&world.shop, &bob, Some(&one.id));
    assert_eq!(world.refuses(renewed).await, Refusal::SubscriptionNotFound);
    profile::renew_token(&world.shop, &bob, None).await.unwrap();
    open(&world, &one.url_token).await;
    open(&world, &own).await;
}

async fn a_url_outlives_what_it_leads_to(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let own = own_url(&world).await;
    let ended = async |token: &str| {
        let shown = open(&world, token).await;
        assert_eq!((shown.standing, shown.live.len()), (Standing::Ended, 0));
        shown.ends_at
    };
    world.advance(MONTH);
    // Due but not swept up, expired, released.
    assert_eq!(ended(&one.url_token).await, Some(one.ends_at));
    assert_eq!(ended(&own).await, Some(one.ends_at));
    world.upkeep().await;
    assert_eq!(ended(&one.url_token).await, Some(one.ends_at));
    let renewal = world.renewal(&one).await;
    let renewed = world.renew(renewal).await.unwrap();
    assert_eq!(open(&world, &one.url_token).await.ends_at, Some(renewed.ends_at));
    world.advance(Span(MONTH.0 + Span::hours(73).0));
    world.upkeep().await;
    world.upkeep().await;
    assert!(world.list().await.is_empty(), "it is released");
    assert_eq!(ended(&one.url_token).await, Some(renewed.ends_at));
    // That of the account is about what it still has.
    assert_eq!(ended(&own).await, None);
    let next = profile::renew_token(&world.shop, &world.ann, Some(&one.id))
        .await
        .unwrap();
    gone(&world, &one.url_token).await;
    assert_eq!(ended(&next).await, Some(renewed.ends_at));
}

async fn a_suspended_accounts_urls_lead_to_nothing_until_it_is_resumed(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let own = own_url(&world).await;
    let status = async |status| account::set_status(&world.shop, "test", ANN, status).await.unwrap();
    status(AccountStatus::Suspended).await;
    for token in [&one.url_token, &own] {
        let shown = open(&world, token).await;
        assert_eq!((shown.standing, shown.live.len()), (Standing::Suspended, 0));
        // Its end is to come; clients that know only dates are told that it is over all the same.
        assert_eq!(shown.ends_at, Some(world.now()));
    }
    status(AccountStatus::Active).await;
    assert_eq!(open(&world, &one.url_token).await.standing, Standing::Live);
}

async fn traffic_is_told_of_one_and_of_all(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let (one, other) = (world.bought("NL-AMS").await, world.bought("NL-AMS").await);
    let own = own_url(&world).await;
    assert_eq!(open(&world, &own).await.traffic, Total::default());
    let hour = UnixMillis(1_760_000_400_000);
    let row = |of: &Subscription, hour: UnixMillis, up, down| Row {
        subscription: of.id.clone(),
        hour,
        up,
        down,
    };
    let rows = [
        row(&one, hour, 1, 10),
        row(&one, hour.plus(Span::hours(1)), 2, 20),
        row(&other, hour, 4, 40),
    ];
    traffic::record(&world.shop, GATEWAY, "run", 1, &rows).await.unwrap();
    assert_eq!(open(&world, &one.url_token).await.traffic, Total { up: 3, down: 30 });
    assert_eq!(open(&world, &other.url_token).await.traffic, Total { up: 4, down: 40 });
    assert_eq!(open(&world, &own).await.traffic, Total { up: 7, down: 70 });
}

async fn whatever_is_no_url_leads_nowhere(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let own = own_url(&world).await;
    for token in [&one.url_token, &own] {
        gone(&world, &token[1..]).await;
        gone(&world, &format!("{token}A")).await;
        // Every letter counts, and a URL of the one kind is none of the other.
        for at in 0..token.len() {
            let mut damaged = token.clone().into_bytes();
            damaged[at] = if damaged[at] == b'a' { b's' } else { b'a' };
            gone(&world, std::str::from_utf8(&damaged).unwrap()).await;
        }
    }
    for token in ["", "s", "nobody's", &one.rotate_token, one.id.as_str()] {
        gone(&world, token).await;
    }
    let everything = world.everything().await;
    for token in [&one.url_token, &own] {
        assert!(!everything.contains(&token[25..]), "the seal is stored");
    }
}

async fn what_was_sold_before_there_were_urls_has_one(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    // As a migration leaves the rows that it finds.
    for table in ["subscription", "account"] {
        let default = format!("SELECT COUNT(*) FROM {table} WHERE url_version = 1");
        let all = format!("SELECT COUNT(*) FROM {table}");
        assert_eq!(world.raw.int(&default).await, world.raw.int(&all).await);
    }
    assert_eq!(ids(&open(&world, &one.url_token).await), [one.id.as_str()]);
}
