//! Turnpike: a self-hosted proxy shop and proxy gateway.

mod catalogue_file;
mod certificate;
mod cli;
mod config;
mod document;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    cli::run(cli::CommandLine::parse()).await
}
