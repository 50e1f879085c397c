//! DNS as people have it, through a port: dig asks, Debian's unbound answers.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use testbed::ports::Ports;
use testbed::{poll, program, skip};

use crate::lanes::{Lane, SING_BOX, SS_TUNNEL, V2RAY};
use crate::world::{EXIT, World};

/// An authority for `example.`, which is killed when dropped.
struct Unbound {
    process: Child,
    home: TempDir,
    ports: Ports,
}

impl Unbound {
    /// Starts it, or says that there is no such program.
    fn start() -> Option<Self> {
        let Some(program) = program("unbound") else {
            skip("no unbound on this machine (Debian: unbound)");
            return None;
        };
        let (home, ports) = (tempfile::tempdir().unwrap(), Ports::reserve(1));
        let long = format!("local-data: 'long.example. TXT {}'", "\"0123456789abcdef\" ".repeat(60));
        let configuration = format!(
            "server:
                interface: 127.0.0.1@{port}
                access-control: 127.0.0.0/8 allow
                do-daemonize: no
                chroot: \"\"
                username: \"\"
                directory: \"{home}\"
                pidfile: \"\"
                use-syslog: no
                log-queries: yes
                max-udp-size: 4096
                local-zone: example. static
                local-data: 'origin.example. A 192.0.2.7'
                local-data: 'origin.example. AAAA 2001:db8::7'
                {long}
            remote-control:
                control-enable: no
            ",
            port = ports.nth(0),
            home = home.path().display(),
        );
        let file = home.path().join("unbound.conf");
        fs::write(&file, configuration).unwrap();
        let log = File::create(home.path().join("log")).unwrap();
        let process = Command::new(program)
            .args(["-d", "-c"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut unbound = Self { process, home, ports };
        let answers = poll(Duration::from_secs(30), || {
            if let Some(status) = unbound.process.try_wait().unwrap() {
                panic!("unbound ended with {status}: {}", unbound.log());
            }
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            // `example.` SOA, which it answers by itself.
            let question = [
                &[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7][..],
                b"example",
                &[0, 0, 6, 0, 1],
            ]
            .concat();
            socket.send_to(&question, unbound.address()).ok()?;
            socket.recv(&mut [0; 512]).ok()
        });
        assert!(answers.is_some(), "unbound does not answer: {}", unbound.log());
        Some(unbound)
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.nth(0)).into()
    }

    /// What it says, with every question and who asked it.
    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap()
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// dig, or the words that there is none.
fn dig() -> Option<PathBuf> {
    let dig = program("dig");
    if dig.is_none() {
        skip("no dig on this machine (Debian: bind9-dnsutils)");
    }
    dig
}

fn answers_come_by(lanes: &[Lane]) {
    answers_come_by_in(&World::new(), lanes, false);
}

/// The same where the way out is another, which may be one that cannot be relied on.
pub(crate) fn answers_come_by_in(world: &World, lanes: &[Lane], mixes_up: bool) {
    let (Some(dig), Some(unbound)) = (dig(), Unbound::start()) else {
        return;
    };
    for (number, lane) in lanes.iter().enumerate() {
        let Some(client) = lane.to(unbound.address(), &world.bought) else {
            return;
        };
        let port = client.port().port().to_string();
        let ask = |words: &[&str]| {
            // By UDP and nothing else, whatever the answer's size, and asked only once where all others on the way can be relied on.
            let tries = if mixes_up || client.mixes_up() {
                ["+tries=5", "+time=3"]
            } else {
                ["+tries=1", "+time=30"]
            };
            let asked = Command::new(&dig)
                .args(["@127.0.0.1", "-p", &port, "+notcp", "+ignore", "+bufsize=1400"])
                .args(tries)
                .args(words)
                .output()
                .unwrap();
            assert!(asked.status.success(), "{}: {asked:?}", lane.name);
            String::from_utf8(asked.stdout).unwrap()
        };
        assert_eq!(ask(&["+short", "origin.example", "A"]), "192.0.2.7\n", "{}", lane.name);
        assert_eq!(
            ask(&["+short", "origin.example", "AAAA"]),
            "2001:db8::7\n",
            "{}",
            lane.name
        );
        let long = ask(&["long.example", "TXT"]);
        assert!(!long.contains("flags: qr aa tc"), "{}: {long}", lane.name);
        assert_eq!(long.matches("0123456789abcdef").count(), 60, "{}", lane.name);
        let own = format!("no-such-name-{number}.example");
        assert!(ask(&[&own]).contains("status: NXDOMAIN"), "{}", lane.name);
        let asked_by_the_exit = format!("info: {EXIT} {own}. A IN");
        assert!(
            unbound.log().contains(&asked_by_the_exit),
            "{}: {}",
            lane.name,
            unbound.log()
        );
    }
}

#[test]
fn answers_come_by_every_protocol_of_sing_box() {
    answers_come_by(SING_BOX);
}

#[test]
fn answers_come_by_every_protocol_of_v2ray() {
    answers_come_by(V2RAY);
}

#[test]
fn answers_come_by_every_method_of_ss_tunnel() {
    answers_come_by(SS_TUNNEL);
}
