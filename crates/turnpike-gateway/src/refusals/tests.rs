#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::net::Ipv4Addr;

use super::*;

fn log(refusals: &Refusals, route: &str) -> Arc<Log> {
    refusals.log(&RouteId(route.into()))
}

fn from(number: u32, protocol: Protocol) -> Caller {
    Caller {
        source: Ipv4Addr::from_bits(number).into(),
        protocol,
    }
}

/// All that waits, acknowledged as it is read.
fn recorded(refusals: &Refusals) -> Vec<RefusalRow> {
    let mut rows = Vec::new();
    while let Some(batch) = refusals.offer() {
        refusals.acknowledge(batch.sequence);
        rows.extend(batch.rows);
    }
    rows
}

#[test]
fn the_same_again_is_one_entry_with_a_count_and_the_newest_words() {
    let refusals = Refusals::default();
    let log = log(&refusals, "a");
    log.note(1_000, from(1, Protocol::Shadowsocks), Reason::Clock(-95));
    log.note(2_000, from(1, Protocol::Shadowsocks), Reason::Clock(-96));
    log.note(3_000, from(1, Protocol::Shadowsocks), Reason::Replay);
    log.note(4_000, from(2, Protocol::Shadowsocks), Reason::Replay);
    let mapped = Caller {
        source: "::ffff:0.0.0.2".parse().unwrap(),
        protocol: Protocol::Shadowsocks,
    };
    log.note(5_000, mapped, Reason::Replay);
    let rows = recorded(&refusals);
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.source.to_string(), row.code, row.first_at, row.last_at, row.times))
        .collect();
    assert_eq!(
        told,
        [
            ("0.0.0.1".to_owned(), "clock", 1_000, 2_000, 2),
            ("0.0.0.1".to_owned(), "replay", 3_000, 3_000, 1),
            ("0.0.0.2".to_owned(), "replay", 4_000, 5_000, 2),
        ]
    );
    assert!(rows[0].reason.contains("96 s behind"), "{}", rows[0].reason);
    assert!(rows.iter().all(|row| row.number >= 0));
}

#[test]
fn a_batch_is_offered_unchanged_until_it_is_acknowledged_and_news_keep_their_number() {
    let refusals = Refusals::default();
    let log = log(&refusals, "a");
    assert_eq!(refusals.offer(), None);
    log.note(1, from(1, Protocol::Http), Reason::WrongPassword);
    let first = refusals.offer().unwrap();
    log.note(2, from(1, Protocol::Http), Reason::WrongPassword);
    assert_eq!(refusals.offer().unwrap(), first);
    refusals.acknowledge(first.sequence + 1);
    assert_eq!(refusals.offer().unwrap(), first);
    refusals.acknowledge(first.sequence);
    let second = refusals.offer().unwrap();
    assert_eq!((second.sequence, second.rows[0].times), (2, 2));
    assert_eq!(second.rows[0].number, first.rows[0].number);
    refusals.acknowledge(second.sequence);
    assert_eq!(refusals.offer(), None);
}

#[test]
fn a_flood_leaves_a_subscription_its_newest_and_what_is_no_noise() {
    let refusals = Refusals::default();
    let log = log(&refusals, "a");
    for number in 0..10 {
        log.note(number.into(), from(number, Protocol::Http), Reason::WrongPassword);
    }
    for number in 0..50_000 {
        log.note(100, from(number, Protocol::Unknown), Reason::UnknownProtocol);
        log.note(101, from(number, Protocol::Tls), Reason::TlsFailed);
    }
    let rows = recorded(&refusals);
    assert_eq!(rows.len(), KEPT);
    let known = rows.iter().filter(|row| row.code == "wrong_password").count();
    assert_eq!(known, 10, "noise did not push them out");
    for number in 0..50_000 {
        log.note(
            200 + i64::from(number),
            from(number, Protocol::Http),
            Reason::WrongPassword,
        );
    }
    let rows = recorded(&refusals);
    assert_eq!(rows.len(), KEPT);
    assert!(rows.iter().all(|row| row.last_at >= 50_180), "the newest are left");
}

#[test]
fn an_entry_that_makes_way_takes_its_record_with_it() {
    let refusals = Refusals::default();
    let log = log(&refusals, "a");
    let mut numbers = std::collections::HashSet::new();
    for number in 0..1_000 {
        log.note(i64::from(number), from(number, Protocol::Http), Reason::WrongPassword);
        numbers.extend(recorded(&refusals).into_iter().map(|row| row.number));
    }
    assert_eq!(numbers.len(), KEPT);
}

#[test]
fn a_batch_is_bounded_and_nobody_waits_for_ever() {
    let refusals = Refusals::default();
    let logs: Vec<_> = (0..2_000).map(|number| log(&refusals, &format!("{number}"))).collect();
    for number in 0..40 {
        for log in &logs {
            log.note(1, from(number, Protocol::Http), Reason::WrongPassword);
        }
    }
    let (mut rows, mut seen) = (0, std::collections::HashSet::new());
    while let Some(batch) = refusals.offer() {
        assert!(batch.rows.len() <= BATCH);
        rows += batch.rows.len();
        seen.extend(batch.rows.iter().map(|row| row.route.clone()));
        refusals.acknowledge(batch.sequence);
        // Who makes the most noise has his turn again when all others had theirs.
        logs[0].note(2, from(1_000, Protocol::Http), Reason::WrongPassword);
        if seen.len() == logs.len() {
            break;
        }
    }
    assert_eq!(seen.len(), logs.len());
    assert!(rows <= (logs.len() + 100) * KEPT);
}

#[test]
fn all_subscriptions_together_have_a_bound_and_what_is_recorded_is_forgotten() {
    let refusals = Refusals::default();
    let logs: Vec<_> = (0..5_000).map(|number| log(&refusals, &format!("{number}"))).collect();
    for number in 0..20 {
        for log in &logs {
            log.note(1, from(number, Protocol::Http), Reason::WrongPassword);
        }
    }
    assert_eq!(refusals.common.entries.load(Ordering::Relaxed), KEPT_IN_ALL);
    refusals.sweep(FORGOTTEN_AFTER + 1);
    assert_eq!(
        refusals.common.entries.load(Ordering::Relaxed),
        KEPT_IN_ALL,
        "nothing has been recorded"
    );
    recorded(&refusals);
    refusals.sweep(FORGOTTEN_AFTER);
    assert_eq!(refusals.common.entries.load(Ordering::Relaxed), KEPT_IN_ALL);
    refusals.sweep(FORGOTTEN_AFTER + 1);
    assert_eq!(refusals.common.entries.load(Ordering::Relaxed), 0);
    assert!(lock(&refusals.common.filled).is_empty());
}

#[test]
fn many_at_once_lose_no_count() {
    let refusals = Refusals::default();
    let log = log(&refusals, "a");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for at in 0..10_000 {
                    log.note(at, from(1, Protocol::Http), Reason::WrongPassword);
                }
            })
        })
        .collect();
    while threads.iter().any(|thread| !thread.is_finished()) {
        recorded(&refusals);
        refusals.sweep(0);
    }
    for thread in threads {
        thread.join().unwrap();
    }
    log.note(0, from(1, Protocol::Http), Reason::WrongPassword);
    assert_eq!(recorded(&refusals)[0].times, 40_001);
}
