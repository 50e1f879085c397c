//! A bad line: what is lost is sent again, and every byte arrives.

use std::thread;

use testbed::origin::pattern;

use crate::client::Entry;
use crate::world::{ORIGIN, World};

const LENGTH: usize = 2_000_000;

#[test]
fn two_megabytes_come_through_whole_where_a_tenth_of_the_packets_is_lost() {
    let Some(world) = World::with_uplinks(1) else { return };
    let shop = world.shop().network("NL-AMS").pool("nl-1", &["45.1.0.11"]).start();
    let origin = world.origin();
    let bought = shop.buy("NL-AMS");
    world.internet.nft(
        "table inet loss {
             chain arriving { type filter hook input priority 0; iifname \"to1\" numgen random mod 10 < 1 drop; }
             chain leaving { type filter hook output priority 0; oifname \"to1\" numgen random mod 10 < 1 counter drop; }
         }",
    );
    let port = origin.address().port();
    let fetch = |entry: Entry| {
        shop.inside(|| entry.fetch_path(&bought, &ORIGIN.to_string(), port, &format!("/bytes/{LENGTH}")))
    };
    let expected = pattern(LENGTH);
    thread::scope(|scope| {
        for entry in [Entry::Connect, Entry::Forward, Entry::Socks5] {
            let (fetch, expected) = (&fetch, &expected);
            scope.spawn(move || {
                let body = fetch(entry).unwrap();
                assert!(body == *expected, "{entry:?}: {} bytes, and others", body.len());
            });
        }
    });
    let counted = world
        .internet
        .command("nft")
        .args(["list", "chain", "inet", "loss", "leaving"])
        .output()
        .unwrap();
    let counted = String::from_utf8_lossy(&counted.stdout).into_owned();
    assert!(
        counted.contains("counter packets") && !counted.contains("packets 0 "),
        "nothing was lost: {counted}"
    );
}
