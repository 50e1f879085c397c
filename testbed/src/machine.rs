//! What this machine offers to tests: programs of other people, and what to do where one is missing.

use std::env;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The variable that names a file where skipped tests are written down, so that whoever runs them all can say so at the end.
pub const SKIPPED_VARIABLE: &str = "TURNPIKE_TEST_SKIPPED";

/// Finds a program on the search path, or where daemons lie.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(daemons)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// The virtual environment of the Python programs that stand in for customers' clients. `cargo xtask setup` fills it.
#[must_use]
pub fn python_environment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("target")
        .join("python")
}

/// Its interpreter, where it has been made.
#[must_use]
pub fn python() -> Option<PathBuf> {
    let interpreter = python_environment().join("bin/python");
    interpreter.is_file().then_some(interpreter)
}

/// Where `cargo xtask setup --shadowsocks-rust` installs the client of shadowsocks-rust.
#[must_use]
pub fn shadowsocks_rust() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("target")
        .join("shadowsocks-rust")
}

/// Where `cargo xtask setup` installs the clients that run on Node: `target/clients-node/node_modules`.
#[must_use]
pub fn node_modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("target")
        .join("clients-node/node_modules")
}

/// Says that the running test cannot run here, and why.
///
/// # Panics
/// When the file that collects them cannot be written.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {why}", thread.name().unwrap_or("a test"));
    println!("skipped: {line}");
    if let Some(file) = env::var_os(SKIPPED_VARIABLE) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(file)
            .expect("the list of skipped tests");
        writeln!(file, "{line}").expect("writing to the list of skipped tests");
    }
}
