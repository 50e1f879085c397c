//! Browsers that are signed in, the second factor, the first operator.

use std::net::IpAddr;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use turnpike_shop::session::{self, Begun, Origin, Session};
use turnpike_shop::types::{AccountId, AccountStatus, Role, Span};
use turnpike_shop::{Refusal, Result, Settings, account, audit_log, first_operator, second_factor};

use crate::site::Site;
use crate::world::{NOW, World, refusal};

on_both_engines! {
    a_right_password_opens_a_session_and_a_wrong_one_does_not,
    a_session_is_over_when_it_is_idle_or_old,
    a_session_ends_with_its_revocation_and_with_a_suspension,
    only_its_owner_ends_a_session,
    a_new_password_ends_all_other_sessions_and_tokens,
    a_confirmed_session_has_another_token_and_stays_confirmed_for_a_while,
    a_second_factor_is_asked_for_once_it_is_proven,
    a_code_is_accepted_once,
    wrong_codes_slow_their_giver_down,
    a_recovery_code_lets_in_once,
    a_recovery_code_lets_one_of_several_in_that_come_at_once,
    a_session_that_owes_its_code_waits_ten_minutes,
    a_second_factor_can_be_switched_off,
    no_secret_of_a_session_or_a_second_factor_is_stored,
    the_first_operator_is_made_by_a_link_once,
    a_link_that_several_use_at_once_makes_one_operator,
    sessions_that_are_over_are_forgotten,
}

const OWNER: &str = "owner@example.com";
const PASSWORD: &str = "correct horse battery";

fn origin() -> Origin {
    Origin {
        source: home(),
        agent: "Browser/1.0\n".to_owned(),
    }
}

fn home() -> IpAddr {
    "198.51.100.7".parse().unwrap()
}

async fn owner(world: &World<'_>) -> AccountId {
    let password = SecretString::from(PASSWORD);
    account::create(&world.shop, "test", OWNER, Role::Customer, Some(password))
        .await
        .unwrap()
        .id
}

async fn begin(world: &World<'_>) -> Begun {
    session::sign_in(&world.shop, OWNER, PASSWORD.into(), origin())
        .await
        .unwrap()
}

async fn signed_in(world: &World<'_>) -> String {
    match begin(world).await {
        Begun::SignedIn(token) => token.expose_secret().to_owned(),
        Begun::NeedsCode(_) => panic!("a code is asked for"),
    }
}

async fn owing_a_code(world: &World<'_>) -> String {
    match begin(world).await {
        Begun::NeedsCode(token) => token.expose_secret().to_owned(),
        Begun::SignedIn(_) => panic!("no code is asked for"),
    }
}

async fn find(world: &World<'_>, token: &str) -> Result<Session> {
    session::find(&world.shop, token).await
}

async fn is_open(world: &World<'_>, token: &str) -> bool {
    match find(world, token).await {
        Ok(_) => true,
        Err(error) => {
            assert!(
                matches!(error, turnpike_shop::Error::Refused(Refusal::Unauthorized)),
                "{error}"
            );
            false
        }
    }
}

async fn change(world: &World<'_>, session: &Session, current: &str, new: &str) -> Result<()> {
    session::change_password(&world.shop, session, current.into(), new.into(), home()).await
}

async fn give(world: &World<'_>, token: &str, code: &str) -> Result<SecretString> {
    session::give_code(&world.shop, token, code, home()).await
}

/// Switches the second factor on; its secret and the recovery codes.
async fn with_second_factor(world: &World<'_>, owner: &AccountId) -> (SecretString, Vec<SecretString>) {
    let secret = second_factor::offer(&world.shop, owner).await.unwrap();
    let code = second_factor::code_at(&secret, world.now()).unwrap();
    let codes = second_factor::enable(&world.shop, owner, OWNER, &code, home())
        .await
        .unwrap();
    world.advance(Span::minutes(2));
    (secret, codes)
}

async fn a_right_password_opens_a_session_and_a_wrong_one_does_not(site: &Site) {
    let world = World::on(site).open().await;
    let owner = owner(&world).await;
    let token = signed_in(&world).await;
    let session = find(&world, &token).await.unwrap();
    assert_eq!(
        (&session.account, session.email.as_str(), session.role),
        (&owner, OWNER, Role::Customer)
    );
    assert_eq!(
        (session.source.as_str(), session.agent.as_str()),
        ("198.51.100.7", "Browser/1.0")
    );
    assert!(session.is_confirmed && !session.needs_code);
    let wrong = session::sign_in(&world.shop, OWNER, "wrong horse battery".into(), origin()).await;
    assert_eq!(refusal(wrong), Refusal::WrongLogin);
    assert!(!is_open(&world, "").await);
    assert!(!is_open(&world, &format!("{token}A")).await);
    assert_eq!(session::list(&world.shop, &owner).await.unwrap().len(), 1);
}

async fn a_session_is_over_when_it_is_idle_or_old(site: &Site) {
    let world = World::on(site).open().await;
    owner(&world).await;
    let idle = signed_in(&world).await;
    world.advance(session::IDLE);
    assert!(!is_open(&world, &idle).await);
    let used = signed_in(&world).await;
    let step = Span(session::IDLE.0 - 1);
    let steps = session::LONGEST.0 / step.0;
    for _ in 0..steps {
        world.advance(step);
        assert!(is_open(&world, &used).await);
    }
    world.advance(step);
    assert!(!is_open(&world, &used).await);
}

async fn a_session_ends_with_its_revocation_and_with_a_suspension(site: &Site) {
    let world = World::on(site).open().await;
    let owner = owner(&world).await;
    let (first, second) = (signed_in(&world).await, signed_in(&world).await);
    let id = find(&world, &first).await.unwrap().id;
    session::revoke(&world.shop, &owner, &id).await.unwrap();
    session::revoke(&world.shop, &owner, &id).await.unwrap();
    assert!(!is_open(&world, &first).await && is_open(&world, &second).await);
    for status in [AccountStatus::Suspended, AccountStatus::Active] {
        account::set_status(&world.shop, "test", OWNER, status).await.unwrap();
        assert!(!is_open(&world, &second).await, "{status}");
    }
    assert!(session::list(&world.shop, &owner).await.unwrap().is_empty());
    account::set_status(&world.shop, "test", OWNER, AccountStatus::Suspended)
        .await
        .unwrap();
    let refused = session::sign_in(&world.shop, OWNER, PASSWORD.into(), origin()).await;
    assert_eq!(refusal(refused), Refusal::AccountSuspended);
}

async fn only_its_owner_ends_a_session(site: &Site) {
    let world = World::on(site).open().await;
    owner(&world).await;
    let token = signed_in(&world).await;
    let id = find(&world, &token).await.unwrap().id;
    session::revoke(&world.shop, &world.ann, &id).await.unwrap();
    assert_eq!(session::revoke_others(&world.shop, &world.ann, &id).await.unwrap(), 0);
    assert!(is_open(&world, &token).await);
}

async fn a_new_password_ends_all_other_sessions_and_tokens(site: &Site) {
    let world = World::on(site).open().await;
    let owner = owner(&world).await;
    let (kept, other) = (signed_in(&world).await, signed_in(&world).await);
    let session = find(&world, &kept).await.unwrap();
    let version = account::sign_in(&world.shop, OWNER, PASSWORD.into(), None, home())
        .await
        .unwrap()
        .version;
    let unfit = change(&world, &session, PASSWORD, "short").await;
    assert_eq!(refusal(unfit), Refusal::UnfitPassword);
    let wrong = change(&world, &session, "wrong horse battery", "another good one").await;
    assert_eq!(refusal(wrong), Refusal::WrongLogin);
    change(&world, &session, PASSWORD, "another good one").await.unwrap();
    assert!(is_open(&world, &kept).await && !is_open(&world, &other).await);
    let token = account::check_token(&world.shop, &owner, version).await;
    assert_eq!(refusal(token), Refusal::Unauthorized);
    let old = session::sign_in(&world.shop, OWNER, PASSWORD.into(), origin()).await;
    assert_eq!(refusal(old), Refusal::WrongLogin);
    account::set_password(&world.shop, "operator", OWNER, PASSWORD.into())
        .await
        .unwrap();
    assert!(!is_open(&world, &kept).await);
    signed_in(&world).await;
    let log = audit_log::newest(&world.shop, 10).await.unwrap();
    let actors: Vec<_> = log
        .iter()
        .filter(|entry| entry.action == "account.password")
        .map(|entry| entry.actor.as_str())
        .collect();
    assert_eq!(actors.len(), 2);
    assert!(actors.contains(&OWNER) && actors.contains(&"operator"));
}

async fn a_confirmed_session_has_another_token_and_stays_confirmed_for_a_while(site: &Site) {
    let world = World::on(site).open().await;
    owner(&world).await;
    let before = signed_in(&world).await;
    world.advance(Span::minutes(10));
    assert!(!find(&world, &before).await.unwrap().is_confirmed);
    let wrong = session::confirm(&world.shop, &before, "wrong horse battery".into(), home()).await;
    assert_eq!(refusal(wrong), Refusal::WrongLogin);
    let after = session::confirm(&world.shop, &before, PASSWORD.into(), home())
        .await
        .unwrap();
    assert!(!is_open(&world, &before).await);
    assert!(find(&world, after.expose_secret()).await.unwrap().is_confirmed);
}

async fn a_second_factor_is_asked_for_once_it_is_proven(site: &Site) {
    let world = World::on(site).open().await;
    let owner = owner(&world).await;
    let secret = second_factor::offer(&world.shop, &owner).await.unwrap();
    let again = second_factor::offer(&world.shop, &owner).await.unwrap();
    assert_eq!(secret.expose_secret(), again.expose_secret());
    let wrong = second_factor::enable(&world.shop, &owner, OWNER, "000000x", home()).await;
    assert_eq!(refusal(wrong), Refusal::WrongCode);
    signed_in(&world).await;
    let (secret, codes) = with_second_factor(&world, &owner).await;
    assert_eq!(codes.len(), 10);
    assert_eq!(
        refusal(second_factor::offer(&world.shop, &owner).await),
        Refusal::SecondFactorEnabled
    );
    let token = owing_a_code(&world).await;
    assert!(find(&world, &token).await.unwrap().needs_code);
    let confirmed = session::confirm(&world.shop, &token, PASSWORD.into(), home()).await;
    assert_eq!(refusal(confirmed), Refusal::Unauthorized);
    let code = second_factor::code_at(&secret, world.now()).unwrap();
    let after = give(&world, &token, &code).await.unwrap();
    assert!(!is_open(&world, &token).await);
    assert!(!find(&world, after.expose_secret()).await.unwrap().needs_code);
    let without = account::sign_in(&world.shop, OWNER, PASSWORD.into(), None, home()).await;
    assert_eq!(refusal(without), Refusal::CodeWanted);
    world.advance(Span::minutes(1));
    let code = second_factor::code_at(&secret, world.now()).unwrap();
    let with = account::sign_in(&world.shop, OWNER, PASSWORD.into(), Some(&code), home()).await;
    assert_eq!(with.unwrap().account, owner);
}

async fn a_code_is_accepted_once(site: &Site) {
    let world = World::on(site).open().await;
    let owner = owner(&world).await;
    let (secret, _) = with_second_factor(&world, &owner).await;
    let code = second_factor::code_at(&secret, world.now()).unwrap();
    let givers = (0..4).map(|_| {
        let (shop, code) = (world.shop.clone(), code.clone());
        tokio::spawn(async move {
            account::sign_in(&shop, OWNER, PASSWORD.into(), Some(&code), home())
                .await
                .is_ok()
        })
    });
    let mut let_in = 0;
    for giver in givers.collect::<Vec<_>>() {
        let_in += usize::from(giver.await.unwrap());
    }
    assert_eq!(let_in, 1);
    // The one before is no newer.
    let before = second_factor::code_at(&secret, world.now().minus(Span::seconds(30))).unwrap();
    let older = account::sign_in(&world.shop, OWNER, PASSWORD.into(), Some(&before), home()).await;
    assert_eq!(refusal(older), Refusal::WrongCode);
}

async fn wrong_codes_slow_their_giver_down(site: &Site) {
    let world = World::on(site).open().await;
    let owner = owner(&world).await;
    let (secret, _) = with_second_factor(&world, &owner).await;
    let token = owing_a_code(&world).await;
    for _ in 0..6 {
        assert_eq!(refusal(give(&world, &token, "wrong").await), Refusal::WrongCode);
    }
    let code = second_factor::code_at(&secret, world.now()).unwrap();
    assert!(matches!(
        refusal(give(&world, &token, &code).await),
        Refusal::LoginThrottled { .. }
    ));
    world.advance(Span::seconds(2));
    give(&world, &token, &code).await.unwrap();
}

async fn a_recovery_code_lets_in_once(site: &Site) {
    let world = World::on(site).open().await;
    let owner = owner(&world).await;
    let (_, codes) = with_second_factor(&world, &owner).await;
    let shown = codes[3].expose_secret().to_uppercase().replace('-', " ");
    let token = owing_a_code(&world).await;
    give(&world, &token, &shown).await.unwrap();
    let token = owing_a_code(&world).await;
    assert_eq!(refusal(give(&world, &token, &shown).await), Refusal::WrongCode);
    assert_eq!(
        second_factor::standing(&world.shop, &owner)
            .await
            .unwrap()
            .recovery_codes,
        9
    );
}

async fn a_recovery_code_lets_one_of_several_in_that_come_at_once(site: &Site) {
    let world = World::on(site).open().await;
    let owner = owner(&world).await;
    let (_, codes) = with_second_factor(&world, &owner).await;
    let mut givers = Vec::new();
    for _ in 0..4 {
        let (shop, token) = (world.shop.clone(), owing_a_code(&world).await);
        let code = codes[0].expose_secret().to_owned();
        givers.push(tokio::spawn(async move {
            session::give_code(&shop, &token, &code, home()).await.map(|_| ())
        }));
    }
    let mut outcomes = Vec::new();
    for giver in givers {
        outcomes.push(giver.await.unwrap());
    }
    let let_in = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(let_in, 1, "{outcomes:?}");
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        assert_eq!(refusal(outcome), Refusal::WrongCode);
    }
    let left = second_factor::standing(&world.shop, &owner)
        .await
        .unwrap()
        .recovery_codes;
    assert_eq!(left, 9);
}

async fn a_session_that_owes_its_code_waits_ten_minutes(site: &Site) {
    let world = World::on(site).open().await;
    let owner = owner(&world).await;
    let (secret, _) = with_second_factor(&world, &owner).await;
    let token = owing_a_code(&world).await;
    world.advance(Span::minutes(10));
    let code = second_factor::code_at(&secret, world.now()).unwrap();
    assert_eq!(refusal(give(&world, &token, &code).await), Refusal::Unauthorized);
}

async fn a_second_factor_can_be_switched_off(site: &Site) {
    let world = World::on(site).open().await;
    let owner = owner(&world).await;
    with_second_factor(&world, &owner).await;
    second_factor::disable(&world.shop, &owner, OWNER).await.unwrap();
    signed_in(&world).await;
    let standing = second_factor::standing(&world.shop, &owner).await.unwrap();
    assert_eq!((standing.is_enabled, standing.recovery_codes), (false, 0));
}

async fn no_secret_of_a_session_or_a_second_factor_is_stored(site: &Site) {
    let world = World::on(site).open().await;
    let owner = owner(&world).await;
    let open = signed_in(&world).await;
    let (secret, codes) = with_second_factor(&world, &owner).await;
    let all = world.everything().await;
    for secret in [open.as_str(), secret.expose_secret(), codes[0].expose_secret()] {
        assert!(!all.contains(secret));
        assert!(!all.contains(&secret.replace('-', "")));
    }
}

async fn the_first_operator_is_made_by_a_link_once(site: &Site) {
    let shop = site.open(Settings::default(), Arc::new(|| NOW)).await;
    let void = first_operator::invite(&shop).await.unwrap().unwrap();
    let token = first_operator::invite(&shop).await.unwrap().unwrap();
    let token = token.expose_secret();
    assert_eq!(
        refusal(first_operator::check(&shop, void.expose_secret()).await),
        Refusal::NotInvited
    );
    let make = |email: &'static str, password: &'static str| first_operator::make(&shop, token, email, password.into());
    assert_eq!(
        refusal(make("boss", PASSWORD).await),
        Refusal::MalformedEmail("boss".to_owned())
    );
    assert_eq!(refusal(make("boss@example.com", "short").await), Refusal::UnfitPassword);
    first_operator::check(&shop, token).await.unwrap();
    let made = make("boss@example.com", PASSWORD).await.unwrap();
    assert_eq!(made.role, Role::Operator);
    assert_eq!(refusal(make("thief@example.com", PASSWORD).await), Refusal::NotInvited);
    assert!(first_operator::invite(&shop).await.unwrap().is_none());
}

async fn a_link_that_several_use_at_once_makes_one_operator(site: &Site) {
    let shop = site.open(Settings::default(), Arc::new(|| NOW)).await;
    let token = first_operator::invite(&shop).await.unwrap().unwrap();
    let makers = (0..4).map(|number| {
        let (shop, token) = (shop.clone(), token.expose_secret().to_owned());
        tokio::spawn(async move {
            first_operator::make(&shop, &token, &format!("boss-{number}@example.com"), PASSWORD.into()).await
        })
    });
    let mut outcomes = Vec::new();
    for maker in makers.collect::<Vec<_>>() {
        outcomes.push(maker.await.unwrap());
    }
    let (made, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    let made: Vec<_> = made.into_iter().map(|one| one.unwrap().email).collect();
    let all: Vec<_> = account::list(&shop)
        .await
        .unwrap()
        .into_iter()
        .map(|one| one.email)
        .collect();
    assert_eq!((made.len(), refused.len()), (1, 3));
    assert_eq!(all, made);
    for outcome in refused {
        assert_eq!(refusal(outcome), Refusal::NotInvited);
    }
}

async fn sessions_that_are_over_are_forgotten(site: &Site) {
    let world = World::on(site).open().await;
    owner(&world).await;
    signed_in(&world).await;
    world.advance(Span::hours(12));
    let later = signed_in(&world).await;
    world.advance(Span::hours(12));
    world.upkeep().await;
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM session").await, 1);
    assert!(is_open(&world, &later).await);
}
