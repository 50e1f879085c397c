//! The audit sees what is wrong: each invariant is broken by hand, behind the guards of the schema, and must be found.

use std::collections::BTreeSet;

use turnpike_shop::address_list::AddressList;
use turnpike_shop::audit::audit;
use turnpike_shop::catalogue::Discount;
use turnpike_shop::limits::{GIGABYTE, Limits};
use turnpike_shop::rotation::{LinkName, NewLink, create_link, renew_link, revoke_link};
use turnpike_shop::types::{ConnectionType, LinkKind, Span, SubscriptionId};
use turnpike_shop::{PurchaseOrder, TrialOrder, purchase, refund, rotation, set_allowed_addresses, traffic, trial};

use crate::site::Site;
use crate::world::{GATEWAY, MONTH, NOW, World, coupon, key, quantity};

/// `name: what is to be found by what is done`. Other findings may come with it.
macro_rules! breakages {
    ($($name:ident: $found:literal by $sql:expr;)+) => {
        $(async fn $name(site: &Site) { breaks(site, $found, $sql).await; })+
        on_both_engines! { $($name),+ }
    };
}

breakages! {
    a_posting_without_its_counterpart: "I1" by "DELETE FROM posting WHERE line = 2 AND amount_cents > 0";
    a_transaction_of_one_posting_of_nothing: "I1" by
        "DELETE FROM posting WHERE line = 2 AND amount_cents = 0";
    a_posting_of_one_cent_more: "I1" by
        "UPDATE posting SET amount_cents = amount_cents + 1 WHERE line = 2 AND transaction_id = (SELECT MIN(id) FROM ledger_transaction)";
    a_balance_that_nobody_paid: "I2" by "UPDATE ledger_account SET balance = balance + 1 WHERE kind = 'customer'";
    a_balance_below_zero: "I3" by "UPDATE ledger_account SET balance = -1 WHERE kind = 'customer'";
    a_balance_that_was_below_zero: "I3" by
        "UPDATE posting SET balance_after = -1 WHERE number = 2";
    money_from_nowhere: "I4" by "UPDATE posting SET amount_cents = amount_cents + 1 WHERE number = 1";
    an_account_without_a_place_in_the_ledger: "I4" by "DELETE FROM ledger_account WHERE kind = 'customer'";
    time_that_nobody_paid: "I5" by "UPDATE subscription SET ends_at = ends_at + 1 WHERE state = 'active'";
    an_ended_subscription_of_another_length: "I5" by "UPDATE subscription SET ends_at = ends_at - 1 WHERE state = 'released'";
    a_refund_of_another_amount: "I5" by
        "UPDATE posting SET amount_cents = amount_cents * 2 WHERE transaction_id IN (SELECT id FROM ledger_transaction WHERE kind = 'refund')";
    a_refund_to_somebody_else: "I5" by
        "UPDATE posting SET ledger_account_id = (SELECT id FROM account WHERE email = 'carol@example.com'), number = 1000
             WHERE line = 1 AND transaction_id IN (SELECT id FROM ledger_transaction WHERE kind = 'refund')";
    a_refund_of_no_order: "I5" by "UPDATE ledger_transaction SET order_id = NULL WHERE kind = 'refund'";
    time_taken_back_without_a_refund: "I5" by
        "UPDATE subscription SET ends_at = ends_at - 1, cut_ms = cut_ms + 1 WHERE state = 'active' AND cut_ms = 0";
    time_that_a_refund_took_and_nobody_has_lost: "I5" by "UPDATE subscription SET cut_ms = cut_ms + 1 WHERE cut_ms > 0";
    a_lapse_that_was_none: "I5" by "UPDATE subscription SET lapsed_ms = lapsed_ms + 1";
    an_order_that_was_not_charged: "I5" by
        "DELETE FROM posting WHERE transaction_id IN (SELECT id FROM ledger_transaction WHERE kind = 'renewal');
         DELETE FROM ledger_transaction WHERE kind = 'renewal'";
    an_order_charged_to_somebody_else: "I5" by
        "UPDATE shop_order SET account_id = (SELECT id FROM account WHERE email = 'bob@example.com') WHERE kind = 'renewal'";
    an_order_of_another_price: "I5" by "UPDATE shop_order SET price_cents = price_cents - 1 WHERE kind = 'purchase'";
    an_order_that_gave_too_little: "I5" by
        "DELETE FROM order_line WHERE order_id = (SELECT id FROM shop_order WHERE quantity = 2)
             AND subscription_id = (SELECT MIN(subscription_id) FROM order_line WHERE order_id = (SELECT id FROM shop_order WHERE quantity = 2))";
    traffic_that_no_order_gave: "I5" by "UPDATE subscription SET traffic_bytes = traffic_bytes + 1 WHERE traffic_bytes IS NOT NULL";
    traffic_that_was_bought_and_is_gone: "I5" by "UPDATE subscription SET traffic_bytes = NULL WHERE traffic_bytes IS NOT NULL";
    an_active_subscription_without_a_slot: "I6" by "UPDATE slot SET subscription_id = NULL";
    an_active_subscription_with_another_exits_slot: "I6" by
        "UPDATE subscription SET exit_id = (SELECT MIN(exit_id) FROM slot WHERE subscription_id IS NULL AND connection_type = 'private')
             WHERE id = (SELECT MAX(subscription_id) FROM slot WHERE connection_type = 'private')";
    a_slot_of_somebody_who_is_over: "I6" by
        "UPDATE slot SET subscription_id = (SELECT MIN(id) FROM subscription WHERE state = 'expired')
             WHERE exit_id = (SELECT MIN(exit_id) FROM slot WHERE subscription_id IS NULL)
               AND slot_no = (SELECT MIN(slot_no) FROM slot WHERE subscription_id IS NULL)";
    a_slot_beyond_its_exits_capacity: "I6" by "UPDATE network_exit SET shared_slots = 1 WHERE shared_slots > 1";
    a_subscription_without_its_port: "I7" by "UPDATE port SET subscription_id = NULL";
    a_subscription_with_another_port: "I7" by "UPDATE subscription SET port = port + 100 WHERE state <> 'released'";
    a_port_of_somebody_who_is_over_for_good: "I7" by
        "UPDATE port SET subscription_id = (SELECT MIN(id) FROM subscription WHERE state = 'released') WHERE port = 12200";
    two_of_one_name: "I7" by "UPDATE subscription SET username = 'u_twin'";
    a_coupon_used_once_more: "I8" by "UPDATE coupon SET redeemed = redeemed + 1";
    a_coupon_used_more_often_than_it_may: "I8" by "UPDATE coupon SET max_redemptions = 1";
    a_coupon_used_by_an_account_more_often_than_it_may: "I8" by "UPDATE coupon SET per_account = 1";
    a_coupons_use_by_an_account_miscounted: "I8" by "UPDATE coupon_use SET redeemed = redeemed + 1";
    a_coupons_use_forgotten: "I8" by "DELETE FROM coupon_use";
    a_key_without_an_answer: "I9" by "UPDATE idempotency SET sealed_outcome = NULL";
    two_orders_by_one_key: "I9" by "UPDATE shop_order SET idempotency_key = (SELECT MIN(key) FROM idempotency)";
    a_subscription_that_no_gateway_was_told_of: "I10" by "UPDATE subscription SET told_gateway = NULL WHERE state = 'active'";
    a_revision_that_its_gateway_has_not_reached: "I10" by "UPDATE subscription SET revision = revision + 1000";
    a_gateway_ahead_of_itself: "I10" by "UPDATE gateway_state SET applied_revision = revision + 1";
    a_subscription_on_another_gateway_than_its_exit: "I10" by "UPDATE network_exit SET gateway = 'gw2'";
    a_subscription_that_has_left_the_gateway_that_it_is_on: "I10" by
        "INSERT INTO moved_route (gateway, subscription_id, revision) SELECT gateway, id, 1 FROM subscription WHERE state = 'active'";
    a_total_that_its_hours_do_not_make: "I11" by "UPDATE traffic_total SET bytes_up = bytes_up + 1";
    an_hour_that_is_in_no_total: "I11" by "DELETE FROM traffic_total";
    a_day_that_its_hours_do_not_make: "I11" by "UPDATE traffic_day SET bytes_down = bytes_down + 1";
    a_day_that_is_missing: "I11" by "DELETE FROM traffic_day";
    more_traffic_before_than_ever_moved: "I11" by "UPDATE subscription SET traffic_before = 1000000 WHERE traffic_bytes IS NOT NULL";
    two_rotations_of_one_exit_at_once: "I12" by
        "UPDATE rotation SET state = 'queued';
         INSERT INTO rotation (id, exit_id, gateway, reason, state, requested_at, deadline)
             SELECT 'another', exit_id, gateway, 'operator', 'running', requested_at, deadline FROM rotation";
    a_rotation_that_nobody_ended: "I12" by
        "UPDATE rotation SET state = 'running', deadline = 1; UPDATE gateway_state SET seen_at = 1000000";
    two_trials_in_one_network: "I13" by
        "UPDATE shop_order SET kind = 'trial' WHERE account_id = (SELECT account_id FROM shop_order WHERE kind = 'trial')";
    a_posting_without_its_transaction: "I14" by "DELETE FROM ledger_transaction WHERE kind = 'credit'";
    a_credit_taken_back_without_a_trace: "I14" by
        "UPDATE ledger_account SET balance = 0 WHERE id IN (SELECT id FROM account WHERE email = 'carol@example.com');
         DELETE FROM ledger_transaction WHERE id IN (SELECT transaction_id FROM posting
             WHERE ledger_account_id IN (SELECT id FROM account WHERE email = 'carol@example.com'));
         DELETE FROM posting WHERE transaction_id NOT IN (SELECT id FROM ledger_transaction)";
    a_balance_that_does_not_follow: "I14" by "UPDATE posting SET balance_after = balance_after + 1 WHERE number = 2";
    a_line_without_its_order: "I14" by "DELETE FROM shop_order WHERE kind = 'trial'";
    a_charge_without_an_order: "I14" by "UPDATE ledger_transaction SET order_id = NULL WHERE kind = 'trial'";
    a_link_of_a_subscription_that_is_not_there: "I16" by "UPDATE rotate_link SET subscription_id = 'nobody' WHERE kind = 'status'";
    a_revoked_link_that_still_has_a_token: "I16" by "UPDATE rotate_link SET revoked_at = 1 WHERE kind = 'status'";
    a_link_that_works_without_a_token: "I16" by "UPDATE rotate_link SET revoked_at = NULL";
    more_links_than_a_subscription_may_have: "I16" by
        "WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 20)
         INSERT INTO rotate_link (id, subscription_id, name, kind, allowed_addresses, version, created_at, revoked_at)
             SELECT 'link' || CAST(n AS TEXT), subscription_id, 'link', 'rotate', '', 1, 1, 1 FROM rotate_link, many
             WHERE revoked_at IS NOT NULL";
    two_links_of_one_name: "I16" by "UPDATE rotate_link SET name = 'van' WHERE revoked_at IS NULL";
    a_link_that_is_called_as_the_own_one_is: "I16" by "UPDATE rotate_link SET name = 'main' WHERE kind = 'status'";
    a_link_with_a_token_that_is_not_its_own: "I16" by "UPDATE rotate_link SET version = version + 1 WHERE kind = 'status'";
    an_own_link_with_a_token_that_is_not_its_own: "I16" by "UPDATE subscription SET rotate_version = rotate_version + 1";
    a_list_that_names_no_address: "I16" by "UPDATE rotate_link SET allowed_addresses = 'everywhere' WHERE kind = 'status'";
    a_list_that_names_a_whole_continent: "I16" by "UPDATE subscription SET allowed_addresses = '0.0.0.0/0' WHERE state = 'active'";
    a_list_in_another_order_than_it_is_written: "I16" by
        "UPDATE subscription SET allowed_addresses = '192.0.2.7/32,192.0.2.0/28' WHERE state = 'active'";
}

/// Ann, Bob and Carol, and at least one of all that the invariants speak of.
async fn busy(site: &Site) -> World<'_> {
    let world = World::on(site)
        .network("NL-AMS")
        .exits(6)
        .shared(4)
        .trial(Span::hours(1))
        .limits(Limits {
            traffic_bytes: Some(GIGABYTE),
            ..Limits::default()
        })
        .gateway("gw2", 13_001..=13_010)
        .coupon(coupon("TENTH", Discount::Percent(10)))
        .open()
        .await;
    let bob = world.person("bob@example.com", 50_000).await;
    world.person("carol@example.com", 1_000).await;
    let released = world.order("NL-AMS").await;
    world.buy(released).await.unwrap();
    world.advance(MONTH);
    world.upkeep().await;
    world.advance(Span::hours(72));
    world.upkeep().await;
    let tried = TrialOrder {
        plan: world.plan("NL-AMS").await,
        idempotency: None,
        source: None,
    };
    trial(&world.shop, &bob, tried).await.unwrap();
    world.advance(Span::hours(1));
    world.upkeep().await;
    let discounted = PurchaseOrder {
        coupon: Some("TENTH".to_owned()),
        quantity: quantity(2),
        ..world.order_of("NL-AMS", ConnectionType::Shared).await
    };
    purchase(&world.shop, &bob, discounted).await.unwrap();
    let keyed = PurchaseOrder {
        coupon: Some("TENTH".to_owned()),
        idempotency: key("k", 1),
        ..world.order("NL-AMS").await
    };
    purchase(&world.shop, &bob, keyed).await.unwrap();
    let order = world.order("NL-AMS").await;
    let returned = world.buy(order).await.unwrap().order;
    refund(&world.shop, "test", &returned, "a change of mind")
        .await
        .unwrap();
    let one = world.bought("NL-AMS").await;
    let renewal = world.renewal(&one).await;
    world.renew(renewal).await.unwrap();
    link_up(&world, &one.id).await;
    rotation::request(&world.shop, &one.rotate_token, [203, 0, 113, 7].into())
        .await
        .unwrap();
    let moved = traffic::Row {
        subscription: one.id,
        hour: NOW,
        up: 1,
        down: 2,
    };
    traffic::record(&world.shop, GATEWAY, "run", 1, &[moved]).await.unwrap();
    world
}

/// A link to rotate and one to look, both with a list, and one that was revoked.
async fn link_up(world: &World<'_>, subscription: &SubscriptionId) {
    let list = || AddressList::parse(&["192.0.2.7", "2001:db8::/48"]).unwrap();
    let mut made = Vec::new();
    for (name, kind) in [
        ("van", LinkKind::Rotate),
        ("screen", LinkKind::Status),
        ("lost", LinkKind::Rotate),
    ] {
        let new = NewLink {
            name: LinkName::try_from(name.to_owned()).unwrap(),
            kind,
            allowed: list(),
        };
        made.push(create_link(&world.shop, &world.ann, subscription, new).await.unwrap());
    }
    renew_link(&world.shop, &world.ann, subscription, &made[0].id)
        .await
        .unwrap();
    revoke_link(&world.shop, &world.ann, subscription, &made[2].id)
        .await
        .unwrap();
    set_allowed_addresses(&world.shop, &world.ann, subscription, list())
        .await
        .unwrap();
}

async fn breaks(site: &Site, found: &str, sql: &str) {
    let world = busy(site).await;
    assert_eq!(findings(&world).await, BTreeSet::new());
    world.raw.lift_all_guards().await;
    let before = world.everything().await;
    world.raw.run(sql).await;
    assert_ne!(world.everything().await, before, "nothing was broken");
    site.broken();
    let findings = findings(&world).await;
    assert!(findings.contains(found), "{findings:?}");
}

async fn findings(world: &World<'_>) -> BTreeSet<&'static str> {
    let findings = audit(&world.shop).await.unwrap();
    findings
        .into_iter()
        .filter(|finding| !finding.broken.is_empty())
        .map(|finding| finding.invariant)
        .collect()
}

on_both_engines! { every_invariant_that_is_about_rows_is_audited }

async fn every_invariant_that_is_about_rows_is_audited(site: &Site) {
    let world = World::on(site).open().await;
    let audited: BTreeSet<_> = audit(&world.shop)
        .await
        .unwrap()
        .iter()
        .map(|finding| finding.invariant)
        .collect();
    // I15 is about moments.
    let expected = [
        "I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13", "I14", "I16",
    ];
    assert_eq!(audited, expected.into());
}
