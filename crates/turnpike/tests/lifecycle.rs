//! Starting, stopping and crashing: what a restart must bring back, and what a stop must let finish.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

mod recorded;

use std::io::Read as _;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use testbed::client::Tunnel;
use testbed::http;
use testbed::origin::{Origin, pattern};
use testbed::turnpike::{Builder, Turnpike};
use testbed::{eventually, on_both_engines};

on_both_engines!(
    a_stop_is_heard_as_soon_as_the_first_port_answers,
    a_stop_takes_no_new_work_and_waits_for_open_tunnels,
    a_stop_cuts_tunnels_when_their_drain_time_is_over,
    a_stop_lets_an_open_request_finish,
    a_restart_brings_everything_back_however_it_ended,
    traffic_is_counted_once_over_stops_and_crashes,
);

fn a_stop_is_heard_as_soon_as_the_first_port_answers(with: Builder) {
    // An empty shop has the most to do between its first answer and its rest: it invites its first operator.
    let mut shop = with.prepare();
    for _ in 0..10 {
        shop.launch();
        eventually("its API takes connections", || TcpStream::connect(shop.api()).is_ok());
        shop.stop();
    }
}

fn a_stop_takes_no_new_work_and_waits_for_open_tunnels(with: Builder) {
    let echo = Origin::echo();
    let mut shop = with
        .set("gateway.drain_timeout", "\"10m\"")
        .network("NL-AMS")
        .pools(1)
        .start();
    let bought = shop.buy("NL-AMS");
    let mut tunnel = Tunnel::by_connect(&bought, echo.address()).unwrap();

    shop.signal(Signal::TERM);

    eventually("nobody listens any more", || {
        [bought.port, shop.api()]
            .iter()
            .all(|closed| TcpStream::connect(closed).is_err())
    });
    tunnel.echoes(&pattern(100_000));
    tunnel.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(tunnel.0.read(&mut [0]).unwrap(), 0);
    drop(tunnel);
    // Not after ten minutes.
    assert!(shop.wait().success());
}

fn a_stop_cuts_tunnels_when_their_drain_time_is_over(with: Builder) {
    let echo = Origin::echo();
    let mut shop = with
        .set("gateway.drain_timeout", "\"1s\"")
        .network("NL-AMS")
        .pools(1)
        .start();
    let bought = shop.buy("NL-AMS");
    let mut tunnel = Tunnel::by_socks5(&bought, echo.address()).unwrap();
    tunnel.echoes(b"hello");

    shop.signal(Signal::INT);

    assert!(tunnel.closes_within(Duration::from_secs(20)).is_some());
    assert!(shop.wait().success());
}

fn a_stop_lets_an_open_request_finish(with: Builder) {
    let started = tempfile::tempdir().unwrap();
    let mark = started.path().join("mark");
    let command = format!("touch {}; sleep 1", mark.display());
    let mut shop = with
        .set("gateway.drain_timeout", "\"20s\"")
        .network("NL-AMS")
        .exit(
            "modem",
            &format!("addresses = [\"127.0.0.11\"]\nrotate = {{ command = [\"/bin/sh\", \"-c\", \"{command}\"] }}"),
        )
        .start();
    let (api, link) = (shop.api(), shop.buy("NL-AMS").rotate_path);

    let asked = thread::spawn(move || http::request(api, "GET", &link, &[], b""));
    eventually("the rotation has begun", || mark.exists());
    shop.signal(Signal::TERM);

    let told = asked.join().unwrap().expect_status(200).json();
    assert_eq!(told["ip"], "127.0.0.11");
    assert!(shop.wait().success());
}

fn a_restart_brings_everything_back_however_it_ended(with: Builder) {
    let (origin, echo) = (Origin::http(), Origin::echo());
    let mut shop = with.network("NL-AMS").pools(3).start();
    let _ = [shop.buy("NL-AMS"), shop.buy("NL-AMS"), shop.buy("NL-AMS")];
    let _ = http::request(shop.api(), "GET", &shop.subscriptions()[0].rotate_path, &[], b"").expect_status(200);
    let before = shop.subscriptions();
    let addresses: Vec<_> = before.iter().map(|bought| bought.address_at(&origin)).collect();

    for end in [Turnpike::kill, Turnpike::stop, Turnpike::kill] {
        end(&mut shop);
        shop.serve();
        let after = shop.subscriptions();
        assert_eq!(after, before);
        // Ready means that every port is open: no second try.
        for (bought, address) in after.iter().zip(&addresses) {
            Tunnel::by_socks5(bought, echo.address()).unwrap().echoes(b"back again");
            assert_eq!(bought.address_at(&origin), *address);
        }
    }
    let renew = json!({"op": "renew", "subscriptionId": before[0].id, "planId": shop.plan("NL-AMS", "private")});
    let _ = shop.order(&renew).expect_status(200);
}

fn traffic_is_counted_once_over_stops_and_crashes(with: Builder) {
    const BYTES: usize = 1_000_000;
    let echo = Origin::echo();
    let mut shop = with.network("NL-AMS").pools(2).start();
    let [bought, idle] = [shop.buy("NL-AMS"), shop.buy("NL-AMS")];
    let (mut expected, bytes) = (0, pattern(BYTES));
    for end in [Turnpike::stop, Turnpike::kill, Turnpike::stop] {
        // Through a thread of its own: the echo comes back while the rest still goes out.
        let tunnel = Tunnel::by_connect(&bought, echo.address()).unwrap();
        move_through(tunnel, &bytes);
        expected += i64::try_from(BYTES).unwrap();
        eventually("the traffic is recorded", || {
            recorded::traffic(&shop, &bought) == (expected, expected)
        });
        end(&mut shop);
        assert_eq!(recorded::traffic(&shop, &bought), (expected, expected));
        shop.serve();
    }
    // What moved in the very last moment before a stop is recorded too.
    let tunnel = Tunnel::by_socks5(&bought, echo.address()).unwrap();
    move_through(tunnel, &bytes);
    expected += i64::try_from(BYTES).unwrap();
    shop.stop();
    assert_eq!(recorded::traffic(&shop, &bought), (expected, expected));
    assert_eq!(recorded::traffic(&shop, &idle), (0, 0));
}

/// Sends the bytes through a tunnel to an origin that echoes, and closes it when all have come back.
fn move_through(mut tunnel: Tunnel, bytes: &[u8]) {
    let mut writer = tunnel.0.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            std::io::Write::write_all(&mut writer, bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        tunnel.0.read_to_end(&mut back).unwrap();
        assert!(
            back == bytes,
            "{} bytes came back, not all of them the same",
            back.len()
        );
    });
}
