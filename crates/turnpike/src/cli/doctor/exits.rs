//! Whether this machine has what its exits leave by. Nothing is dialled but upstream proxies.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use ipnet::Ipv6Net;
use rand::RngExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use turnpike_shop::Shop;
use turnpike_shop::catalogue::{ExitWay, RotateMethod};
use turnpike_shop::routes::{self, RouteExit};
use url::Url;

use super::Check;

/// For one upstream proxy.
const PATIENCE: Duration = Duration::from_secs(4);
/// Upstream proxies that are asked at once.
const AT_ONCE: usize = 32;
/// Exits that are named one by one.
const MOST_NAMED: usize = 20;

/// What is wrong with an exit, and what to do.
struct Problem {
    found: String,
    advice: String,
    /// It works all the same, in part.
    is_usable: bool,
}

pub(super) async fn check(shop: &Shop, gateway: &str) -> Vec<Check> {
    let exits = match routes::changes_since(shop, gateway, 0).await {
        Ok(changes) => changes.exits,
        Err(error) => {
            return vec![Check::fail(
                "exits",
                error.to_string(),
                "nothing can be sold without them",
            )];
        }
    };
    if exits.is_empty() {
        return vec![Check::warn(
            "exits",
            format!("the gateway {gateway} has none"),
            "write a catalogue and `turnpike apply` it",
        )];
    }
    let count = exits.len();
    let problems = problems(exits).await;
    let unfit = problems.iter().filter(|problem| !problem.is_usable).count();
    let named = problems.len().min(MOST_NAMED);
    let more = problems.len() - named;
    let mut checks: Vec<Check> = problems
        .into_iter()
        .take(MOST_NAMED)
        .map(|problem| match problem.is_usable {
            true => Check::warn("exits", problem.found, problem.advice),
            false => Check::fail("exits", problem.found, problem.advice),
        })
        .collect();
    if more > 0 {
        checks.push(Check::warn(
            "exits",
            format!("{more} more are alike"),
            "mend these first",
        ));
    }
    let summary = format!("{} of {count} can be used", count - unfit);
    checks.push(if unfit == 0 {
        Check::ok("exits", summary)
    } else {
        Check::fail("exits", summary, "see above")
    });
    checks
}

async fn problems(exits: Vec<RouteExit>) -> Vec<Problem> {
    let mut asked = JoinSet::new();
    let mut problems = Vec::new();
    for exit in exits {
        if asked.len() >= AT_ONCE
            && let Some(Ok(found)) = asked.join_next().await
        {
            problems.extend(found);
        }
        asked.spawn(async move { problem(&exit).await });
    }
    for found in asked.join_all().await {
        problems.extend(found);
    }
    problems.sort_by(|one, other| one.found.cmp(&other.found));
    problems
}

async fn problem(exit: &RouteExit) -> Option<Problem> {
    let of_way = match &exit.spec.way {
        ExitWay::Addresses(pool) => of_pool(&exit.name, pool),
        ExitWay::Prefix(prefix) => of_prefix(&exit.name, prefix),
        ExitWay::Interface(device) => of_device(&exit.name, device),
        ExitWay::Upstream(url) => of_upstream(&exit.name, url).await,
    };
    of_way.or_else(|| match &exit.spec.rotate {
        Some(RotateMethod::Command(command)) => of_command(&exit.name, command),
        Some(RotateMethod::Http(_)) | None => None,
    })
}

/// Whether sockets can be bound to an address without further ado: the machine has it, or a local route to it.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn of_pool(name: &str, pool: &[IpAddr]) -> Option<Problem> {
    let absent: Vec<String> = pool
        .iter()
        .filter(|address| !is_here(**address))
        .map(ToString::to_string)
        .collect();
    (!absent.is_empty()).then(|| Problem {
        found: format!("{name}: this machine does not have {}", absent.join(", ")),
        advice: "`ip address add` them, or take them out of the catalogue".to_owned(),
        is_usable: absent.len() < pool.len(),
    })
}

fn of_prefix(name: &str, prefix: &Ipv6Net) -> Option<Problem> {
    let any = prefix.network().to_bits() | (rand::rng().random::<u128>() & prefix.hostmask().to_bits());
    (!is_here(IpAddr::V6(any.into()))).then(|| Problem {
        found: format!("{name}: the addresses of {prefix} are not routed to this machine"),
        advice: format!("ip -6 route add local {prefix} dev lo"),
        is_usable: false,
    })
}

fn of_device(name: &str, device: &str) -> Option<Problem> {
    let problem = |found: String, advice: String, is_usable| {
        Some(Problem {
            found: format!("{name}: {found}"),
            advice,
            is_usable,
        })
    };
    let Ok(state) = fs::read_to_string(format!("/sys/class/net/{device}/operstate")) else {
        return problem(
            format!("there is no network device {device}"),
            "plug it in, or mend its name in the catalogue".to_owned(),
            false,
        );
    };
    // Modems and tunnels say "unknown" when they are up.
    if !matches!(state.trim(), "up" | "unknown") {
        return problem(
            format!("the network device {device} is {}", state.trim()),
            format!("ip link set {device} up"),
            false,
        );
    }
    let filter = |of: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{of}/rp_filter")).unwrap_or_default();
        text.trim().parse::<u8>().unwrap_or(0)
    };
    // The stricter of the two counts (kernel's ip-sysctl), and 2 is the looser one.
    if filter("all").max(filter(device)) == 1 {
        return problem(
            format!("the kernel drops answers that arrive on {device} but would leave elsewhere"),
            format!("sysctl -w net.ipv4.conf.{device}.rp_filter=2"),
            true,
        );
    }
    None
}

/// The URL is never shown: it may hold a password.
async fn of_upstream(name: &str, url: &str) -> Option<Problem> {
    let unreachable = |why: String| {
        Some(Problem {
            found: format!("{name}: {why}"),
            advice: "start it, or mend its address in the catalogue".to_owned(),
            is_usable: false,
        })
    };
    let url = Url::parse(url).ok();
    let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host_str()?))) else {
        return unreachable("its upstream is no address of a proxy".to_owned());
    };
    let usual_port = if url.scheme() == "http" { 80 } else { 1080 };
    let port = url.port().unwrap_or(usual_port);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match tokio::time::timeout(PATIENCE, TcpStream::connect((bare, port))).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => unreachable(format!("the upstream proxy {host}:{port} cannot be reached: {error}")),
        Err(_) => unreachable(format!("the upstream proxy {host}:{port} does not answer")),
    }
}

fn of_command(name: &str, command: &[String]) -> Option<Problem> {
    let program = command.first()?;
    let is_program = |path: &Path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    let is_there = if program.contains('/') {
        is_program(Path::new(program))
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
    };
    (!is_there).then(|| Problem {
        found: format!("{name}: {program}, which is to rotate it, is not there or cannot be run"),
        advice: "install it, or mend `rotate` in the catalogue".to_owned(),
        is_usable: true,
    })
}
