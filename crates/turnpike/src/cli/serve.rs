//! `turnpike serve`: runs the shop and the gateway until it is stopped.

use anyhow::Result;

use crate::cli::open_shop;
use crate::config::Config;
use crate::serve::{self, Server};

/// Serves all roles of the configuration until SIGTERM or SIGINT.
///
/// # Errors
/// A sentence: the database or a listener cannot be opened.
pub(crate) async fn run(config: Config) -> Result<()> {
    serve::start_logs();
    let shop = open_shop(&config).await?;
    Server::start(&config, shop).await?.run_until_signal().await
}
