//! A disk that fails by chance, under SQLite.

use std::time::Duration;

use testbed::eventually;
use testbed::faulty::{Calls, FaultyCalls};
use testbed::turnpike::{Builder, Turnpike};

use crate::load::World;

#[test]
fn writes_and_syncs_that_fail_by_chance_cost_no_tunnel_and_leave_nothing_half_done() {
    let Some(faulty) = FaultyCalls::new() else { return };
    let environment = faulty.environment();
    let with = environment
        .iter()
        .fold(Turnpike::with(), |with: Builder, (name, value)| {
            with.variable(name, value)
        });
    let mut world = World::of(with);
    for calls in [Calls::Write, Calls::Sync] {
        world.amid_orders(|world| {
            for percent in [1, 5, 20, 100] {
                let before = failures(world);
                faulty.fail(world.shop.pid(), calls, percent);
                std::thread::sleep(Duration::from_millis(500));
                world.assert_ports_work();
                eventually("a call has failed", || failures(world) > before);
                faulty.mend(world.shop.pid(), calls);
                world.assert_back();
            }
        });
        world.assert_books();
    }
}

fn failures(world: &World) -> usize {
    world.shop.log().matches("disk I/O error").count()
}
