//! `turnpike doctor`: is this machine fit for what the configuration says?
//!
//! It changes nothing but what every command changes: an older database is brought up to date.

mod database;
mod exits;
mod listeners;
mod machine;
mod names;
mod tls;

use std::path::Path;

use serde::Serialize;

use super::output::{Colour, coloured, print, print_json};
use super::{Ended, Json};
use crate::config::{Config, Role};

const ABOUT: &str = "\
Checks this machine: the configuration, the database and its key, the clock, the listeners, the ports that are sold, the files that \
they need and their certificate, the name servers, and each exit of this machine's gateway. A line for each says ok, warn or fail, and what to do. The exit \
code is 1 when anything fails. It can run beside the server.";

const EXAMPLES: &str = "\
Examples:
  turnpike doctor --config /etc/turnpike/turnpike.toml
  turnpike doctor --json | jq '.checks[] | select(.status != \"ok\")'";

/// What `turnpike doctor` is told.
#[derive(Debug, clap::Args)]
#[command(about = "Check this machine; exit code 1 when anything fails", long_about = ABOUT, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    json: Json,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    check: &'static str,
    status: Status,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

impl Check {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            status: Status::Ok,
            found: found.into(),
            advice: None,
        }
    }

    fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            check,
            status: Status::Warn,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    fn fail(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            check,
            status: Status::Fail,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    checks: &'a [Check],
}

pub(super) async fn run(file: Option<&Path>, args: Args) -> anyhow::Result<Ended> {
    let checks = match Config::load(file) {
        Ok(config) => examine(&config).await,
        Err(mistake) => vec![Check::fail(
            "configuration",
            format!("{mistake:#}"),
            "mend it; the other checks need it",
        )],
    };
    let ok = checks.iter().all(|check| check.status != Status::Fail);
    if args.json.json {
        print_json(&Report { ok, checks: &checks })?;
    } else {
        print(&told(&checks))?;
    }
    Ok(if ok { Ended::Well } else { Ended::Found })
}

async fn examine(config: &Config) -> Vec<Check> {
    let mut checks = vec![machine::configuration(config)];
    let shop = database::check(config, &mut checks).await;
    checks.push(database::clock(shop.as_ref()).await);
    if config.roles.contains(&Role::Web) {
        checks.push(machine::listener("server.listen", config.server.listen));
    }
    if let Some(address) = config.server.metrics_listen {
        checks.push(machine::listener("server.metrics_listen", address));
    }
    if config.roles.contains(&Role::Gateway) {
        checks.push(machine::bind_addresses(&config.gateway.bind));
        if let Some(port) = config.gateway.redirect_port {
            let at = |address| machine::listener("gateway.redirect_port", (address, port).into());
            checks.extend(config.gateway.bind.iter().copied().map(at));
        }
        checks.push(machine::ports(&config.gateway.ports));
        checks.push(machine::ephemeral_ports(&config.gateway.ports));
        checks.push(machine::open_files(config));
        checks.extend(tls::check(config));
        checks.extend(names::check(&config.gateway.dns_servers).await);
        if let Some(shop) = &shop {
            checks.extend(exits::check(shop, &config.gateway.name).await);
        }
    }
    if let Some(shop) = shop {
        shop.close().await;
    }
    checks
}

fn told(checks: &[Check]) -> String {
    let mut text = String::new();
    let (mut warnings, mut failures) = (0, 0);
    for check in checks {
        let word = match check.status {
            Status::Ok => coloured("ok  ", Colour::Green),
            Status::Warn => {
                warnings += 1;
                coloured("warn", Colour::Yellow)
            }
            Status::Fail => {
                failures += 1;
                coloured("fail", Colour::Red)
            }
        };
        text.push_str(&format!("{word}  {:<21}  {}\n", check.check, check.found));
        if let Some(advice) = &check.advice {
            text.push_str(&format!("{:29}{advice}\n", ""));
        }
    }
    text.push_str(&match (warnings, failures) {
        (0, 0) => "this machine is fit".to_owned(),
        (_, 0) => format!("this machine is fit; {warnings} to look at"),
        (_, _) => format!("this machine is not fit: {failures} failed, {warnings} to look at"),
    });
    text
}
