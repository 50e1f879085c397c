//! More than there is room for: descriptors, connections that prove nothing, peers that take their time. Whoever is let in is
//! served, the process does not spin, and all is well again afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test's broken assumption should stop it, and what was measured may be read"
)]

mod churn;
mod descriptors;
mod flood;
mod noise;
mod refused;
mod slow;

use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use testbed::turnpike::Turnpike;

/// This process may open as many files as the system lets it: it plays many clients.
fn many_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("raising the limit of open files");
}

/// A connection from one of this machine's many loopback addresses.
fn connect_from(source: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect_timeout(&to.into(), Duration::from_secs(10))?;
    Ok(socket.into())
}

/// Whether the other side has closed a connection that nothing is expected on.
fn is_closed(connection: &TcpStream) -> bool {
    connection.set_nonblocking(true).unwrap();
    let read = { connection }.read(&mut [0; 512]);
    connection.set_nonblocking(false).unwrap();
    match read {
        Ok(length) => length == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// How many files the server has open.
fn open_files(shop: &Turnpike) -> usize {
    fs::read_dir(format!("/proc/{}/fd", shop.pid()))
        .expect("the server's files")
        .count()
}

/// How much processor time the server has used so far.
fn processor_time(shop: &Turnpike) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", shop.pid())).expect("the server's state");
    // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it, in ticks of 10 ms.
    let (_, fields) = stat.rsplit_once(')').expect("a process's state");
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().expect("ticks"))
        .sum();
    Duration::from_millis(ticks * 10)
}
