//! Measures the gateway beside a bare relay and the proxies that are installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use crate::steps::{announce, cargo, quietly, root, succeeds};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Three rounds with larger amounts: about ten minutes, and figures to quote
    #[arg(long)]
    full: bool,
    /// Only contenders in whose names this is, such as `socks5` or `turnpike`; the limit always runs
    #[arg(long, default_value = "", hide_default_value = true)]
    only: String,
    /// Everybody on all cores, in place of the proxy on one and the load on another
    #[arg(long, conflicts_with = "shop")]
    unpinned: bool,
    /// The shop in place of the gateway: reading beside an answer of the bare web server, buying beside what the databases do with a row
    #[arg(long, conflicts_with = "only")]
    shop: bool,
    /// With `--shop`: its operations in books of 1,000,000 subscriptions beside books of 1,000, in place of all else
    #[arg(long, requires = "shop")]
    many: bool,
    /// With `--shop`: 10,000 exits that fall due for a rotation at once, in place of all else
    #[arg(long, requires = "shop", conflicts_with = "many")]
    rotations: bool,
    /// Where bench.md, bench.json and bench.svg are written, or the first two by the name of shop, many or rotations
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,
}

/// Loopback only, ports of its own, and a congestion control that does not pace: pacing costs a relay a third more.
const OWN_NETWORK: &str = "ip link set lo up && echo reno > /proc/sys/net/ipv4/tcp_congestion_control && ulimit -n $(ulimit -Hn) && exec \"$@\"";

pub(crate) fn run(options: &Options) -> Result<()> {
    // One after the other: together they would be built with each other's features.
    for package in ["turnpike", "bench"] {
        let mut build = cargo();
        build.args(["build", "--release", "--package", package]);
        ensure!(succeeds(&mut build)?, "{package} was not built");
    }
    let release = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), PathBuf::from)
        .join("release");
    if options.shop {
        // PostgreSQL runs as somebody else, whom a network of its own does not know.
        let mut command = Command::new(release.join("bench"));
        command
            .arg("shop")
            .args(options.many.then_some("--many"))
            .args(options.rotations.then_some("--rotations"));
        return measured(command, options, &release);
    }
    let own_network = [
        "unshare",
        "--map-root-user",
        "--net",
        "--",
        "sh",
        "-c",
        OWN_NETWORK,
        "sh",
    ];
    let probe = quietly(Command::new(own_network[0]).args(&own_network[1..]).arg("true"));
    let mut command = if probe {
        let mut command = Command::new(own_network[0]);
        command.args(&own_network[1..]).arg(release.join("bench"));
        command
    } else {
        println!("No network of its own can be made here: measured in this machine's.");
        Command::new(release.join("bench"))
    };
    command.args(["run", "--only", &options.only]);
    command.args(options.unpinned.then_some("--unpinned"));
    measured(command, options, &release)
}

fn measured(mut command: Command, options: &Options, release: &Path) -> Result<()> {
    command
        .current_dir(root())
        .arg("--turnpike")
        .arg(release.join("turnpike"))
        .arg("--out")
        .arg(&options.out)
        .args(options.full.then_some("--full"));
    announce(&command);
    ensure!(command.status()?.success(), "the benchmark failed");
    println!("\nWritten to {}.", options.out.display());
    Ok(())
}
