//! `turnpike completions`: what shells complete.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::output::print;
use super::{CommandLine, Ended};

const EXAMPLES: &str = "\
Examples:
  turnpike completions bash > /etc/bash_completion.d/turnpike
  turnpike completions zsh > /usr/local/share/zsh/site-functions/_turnpike
  turnpike completions fish > ~/.config/fish/completions/turnpike.fish";

/// What `turnpike completions` is told.
#[derive(Debug, clap::Args)]
#[command(about = "Print a script that makes a shell complete this command line", after_help = EXAMPLES)]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Ended> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut CommandLine::command(), "turnpike", &mut script);
    print(&String::from_utf8(script)?)?;
    Ok(Ended::Well)
}
