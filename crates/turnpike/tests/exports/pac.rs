//! Proxy auto-configuration, as a library and a browser read it.

use serde_json::json;
use testbed::client::Script;
use testbed::{program, skip};

use crate::world::{NAME, World};

#[test]
fn pacparser_finds_the_first_port_and_leaves_this_machine_alone() {
    let Some(python) = Script::find("pac_client.py") else {
        return;
    };
    let world = World::new();
    let urls = [
        "http://example.com/",
        "https://[2001:db8::1]/",
        "http://localhost/",
        "http://127.0.0.9/",
    ];
    let port = world.bought[0].0.port;
    for (query, kind) in [("format=pac", "PROXY"), ("format=pac&protocol=socks5", "SOCKS5")] {
        let pac = format!("{}?{query}", world.own_url);
        let found = python.json(&[&[pac.as_str()], &urls[..]].concat());
        let proxy = format!("{kind} {port}");
        assert_eq!(found, json!([proxy, proxy, "DIRECT", "DIRECT"]));
    }
    world.suspend();
    let found = python.json(&[&format!("{}?format=pac", world.own_url), urls[0]]);
    assert_eq!(found, json!(["PROXY 127.0.0.1:1"]));
}

#[test]
fn chromium_browses_by_it() {
    let Some(python) = Script::find("chromium_pac.py") else {
        return;
    };
    if program("chromium").is_none() {
        return skip("no Chromium on this machine (Debian: chromium)");
    }
    let world = World::new();
    for (bought, address) in &world.bought {
        let pac = format!("{}?format=pac", bought.subscription_url);
        let url = format!("http://{NAME}:{}/", world.origin.address().port());
        let seen = python.json(&[&pac, &bought.username, &bought.password, &url]);
        assert_eq!(seen, json!([{"url": url, "status": 200, "text": address}]));
    }
}
