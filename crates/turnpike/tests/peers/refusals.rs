//! What a port has refused is told to its owner: clients of other people, each with one thing wrong.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testbed::client::{curl, sing_box};
use testbed::origin::Origin;
use testbed::shadowsocks::{Client, Method, Request, address};
use testbed::turnpike::Subscription;
use testbed::{eventually, on_both_engines};

use crate::sing_box::{shadowsocks, started, vless};
use crate::socks::connect;
use crate::world::World;

on_both_engines!(an_owner_reads_what_was_wrong_and_how_to_mend_it);

const WRONG: &str = "bwxiFRNeyZPJR5yGmFAwvQ";

fn an_owner_reads_what_was_wrong_and_how_to_mend_it(with: testbed::turnpike::Builder) {
    let world = World::of(with);
    let (bought, origin) = (&world.bought, Origin::http());
    let reader = world.shop.key(&world.shop.email, &["--read-only"]);
    let query = format!("refusals&subscriptionId={}", bought.id);
    let told = || {
        let answer = reader.ask(&query).expect_status(200).json();
        let Value::Array(refusals) = answer["refusals"].clone() else {
            panic!("{answer}");
        };
        refusals
    };
    assert_eq!(told(), Vec::<Value>::new());

    let mut expected = vec![
        ("http", "wrong_password"),
        ("socks5", "wrong_password"),
        ("shadowsocks", "clock"),
    ];
    for scheme in ["http", "socks5h"] {
        let proxy = format!("{scheme}://{}:{WRONG}@{}", bought.username, bought.port);
        let answer = curl(&["--proxy", &proxy, "--proxytunnel", &origin.url("/")]);
        assert!(!answer.status.success());
    }
    say_in_the_past(bought, origin.address());
    if sing_box().is_some() {
        let mut id = vless(bought, "");
        id["uuid"] = json!("f48ac10b-58cc-4372-a567-0e02b2c3d479");
        let mut password = shadowsocks(bought);
        password["password"] = json!(format!("{WRONG}=="));
        for outbound in [id, password] {
            let client = started(&outbound).unwrap();
            // The client takes its user's connection first, and dials with the first bytes.
            let mut tunnel = connect(client.socks(), origin.address());
            tunnel.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            eventually("it has dialled", || told().len() > expected.len() - 1);
        }
        expected.extend([("vless", "wrong_id"), ("shadowsocks", "wrong_key")]);
    }

    let mut found = Vec::new();
    eventually("all of it is told", || {
        found = told();
        let is_told = |(protocol, code): &(&str, &str)| {
            found
                .iter()
                .any(|one| one["protocol"] == *protocol && one["code"] == *code)
        };
        expected.iter().all(is_told)
    });
    let clock = found.iter().find(|one| one["code"] == "clock").unwrap();
    let words = clock["reason"].as_str().unwrap();
    assert!(
        words.starts_with("the client's clock is 95 s behind: ")
            || words.starts_with("the client's clock is 96 s behind: "),
        "{words}"
    );
    for one in &found {
        assert_eq!(one["source"], "127.0.0.1", "{one}");
        assert!(one["firstAt"].as_i64() <= one["lastAt"].as_i64(), "{one}");
        assert!(
            !one.to_string().contains(WRONG) && !one.to_string().contains(&bought.password),
            "{one}"
        );
    }
    let last: Vec<_> = found.iter().map(|one| one["lastAt"].as_i64().unwrap()).collect();
    assert!(last.is_sorted_by(|newer, older| newer >= older), "{last:?}");

    let stranger = world.shop.customer("stranger@example.com", 0);
    let refused = stranger.ask(&query).expect_status(404).json();
    assert_eq!(refused["code"], "subscription_not_found");
    world.shop.audit();
}

/// A request by Shadowsocks of a client whose clock is 95 s slow.
fn say_in_the_past(bought: &Subscription, to: std::net::SocketAddr) {
    let method = Method::Blake3Aes128Gcm;
    let request = Request {
        salt: (0..method.key_length()).map(|_| fastrand::u8(..)).collect(),
        time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 95,
        to: address(to),
        payload: b"hello".to_vec(),
    };
    let (opening, _) = Client::new(method, &bought.password).request(&request);
    TcpStream::connect(bought.port).unwrap().write_all(&opening).unwrap();
}
