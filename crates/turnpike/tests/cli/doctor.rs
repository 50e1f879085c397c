//! `turnpike doctor`.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use testbed::ports::Ports;

use crate::site::Site;

/// A name server that answers everything with nothing. It ends with the test's process.
fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // The answer bit.
            buffer[2] |= 0x80;
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    address
}

/// A site whose machine is fit: its ports are its own, its name server answers, its upstream listens.
struct Fit {
    site: Site,
    ports: Ports,
    _upstream: TcpListener,
}

impl Fit {
    fn new() -> Self {
        let site = Site::new();
        let ports = Ports::reserve(10);
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let configuration = format!(
            "[server]\nlisten = \"127.0.0.1:{}\"\nmetrics_listen = \"127.0.0.1:{}\"\n\
             [gateway]\npublic_host = \"proxy.example.com\"\nbind = [\"127.0.0.1\"]\nports = \"{}-{}\"\ndns_servers = [\"{}\"]\n",
            ports.nth(0),
            ports.nth(1),
            ports.nth(2),
            ports.nth(9),
            name_server(),
        );
        site.write("turnpike.toml", &configuration);
        let fit = Self {
            site,
            ports,
            _upstream: upstream,
        };
        let upstream = format!("127.0.0.1:{}", fit._upstream.local_addr().unwrap().port());
        fit.apply(&crate::site::CATALOGUE.replace("127.0.0.1:9", &upstream));
        fit
    }

    fn apply(&self, catalogue: &str) {
        self.site.write("catalogue.toml", catalogue);
        self.site.well(&["apply", "catalogue.toml"]);
    }

    /// The same with another line in its configuration.
    fn configured(&self, before: &str, after: &str) {
        let text = fs::read_to_string(self.site.path("turnpike.toml")).unwrap();
        assert!(text.contains(before), "{text}");
        self.site.write("turnpike.toml", &text.replace(before, after));
    }

    fn examine(&self) -> (i32, Vec<Value>) {
        let ran = self.site.run(&["doctor", "--json"]);
        let report: Value = serde_json::from_str(&ran.output).unwrap();
        assert_eq!(report["ok"], json!(ran.code == 0));
        (ran.code, report["checks"].as_array().unwrap().clone())
    }

    /// What is not well, as `check: found (advice)`, but for this machine's limits; the exit code must fit the worst.
    fn problems(&self) -> Vec<String> {
        let (code, checks) = self.examine();
        let fails = checks.iter().any(|check| check["status"] == "fail");
        assert_eq!(code, i32::from(fails));
        checks
            .iter()
            .filter(|check| check["status"] != "ok" && check["check"] != "open files")
            .map(|check| {
                let part = |key: &str| check[key].as_str().unwrap().to_owned();
                let all = format!(
                    "{} {}: {} ({})",
                    part("status"),
                    part("check"),
                    part("found"),
                    part("advice")
                );
                self.site.without_folder(&all)
            })
            .collect()
    }
}

#[test]
fn a_fit_machine_is_told_so_line_by_line() {
    let fit = Fit::new();
    let (code, checks) = fit.examine();
    let told: Vec<(&str, &str)> = checks
        .iter()
        .map(
            |check| match (check["check"].as_str().unwrap(), check["status"].as_str().unwrap()) {
                // It is this machine's own limit.
                ("open files", "warn") => ("open files", "ok"),
                told => told,
            },
        )
        .collect();
    assert_eq!(code, 0, "{checks:#?}");
    assert_eq!(
        told,
        [
            ("configuration", "ok"),
            ("database", "ok"),
            ("master key", "ok"),
            ("clock", "ok"),
            ("server.listen", "ok"),
            ("server.metrics_listen", "ok"),
            ("gateway.bind", "ok"),
            ("gateway.ports", "ok"),
            ("ephemeral ports", "ok"),
            ("open files", "ok"),
            ("name servers", "ok"),
            ("exits", "ok"),
        ]
    );
    assert!(
        checks[1]["found"].as_str().unwrap().starts_with("SQLite 3."),
        "{}",
        checks[1]
    );
    let text = fit.site.well(&["doctor"]);
    assert!(
        text.starts_with("ok    configuration          gateway gw1, reached as proxy.example.com\n"),
        "{text}"
    );
    assert!(
        text.lines().last().unwrap().starts_with("this machine is fit"),
        "{text}"
    );
}

#[test]
fn before_the_first_start_it_leaves_nothing_behind() {
    let fit = Fit::new();
    for file in ["turnpike.db", "turnpike.key"] {
        fs::remove_file(fit.site.path(file)).unwrap();
    }
    let before = fit.site.files();
    let (code, checks) = fit.examine();
    assert_eq!(code, 0);
    assert_eq!(checks[1]["found"], "turnpike.db will be made at the first start");
    assert_eq!(fit.site.files(), before);
}

#[test]
fn a_mistaken_configuration_is_the_one_finding() {
    let fit = Fit::new();
    fit.configured("[gateway]", "[gatway]");
    assert_eq!(
        fit.problems(),
        [
            "fail configuration: turnpike.toml, line 4: gatway is not a known key; did you mean gateway? \
          (mend it; the other checks need it)"
        ]
    );
}

#[test]
fn a_port_that_another_program_has_is_named_with_it() {
    let fit = Fit::new();
    let _api = TcpListener::bind(("127.0.0.1", fit.ports.nth(0))).unwrap();
    let _sold = TcpListener::bind(("127.0.0.1", fit.ports.nth(3))).unwrap();
    let problems = fit.problems();
    let (api, sold) = (fit.ports.nth(0), fit.ports.nth(3));
    // This test's program is cut to 15 characters by the kernel.
    let program = fs::read_to_string(format!("/proc/{}/comm", std::process::id())).unwrap();
    let program = program.trim();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].starts_with(&format!(
            "fail server.listen: 127.0.0.1:{api} is taken by {program} (stop what has it"
        )),
        "{problems:?}"
    );
    assert!(
        problems[1].contains(&format!("are taken: {sold} by {program} (stop what has them")),
        "{problems:?}"
    );
}

#[test]
fn what_the_machine_does_not_have_is_named() {
    let fit = Fit::new();
    fit.configured("bind = [\"127.0.0.1\"]", "bind = [\"127.0.0.1\", \"203.0.113.9\"]");
    fit.configured("metrics_listen = \"127.0.0.1:", "metrics_listen = \"203.0.113.9:");
    fit.configured("public_host = \"proxy.example.com\"", "public_host = \"127.0.0.1\"");
    insta::assert_snapshot!(fit.problems().join("\n"), @r"
    warn configuration: customers are told to connect to 127.0.0.1, which only this machine can (set gateway.public_host to the name or address that they can reach)
    fail server.metrics_listen: 203.0.113.9 is no address of this machine (set server.metrics_listen to one that it has)
    fail gateway.bind: ports cannot be opened on 203.0.113.9 (Cannot assign requested address (os error 99)) (leave these out of gateway.bind, or give the machine the address)
    ");
}

#[test]
fn exits_that_cannot_be_used_are_named() {
    let fit = Fit::new();
    let deaf = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    fit.apply(&format!(
        r#"[[network]]
code = "NL-AMS"
city = "Amsterdam"
country = "NL"
type = "mobile"
[[network.exit]]
name = "a-half"
addresses = ["127.0.0.11", "203.0.113.9"]
[[network.exit]]
name = "b-none"
addresses = ["203.0.113.9"]
[[network.exit]]
name = "c-prefix"
prefix = "2001:db8:1::/48"
[[network.exit]]
name = "d-device"
interface = "wwan9"
[[network.exit]]
name = "e-upstream"
upstream = "http://user:secret@127.0.0.1:{deaf}"
[[network.exit]]
name = "f-program"
addresses = ["127.0.0.12"]
rotate = {{ command = ["/usr/local/bin/no-such-program", "secret"] }}
[[network.exit]]
name = "g-well"
addresses = ["127.0.0.13"]
rotate = {{ command = ["true"] }}
"#
    ));
    let problems = fit.problems().join("\n").replace(&deaf.to_string(), "PORT");
    insta::assert_snapshot!(problems, @r"
    warn exits: NL-AMS/a-half: this machine does not have 203.0.113.9 (`ip address add` them, or take them out of the catalogue)
    fail exits: NL-AMS/b-none: this machine does not have 203.0.113.9 (`ip address add` them, or take them out of the catalogue)
    fail exits: NL-AMS/c-prefix: the addresses of 2001:db8:1::/48 are not routed to this machine (ip -6 route add local 2001:db8:1::/48 dev lo)
    fail exits: NL-AMS/d-device: there is no network device wwan9 (plug it in, or mend its name in the catalogue)
    fail exits: NL-AMS/e-upstream: the upstream proxy 127.0.0.1:PORT cannot be reached: Connection refused (os error 111) (start it, or mend its address in the catalogue)
    warn exits: NL-AMS/f-program: /usr/local/bin/no-such-program, which is to rotate it, is not there or cannot be run (install it, or mend `rotate` in the catalogue)
    fail exits: 3 of 7 can be used (see above)
    ");
}

#[test]
fn a_key_that_others_can_read_and_a_silent_name_server_are_named() {
    let fit = Fit::new();
    fs::set_permissions(fit.site.path("turnpike.key"), fs::Permissions::from_mode(0o644)).unwrap();
    // Nobody listens on this port any more, so the kernel says at once that it cannot be reached.
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = fs::read_to_string(fit.site.path("turnpike.toml")).unwrap();
    let line = text.lines().find(|line| line.starts_with("dns_servers")).unwrap();
    fit.configured(line, &line.replace("]", &format!(", \"{gone}\"]")));
    let problems = fit.problems();
    assert_eq!(
        problems[0],
        "warn master key: turnpike.key can be read by others (mode 644) (chmod 600 turnpike.key)"
    );
    assert_eq!(
        problems[1],
        format!(
            "warn name servers: {gone}: it cannot be reached: Connection refused (os error 111) (mend gateway.dns_servers)"
        )
    );
    fit.configured(
        &line.replace("]", &format!(", \"{gone}\"]")),
        &format!("dns_servers = [\"{gone}\"]"),
    );
    assert!(fit.problems()[1].starts_with("fail name servers: "));
}

#[test]
fn a_clock_that_went_back_is_noticed() {
    let fit = Fit::new();
    crate::site::meddle(
        &fit.site.path("turnpike.db"),
        "INSERT INTO audit_log (id, at, actor, action, subject, detail) VALUES ('x', 4102444800000, 'a', 'a', 'a', '{}')",
    );
    let problems = fit.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("fail clock: it is 20")
            && problems[0].contains("the database has entries of 2100-01-01"),
        "{problems:?}"
    );
}
