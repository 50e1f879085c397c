//! Opening the shop that the configuration names.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use turnpike_shop::types::{Span, UnixMillis};
use turnpike_shop::{Clock, Settings, Shop, routes};

use crate::config::{Config, Role};

/// The shop of this configuration: its database opened and migrated, its gateway made known.
///
/// # Errors
/// In one sentence that says how to mend it.
pub(crate) async fn open_shop(config: &Config) -> anyhow::Result<Shop> {
    let settings = Settings {
        rotation_cooldown: Span::seconds(i64::from(config.limits.rotation_cooldown_seconds)),
        grace: Span(i64::try_from(config.limits.grace.as_millis())?),
        ..Settings::default()
    };
    let shop = Shop::open(&config.database.url, config.master_key_file(), settings, system_clock()).await?;
    // A machine that only serves the API has no ports to sell.
    if config.roles.contains(&Role::Gateway) {
        let gateway = &config.gateway;
        routes::register_gateway(&shop, &gateway.name, &gateway.public_host, gateway.ports.clone()).await?;
    }
    Ok(shop)
}

/// The machine's time of day.
pub(crate) fn system_clock() -> Clock {
    Arc::new(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    })
}
