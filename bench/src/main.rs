//! Measures what a proxy costs: CPU time per tunnel, per gigabyte and per request, and memory per idle tunnel, beside the same of
//! a bare relay ([`limit`]), which no proxy can undercut, and of whichever other proxies are installed.
//!
//! The proxy has the first core for itself; the origin and the clients, which are this process, have the last one. CPU time, not
//! throughput, is what is compared: other work on the machine disturbs it least. Every contender is started afresh in every
//! round, and the rounds' middle ratio to the limit of the same round is told.
#![allow(clippy::print_stdout, reason = "it talks to whoever started it")]

mod client;
mod contender;
mod datagrams;
mod limit;
mod load;
mod measure;
mod origin;
mod report;
mod shop;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use contender::Contender;
use load::Amounts;
use measure::{Core, pin};
use origin::Origin;
use report::{Figures, Report};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure
    Run(Options),
    /// Measure the shop
    Shop(shop::Options),
    /// Be the bare web server
    Bare {
        /// Where it listens
        listen: SocketAddr,
        /// The JSON of all its answers
        file: PathBuf,
    },
    /// Be the bare relay
    Limit {
        /// Where it listens
        listen: SocketAddr,
        /// Where every connection is relayed to
        origin: SocketAddr,
    },
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Three rounds with larger amounts
    #[arg(long)]
    full: bool,
    /// Only contenders in whose names this is; the limit always runs
    #[arg(long, default_value = "")]
    only: String,
    /// Everybody on all cores
    #[arg(long)]
    unpinned: bool,
    /// The binary to measure
    #[arg(long)]
    turnpike: PathBuf,
    /// Where bench.md, bench.json and bench.svg are written
    #[arg(long)]
    out: PathBuf,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Limit { listen, origin } => limit::run(listen, origin).context("the bare relay"),
        Task::Run(options) => run(&options),
        Task::Shop(options) => shop::run(&options),
        Task::Bare { listen, file } => shop::bare(listen, &file).context("the bare web server"),
    }
}

fn run(options: &Options) -> Result<()> {
    if options.unpinned {
        measure::leave_unpinned();
    }
    pin(Core::Load)?;
    let amounts = Amounts::of(options.full);
    let origin = Origin::start().context("the origin")?;
    let echo = datagrams::echo().context("the origin of datagrams")?;
    let all = contender::all(&options.turnpike);
    let chosen: Vec<&Contender> = all
        .iter()
        .filter(|contender| contender.is_limit() || contender.name.contains(&options.only))
        .collect();
    let mut report = Report::new(amounts);
    for round in 0..amounts.rounds {
        for contender in &chosen {
            println!("round {} of {}: {}", round + 1, amounts.rounds, contender.name);
            let figures = measured(contender, &origin, echo, &amounts);
            if let Err(error) = &figures {
                println!("  {error:#}");
            }
            report.add(&contender.name, figures.map_err(|error| format!("{error:#}")));
        }
    }
    report.write(&options.out)?;
    println!("\n{}", report.markdown());
    Ok(())
}

/// One contender in one round.
fn measured(contender: &Contender, origin: &Origin, echo: SocketAddr, amounts: &Amounts) -> Result<Figures> {
    let running = contender.start(origin.address()).context("starting it")?;
    let way = running.way();
    load::verify(way, origin.address()).context("bytes are not what they were")?;
    let hears_out = load::hears_out(way, origin.address()).is_ok();
    let pid = running.pid();
    let mut figures = Figures {
        hears_out,
        idle: Some(load::idle(way, origin.address(), amounts, pid).context("idle tunnels")?),
        tunnels: Some(load::tunnels(way, origin.address(), amounts, pid).context("tunnels")?),
        down: Some(load::download(way, origin.address(), amounts, pid).context("download")?),
        up: Some(load::upload(way, origin.address(), amounts, pid).context("upload")?),
        requests: None,
        arrival: Some(load::arrivals(way, origin.address(), amounts).context("tunnels at a steady pace")?),
        datagrams: if way.carries_datagrams() {
            // Some of the others do not, whatever their protocol says.
            let cost = datagrams::datagrams(way, echo, amounts, pid);
            cost.inspect_err(|error| println!("  datagrams: {error}")).ok()
        } else {
            None
        },
    };
    if way.passes_requests() {
        // Some end a connection behind each answer.
        figures.requests = load::requests(way, origin.address(), amounts, pid).ok();
    }
    Ok(figures)
}
