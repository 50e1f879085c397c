//! Chores of the repository, run as `cargo xtask CHORE`.
#![allow(clippy::print_stdout, reason = "a chore talks to whoever started it")]

mod bench;
mod counts;
mod demo_check;
mod fuzzing;
#[cfg(test)]
mod regressions;
mod screenshots;
mod setup;
mod sniff;
mod steps;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Chores of the repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Install what the tests need beyond the Rust toolchain
    ///
    /// Installs Debian packages (PostgreSQL, curl, Chromium, proxies of other makes, tools for network namespaces) with apt-get
    /// where this user may, and the Python clients into a virtual environment under `target/`. What is there already is left
    /// alone. What cannot be installed is listed with the reason; the tests that need it skip themselves.
    Setup(setup::Options),
    /// Set up, then check formatting and lints and run every test
    ///
    /// One PostgreSQL cluster is started for the whole run, in a temporary directory, so that the tests of both database engines
    /// run. At the end stand the tests that were skipped, each with its reason, and the totals. The exit code is 0 only when
    /// everything passed.
    Test(test::Options),
    /// Start the demo and run every command that it prints, as printed
    ///
    /// The addresses must tell the story: the same by HTTP and by SOCKS5, another one after the rotation.
    DemoCheck(demo_check::Options),
    /// Measure the gateway's cost beside a bare relay's and that of the proxies that are installed
    ///
    /// About a minute; with `--full` about ten. CPU time per tunnel, per gigabyte and per request, and memory per idle tunnel. What the
    /// figures mean stands in docs/performance.md.
    Bench(bench::Options),
    /// Count the instructions of the codecs, and fail where they have grown by more than a tenth
    ///
    /// Counted by callgrind (Debian: valgrind) and compared with `crates/turnpike-wire/benches/counts.txt`. What a codec takes in
    /// nanoseconds, `cargo bench --package turnpike-wire` tells.
    Count(counts::Options),
    /// Make pictures of every page and state
    ///
    /// They are PNG files, wide and narrow, light, dark and from right to left, made while the browser's test walks through the pages of
    /// the real binary. A table of the pages, with what axe-core and the console said of each and how large it is, stands beside them.
    Screenshots {
        /// Where to
        #[arg(long, value_name = "DIR", default_value = "target/pictures")]
        to: std::path::PathBuf,
    },
    /// Let the sniffer judge millions of openings of every protocol
    ///
    /// The openings are well-formed, those of Shadowsocks really sealed behind random salts. Each is judged whole, and once more
    /// with only a part of it there. The exit code is 0 only when none was taken for something else whole. Wants a release build:
    /// `cargo run --release --package xtask -- sniff`.
    Sniff(sniff::Options),
    /// Look for bytes that a codec takes badly
    ///
    /// Gives every target of the crate `fuzz` millions of inputs made by libFuzzer, beginning with its corpus. Wants `cargo-fuzz`
    /// (`cargo install cargo-fuzz`) and a C++ compiler; a stable toolchain will do. The exit code is 0 only when nothing was found.
    Fuzz(fuzzing::Options),
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().chore {
        Chore::Setup(options) => setup::requested(&options)?,
        Chore::Bench(options) => bench::run(&options)?,
        Chore::DemoCheck(options) => demo_check::run(&options)?,
        Chore::Screenshots { to } => screenshots::run(&to)?,
        Chore::Sniff(options) => sniff::run(&options)?,
        Chore::Fuzz(options) => fuzzing::run(&options)?,
        Chore::Count(options) => {
            if !counts::run(&options)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Chore::Test(options) => {
            if !test::run(&options)? {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
