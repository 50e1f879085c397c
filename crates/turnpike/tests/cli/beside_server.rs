//! Every command beside a server that runs: it sees what they do without being told.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use testbed::eventually;
use testbed::ports::Ports;

use crate::site::{CATALOGUE, Site};

/// `turnpike serve`, killed with the test.
struct Serving {
    site: Site,
    ports: Ports,
    child: Child,
}

impl Serving {
    fn start() -> Self {
        let ports = Ports::reserve(10);
        let site = Site::new();
        site.write(
            "turnpike.toml",
            &format!(
                "[server]\nlisten = \"127.0.0.1:{}\"\nmetrics_listen = \"off\"\n[gateway]\nbind = [\"127.0.0.1\"]\nports = \"{}-{}\"\n",
                ports.nth(0),
                ports.nth(1),
                ports.nth(9)
            ),
        );
        let child = site
            .command(&["serve"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let serving = Self { site, ports, child };
        eventually("the API answers", || {
            TcpStream::connect(("127.0.0.1", serving.ports.nth(0))).is_ok()
        });
        serving
    }

    /// Asks the API; the status and the body.
    fn ask(&self, path: &str, key: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports.nth(0))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn plans(&self, key: &str) -> usize {
        let (status, body) = self.ask("/api/proxy?op=plans", key);
        assert_eq!(status, 200, "{body}");
        body["plans"].as_array().unwrap().len()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_commands_do_is_in_force_at_once() {
    let serving = Serving::start();
    let site = &serving.site;
    site.well(&["account", "create", "ann@example.com"]);
    let key = site.well(&["key", "create", "ann@example.com"]);
    let key = key.trim();
    assert_eq!(serving.plans(key), 0);

    site.write("catalogue.toml", CATALOGUE);
    site.well(&["apply", "catalogue.toml"]);
    assert_eq!(serving.plans(key), 1);
    site.write("empty.toml", "");
    site.well(&["apply", "empty.toml"]);
    assert_eq!(serving.plans(key), 0);

    site.well(&["account", "suspend", "ann@example.com"]);
    assert_eq!(serving.ask("/api/proxy?op=plans", key).0, 403);
    site.well(&["account", "resume", "ann@example.com"]);
    assert_eq!(serving.plans(key), 0);

    let id = site.json(&["key", "list", "--json"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    site.well(&["key", "revoke", &id]);
    assert_eq!(serving.ask("/api/proxy?op=plans", key).0, 401);
    site.well(&["audit"]);
}

#[test]
fn the_doctor_knows_the_servers_own_ports() {
    let serving = Serving::start();
    let ran = serving.site.run(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&ran.output).unwrap();
    let listen = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["check"] == "server.listen")
        .unwrap();
    assert_eq!(
        (listen["status"].as_str().unwrap(), listen["found"].as_str().unwrap()),
        (
            "ok",
            format!("127.0.0.1:{} is served by turnpike", serving.ports.nth(0)).as_str()
        )
    );
}
