//! `turnpike audit`: proves the books.

use serde::Serialize;
use turnpike_shop::audit::{self, Finding};

use super::open::open_known_shop;
use super::output::{Colour, coloured, print, print_json};
use super::{Ended, Json};
use crate::config::Config;

const ABOUT: &str = "\
Proves the books: that every ledger transaction sums to zero, that balances are what was posted, that no slot, port or coupon is given \
out twice, and what else must hold. It reads only and can run beside a busy server. The exit code is 1 when anything is off: run it \
from cron.";

const EXAMPLES: &str = "\
Examples:
  turnpike audit
  turnpike audit --json | jq '.invariants[] | select(.broken != [])'";

/// What `turnpike audit` is told.
#[derive(Debug, clap::Args)]
#[command(about = "Prove the books; exit code 1 when anything is off", long_about = ABOUT, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    json: Json,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    invariants: &'a [Finding],
}

pub(super) async fn run(config: &Config, args: Args) -> anyhow::Result<Ended> {
    let shop = open_known_shop(config).await?;
    let invariants = audit::audit(&shop).await?;
    shop.close().await;
    let ok = invariants.iter().all(|finding| finding.broken.is_empty());
    if args.json.json {
        print_json(&Report {
            ok,
            invariants: &invariants,
        })?;
    } else {
        print(&told(&invariants))?;
    }
    Ok(if ok { Ended::Well } else { Ended::Found })
}

fn told(invariants: &[Finding]) -> String {
    let mut text = String::new();
    let mut broken = 0;
    for finding in invariants {
        if finding.broken.is_empty() {
            text.push_str(&format!(
                "{}    {}  {}\n",
                coloured("ok", Colour::Green),
                finding.invariant,
                finding.rule
            ));
        } else {
            broken += 1;
            text.push_str(&format!(
                "{}  {}  {}\n",
                coloured("FAIL", Colour::Red),
                finding.invariant,
                finding.rule
            ));
            text.push_str(&format!("      broken by {}\n", finding.broken.join(", ")));
        }
    }
    text.push_str(&match broken {
        0 => format!("all {} invariants hold", invariants.len()),
        count => format!("{count} of {} invariants do not hold", invariants.len()),
    });
    text
}
