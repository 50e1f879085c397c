//! The database, its key, and the clock that its rows tell of.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use turnpike_shop::types::{Span, UnixMillis};
use turnpike_shop::{Shop, audit_log, store};

use super::Check;
use crate::cli::open::{absent_database, open_known_shop, system_clock};
use crate::cli::output::moment;
use crate::config::Config;

/// This program was written after it.
const BEGINNING: UnixMillis = UnixMillis(1_767_225_600_000);
/// Clocks of two machines on one database may differ by so much.
const TOLERANCE: Span = Span::seconds(5);

/// Checks the database and the master key; the open shop, where there is one.
pub(super) async fn check(config: &Config, checks: &mut Vec<Check>) -> Option<Shop> {
    let file = store::sqlite_path(config.database.url.expose_secret());
    if let Some(file) = &file
        && let Some(problem) = folder_problem(file)
    {
        checks.push(problem);
        return None;
    }
    if let Some(file) = absent_database(config) {
        checks.push(Check::ok(
            "database",
            format!("{} will be made at the first start", file.display()),
        ));
        return None;
    }
    let shop = match open_known_shop(config).await {
        Ok(shop) => shop,
        Err(error) => {
            checks.push(Check::fail(
                "database",
                format!("{error:#}"),
                "nothing works without it",
            ));
            return None;
        }
    };
    let place = file.map_or_else(String::new, |file| format!(", {}", file.display()));
    checks.push(match shop.engine_version().await {
        Ok(version) => Check::ok("database", format!("{version}{place}, up to date")),
        Err(error) => Check::fail("database", error.to_string(), "nothing works without it"),
    });
    checks.push(master_key(&config.master_key_file()));
    Some(shop)
}

/// SQLite makes files of its own beside the database, so the folder has to be writable, too.
fn folder_problem(file: &Path) -> Option<Check> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let error = tempfile::tempfile_in(&folder).err()?;
    Some(Check::fail(
        "database",
        format!("the folder of {} cannot be written: {}", file.display(), error.kind()),
        format!("make {} and let this user write there", folder.display()),
    ))
}

/// The shop could be opened, so the key is there and the right one.
fn master_key(file: &Path) -> Check {
    let shown = file.display();
    let mode = fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 == 0 {
        Check::ok("master key", format!("{shown}, for its owner only"))
    } else {
        Check::warn(
            "master key",
            format!("{shown} can be read by others (mode {:o})", mode & 0o777),
            format!("chmod 600 {shown}"),
        )
    }
}

pub(super) async fn clock(shop: Option<&Shop>) -> Check {
    let now = system_clock()();
    let newest = match shop {
        Some(shop) => audit_log::newest(shop, 1)
            .await
            .ok()
            .and_then(|entries| entries.into_iter().next()),
        None => None,
    };
    let advice = "set the clock and keep it by NTP; subscriptions end by it";
    match newest {
        _ if now < BEGINNING => Check::fail(
            "clock",
            format!("it is {} by this machine's clock", moment(now)),
            advice,
        ),
        Some(entry) if entry.at > now.plus(TOLERANCE) => Check::fail(
            "clock",
            format!(
                "it is {} by this machine's clock, and the database has entries of {}",
                moment(now),
                moment(entry.at)
            ),
            advice,
        ),
        _ => Check::ok("clock", moment(now)),
    }
}
