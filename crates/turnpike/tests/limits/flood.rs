//! Connections from everywhere that prove nothing.

use std::net::{Ipv4Addr, TcpStream};

use testbed::client::Tunnel;
use testbed::origin::Origin;
use testbed::turnpike::Turnpike;
use testbed::{eventually, http, race};

use crate::{connect_from, is_closed, many_files};

/// What one source may hold open before it has shown good credentials, and what it tries.
const CAP: usize = 1_024;
const TRIED: usize = CAP + 200;

#[test]
fn a_flood_of_one_port_is_capped_by_source_and_disturbs_nobody_else() {
    many_files();
    let shop = Turnpike::with()
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", 2)
        .start();
    let (echo, flooded, neighbour) = (Origin::echo(), shop.buy_shared("NL-AMS"), shop.buy_shared("NL-AMS"));
    let mut tunnels = [&flooded, &neighbour].map(|bought| Tunnel::by_connect(bought, echo.address()).unwrap());

    let sources = [1, 2, 3].map(|last| Ipv4Addr::new(127, 0, 9, last));
    let flood: Vec<Vec<TcpStream>> = race::at_once(sources.len(), |number| {
        let connect = |_| connect_from(sources[number], flooded.port).expect("a connection");
        (0..TRIED).map(connect).collect()
    });
    for connections in &flood {
        let open = || connections.iter().filter(|connection| !is_closed(connection)).count();
        eventually("what is beyond the cap is closed", || open() <= CAP);
        assert!(open() > CAP / 2, "only {} of {TRIED} were let in", open());
    }

    // Who has been let in before goes on, and who comes from elsewhere or has proven himself is let in.
    for tunnel in &mut tunnels {
        tunnel.echoes(b"undisturbed");
    }
    for bought in [&flooded, &neighbour] {
        for source in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 9, 4)] {
            let connection = connect_from(source, bought.port).unwrap();
            Tunnel::over(connection, bought, echo.address())
                .unwrap()
                .echoes(b"let in");
        }
    }
    assert_eq!(shop.get("/healthz").status, 200);

    drop(flood);
    eventually("its sources are let in again", || {
        connect_from(sources[0], flooded.port)
            .is_ok_and(|connection| Tunnel::over(connection, &flooded, echo.address()).is_ok())
    });
}

#[test]
fn requests_beyond_an_addresss_share_are_counted_and_not_written_down() {
    const REQUESTS: usize = 300;
    let shop = Turnpike::with()
        .set("limits.api_requests_per_second", "1")
        .set("limits.api_burst", "2")
        .network("NL-AMS")
        .pool("nl-1", &["127.0.0.11"])
        .start();
    let refused = (0..REQUESTS)
        .map(|_| shop.get("/api/proxy?op=plans").status)
        .filter(|status| *status == 429)
        .count();
    assert!(refused > REQUESTS / 2, "{refused} of {REQUESTS}");
    let written = shop.log().lines().filter(|line| line.contains("/api/proxy")).count();
    assert!(written <= REQUESTS - refused, "{written} lines, {refused} refused");
    let metrics = http::request(shop.metrics(), "GET", "/metrics", &[], b"").expect_status(200);
    let line = format!("turnpike_http_requests_total{{op=\"/api/proxy\",status=\"429\"}} {refused}");
    assert!(metrics.body.contains(&line), "{line} is not in {}", metrics.body);
}
