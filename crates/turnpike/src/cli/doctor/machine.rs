//! The machine's ports, addresses and limits.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;

use rustix::process::{Resource, getrlimit};

use super::Check;
use super::listeners::{Holder, holders};
use crate::config::Config;

/// Never used for ports: the API, the database and the name servers need some.
const RESERVED_FILES: u64 = 256;
/// What a gateway should have room for besides its ports.
const USUAL_TUNNELS: u64 = 2_000;
/// Ports that are named one by one.
const MOST_NAMED: usize = 5;

/// The configuration could be read; whether it is one for customers.
pub(super) fn configuration(config: &Config) -> Check {
    let host = config.gateway.public_host.as_str();
    let is_local = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    if is_local {
        Check::warn(
            "configuration",
            format!("customers are told to connect to {host}, which only this machine can"),
            "set gateway.public_host to the name or address that they can reach",
        )
    } else {
        Check::ok(
            "configuration",
            format!("gateway {}, reached as {host}", config.gateway.name),
        )
    }
}

/// Whether the server can listen there, or does.
pub(super) fn listener(key: &'static str, address: SocketAddr) -> Check {
    let error = match TcpListener::bind(address) {
        Ok(_) => return Check::ok(key, format!("{address} is free")),
        Err(error) => error,
    };
    let port = address.port();
    match error.kind() {
        ErrorKind::AddrInUse => {
            let holders = holders(&(port..=port));
            if holders.iter().any(|(_, holder)| *holder == Holder::Turnpike) {
                return Check::ok(key, format!("{address} is served by turnpike"));
            }
            let advice = format!("stop what has it, or set {key} to another address");
            match holders.into_iter().find_map(|(_, holder)| match holder {
                Holder::Other(name) => Some(name),
                Holder::Turnpike | Holder::Unknown => None,
            }) {
                Some(name) => Check::fail(key, format!("{address} is taken by {name}"), advice),
                None => Check::warn(
                    key,
                    format!("{address} is taken by a process of another user"),
                    format!("that is well if it is turnpike; else {advice}"),
                ),
            }
        }
        ErrorKind::AddrNotAvailable => Check::fail(
            key,
            format!("{} is no address of this machine", address.ip()),
            format!("set {key} to one that it has"),
        ),
        ErrorKind::PermissionDenied => Check::fail(
            key,
            format!("this user may not listen on {address}"),
            "choose a port from 1024 on, or give the program CAP_NET_BIND_SERVICE",
        ),
        _ => Check::fail(
            key,
            format!("{address} cannot be listened on: {error}"),
            format!("set {key} to another address"),
        ),
    }
}

/// Whether the gateway can listen on its addresses at all.
pub(super) fn bind_addresses(bind: &[IpAddr]) -> Check {
    let unfit: Vec<String> = bind
        .iter()
        .filter_map(|address| {
            TcpListener::bind((*address, 0))
                .err()
                .map(|error| format!("{address} ({error})"))
        })
        .collect();
    if unfit.is_empty() {
        let bind: Vec<String> = bind.iter().map(ToString::to_string).collect();
        Check::ok("gateway.bind", bind.join(", "))
    } else {
        Check::fail(
            "gateway.bind",
            format!("ports cannot be opened on {}", unfit.join(", ")),
            "leave these out of gateway.bind, or give the machine the address",
        )
    }
}

/// Whether the ports that are sold are there to be opened.
pub(super) fn ports(ports: &RangeInclusive<u16>) -> Check {
    let all = format!("{}-{}", ports.start(), ports.end());
    let (mut ours, mut others, mut unknown) = (0, Vec::new(), Vec::new());
    for (port, holder) in holders(ports) {
        match holder {
            Holder::Turnpike => ours += 1,
            Holder::Other(name) => others.push(format!("{port} by {name}")),
            Holder::Unknown => unknown.push(port.to_string()),
        }
    }
    let advice =
        "stop what has them, or set gateway.ports to another range: a customer could be sold one that is taken";
    if !others.is_empty() {
        Check::fail(
            "gateway.ports",
            format!("of {all} are taken: {}", listed(&others)),
            advice,
        )
    } else if !unknown.is_empty() {
        Check::warn(
            "gateway.ports",
            format!("of {all} are taken by processes of other users: {}", listed(&unknown)),
            format!("that is well if it is turnpike; else {advice}"),
        )
    } else if ours > 0 {
        Check::ok("gateway.ports", format!("{all}, of which turnpike serves some"))
    } else {
        Check::ok("gateway.ports", format!("{all} are free"))
    }
}

fn listed(items: &[String]) -> String {
    let shown: Vec<&str> = items.iter().take(MOST_NAMED).map(String::as_str).collect();
    match items.len().saturating_sub(MOST_NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whether the system takes ports that are sold for outgoing connections.
pub(super) fn ephemeral_ports(ports: &RangeInclusive<u16>) -> Check {
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default();
    let range = read("ip_local_port_range");
    let mut ends = range.split_ascii_whitespace().filter_map(|end| end.parse::<u16>().ok());
    let (Some(first), Some(last)) = (ends.next(), ends.next()) else {
        return Check::warn(
            "ephemeral ports",
            "the system does not tell which ports it takes for outgoing connections",
            "keep gateway.ports apart from them",
        );
    };
    let reserved = read("ip_local_reserved_ports");
    let is_taken = |port: u16| (first..=last).contains(&port) && !is_reserved(port, &reserved);
    match ports.clone().find(|port| is_taken(*port)) {
        None => Check::ok(
            "ephemeral ports",
            format!("{first}-{last} do not meet the ports that are sold"),
        ),
        Some(port) => Check::warn(
            "ephemeral ports",
            format!("the system takes {first}-{last} for outgoing connections, {port} among them, which is for sale"),
            format!(
                "sysctl -w net.ipv4.ip_local_reserved_ports={}-{}",
                ports.start(),
                ports.end()
            ),
        ),
    }
}

/// Whether a list like `8080,12001-12999` has the port.
fn is_reserved(port: u16, list: &str) -> bool {
    list.trim().split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&port))
    })
}

/// Whether all ports can be open at once, with tunnels. The server raises its soft limit to the hard one.
pub(super) fn open_files(config: &Config) -> Check {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let ports = u64::from(config.gateway.ports.end() - config.gateway.ports.start()) + 1;
    let redirects = config.gateway.redirect_port.is_some();
    let each = u64::from(!redirects) + u64::from(config.gateway.udp);
    let for_ports = (ports * each + u64::from(redirects)) * u64::try_from(config.gateway.bind.len()).unwrap_or(1);
    let needed = for_ports + 2 * USUAL_TUNNELS + RESERVED_FILES;
    if limit >= needed {
        let tunnels = (limit - for_ports - RESERVED_FILES) / 2;
        Check::ok(
            "open files",
            format!("{limit}: all ports, and {tunnels} tunnels at once"),
        )
    } else {
        Check::warn(
            "open files",
            format!("{limit} at most; all ports take {for_ports}, and each tunnel two more"),
            format!("raise it to {needed} or more: LimitNOFILE= of the service, or `ulimit -Hn`"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_are_read_as_the_kernel_writes_them() {
        let list = "8080,12001-12999\n";
        for (port, reserved) in [
            (8080, true),
            (8081, false),
            (12_001, true),
            (12_999, true),
            (13_000, false),
        ] {
            assert_eq!(is_reserved(port, list), reserved, "{port}");
        }
        assert!(!is_reserved(1, "\n"));
    }
}
