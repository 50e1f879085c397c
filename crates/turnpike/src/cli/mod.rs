//! What a person types: one file per command.

mod demo;
mod open;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;

pub(crate) use open::{open_shop, system_clock};

/// A self-hosted proxy shop and proxy gateway.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct CommandLine {
    /// The configuration; absent: turnpike.toml in this folder, if there is one.
    #[arg(long, global = true, value_name = "FILE", env = "TURNPIKE_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open a throwaway shop on loopback, seeded, with commands to paste.
    Demo(demo::Args),
    /// Run the shop and the gateway.
    Serve,
}

/// Does what the command line says; the process's exit code.
pub(crate) async fn run(line: CommandLine) -> ExitCode {
    let outcome = match line.command {
        Command::Demo(args) => demo::run(args).await,
        Command::Serve => match Config::load(line.config.as_deref()) {
            Ok(config) => serve::run(config).await,
            Err(error) => Err(error),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("turnpike: {error:#}");
            ExitCode::FAILURE
        }
    }
}
