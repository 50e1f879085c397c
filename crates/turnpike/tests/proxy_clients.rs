//! The clients that customers really use, each through a port that was bought. The exits are told apart by the address that the
//! origin sees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Stdio};

use serde_json::json;
use testbed::client::{Script, curl, curled};
use testbed::dns::NameServer;
use testbed::origin::Origin;
use testbed::turnpike::{Subscription, Turnpike};
use testbed::{program, skip};

/// A name that only our name server knows: whoever reaches it had it resolved by the gateway.
const NAME: &str = "origin.example";

/// Two networks with one exit each, and a subscription in both.
struct World {
    _shop: Turnpike,
    _names: NameServer,
    sold: [(Subscription, &'static str); 2],
}

impl World {
    fn new() -> Self {
        let names = NameServer::knowing(&[(NAME, Ipv4Addr::LOCALHOST)]);
        let shop = Turnpike::with()
            .set("gateway.dns_servers", &format!("[\"{}\"]", names.address()))
            .network("NL-AMS")
            .pool("nl-1", &["127.0.0.11"])
            .network("DE-BER")
            .pool("de-1", &["127.0.0.21"])
            .start();
        let sold = [(shop.buy("NL-AMS"), "127.0.0.11"), (shop.buy("DE-BER"), "127.0.0.21")];
        Self {
            _shop: shop,
            _names: names,
            sold,
        }
    }
}

#[test]
fn curl_reaches_the_origin_from_the_exit_that_was_bought_by_every_protocol() {
    let world = World::new();
    let origin = Origin::http();
    let by_address = origin.url("/");
    let by_name = format!("http://{NAME}:{}/", origin.address().port());
    for (bought, address) in &world.sold {
        let (port, userinfo) = (bought.port, bought.userinfo());
        // SOCKS4 has no password: both stand in its user id.
        let user_id = userinfo.replace(':', "%3A");
        for (arguments, url) in [
            (vec!["--proxy", &bought.http], &by_address),
            (vec!["--proxy", &bought.http], &by_name),
            (vec!["--proxytunnel", "--proxy", &bought.http], &by_address),
            (vec!["--proxytunnel", "--proxy", &bought.http], &by_name),
            (vec!["--proxy", &bought.socks5], &by_address),
            (vec!["--proxy", &format!("socks5h://{userinfo}@{port}")], &by_name),
            (vec!["--proxy", &format!("socks4://{user_id}@{port}")], &by_address),
            (vec!["--proxy", &format!("socks4a://{user_id}@{port}")], &by_name),
        ] {
            let seen = curled(&[arguments.as_slice(), &[url.as_str()]].concat());
            assert_eq!(&seen, address, "{arguments:?} {url}");
        }
    }
}

#[test]
fn nothing_of_the_customer_reaches_the_origin_but_the_request() {
    let world = World::new();
    let origin = Origin::http();
    let (bought, _) = &world.sold[0];
    let url = origin.url("/path?query=1");
    let _ = curled(&[
        "--proxy",
        &bought.http,
        "--user-agent",
        "client/1",
        "--header",
        "X-Own: kept",
        &url,
    ]);
    let visits = origin.visits();
    // curl says `Proxy-Connection: Keep-Alive` there; without a proxy it would have been `Connection`.
    let host = origin.address();
    assert_eq!(
        visits[0].said,
        format!(
            "GET /path?query=1 HTTP/1.1\r\nHost: {host}\r\nUser-Agent: client/1\r\nAccept: */*\r\nConnection: keep-alive\r\nX-Own: kept\r\n\r\n"
        )
    );
}

#[test]
fn a_large_body_comes_through_whole_in_both_directions() {
    let world = World::new();
    let origin = Origin::http();
    let (bought, _) = &world.sold[0];
    let sent = tempfile::NamedTempFile::new().unwrap();
    let bytes = testbed::origin::pattern(5_000_000);
    std::fs::write(sent.path(), &bytes).unwrap();
    let data = format!("@{}", sent.path().display());
    for proxy in [&bought.http, &bought.socks5] {
        let posted = curl(&["--proxy", proxy, "--data-binary", &data, &origin.url("/echo")]);
        assert!(posted.status.success());
        assert!(posted.stdout == bytes, "what was posted came back otherwise by {proxy}");
        let fetched = curl(&["--proxy", proxy, &origin.url("/bytes/5000000")]);
        assert!(fetched.stdout == bytes, "what was fetched came otherwise by {proxy}");
    }
}

#[test]
fn a_wrong_password_is_refused_and_so_is_that_of_another_port() {
    let world = World::new();
    let origin = Origin::http();
    let [(bought, _), (other, _)] = &world.sold;
    for userinfo in [format!("{}:wrong", bought.username), other.userinfo()] {
        let port = bought.port;
        let status = ["--output", "/dev/null", "--write-out", "%{http_connect}%{http_code}"];
        let by_http = curl(
            &[
                &status[..],
                &["--proxy", &format!("http://{userinfo}@{port}"), &origin.url("/")],
            ]
            .concat(),
        );
        assert_eq!(String::from_utf8_lossy(&by_http.stdout), "000407");
        let by_socks = curl(&["--proxy", &format!("socks5://{userinfo}@{port}"), &origin.url("/")]);
        assert_eq!(by_socks.status.code(), Some(97), "curl's code for a proxy's refusal");
    }
    assert_eq!(origin.visits(), []);
}

#[test]
fn python_requests_uses_http_and_socks() {
    let Some(python) = Script::find("requests_client.py") else {
        return;
    };
    let world = World::new();
    let origin = Origin::http();
    for (bought, address) in &world.sold {
        let by_name = format!("http://{NAME}:{}/", origin.address().port());
        for proxy in [bought.http.clone(), bought.socks5.replace("socks5:", "socks5h:")] {
            let seen = python.json(&[&proxy, &origin.url("/"), &by_name]);
            let answer = |url: &str| json!({"url": url, "status": 200, "text": address});
            assert_eq!(seen, json!([answer(&origin.url("/")), answer(&by_name)]));
        }
    }
}

#[test]
fn chromium_answers_the_password_prompt_and_browses() {
    let Some(python) = Script::find("chromium.py") else {
        return;
    };
    if program("chromium").is_none() {
        return skip("no Chromium on this machine (Debian: chromium)");
    }
    let world = World::new();
    let origin = Origin::http();
    let (bought, address) = &world.sold[1];
    let by_name = format!("http://{NAME}:{}/", origin.address().port());
    let port = bought.port.to_string();
    let seen = python.json(&[&port, &bought.username, &bought.password, &origin.url("/"), &by_name]);
    let answer = |url: &str| json!({"url": url, "status": 200, "text": address});
    assert_eq!(seen, json!([answer(&origin.url("/")), answer(&by_name)]));
}

#[test]
fn a_websocket_works_through_connect_and_through_upgrade() {
    let Some(python) = Script::find("websocket_client.py") else {
        return;
    };
    let world = World::new();
    let server = WebSocketServer::start();
    for (bought, address) in &world.sold {
        for way in ["connect", "upgrade"] {
            let seen = python.json(&[way, &bought.http, &server.url(), "one", "two"]);
            assert_eq!(
                seen,
                json!([format!("{address} one"), format!("{address} two")]),
                "{way}"
            );
        }
    }
}

#[test]
fn datagrams_travel_through_socks5() {
    let Some(python) = Script::find("udp_client.py") else {
        return;
    };
    let world = World::new();
    let origin = Origin::udp();
    let port = origin.address().port().to_string();
    for (bought, address) in &world.sold {
        let proxy = [bought.port.ip().to_string(), bought.port.port().to_string()];
        let login = [&bought.username, &bought.password];
        let seen = python.json(&[
            &proxy[0],
            &proxy[1],
            login[0],
            login[1],
            "127.0.0.1",
            &port,
            "one",
            "two",
        ]);
        assert_eq!(seen, json!([format!("{address} one"), format!("{address} two")]));
    }
}

struct WebSocketServer {
    process: Child,
    port: String,
}

impl WebSocketServer {
    fn start() -> Self {
        let script = Script::find("websocket_server.py").expect("Python is there");
        let mut process = script
            .command(&[])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        Self {
            process,
            port: port.trim().to_owned(),
        }
    }

    fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }
}

impl Drop for WebSocketServer {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
