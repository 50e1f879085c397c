//! How an installation is set up: one TOML file, overridden by the environment, every mistake named by its place.
//!
//! A value comes from `TURNPIKE__SECTION__KEY`, else from the file, else from the defaults that stand here.

mod notices;
mod read;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests;
mod tls;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};

use crate::document::{self, Mistake, Table};

pub(crate) use notices::{MailTls, Notices, Smtp};
pub(crate) use tls::{Acme, ExternalAccount, Files, Tls};

/// Read where nobody names a file, if it is there.
const USUAL_FILE: &str = "turnpike.toml";
/// What the names of overriding variables begin with.
const PREFIX: &str = "TURNPIKE__";
/// The master key's file, beside the database.
const KEY_FILE: &str = "turnpike.key";
/// Where certificates that were ordered lie, beside the database.
const ACME_FOLDER: &str = "acme";

/// The configuration of one process.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// What this process does.
    pub(crate) roles: Vec<Role>,
    /// The web server.
    pub(crate) server: Server,
    /// Where everything is kept.
    pub(crate) database: Database,
    /// The ports that are sold.
    pub(crate) gateway: Gateway,
    /// How much customers may do.
    pub(crate) limits: Limits,
    /// By which ways customers can be told things.
    pub(crate) notices: Notices,
    /// Where secrets lie.
    pub(crate) secrets: Secrets,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The API.
    Web,
    /// The subscriptions' ports.
    Gateway,
}

/// `[server]`
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Where the API listens.
    pub(crate) listen: SocketAddr,
    /// Where customers reach the API, without a slash at the end.
    pub(crate) public_url: String,
    /// Where metrics are served; absent: nowhere.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Whether strangers may make accounts for themselves.
    pub(crate) sign_up: bool,
    /// Whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
}

/// `[database]`
#[derive(Debug, Clone)]
pub(crate) struct Database {
    /// `sqlite://path` or `postgres://…`, which may hold a password.
    pub(crate) url: SecretString,
}

/// `[gateway]`
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    /// This machine's, among those of the database.
    pub(crate) name: String,
    /// The host in customers' URLs.
    pub(crate) public_host: String,
    /// What the ports listen on.
    pub(crate) bind: Vec<IpAddr>,
    /// Which ports are sold.
    pub(crate) ports: RangeInclusive<u16>,
    /// What may be dialled although it is private.
    pub(crate) allow_destinations: Vec<IpNet>,
    /// Asked instead of the system's; empty: the system's.
    pub(crate) dns_servers: Vec<SocketAddr>,
    /// A tunnel at rest for so long is closed.
    pub(crate) idle_timeout: Duration,
    /// A client or an origin that has acknowledged nothing for so long, although it should, has vanished.
    pub(crate) peer_timeout: Duration,
    /// How long tunnels may go on when the process is told to stop.
    pub(crate) drain_timeout: Duration,
    /// The one port to which the firewall redirects connections to all that are sold; absent: each is listened on.
    pub(crate) redirect_port: Option<u16>,
    /// Whether datagrams are taken on the ports, each with a socket of its own.
    pub(crate) udp: bool,
    /// Refuse without a word.
    pub(crate) stealth: bool,
    /// Absent: no TLS on its ports.
    pub(crate) tls: Option<Tls>,
}

/// `[limits]`
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Of one API key.
    pub(crate) api_requests_per_second: u32,
    /// How many of those at once.
    pub(crate) api_burst: u32,
    /// Between two rotations of one exit.
    pub(crate) rotation_cooldown_seconds: u32,
    /// How long an ended subscription's port is held.
    pub(crate) grace: Duration,
    /// How long before its end a subscription renews itself that is to do so.
    pub(crate) auto_renew_before: Duration,
}

/// `[secrets]`
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    /// Absent: `turnpike.key`, beside the SQLite file or in the working directory.
    pub(crate) master_key_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            roles: vec![Role::Web, Role::Gateway],
            server: Server {
                listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
                public_url: "http://127.0.0.1:8080".to_owned(),
                metrics_listen: Some(SocketAddr::from(([127, 0, 0, 1], 9100))),
                sign_up: false,
                trusted_proxies: Vec::new(),
            },
            database: Database {
                url: SecretString::from("sqlite://turnpike.db"),
            },
            gateway: Gateway {
                name: "gw1".to_owned(),
                public_host: "127.0.0.1".to_owned(),
                bind: vec![IpAddr::from([0; 4]), IpAddr::from([0; 16])],
                ports: 12001..=12999,
                allow_destinations: Vec::new(),
                dns_servers: Vec::new(),
                idle_timeout: Duration::from_secs(15 * 60),
                peer_timeout: Duration::from_secs(2 * 60),
                drain_timeout: Duration::from_secs(5),
                redirect_port: None,
                udp: true,
                stealth: false,
                tls: None,
            },
            limits: Limits {
                api_requests_per_second: 20,
                api_burst: 40,
                rotation_cooldown_seconds: 10,
                grace: Duration::from_secs(72 * 60 * 60),
                auto_renew_before: Duration::from_secs(24 * 60 * 60),
            },
            notices: Notices::default(),
            secrets: Secrets { master_key_file: None },
        }
    }
}

impl Config {
    /// Reads `file` (absent: `turnpike.toml` where there is one) and the environment.
    ///
    /// # Errors
    /// The file cannot be read, or a [`Mistake`] that names the place and the key.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let document = match file {
            Some(file) => {
                let text = fs::read_to_string(file)
                    .with_context(|| format!("the configuration {} cannot be read", file.display()))?;
                document::parse(&file.display().to_string(), &text)?
            }
            None => match fs::read_to_string(USUAL_FILE) {
                Ok(text) => document::parse(USUAL_FILE, &text)?,
                Err(error) if error.kind() == ErrorKind::NotFound => Table::empty(USUAL_FILE),
                Err(error) => bail!("the configuration {USUAL_FILE} cannot be read: {error}"),
            },
        };
        Ok(Self::of(document, env::vars_os())?)
    }

    /// The document, overridden by `variables`.
    fn of(mut document: Table, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, Mistake> {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            let Ok(value) = value.into_string() else {
                return Err(Mistake::new(format!(
                    "{name} (in the environment) must be text in UTF-8"
                )));
            };
            let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect();
            document.set(&path, name, value);
        }
        read::config(document)
    }

    /// The master key's file.
    pub(crate) fn master_key_file(&self) -> PathBuf {
        match &self.secrets.master_key_file {
            Some(file) => file.clone(),
            None => self.beside_database(KEY_FILE),
        }
    }

    /// Where the certificates lie that were ordered.
    pub(crate) fn acme_folder(&self, acme: &Acme) -> PathBuf {
        match &acme.cache {
            Some(folder) => folder.clone(),
            None => self.beside_database(ACME_FOLDER),
        }
    }

    /// In the SQLite file's folder, or in the working directory.
    fn beside_database(&self, name: &str) -> PathBuf {
        turnpike_shop::store::sqlite_path(self.database.url.expose_secret())
            .and_then(|database| database.parent().map(|folder| folder.join(name)))
            .unwrap_or_else(|| PathBuf::from(name))
    }
}
