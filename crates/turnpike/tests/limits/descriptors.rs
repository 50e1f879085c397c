//! The process has no descriptor left.

use std::net::TcpStream;
use std::time::Duration;

use testbed::client::Tunnel;
use testbed::origin::Origin;
use testbed::turnpike::Turnpike;
use testbed::{eventually, http};

use crate::{is_closed, processor_time};

/// What the server may open. Half of it would be enough for nothing but itself.
const LIMIT: u32 = 256;

/// A process that spins takes all of this; one that waits takes next to nothing.
const WATCHED: Duration = Duration::from_secs(1);

#[test]
fn tunnels_up_to_the_limit_leave_room_for_everything_else() {
    let shop = Turnpike::with()
        .descriptors(LIMIT)
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", 2)
        .start();
    let (echo, bought) = (Origin::echo(), shop.buy_shared("NL-AMS"));
    let mut tunnels: Vec<Tunnel> = Vec::new();
    let refused = (0..LIMIT).find_map(|_| match Tunnel::by_connect(&bought, echo.address()) {
        Ok(tunnel) => {
            tunnels.push(tunnel);
            None
        }
        Err(refused) => Some(refused),
    });
    assert!(refused.is_some(), "{} tunnels were opened", tunnels.len());
    assert!(
        tunnels.len() > 40,
        "only {} tunnels were opened: {refused:?}",
        tunnels.len()
    );

    // Who comes now is turned away, and waiting for room costs nothing.
    let before = processor_time(&shop);
    let waiting: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(bought.port).unwrap()).collect();
    std::thread::sleep(WATCHED);
    let used = processor_time(&shop) - before;
    assert!(used < WATCHED / 2, "{used:?} of processor time in {WATCHED:?}");
    assert!(waiting.iter().all(is_closed));

    // The rest of the process goes on: health, orders, and the tunnels that are open.
    assert_eq!(shop.get("/healthz").status, 200);
    assert!(shop.is_ready());
    let _ = shop.buy_shared("NL-AMS");
    for tunnel in &mut tunnels {
        tunnel.echoes(b"still here");
    }

    tunnels.truncate(10);
    eventually("there is room again", || {
        Tunnel::by_connect(&bought, echo.address()).is_ok()
    });
}

#[test]
fn connections_to_the_api_that_take_all_descriptors_do_not_make_it_spin() {
    let shop = Turnpike::with()
        .descriptors(LIMIT)
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", 2)
        .start();
    let (echo, bought) = (Origin::echo(), shop.buy_shared("NL-AMS"));
    let mut tunnel = Tunnel::by_connect(&bought, echo.address()).unwrap();
    let idle: Vec<TcpStream> = (0..LIMIT + 50)
        .map(|_| TcpStream::connect(shop.api()).expect("a place in the backlog"))
        .collect();

    eventually("no descriptor is left", || {
        shop.log().contains("no connection can be accepted")
    });
    let before = processor_time(&shop);
    std::thread::sleep(WATCHED);
    let used = processor_time(&shop) - before;
    assert!(used < WATCHED / 2, "{used:?} of processor time in {WATCHED:?}");
    tunnel.echoes(b"still here");

    drop(idle);
    eventually("the API answers again", || {
        http::try_request(shop.api(), "GET", "/healthz", &[], b"").is_ok_and(|answer| answer.status == 200)
    });
    Tunnel::by_connect(&bought, echo.address())
        .unwrap()
        .echoes(b"so do ports");
}
