//! What a person types: one file per command.

mod account;
mod apply;
mod audit;
mod completions;
mod demo;
mod doctor;
mod firewall;
mod key;
mod open;
mod output;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;

pub(crate) use open::open_shop;

const ABOUT: &str = "\
A self-hosted proxy shop and proxy gateway. Operators sell their ways out to the internet; customers buy ports from a prepaid balance \
through one JSON endpoint and use them as HTTP and SOCKS proxies, by VLESS and by Shadowsocks.";

const FIRST_STEPS: &str = "\
First steps:
  turnpike demo                                    see all of it on loopback, without any set-up
  turnpike doctor                                  is this machine fit?
  turnpike apply catalogue.toml                    say what is sold
  turnpike account create ann@example.com          make a customer
  turnpike account credit ann@example.com 5000     with 50.00 to spend
  turnpike key create ann@example.com              and an API key
  turnpike serve                                   run

Configuration:
  Flags are stronger than the environment, the environment than the file, the file than the
  defaults. Every value of the file can be overridden by TURNPIKE__SECTION__KEY, such as
  TURNPIKE__SERVER__LISTEN=127.0.0.1:8080.

Exit codes:
  0  done
  1  it failed, or `audit` or `doctor` found something. Standard error has a sentence; a mistake in
     the configuration or the catalogue is a failure, too
  2  the command line is wrong; from `apply --dry-run` also: changes are pending";

#[derive(Debug, Parser)]
#[command(
    version,
    about = "A self-hosted proxy shop and proxy gateway",
    long_about = ABOUT,
    after_help = FIRST_STEPS,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub(crate) struct CommandLine {
    /// The configuration; absent: turnpike.toml in this folder, if there is one
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "TURNPIKE_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open a throwaway shop on loopback, seeded, with commands to paste
    ///
    /// Makes accounts, a balance, two networks with exits on 127.0.0.x, plans and a coupon, prints an API key and commands that buy
    /// a proxy and use it, and serves until Ctrl-C.
    #[command(
        after_help = "Examples:\n  turnpike demo\n  turnpike demo --dir my-shop\n  turnpike demo --listen 127.0.0.1:9000"
    )]
    Demo(demo::Args),
    /// Run the shop and the gateway
    ///
    /// Runs all roles of the configuration until SIGTERM or SIGINT. Then it takes no new work, lets open requests finish, gives
    /// tunnels the drain time (gateway.drain_timeout, 5 s), records the last traffic and exits with 0.
    #[command(
        after_help = "Examples:\n  turnpike serve\n  turnpike serve --config /etc/turnpike/turnpike.toml\n  \
                            TURNPIKE__SERVER__LISTEN=0.0.0.0:8080 turnpike serve"
    )]
    Serve,
    Apply(apply::Args),
    Account(account::Args),
    Key(key::Args),
    Audit(audit::Args),
    Doctor(doctor::Args),
    Firewall(firewall::Args),
    Completions(completions::Args),
}

/// Whether a command prints for programs.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Json {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How a command that did not fail has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    /// It was to look for something, and found it.
    Found,
    /// A dry run that would have changed something.
    ChangesPend,
}

/// Does what the command line says; the process's exit code.
pub(crate) async fn run(line: CommandLine) -> ExitCode {
    match ended(line).await {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Found) => ExitCode::from(1),
        Ok(Ended::ChangesPend) => ExitCode::from(2),
        Err(error) => {
            eprintln!("turnpike: {error:#}");
            ExitCode::from(1)
        }
    }
}

async fn ended(line: CommandLine) -> anyhow::Result<Ended> {
    let config = || Config::load(line.config.as_deref());
    match line.command {
        Command::Demo(args) => demo::run(args).await.map(|()| Ended::Well),
        Command::Serve => serve::run(config()?).await.map(|()| Ended::Well),
        Command::Apply(args) => apply::run(&config()?, args).await,
        Command::Account(args) => account::run(&config()?, args).await,
        Command::Key(args) => key::run(&config()?, args).await,
        Command::Audit(args) => audit::run(&config()?, args).await,
        Command::Doctor(args) => doctor::run(line.config.as_deref(), args).await,
        Command::Firewall(firewall::Args {}) => firewall::run(&config()?),
        Command::Completions(args) => completions::run(&args),
    }
}
