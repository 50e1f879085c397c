//! Network namespaces joined by virtual cables: machines of their own, as far as the network is concerned.
//!
//! A namespace is in the care of a small process that waits until its standard input ends, which is when the namespace is
//! dropped or the test's process is gone, in whatever way. It then ends what still runs inside, and removes the namespace
//! with its devices, addresses and rules: nothing is left behind, not even by a test that was interrupted.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace with its loopback up.
#[derive(Debug, Clone)]
pub struct Namespace(Arc<Named>);

#[derive(Debug)]
struct Named {
    name: String,
    keeper: Child,
}

/// What the keeper does. The names of the namespace and of `ip` are its arguments.
const KEEPER: &str = r#"
trap '' INT TERM HUP
"$1" netns add "$0" || exit 1
"$1" -netns "$0" link set lo up && echo ready && cat > /dev/null
for pid in $("$1" netns pids "$0"); do kill -9 "$pid"; done
rm -rf "/etc/netns/$0"
"$1" netns delete "$0"
"#;

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
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, &name])
            .arg(ip)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What is typed at the terminal or sent to the test's group is not meant for it.
            .process_group(0)
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut said = String::new();
        let output = keeper.stdout.take().expect("the keeper's output");
        BufReader::new(output).read_line(&mut said).expect("the keeper's word");
        if said == "ready\n" {
            return Ok(Self(Arc::new(Named { name, keeper })));
        }
        let mut complaint = String::new();
        let complaints = keeper.stderr.take().expect("the keeper's complaints");
        let _ = BufReader::new(complaints).read_to_string(&mut complaint);
        let _ = keeper.wait();
        Err(format!("no network namespaces here: {}", complaint.trim()))
    }

    /// Its name, as `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
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

    /// Adds rules to its firewall, as `nft -f` reads them.
    ///
    /// # Panics
    /// When there is no `nft`, or it refuses.
    #[track_caller]
    pub fn nft(&self, rules: &str) {
        let mut nft = self
            .command("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("running nft (Debian: nftables)");
        let mut input = nft.stdin.take().expect("its input");
        input.write_all(rules.as_bytes()).expect("writing to nft");
        drop(input);
        let done = nft.wait_with_output().expect("nft's end");
        assert!(done.status.success(), "nft: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Sets a value of the kernel's in it, such as `net/ipv4/ip_forward`.
    ///
    /// # Panics
    /// When there is no such value.
    #[track_caller]
    pub fn sysctl(&self, name: &str, value: &str) {
        let written = self.enter(|| std::fs::write(format!("/proc/sys/{name}"), value));
        written.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Has the programs that are run by [`Namespace::command`] ask this name server, at port 53.
    ///
    /// # Panics
    /// When that cannot be written down.
    pub fn resolves_by(&self, name_server: std::net::IpAddr) {
        // `ip netns exec` puts what lies here in the place of the machine's own.
        let folder = std::path::Path::new("/etc/netns").join(self.name());
        let written = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join("resolv.conf"), format!("nameserver {name_server}\n")));
        written.expect("writing down the name server");
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
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
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
    }

    #[test]
    fn a_namespace_goes_with_what_runs_inside() {
        let namespace = match Namespace::new() {
            Ok(namespace) => namespace,
            Err(why) => return crate::skip(&why),
        };
        let exists = |name: &str| std::path::Path::new("/run/netns").join(name).exists();
        let name = namespace.name().to_owned();
        let mut inside = namespace.command("sleep").arg("1000").spawn().expect("running sleep");
        // Until then it is on its way inside.
        let is_inside = || {
            let listed = Command::new("ip").args(["netns", "pids", &name]).output();
            listed
                .expect("running ip")
                .stdout
                .starts_with(inside.id().to_string().as_bytes())
        };
        crate::eventually("the program is inside", is_inside);
        assert!(exists(&name));
        drop(namespace);
        assert!(!exists(&name));
        assert!(!inside.wait().expect("its end").success());
    }
}
