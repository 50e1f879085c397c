//! Operators who look at customers' pages.

use secrecy::{ExposeSecret as _, SecretString};
use turnpike_shop::session::{self, Begun, Origin, Session};
use turnpike_shop::types::{AccountId, Role, Span};
use turnpike_shop::{Refusal, account, audit_log, view_as};

use crate::site::Site;
use crate::world::{ANN, World, refusal};

on_both_engines! {
    an_operator_looks_for_a_while_and_both_ends_are_written_down,
    only_operators_look_and_only_at_customers,
}

const ROOT: &str = "root@example.com";
const PASSWORD: &str = "correct horse battery";

/// A token of a signed-in browser.
async fn browser(world: &World<'_>, email: &str, role: Role) -> (AccountId, String) {
    let made = account::create(&world.shop, "test", email, role, Some(SecretString::from(PASSWORD)))
        .await
        .unwrap();
    let origin = Origin {
        source: "198.51.100.7".parse().unwrap(),
        agent: String::new(),
    };
    match session::sign_in(&world.shop, email, PASSWORD.into(), origin)
        .await
        .unwrap()
    {
        Begun::SignedIn(token) => (made.id, token.expose_secret().to_owned()),
        Begun::NeedsCode(_) => panic!("a code is asked for"),
    }
}

async fn seen(world: &World<'_>, token: &str) -> Session {
    session::find(&world.shop, token).await.unwrap()
}

async fn log(world: &World<'_>) -> Vec<(String, String, String)> {
    let search = audit_log::Search {
        action: "view.".to_owned(),
        limit: 10,
        ..audit_log::Search::default()
    };
    let (entries, _) = audit_log::entries(&world.shop, search).await.unwrap();
    entries
        .into_iter()
        .map(|entry| (entry.action, entry.actor, entry.subject))
        .collect()
}

async fn an_operator_looks_for_a_while_and_both_ends_are_written_down(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let (_, token) = browser(&world, ROOT, Role::Operator).await;
    let own = seen(&world, &token).await;
    assert_eq!(own.viewing, None);
    view_as::begin(&world.shop, &own, &world.ann).await.unwrap();
    let looking = seen(&world, &token).await;
    let viewed = looking.viewing.clone().unwrap();
    // The session stays the operator's.
    assert_eq!((viewed.account, viewed.email.as_str()), (world.ann.clone(), ANN));
    assert_eq!(
        (looking.account.clone(), looking.role),
        (own.account.clone(), Role::Operator)
    );
    let entry = |action: &str| (action.to_owned(), ROOT.to_owned(), ANN.to_owned());
    assert_eq!(log(&world).await, [entry("view.begin")]);
    view_as::end(&world.shop, &looking).await.unwrap();
    assert_eq!(seen(&world, &token).await.viewing, None);
    view_as::end(&world.shop, &looking).await.unwrap();
    assert_eq!(log(&world).await, [entry("view.end"), entry("view.begin")]);
    view_as::begin(&world.shop, &own, &world.ann).await.unwrap();
    world.advance(view_as::LONGEST);
    assert_eq!(seen(&world, &token).await.viewing, None);
}

async fn only_operators_look_and_only_at_customers(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let (root, token) = browser(&world, ROOT, Role::Operator).await;
    let (bob, bobs) = browser(&world, "bob@example.com", Role::Customer).await;
    let (operator, customer) = (seen(&world, &token).await, seen(&world, &bobs).await);
    let own = view_as::begin(&world.shop, &operator, &root).await;
    assert!(matches!(refusal(own), Refusal::UnknownAccount(_)));
    let nobody = view_as::begin(&world.shop, &operator, &AccountId::random()).await;
    assert!(matches!(refusal(nobody), Refusal::UnknownAccount(_)));
    let by_customer = view_as::begin(&world.shop, &customer, &world.ann).await;
    assert_eq!(refusal(by_customer), Refusal::Unauthorized);
    assert_eq!(seen(&world, &bobs).await.viewing, None);
    view_as::begin(&world.shop, &operator, &bob).await.unwrap();
    session::revoke(&world.shop, &root, &operator.id).await.unwrap();
    world.advance(Span::minutes(1));
    let over = view_as::begin(&world.shop, &operator, &bob).await;
    assert_eq!(refusal(over), Refusal::Unauthorized);
}
