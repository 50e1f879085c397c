//! What operators see of the whole shop, and what they do to accounts.

use secrecy::ExposeSecret as _;
use turnpike_shop::account_search::{AccountSearch, Place, accounts};
use turnpike_shop::api_key::{self, NewApiKey};
use turnpike_shop::overview::{Exits, Overview, Revenue, SILENT_AFTER, STUCK_AFTER, overview};
use turnpike_shop::types::{
    AccountStatus, Cents, ConnectionType, ExitId, Health, Role, Span, TransactionId, UnixMillis,
};
use turnpike_shop::{Refusal, account, audit_log, ledger, routes};

use crate::rotation::{VISITOR, address, ask, claim};
use crate::site::Site;
use crate::world::{ANN, GATEWAY, MONTH, PRICE, World, refusal};

on_both_engines! {
    what_the_shop_earned_lately_is_told,
    what_is_taken_and_free_is_told,
    what_does_not_work_is_named,
    a_gateway_tells_its_version_and_how_far_it_has_come,
    accounts_are_found_and_read_page_by_page,
    money_is_booked_once_and_with_a_reason,
    money_that_is_booked_many_times_at_once_is_booked_once,
    no_operator_shuts_himself_out,
    the_audit_log_keeps_the_order_in_which_it_was_written,
    a_key_may_give_trials_as_long_as_an_operator_allows_it,
}

const ROOT: &str = "root@example.com";

async fn seen(world: &World<'_>) -> Overview {
    overview(&world.shop).await.unwrap()
}

async fn what_the_shop_earned_lately_is_told(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(4).open().await;
    let revenue = |day, week, month| Revenue {
        day: Cents(day * PRICE),
        week: Cents(week * PRICE),
        month: Cents(month * PRICE),
    };
    assert_eq!(seen(&world).await.revenue, revenue(0, 0, 0));
    world.bought("NL-AMS").await;
    world.advance(Span::days(10));
    world.bought("NL-AMS").await;
    assert_eq!(seen(&world).await.revenue, revenue(1, 1, 2));
    world.advance(Span::days(2));
    assert_eq!(seen(&world).await.revenue, revenue(0, 1, 2));
    world.advance(MONTH);
    assert_eq!(seen(&world).await.revenue, revenue(0, 0, 0));
}

async fn what_is_taken_and_free_is_told(site: &Site) {
    let mut world = World::on(site)
        .network("DE-BER")
        .exits(1)
        .network("NL-AMS")
        .exits(2)
        .shared(5)
        .open()
        .await;
    world.bought("NL-AMS").await;
    world.bought_shared("NL-AMS").await;
    let stock = async |world: &World<'_>| {
        let all = seen(world).await.stock;
        all.into_iter()
            .map(|one| (one.network_code, one.connection_type, one.taken, one.free))
            .collect::<Vec<_>>()
    };
    let (private, shared) = (ConnectionType::Private, ConnectionType::Shared);
    assert_eq!(
        stock(&world).await,
        [
            ("DE-BER".to_owned(), private, 0, 1),
            ("NL-AMS".to_owned(), private, 1, 1),
            ("NL-AMS".to_owned(), shared, 1, 4),
        ]
    );
    let now = seen(&world).await;
    assert_eq!((now.active_subscriptions, now.customers), (2, 1));
    // What has left the catalogue is told as long as somebody has it, and is not free.
    world.catalogue.networks.clear();
    world.catalogue.plans.clear();
    world.apply().await;
    assert_eq!(
        stock(&world).await,
        [
            ("NL-AMS".to_owned(), private, 1, 0),
            ("NL-AMS".to_owned(), shared, 1, 0)
        ]
    );
    assert!(seen(&world).await.stock.iter().all(|one| !one.is_sold));
    assert_eq!(seen(&world).await.exits, []);
}

async fn what_does_not_work_is_named(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(3).open().await;
    let exits: Vec<ExitId> = world
        .raw
        .texts("SELECT id FROM network_exit ORDER BY name")
        .await
        .iter()
        .map(|id| id.parse().unwrap())
        .collect();
    let tell = async |exit: usize, health, why: Option<&str>| {
        routes::exit_health(&world.shop, &exits[exit], health, why, None)
            .await
            .unwrap();
    };
    tell(0, Health::Up, None).await;
    tell(1, Health::Down, Some("no route to host")).await;
    let now = seen(&world).await;
    let expected = Exits {
        network_code: "NL-AMS".to_owned(),
        up: 1,
        down: 1,
        unknown: 1,
    };
    assert_eq!(now.exits, [expected]);
    let [down] = now.down.as_slice() else {
        panic!("{:?}", now.down)
    };
    assert_eq!((down.name.as_str(), down.since), ("exit-2", Some(world.now())));
    assert_eq!(down.detail.as_deref(), Some("no route to host"));
    let one = world.bought("NL-AMS").await;
    let rotation = ask(&world, &one).await;
    claim(&world).await;
    assert_eq!(seen(&world).await.stuck.len(), 0);
    world.advance(STUCK_AFTER);
    let now = seen(&world).await;
    let [stuck] = now.stuck.as_slice() else {
        panic!("{:?}", now.stuck)
    };
    assert_eq!(
        (&stuck.id, stuck.is_running, now.failed_rotations),
        (&rotation, true, 0)
    );
    assert_eq!(
        (stuck.gateway.as_str(), &stuck.exit),
        (GATEWAY, &world.exit_of(&one).await)
    );
    // Whoever asks next records that the old one has failed.
    let refused = turnpike_shop::rotation::wait(&world.shop, &rotation).await;
    assert_eq!(refusal(refused), Refusal::RotationFailed);
    let now = seen(&world).await;
    assert_eq!((now.stuck.len(), now.failed_rotations), (0, 1));
    world.advance(Span::days(1));
    assert_eq!(seen(&world).await.failed_rotations, 0);
}

async fn a_gateway_tells_its_version_and_how_far_it_has_come(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .ports(12_001..=12_010)
        .open()
        .await;
    world.bought("NL-AMS").await;
    let gateway = async || seen(&world).await.gateways.remove(0);
    let new = gateway().await;
    assert_eq!(
        (new.name.as_str(), new.public_host.as_str()),
        (GATEWAY, "gw1.example.com")
    );
    assert_eq!(
        (new.version, new.first_port, new.last_port, new.ports_taken),
        (None, 12_001, 12_010, 1)
    );
    assert_eq!((new.revision, new.applied_revision), (world.revision().await, 0));
    routes::alive(&world.shop, GATEWAY, "1.2.3", load(7)).await.unwrap();
    world.advance(Span::minutes(1));
    routes::applied(&world.shop, GATEWAY, new.revision).await.unwrap();
    assert_eq!(gateway().await.seen_at, world.now());
    world.advance(SILENT_AFTER);
    assert!(gateway().await.is_silent(world.now()));
    routes::alive(&world.shop, GATEWAY, "1.2.3", load(8)).await.unwrap();
    // Commands that open the shop beside the server do not know its version.
    routes::register_gateway(&world.shop, GATEWAY, "gw1.example.com", 12_001..=12_010)
        .await
        .unwrap();
    let told = gateway().await;
    assert_eq!(told.version.as_deref(), Some("1.2.3"));
    assert_eq!((told.applied_revision, told.seen_at), (told.revision, world.now()));
    assert_eq!((told.tunnels, told.is_silent(world.now())), (8, false));
}

fn everybody() -> AccountSearch {
    AccountSearch {
        text: String::new(),
        role: None,
        status: None,
        after: None,
        limit: 100,
    }
}

async fn emails(world: &World<'_>, asked: AccountSearch) -> Vec<String> {
    let (found, _) = accounts(&world.shop, asked).await.unwrap();
    found.into_iter().map(|one| one.email).collect()
}

async fn accounts_are_found_and_read_page_by_page(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    world.bought("NL-AMS").await;
    world.advance(Span(1));
    for number in 0..4 {
        // Two of each moment: the id decides between them.
        world.advance(Span(number % 2));
        world.person(&format!("bob_{number}@example.org"), 0).await;
    }
    world.advance(Span(1));
    account::create(&world.shop, "test", ROOT, Role::Operator, None)
        .await
        .unwrap();
    account::set_status(&world.shop, "test", "bob_1@example.org", AccountStatus::Suspended)
        .await
        .unwrap();
    let all = emails(&world, everybody()).await;
    assert_eq!(
        (all.len(), all.first().unwrap().as_str(), all.last().unwrap().as_str()),
        (6, ROOT, ANN)
    );
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let part = AccountSearch {
            after,
            limit: 2,
            ..everybody()
        };
        let (found, has_more) = accounts(&world.shop, part).await.unwrap();
        after = found.last().map(|last| Place {
            created_at: last.created_at,
            id: last.id.clone(),
        });
        paged.extend(found.into_iter().map(|one| one.email));
        if !has_more {
            break;
        }
    }
    assert_eq!(paged, all);
    let found = async |text: &str| {
        emails(
            &world,
            AccountSearch {
                text: text.to_owned(),
                ..everybody()
            },
        )
        .await
    };
    assert_eq!(found(" ANN@ ").await, [ANN]);
    assert_eq!(found(world.ann.as_str()).await, [ANN]);
    // A letter that stands for any other in SQL is just a letter.
    assert_eq!(found("bob_2").await, ["bob_2@example.org"]);
    assert_eq!(found("b_b").await, [""; 0]);
    assert_eq!(found("a\0b'\"").await, [""; 0]);
    let operators = AccountSearch {
        role: Some(Role::Operator),
        ..everybody()
    };
    assert_eq!(emails(&world, operators).await, [ROOT]);
    let suspended = AccountSearch {
        status: Some(AccountStatus::Suspended),
        ..everybody()
    };
    assert_eq!(emails(&world, suspended).await, ["bob_1@example.org"]);
    let ann = account::by_id(&world.shop, &world.ann).await.unwrap();
    assert_eq!((ann.email.as_str(), ann.active_subscriptions), (ANN, 1));
    let unknown = account::by_id(&world.shop, &turnpike_shop::types::AccountId::random()).await;
    assert!(matches!(refusal(unknown), Refusal::UnknownAccount(_)));
}

async fn money_is_booked_once_and_with_a_reason(site: &Site) {
    let world = World::on(site).balance(1_000).open().await;
    let book = |cents, reason: &str, id: &TransactionId| {
        let (shop, reason, id) = (world.shop.clone(), reason.to_owned(), id.clone());
        async move { ledger::book(&shop, ROOT, ANN, Cents(cents), &reason, id).await }
    };
    let id = TransactionId::random();
    assert_eq!(book(500, " bank transfer ", &id).await.unwrap(), Cents(1_500));
    for again in [500, -500, 1] {
        assert_eq!(
            world.refuses(book(again, "once more", &id)).await,
            Refusal::BookedAlready
        );
    }
    for unfit in ["", "  ", "two\nlines", &"x".repeat(201)] {
        let refused = world.refuses(book(1, unfit, &TransactionId::random())).await;
        assert_eq!(refused, Refusal::UnfitReason, "{unfit:?}");
    }
    let refused = world
        .refuses(book(-1_501, "chargeback", &TransactionId::random()))
        .await;
    assert!(matches!(refused, Refusal::OverDebit { .. }), "{refused}");
    assert_eq!(
        book(-1_500, "chargeback", &TransactionId::random()).await.unwrap(),
        Cents(0)
    );
    let notes: Vec<_> = ledger::statement(&world.shop, ANN, 2)
        .await
        .unwrap()
        .into_iter()
        .map(|line| (line.kind, line.note))
        .collect();
    let told = |kind: &str, note: &str| (kind.to_owned(), note.to_owned());
    assert_eq!(notes, [told("debit", "chargeback"), told("credit", "bank transfer")]);
    let written = audit_log::newest(&world.shop, 10).await.unwrap();
    let by_root: Vec<_> = written.iter().filter(|entry| entry.actor == ROOT).collect();
    assert_eq!(by_root.len(), 2);
    assert!(
        by_root
            .iter()
            .all(|entry| entry.subject == ANN && entry.detail.contains("note"))
    );
}

async fn money_that_is_booked_many_times_at_once_is_booked_once(site: &Site) {
    let world = World::on(site).balance(0).open().await;
    let id = TransactionId::random();
    let sent: Vec<_> = (0..16)
        .map(|_| {
            let (shop, id) = (world.shop.clone(), id.clone());
            tokio::spawn(async move { ledger::book(&shop, ROOT, ANN, Cents(700), "bank transfer", id).await })
        })
        .collect();
    let mut booked = 0;
    for one in sent {
        match one.await.unwrap() {
            Ok(balance) => {
                assert_eq!(balance, Cents(700));
                booked += 1;
            }
            refused => assert_eq!(refusal(refused), Refusal::BookedAlready),
        }
    }
    assert_eq!((booked, world.balance().await), (1, 700));
}

async fn no_operator_shuts_himself_out(site: &Site) {
    let world = World::on(site).open().await;
    account::create(&world.shop, "test", ROOT, Role::Operator, None)
        .await
        .unwrap();
    let suspend =
        |actor: &'static str| account::set_status(&world.shop, actor, "Root@Example.com", AccountStatus::Suspended);
    assert_eq!(world.refuses(suspend(ROOT)).await, Refusal::OwnAccount);
    let suspended = suspend("other@example.com").await.unwrap();
    assert_eq!(suspended.status, AccountStatus::Suspended);
}

async fn a_key_may_give_trials_as_long_as_an_operator_allows_it(site: &Site) {
    let world = World::on(site).open().await;
    let (key, whole) = api_key::create(&world.shop, ANN, ANN, NewApiKey::default())
        .await
        .unwrap();
    let may = async || {
        let caller = api_key::authenticate(&world.shop, whole.expose_secret(), address(VISITOR)).await;
        caller.unwrap().allow_trial
    };
    assert!(!may().await);
    for allow in [true, true, false] {
        let changed = api_key::permit_trial(&world.shop, ROOT, &key.id, allow).await.unwrap();
        assert_eq!((changed.allow_trial, may().await), (allow, allow));
    }
    let unknown = turnpike_shop::types::ApiKeyId::random();
    let refused = api_key::permit_trial(&world.shop, ROOT, &unknown, true).await;
    assert_eq!(refusal(refused), Refusal::UnknownApiKey(unknown.to_string()));
    let written = audit_log::newest(&world.shop, 10).await.unwrap();
    assert_eq!(written.iter().filter(|entry| entry.action == "key.trial").count(), 3);
    assert!(written.iter().all(|entry| entry.at <= UnixMillis(world.now().0)));
}

async fn the_audit_log_keeps_the_order_in_which_it_was_written(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    // All in one millisecond.
    for number in 0..20 {
        account::create(
            &world.shop,
            ROOT,
            &format!("p{number}@example.com"),
            Role::Customer,
            None,
        )
        .await
        .unwrap();
    }
    let search = |text: &str, action: &str, after, limit| audit_log::Search {
        text: text.to_owned(),
        action: action.to_owned(),
        after,
        limit,
    };
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let asked = search("root@", "account.", after, 7);
        let (page, has_more) = audit_log::entries(&world.shop, asked).await.unwrap();
        after = page.last().map(|last| last.place.clone());
        seen.extend(page.into_iter().map(|entry| entry.subject));
        if !has_more {
            break;
        }
    }
    let expected: Vec<String> = (0..20).rev().map(|number| format!("p{number}@example.com")).collect();
    assert_eq!(seen, expected);
    for (text, action, count) in [
        ("P19@", "", 1),
        ("", "exit.", 0),
        ("%", "", 0),
        ("", "%", 0),
        ("account.create", "", 20),
    ] {
        let (found, _) = audit_log::entries(&world.shop, search(text, action, None, 50))
            .await
            .unwrap();
        let found = found.iter().filter(|entry| entry.actor == ROOT).count();
        assert_eq!(found, count, "{text} {action}");
    }
}

fn load(tunnels: u64) -> routes::Load {
    routes::Load {
        tunnels,
        by_exit: Vec::new(),
    }
}
