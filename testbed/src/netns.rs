//! Network namespaces joined by virtual cables: machines of their own, as far as the network is concerned, gone on drop.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace with its loopback up.
#[derive(Debug, Clone)]
pub struct Namespace(Arc<Named>);

#[derive(Debug)]
struct Named(String);

impl Namespace {
    /// Makes one, or says why this machine does not let us (it takes root and `ip` of iproute2).
    ///
    /// # Errors
    /// A sentence for [`crate::skip`].
    ///
    /// # Panics
    /// When the namespace can be made but not used.
    pub fn new() -> Result<Self, String> {
        let ip = crate::program("ip").ok_or("no `ip` on this machine (Debian: iproute2)")?;
        let name = format!("tp{}", fresh_label());
        let made = Command::new(ip)
            .args(["netns", "add", &name])
            .output()
            .map_err(|error| error.to_string())?;
        if !made.status.success() {
            return Err(format!(
                "no network namespaces here: {}",
                String::from_utf8_lossy(&made.stderr).trim()
            ));
        }
        let namespace = Self(Arc::new(Named(name)));
        namespace.ip("link set lo up");
        Ok(namespace)
    }

    /// Its name, as `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.0
    }

    /// Runs `ip` in it with these arguments, separated by blanks.
    ///
    /// # Panics
    /// When `ip` refuses.
    #[track_caller]
    pub fn ip(&self, arguments: &str) {
        run(&format!("-netns {} {arguments}", self.name()));
    }

    /// Lays a cable between two namespaces: device `here` in this one, `there` in `other`, both up, without addresses.
    #[track_caller]
    pub fn connect(&self, here: &str, other: &Self, there: &str) {
        run(&format!(
            "link add {here} netns {} type veth peer name {there} netns {}",
            self.name(),
            other.name()
        ));
        self.ip(&format!("link set {here} up"));
        other.ip(&format!("link set {there} up"));
    }

    /// A command that runs a program inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name()]).arg(program);
        command
    }

    /// Runs `work` inside, on a thread of its own; sockets opened there, and by threads it starts, belong to the namespace.
    ///
    /// # Panics
    /// When `work` does.
    #[track_caller]
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name())).expect("the namespace");
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("entering the namespace");
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // Its devices go with it.
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).output();
    }
}

/// Short enough for the names of devices, which have at most 15 bytes.
fn fresh_label() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{:x}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

#[track_caller]
fn run(arguments: &str) {
    let done = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("running ip");
    assert!(
        done.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;
    use crate::origin::Origin;

    #[test]
    fn two_namespaces_see_each_other_by_their_cable() {
        let (left, right) = match (Namespace::new(), Namespace::new()) {
            (Ok(left), Ok(right)) => (left, right),
            (Err(why), _) | (_, Err(why)) => return crate::skip(&why),
        };
        left.connect("east", &right, "west");
        left.ip("addr add 10.1.0.1/24 dev east");
        right.ip("addr add 10.1.0.2/24 dev west");
        let origin = right.enter(|| Origin::http_at("10.1.0.2".parse().expect("an address")));
        let answer = left.enter(|| crate::http::request(origin.address(), "GET", "/", &[], b""));
        assert_eq!(answer.body, "10.1.0.1");

        let name = left.name().to_owned();
        drop(left);
        let gone = Command::new("ip")
            .args(["netns", "exec", &name, "true"])
            .stderr(Stdio::null())
            .status();
        assert!(!gone.expect("running ip").success());
    }
}
