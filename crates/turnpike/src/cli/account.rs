//! `turnpike account`: customers and operators, and their money.

use std::io::{self, BufRead as _, IsTerminal as _};

use anyhow::{Context as _, bail};
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use turnpike_shop::account::{self, Account};
use turnpike_shop::ledger::{self, Line};
use turnpike_shop::types::{AccountStatus, Cents, Role};

use super::open::{actor, open_known_shop, open_shop};
use super::output::{columns, moment, print, print_json};
use super::{Ended, Json};
use crate::config::Config;

const EXAMPLES: &str = "\
Examples:
  turnpike account create ann@example.com                  make a customer, and a password
  pass show shop/root | turnpike account create root@example.com --admin --password-stdin
  turnpike account credit ann@example.com 5000 --note \"bank transfer 4711\"
  turnpike account show ann@example.com                    the balance and what moved it
  turnpike account suspend ann@example.com                 close the ports, refuse the keys

Money is whole cents, in JSON too: 5000 is 50.00.";

/// What `turnpike account` is told.
#[derive(Debug, clap::Args)]
#[command(about = "Make, show, credit, suspend and resume accounts", after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an account with an empty balance
    ///
    /// Without --password-stdin a password is made up and printed this once.
    #[command(after_help = "Examples:\n  turnpike account create ann@example.com\n  \
                            turnpike account create root@example.com --admin --password-stdin < password-file")]
    Create {
        /// Its e-mail address
        email: String,
        /// An operator's account, not a customer's
        #[arg(long)]
        admin: bool,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        json: Json,
    },
    /// List all accounts
    List {
        #[command(flatten)]
        json: Json,
    },
    /// Show one account and its statement
    #[command(after_help = "Examples:\n  turnpike account show ann@example.com\n  \
                            turnpike account show ann@example.com --limit 1000 --json")]
    Show {
        /// Its e-mail address
        email: String,
        /// Lines of the statement, newest first
        #[arg(long, value_name = "LINES", default_value_t = 20, value_parser = clap::value_parser!(i64).range(0..=100_000))]
        limit: i64,
        #[command(flatten)]
        json: Json,
    },
    /// Give an account money, or take some back
    ///
    /// The ledger keeps it for good; a mistake is mended by the opposite amount.
    #[command(
        after_help = "Examples:\n  turnpike account credit ann@example.com 5000 --note \"bank transfer 4711\"\n  \
                            turnpike account credit ann@example.com -5000 --note \"it was meant for Bob\""
    )]
    Credit {
        /// Its e-mail address
        email: String,
        /// How much, in whole cents; below zero it is taken
        #[arg(value_parser = cents, allow_negative_numbers = true)]
        cents: Cents,
        /// What for, as it stands in the statement
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        note: String,
        #[command(flatten)]
        json: Json,
    },
    /// Close an account's ports and refuse its keys and logins, within a second
    Suspend {
        /// Its e-mail address
        email: String,
        #[command(flatten)]
        json: Json,
    },
    /// Undo a suspension
    Resume {
        /// Its e-mail address
        email: String,
        #[command(flatten)]
        json: Json,
    },
}

pub(super) async fn run(config: &Config, args: Args) -> anyhow::Result<Ended> {
    match args.command {
        Command::Create {
            email,
            admin,
            password_stdin,
            json,
        } => create(config, &email, admin, password_stdin, json).await?,
        Command::List { json } => list(config, json).await?,
        Command::Show { email, limit, json } => show(config, &email, limit, json).await?,
        Command::Credit {
            email,
            cents,
            note,
            json,
        } => {
            let shop = open_known_shop(config).await?;
            ledger::adjust(&shop, &actor(), &email, cents, &note).await?;
            let account = account::by_email(&shop, &email).await?;
            shop.close().await;
            print_account(&account, json)?;
        }
        Command::Suspend { email, json } => set_status(config, &email, AccountStatus::Suspended, json).await?,
        Command::Resume { email, json } => set_status(config, &email, AccountStatus::Active, json).await?,
    }
    Ok(Ended::Well)
}

#[derive(Serialize)]
struct Created<'a> {
    #[serde(flatten)]
    account: &'a Account,
    /// The password that was made up; absent where the operator gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

async fn create(config: &Config, email: &str, admin: bool, password_stdin: bool, json: Json) -> anyhow::Result<()> {
    let (password, is_made_up) = match password_stdin {
        true => (password_from_stdin()?, false),
        false => (made_up_password(), true),
    };
    let role = if admin { Role::Operator } else { Role::Customer };
    let shop = open_shop(config).await?;
    let account = account::create(&shop, &actor(), email, role, Some(password.clone())).await?;
    shop.close().await;
    let password = is_made_up.then(|| password.expose_secret());
    if json.json {
        return print_json(&Created {
            account: &account,
            password,
        });
    }
    let mut text = described(&account);
    if let Some(password) = password {
        text.push_str(&format!("password  {password}   (shown this once)\n"));
    }
    print(&text)
}

fn password_from_stdin() -> anyhow::Result<SecretString> {
    if io::stdin().is_terminal() {
        bail!(
            "--password-stdin reads the password from a pipe or a file, and standard input is a terminal, which would show it"
        );
    }
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("the password cannot be read from standard input")?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        bail!("standard input has no password on its first line");
    }
    Ok(SecretString::from(password.to_owned()))
}

/// 20 characters of 56 are 116 bits; none looks like another.
fn made_up_password() -> SecretString {
    const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";
    let mut rng = rand::rng();
    let password: String = (0..20)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect();
    SecretString::from(password)
}

async fn list(config: &Config, json: Json) -> anyhow::Result<()> {
    let shop = open_known_shop(config).await?;
    let accounts = account::list(&shop).await?;
    shop.close().await;
    if json.json {
        return print_json(&accounts);
    }
    let rows: Vec<Vec<String>> = accounts
        .iter()
        .map(|account| {
            vec![
                account.email.clone(),
                account.role.to_string(),
                account.status.to_string(),
                account.balance.to_string(),
                account.active_subscriptions.to_string(),
                moment(account.created_at),
            ]
        })
        .collect();
    print(&columns(
        &["E-MAIL", "ROLE", "STATUS", ">BALANCE", ">SUBSCRIPTIONS", "MADE"],
        &rows,
    ))
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    account: &'a Account,
    statement: &'a [Line],
}

async fn show(config: &Config, email: &str, limit: i64, json: Json) -> anyhow::Result<()> {
    let shop = open_known_shop(config).await?;
    let account = account::by_email(&shop, email).await?;
    let statement = ledger::statement(&shop, email, limit).await?;
    shop.close().await;
    if json.json {
        return print_json(&Shown {
            account: &account,
            statement: &statement,
        });
    }
    let mut text = described(&account);
    if !statement.is_empty() {
        let rows: Vec<Vec<String>> = statement
            .iter()
            .map(|line| {
                vec![
                    moment(line.at),
                    line.kind.clone(),
                    line.amount.to_string(),
                    line.balance.to_string(),
                    line.note.clone(),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&columns(&["WHEN", "WHAT", ">AMOUNT", ">BALANCE", "NOTE"], &rows));
    }
    print(&text)
}

async fn set_status(config: &Config, email: &str, status: AccountStatus, json: Json) -> anyhow::Result<()> {
    let shop = open_known_shop(config).await?;
    let account = account::set_status(&shop, &actor(), email, status).await?;
    shop.close().await;
    print_account(&account, json)
}

fn print_account(account: &Account, json: Json) -> anyhow::Result<()> {
    if json.json {
        print_json(account)
    } else {
        print(&described(account))
    }
}

fn described(account: &Account) -> String {
    format!(
        "account   {} ({}, {})\nbalance   {}\nrunning   {}\nmade      {}\n",
        account.email,
        account.role,
        account.status,
        account.balance,
        match account.active_subscriptions {
            1 => "1 subscription".to_owned(),
            count => format!("{count} subscriptions"),
        },
        moment(account.created_at),
    )
}

/// More than any shop takes at once, and far below what a balance can hold.
const MOST_CENTS: i64 = 1_000_000_000_000;

fn cents(text: &str) -> Result<Cents, String> {
    let number: i64 = text
        .parse()
        .map_err(|_| "money is a whole number of cents: 50.00 is written 5000".to_owned())?;
    if number == 0 {
        return Err("0 cents change nothing".to_owned());
    }
    if number.unsigned_abs() > MOST_CENTS.unsigned_abs() {
        return Err(format!("that is more than {} at once", Cents(MOST_CENTS)));
    }
    Ok(Cents(number))
}
