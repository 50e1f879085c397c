//! Lists of Shadowsocks servers: SIP008 as subconverter loads it, and servers of such a list as shadowsocks-libev uses them.

use std::process::Command;

use serde_json::Value;
use testbed::client::{Script, curled};
use testbed::{program, skip};

use crate::world::{World, loaded};
use testbed::Running;

#[test]
fn subconverter_loads_the_servers() {
    let Some(python) = Script::find("subconverter_client.py") else {
        return;
    };
    let world = World::new();
    for (query, method, padding) in [
        ("format=sip008", "2022-blake3-aes-128-gcm", "=="),
        ("format=sip008&protocol=shadowsocks-aead", "chacha20-ietf-poly1305", ""),
    ] {
        let found = python.json(&[&format!("{}?{query}", world.own_url)]);
        assert_eq!(found.as_array().unwrap().len(), 2);
        for (index, (bought, _)) in world.bought.iter().enumerate() {
            let server = &found[index];
            assert_eq!((&server["type"], &server["cipher"]), (&"ss".into(), &method.into()));
            assert_eq!(server["password"], format!("{}{padding}", bought.password));
            assert_eq!(
                (&server["server"], &server["port"]),
                (&"127.0.0.1".into(), &bought.port.port().into())
            );
            assert!(
                server["name"]
                    .as_str()
                    .unwrap()
                    .contains(&bought.port.port().to_string()),
                "{server}"
            );
        }
    }
}

#[test]
fn shadowsocks_libev_uses_the_servers_and_outlines_key() {
    uses_the_servers(World::new);
}

/// What shadowsocks-libev makes of the lists of a world.
pub(crate) fn uses_the_servers(world: impl FnOnce() -> World) {
    let Some(ss_local) = program("ss-local") else {
        return skip("no shadowsocks-libev on this machine (Debian: shadowsocks-libev)");
    };
    let world = world();
    for (bought, address) in &world.bought {
        let list: Value = serde_json::from_str(&loaded(
            &bought.subscription_url,
            "format=sip008&protocol=shadowsocks-aead",
        ))
        .unwrap();
        let key: Value = serde_json::from_str(&loaded(&bought.subscription_url, "format=outline")).unwrap();
        for server in [&list["servers"][0], &key] {
            let client = Running::start(|_, port| {
                let mut command = Command::new(&ss_local);
                command.args(["-b", "127.0.0.1", "-l", &port.to_string()]);
                for (option, field) in [
                    ("-s", "server"),
                    ("-p", "server_port"),
                    ("-m", "method"),
                    ("-k", "password"),
                ] {
                    let value = &server[field];
                    command
                        .arg(option)
                        .arg(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                }
                command
            });
            let proxy = format!("socks5h://{}", client.socks());
            assert_eq!(&curled(&["--proxy", &proxy, &world.named_url()]), address);
        }
    }
}
