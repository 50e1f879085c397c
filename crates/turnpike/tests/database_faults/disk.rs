//! No room left on the disk of the SQLite database.

use serde_json::{Value, json};
use testbed::client::Tunnel;
use testbed::disk::SmallDisk;
use testbed::eventually;
use testbed::http::Answer;
use testbed::origin::Origin;
use testbed::tunnel::echoes;
use testbed::turnpike::{Builder, Customer, Turnpike};

/// So many orders are not recorded in the log's space that SQLite has taken already.
const MANY: usize = 2_000;

fn shop_on(disk: &SmallDisk) -> Builder {
    Turnpike::with()
        .database(&format!("sqlite://{}", disk.path().join("turnpike.db").display()))
        .network_without_plans("NL-AMS")
        .shared("nl-1", "127.0.0.11", 15)
        .plan("shared", "duration = \"1h\"\nprice_cents = 1")
}

#[test]
fn a_full_disk_refuses_orders_keeps_tunnels_and_heals_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let shop = shop_on(&disk).start();
    let echo = Origin::echo();
    let bought = shop.buy_shared("NL-AMS");
    let tunnel = Tunnel::by_connect(&bought, echo.address()).unwrap();
    let mut orders = 1;
    for round in 0..3 {
        disk.fill();
        let renewal = json!({"op": "renew", "planId": shop.plan("NL-AMS", "shared"), "subscriptionId": bought.id});
        let done = renew_until_refused(&shop, &renewal, round);
        orders += done;

        // Nothing but orders is refused.
        echoes(&tunnel.0, b"still open").unwrap();
        echoes(&Tunnel::by_connect(&bought, echo.address()).unwrap().0, b"still opened").unwrap();
        assert_eq!(shop.get("/healthz").status, 200);
        assert_eq!(
            shop.subscription(&bought.id).active_until,
            bought.active_until + (orders - 1) * 3_600_000
        );
        let refused = order(&shop, &renewal, &key(round, done));
        assert_refused(&refused);

        disk.free();
        eventually("the refused order is taken, by the same key", || {
            order(&shop, &renewal, &key(round, done)).status == 200
        });
        orders += 1;
        assert_eq!(shop.balance(&shop.email), 1_000_000 - orders);
        assert_eq!(
            shop.subscription(&bought.id).active_until,
            bought.active_until + (orders - 1) * 3_600_000
        );
        shop.audit();
    }
}

#[test]
fn a_crash_on_a_full_disk_loses_nothing_that_was_acknowledged() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let mut shop = shop_on(&disk).start();
    let bought = shop.buy_shared("NL-AMS");
    let renewal = json!({"op": "renew", "planId": shop.plan("NL-AMS", "shared"), "subscriptionId": bought.id});
    disk.fill();
    let done = renew_until_refused(&shop, &renewal, 0);
    shop.kill();

    // It serves what is sold even before there is room.
    shop.launch();
    let echo = Origin::echo();
    eventually("the port is open again", || {
        Tunnel::by_connect(&bought, echo.address()).is_ok_and(|tunnel| echoes(&tunnel.0, b"still sold").is_ok())
    });
    disk.free();
    eventually("it is ready", || shop.is_ready());
    assert_eq!(
        shop.subscription(&bought.id).active_until,
        bought.active_until + done * 3_600_000
    );
    assert_eq!(shop.balance(&shop.email), 1_000_000 - 1 - done);
}

#[test]
fn who_cannot_start_on_a_full_disk_is_told_so() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let sentence = |shop: &Turnpike, command: &[&str]| {
        let output = shop.try_run(command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        said
    };
    let mut shop = shop_on(&disk).start();
    let _ = shop.buy_shared("NL-AMS");
    shop.stop();
    let database = disk.path().join("turnpike.db");
    let expected = format!(
        "turnpike: the disk of the database {} is full; make room there, and start again\n",
        database.display()
    );
    disk.fill();
    for command in [&["serve"][..], &["audit"], &["account", "create", "second@example.com"]] {
        assert_eq!(sentence(&shop, command), expected);
    }
    // With more and more room SQLite comes to an end at one place after another.
    for room in (4..=64).step_by(4) {
        disk.free();
        disk.fill_but(room);
        let output = shop.try_run(&["account", "create", &format!("{room}@example.com")]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() || said.contains("full"),
            "{room} KiB: {output:?}"
        );
    }
    disk.free();
    shop.serve();
    assert_eq!(shop.subscriptions().len(), 1);
    shop.stop();

    // Before there is a database, too.
    disk.fill();
    let other = shop.home().join("other.toml");
    let text = std::fs::read_to_string(shop.home().join("turnpike.toml")).unwrap();
    let text = text
        .replace("turnpike.db", "other.db")
        .replace("turnpike.key", "other.key");
    std::fs::write(&other, text).unwrap();
    let mut command = std::process::Command::new(testbed::turnpike::binary());
    let output = command.arg("--config").arg(&other).arg("serve").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), said),
        (Some(1), expected.replace("turnpike.db", "other.db"))
    );
    disk.free();
}

/// Renews until the shop says that its disk is full; how often it did not.
fn renew_until_refused(shop: &Customer, renewal: &Value, round: i64) -> i64 {
    for done in 0..MANY {
        let done = i64::try_from(done).unwrap();
        let answer = order(shop, renewal, &key(round, done));
        if answer.status != 200 {
            assert_refused(&answer);
            return done;
        }
    }
    panic!("{MANY} orders were recorded on a full disk");
}

fn order(shop: &Customer, renewal: &Value, key: &str) -> Answer {
    shop.order_with(renewal, &[("idempotency-key", key)])
}

fn key(round: i64, number: i64) -> String {
    format!("{round}-{number}")
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    let said = answer.json();
    assert_eq!(
        (answer.status, &said["code"]),
        (503, &json!("storage_full")),
        "{answer:?}"
    );
    assert_eq!((&said["charged"], &said["retryable"]), (&json!(false), &json!(true)));
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}
