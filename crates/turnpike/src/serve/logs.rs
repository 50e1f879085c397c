//! Logs: for people on a terminal, JSON otherwise, always on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// What is logged where `RUST_LOG` says nothing.
///
/// The libraries that read what strangers send (TLS, HTTP/2, DNS) warn of what is wrong with it, a line for each time: whoever likes
/// could fill the disk with a ClientHello in a loop. What a customer or an operator should know of such mistakes we tell ourselves, by
/// refusals and metrics.
const USUAL: &str = "info,rustls=error,h2=error,hickory_net=error,hickory_proto=error";

/// Starts logging. `RUST_LOG` chooses what is logged ([`USUAL`] where it is absent).
pub(crate) fn start() {
    let told = EnvFilter::try_from_default_env();
    let mistake = match &told {
        Err(error) if std::env::var_os(EnvFilter::DEFAULT_ENV).is_some() => Some(error.to_string()),
        _ => None,
    };
    let filter = told.unwrap_or_else(|_| EnvFilter::new(USUAL));
    let is_for_people = std::io::stderr().is_terminal();
    let is_coloured = is_for_people && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured);
    // Only fails where logs have been started before; then they go on as they were.
    let _ = if is_for_people {
        logs.with_target(false).try_init()
    } else {
        logs.json().flatten_event(true).try_init()
    };
    if let Some(mistake) = mistake {
        tracing::warn!(
            "RUST_LOG is left aside, as it cannot be read ({mistake}); write it like info,turnpike_gateway=debug"
        );
    }
}
