//! `turnpike demo`: a throwaway shop on loopback.

use std::path::PathBuf;

/// What `turnpike demo` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the demo keeps its files; absent: in a temporary folder that is removed at the end.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the demo until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    anyhow::bail!("the demo is not built in (folder {:?})", args.dir)
}
