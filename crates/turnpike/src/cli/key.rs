//! `turnpike key`: the API keys of accounts.

use secrecy::ExposeSecret as _;
use serde::Serialize;
use turnpike_shop::api_key::{self, ApiKey, NewApiKey};

use super::open::{actor, open_known_shop};
use super::output::{columns, moment, print, print_json};
use super::{Ended, Json};
use crate::config::Config;

const EXAMPLES: &str = "\
Examples:
  turnpike key create ann@example.com --name laptop    print a new key, this once
  KEY=$(turnpike key create ann@example.com)           use it in a script
  turnpike key create ann@example.com --read-only      for a dashboard that only looks
  turnpike key create root@example.com --operator      for a program that runs the shop
  turnpike key list ann@example.com
  turnpike key revoke 4f7d0s1kq2ab                     by the id that `key list` shows";

/// What `turnpike key` is told.
#[derive(Debug, clap::Args)]
#[command(about = "Make, list and revoke API keys", after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key and print it, this once
    ///
    /// Only its hash is stored: a key that is lost is replaced by another. Without --read-only it may buy, renew and change what the
    /// account has.
    #[command(after_help = "Examples:\n  turnpike key create ann@example.com --name laptop\n  \
                            KEY=$(turnpike key create ann@example.com --allow-trial)")]
    Create {
        /// The account's e-mail address
        email: String,
        /// The owner's name for it
        #[arg(long, default_value = "", hide_default_value = true)]
        name: String,
        /// It may give trials
        #[arg(long)]
        allow_trial: bool,
        /// It may read and change nothing
        #[arg(long, conflicts_with = "allow_trial")]
        read_only: bool,
        /// It may run the shop, by /api/admin; only an operator can have such a key
        #[arg(long)]
        operator: bool,
        #[command(flatten)]
        json: Json,
    },
    /// List the keys of an account, or of all
    List {
        /// The account's e-mail address; absent: all accounts
        email: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Revoke a key: the next request with it is refused
    Revoke {
        /// Its id, as `key list` shows it
        key_id: String,
        #[command(flatten)]
        json: Json,
    },
}

#[derive(Serialize)]
struct Created<'a> {
    #[serde(flatten)]
    about: &'a ApiKey,
    key: &'a str,
}

pub(super) async fn run(config: &Config, args: Args) -> anyhow::Result<Ended> {
    let shop = open_known_shop(config).await?;
    match args.command {
        Command::Create {
            email,
            name,
            allow_trial,
            read_only,
            operator,
            json,
        } => {
            let new = NewApiKey {
                name,
                read_only,
                allow_trial,
                operator,
                ..NewApiKey::default()
            };
            let (about, key) = api_key::create(&shop, &actor(), &email, new).await?;
            let key = key.expose_secret();
            if json.json {
                print_json(&Created { about: &about, key })?;
            } else {
                print(key)?;
            }
        }
        Command::List { email, json } => {
            let keys = api_key::list(&shop, email.as_deref()).await?;
            if json.json {
                print_json(&keys)?;
            } else {
                print(&listed(&keys))?;
            }
        }
        Command::Revoke { key_id, json } => {
            let key = api_key::revoke(&shop, &actor(), &key_id).await?;
            if json.json {
                print_json(&key)?;
            } else {
                print(&format!("{} of {} is revoked", key.id, key.email))?;
            }
        }
    }
    shop.close().await;
    Ok(Ended::Well)
}

fn listed(keys: &[ApiKey]) -> String {
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            let mut may = vec![if key.read_only { "read" } else { "all" }];
            may.extend(key.allow_trial.then_some("trials"));
            may.extend(key.operator.then_some("operator"));
            let state = match (key.revoked_at, key.expires_at) {
                (Some(at), _) => format!("revoked {}", moment(at)),
                (None, Some(at)) => format!("until {}", moment(at)),
                (None, None) => "valid".to_owned(),
            };
            vec![
                key.id.to_string(),
                key.email.clone(),
                key.name.clone(),
                may.join(", "),
                state,
                key.last_used_at.map_or_else(|| "never".to_owned(), moment),
            ]
        })
        .collect();
    columns(&["ID", "ACCOUNT", "NAME", "MAY", "STATE", "LAST USED"], &rows)
}
