//! Commands of the command line that are killed while the server runs.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use testbed::turnpike::{Builder, Turnpike};

testbed::on_both_engines!(a_command_that_is_killed_has_done_all_or_nothing);

const PLANS: usize = 20;
const PRICES: [i64; 2] = [100, 200];

fn a_command_that_is_killed_has_done_all_or_nothing(with: Builder) {
    const EACH: u32 = 24;
    let shop = with.start();
    let catalogues = PRICES.map(|price| {
        let file = shop.home().join(format!("{price}.toml"));
        fs::write(&file, catalogue(price)).unwrap();
        file.to_string_lossy().into_owned()
    });
    let begun = Instant::now();
    shop.run(&["apply", &catalogues[0]]);
    let whole = begun.elapsed();
    let (mut present, mut changes, mut credited) = (PRICES[0], 0, 0);
    for kill in 0..EACH {
        // Up to twice what it takes, so that each moment of it is met.
        let patience = whole * 2 * kill / EACH;
        let other = usize::from(present == PRICES[0]);
        run_for(&shop, patience, &["apply", &catalogues[other]]);
        let prices = prices(&shop);
        assert_eq!(prices.len(), 1, "half a catalogue was applied: {prices:?}");
        changes += usize::from(!prices.contains(&present));
        present = prices.into_iter().next().unwrap();

        run_for(&shop, patience, &["account", "credit", &shop.email, "1000"]);
        let balance = shop.balance(&shop.email) - 1_000_000;
        // What was sent off in its last moment may be done a little later.
        let most = 1_000 * i64::from(kill + 1);
        assert!(
            balance % 1_000 == 0 && (credited..=most).contains(&balance),
            "{balance} after {credited}"
        );
        credited = balance;
        shop.audit();
    }
    assert!(changes > 0 && credited > 0, "every command was killed before it began");
}

/// Twenty plans of one price.
fn catalogue(price: i64) -> String {
    let mut text = "[[network]]\ncode = \"NL-AMS\"\ncity = \"Amsterdam\"\ncountry = \"NL\"\ntype = \"mobile\"\n\
                    [[network.exit]]\nname = \"nl-1\"\naddresses = [\"127.0.1.1\"]\nshared_slots = 5\n"
        .to_owned();
    for number in 0..PLANS {
        write!(
            text,
            "[[plan]]\ncode = \"plan-{number}\"\nnetwork = \"NL-AMS\"\nconnection_type = \"shared\"\n\
             duration = \"{}h\"\nprice_cents = {price}\n",
            number + 1
        )
        .unwrap();
    }
    text
}

fn prices(shop: &Turnpike) -> HashSet<i64> {
    let plans = shop.ask("plans").expect_status(200).json();
    let plans = plans["plans"].as_array().unwrap();
    assert_eq!(plans.len(), PLANS);
    plans
        .iter()
        .map(|plan| plan["priceAmountCents"].as_i64().unwrap())
        .collect()
}

/// Starts a command and kills it after this time, if it has not ended by then.
fn run_for(shop: &Turnpike, patience: Duration, arguments: &[&str]) {
    let mut command = shop.command(arguments);
    let mut running = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(patience);
    running.kill().unwrap();
    running.wait().unwrap();
}
