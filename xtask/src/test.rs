//! Everything that must hold before a change is taken: formatting, lints, and all tests on both database engines.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use clap::Args;
use testbed::{SKIPPED_VARIABLE, postgres};

use crate::setup;
use crate::steps::{announce, cargo, succeeds};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Install nothing; tests that lack something skip themselves
    #[arg(long)]
    no_setup: bool,
    /// Run only tests whose name contains this, and leave out formatting and lints
    filter: Option<String>,
}

/// Runs it all; true when everything passed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let missing = if options.no_setup { Vec::new() } else { setup::run()? };

    let mut failed = Vec::new();
    if options.filter.is_none() {
        if !succeeds(cargo().args(["fmt", "--all", "--check"]))? {
            failed.push("cargo fmt: run `cargo fmt --all`");
        }
        if !succeeds(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))? {
            failed.push("cargo clippy");
        }
    }

    let directory = tempfile::tempdir().context("making a temporary directory")?;
    let skips = directory.path().join("skipped");
    let cluster = postgres::binaries().map(|_| postgres::Cluster::start());
    let mut command = cargo();
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .env(SKIPPED_VARIABLE, &skips)
        .args(["--"]);
    if let Some(cluster) = &cluster {
        command.env(postgres::VARIABLE, cluster.url()).arg("--include-ignored");
    }
    let totals = Totals::of(command.args(&options.filter))?;
    drop(cluster);
    if !totals.succeeded {
        failed.push("cargo test");
    }

    println!();
    setup::report(&missing);
    for line in fs::read_to_string(&skips).unwrap_or_default().lines() {
        println!("skipped: {line}");
    }
    if totals.ignored > 0 {
        println!(
            "skipped: {} tests on PostgreSQL: no server on this machine (Debian: apt-get install postgresql)",
            totals.ignored
        );
    }
    for step in &failed {
        println!("failed: {step}");
    }
    println!("{} passed, {} failed", totals.passed, totals.failed);
    Ok(failed.is_empty())
}

/// What all test programs of one run said at their ends.
#[derive(Debug, Default)]
struct Totals {
    passed: u32,
    failed: u32,
    ignored: u32,
    succeeded: bool,
}

impl Totals {
    /// Runs `cargo test`, shows its output and adds up its summaries.
    fn of(command: &mut Command) -> Result<Self> {
        announce(command);
        let mut running = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting cargo test")?;
        let mut totals = Self::default();
        for line in BufReader::new(running.stdout.take().context("the output of cargo test")?).lines() {
            let line = line.context("reading the output of cargo test")?;
            totals.add(&line);
            println!("{line}");
        }
        totals.succeeded = running.wait().context("waiting for cargo test")?.success();
        Ok(totals)
    }

    /// Adds a line such as `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(summary) = line.strip_prefix("test result: ") else {
            return;
        };
        let numbers = summary.split(['.', ';']).map(str::trim);
        for (count, what) in numbers.filter_map(|number| number.split_once(' ')) {
            let count = count.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_add_up() {
        let mut totals = Totals::default();
        totals.add("running 7 tests");
        totals.add("test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 9 filtered out; finished in 1.25s");
        totals.add("test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        assert_eq!((totals.passed, totals.failed, totals.ignored), (9, 2, 1));
    }
}
