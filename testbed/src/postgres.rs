//! A private PostgreSQL cluster: made from the server's own binaries in a temporary directory, removed on drop.
//!
//! It runs as an unprivileged user where the tests run as root (the server refuses root), listens on loopback only, and keeps
//! `fsync` on, since crash tests are about what survives.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::poll;
use crate::ports::Ports;

/// The variable that names a running cluster to use, so that a whole run of tests shares one.
pub const VARIABLE: &str = "TURNPIKE_TEST_POSTGRES";

/// Long enough for crash recovery on a busy machine.
const STARTING: Duration = Duration::from_secs(60);

/// A running cluster of its own.
#[derive(Debug)]
pub struct Cluster {
    home: TempDir,
    binaries: PathBuf,
    owner: Option<Owner>,
    ports: Ports,
    server: Option<Child>,
}

/// Whom the server runs as when we are root.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

/// Where the newest server's binaries lie: Debian's place, else the search path. `None` when there is no server.
#[must_use]
pub fn binaries() -> Option<PathBuf> {
    let version = |path: &PathBuf| path.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = installed
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file());
    debian.max_by_key(version).or_else(|| {
        std::env::split_paths(&std::env::var_os("PATH")?).find(|directory| directory.join("initdb").is_file())
    })
}

impl Cluster {
    /// Makes a cluster and starts it.
    ///
    /// # Panics
    /// When the machine has no PostgreSQL server, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        let binaries = binaries().expect("PostgreSQL's server binaries (Debian: apt-get install postgresql)");
        let home = tempfile::Builder::new()
            .prefix("turnpike-postgres-")
            .tempdir()
            .expect("a temporary directory");
        let owner = geteuid().is_root().then(unprivileged);
        if let Some(owner) = owner {
            std::os::unix::fs::chown(home.path(), Some(owner.uid), Some(owner.gid)).expect("giving the directory away");
        }
        let mut cluster = Self {
            home,
            binaries,
            owner,
            ports: Ports::reserve(1),
            server: None,
        };
        // Not synced while it is made: nothing in it is worth keeping yet. The running server syncs.
        let made = cluster
            .command("initdb")
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--pgdata",
            ])
            .arg(cluster.data())
            .output()
            .expect("running initdb");
        assert!(
            made.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        cluster.resume_service();
        cluster
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port()))
    }

    /// The address of the database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// A new, empty database; its address.
    #[must_use]
    pub fn database(&self) -> String {
        let name = fresh_name();
        self.query(&format!("CREATE DATABASE {name}"));
        self.url_of(&name)
    }

    /// What one SQL statement gives, as unaligned text, run by the superuser.
    ///
    /// # Panics
    /// When the statement fails.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        query(&self.binaries, &self.url(), sql)
    }

    /// The same in one of its databases, by its address.
    ///
    /// # Panics
    /// When the statement fails.
    #[must_use]
    #[track_caller]
    pub fn query_in(&self, url: &str, sql: &str) -> String {
        query(&self.binaries, url, sql)
    }

    /// Whether the server answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let port = self.port().to_string();
        let asked = self
            .command("pg_isready")
            .args(["-q", "-h", "127.0.0.1", "-p", &port])
            .status();
        asked.is_ok_and(|status| status.success())
    }

    /// Stops the server as a crash would: nothing is flushed, the next start recovers from the log.
    pub fn stop_immediately(&mut self) {
        self.end(Signal::QUIT);
    }

    /// Stops the server: transactions in progress are rolled back, connections closed.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Starts the server again after a stop, on the same port, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn resume_service(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the server's log");
        let server = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
                "-c",
                "max_connections=300",
            ])
            .args(["-p", &self.port().to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starting postgres");
        self.server = Some(server);
        let ready = poll(STARTING, || self.is_ready().then_some(()));
        assert!(
            ready.is_some(),
            "PostgreSQL did not start: {}",
            fs::read_to_string(self.log()).unwrap_or_default()
        );
    }

    /// Freezes the server and all its backends: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.signal_all(Signal::STOP);
    }

    /// Wakes a frozen server.
    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    /// Kills every backend that serves a client, as the system's out-of-memory killer might. The server recovers by itself.
    pub fn kill_backends(&self) {
        for pid in self
            .query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
            .lines()
        {
            signal(pid.parse().ok(), Signal::KILL);
        }
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port())
    }

    fn port(&self) -> u16 {
        self.ports.nth(0)
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        // The server's user may not be able to enter the directory that the tests run in.
        command.current_dir(self.home.path()).stdin(Stdio::null());
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        command
    }

    fn end(&mut self, by: Signal) {
        if self.server.is_none() {
            return;
        }
        self.thaw();
        let Some(mut server) = self.server.take() else { return };
        signal(i32::try_from(server.id()).ok(), by);
        if poll(STARTING, || server.try_wait().ok().flatten()).is_none() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Signals the server and its children; each child leads a process group of its own.
    fn signal_all(&self, which: Signal) {
        let Some(server) = self.server.as_ref().and_then(|server| i32::try_from(server.id()).ok()) else {
            return;
        };
        // The server first: a frozen one starts no new backends behind our back.
        signal(Some(server), which);
        for child in children(server) {
            signal(Some(child), which);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end(Signal::QUIT);
    }
}

/// A new, empty database on the cluster that [`VARIABLE`] names, or on one of its own where it names none; gone on drop.
#[derive(Debug)]
pub struct Database {
    url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Shared { url: String, name: String },
    Own { _cluster: Cluster },
}

impl Database {
    /// Makes it.
    ///
    /// # Panics
    /// When the machine has no PostgreSQL server.
    #[must_use]
    pub fn fresh() -> Self {
        let Ok(shared) = std::env::var(VARIABLE) else {
            let cluster = Cluster::start();
            return Self {
                url: cluster.database(),
                place: Place::Own { _cluster: cluster },
            };
        };
        let name = fresh_name();
        query(&client(), &shared, &format!("CREATE DATABASE {name}"));
        let (server, _) = shared
            .rsplit_once('/')
            .expect("an address that ends with a database's name");
        Self {
            url: format!("{server}/{name}"),
            place: Place::Shared { url: shared, name },
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What one SQL statement gives, as unaligned text.
    ///
    /// # Panics
    /// When the statement fails.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        query(&client(), &self.url, sql)
    }

    /// All that it holds, as `pg_dump` writes it.
    ///
    /// # Panics
    /// When it cannot be dumped.
    #[must_use]
    pub fn dump(&self) -> Vec<u8> {
        let mut command = Command::new(client().join("pg_dump"));
        let dumped = command
            .args(["--dbname", &self.url])
            .stdin(Stdio::null())
            .output()
            .expect("running pg_dump");
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
        dumped.stdout
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Place::Shared { url, name } = &self.place {
            // No panic on the way out: the cluster is thrown away in any case.
            let _ = psql(&client(), url, &format!("DROP DATABASE {name} WITH (FORCE)")).output();
        }
    }
}

/// The directory of `psql`: the server's, else whatever the search path finds.
fn client() -> PathBuf {
    binaries().unwrap_or_default()
}

#[track_caller]
fn query(binaries: &Path, url: &str, sql: &str) -> String {
    let asked = psql(binaries, url, sql).output().expect("running psql");
    assert!(
        asked.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&asked.stderr)
    );
    String::from_utf8_lossy(&asked.stdout).trim_end().to_owned()
}

fn psql(binaries: &Path, url: &str, sql: &str) -> Command {
    let mut command = Command::new(binaries.join("psql"));
    command
        .args([
            "--no-psqlrc",
            "--no-align",
            "--tuples-only",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--dbname",
            url,
            "--command",
            sql,
        ])
        .stdin(Stdio::null());
    command
}

/// A database name that no other test of any process uses.
fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn unprivileged() -> Owner {
    let users = fs::read_to_string("/etc/passwd").expect("the list of users");
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(Owner {
            uid: fields.next()?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .expect("a user `postgres` or `nobody`, since the server refuses root")
}

/// The processes whose parent is `parent`.
fn children(parent: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name in parentheses may hold anything; the parent is the second field after it.
            let (_, fields) = stat.rsplit_once(')')?;
            (fields.split_whitespace().nth(1)?.parse() == Ok(parent)).then_some(pid)
        })
        .collect()
}

fn signal(pid: Option<i32>, which: Signal) {
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // A process that is gone needs no signal.
        let _ = kill_process(pid, which);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_survives_a_crash_and_a_freeze_and_leaves_nothing_behind() {
        if binaries().is_none() {
            return crate::skip("no PostgreSQL server on this machine");
        }
        let mut cluster = Cluster::start();
        assert_eq!(cluster.query("SHOW fsync"), "on");
        cluster.query("CREATE TABLE kept AS SELECT 42 AS answer");

        cluster.stop_immediately();
        cluster.resume_service();
        assert_eq!(cluster.query("SELECT answer FROM kept"), "42");

        cluster.freeze();
        let frozen = Command::new(cluster.binaries.join("pg_isready"))
            .args(["-q", "-t", "1", "-h", "127.0.0.1", "-p", &cluster.port().to_string()])
            .status();
        assert!(!frozen.expect("running pg_isready").success());
        cluster.thaw();
        assert_eq!(cluster.query("SELECT answer FROM kept"), "42");

        let home = cluster.home.path().to_owned();
        drop(cluster);
        assert!(!home.exists());
    }
}
