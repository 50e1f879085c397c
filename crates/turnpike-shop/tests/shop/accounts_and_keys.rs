//! Accounts, their money, their keys, and who is let in.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use turnpike_shop::api_key::{self, Caller, NewApiKey};
use turnpike_shop::types::{AccountId, AccountStatus, ApiKeyId, Cents, Role, Span};
use turnpike_shop::{Refusal, Result, account, audit_log, ledger};

use crate::site::Site;
use crate::world::{ANN, World, refusal};

on_both_engines! {
    an_account_is_found_by_its_address_however_it_is_written,
    an_address_has_one_account,
    what_is_no_address_and_no_password_is_refused,
    accounts_are_listed_oldest_first,
    credits_and_debits_stand_in_the_statement,
    no_more_is_taken_than_there_is,
    no_account_holds_more_than_can_be_counted,
    a_token_is_void_after_a_suspension,
    who_knows_the_password_is_let_in,
    failures_slow_their_source_down_and_nobody_else,
    failures_are_forgotten_after_a_day_and_by_a_success,
    a_key_says_whose_it_is_and_what_it_may,
    a_key_is_refused_once_it_is_over,
    a_key_works_from_where_it_may,
    a_suspended_accounts_keys_are_told_so,
    the_last_use_of_a_key_is_known_to_the_minute,
    keys_are_listed_without_their_secrets,
    what_operators_did_is_written_down,
}

const PASSWORD: &str = "correct horse battery";
const HOME: &str = "198.51.100.7";
const ELSEWHERE: &str = "203.0.113.9";

fn from(address: &str) -> IpAddr {
    address.parse().unwrap()
}

async fn with_password(world: &World<'_>) -> AccountId {
    let password = SecretString::from(PASSWORD);
    account::create(&world.shop, "test", "owner@example.com", Role::Customer, Some(password))
        .await
        .unwrap()
        .id
}

async fn sign_in(world: &World<'_>, email: &str, password: &str, source: &str) -> Result<account::SignedIn> {
    account::sign_in(&world.shop, email, SecretString::from(password), None, from(source)).await
}

async fn key(world: &World<'_>, new: NewApiKey) -> String {
    api_key::create(&world.shop, "test", ANN, new)
        .await
        .unwrap()
        .1
        .expose_secret()
        .to_owned()
}

async fn authenticate(world: &World<'_>, key: &str) -> Result<Caller> {
    api_key::authenticate(&world.shop, key, from(HOME)).await
}

async fn an_account_is_found_by_its_address_however_it_is_written(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).balance(5_000).open().await;
    world.bought("NL-AMS").await;
    let found = account::by_email(&world.shop, " Ann@Example.COM ").await.unwrap();
    assert_eq!((found.id, found.email.as_str()), (world.ann.clone(), ANN));
    assert_eq!((found.role, found.status), (Role::Customer, AccountStatus::Active));
    assert_eq!((found.balance, found.active_subscriptions), (Cents(3_800), 1));
    let unknown = account::by_email(&world.shop, "nobody@example.com").await;
    assert_eq!(
        refusal(unknown),
        Refusal::UnknownAccount("nobody@example.com".to_owned())
    );
}

async fn an_address_has_one_account(site: &Site) {
    let world = World::on(site).open().await;
    let again = account::create(&world.shop, "test", "ANN@example.com", Role::Operator, None);
    assert_eq!(world.refuses(again).await, Refusal::AccountExists(ANN.to_owned()));
    let made: Vec<_> = (0..8)
        .map(|_| {
            let shop = world.shop.clone();
            tokio::spawn(async move { account::create(&shop, "test", "new@example.com", Role::Customer, None).await })
        })
        .collect();
    let mut successes = 0;
    for made in made {
        successes += usize::from(made.await.unwrap().is_ok());
    }
    assert_eq!(successes, 1);
}

async fn what_is_no_address_and_no_password_is_refused(site: &Site) {
    let world = World::on(site).open().await;
    let create = |email: &'static str, password: Option<&str>| {
        let password = password.map(SecretString::from);
        account::create(&world.shop, "test", email, Role::Customer, password)
    };
    let refused = world.refuses(create("nobody", None)).await;
    assert_eq!(refused, Refusal::MalformedEmail("nobody".to_owned()));
    for unfit in ["short", &"x".repeat(257)] {
        assert_eq!(
            world.refuses(create("bob@example.com", Some(unfit))).await,
            Refusal::UnfitPassword
        );
    }
}

async fn accounts_are_listed_oldest_first(site: &Site) {
    let world = World::on(site).open().await;
    for email in ["bob@example.com", "carol@example.com"] {
        world.advance(Span(1));
        world.person(email, 100).await;
    }
    let listed: Vec<_> = account::list(&world.shop)
        .await
        .unwrap()
        .into_iter()
        .map(|one| one.email)
        .collect();
    assert_eq!(listed, [ANN, "bob@example.com", "carol@example.com"]);
}

async fn credits_and_debits_stand_in_the_statement(site: &Site) {
    let world = World::on(site).balance(0).open().await;
    let adjust = |cents, note| ledger::adjust(&world.shop, "cli:root", ANN, Cents(cents), note);
    assert_eq!(adjust(500, "cash").await.unwrap(), Cents(500));
    assert_eq!(adjust(-200, "returned").await.unwrap(), Cents(300));
    assert_eq!(adjust(0, "nothing").await.unwrap(), Cents(300));
    // All of one moment, and still in their order.
    let lines = ledger::statement(&world.shop, ANN, 10).await.unwrap();
    let shown: Vec<_> = lines
        .iter()
        .map(|line| (line.kind.as_str(), line.amount.0, line.balance.0, line.note.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("credit", 0, 300, "nothing"),
            ("debit", -200, 300, "returned"),
            ("credit", 500, 500, "cash")
        ]
    );
    assert_eq!(ledger::statement(&world.shop, ANN, 1).await.unwrap().len(), 1);
}

async fn no_more_is_taken_than_there_is(site: &Site) {
    let world = World::on(site).balance(300).open().await;
    for cents in [-301, i64::MIN] {
        let taken = ledger::adjust(&world.shop, "test", ANN, Cents(cents), "");
        let refused = world.refuses(taken).await;
        assert!(
            matches!(&refused, Refusal::OverDebit { balance: Cents(300), amount, .. } if amount.0 >= 301),
            "{refused}"
        );
    }
    let unknown = ledger::adjust(&world.shop, "test", "nobody@example.com", Cents(1), "");
    assert!(matches!(world.refuses(unknown).await, Refusal::UnknownAccount(_)));
}

async fn no_account_holds_more_than_can_be_counted(site: &Site) {
    let world = World::on(site).balance(0).open().await;
    let most = i64::MAX / 2;
    for cents in [i64::MAX, most + 1] {
        let given = ledger::adjust(&world.shop, "test", ANN, Cents(cents), "");
        assert_eq!(world.refuses(given).await, Refusal::BeyondMoney(Cents(cents)));
    }
    ledger::adjust(&world.shop, "test", ANN, Cents(most), "all of it")
        .await
        .unwrap();
    let given = ledger::adjust(&world.shop, "test", ANN, Cents(1), "one more");
    assert_eq!(world.refuses(given).await, Refusal::BeyondMoney(Cents(1)));
    ledger::adjust(&world.shop, "test", ANN, Cents(-most), "back")
        .await
        .unwrap();
    assert_eq!(world.balance().await, 0);
}

async fn a_token_is_void_after_a_suspension(site: &Site) {
    let world = World::on(site).open().await;
    let owner = with_password(&world).await;
    let signed_in = sign_in(&world, "owner@example.com", PASSWORD, HOME).await.unwrap();
    assert_eq!((&signed_in.account, signed_in.role), (&owner, Role::Customer));
    let check = || account::check_token(&world.shop, &owner, signed_in.version);
    check().await.unwrap();
    let set = |status| account::set_status(&world.shop, "test", "owner@example.com", status);
    set(AccountStatus::Suspended).await.unwrap();
    assert_eq!(refusal(check().await), Refusal::AccountSuspended);
    let refused = refusal(sign_in(&world, "owner@example.com", PASSWORD, HOME).await);
    assert_eq!(refused, Refusal::AccountSuspended);
    set(AccountStatus::Active).await.unwrap();
    assert_eq!(refusal(check().await), Refusal::Unauthorized);
    let again = sign_in(&world, "owner@example.com", PASSWORD, HOME).await.unwrap();
    account::check_token(&world.shop, &owner, again.version).await.unwrap();
    let stranger = account::check_token(&world.shop, &AccountId::random(), 1).await;
    assert_eq!(refusal(stranger), Refusal::Unauthorized);
}

async fn who_knows_the_password_is_let_in(site: &Site) {
    let world = World::on(site).open().await;
    with_password(&world).await;
    sign_in(&world, " OWNER@example.com", PASSWORD, HOME).await.unwrap();
    for (email, password) in [
        ("owner@example.com", "not the password"),
        ("nobody@example.com", PASSWORD),
        // Without a password there is none that fits.
        (ANN, ""),
        ("", PASSWORD),
    ] {
        assert_eq!(
            refusal(sign_in(&world, email, password, HOME).await),
            Refusal::WrongLogin
        );
    }
    assert!(!world.everything().await.contains(PASSWORD));
}

async fn failures_slow_their_source_down_and_nobody_else(site: &Site) {
    let world = World::on(site).open().await;
    with_password(&world).await;
    let fail = || sign_in(&world, "owner@example.com", "not the password", ELSEWHERE);
    for _ in 0..5 {
        assert_eq!(refusal(fail().await), Refusal::WrongLogin);
    }
    let mut waits = Vec::new();
    for _ in 0..12 {
        assert_eq!(refusal(fail().await), Refusal::WrongLogin);
        let retry_after = match refusal(fail().await) {
            Refusal::LoginThrottled { retry_after } => retry_after,
            other => panic!("{other}"),
        };
        // Not even the right password helps there, or guessing would go on.
        let right = refusal(sign_in(&world, "owner@example.com", PASSWORD, ELSEWHERE).await);
        assert_eq!(right, Refusal::LoginThrottled { retry_after });
        let other_account = refusal(sign_in(&world, ANN, PASSWORD, ELSEWHERE).await);
        assert_eq!(other_account, Refusal::LoginThrottled { retry_after });
        waits.push(retry_after.0 / 1_000);
        world.advance(retry_after);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    // The owner at home never notices.
    refusal(fail().await);
    sign_in(&world, "owner@example.com", PASSWORD, HOME).await.unwrap();
}

async fn failures_are_forgotten_after_a_day_and_by_a_success(site: &Site) {
    let world = World::on(site).open().await;
    with_password(&world).await;
    let sign_in = |password: &'static str, source: &'static str| sign_in(&world, "owner@example.com", password, source);
    for _ in 0..5 {
        refusal(sign_in("not the password", HOME).await);
    }
    sign_in(PASSWORD, HOME).await.unwrap();
    for _ in 0..6 {
        assert_eq!(refusal(sign_in("not the password", HOME).await), Refusal::WrongLogin);
    }
    world.advance(Span::days(1));
    for _ in 0..5 {
        assert_eq!(refusal(sign_in("not the password", HOME).await), Refusal::WrongLogin);
    }
    // A household's addresses of IPv6 count as one.
    for host in ["2001:db8:1:1::1", "2001:db8:1:1::2"] {
        for _ in 0..3 {
            assert_eq!(refusal(sign_in("not the password", host).await), Refusal::WrongLogin);
        }
    }
    let throttled = refusal(sign_in(PASSWORD, "2001:db8:1:1::3").await);
    assert!(matches!(throttled, Refusal::LoginThrottled { .. }), "{throttled}");
    sign_in(PASSWORD, "2001:db8:1:2::1").await.unwrap();
    // Nor do they fill the database.
    assert!(world.raw.int("SELECT COUNT(*) FROM login_failure").await > 0);
    world.advance(Span::days(1));
    world.upkeep().await;
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM login_failure").await, 0);
}

async fn a_key_says_whose_it_is_and_what_it_may(site: &Site) {
    let world = World::on(site).open().await;
    let new = NewApiKey {
        name: "shop".to_owned(),
        read_only: true,
        allow_trial: true,
        ..NewApiKey::default()
    };
    let (made, secret) = api_key::create(&world.shop, "test", ANN, new).await.unwrap();
    let secret = secret.expose_secret();
    assert!(secret.starts_with("rk_") && secret.len() == 62, "{}", secret.len());
    let caller = authenticate(&world, secret).await.unwrap();
    assert_eq!((&caller.account, &caller.key), (&world.ann, &made.id));
    assert!(caller.read_only && caller.allow_trial);
    assert!(!world.everything().await.contains(secret));
    let nobodys = api_key::create(&world.shop, "test", "nobody@example.com", NewApiKey::default());
    assert!(matches!(world.refuses(nobodys).await, Refusal::UnknownAccount(_)));
}

async fn a_key_is_refused_once_it_is_over(site: &Site) {
    let world = World::on(site).open().await;
    let passing = NewApiKey {
        expires_at: Some(world.now().plus(Span::hours(1))),
        ..NewApiKey::default()
    };
    let passing = key(&world, passing).await;
    authenticate(&world, &passing).await.unwrap();
    world.advance(Span::hours(1));
    assert_eq!(refusal(authenticate(&world, &passing).await), Refusal::Unauthorized);

    let (made, secret) = api_key::create(&world.shop, "test", ANN, NewApiKey::default())
        .await
        .unwrap();
    authenticate(&world, secret.expose_secret()).await.unwrap();
    let revoked = api_key::revoke(&world.shop, "test", made.id.as_str()).await.unwrap();
    assert_eq!(revoked.revoked_at, Some(world.now()));
    assert_eq!(
        refusal(authenticate(&world, secret.expose_secret()).await),
        Refusal::Unauthorized
    );
    world.advance(Span(1));
    let again = api_key::revoke(&world.shop, "test", made.id.as_str()).await.unwrap();
    assert_eq!(again.revoked_at, revoked.revoked_at);
    for unknown in [ApiKeyId::random().as_str(), "no id at all"] {
        let revoked = api_key::revoke(&world.shop, "test", unknown);
        assert_eq!(world.refuses(revoked).await, Refusal::UnknownApiKey(unknown.to_owned()));
    }
    for stranger in ["", "rk_your_long_lived_api_key", &secret.expose_secret()[1..]] {
        assert_eq!(refusal(authenticate(&world, stranger).await), Refusal::Unauthorized);
    }
}

async fn a_key_works_from_where_it_may(site: &Site) {
    let world = World::on(site).open().await;
    let bound = NewApiKey {
        allowed_sources: vec!["198.51.100.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        ..NewApiKey::default()
    };
    let bound = key(&world, bound).await;
    let from = |address| api_key::authenticate(&world.shop, &bound, from(address));
    for allowed in [HOME, "::ffff:198.51.100.9", "2001:db8::1"] {
        from(allowed).await.unwrap();
    }
    assert_eq!(refusal(from(ELSEWHERE).await), Refusal::SourceNotAllowed);
}

async fn a_suspended_accounts_keys_are_told_so(site: &Site) {
    let world = World::on(site).open().await;
    let key = key(&world, NewApiKey::default()).await;
    account::set_status(&world.shop, "test", ANN, AccountStatus::Suspended)
        .await
        .unwrap();
    assert_eq!(refusal(authenticate(&world, &key).await), Refusal::AccountSuspended);
    account::set_status(&world.shop, "test", ANN, AccountStatus::Active)
        .await
        .unwrap();
    authenticate(&world, &key).await.unwrap();
}

async fn the_last_use_of_a_key_is_known_to_the_minute(site: &Site) {
    let world = World::on(site).open().await;
    let key = key(&world, NewApiKey::default()).await;
    let last_use = async || api_key::list(&world.shop, None).await.unwrap()[0].last_used_at;
    assert_eq!(last_use().await, None);
    for wait in [Span(0), Span::minutes(1)] {
        world.advance(wait);
        let now = world.now();
        // Noted behind the request's back.
        let noted = tokio::time::timeout(Duration::from_secs(60), async {
            while last_use().await != Some(now) {
                authenticate(&world, &key).await.unwrap();
            }
        });
        noted.await.expect("the use is noted");
    }
    let noted = world.now();
    world.advance(Span(Span::minutes(1).0 - 1));
    authenticate(&world, &key).await.unwrap();
    assert_eq!(last_use().await, Some(noted));
}

async fn keys_are_listed_without_their_secrets(site: &Site) {
    let world = World::on(site).open().await;
    world.person("bob@example.com", 0).await;
    for (email, name) in [(ANN, "one"), ("bob@example.com", "two"), (ANN, "three")] {
        world.advance(Span(1));
        let new = NewApiKey {
            name: name.to_owned(),
            ..NewApiKey::default()
        };
        api_key::create(&world.shop, "test", email, new).await.unwrap();
    }
    let names = async |email| {
        let listed = api_key::list(&world.shop, email).await.unwrap();
        listed.into_iter().map(|key| key.name).collect::<Vec<_>>()
    };
    assert_eq!(names(None).await, ["one", "two", "three"]);
    assert_eq!(names(Some("Ann@example.com")).await, ["one", "three"]);
    let unknown = api_key::list(&world.shop, Some("nobody@example.com")).await;
    assert!(matches!(refusal(unknown), Refusal::UnknownAccount(_)));
}

async fn what_operators_did_is_written_down(site: &Site) {
    let world = World::on(site).balance(0).open().await;
    let actor = "cli:root";
    world.advance(Span(1));
    account::create(&world.shop, actor, "bob@example.com", Role::Operator, None)
        .await
        .unwrap();
    world.advance(Span(1));
    ledger::adjust(&world.shop, actor, "bob@example.com", Cents(5), "cash")
        .await
        .unwrap();
    world.advance(Span(1));
    account::set_status(&world.shop, actor, "bob@example.com", AccountStatus::Suspended)
        .await
        .unwrap();
    world.advance(Span(1));
    let (key, _) = api_key::create(&world.shop, actor, ANN, NewApiKey::default())
        .await
        .unwrap();
    world.advance(Span(1));
    api_key::revoke(&world.shop, actor, key.id.as_str()).await.unwrap();
    let entries = audit_log::newest(&world.shop, 5).await.unwrap();
    let shown: Vec<_> = entries
        .iter()
        .map(|entry| (entry.action.as_str(), entry.subject.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("key.revoke", key.id.as_str()),
            ("key.create", key.id.as_str()),
            ("account.suspend", "bob@example.com"),
            ("account.credit", "bob@example.com"),
            ("account.create", "bob@example.com"),
        ]
    );
    assert!(entries.iter().all(|entry| entry.actor == actor));
    assert!(entries[3].detail.contains("cash"), "{}", entries[3].detail);
}
