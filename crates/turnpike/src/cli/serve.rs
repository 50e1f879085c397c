//! `turnpike serve`: runs the roles of the configuration until it is told to stop.

use crate::config::Config;

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    anyhow::bail!("serving is not built in (gateway {})", config.gateway.name)
}
