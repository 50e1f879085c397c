//! `turnpike demo`: a throwaway shop on loopback, seeded, with commands to paste.
//!
//! It is an ordinary installation in a folder: a configuration, a catalogue and a database, served as `turnpike serve` does.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use secrecy::{ExposeSecret as _, SecretString};
use turnpike_shop::api_key::{self, NewApiKey};
use turnpike_shop::types::{Cents, ConnectionType, PlanId, Role, random_lowercase};
use turnpike_shop::{Error, Refusal, Shop, account, catalogue, ledger};

use crate::catalogue_file;
use crate::cli::open_shop;
use crate::config::Config;
use crate::serve::{self, Server};

/// What the command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep the shop in this folder instead of one that is removed at the end.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where the API listens. Absent: 127.0.0.1:8080, or a free port where that is taken.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

const CATALOGUE: &str = include_str!("catalogue.toml");
const CUSTOMER: &str = "customer@example.com";
const OPERATOR: &str = "operator@example.com";
const BALANCE: Cents = Cents(10_000);
const ACTOR: &str = "demo";

/// Characters of the demo's passwords: 62 bits.
const PASSWORD_LENGTH: usize = 12;

/// The API's port, where it is free.
const API_PORT: u16 = 8080;
/// Where the ranges begin that are tried for the subscriptions' ports.
const FIRST_RANGE: u16 = 12_001;
/// Ports of subscriptions.
const RANGE: u16 = 100;

/// Sets the shop up, prints what to paste, and serves until it is stopped.
///
/// # Errors
/// A sentence: the folder cannot be written, no ports are free.
pub(crate) async fn run(args: Args) -> Result<()> {
    serve::start_logs();
    // Removed when the demo ends.
    let _throwaway;
    let dir = match args.dir {
        Some(dir) => {
            std::fs::create_dir_all(&dir).with_context(|| format!("the folder {} cannot be made", dir.display()))?;
            std::path::absolute(&dir)?
        }
        None => {
            let made = tempfile::Builder::new().prefix("turnpike-demo-").tempdir()?;
            let dir = made.path().to_owned();
            _throwaway = made;
            dir
        }
    };
    let config_file = write_config(&dir, args.listen)?;
    let config = Config::load(Some(&config_file))?;
    let shop = open_shop(&config).await?;
    let seeded = seed(&shop, &dir.join("catalogue.toml")).await?;
    let plan = demonstrated_plan(&shop).await?;
    let server = Server::start(&config, shop).await?;
    let base = server
        .api()
        .map_or_else(|| config.server.public_url.clone(), |api| format!("http://{api}"));
    std::io::stdout().write_all(welcome(&base, &seeded, &plan, &config_file).as_bytes())?;
    server.run_until_signal().await
}

/// Writes the folder's configuration and catalogue, where they are not there from an earlier time.
fn write_config(dir: &Path, listen: Option<SocketAddr>) -> Result<PathBuf> {
    let config = dir.join("turnpike.toml");
    let catalogue = dir.join("catalogue.toml");
    if !catalogue.exists() {
        write(&catalogue, CATALOGUE)?;
    }
    if config.exists() && listen.is_none() {
        return Ok(config);
    }
    let listen = match listen {
        Some(address) => address,
        None => free_api_address()?,
    };
    let ports = free_range()?;
    let text = format!(
        r#"[server]
listen = "{listen}"
public_url = "http://{listen}"
metrics_listen = "127.0.0.1:0"

[database]
url = "sqlite://{database}"

[gateway]
name = "gw1"
public_host = "127.0.0.1"
bind = ["127.0.0.1"]
ports = "{first}-{last}"
# The demo's exits and its API are on loopback, which is refused otherwise.
allow_destinations = ["127.0.0.0/8"]

[limits]
rotation_cooldown_seconds = 2
"#,
        database = dir.join("turnpike.db").display(),
        first = ports,
        last = ports + (RANGE - 1),
    );
    write(&config, &text)?;
    Ok(config)
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
}

fn free_api_address() -> Result<SocketAddr> {
    let preferred = SocketAddr::from((Ipv4Addr::LOCALHOST, API_PORT));
    let listener = TcpListener::bind(preferred).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?)
}

/// The first port of a range in which nobody listens.
fn free_range() -> Result<u16> {
    let is_free = |port: u16| TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), port)).is_ok();
    for first in (FIRST_RANGE..30_000).step_by(usize::from(RANGE)) {
        if (first..first + RANGE).all(is_free) {
            return Ok(first);
        }
    }
    bail!("no {RANGE} ports in a row are free on 127.0.0.1 between {FIRST_RANGE} and 30000; stop what has them")
}

/// What can be shown only once.
struct Seeded {
    key: SecretString,
    password: SecretString,
}

/// Fills the shop where it is empty, and makes a new key and a new password: old ones cannot be shown again.
async fn seed(shop: &Shop, catalogue_file: &Path) -> Result<Seeded> {
    let sold = catalogue_file::read(catalogue_file)?;
    catalogue::apply(shop, ACTOR, sold, false).await?;
    if make_account(shop, CUSTOMER, Role::Customer).await? {
        ledger::adjust(shop, ACTOR, CUSTOMER, BALANCE, "play money").await?;
    }
    make_account(shop, OPERATOR, Role::Operator).await?;
    let new = NewApiKey {
        name: "demo".to_owned(),
        allow_trial: true,
        ..NewApiKey::default()
    };
    let (_, key) = api_key::create(shop, ACTOR, CUSTOMER, new).await?;
    let password = SecretString::from(random_lowercase(PASSWORD_LENGTH));
    for email in [CUSTOMER, OPERATOR] {
        account::set_password(shop, ACTOR, email, password.clone()).await?;
    }
    Ok(Seeded { key, password })
}

/// Whether it was not there before.
async fn make_account(shop: &Shop, email: &str, role: Role) -> Result<bool> {
    match account::create(shop, ACTOR, email, role, None).await {
        Ok(_) => Ok(true),
        Err(Error::Refused(Refusal::AccountExists(_))) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The first private plan: its exits can rotate.
async fn demonstrated_plan(shop: &Shop) -> Result<PlanId> {
    let on_sale = turnpike_shop::plans(shop).await?;
    let popular = on_sale
        .plans
        .iter()
        .filter(|plan| plan.connection_type == ConnectionType::Private);
    let plan = popular.max_by_key(|plan| plan.popular);
    let plan = plan.context("the demo's catalogue sells no private plan; remove its folder and start again")?;
    Ok(plan.id.clone())
}

fn welcome(base: &str, seeded: &Seeded, plan: &PlanId, config: &Path) -> String {
    let (key, password) = (seeded.key.expose_secret(), seeded.password.expose_secret());
    // `--noproxy ''`: the environment may say that loopback is never asked through a proxy.
    format!(
        r#"
Turnpike's demo shop is open at {base}
It has two networks and a customer with 100.00 of play money. Open it in a browser, and sign in:

    e-mail address  {CUSTOMER}
    password        {password}

The same by the API. Paste into another terminal:

  export BASE={base} API_KEY={key}

See what is sold:

  curl -sS -w '\n' -H "x-api-key: $API_KEY" "$BASE/api/proxy?op=plans"

Buy a proxy, 10 % off, and keep what the answer says:

  BOUGHT=$(curl -sS -X POST -H "x-api-key: $API_KEY" -H "Content-Type: application/json" -d '{{"op":"purchase","planId":"{plan}","couponCode":"MYCODE"}}' "$BASE/api/proxy"); echo "$BOUGHT"
  HTTP=$(echo "$BOUGHT" | sed 's/.*"http":"\([^"]*\)".*/\1/') SOCKS5=$(echo "$BOUGHT" | sed 's/.*"socks5":"\([^"]*\)".*/\1/') ROTATE=$(echo "$BOUGHT" | sed 's/.*"rotatePath":"\([^"]*\)".*/\1/')

Fetch a page through the port that you bought, by HTTP and by SOCKS5; it tells the address that you come from:

  curl -sS -w '\n' --noproxy '' -x "$HTTP" "$BASE/ip"
  curl -sS -w '\n' --noproxy '' -x "$SOCKS5" "$BASE/ip"

Rotate, and come from another:

  curl -sS -w '\n' "$BASE$ROTATE"
  curl -sS -w '\n' --noproxy '' -x "$HTTP" "$BASE/ip"

See what you have:

  curl -sS -w '\n' -H "x-api-key: $API_KEY" "$BASE/api/proxy?op=subscriptions"

The operator's side, while it runs: turnpike account list --config {config}
Ctrl-C ends the demo.
"#,
        config = config.display(),
    )
}
