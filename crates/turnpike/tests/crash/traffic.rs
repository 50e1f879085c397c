//! Traffic that is counted when the crash comes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use testbed::client::Tunnel;
use testbed::eventually;
use testbed::origin::{Origin, pattern};
use testbed::tunnel::echoes;
use testbed::turnpike::{Builder, Subscription};

use crate::recorded;

testbed::on_both_engines!(a_crash_amid_traffic_loses_the_last_of_it_and_counts_nothing_twice);

fn a_crash_amid_traffic_loses_the_last_of_it_and_counts_nothing_twice(with: Builder) {
    const LAST: usize = 300_000;
    let mut shop = with.network("NL-AMS").shared("nl-1", "127.0.1.1", 2).start();
    let (echo, bought) = (Origin::echo(), shop.buy_shared("NL-AMS"));
    let moved = Moved::default();
    let mut before = (0, 0);
    for _ in 0..4 {
        std::thread::scope(|scope| {
            scope.spawn(|| moved.pump(&bought, echo.address()));
            eventually("some of this is recorded while it flows", || {
                let now = recorded::traffic(&shop, &bought);
                std::mem::replace(&mut before, now) < now
            });
            std::thread::sleep(Duration::from_micros(fastrand::u64(0..500_000)));
            shop.kill();
        });
        let after = recorded::traffic(&shop, &bought);
        assert!(after >= before, "{after:?} is less than {before:?}");
        assert!(
            after.0 <= moved.sent() && after.1 <= moved.sent(),
            "{after:?} is more than {moved:?}"
        );
        before = after;
        shop.serve();
    }
    // The next run goes on from there, exactly.
    let tunnel = Tunnel::by_connect(&bought, echo.address()).unwrap();
    echoes(&tunnel.0, &pattern(LAST)).unwrap();
    shop.stop();
    let last = i64::try_from(LAST).unwrap();
    assert_eq!(recorded::traffic(&shop, &bought), (before.0 + last, before.1 + last));
}

/// How many bytes have been given to tunnels.
#[derive(Debug, Default)]
struct Moved(AtomicI64);

impl Moved {
    /// Sends bytes through a tunnel and reads them back until it breaks.
    fn pump(&self, bought: &Subscription, echo: SocketAddr) {
        let tunnel = Tunnel::by_connect(bought, echo).expect("a tunnel");
        let piece = pattern(10_000);
        loop {
            self.0.fetch_add(i64::try_from(piece.len()).unwrap(), Ordering::Relaxed);
            if echoes(&tunnel.0, &piece).is_err() {
                return;
            }
            // Not as fast as it goes: other tests need the machine too.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn sent(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}
