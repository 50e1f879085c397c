//! Debian's shadowsocks-libev: small programs in C that know the methods from before 2022.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use testbed::origin::Origin;
use testbed::turnpike::Subscription;
use testbed::{program, skip};

use crate::links::Shadowsocks;
use crate::world::{EXIT, World};
use testbed::Running;

/// What fits into a packet of Ethernet.
const LENGTHS: &[usize] = &[1, 2, 100, 512, 1_200, 1_350];

/// A subscription, and one of the programs that has been told its link but for the method.
fn configured(name: &str, method: &str, options: &[&str]) -> Option<(World, Running)> {
    let program = installed(name)?;
    let world = World::new();
    let client = started(&world.bought, program, method, options);
    Some((world, client))
}

/// ss-tunnel with a port that leads to one destination; absent where this machine has none, and that has been said.
pub(crate) fn leading_to(to: SocketAddr, bought: &Subscription, method: &str) -> Option<Running> {
    let program = installed("ss-tunnel")?;
    Some(started(bought, program, method, &["-L", &to.to_string()]))
}

fn installed(name: &str) -> Option<PathBuf> {
    let program = program(name);
    if program.is_none() {
        skip("no shadowsocks-libev on this machine (Debian: shadowsocks-libev)");
    }
    program
}

fn started(bought: &Subscription, program: PathBuf, method: &str, options: &[&str]) -> Running {
    let link = Shadowsocks::read(&bought.shadowsocks);
    Running::start(|_, port| {
        let mut command = Command::new(program);
        // Both TCP and UDP.
        command.args(["-b", "127.0.0.1", "-u", "-l", &port.to_string()]);
        command.args([
            "-s",
            &link.host,
            "-p",
            &link.port.to_string(),
            "-m",
            method,
            "-k",
            &bought.password,
        ]);
        command.args(options);
        command
    })
}

#[track_caller]
fn ss_local_serves(method: &str) {
    let Some((world, client)) = configured("ss-local", method, &[]) else {
        return;
    };
    world.connects(&client);
    world.holds_many(&client);
    // When its user finishes, it closes: it has no half of a stream.
    world.exchanges(&client, LENGTHS);
    assert_eq!(world.talks_to_many(&client), 1);
}

#[test]
fn ss_local_by_chacha20() {
    ss_local_serves("chacha20-ietf-poly1305");
}

#[test]
fn ss_local_by_aes_256() {
    ss_local_serves("aes-256-gcm");
}

#[test]
fn ss_local_by_aes_128() {
    ss_local_serves("aes-128-gcm");
}

#[test]
fn ss_tunnel_leads_to_one_destination() {
    let (echo, datagrams) = (Origin::echo(), Origin::udp());
    for (origin, is_tcp) in [(&echo, true), (&datagrams, false)] {
        let to = origin.address().to_string();
        let Some((_world, client)) = configured("ss-tunnel", "aes-256-gcm", &["-L", &to]) else {
            return;
        };
        if is_tcp {
            let tunnel = TcpStream::connect(client.socks()).unwrap();
            testbed::tunnel::echoes(&tunnel, &testbed::origin::pattern(1_000_000)).unwrap();
        } else {
            assert_eq!(asked(client.socks(), b"hello"), format!("{EXIT} hello").as_bytes());
        }
        let exit: IpAddr = EXIT.parse().unwrap();
        assert!(origin.visitors().iter().all(|from| *from == exit));
    }
}

/// Sends a datagram; what comes back.
fn asked(to: SocketAddr, content: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket.send_to(content, to).unwrap();
    let mut answer = vec![0; 65_536];
    let length = socket.recv(&mut answer).unwrap();
    answer.truncate(length);
    answer
}
