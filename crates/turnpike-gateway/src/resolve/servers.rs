//! The list of name servers: the configuration's, or the system's as it is at the moment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::net::NetError;

/// How often the system's list of name servers is looked at.
pub(super) const SYSTEM_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Which name servers are asked.
#[derive(Debug)]
pub(crate) enum NameServers {
    /// Those of the configuration.
    Configured(Arc<[SocketAddr]>),
    /// Those of the system, which may change while we run (DHCP).
    System {
        path: PathBuf,
        read: Mutex<Option<SystemList>>,
    },
}

/// What the system's file said, and when.
#[derive(Debug)]
pub(crate) struct SystemList {
    pub(super) looked_at: Instant,
    modified: Option<SystemTime>,
    servers: Result<Arc<[SocketAddr]>, Arc<str>>,
}

impl NameServers {
    /// Those of the configuration, or the system's where it names none.
    pub(crate) fn new(configured: &[SocketAddr]) -> Self {
        if configured.is_empty() {
            Self::system(PathBuf::from("/etc/resolv.conf"))
        } else {
            Self::Configured(configured.into())
        }
    }

    /// Those that the file at `path` names.
    pub(crate) fn system(path: PathBuf) -> Self {
        Self::System {
            path,
            read: Mutex::new(None),
        }
    }

    /// The list as it is now. The same `Arc` is given until it changes.
    pub(super) fn current(&self) -> Result<Arc<[SocketAddr]>, Arc<str>> {
        let (path, read) = match self {
            Self::Configured(servers) => return Ok(Arc::clone(servers)),
            Self::System { path, read } => (path, read),
        };
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        let modified = match read.as_mut() {
            Some(list) if list.looked_at.elapsed() < SYSTEM_CHECK_INTERVAL => {
                return list.servers.clone();
            }
            Some(list) => {
                let modified = modified_at(path);
                if modified.is_some() && modified == list.modified {
                    list.looked_at = Instant::now();
                    return list.servers.clone();
                }
                modified
            }
            None => modified_at(path),
        };
        let servers =
            read_system_servers(path).map_err(|error| Arc::from(format!("{} cannot be used: {error}", path.display())));
        *read = Some(SystemList {
            looked_at: Instant::now(),
            modified,
            servers: servers.clone(),
        });
        servers
    }
}

fn modified_at(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}

fn read_system_servers(path: &Path) -> Result<Arc<[SocketAddr]>, NetError> {
    let text = std::fs::read(path)?;
    let (config, _) = hickory_resolver::system_conf::parse_resolv_conf(text)?;
    Ok(config
        .name_servers()
        .iter()
        .map(|server| SocketAddr::new(server.ip, 53))
        .collect())
}
