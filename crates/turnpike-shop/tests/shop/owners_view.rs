//! What owners see of what they have, what they ask before they buy, and what they write beside it.

use std::sync::Arc;

use turnpike_shop::api_key::{self, NewApiKey};
use turnpike_shop::search::{Order, Search, held_networks, search};
use turnpike_shop::subscription::Page;
use turnpike_shop::types::{
    Cents, ConnectionType, Health, NetworkType, Span, SubscriptionId, SubscriptionState, UnixMillis,
};
use turnpike_shop::{
    NOTE_LENGTH, Refusal, catalogue, ledger, quote, quote_renewal, refund, rotation, set_note, subscription, traffic,
};

use crate::site::Site;
use crate::world::{ANN, GATEWAY, PRICE, World, coupon, key, quantity, refusal, times};

on_both_engines! {
    a_quote_is_the_price_and_keeps_nothing,
    a_quote_is_refused_for_what_the_purchase_would_be,
    a_renewals_quote_is_its_price,
    what_is_free_is_counted,
    subscriptions_are_found_by_what_people_know_of_them,
    a_list_is_read_page_by_page_in_every_order,
    a_note_is_kept_and_an_unfit_one_is_not,
    a_list_is_never_older_than_its_rows,
    one_sees_ones_own_subscription_only,
    the_addresses_of_ones_own_time_are_told,
    what_an_exit_did_before_a_switch_is_not_told,
    traffic_is_told_by_day,
    a_statement_is_read_page_by_page,
    a_statement_tells_what_was_paid_for,
    an_owner_makes_and_revokes_keys_of_his_own,
}

async fn a_quote_is_the_price_and_keeps_nothing(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(3)
        .coupon(coupon("TEN", catalogue::Discount::Percent(10)))
        .open()
        .await;
    let mut order = world.order("NL-AMS").await;
    (order.quantity, order.repeat, order.coupon) = (quantity(3), times(2), Some("ten".to_owned()));
    let revision = world.revision().await;
    let price = quote(&world.shop, &world.ann, order.clone()).await.unwrap();
    assert_eq!(price, Cents(PRICE * 6 * 9 / 10));
    assert_eq!((world.slots_taken().await, world.ports_taken().await), (0, 0));
    assert_eq!((world.balance().await, world.revision().await), (100_000, revision));
    assert_eq!(world.raw.int("SELECT redeemed FROM coupon").await, 0);
    // The key of the purchase itself is not used up either.
    order.idempotency = key("once", 1);
    quote(&world.shop, &world.ann, order.clone()).await.unwrap();
    assert_eq!(world.buy(order).await.unwrap().price, price);
}

async fn a_quote_is_refused_for_what_the_purchase_would_be(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).balance(2_000).open().await;
    let order = world.order("NL-AMS").await;
    let mut two = order.clone();
    two.quantity = quantity(2);
    let refused = world.refuses(quote(&world.shop, &world.ann, two)).await;
    assert_eq!(
        refused,
        Refusal::InsufficientBalance {
            balance: Cents(2_000),
            price: Cents(2 * PRICE)
        }
    );
    world.buy(order.clone()).await.unwrap();
    ledger::adjust(&world.shop, "test", ANN, Cents(9_000), "")
        .await
        .unwrap();
    let refused = world.refuses(quote(&world.shop, &world.ann, order.clone())).await;
    assert_eq!(refused, Refusal::SoldOut { free: 0, wanted: 1 });
    let mut unknown = order;
    unknown.coupon = Some("NONE".to_owned());
    let refused = world.refuses(quote(&world.shop, &world.ann, unknown)).await;
    assert!(matches!(refused, Refusal::InvalidCoupon(_)), "{refused}");
}

async fn a_renewals_quote_is_its_price(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let bought = world.bought("NL-AMS").await;
    let mut order = world.renewal(&bought).await;
    order.repeat = times(3);
    let price = quote_renewal(&world.shop, &world.ann, order.clone()).await.unwrap();
    assert_eq!(price, Cents(3 * PRICE));
    assert_eq!(world.see(&bought).await.ends_at, bought.ends_at);
    assert_eq!(world.renew(order).await.unwrap().price, price);
}

async fn what_is_free_is_counted(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).shared(5).open().await;
    let network = world.network("NL-AMS").await;
    let free = async |connection_type| {
        let all = catalogue::free(&world.shop).await.unwrap();
        let found = all
            .iter()
            .find(|(known, kind, _)| *known == network && *kind == connection_type);
        found.map(|(_, _, free)| *free)
    };
    assert_eq!(free(ConnectionType::Private).await, Some(2));
    assert_eq!(free(ConnectionType::Shared).await, Some(5));
    world.bought("NL-AMS").await;
    world.bought_shared("NL-AMS").await;
    assert_eq!(free(ConnectionType::Private).await, Some(1));
    assert_eq!(free(ConnectionType::Shared).await, Some(4));
    world.bought("NL-AMS").await;
    assert_eq!(free(ConnectionType::Private).await, None);
}

fn all(text: &str) -> Search {
    Search {
        text: text.to_owned(),
        ..Search::first(Order::Newest, 100)
    }
}

async fn found(world: &World<'_>, asked: Search) -> Vec<SubscriptionId> {
    let (found, _) = search(&world.shop, &world.ann, asked).await.unwrap();
    found.into_iter().map(|one| one.id).collect()
}

async fn subscriptions_are_found_by_what_people_know_of_them(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let (nl, de) = (world.bought("NL-AMS").await, world.bought("DE-BER").await);
    set_note(&world.shop, &world.ann, &nl.id, "50% of Client_A!")
        .await
        .unwrap();
    for text in [
        "nl-ams",
        " AMS ",
        "city of nl",
        "client_a",
        "50%",
        "A!",
        &nl.port.to_string(),
    ] {
        assert_eq!(found(&world, all(text)).await, std::slice::from_ref(&nl.id), "{text}");
    }
    for text in ["client-a", "5_%", "nothing", "\u{0}x"] {
        assert_eq!(found(&world, all(text)).await, [], "{text:?}");
    }
    let in_state = |state| Search {
        state: Some(state),
        ..all("")
    };
    assert_eq!(found(&world, in_state(SubscriptionState::Active)).await.len(), 2);
    let mut order = world.renewal(&de).await;
    order.repeat = times(2);
    world.renew(order).await.unwrap();
    world.advance(Span::days(31));
    // Due, whether anything has swept it up or not.
    for _ in 0..2 {
        assert_eq!(
            found(&world, in_state(SubscriptionState::Expired)).await,
            std::slice::from_ref(&nl.id)
        );
        assert_eq!(
            found(&world, in_state(SubscriptionState::Active)).await,
            std::slice::from_ref(&de.id)
        );
        world.upkeep().await;
    }
    let held = held_networks(&world.shop, &world.ann).await.unwrap();
    let codes: Vec<&str> = held.iter().map(|network| network.code.as_str()).collect();
    assert_eq!(codes, ["DE-BER", "NL-AMS"]);
    for (network, own) in held.into_iter().zip([&de.id, &nl.id]) {
        let only = Search {
            network: Some(network.id),
            ..all("")
        };
        assert_eq!(found(&world, only).await, std::slice::from_ref(own));
        let of_country = Search {
            country: network.country,
            ..all("")
        };
        assert_eq!(found(&world, of_country).await, std::slice::from_ref(own));
    }
    for (line, count) in [(NetworkType::Mobile, 2), (NetworkType::Datacenter, 0)] {
        let of_line = Search {
            line: Some(line),
            ..all("")
        };
        assert_eq!(found(&world, of_line).await.len(), count);
    }
    for (connection_type, count) in [(ConnectionType::Private, 2), (ConnectionType::Shared, 0)] {
        let of_type = Search {
            connection_type: Some(connection_type),
            ..all("")
        };
        assert_eq!(found(&world, of_type).await.len(), count);
    }
    let bob = world.person("bob@example.com", 0).await;
    assert!(search(&world.shop, &bob, all("")).await.unwrap().0.is_empty());
    assert_eq!(held_networks(&world.shop, &bob).await.unwrap(), []);
}

async fn a_list_is_read_page_by_page_in_every_order(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(7).open().await;
    let mut bought = Vec::new();
    for count in 1..=7 {
        let mut order = world.order("NL-AMS").await;
        order.repeat = times(8 - count);
        bought.push(world.buy(order).await.unwrap().subscriptions.remove(0).id);
        world.advance(Span(i64::from(count % 2 == 0)));
    }
    for order in [Order::Newest, Order::Oldest, Order::EndsFirst, Order::Port] {
        let mut after = None;
        let mut read = Vec::new();
        loop {
            let asked = Search {
                order,
                after,
                limit: 3,
                ..all("")
            };
            let (page, has_more) = search(&world.shop, &world.ann, asked).await.unwrap();
            after = page.last().map(|last| last.cursor(order));
            read.extend(page);
            if !has_more {
                break;
            }
        }
        assert_eq!(read.len(), 7);
        let key = |at: usize| match order {
            Order::Newest => -read[at].started_at.0,
            Order::Oldest => read[at].started_at.0,
            Order::EndsFirst => read[at].ends_at.0,
            Order::Port => read[at].port,
        };
        assert!((1..7).all(|at| key(at - 1) <= key(at)), "{order:?}");
        assert!(bought.iter().all(|id| read.iter().any(|one| one.id == *id)));
    }
}

async fn a_note_is_kept_and_an_unfit_one_is_not(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let bought = world.bought("NL-AMS").await;
    let set = async |note: String| set_note(&world.shop, &world.ann, &bought.id, &note).await;
    let (long, too_long) = ("ä".repeat(NOTE_LENGTH), "x".repeat(NOTE_LENGTH + 1));
    set(format!(" {long} ")).await.unwrap();
    assert_eq!(world.list().await[0].user_note, long);
    for unfit in [too_long, "a\nb".to_owned(), "a\u{0}b".to_owned()] {
        assert_eq!(refusal(set(unfit).await), Refusal::UnfitNote);
    }
    let bob = world.person("bob@example.com", 0).await;
    let id = world.list().await.remove(0).id;
    let foreign = set_note(&world.shop, &bob, &id, "mine").await;
    assert_eq!(refusal(foreign), Refusal::SubscriptionNotFound);
    set(String::new()).await.unwrap();
    assert_eq!(world.list().await[0].user_note, "");
}

/// What was made of rows before is used again where they are the same, and only there.
async fn a_list_is_never_older_than_its_rows(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let bought = [world.bought("NL-AMS").await, world.bought("NL-AMS").await];
    let listed = async || {
        let page = subscription::listed(&world.shop, &world.ann, Page::default()).await;
        page.unwrap().subscriptions
    };
    let (first, again) = (listed().await, listed().await);
    let one = &first[0].kept.subscription;
    let known = bought.iter().find(|known| known.id == one.id).unwrap();
    assert_eq!((&one.password, &one.url_token), (&known.password, &known.url_token));
    assert!(Arc::ptr_eq(&first[0].kept, &again[0].kept) && Arc::ptr_eq(&first[1].kept, &again[1].kept));
    assert_eq!(again[0].kept.text(|_| Ok::<_, ()>("once".to_owned())), Ok("once"));
    assert_eq!(listed().await[0].kept.text(|_| Err("twice")), Ok("once"));

    let row = traffic::Row {
        subscription: one.id.clone(),
        hour: UnixMillis(1_760_000_400_000),
        up: 3,
        down: 4,
    };
    traffic::record(&world.shop, GATEWAY, "run", 1, &[row]).await.unwrap();
    let used = listed().await;
    assert_eq!(used[0].usage.used(), 7);
    assert!(
        Arc::ptr_eq(&used[0].kept, &first[0].kept),
        "what is used is no part of it"
    );

    let changed = world.change_credentials(one).await.unwrap();
    let now = listed().await;
    assert_ne!(changed.password, one.password);
    assert_eq!(now[0].kept.subscription.password, changed.password);
    assert!(Arc::ptr_eq(&now[1].kept, &first[1].kept), "the other has not changed");
    assert_eq!(now[0].kept.text(|_| Ok::<_, ()>("anew".to_owned())), Ok("anew"));

    // No row changes when time passes.
    world.advance(one.ends_at.since(world.now()));
    let states: Vec<_> = listed().await.iter().map(|one| one.kept.subscription.state).collect();
    assert_eq!(states, [SubscriptionState::Expired; 2]);
}

async fn one_sees_ones_own_subscription_only(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let bought = world.bought("NL-AMS").await;
    let seen = subscription::see(&world.shop, &world.ann, &bought.id).await.unwrap();
    assert_eq!((seen.port, seen.password), (bought.port, bought.password.clone()));
    let status = rotation::own_status(&world.shop, &world.ann, &bought.id).await.unwrap();
    assert_eq!(status.exit.unwrap().health, Health::Unknown);
    let bob = world.person("bob@example.com", 0).await;
    assert_eq!(
        refusal(subscription::see(&world.shop, &bob, &bought.id).await),
        Refusal::SubscriptionNotFound
    );
    let status = rotation::own_status(&world.shop, &bob, &bought.id).await;
    assert_eq!(refusal(status), Refusal::SubscriptionNotFound);
    let addresses = rotation::addresses(&world.shop, &bob, &bought.id, 5).await;
    assert_eq!(refusal(addresses), Refusal::SubscriptionNotFound);
    world.advance(Span::days(60));
    world.upkeep().await;
    world.upkeep().await;
    let over = subscription::see(&world.shop, &world.ann, &bought.id).await;
    assert_eq!(refusal(over), Refusal::SubscriptionNotFound);
}

async fn the_addresses_of_ones_own_time_are_told(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let before = world.now().minus(Span::hours(1)).0;
    world.advance(Span::hours(1));
    let bought = world.bought("NL-AMS").await;
    let after = world.now().plus(Span::hours(1)).0;
    for (since, address) in [(before, "192.0.2.1"), (after, "192.0.2.2"), (after + 1, "192.0.2.3")] {
        let sql = format!(
            "INSERT INTO exit_address (exit_id, since, address) SELECT exit_id, {since}, '{address}' FROM subscription"
        );
        world.raw.run(&sql).await;
    }
    let told = rotation::addresses(&world.shop, &world.ann, &bought.id, 5)
        .await
        .unwrap();
    let told: Vec<String> = told.iter().map(|(_, address)| address.to_string()).collect();
    assert_eq!(
        told,
        ["192.0.2.3", "192.0.2.2", "192.0.2.1"],
        "the one that it began with too"
    );
    let newest = rotation::addresses(&world.shop, &world.ann, &bought.id, 1)
        .await
        .unwrap();
    assert_eq!(newest.len(), 1);
}

async fn what_an_exit_did_before_a_switch_is_not_told(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(1)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let moving = world.bought("NL-AMS").await;
    world.advance(Span::hours(2));
    // Of somebody who had that exit while this subscription ran elsewhere.
    let (first, last) = (
        world.now().minus(Span::hours(1)).0,
        world.now().minus(Span::minutes(30)).0,
    );
    for (since, address) in [(first, "192.0.2.1"), (last, "192.0.2.2")] {
        let sql = format!(
            "INSERT INTO exit_address (exit_id, since, address)
             SELECT e.id, {since}, '{address}' FROM network_exit e JOIN network n ON n.id = e.network_id WHERE n.code = 'DE-BER'"
        );
        world.raw.run(&sql).await;
    }
    let rotated = format!("UPDATE network_exit SET rotated_at = {last}, present_address = '192.0.2.2'");
    world.raw.run(&rotated).await;
    world.switch(&moving, "DE-BER").await.unwrap();
    let told = rotation::addresses(&world.shop, &world.ann, &moving.id, 5)
        .await
        .unwrap();
    assert_eq!(
        told,
        [(world.now(), "192.0.2.2".parse().unwrap())],
        "the present one, since the switch"
    );
    let status = rotation::own_status(&world.shop, &world.ann, &moving.id).await.unwrap();
    let exit = status.exit.unwrap();
    assert_eq!((exit.rotated_at, exit.previous), (None, None));
}

async fn traffic_is_told_by_day(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let (one, other) = (world.bought("NL-AMS").await, world.bought("NL-AMS").await);
    let today = world.now().0.div_euclid(Span::days(1).0) * Span::days(1).0;
    let row = |subscription: &SubscriptionId, hours_ago: i64, up| traffic::Row {
        subscription: subscription.clone(),
        hour: turnpike_shop::types::UnixMillis(today - Span::hours(hours_ago).0),
        up,
        down: 2 * up,
    };
    let rows = [
        row(&one.id, 0, 1),
        row(&one.id, 1, 10),
        row(&other.id, 24, 100),
        row(&one.id, 72, 1_000),
    ];
    traffic::record(&world.shop, GATEWAY, "run", 1, &rows).await.unwrap();
    let ups = |days: Vec<traffic::Day>| days.iter().map(|day| day.up).collect::<Vec<_>>();
    let all = traffic::days(&world.shop, &world.ann, None, 3).await.unwrap();
    assert!(all.iter().all(|day| day.down == 2 * day.up));
    assert_eq!(all.last().map(|day| day.start.0), Some(today));
    assert_eq!(ups(all), [0, 110, 1]);
    let of_one = traffic::days(&world.shop, &world.ann, Some(&one.id), 4).await.unwrap();
    assert_eq!(ups(of_one), [1_000, 0, 10, 1]);
    let bob = world.person("bob@example.com", 0).await;
    assert_eq!(
        ups(traffic::days(&world.shop, &bob, Some(&one.id), 2).await.unwrap()),
        [0, 0]
    );
}

async fn a_statement_is_read_page_by_page(site: &Site) {
    let world = World::on(site).balance(100).open().await;
    for cents in 1..=4 {
        ledger::adjust(&world.shop, "test", ANN, Cents(cents), &format!("note {cents}"))
            .await
            .unwrap();
    }
    let first = ledger::lines(&world.shop, &world.ann, None, 3).await.unwrap();
    let numbers: Vec<_> = first.iter().map(|one| (one.number, one.line.balance.0)).collect();
    assert_eq!(numbers, [(5, 110), (4, 106), (3, 103)]);
    let second = ledger::lines(&world.shop, &world.ann, Some(3), 3).await.unwrap();
    let notes: Vec<_> = second.iter().map(|one| one.line.note.as_str()).collect();
    assert_eq!(notes, ["note 1", "to begin with"]);
}

async fn a_statement_tells_what_was_paid_for(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(3).open().await;
    let mut order = world.order("NL-AMS").await;
    order.quantity = quantity(2);
    let bought = world.buy(order).await.unwrap();
    let mut ports: Vec<_> = bought.subscriptions.iter().map(|one| i64::from(one.port)).collect();
    ports.sort_unstable();
    let renewal = world.renewal(&bought.subscriptions[0]).await;
    let renewed = world.renew(renewal).await.unwrap();
    refund(&world.shop, "test", &renewed.order, "a change of mind")
        .await
        .unwrap();
    let told = |lines: Vec<ledger::NumberedLine>| {
        let of = |line: ledger::NumberedLine| {
            let order = line.order?;
            let ports: Vec<_> = order.subscriptions.iter().map(|one| (one.port, one.is_held)).collect();
            Some((line.line.kind, order.id, ports))
        };
        lines.into_iter().map(of).collect::<Vec<_>>()
    };
    let renewed_port = vec![(i64::from(bought.subscriptions[0].port), true)];
    let purchase = (
        "purchase".to_owned(),
        bought.order.clone(),
        ports.iter().map(|port| (*port, true)).collect(),
    );
    let lines = ledger::lines(&world.shop, &world.ann, None, 10).await.unwrap();
    let plans: Vec<_> = lines
        .iter()
        .filter_map(|line| line.order.as_ref())
        .map(|order| order.plan.as_str())
        .collect();
    assert_eq!(plans, ["NL-AMS private"; 3]);
    assert_eq!(
        told(lines),
        [
            Some(("refund".to_owned(), renewed.order.clone(), renewed_port.clone())),
            Some(("renewal".to_owned(), renewed.order, renewed_port)),
            Some(purchase.clone()),
            None,
        ]
    );
    // A part of it tells as much, and what has let go of its port is told as such.
    world.advance(Span::days(60));
    world.upkeep().await;
    let part = ledger::lines(&world.shop, &world.ann, Some(3), 1).await.unwrap();
    let released = ports.iter().map(|port| (*port, false)).collect();
    assert_eq!(told(part), [Some((purchase.0, purchase.1, released))]);
}

async fn an_owner_makes_and_revokes_keys_of_his_own(site: &Site) {
    let world = World::on(site).open().await;
    let named = |name: &str| NewApiKey {
        name: name.to_owned(),
        allowed_sources: vec!["192.0.2.0/24".parse().unwrap()],
        ..NewApiKey::default()
    };
    for unfit in ["", "  ", "a\nb", &"x".repeat(65)] {
        let refused = api_key::create_own(&world.shop, ANN, named(unfit)).await;
        assert_eq!(refusal(refused.map(|_| ())), Refusal::UnfitKeyName, "{unfit:?}");
    }
    let (made, _) = api_key::create_own(&world.shop, ANN, named(" Scraper ")).await.unwrap();
    assert_eq!(
        (made.name.as_str(), made.allowed_sources.as_slice()),
        ("Scraper", &["192.0.2.0/24".to_owned()][..])
    );
    world.person("bob@example.com", 0).await;
    let foreign = api_key::revoke_own(&world.shop, "bob@example.com", &made.id).await;
    assert_eq!(refusal(foreign), Refusal::UnknownApiKey(made.id.to_string()));
    let revoked = api_key::revoke_own(&world.shop, ANN, &made.id).await.unwrap();
    assert!(revoked.revoked_at.is_some());
}
