//! Whether the name servers answer.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::net::UdpSocket;

use super::Check;

const SYSTEM_LIST: &str = "/etc/resolv.conf";
const PATIENCE: Duration = Duration::from_secs(2);
/// A datagram may get lost.
const ATTEMPTS: u32 = 2;

pub(super) async fn check(configured: &[SocketAddr]) -> Vec<Check> {
    let (servers, advice) = if configured.is_empty() {
        match system_servers() {
            Ok(servers) => (servers, format!("mend {SYSTEM_LIST}, or set gateway.dns_servers")),
            Err(error) => {
                return vec![Check::fail(
                    "name servers",
                    format!("{error:#}"),
                    format!("mend {SYSTEM_LIST}, or set gateway.dns_servers"),
                )];
            }
        }
    } else {
        (configured.to_vec(), "mend gateway.dns_servers".to_owned())
    };
    let (mut well, mut checks) = (Vec::new(), Vec::new());
    for server in servers {
        match ask(server).await {
            Ok(()) => well.push(server.to_string()),
            Err(error) => checks.push(Check::warn(
                "name servers",
                format!("{server}: {error:#}"),
                advice.clone(),
            )),
        }
    }
    if well.is_empty() {
        // Customers could dial addresses only.
        return vec![Check::fail(
            "name servers",
            match checks.len() {
                0 => "there is none".to_owned(),
                _ => checks
                    .iter()
                    .map(|check| check.found.as_str())
                    .collect::<Vec<_>>()
                    .join("; "),
            },
            advice,
        )];
    }
    checks.push(Check::ok("name servers", format!("{} answers", well.join(", "))));
    checks
}

fn system_servers() -> anyhow::Result<Vec<SocketAddr>> {
    let text = fs::read(SYSTEM_LIST).with_context(|| format!("{SYSTEM_LIST} cannot be read"))?;
    let (list, _) = parse_resolv_conf(text).with_context(|| format!("{SYSTEM_LIST} cannot be understood"))?;
    Ok(list
        .name_servers()
        .iter()
        .map(|server| SocketAddr::new(server.ip, 53))
        .collect())
}

/// Asks for the root's name servers, which every resolver knows.
async fn ask(server: SocketAddr) -> anyhow::Result<()> {
    let from: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((from, 0)).await.context("no socket can be opened")?;
    socket.connect(server).await.context("it cannot be reached")?;
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(Name::root(), RecordType::NS));
    let bytes = question.to_vec()?;
    for _ in 0..ATTEMPTS {
        socket.send(&bytes).await.context("it cannot be reached")?;
        match tokio::time::timeout(PATIENCE, answer(&socket, question.metadata.id)).await {
            Ok(answered) => return answered,
            Err(_) => continue,
        }
    }
    bail!("it does not answer")
}

async fn answer(socket: &UdpSocket, id: u16) -> anyhow::Result<()> {
    let mut buffer = [0; 4_096];
    loop {
        let length = socket.recv(&mut buffer).await.context("it cannot be reached")?;
        let Ok(message) = Message::from_vec(buffer.get(..length).unwrap_or_default()) else {
            continue;
        };
        if message.metadata.id == id {
            return match message.metadata.response_code {
                ResponseCode::Refused => bail!("it refuses to answer this machine"),
                _ => Ok(()),
            };
        }
    }
}
