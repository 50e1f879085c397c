//! What operators do with exits by hand.

use turnpike_shop::exits::{self, CheckState, CheckTask, ExitSearch};
use turnpike_shop::rotation::{self, finish};
use turnpike_shop::routes::changes_since;
use turnpike_shop::types::{AccountId, ConnectionType, ExitId, ExitStanding, Health, Span};
use turnpike_shop::{Refusal, audit_log, purchase, routes};

use crate::rotation::{address, claim};
use crate::site::Site;
use crate::world::{ANN, GATEWAY, World, quantity, refusal};

on_both_engines! {
    a_draining_exit_is_not_sold_and_keeps_its_holder,
    a_disabled_exit_serves_nobody_until_it_is_open_again,
    a_whole_network_is_disabled_and_opened_at_once,
    purchases_and_a_drained_network_at_once_leave_no_sale_behind,
    applying_a_catalogue_changes_no_standing,
    a_purchase_and_a_drain_at_once_leave_no_sale_behind,
    an_operator_rotates_any_exit_that_can_rotate,
    a_test_is_done_once_by_the_exits_gateway,
    whoever_has_an_exit_may_test_it_now_and_then,
    a_test_that_nobody_does_is_told,
    exits_are_found_and_shown_with_their_holders,
    a_list_tells_the_first_holder_of_each,
    networks_are_told_with_their_exits_and_what_is_free,
    tunnels_are_told_for_exits_and_networks,
}

const ROOT: &str = "root@example.com";

/// By name, of the network `NL-AMS`.
async fn exit(world: &World<'_>, name: &str) -> ExitId {
    let network = "SELECT id FROM network WHERE code = 'NL-AMS'";
    let sql = format!("SELECT id FROM network_exit WHERE name = '{name}' AND network_id IN ({network})");
    world.raw.texts(&sql).await.remove(0).parse().unwrap()
}

async fn set(world: &World<'_>, exit: &ExitId, standing: ExitStanding) -> exits::Changed {
    exits::set_standing(&world.shop, ROOT, exit, standing).await.unwrap()
}

async fn a_draining_exit_is_not_sold_and_keeps_its_holder(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(2).open().await;
    let one = world.bought("NL-AMS").await;
    let held: ExitId = {
        let sql = format!("SELECT exit_id FROM subscription WHERE id = '{}'", one.id);
        world.raw.texts(&sql).await.remove(0).parse().unwrap()
    };
    let before = world.revision().await;
    set(&world, &held, ExitStanding::Draining).await;
    // Nothing changes for the gateway, and the holder may go on.
    assert_eq!(world.revision().await, before);
    world.renew(world.renewal(&one).await).await.unwrap();
    let other = world.bought("NL-AMS").await;
    let order = world.order("NL-AMS").await;
    assert_eq!(
        world.refuses(world.buy(order.clone())).await,
        Refusal::SoldOut { free: 0, wanted: 1 }
    );
    // When the holder is gone, it is still not sold.
    world.advance(Span::days(61));
    world.upkeep().await;
    drop(other);
    world.bought("NL-AMS").await;
    assert_eq!(
        world.refuses(world.buy(order.clone())).await,
        Refusal::SoldOut { free: 0, wanted: 1 }
    );
    set(&world, &held, ExitStanding::Open).await;
    world.buy(order).await.unwrap();
    let log = audit_log::newest(&world.shop, 1).await.unwrap().remove(0);
    assert_eq!(
        (
            log.actor.as_str(),
            log.action.as_str(),
            log.subject.starts_with("NL-AMS/exit-")
        ),
        (ROOT, "exit.standing", true)
    );
    let unknown = exits::set_standing(&world.shop, ROOT, &ExitId::random(), ExitStanding::Open).await;
    assert_eq!(refusal(unknown), Refusal::UnknownExit);
}

async fn a_disabled_exit_serves_nobody_until_it_is_open_again(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let held = exit(&world, "exit-1").await;
    let told = world.revision().await;
    let changed = set(&world, &held, ExitStanding::Disabled).await;
    assert_eq!((changed.gateway.as_str(), changed.revision), (GATEWAY, told + 1));
    let changes = changes_since(&world.shop, GATEWAY, told).await.unwrap();
    assert_eq!((changes.routes.len(), changes.removed), (0, vec![one.id.clone()]));
    // A gateway that asks for everything is not told of it either.
    assert_eq!(changes_since(&world.shop, GATEWAY, 0).await.unwrap().routes.len(), 0);
    // Once more is no change.
    assert_eq!(set(&world, &held, ExitStanding::Disabled).await.revision, told + 1);
    set(&world, &held, ExitStanding::Open).await;
    let changes = changes_since(&world.shop, GATEWAY, told + 1).await.unwrap();
    assert_eq!((changes.routes.len(), changes.removed.len()), (1, 0));
}

async fn set_all(world: &World<'_>, standing: ExitStanding) -> exits::ChangedNetwork {
    exits::set_network_standing(&world.shop, ROOT, "NL-AMS", standing)
        .await
        .unwrap()
}

async fn a_whole_network_is_disabled_and_opened_at_once(site: &Site) {
    // More than one statement takes.
    let world = World::on(site)
        .network("NL-AMS")
        .exits(101)
        .network("DE-BER")
        .exits(1)
        .open()
        .await;
    let mut order = world.order("NL-AMS").await;
    order.quantity = quantity(2);
    let mut held: Vec<_> = world
        .buy(order)
        .await
        .unwrap()
        .subscriptions
        .into_iter()
        .map(|one| one.id)
        .collect();
    held.sort_unstable();
    set(&world, &exit(&world, "exit-7").await, ExitStanding::Draining).await;
    let told = world.revision().await;
    let changed = set_all(&world, ExitStanding::Disabled).await;
    assert_eq!(changed.exits, 101);
    let gateways: Vec<_> = changed
        .gateways
        .iter()
        .map(|one| (one.gateway.as_str(), one.revision))
        .collect();
    assert_eq!(gateways, [(GATEWAY, told + 1)]);
    let mut changes = changes_since(&world.shop, GATEWAY, told).await.unwrap();
    changes.removed.sort_unstable();
    assert_eq!((changes.routes.len(), changes.removed), (0, held));
    let stands = exits::network(&world.shop, "NL-AMS").await.unwrap();
    assert_eq!(
        (stands.open, stands.draining, stands.disabled, stands.taken),
        (0, 0, 101, 2)
    );
    let order = world.order("NL-AMS").await;
    assert_eq!(
        world.refuses(world.buy(order.clone())).await,
        Refusal::SoldOut { free: 0, wanted: 1 }
    );
    world.bought("DE-BER").await;
    let written = audit_log::newest(&world.shop, 200).await.unwrap();
    let disabled = written
        .iter()
        .filter(|entry| entry.detail.to_string().contains("disabled"));
    assert_eq!(disabled.filter(|entry| entry.action == "exit.standing").count(), 101);
    // Once more is no change.
    assert_eq!(set_all(&world, ExitStanding::Disabled).await.exits, 0);
    let told = world.revision().await;
    assert_eq!(set_all(&world, ExitStanding::Open).await.exits, 101);
    assert_eq!(changes_since(&world.shop, GATEWAY, told).await.unwrap().routes.len(), 2);
    world.buy(order).await.unwrap();
    let unknown = exits::set_network_standing(&world.shop, ROOT, "no-such", ExitStanding::Open).await;
    assert_eq!(refusal(unknown), Refusal::NoSuchNetwork("no-such".to_owned()));
}

async fn purchases_and_a_drained_network_at_once_leave_no_sale_behind(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(6).balance(100_000).open().await;
    let mut order = world.order("NL-AMS").await;
    order.quantity = quantity(2);
    let drain = set_all(&world, ExitStanding::Draining);
    let disable = set_all(&world, ExitStanding::Disabled);
    let buys = futures_util::future::join_all((0..3).map(|_| world.buy(order.clone())));
    let (_, _, bought) = tokio::join!(drain, disable, buys);
    let sold = i64::try_from(bought.iter().filter(|one| one.is_ok()).count()).unwrap() * 2;
    assert_eq!(world.slots_taken().await, sold);
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM slot WHERE sellable = 1").await, 0);
    // No half of one and half of the other.
    let stands = exits::network(&world.shop, "NL-AMS").await.unwrap();
    assert!([stands.draining, stands.disabled].contains(&6), "{stands:?}");
}

async fn applying_a_catalogue_changes_no_standing(site: &Site) {
    let mut world = World::on(site).network("NL-AMS").shared(3).open().await;
    let held = exit(&world, "exit-1").await;
    set(&world, &held, ExitStanding::Draining).await;
    let sellable = "SELECT CAST(SUM(sellable) AS BIGINT) FROM slot";
    world.catalogue.networks[0].exits[0].shared_slots = 5;
    world.apply().await;
    assert_eq!(world.raw.int(sellable).await, 0);
    // Out of the catalogue and back.
    let kept = world.catalogue.networks[0].exits.remove(0);
    world.apply().await;
    set(&world, &held, ExitStanding::Open).await;
    assert_eq!(world.raw.int(sellable).await, 0);
    world.catalogue.networks[0].exits.push(kept);
    world.apply().await;
    assert_eq!(world.raw.int(sellable).await, 5);
}

async fn a_purchase_and_a_drain_at_once_leave_no_sale_behind(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(4).balance(100_000).open().await;
    let order = world.order("NL-AMS").await;
    let names = ["exit-1", "exit-2", "exit-3", "exit-4"];
    let mut all = Vec::new();
    for name in names {
        all.push(exit(&world, name).await);
    }
    let drains = futures_util::future::join_all(all.iter().map(|exit| set(&world, exit, ExitStanding::Draining)));
    let buys = futures_util::future::join_all((0..4).map(|_| world.buy(order.clone())));
    let (_, bought) = tokio::join!(drains, buys);
    let sold = i64::try_from(bought.iter().filter(|one| one.is_ok()).count()).unwrap();
    assert_eq!(world.slots_taken().await, sold);
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM slot WHERE sellable = 1").await, 0);
    assert!(world.buy(order).await.is_err());
}

async fn an_operator_rotates_any_exit_that_can_rotate(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .shared(3)
        .network("DE-BER")
        .fixed_exits(1)
        .open()
        .await;
    let ids = world.raw.texts("SELECT id FROM network_exit ORDER BY can_rotate").await;
    let [fixed, shared] = [ids[0].parse::<ExitId>().unwrap(), ids[1].parse().unwrap()];
    let ask = |exit: ExitId| {
        let shop = world.shop.clone();
        async move { rotation::request_by_operator(&shop, ROOT, &exit).await }
    };
    assert_eq!(refusal(ask(fixed).await), Refusal::RotationUnavailable);
    assert_eq!(refusal(ask(ExitId::random()).await), Refusal::UnknownExit);
    let asked = ask(shared.clone()).await.unwrap();
    assert_eq!(ask(shared.clone()).await.unwrap(), asked);
    let [task] = claim(&world).await.try_into().unwrap();
    assert_eq!((task.id, &task.exit), (asked.clone(), &shared));
    let new = Some(address("192.0.2.9"));
    finish(&world.shop, &asked, Ok((new, None))).await.unwrap();
    let whole = exits::show(&world.shop, &shared).await.unwrap();
    assert_eq!((whole.exit.address, whole.exit.rotated_at), (new, Some(world.now())));
    let [done] = whole.rotations.as_slice() else {
        panic!("{:?}", whole.rotations)
    };
    assert_eq!((done.reason.as_str(), done.state.as_str()), ("operator", "done"));
    assert!(matches!(refusal(ask(shared).await), Refusal::RotationCooldown { .. }));
}

async fn a_test_is_done_once_by_the_exits_gateway(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let exit = exit(&world, "exit-1").await;
    let (shop, claims) = (&world.shop, async || {
        exits::claim_checks(&world.shop, GATEWAY).await.unwrap()
    });
    assert_eq!(exits::show(shop, &exit).await.unwrap().check, None);
    assert_eq!(
        refusal(exits::ask_check(shop, ROOT, &ExitId::random()).await),
        Refusal::UnknownExit
    );
    let number = exits::ask_check(shop, ROOT, &exit).await.unwrap();
    // Whoever asks meanwhile waits for the same.
    assert_eq!(exits::ask_check(shop, ROOT, &exit).await.unwrap(), number);
    assert_eq!(exits::claim_checks(shop, "another").await.unwrap(), []);
    let task = CheckTask {
        exit: exit.clone(),
        number,
    };
    assert_eq!(claims().await, std::slice::from_ref(&task));
    assert_eq!(claims().await, []);
    let seen = Some(address("198.51.100.11"));
    let waiting = exits::wait_check(shop, &exit, number);
    let (waited, ()) = tokio::join!(waiting, async {
        exits::finish_check(shop, &task, Ok((seen, Span(23)))).await.unwrap();
    });
    let check = waited.unwrap().unwrap();
    assert_eq!(
        (check.state, check.address, check.took),
        (CheckState::Works, seen, Some(Span(23)))
    );
    // The next one begins anew, and a late result of the first is not taken for its own.
    let next = exits::ask_check(shop, ROOT, &exit).await.unwrap();
    assert_eq!((next, claims().await.len()), (number + 1, 1));
    exits::finish_check(shop, &task, Err("late".to_owned())).await.unwrap();
    let under_way = exits::show(shop, &exit).await.unwrap().check.unwrap();
    assert_eq!((under_way.state, under_way.detail), (CheckState::UnderWay, None));
    let task = CheckTask { number: next, ..task };
    exits::finish_check(shop, &task, Err("no route to host".to_owned()))
        .await
        .unwrap();
    let failed = exits::wait_check(shop, &exit, next).await.unwrap().unwrap();
    assert_eq!(
        (failed.state, failed.detail.as_deref(), failed.address),
        (CheckState::Fails, Some("no route to host"), None)
    );
}

async fn whoever_has_an_exit_may_test_it_now_and_then(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let bought = world.bought("NL-AMS").await.id;
    let (shop, exit) = (&world.shop, exit(&world, "exit-1").await);
    let stranger = AccountId::random();
    assert_eq!(exits::own_check(shop, &world.ann, &bought).await.unwrap(), None);
    assert_eq!(
        refusal(exits::ask_own_check(shop, &stranger, &bought).await),
        Refusal::SubscriptionNotFound
    );
    assert_eq!(
        refusal(exits::own_check(shop, &stranger, &bought).await),
        Refusal::SubscriptionNotFound
    );
    let asked = exits::ask_own_check(shop, &world.ann, &bought).await.unwrap();
    assert_eq!(asked, (exit.clone(), 1));
    let [task] = exits::claim_checks(shop, GATEWAY).await.unwrap().try_into().unwrap();
    let seen = Some(address("198.51.100.11"));
    exits::finish_check(shop, &task, Ok((seen, Span(23)))).await.unwrap();
    let told = exits::own_check(shop, &world.ann, &bought).await.unwrap().unwrap();
    assert_eq!((told.state, told.address), (CheckState::Works, seen));
    // Whoever presses again is told the same, until it is no longer fresh; an operator tests when he likes.
    world.advance(Span::seconds(9));
    assert_eq!(
        exits::ask_own_check(&world.shop, &world.ann, &bought).await.unwrap(),
        asked
    );
    world.advance(Span::seconds(1));
    assert_eq!(
        exits::ask_own_check(&world.shop, &world.ann, &bought).await.unwrap(),
        (exit.clone(), 2)
    );
    let [task] = exits::claim_checks(&world.shop, GATEWAY)
        .await
        .unwrap()
        .try_into()
        .unwrap();
    exits::finish_check(&world.shop, &task, Err("no carrier".to_owned()))
        .await
        .unwrap();
    assert_eq!(exits::ask_check(&world.shop, ROOT, &exit).await.unwrap(), 3);
    // What was found an hour ago tells nothing, and an ended subscription has no exit.
    world.advance(Span::hours(2));
    assert_eq!(exits::own_check(&world.shop, &world.ann, &bought).await.unwrap(), None);
    world.advance(Span::days(31));
    assert_eq!(
        refusal(exits::ask_own_check(&world.shop, &world.ann, &bought).await),
        Refusal::SubscriptionEnded
    );
}

async fn a_test_that_nobody_does_is_told(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let exit = exit(&world, "exit-1").await;
    let number = exits::ask_check(&world.shop, ROOT, &exit).await.unwrap();
    world.advance(Span::seconds(20));
    let told = exits::wait_check(&world.shop, &exit, number).await.unwrap().unwrap();
    assert_eq!(told.state, CheckState::NoAnswer);
    // It is too late for it, and another can be asked for.
    assert_eq!(exits::claim_checks(&world.shop, GATEWAY).await.unwrap(), []);
    assert_eq!(exits::ask_check(&world.shop, ROOT, &exit).await.unwrap(), number + 1);
}

async fn exits_are_found_and_shown_with_their_holders(site: &Site) {
    let mut world = World::on(site)
        .network("DE-BER")
        .exits(1)
        .network("NL-AMS")
        .exits(2)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    let free = match world.exit_of(&one).await.as_str() {
        "exit-1" => "exit-2",
        _ => "exit-1",
    };
    let down = exit(&world, free).await;
    routes::exit_health(&world.shop, &down, Health::Down, Some("no carrier"), None)
        .await
        .unwrap();
    let names = async |world: &World<'_>, search: ExitSearch| {
        let (found, has_more) = exits::list(&world.shop, search).await.unwrap();
        let names: Vec<String> = found
            .into_iter()
            .map(|one| format!("{}/{}", one.network_code, one.name))
            .collect();
        (names, has_more)
    };
    let all = ExitSearch {
        limit: 2,
        ..ExitSearch::default()
    };
    let (first, has_more) = names(&world, all.clone()).await;
    assert_eq!((first.len(), has_more), (2, true));
    let (code, name) = first[1].split_once('/').unwrap();
    let behind = ExitSearch {
        after: Some((code.to_owned(), name.to_owned())),
        ..all.clone()
    };
    let (rest, has_more) = names(&world, behind).await;
    assert_eq!((rest.len(), has_more), (1, false));
    let of_health = ExitSearch {
        health: Some(Health::Down),
        ..all.clone()
    };
    assert_eq!(names(&world, of_health).await.0, [format!("NL-AMS/{free}")]);
    for (text, count) in [("ams", 2), ("%", 0), ("GW1", 2), ("no such", 0)] {
        let search = ExitSearch {
            text: text.to_owned(),
            ..all.clone()
        };
        assert_eq!(names(&world, search).await.0.len(), count, "{text}");
    }
    let held = world.exit_of(&one).await;
    let held = exit(&world, &held).await;
    let whole = exits::show(&world.shop, &held).await.unwrap();
    let [holder] = whole.holders.as_slice() else {
        panic!("{:?}", whole.holders)
    };
    assert_eq!((holder.email.as_str(), &holder.subscription), (ANN, &one.id));
    assert_eq!((whole.exit.taken, whole.exit.capacity), (1, 1));
    // What has left the catalogue is told as long as somebody has it.
    world.catalogue.networks.clear();
    world.catalogue.plans.clear();
    world.apply().await;
    let (left, _) = names(&world, all).await;
    assert_eq!(left.len(), 1);
    assert!(!exits::show(&world.shop, &held).await.unwrap().exit.is_in_catalogue);
    let unknown = exits::show(&world.shop, &ExitId::random()).await;
    assert_eq!(refusal(unknown), Refusal::UnknownExit);
}

async fn a_list_tells_the_first_holder_of_each(site: &Site) {
    let world = World::on(site).network("NL-AMS").shared(3).exits(1).open().await;
    let all = ExitSearch {
        limit: 9,
        ..ExitSearch::default()
    };
    let holders = async || {
        let (found, _) = exits::list(&world.shop, all.clone()).await.unwrap();
        let told = |one: exits::ExitView| (one.is_shared, one.taken, one.first_holder);
        found.into_iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(holders().await, [(true, 0, None), (false, 0, None)]);
    let bob = world.person("bob@example.com", 5_000).await;
    let order = world.order_of("NL-AMS", ConnectionType::Shared).await;
    purchase(&world.shop, &bob, order).await.unwrap();
    world.advance(Span::hours(1));
    world.bought_shared("NL-AMS").await;
    world.bought("NL-AMS").await;
    let ann = (world.ann.clone(), ANN.to_owned());
    let bob = (bob, "bob@example.com".to_owned());
    assert_eq!(
        holders().await,
        [(true, 2, Some(bob)), (false, 1, Some(ann))],
        "whose subscription ends first"
    );
}

async fn networks_are_told_with_their_exits_and_what_is_free(site: &Site) {
    let mut world = World::on(site)
        .network("DE-BER")
        .exits(1)
        .network("NL-AMS")
        .shared(4)
        .exits(3)
        .open()
        .await;
    let one = world.bought("NL-AMS").await;
    world.bought_shared("NL-AMS").await;
    let held = exit(&world, &world.exit_of(&one).await).await;
    for (name, standing) in [("exit-2", ExitStanding::Draining), ("exit-3", ExitStanding::Disabled)] {
        let other = exit(&world, name).await;
        if other != held {
            set(&world, &other, standing).await;
        }
    }
    routes::exit_health(&world.shop, &held, Health::Down, Some("no carrier"), None)
        .await
        .unwrap();
    let up = exit(&world, "exit-1").await;
    routes::exit_health(&world.shop, &up, Health::Up, None, None)
        .await
        .unwrap();
    let told = exits::networks(&world.shop).await.unwrap();
    let [berlin, amsterdam] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(
        (berlin.code.as_str(), berlin.untried, berlin.taken, berlin.free),
        ("DE-BER", 1, 0, 1)
    );
    let health = (amsterdam.up, amsterdam.down, amsterdam.untried);
    let drained = amsterdam.held_back;
    assert_eq!((health, amsterdam.taken, amsterdam.is_sold), ((1, 1, 2), 2, true));
    assert_eq!(
        amsterdam.free,
        3 + 2 - drained,
        "what is drained is not free: {amsterdam:?}"
    );
    assert!(drained > 0);
    // What has left the catalogue is told as long as somebody has something of it.
    world.catalogue.networks.clear();
    world.catalogue.plans.clear();
    world.apply().await;
    let told = exits::networks(&world.shop).await.unwrap();
    let [left] = told.as_slice() else { panic!("{told:?}") };
    let exits = (left.up, left.down, left.untried);
    assert_eq!(
        (left.code.as_str(), left.is_sold, exits, left.taken, left.free),
        ("NL-AMS", false, (0, 0, 0), 2, 0)
    );
}

async fn tunnels_are_told_for_exits_and_networks(site: &Site) {
    let world = World::on(site)
        .network("DE-BER")
        .exits(1)
        .network("NL-AMS")
        .exits(2)
        .open()
        .await;
    let [one, two] = [exit(&world, "exit-1").await, exit(&world, "exit-2").await];
    let tell = async |gateway: &str, by_exit: Vec<(ExitId, u64)>| {
        let tunnels = by_exit.iter().map(|(_, tunnels)| tunnels).sum();
        let load = routes::Load { tunnels, by_exit };
        routes::alive(&world.shop, gateway, "1.2.3", load).await.unwrap();
    };
    let told = async || {
        let networks = exits::networks(&world.shop).await.unwrap();
        let whole = exits::show(&world.shop, &one).await.unwrap();
        (networks[0].tunnels, networks[1].tunnels, whole.exit.tunnels)
    };
    assert_eq!(told().await, (0, 0, 0));
    tell(GATEWAY, vec![(one.clone(), 4), (two.clone(), 5)]).await;
    assert_eq!(told().await, (0, 9, 4));
    tell(GATEWAY, vec![(two.clone(), 6)]).await;
    assert_eq!(told().await, (0, 6, 0), "what is not told any more is none");
    // An exit that has moved is its old gateway's until that one tells again.
    routes::register_gateway(&world.shop, "gw2", "other.example.com", 20_001..=20_009)
        .await
        .unwrap();
    tell("gw2", vec![(two.clone(), 1), (one.clone(), 2)]).await;
    assert_eq!(told().await, (0, 8, 2));
    tell(GATEWAY, Vec::new()).await;
    tell("gw2", vec![(two, 1), (one.clone(), 2)]).await;
    assert_eq!(told().await, (0, 3, 2));
}
