//! Refunds: once for each order, and what the order gave is taken back.

use turnpike_shop::orders::{self, Place, Whole};
use turnpike_shop::types::{Cents, OrderId, OrderKind, Span, SubscriptionState};
use turnpike_shop::{Refunded, Refusal, Result, audit_log, catalogue, ledger, refund};

use crate::site::Site;
use crate::world::{ANN, MONTH, PRICE, World, coupon, quantity, refusal};

on_both_engines! {
    a_refund_gives_back_the_price_and_ends_what_was_bought,
    a_refund_of_a_renewal_takes_back_its_time_only,
    time_that_is_over_is_not_taken_back,
    an_order_is_refunded_once_however_often_it_is_asked_for_at_once,
    refunds_and_renewals_at_once_leave_the_books_in_order,
    what_cannot_be_refunded,
    what_was_refunded_can_be_renewed_while_its_port_is_kept,
    orders_are_read_page_by_page_with_all_that_they_moved,
}

const ROOT: &str = "root@example.com";

async fn give_back(world: &World<'_>, order: &OrderId) -> Result<Refunded> {
    refund(&world.shop, ROOT, order, "a change of mind").await
}

async fn whole(world: &World<'_>, order: &OrderId) -> Whole {
    orders::whole(&world.shop, order).await.unwrap()
}

async fn a_refund_gives_back_the_price_and_ends_what_was_bought(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(2)
        .coupon(coupon("TEN", catalogue::Discount::Percent(10)))
        .open()
        .await;
    let mut order = world.order("NL-AMS").await;
    (order.quantity, order.coupon) = (quantity(2), Some("TEN".to_owned()));
    let bought = world.buy(order).await.unwrap();
    world.advance(Span::days(10));
    let before = world.revision().await;
    let refunded = give_back(&world, &bought.order).await.unwrap();
    assert_eq!(
        (refunded.amount, refunded.balance),
        (Cents(PRICE * 2 * 9 / 10), Cents(100_000))
    );
    assert_eq!((world.balance().await, world.slots_taken().await), (100_000, 0));
    assert_eq!(refunded.shortened.len(), 2);
    for one in &refunded.shortened {
        assert_eq!((one.ends_at, one.revision), (world.now(), before + 1));
    }
    for one in world.list().await {
        assert_eq!((one.state, one.ends_at), (SubscriptionState::Expired, world.now()));
    }
    let line = ledger::statement(&world.shop, ANN, 1).await.unwrap().remove(0);
    assert_eq!((line.kind.as_str(), line.note.as_str()), ("refund", "a change of mind"));
    let newest = audit_log::newest(&world.shop, 1).await.unwrap().remove(0);
    assert_eq!((newest.actor.as_str(), newest.action.as_str()), (ROOT, "order.refund"));
    // Its exits are for sale again.
    world.bought("NL-AMS").await;
    world.bought("NL-AMS").await;
}

async fn a_refund_of_a_renewal_takes_back_its_time_only(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let one = world.bought("NL-AMS").await;
    let renewal = world.renewal(&one).await;
    let renewed = world.renew(renewal).await.unwrap();
    world.advance(Span::days(10));
    give_back(&world, &renewed.order).await.unwrap();
    let now = world.see(&one).await;
    assert_eq!((now.state, now.ends_at), (SubscriptionState::Active, one.ends_at));
    assert_eq!((world.balance().await, world.slots_taken().await), (100_000 - PRICE, 1));
    assert!(world.revision().await > one.revision);
}

async fn time_that_is_over_is_not_taken_back(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let order = world.order("NL-AMS").await;
    let bought = world.buy(order).await.unwrap();
    let one = &bought.subscriptions[0];
    let renewal = world.renewal(one).await;
    world.renew(renewal).await.unwrap();
    // 20 of 60 days are left when the first 30 are refunded.
    world.advance(Span::days(40));
    give_back(&world, &bought.order).await.unwrap();
    let now = world.see(one).await;
    assert_eq!((now.state, now.ends_at), (SubscriptionState::Expired, world.now()));
    assert_eq!(world.raw.int("SELECT cut_ms FROM subscription").await, Span::days(20).0);
    // What is over loses nothing by a refund.
    let other = world.order("NL-AMS").await;
    let other = world.buy(other).await.unwrap();
    world.advance(MONTH);
    world.upkeep().await;
    world.advance(Span::hours(72));
    world.upkeep().await;
    let refunded = give_back(&world, &other.order).await.unwrap();
    assert_eq!((refunded.amount, refunded.shortened.len()), (Cents(PRICE), 0));
}

async fn an_order_is_refunded_once_however_often_it_is_asked_for_at_once(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(8).open().await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        let order = world.order("NL-AMS").await;
        orders.push(world.buy(order).await.unwrap().order);
    }
    let asked: Vec<_> = (0..64)
        .map(|number| {
            let (shop, order) = (world.shop.clone(), orders[number % orders.len()].clone());
            tokio::spawn(async move {
                loop {
                    // On a busy machine one may wait too long for the others, and comes again.
                    match refund(&shop, ROOT, &order, "a change of mind").await {
                        Err(turnpike_shop::Error::Unavailable(_)) => {}
                        settled => return settled,
                    }
                }
            })
        })
        .collect();
    let mut refunded = 0;
    for one in asked {
        match one.await.unwrap() {
            Ok(_) => refunded += 1,
            refused => assert_eq!(refusal(refused), Refusal::RefundedAlready),
        }
    }
    assert_eq!(
        (refunded, world.balance().await, world.slots_taken().await),
        (4, 100_000, 0)
    );
    for order in &orders {
        assert_eq!(world.refuses(give_back(&world, order)).await, Refusal::RefundedAlready);
    }
}

async fn refunds_and_renewals_at_once_leave_the_books_in_order(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let order = world.order("NL-AMS").await;
    let bought = world.buy(order).await.unwrap();
    let renewal = world.renewal(&bought.subscriptions[0]).await;
    let renewing: Vec<_> = (0..8)
        .map(|_| {
            let (shop, ann, renewal) = (world.shop.clone(), world.ann.clone(), renewal.clone());
            tokio::spawn(async move { turnpike_shop::renew(&shop, &ann, renewal).await })
        })
        .collect();
    let (shop, order) = (world.shop.clone(), bought.order.clone());
    let refunding = tokio::spawn(async move { refund(&shop, ROOT, &order, "a change of mind").await });
    let mut paid = 0;
    for one in renewing {
        paid += i64::from(one.await.unwrap().is_ok());
    }
    refunding.await.unwrap().unwrap();
    assert_eq!(world.balance().await, 100_000 - paid * PRICE);
}

async fn what_cannot_be_refunded(site: &Site) {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(2)
        .trial(Span::hours(1))
        .open()
        .await;
    let free = world.try_out("NL-AMS").await.unwrap();
    assert_eq!(
        world.refuses(give_back(&world, &free.order)).await,
        Refusal::NothingToRefund
    );
    let unknown = OrderId::random();
    assert_eq!(world.refuses(give_back(&world, &unknown)).await, Refusal::UnknownOrder);
    let order = world.order("NL-AMS").await;
    let bought = world.buy(order).await.unwrap();
    for unfit in ["", " ", "a\tb"] {
        let refused = refund(&world.shop, ROOT, &bought.order, unfit);
        assert_eq!(world.refuses(refused).await, Refusal::UnfitReason);
    }
    let missing = orders::whole(&world.shop, &unknown).await;
    assert_eq!(
        missing.err().map(|error| error.to_string()),
        Some(Refusal::UnknownOrder.to_string())
    );
}

async fn what_was_refunded_can_be_renewed_while_its_port_is_kept(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(1).open().await;
    let order = world.order("NL-AMS").await;
    let bought = world.buy(order).await.unwrap();
    give_back(&world, &bought.order).await.unwrap();
    world.advance(Span::hours(1));
    let renewal = world.renewal(&bought.subscriptions[0]).await;
    let renewed = world.renew(renewal).await.unwrap();
    assert_eq!(renewed.ends_at, world.now().plus(MONTH));
    let now = world.see(&bought.subscriptions[0]).await;
    assert_eq!(
        (now.state, now.port),
        (SubscriptionState::Active, bought.subscriptions[0].port)
    );
}

async fn orders_are_read_page_by_page_with_all_that_they_moved(site: &Site) {
    let world = World::on(site).network("NL-AMS").exits(5).open().await;
    let bob = world.person("bob@example.com", 5_000).await;
    let mut made = Vec::new();
    for number in 0..4 {
        world.advance(Span(number % 2));
        let order = world.order("NL-AMS").await;
        made.push(world.buy(order).await.unwrap().order);
    }
    world.advance(Span(1));
    let order = world.order("NL-AMS").await;
    let bobs = turnpike_shop::purchase(&world.shop, &bob, order).await.unwrap().order;
    give_back(&world, &bobs).await.unwrap();
    let (all, _) = orders::orders(&world.shop, None, None, 100).await.unwrap();
    assert_eq!(
        (all.len(), &all[0].id, all[0].email.as_str()),
        (5, &bobs, "bob@example.com")
    );
    assert_eq!(all[0].refunded_at, Some(world.now()));
    let (own, _) = orders::orders(&world.shop, Some(&bob), None, 100).await.unwrap();
    assert_eq!(own.iter().map(|one| &one.id).collect::<Vec<_>>(), [&bobs]);
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let (found, has_more) = orders::orders(&world.shop, Some(&world.ann), after, 3).await.unwrap();
        after = found.last().map(|last| Place {
            created_at: last.created_at,
            id: last.id.clone(),
        });
        paged.extend(found.into_iter().map(|one| one.id));
        if !has_more {
            break;
        }
    }
    assert_eq!(paged, all[1..].iter().map(|one| one.id.clone()).collect::<Vec<_>>());
    made.sort();
    paged.sort();
    assert_eq!(paged, made);
    let seen = whole(&world, &bobs).await;
    assert_eq!(
        (seen.order.kind, seen.order.price, seen.lines.len()),
        (OrderKind::Purchase, Cents(PRICE), 1)
    );
    assert_eq!((seen.lines[0].duration, seen.lines[0].ends_at), (MONTH, world.now()));
    let moved: Vec<_> = seen
        .bookings
        .iter()
        .map(|one| (one.kind.as_str(), one.account.as_str(), one.amount.0))
        .collect();
    // Both are of one moment; which comes first is the ids' affair.
    for expected in [
        ("purchase", "bob@example.com", -PRICE),
        ("purchase", "revenue", PRICE),
        ("refund", "bob@example.com", PRICE),
        ("refund", "revenue", -PRICE),
    ] {
        assert!(moved.contains(&expected), "{moved:?}");
    }
    assert_eq!(moved.len(), 4);
}
