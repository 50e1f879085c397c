//! The real binary with a configuration, a catalogue and a database of its own.
//!
//! ```no_run
//! # use testbed::turnpike::Turnpike;
//! let shop = Turnpike::with().network("NL-AMS").pool("nl-1", &["127.0.0.11"]).start();
//! let bought = shop.buy("NL-AMS");
//! assert!(bought.socks5.starts_with("socks5://"));
//! ```
//!
//! When the fixture is dropped, the server must stop cleanly on SIGTERM and `turnpike audit` must find the books in order,
//! whatever else the test looked at.

mod builder;
mod customer;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use builder::Builder;
pub use customer::{Customer, Subscription};

use crate::http::{self, Answer};
use crate::netns::Namespace;
use crate::poll;
use crate::ports::Ports;
use crate::postgres::Database;

/// Starting and stopping take well under a second, except on a machine that does a dozen other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running installation. It dereferences to its first customer, who has the balance and the key that the builder says.
#[derive(Debug)]
pub struct Turnpike {
    home: TempDir,
    ports: Ports,
    namespace: Option<Namespace>,
    database: Option<Database>,
    environment: Vec<(String, String)>,
    descriptors: Option<u32>,
    server: Option<Child>,
    customer: OnceLock<Customer>,
    /// Somebody else proves its books.
    is_left_unproved: bool,
}

/// Another binary than cargo's, for who is no test.
static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// Runs this binary from now on. The first to say so is heard.
pub fn use_binary(binary: PathBuf) {
    BINARY.get_or_init(|| binary);
}

/// The binary that cargo built beside the test that is running, or the one of [`use_binary`].
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(binary) = BINARY.get() {
        return binary.clone();
    }
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let binary = profile.join("turnpike");
    assert!(
        binary.is_file(),
        "{} is missing: these tests belong to the package `turnpike`",
        binary.display()
    );
    binary
}

impl Turnpike {
    /// A builder with nothing to sell yet.
    #[must_use]
    pub fn with() -> Builder {
        Builder::new()
    }

    /// Where the API listens.
    #[must_use]
    pub fn api(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.nth(0)))
    }

    /// Where metrics are served.
    #[must_use]
    pub fn metrics(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.nth(1)))
    }

    /// The URL of a path of the API's server.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api())
    }

    /// The directory with the configuration, the catalogue, the database and the log.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The database, where it is on PostgreSQL.
    #[must_use]
    pub fn postgres(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// The address of the database.
    ///
    /// # Panics
    /// When the configuration is not there.
    #[must_use]
    pub fn database_url(&self) -> String {
        let configuration = fs::read_to_string(self.home().join("turnpike.toml")).expect("the configuration");
        let url = configuration.lines().find_map(|line| line.strip_prefix("url = "));
        url.expect("a database").trim_matches('"').to_owned()
    }

    /// The server's process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("a running server").id()
    }

    /// What the server has logged so far, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// What the server has printed so far to its standard output, over all its starts.
    #[must_use]
    pub fn printed(&self) -> String {
        fs::read_to_string(self.printed_file()).unwrap_or_default()
    }

    /// Another customer with this balance and a key.
    #[must_use]
    pub fn customer(&self, email: &str, cents: i64) -> Customer {
        self.run(&["account", "create", email]);
        if cents > 0 {
            self.run(&["account", "credit", email, &cents.to_string()]);
        }
        self.key(email, &[])
    }

    /// The same customer with a new key; `options` are those of `turnpike key create`.
    #[must_use]
    pub fn key(&self, email: &str, options: &[&str]) -> Customer {
        let printed = self.run(&[&["key", "create", email], options].concat());
        let key = printed.split_whitespace().find(|word| word.starts_with("rk_"));
        let key = key.unwrap_or_else(|| panic!("no key in {printed:?}")).to_owned();
        Customer::new(email.to_owned(), key, self.api(), self.namespace.clone())
    }

    /// A command of the binary on this installation, to be run by the caller.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match (&self.namespace, self.descriptors) {
            (Some(namespace), _) => namespace.command(binary()),
            (None, Some(limit)) => {
                // It becomes the binary, so the process that is started is the one to be signalled.
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={limit}:{limit}")).arg(binary());
                command
            }
            (None, None) => Command::new(binary()),
        };
        command
            .current_dir(self.home())
            .arg("--config")
            .arg(self.home().join("turnpike.toml"))
            .args(arguments);
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the binary to its end.
    #[must_use]
    pub fn try_run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("running turnpike")
    }

    /// Runs a command of the binary, which must succeed; what it printed.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        let (said, complained) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "turnpike {}: {} {said}{complained}",
            arguments.join(" "),
            output.status
        );
        said.into_owned()
    }

    /// Applies another catalogue.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn apply(&self, catalogue: &str) {
        let file = self.home().join("catalogue.toml");
        fs::write(&file, catalogue).expect("writing the catalogue");
        self.run(&["apply", &file.to_string_lossy()]);
    }

    /// Asks the API's server for a path, without a key.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.inside(|| http::request(self.api(), "GET", path, &[], b""))
    }

    /// What an account has, in cents.
    ///
    /// # Panics
    /// When there is no such account.
    #[must_use]
    #[track_caller]
    pub fn balance(&self, email: &str) -> i64 {
        let shown = self.run(&["account", "show", email, "--limit", "0", "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("an account as JSON");
        shown["balance"]
            .as_i64()
            .unwrap_or_else(|| panic!("no balance in {shown}"))
    }

    /// Proves the books.
    ///
    /// # Panics
    /// When anything is off.
    #[track_caller]
    pub fn audit(&self) {
        self.run(&["audit"]);
    }

    /// Does not prove the books at its end, for who writes into them what only the shop can make right.
    pub fn leave_unproved(&mut self) {
        self.is_left_unproved = true;
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Panics
    /// When it ends instead.
    #[track_caller]
    pub fn serve(&mut self) {
        self.launch();
        let ready = poll(PATIENCE, || {
            let status = self
                .server
                .as_mut()
                .and_then(|server| server.try_wait().expect("the server's state"));
            if let Some(status) = status {
                panic!("turnpike serve ended with {status}:\n{}", self.log());
            }
            self.is_ready().then_some(())
        });
        assert!(ready.is_some(), "turnpike serve did not get ready:\n{}", self.log());
    }

    /// Starts the server and does not wait for it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn launch(&mut self) {
        let kept = |file: PathBuf| File::options().create(true).append(true).open(file);
        let mut command = self.command(&["serve"]);
        let server = command
            .stdout(kept(self.printed_file()).expect("what is printed"))
            .stderr(kept(self.log_file()).expect("the log"))
            .spawn()
            .expect("starting turnpike");
        self.server = Some(server);
    }

    /// Whether `/readyz` answers 200.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let answer = self.inside(|| http::try_request(self.api(), "GET", "/readyz", &[], b""));
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Sends a signal to the server.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            kill_process(pid, signal).expect("signalling the server");
        }
    }

    /// Waits until the server has ended.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut server = self.server.take().expect("a running server");
        let ended = poll(PATIENCE, || server.try_wait().expect("the server's state"));
        ended.unwrap_or_else(|| {
            let _ = server.kill();
            panic!("the server did not end:\n{}", self.log())
        })
    }

    /// Asks the server to stop, which it must do cleanly.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "the server ended with {status}:\n{}", self.log());
    }

    /// Kills the server as a crash would, without a chance to write anything down.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Runs `work` where the server's network is.
    #[track_caller]
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.namespace {
            Some(namespace) => namespace.enter(work),
            None => work(),
        }
    }

    fn log_file(&self) -> PathBuf {
        self.home().join("log")
    }

    fn printed_file(&self) -> PathBuf {
        self.home().join("printed")
    }
}

impl Deref for Turnpike {
    type Target = Customer;

    fn deref(&self) -> &Customer {
        self.customer.get().expect("the first customer")
    }
}

impl Drop for Turnpike {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Some(mut server) = self.server.take() {
                let _ = server.kill();
                let _ = server.wait();
            }
            println!("the server's log:\n{}", self.log());
            return;
        }
        if self.server.is_some() {
            self.stop();
        }
        if !self.is_left_unproved {
            self.audit();
        }
    }
}
