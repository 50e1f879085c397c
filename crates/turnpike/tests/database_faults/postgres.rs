//! PostgreSQL stops, crashes, hangs and returns. Each test has a cluster of its own, since it does all that to it.

use std::time::Duration;

use testbed::client::Tunnel;
use testbed::eventually;
use testbed::origin::{Origin, pattern};
use testbed::postgres::Cluster;
use testbed::relay::Relay;
use testbed::tunnel::echoes;
use testbed::turnpike::Turnpike;

use crate::load::World;
use crate::recorded;

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn a_database_that_stops_and_returns_under_load_costs_no_tunnel_and_no_order() {
    let mut cluster = Cluster::start();
    let mut world = on(&cluster.database());
    for stop in [Cluster::stop_immediately, Cluster::stop] {
        world.amid_orders(|world| {
            stop(&mut cluster);
            world.assert_unavailable();
            world.assert_ports_work();
            cluster.resume_service();
            world.assert_back();
            world.assert_ports_work();
        });
        world.assert_books();
        assert_nothing_is_left_open(&cluster);
    }
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn backends_that_are_killed_under_load_cost_no_order() {
    let cluster = Cluster::start();
    let mut world = on(&cluster.database());
    world.amid_orders(|world| {
        for _ in 0..3 {
            // All connections end, since the server starts anew after such a death.
            cluster.kill_backends();
            eventually("the database is back", || cluster.is_ready());
            world.assert_back();
            world.assert_ports_work();
        }
    });
    world.assert_books();
    assert_nothing_is_left_open(&cluster);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn connections_that_are_ended_one_by_one_cost_no_order() {
    let cluster = Cluster::start();
    let mut world = on(&cluster.database());
    world.amid_orders(|world| {
        for _ in 0..50 {
            cluster.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'turnpike' LIMIT 2",
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        world.assert_back();
    });
    world.assert_books();
    assert_nothing_is_left_open(&cluster);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn a_database_that_hangs_holds_nobody_up_for_long_and_leaves_no_transaction_open() {
    let cluster = Cluster::start();
    let mut world = on(&cluster.database());
    world.amid_orders(|world| {
        cluster.freeze();
        world.assert_unavailable();
        world.assert_ports_work();
        cluster.thaw();
        world.assert_back();
    });
    world.assert_books();
    assert_nothing_is_left_open(&cluster);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn connections_that_go_silent_are_given_up_and_cost_no_order() {
    let cluster = Cluster::start();
    let relay = Relay::to(cluster.address());
    let url = cluster.database();
    let (_, name) = url.rsplit_once('/').unwrap();
    let mut world = on(&format!("postgres://postgres@{}/{name}", relay.address()));
    world.amid_orders(|world| {
        for _ in 0..2 {
            world.wait_for_orders(20);
            relay.forget_connections();
        }
        // The server holds the locks of what it was amid until it has given it up, too.
        world.wait_for_orders(20);
        world.assert_back();
        world.assert_ports_work();
    });
    // The same while nothing is being asked: all connections rest in the pool.
    relay.forget_connections();
    world.assert_back();
    world.assert_books();
    assert_nothing_is_left_open(&cluster);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn traffic_without_a_database_is_counted_when_it_is_back() {
    const PIECE: usize = 300_000;
    let mut cluster = Cluster::start();
    let mut shop = Turnpike::with()
        .database(&cluster.database())
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", 15)
        .start();
    let (echo, bought) = (Origin::echo(), shop.buy_shared("NL-AMS"));
    let tunnel = Tunnel::by_connect(&bought, echo.address()).unwrap();
    let mut expected = 0;
    let mut move_a_piece = || {
        echoes(&tunnel.0, &pattern(PIECE)).unwrap();
        expected += i64::try_from(PIECE).unwrap();
        (expected, expected)
    };
    for stop in [Cluster::stop, Cluster::stop_immediately] {
        move_a_piece();
        stop(&mut cluster);
        move_a_piece();
        // Long enough for it to be tried in vain.
        eventually("recording has failed", || {
            shop.log().contains("traffic could not be recorded")
        });
        move_a_piece();
        cluster.resume_service();
        let moved = move_a_piece();
        eventually("all of it is recorded", || recorded::traffic(&shop, &bought) == moved);
    }

    // What cannot be recorded must not keep the process from ending.
    cluster.stop();
    shop.stop();
    cluster.resume_service();
    shop.serve();
    assert_eq!(recorded::traffic(&shop, &bought), (expected, expected));
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn without_its_database_it_does_not_start_and_says_why() {
    let mut cluster = Cluster::start();
    let url = cluster.database();
    let mut shop = Turnpike::with()
        .database(&url)
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", 15)
        .prepare();
    cluster.stop();
    let refused = shop.try_run(&["serve"]);
    assert_eq!(refused.status.code(), Some(1));
    let server = url.split(['@', '/']).nth(3).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr),
        format!(
            "turnpike: the database at {server} cannot be reached: Connection refused (os error 111); \
             start it, or mend database.url\n"
        )
    );
    cluster.resume_service();
    shop.serve();
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn the_proof_of_large_books_may_take_longer_than_a_request() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let shop = Turnpike::with()
        .database(&url)
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", 15)
        .prepare();
    let query = |sql: &str| cluster.query_in(&url, sql);
    // As slow to read as if it were very large.
    query("ALTER TABLE coupon_use RENAME TO kept");
    query(
        "CREATE VIEW coupon_use AS SELECT kept.* FROM pg_sleep(5.5) LEFT JOIN kept ON true WHERE coupon_id IS NOT NULL",
    );
    shop.audit();
    query("DROP VIEW coupon_use");
    query("ALTER TABLE kept RENAME TO coupon_use");
}

fn on(url: &str) -> World {
    World::of(Turnpike::with().database(url))
}

/// Once everything that was begun has ended, no connection is inside a transaction.
#[track_caller]
fn assert_nothing_is_left_open(cluster: &Cluster) {
    eventually("all transactions have ended", || {
        cluster.query("SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'turnpike' AND state <> 'idle'")
            == "0"
    });
}
