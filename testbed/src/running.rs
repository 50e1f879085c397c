//! A client program that runs beside the test.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::ports::Ports;
use crate::{eventually, poll};
use tempfile::TempDir;

/// So much of its log is shown where a test fails.
const LAST_LINES: usize = 60;

/// A client with a SOCKS5 port for its user. It is killed when dropped.
#[derive(Debug)]
pub struct Running {
    process: Child,
    home: TempDir,
    ports: Ports,
    mixes_up: bool,
}

impl Running {
    /// Starts what `command` makes of an empty directory and the port to listen at, and waits until it listens.
    #[track_caller]
    pub fn start(command: impl FnOnce(&Path, u16) -> Command) -> Self {
        let (home, ports) = (tempfile::tempdir().unwrap(), Ports::reserve(1));
        let log = File::create(home.path().join("log")).unwrap();
        let process = command(home.path(), ports.nth(0))
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut running = Self {
            process,
            home,
            ports,
            mixes_up: false,
        };
        let listens = poll(Duration::from_secs(60), || {
            if let Some(status) = running.process.try_wait().unwrap() {
                panic!("the client ended with {status}");
            }
            TcpStream::connect(running.socks()).ok()
        });
        assert!(listens.is_some(), "the client does not listen");
        running
    }

    /// The same for a client that hands an answer to whom it is not for, now and then.
    #[must_use]
    pub fn that_mixes_up(mut self) -> Self {
        self.mixes_up = true;
        self
    }

    /// Whether it does so.
    #[must_use]
    pub fn mixes_up(&self) -> bool {
        self.mixes_up
    }

    /// Waits until its port takes datagrams, which programs open after that for connections.
    #[track_caller]
    pub fn takes_datagrams(&self) {
        eventually("it takes datagrams", || UdpSocket::bind(self.port()).is_err());
    }

    /// How often it has said `words`.
    #[must_use]
    pub fn said(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    /// The last lines of its log, without those of v2ray's that count its users' connections.
    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().filter(|line| !line.contains(" accepted tcp:")).collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Its SOCKS5 port, for TCP and UDP.
    #[must_use]
    pub fn socks(&self) -> SocketAddr {
        self.port()
    }

    /// Its port, whatever it is told to do there.
    #[must_use]
    pub fn port(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.nth(0)).into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            println!("the end of the client's log:\n{}", self.last_words());
        }
    }
}
