//! Peers that begin and do not go on, or go on by a byte now and then.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use testbed::client::Tunnel;
use testbed::origin::Origin;
use testbed::turnpike::Turnpike;

use crate::is_closed;

/// The server gives a head and a handshake 10 s; the rest is for a busy machine.
const BOUND: Duration = Duration::from_secs(25);

/// Of each kind.
const PEERS: usize = 20;

/// So many of one source that have not even begun a known protocol are read without an answer, for a minute.
const SILENT: usize = 32;

#[test]
fn half_a_handshake_and_a_slow_head_end_in_time_while_others_are_served() {
    let shop = Turnpike::with()
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", 2)
        .start();
    let (echo, bought) = (Origin::echo(), shop.buy_shared("NL-AMS"));
    let known: [(SocketAddr, &[u8]); 4] = [
        (bought.port, b"CONNECT example.com:443 HTTP/1.1\r\nHost: "),
        (bought.port, b"GET http://example.com/ HTTP/1.1\r\nA"),
        (bought.port, b"\x05\x01\x02\x01\xffu"),
        (shop.api(), b"GET /healthz HTTP/1.1\r\nA"),
    ];
    let unknown: [(SocketAddr, &[u8]); 2] = [
        (bought.port, b"\x05\xff"),
        (bought.port, b"\x04\x01\x00\x50\x00\x00\x00\x01"),
    ];
    let begun = Instant::now();
    let (mut known, mut unknown) = (begin(&known), begin(&unknown));
    while !known.is_empty() || unknown.len() > SILENT {
        let open = (known.len(), unknown.len());
        assert!(begun.elapsed() < BOUND, "{open:?} peers are still waited for");
        // Half of them go on by a byte a second, which must not win them time.
        for peer in known.iter_mut().chain(&mut unknown).step_by(2) {
            let _ = peer.write_all(b"a");
        }
        Tunnel::by_connect(&bought, echo.address()).unwrap().echoes(b"served");
        assert_eq!(shop.get("/healthz").status, 200);
        std::thread::sleep(Duration::from_secs(1));
        known.retain(|peer| !is_closed(peer));
        unknown.retain(|peer| !is_closed(peer));
    }
}

fn begin(beginnings: &[(SocketAddr, &[u8])]) -> Vec<TcpStream> {
    let each = beginnings.iter().flat_map(|beginning| [beginning; PEERS]);
    each.map(|(to, beginning)| {
        let mut peer = TcpStream::connect(to).unwrap();
        peer.write_all(beginning).unwrap();
        peer
    })
    .collect()
}
