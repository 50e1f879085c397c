//! What it costs that 10,000 exits fall due for a rotation in the same moment, and how late the last of them is.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use rusqlite::Connection as Database;
use testbed::turnpike::Turnpike;

use super::many::{LOT, buy};
use super::{Figure, shop};
use crate::measure::{Core, cpu_time, pin};

/// Exits, each with a subscription of its own and two addresses to take turns.
const EXITS: u16 = 10_000;
/// Above this, one after the other: every address of this network is this machine's.
const ADDRESSES: u32 = Ipv4Addr::new(127, 16, 0, 1).to_bits();
/// From when they are told when they fall due until they do: the shop starts meanwhile, and comes to rest.
const AHEAD: Duration = Duration::from_secs(30);
/// A minute is allowed.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn measure(figures: &mut Vec<Figure>) -> Result<()> {
    let mut with = shop(Turnpike::with(), EXITS)
        .set("gateway.udp", "false")
        .network("US-NYC");
    for exit in 0..EXITS {
        let address = |turn: u32| Ipv4Addr::from_bits(ADDRESSES + 2 * u32::from(exit) + turn).to_string();
        with = with.pool(&format!("us-{exit}"), &[&address(0), &address(1)]);
    }
    pin(Core::Contender)?;
    let mut shop = with.start();
    pin(Core::Load)?;
    let own = shop.key("first@example.com", &[]);
    let plan = shop.plan("US-NYC", "private");
    for _ in 0..EXITS / LOT {
        buy(&own, &plan, LOT)?;
    }
    shop.stop();
    let database = Database::open(shop.home().join("turnpike.db"))?;
    let due = SystemTime::now() + AHEAD;
    let due_millis = i64::try_from(due.duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?;
    database.execute(
        "UPDATE subscription SET rotation_policy = 60, rotation_anchor = ?1, next_rotation_at = ?1",
        [due_millis],
    )?;
    pin(Core::Contender)?;
    shop.serve();
    pin(Core::Load)?;
    let left = due
        .duration_since(SystemTime::now())
        .context("the shop was not up when they fell due")?;
    thread::sleep(left);
    let (began, before) = (Instant::now(), cpu_time(shop.pid())?);
    let done = "SELECT COUNT(*) FROM rotation WHERE reason = 'policy' AND state = 'done'";
    while database.query_row(done, [], |row| row.get::<_, u16>(0))? < EXITS {
        ensure!(began.elapsed() < PATIENCE, "not all were rotated within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(100));
    }
    let used = cpu_time(shop.pid())?.saturating_sub(before);
    let (first, last): (i64, i64) = database.query_row(
        "SELECT MIN(finished_at), MAX(finished_at) FROM rotation WHERE reason = 'policy'",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    for (name, unit, own) in [
        ("10,000 rotations that fall due at once", "CPU-s", used.as_secs_f64()),
        ("the first of them, late by", "s", (first - due_millis) as f64 / 1e3),
        ("the last of them, late by", "s", (last - due_millis) as f64 / 1e3),
    ] {
        figures.push(Figure {
            name,
            unit,
            beside: "",
            own,
            bound: None,
        });
    }
    Ok(())
}
