//! Who listens on which port of this machine, as the kernel tells it (proc(5)).

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// Who holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
    /// A process of this very program.
    Turnpike,
    /// Another program, by its name.
    Other(String),
    /// A process that this user may not look into.
    Unknown,
}

/// The ports of a range that something listens on, in order.
pub(super) fn holders(ports: &RangeInclusive<u16>) -> Vec<(u16, Holder)> {
    // TCP_LISTEN, and for UDP "not connected" (the kernel's TCP_CLOSE).
    let tables = [
        ("/proc/net/tcp", "0A"),
        ("/proc/net/tcp6", "0A"),
        ("/proc/net/udp", "07"),
        ("/proc/net/udp6", "07"),
    ];
    let mut sockets: Vec<(u16, u64)> = Vec::new();
    for (table, state) in tables {
        let text = fs::read_to_string(table).unwrap_or_default();
        sockets.extend(text.lines().skip(1).filter_map(|line| socket(line, state)));
    }
    sockets.retain(|(port, _)| ports.contains(port));
    if sockets.is_empty() {
        return Vec::new();
    }
    let owners = owners();
    let mut holders: Vec<(u16, Holder)> = sockets
        .into_iter()
        .map(|(port, inode)| (port, owners.get(&inode).cloned().unwrap_or(Holder::Unknown)))
        .collect();
    holders.sort_by_key(|(port, _)| *port);
    holders.dedup();
    holders
}

/// The port and the inode of a line's socket, where it is in this state.
fn socket(line: &str, wanted: &str) -> Option<(u16, u64)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (_, port) = fields.next()?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    (state == wanted).then_some((u16::from_str_radix(port, 16).ok()?, inode.parse().ok()?))
}

/// Which program has which socket, as far as this user may know.
fn owners() -> HashMap<u64, Holder> {
    let mut owners = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let Ok(files) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let mut program = None;
        for file in files.flatten() {
            if let Some(inode) = fs::read_link(file.path()).ok().as_deref().and_then(inode) {
                let program = program.get_or_insert_with(|| program_of(&process.path()));
                owners.insert(inode, program.clone());
            }
        }
    }
    owners
}

/// `socket:[12345]`
fn inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn program_of(process: &Path) -> Holder {
    let name = |path: &Path| path.file_name().map(OsStr::to_owned);
    let theirs = fs::read_link(process.join("exe")).ok();
    // A program that was upgraded while it runs is shown so.
    let theirs = theirs.and_then(|path| path.to_str().map(|path| path.trim_end_matches(" (deleted)").to_owned()));
    let ours = std::env::current_exe().ok().as_deref().and_then(name);
    if let Some(theirs) = &theirs
        && name(Path::new(theirs)) == ours
    {
        return Holder::Turnpike;
    }
    match fs::read_to_string(process.join("comm")) {
        Ok(name) => Holder::Other(name.trim().to_owned()),
        Err(_) => Holder::Unknown,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_of_this_program_is_recognised() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(holders(&(port..=port)), [(port, Holder::Turnpike)]);
        drop(listener);
        assert_eq!(holders(&(port..=port)), []);
    }

    #[test]
    fn only_sockets_in_the_wanted_state_are_read() {
        let line =
            "  12: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4711 1 0 100 0 0 10 0";
        assert_eq!(socket(line, "0A"), Some((8080, 4711)));
        assert_eq!(socket(line, "07"), None);
        assert_eq!(socket("nonsense", "0A"), None);
    }
}
