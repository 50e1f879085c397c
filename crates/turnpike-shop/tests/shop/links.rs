//! Links: a subscription's own and those for others, each renewed and revoked by itself, and what a status link tells.

use turnpike_shop::address_list::AddressList;
use turnpike_shop::rotation::{self, ExitStatus, Link, MOST_LINKS, NewLink, Status};
use turnpike_shop::subscription::Subscription;
use turnpike_shop::types::{AccountStatus, Health, LinkId, LinkKind, RotationId, Span, SubscriptionState};
use turnpike_shop::{Refusal, Result, account, routes};

use crate::rotation::{SECOND, VISITOR, address, claim, succeed};
use crate::site::Site;
use crate::world::{ANN, MONTH, NOW, World};

on_both_engines! {
    each_link_rotates_and_can_be_told_apart,
    making_a_link_twice_makes_one,
    a_link_is_renewed_without_the_others_noticing,
    a_revoked_link_does_nothing_and_may_be_revoked_again,
    a_link_works_from_its_addresses_only,
    there_are_so_many_links_and_no_more,
    links_are_their_owners,
    links_of_what_has_ended,
    a_revoked_link_does_not_slip_in_while_its_revocation_commits,
    a_status_link_tells_and_changes_nothing,
    a_status_link_tells_nothing_of_an_exit_that_is_not_the_customers,
    tokens_are_not_in_the_database,
}

const HERE: &str = "198.51.100.9";

fn new(name: &str, kind: LinkKind, allowed: &[&str]) -> NewLink {
    NewLink {
        name: name.to_owned().try_into().unwrap(),
        kind,
        allowed: AddressList::parse(allowed).unwrap(),
    }
}

async fn make(world: &World<'_>, one: &Subscription, name: &str, kind: LinkKind, allowed: &[&str]) -> Link {
    try_make(world, one, new(name, kind, allowed)).await.unwrap()
}

async fn try_make(world: &World<'_>, one: &Subscription, new: NewLink) -> Result<Link> {
    rotation::create_link(&world.shop, &world.ann, &one.id, new).await
}

async fn list(world: &World<'_>, one: &Subscription) -> Vec<Link> {
    rotation::links(&world.shop, &world.ann, &one.id).await.unwrap()
}

async fn renew(world: &World<'_>, one: &Subscription, link: &LinkId) -> Result<Link> {
    rotation::renew_link(&world.shop, &world.ann, &one.id, link).await
}

async fn revoke(world: &World<'_>, one: &Subscription, link: &LinkId) -> Result<()> {
    rotation::revoke_link(&world.shop, &world.ann, &one.id, link).await
}

async fn rotate(world: &World<'_>, token: &str) -> Result<RotationId> {
    rotation::request(&world.shop, token, address(VISITOR)).await
}

async fn status(world: &World<'_>, token: &str) -> Result<Status> {
    rotation::status(&world.shop, token, address(VISITOR)).await
}

/// The links' names and tokens, to be compared.
fn tokens(links: &[Link]) -> Vec<(&str, &str)> {
    links
        .iter()
        .map(|link| (link.name.as_str(), link.token.as_str()))
        .collect()
}

/// Lets the rotation that is under way come to its end, and its cooldown pass.
async fn finish(world: &World<'_>, id: &RotationId, now: &str) {
    claim(world).await;
    succeed(world, id, now, None).await;
    world.advance(Span::seconds(10));
}

async fn each_link_rotates_and_can_be_told_apart(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let [one, other] = [world.bought("NL-AMS").await, world.bought("NL-AMS").await];
    let van = make(&world, &one, "the van", LinkKind::Rotate, &[]).await;
    world.advance(Span(1));
    let board = make(&world, &one, "board", LinkKind::Status, &["192.0.2.0/24"]).await;
    let links = list(&world, &one).await;
    assert_eq!(
        tokens(&links),
        [
            ("main", one.rotate_token.as_str()),
            ("the van", van.token.as_str()),
            ("board", board.token.as_str())
        ]
    );
    assert_eq!(links[0].id.as_str(), one.id.as_str());
    assert!(links[1] == van && links[2] == board, "the list shows what was made");
    assert_eq!(list(&world, &other).await.len(), 1);
    for link in &links {
        assert_eq!(link.token.len(), 24, "144 bits");
    }
    for token in [&links[0].token, &van.token] {
        let id = rotate(&world, token).await.unwrap();
        let of = world
            .raw
            .texts("SELECT subscription_id FROM rotation WHERE state = 'queued'")
            .await;
        assert_eq!(of, [one.id.to_string()]);
        finish(&world, &id, SECOND).await;
    }
    // A link that tells does not rotate, and one that rotates does not tell.
    assert_eq!(
        world.refuses(rotate(&world, &board.token)).await,
        Refusal::SubscriptionNotFound
    );
    for token in [&van.token, &one.rotate_token, ""] {
        assert_eq!(
            world.refuses(status(&world, token)).await,
            Refusal::SubscriptionNotFound
        );
    }
}

async fn making_a_link_twice_makes_one(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let made = make(&world, &one, "the van", LinkKind::Rotate, &["192.0.2.1"]).await;
    let again = make(&world, &one, " the van ", LinkKind::Rotate, &["::ffff:192.0.2.1"]).await;
    assert!(made == again);
    for (kind, allowed) in [
        (LinkKind::Status, &["192.0.2.1"][..]),
        (LinkKind::Rotate, &[]),
        (LinkKind::Rotate, &["192.0.2.2"]),
    ] {
        let other = try_make(&world, &one, new("the van", kind, allowed));
        assert_eq!(world.refuses(other).await, Refusal::LinkNameTaken);
    }
    let own = try_make(&world, &one, new("main", LinkKind::Rotate, &[]));
    assert_eq!(world.refuses(own).await, Refusal::LinkNameTaken);
    let at_once: Vec<_> = (0..8)
        .map(|_| {
            let (shop, ann, id) = (world.shop.clone(), world.ann.clone(), one.id.clone());
            tokio::spawn(async move {
                let new = new("the bot", LinkKind::Rotate, &[]);
                rotation::create_link(&shop, &ann, &id, new).await.unwrap().token
            })
        })
        .collect();
    let mut made = std::collections::HashSet::new();
    for one in at_once {
        made.insert(one.await.unwrap());
    }
    assert_eq!((made.len(), list(&world, &one).await.len()), (1, 3));
}

async fn a_link_is_renewed_without_the_others_noticing(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    make(&world, &one, "a", LinkKind::Rotate, &["203.0.113.0/24"]).await;
    make(&world, &one, "b", LinkKind::Rotate, &[]).await;
    let before = list(&world, &one).await;
    for (position, link) in before.iter().enumerate() {
        let others = |links: &[Link]| {
            let mut links = tokens(links)
                .into_iter()
                .map(|(name, token)| (name.to_owned(), token.to_owned()))
                .collect::<Vec<_>>();
            links.remove(position);
            links
        };
        let present = list(&world, &one).await;
        let renewed = renew(&world, &one, &link.id).await.unwrap();
        assert!(renewed.token != link.token && renewed.token.len() == 24);
        assert!(
            Link {
                token: link.token.clone(),
                ..renewed.clone()
            } == *link
        );
        let after = list(&world, &one).await;
        assert!(after[position] == renewed);
        assert_eq!(others(&after), others(&present));
        // The old one works no more, the new one does.
        assert_eq!(
            world.refuses(rotate(&world, &link.token)).await,
            Refusal::SubscriptionNotFound
        );
        let id = rotate(&world, &renewed.token).await.unwrap();
        finish(&world, &id, SECOND).await;
    }
    let after = list(&world, &one).await;
    assert_eq!(world.see(&one).await.rotate_token, after[0].token);
    assert_eq!(after[1].allowed, before[1].allowed);
}

async fn a_revoked_link_does_nothing_and_may_be_revoked_again(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let van = make(&world, &one, "the van", LinkKind::Rotate, &[]).await;
    let board = make(&world, &one, "board", LinkKind::Status, &[]).await;
    for _ in 0..2 {
        revoke(&world, &one, &van.id).await.unwrap();
        revoke(&world, &one, &board.id).await.unwrap();
    }
    assert_eq!(
        world.refuses(rotate(&world, &van.token)).await,
        Refusal::SubscriptionNotFound
    );
    assert_eq!(
        world.refuses(status(&world, &board.token)).await,
        Refusal::SubscriptionNotFound
    );
    assert_eq!(world.refuses(renew(&world, &one, &van.id)).await, Refusal::LinkNotFound);
    let own = LinkId::try_from(one.id.to_string()).unwrap();
    assert_eq!(world.refuses(revoke(&world, &one, &own)).await, Refusal::OwnLink);
    let unknown = LinkId::random();
    assert_eq!(
        world.refuses(revoke(&world, &one, &unknown)).await,
        Refusal::LinkNotFound
    );
    assert_eq!(
        world.refuses(renew(&world, &one, &unknown)).await,
        Refusal::LinkNotFound
    );
    assert_eq!(list(&world, &one).await.len(), 1);
    // Its name is free again, and its next token is another.
    let anew = make(&world, &one, "the van", LinkKind::Rotate, &[]).await;
    assert!(anew.id != van.id && anew.token != van.token);
}

async fn a_link_works_from_its_addresses_only(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let allowed = ["203.0.113.0/24", "2001:db8::/48"];
    let van = make(&world, &one, "the van", LinkKind::Rotate, &allowed).await;
    let board = make(&world, &one, "board", LinkKind::Status, &allowed).await;
    for stranger in [HERE, "2001:db8:1::1", "::ffff:198.51.100.9"] {
        let stranger = address(stranger);
        let refusal = Refusal::LinkNotAllowedFrom(stranger.to_canonical());
        let rotating = rotation::request(&world.shop, &van.token, stranger);
        assert_eq!(world.refuses(rotating).await, refusal);
        let telling = rotation::status(&world.shop, &board.token, stranger);
        assert_eq!(world.refuses(telling).await, refusal);
    }
    for friend in ["203.0.113.200", "::ffff:203.0.113.1", "2001:db8::99"] {
        rotation::request(&world.shop, &van.token, address(friend))
            .await
            .unwrap();
        rotation::status(&world.shop, &board.token, address(friend))
            .await
            .unwrap();
    }
}

async fn there_are_so_many_links_and_no_more(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    // Revoked ones do not count, and are not remembered for ever.
    for number in 0..MOST_LINKS * 2 {
        let link = make(&world, &one, &format!("revoked {number}"), LinkKind::Rotate, &[]).await;
        revoke(&world, &one, &link.id).await.unwrap();
    }
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM rotate_link").await, MOST_LINKS);
    for number in 0..MOST_LINKS {
        make(&world, &one, &format!("link {number}"), LinkKind::Rotate, &[]).await;
    }
    let more = try_make(&world, &one, new("one more", LinkKind::Status, &[]));
    assert_eq!(world.refuses(more).await, Refusal::TooManyLinks);
    make(&world, &one, "link 0", LinkKind::Rotate, &[]).await;
    revoke(&world, &one, &list(&world, &one).await[1].id).await.unwrap();
    make(&world, &one, "one more", LinkKind::Status, &[]).await;
}

async fn links_are_their_owners(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let [one, other] = [world.bought("NL-AMS").await, world.bought("NL-AMS").await];
    let link = make(&world, &one, "the van", LinkKind::Rotate, &[]).await;
    let bob = world.person("bob@example.com", 0).await;
    let (shop, nobodys) = (&world.shop, Refusal::SubscriptionNotFound);
    let wish = || new("mine", LinkKind::Rotate, &[]);
    assert_eq!(world.refuses(rotation::links(shop, &bob, &one.id)).await, nobodys);
    assert_eq!(
        world.refuses(rotation::create_link(shop, &bob, &one.id, wish())).await,
        nobodys
    );
    assert_eq!(
        world.refuses(rotation::renew_link(shop, &bob, &one.id, &link.id)).await,
        nobodys
    );
    assert_eq!(
        world
            .refuses(rotation::revoke_link(shop, &bob, &one.id, &link.id))
            .await,
        nobodys
    );
    // The link of one subscription is none of another's.
    assert_eq!(
        world.refuses(renew(&world, &other, &link.id)).await,
        Refusal::LinkNotFound
    );
    assert_eq!(
        world.refuses(revoke(&world, &other, &link.id)).await,
        Refusal::LinkNotFound
    );
}

async fn links_of_what_has_ended(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let van = make(&world, &one, "the van", LinkKind::Rotate, &[]).await;
    world.advance(MONTH);
    for _ in 0..2 {
        // A leaked link is renewed whenever that is noticed: the subscription may be renewed as well.
        let renewed = renew(&world, &one, &van.id).await.unwrap();
        assert_eq!(
            world.refuses(rotate(&world, &renewed.token)).await,
            Refusal::SubscriptionEnded
        );
        make(&world, &one, "another", LinkKind::Status, &[]).await;
        world.upkeep().await;
    }
    world.advance(Span::hours(72));
    world.upkeep().await;
    assert_eq!(
        world.refuses(renew(&world, &one, &van.id)).await,
        Refusal::SubscriptionEnded
    );
    let more = try_make(&world, &one, new("more", LinkKind::Rotate, &[]));
    assert_eq!(world.refuses(more).await, Refusal::SubscriptionEnded);
    revoke(&world, &one, &van.id).await.unwrap();
    assert_eq!(list(&world, &one).await.len(), 2);
}

async fn a_revoked_link_does_not_slip_in_while_its_revocation_commits(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    for round in 0..20 {
        let link = make(&world, &one, &format!("link {round}"), LinkKind::Rotate, &[]).await;
        let asked = tokio::spawn({
            let (shop, token) = (world.shop.clone(), link.token.clone());
            async move { rotation::request(&shop, &token, address(VISITOR)).await }
        });
        revoke(&world, &one, &link.id).await.unwrap();
        let before = world.raw.int("SELECT COUNT(*) FROM rotation").await;
        // Either it was first, and its rotation is there already, or it is refused.
        match asked.await.unwrap() {
            Ok(id) => finish(&world, &id, SECOND).await,
            Err(error) => {
                assert!(matches!(
                    error,
                    turnpike_shop::Error::Refused(Refusal::SubscriptionNotFound)
                ));
                assert_eq!(world.raw.int("SELECT COUNT(*) FROM rotation").await, before);
            }
        }
        assert_eq!(
            world.refuses(rotate(&world, &link.token)).await,
            Refusal::SubscriptionNotFound
        );
    }
}

async fn a_status_link_tells_and_changes_nothing(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).shared(2).open().await;
    let one = world.bought("NL-AMS").await;
    let board = make(&world, &one, "board", LinkKind::Status, &[]).await;
    let untouched = ExitStatus {
        health: Health::Unknown,
        address: None,
        previous: None,
        rotated_at: None,
        is_rotating: false,
        next_allowed_at: Some(NOW),
    };
    let told = status(&world, &board.token).await.unwrap();
    assert_eq!(
        told,
        Status {
            state: SubscriptionState::Active,
            ends_at: one.ends_at,
            exit: Some(untouched.clone())
        }
    );
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM rotation").await, 0);

    let exit = world.raw.texts("SELECT exit_id FROM subscription").await.remove(0);
    let exit = exit.parse().unwrap();
    routes::exit_health(&world.shop, &exit, Health::Up, None, Some(address("192.0.2.1")))
        .await
        .unwrap();
    world.advance(Span::seconds(1));
    let id = rotate(&world, &one.rotate_token).await.unwrap();
    let told = status(&world, &board.token).await.unwrap().exit.unwrap();
    assert_eq!(
        (told.address, told.is_rotating, told.rotated_at),
        (Some(address("192.0.2.1")), true, None)
    );
    claim(&world).await;
    succeed(&world, &id, SECOND, None).await;
    let rotated_at = world.now();
    let told = status(&world, &board.token).await.unwrap().exit.unwrap();
    assert_eq!(
        told,
        ExitStatus {
            health: Health::Up,
            address: Some(address(SECOND)),
            previous: Some(address("192.0.2.1")),
            rotated_at: Some(rotated_at),
            is_rotating: false,
            next_allowed_at: Some(rotated_at.plus(Span::seconds(10))),
        }
    );
    world.advance(Span::minutes(5));
    let told = status(&world, &board.token).await.unwrap().exit.unwrap();
    assert_eq!(told.next_allowed_at, Some(world.now()));

    let shared = world.bought_shared("NL-AMS").await;
    let board = make(&world, &shared, "board", LinkKind::Status, &[]).await;
    let told = status(&world, &board.token).await.unwrap().exit.unwrap();
    assert_eq!(told.next_allowed_at, None);
}

async fn a_status_link_tells_nothing_of_an_exit_that_is_not_the_customers(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let first = world.bought("NL-AMS").await;
    let board = make(&world, &first, "board", LinkKind::Status, &[]).await;
    let id = rotate(&world, &first.rotate_token).await.unwrap();
    finish(&world, &id, "192.0.2.1").await;
    let id = rotate(&world, &first.rotate_token).await.unwrap();
    finish(&world, &id, SECOND).await;
    account::set_status(&world.shop, "test", ANN, AccountStatus::Suspended)
        .await
        .unwrap();
    assert_eq!(
        world.refuses(status(&world, &board.token)).await,
        Refusal::AccountSuspended
    );
    account::set_status(&world.shop, "test", ANN, AccountStatus::Active)
        .await
        .unwrap();
    world.advance(MONTH);
    let ended = Status {
        state: SubscriptionState::Expired,
        ends_at: first.ends_at,
        exit: None,
    };
    for _ in 0..2 {
        assert_eq!(status(&world, &board.token).await.unwrap(), ended);
        world.upkeep().await;
    }
    // The next customer of the exit does not see what it was to the first.
    let second = world.bought("NL-AMS").await;
    let theirs = make(&world, &second, "board", LinkKind::Status, &[]).await;
    let told = status(&world, &theirs.token).await.unwrap().exit.unwrap();
    assert_eq!(
        (told.address, told.previous, told.rotated_at),
        (Some(address(SECOND)), None, None)
    );
    world.advance(Span::hours(72));
    world.upkeep().await;
    assert_eq!(
        world.refuses(status(&world, &board.token)).await,
        Refusal::SubscriptionNotFound
    );
}

async fn tokens_are_not_in_the_database(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    make(&world, &one, "the van", LinkKind::Rotate, &[]).await;
    make(&world, &one, "board", LinkKind::Status, &[]).await;
    let own = LinkId::try_from(one.id.to_string()).unwrap();
    renew(&world, &one, &own).await.unwrap();
    let everything = world.everything().await;
    for link in list(&world, &one).await {
        assert!(!everything.contains(&link.token), "{}", link.name);
    }
}
