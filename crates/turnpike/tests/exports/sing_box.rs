//! sing-box runs what it loads. Only the port that it listens at is another one here, since tests run side by side.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testbed::client::{curled, sing_box};

use crate::world::{PROTOCOLS, World, loaded};
use testbed::Running;

/// What sing-box says to a configuration as it is.
#[track_caller]
pub(crate) fn is_valid(program: &Path, configuration: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), configuration).unwrap();
    let output = Command::new(program)
        .arg("check")
        .arg("--config")
        .arg(file.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // What it will not take in its next version it warns of.
    assert!(output.status.success() && said.is_empty(), "{said}\n{configuration}");
}

fn started(program: &Path, configuration: &str) -> Running {
    trusting(program, configuration, None)
}

/// The same, with the one authority in this file in place of all that the system knows.
pub(crate) fn trusting(program: &Path, configuration: &str, root: Option<&str>) -> Running {
    is_valid(program, configuration);
    let mut configuration: Value = serde_json::from_str(configuration).unwrap();
    assert_eq!(configuration["inbounds"][0]["listen"], "127.0.0.1");
    Running::start(|home, port| {
        configuration["inbounds"][0]["listen_port"] = port.into();
        let file = home.join("sing-box.json");
        fs::write(&file, configuration.to_string()).unwrap();
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(file);
        command.envs(root.map(|root| ("SSL_CERT_FILE", root)));
        command
    })
}

#[test]
fn it_runs_what_the_account_loads_and_leaves_by_the_first_port() {
    let Some(program) = sing_box() else { return };
    let world = World::new();
    let client = started(&program, &loaded(&world.own_url, "format=sing-box"));
    world.leaves_by(&client, world.bought[0].1);
}

#[test]
fn every_protocol_is_a_way_out_of_every_port() {
    let Some(program) = sing_box() else { return };
    let world = World::new();
    for (bought, address) in &world.bought {
        for protocol in PROTOCOLS {
            let query = format!("format=sing-box&protocol={protocol}");
            let client = started(&program, &loaded(&bought.subscription_url, &query));
            world.leaves_by(&client, address);
        }
    }
}

#[test]
fn its_apps_get_a_vpn_by_what_they_say_of_themselves() {
    let Some(program) = sing_box() else { return };
    let world = World::new();
    for agent in [
        "SFA/1.14.4 (Build 1; sing-box 1.14.4)",
        "SFI/1.14.4 (Build 1; sing-box 1.14.4)",
    ] {
        let configuration = curled(&["--fail", "--user-agent", agent, &world.own_url]);
        is_valid(&program, &configuration);
        let parsed: Value = serde_json::from_str(&configuration).unwrap();
        assert_eq!(parsed["inbounds"][1]["type"], "tun");
    }
}

#[test]
fn nothing_gets_out_when_nothing_is_live() {
    let Some(program) = sing_box() else { return };
    let world = World::new();
    world.suspend();
    is_valid(&program, &loaded(&world.own_url, "format=sing-box-tun"));
    let client = started(&program, &loaded(&world.own_url, "format=sing-box"));
    world.lets_nothing_out(&client);
}
