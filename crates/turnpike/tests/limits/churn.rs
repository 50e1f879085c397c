//! Thousands of connections that come and go, in every way of ending.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};

use testbed::client::Tunnel;
use testbed::origin::{Origin, pattern};
use testbed::turnpike::{Subscription, Turnpike};
use testbed::{eventually, race};

use crate::open_files;

const CLIENTS: usize = 8;
const EACH: usize = 400;

#[test]
fn thousands_of_tunnels_leave_no_descriptor_behind() {
    let shop = Turnpike::with()
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", 2)
        .start();
    let (echo, bought) = (Origin::echo(), shop.buy_shared("NL-AMS"));
    // The first ones fill pools that stay.
    churn(&bought, &echo);
    eventually("the first ones have ended", || tunnels_open(&shop) == 0);
    let before = open_files(&shop);
    churn(&bought, &echo);
    eventually("all descriptors are back", || {
        tunnels_open(&shop) == 0 && open_files(&shop) <= before
    });
}

fn churn(bought: &Subscription, echo: &Origin) {
    let bytes = pattern(1_024);
    race::at_once(CLIENTS, |_| {
        for number in 0..EACH {
            match number % 4 {
                // Finished by both sides.
                0 => {
                    let mut tunnel = Tunnel::by_connect(bought, echo.address()).unwrap();
                    tunnel.echoes(&bytes);
                    tunnel.0.shutdown(Shutdown::Write).unwrap();
                    assert!(tunnel.closes_within(std::time::Duration::from_secs(30)).is_some());
                }
                // Closed by the client without a goodbye.
                1 => Tunnel::by_socks5(bought, echo.address()).unwrap().echoes(&bytes),
                // Left with bytes on the way in both directions, which resets it.
                2 => {
                    let mut tunnel = Tunnel::by_connect(bought, echo.address()).unwrap();
                    tunnel.0.write_all(&bytes).unwrap();
                }
                // Left in the middle of the handshake.
                _ => {
                    let mut connection = TcpStream::connect(bought.port).unwrap();
                    connection.write_all(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n").unwrap();
                }
            }
        }
    });
}

/// What the metrics say.
fn tunnels_open(shop: &Turnpike) -> u64 {
    let metrics = testbed::http::request(shop.metrics(), "GET", "/metrics", &[], b"").expect_status(200);
    let line = metrics
        .body
        .lines()
        .find_map(|line| line.strip_prefix("turnpike_tunnels_open "));
    line.expect("the number of tunnels").parse().expect("a number")
}
