//! `turnpike serve`: runs the shop and the gateway until it is stopped.

use std::io::Write as _;

use anyhow::Result;
use secrecy::ExposeSecret as _;
use turnpike_shop::{Shop, first_operator};

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
    let server = Server::start(&config, shop.clone()).await?;
    if server.api().is_some() {
        invite_operator(&shop, &config.server.public_url).await?;
    }
    server.run_until_signal().await
}

/// Says how to make the first operator, while there is no account. On the standard output, apart from the log, which may be kept.
async fn invite_operator(shop: &Shop, public_url: &str) -> Result<()> {
    if let Some(token) = first_operator::invite(shop).await? {
        let url = public_url.trim_end_matches('/');
        let text = format!(
            "This shop has no account yet. Make its first operator, once, with a browser:\n\n  {url}/setup/{}\n\n\
             The next start prints another link; `turnpike account create --admin` does it without one.\n",
            token.expose_secret()
        );
        // Nobody has to read along.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
    Ok(())
}
