//! Opening the shop that the configuration names.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
use secrecy::ExposeSecret as _;
use turnpike_shop::notices::Ways;
use turnpike_shop::store::sqlite_path;
use turnpike_shop::types::{Span, UnixMillis};
use turnpike_shop::{Clock, Settings, Shop, routes};

use crate::config::{Config, Role};

/// The shop of this configuration: its database opened, made where there is none, and migrated, its gateway made known.
///
/// # Errors
/// In one sentence that says how to mend it.
pub(crate) async fn open_shop(config: &Config) -> anyhow::Result<Shop> {
    let shop = open(config).await?;
    // A machine that only serves the API has no ports to sell.
    if config.roles.contains(&Role::Gateway) {
        let gateway = &config.gateway;
        routes::register_gateway(&shop, &gateway.name, &gateway.public_host, gateway.ports.clone()).await?;
    }
    Ok(shop)
}

/// The shop of this configuration, if it was opened before: whoever looks into the wrong folder is told so and leaves no empty
/// database there.
///
/// # Errors
/// In one sentence that says how to mend it.
pub(super) async fn open_known_shop(config: &Config) -> anyhow::Result<Shop> {
    if let Some(file) = absent_database(config) {
        let folder = std::env::current_dir().unwrap_or_default();
        bail!(
            "there is no database {} in {}; name the right configuration with --config, or make the shop with \
             `turnpike apply` or `turnpike serve`",
            file.display(),
            folder.display()
        );
    }
    open(config).await
}

/// The database's file, where it has not been made yet.
pub(super) fn absent_database(config: &Config) -> Option<PathBuf> {
    sqlite_path(config.database.url.expose_secret()).filter(|file| !file.exists())
}

async fn open(config: &Config) -> anyhow::Result<Shop> {
    let settings = Settings {
        rotation_cooldown: Span::seconds(i64::from(config.limits.rotation_cooldown_seconds)),
        grace: Span(i64::try_from(config.limits.grace.as_millis())?),
        auto_renew_before: Span(i64::try_from(config.limits.auto_renew_before.as_millis())?),
        notices: Ways {
            email: config.notices.smtp.is_some(),
            webhook: config.notices.webhooks,
            plain_http: !config.notices.allow_destinations.is_empty(),
        },
        ..Settings::default()
    };
    Ok(Shop::open(&config.database.url, config.master_key_file(), settings, system_clock()).await?)
}

/// The machine's time of day.
pub(super) fn system_clock() -> Clock {
    Arc::new(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    })
}

/// Who does it, for the audit log: the system's user.
pub(super) fn actor() -> String {
    let id = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, user) = (fields.next()?, fields.next()?, fields.next()?);
        (user.parse() == Ok(id)).then_some(name)
    });
    match name {
        Some(name) => format!("cli:{name}"),
        None => format!("cli:uid {id}"),
    }
}
