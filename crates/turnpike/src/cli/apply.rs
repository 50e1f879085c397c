//! `turnpike apply`: makes the shop's catalogue equal to a file.

use std::path::PathBuf;

use anyhow::Context as _;
use secrecy::SecretString;
use serde::Serialize;
use turnpike_shop::catalogue::{self, Catalogue, Difference};

use super::open::{absent_database, actor, open_shop};
use super::output::{Colour, coloured, print, print_json};
use super::{Ended, Json};
use crate::catalogue_file;
use crate::config::Config;

const ABOUT: &str = "\
Makes the shop's catalogue equal to a file: creates and updates its networks, exits, plans and coupons. What is not in the file any \
more is deactivated, never deleted: it is not sold, and running subscriptions keep working. All of the file is applied or nothing; \
a second run changes nothing. A running server picks it up within a second.";

const EXAMPLES: &str = "\
Examples:
  turnpike apply --dry-run catalogue.toml   tell what would change; exit code 2 when anything would
  turnpike apply catalogue.toml             change it

A catalogue:
  [[network]]
  code = \"NL-AMS\"
  city = \"Amsterdam\"
  country = \"NL\"
  type = \"mobile\"                     # mobile, residential, datacenter, isp

    [[network.exit]]
    name = \"nl-ams-1\"
    addresses = [\"198.51.100.11\", \"198.51.100.12\"]   # or prefix, interface, upstream

  [[plan]]
  code = \"nl-30d\"
  network = \"NL-AMS\"
  connection_type = \"private\"
  duration = \"30d\"
  price_cents = 1200";

/// What `turnpike apply` is told.
#[derive(Debug, clap::Args)]
#[command(about = "Create or update networks, exits, plans and coupons from a catalogue", long_about = ABOUT, after_help = EXAMPLES)]
pub(super) struct Args {
    /// The catalogue, a TOML file
    file: PathBuf,
    /// Only tell what would change, and exit with 2 when anything would
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: Json,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied<'a> {
    dry_run: bool,
    differences: &'a [Difference],
}

pub(super) async fn run(config: &Config, args: Args) -> anyhow::Result<Ended> {
    let catalogue = catalogue_file::read(&args.file)?;
    let differences = if args.dry_run && absent_database(config).is_some() {
        // A dry run leaves nothing behind, not even an empty database.
        let folder = tempfile::tempdir().context("a temporary folder cannot be made")?;
        let mut aside = config.clone();
        aside.database.url = SecretString::from(format!("sqlite://{}", folder.path().join("dry-run.db").display()));
        aside.secrets.master_key_file = None;
        apply(&aside, catalogue, true).await?
    } else {
        apply(config, catalogue, args.dry_run).await?
    };
    if args.json.json {
        print_json(&Applied {
            dry_run: args.dry_run,
            differences: &differences,
        })?;
    } else {
        print(&told(&differences, args.dry_run))?;
    }
    Ok(if args.dry_run && !differences.is_empty() {
        Ended::ChangesPend
    } else {
        Ended::Well
    })
}

async fn apply(config: &Config, catalogue: Catalogue, dry_run: bool) -> anyhow::Result<Vec<Difference>> {
    let shop = open_shop(config).await?;
    let differences = catalogue::apply(&shop, &actor(), catalogue, dry_run).await?;
    shop.close().await;
    Ok(differences)
}

fn told(differences: &[Difference], is_dry_run: bool) -> String {
    if differences.is_empty() {
        return "nothing to change".to_owned();
    }
    let mut text = String::new();
    for Difference {
        change,
        kind,
        name,
        detail,
    } in differences
    {
        let (sign, colour) = match *change {
            "create" | "reactivate" => ("+", Colour::Green),
            "deactivate" => ("-", Colour::Red),
            _ => ("~", Colour::Yellow),
        };
        text.push_str(&format!("{} {change} {kind} {name}\n", coloured(sign, colour)));
        for line in detail {
            text.push_str(&format!("    {line}\n"));
        }
    }
    let changes = match differences.len() {
        1 => "1 change".to_owned(),
        count => format!("{count} changes"),
    };
    let end = if is_dry_run { "pending" } else { "applied" };
    text.push_str(&format!("{changes} {end}"));
    text
}
