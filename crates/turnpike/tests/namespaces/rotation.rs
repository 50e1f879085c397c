//! What a rotation changes: the address that an origin sees, told truly by the rotate link.

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;

use ipnet::Ipv6Net;
use serde_json::Value;
use testbed::tunnel::echoes;
use testbed::turnpike::{Subscription, Turnpike};

use crate::client::Entry;
use crate::page::Page;
use crate::world::{ORIGIN, World, is_up, own, seen};

/// What the rotate link answers, which must be a success.
#[track_caller]
fn rotate(shop: &Turnpike, bought: &Subscription) -> Value {
    shop.get(&bought.rotate_path).expect_status(200).json()
}

#[test]
fn a_pool_moves_on_to_its_next_address_and_the_origin_sees_it() {
    let Some(world) = World::with_uplinks(1) else { return };
    let shop = world
        .shop()
        .network("NL-AMS")
        .pool("nl-1", &["45.1.0.11", "45.1.0.12", "45.1.0.13"])
        .start();
    let origin = world.origin();
    let bought = shop.buy("NL-AMS");
    let mut before = own(1, 11);
    assert_eq!(seen(&shop, &bought, &origin), before);
    for host in [12, 13, 11] {
        let now = own(1, host);
        let told = rotate(&shop, &bought);
        assert_eq!(told["ip"], now.to_string());
        assert_eq!(told["previousIp"], before.to_string());
        assert_eq!(told["changed"], true);
        assert_eq!(seen(&shop, &bought, &origin), now);
        before = now;
    }
}

#[test]
fn what_was_open_before_keeps_its_address_for_the_drain_time() {
    let Some(world) = World::with_uplinks(1) else { return };
    let shop = world
        .shop()
        .network("NL-AMS")
        .exit("nl-1", "addresses = [\"45.1.0.11\", \"45.1.0.12\"]\ndrain_seconds = 60")
        .network("DE-BER")
        .pool("de-1", &["45.1.0.13", "45.1.0.11"])
        .start();
    let (origin, echo) = (world.origin(), world.echo());
    let (drained, cut) = (shop.buy("NL-AMS"), shop.buy("DE-BER"));
    let open = |bought| {
        shop.inside(|| Entry::Connect.open(bought, &ORIGIN.to_string(), echo.address().port()))
            .unwrap()
    };
    let kept = open(&drained);
    echoes(&kept, b"before").unwrap();
    let ended = open(&cut);
    echoes(&ended, b"before").unwrap();
    assert_eq!(echo.visitors(), [own(1, 11), own(1, 13)]);

    rotate(&shop, &drained);
    rotate(&shop, &cut);
    assert_eq!(seen(&shop, &drained, &origin), own(1, 12));
    assert_eq!(seen(&shop, &cut, &origin), own(1, 11));
    echoes(&kept, b"after").unwrap();
    assert!(echoes(&ended, b"after").is_err());
    assert_eq!(echo.visitors(), [own(1, 11), own(1, 13)]);
}

/// A program that gives a device another address, as redialling a modem does, and says which.
const REDIAL: &str = r#"#!/bin/sh
test -e "$0.broken" && { echo "the modem does not answer" >&2; exit 3; }
case "$(ip -4 -o addr show dev wan1)" in *45.1.0.11/*) new=45.1.0.12 ;; *) new=45.1.0.11 ;; esac
ip -4 addr flush dev wan1
ip addr add "$new/24" dev wan1
ip route add default via 45.1.0.1 dev wan1 table 101
echo "$new"
"#;

/// A shop with an exit by the device `wan1` that redials by a program, and that program.
fn with_redial(world: &World) -> (Turnpike, tempfile::TempPath) {
    let program = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    fs::write(&program, REDIAL).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let rotate = format!("rotate = {{ command = [{:?}] }}", program.display().to_string());
    let shop = world
        .shop()
        .network("NL-AMS")
        .exit("nl-1", &format!("interface = \"wan1\"\n{rotate}\ndrain_seconds = 0"))
        .start();
    (shop, program)
}

#[test]
fn an_interface_leaves_by_its_device_and_redials_by_a_program() {
    let Some(world) = World::with_uplinks(1) else { return };
    let (shop, _program) = with_redial(&world);
    let origin = world.origin();
    let bought = shop.buy("NL-AMS");
    // The main table would take wan0.
    assert_eq!(seen(&shop, &bought, &origin), own(1, 11));

    let told = rotate(&shop, &bought);
    assert_eq!(told["ip"], own(1, 12).to_string());
    // A device's address is known once a rotation has told it; the one before may have been the same.
    assert_eq!(
        (&told["previousIp"], &told["changed"]),
        (&Value::Null, &Value::Bool(false))
    );
    assert_eq!(seen(&shop, &bought, &origin), own(1, 12));

    let told = rotate(&shop, &bought);
    assert_eq!(told["ip"], own(1, 11).to_string());
    assert_eq!(told["previousIp"], own(1, 12).to_string());
    assert_eq!(told["changed"], true);
    assert_eq!(seen(&shop, &bought, &origin), own(1, 11));
}

#[test]
fn a_program_that_fails_says_so_and_leaves_the_exit_usable() {
    let Some(world) = World::with_uplinks(1) else { return };
    let (shop, program) = with_redial(&world);
    let origin = world.origin();
    let bought = shop.buy("NL-AMS");
    let broken = format!("{}.broken", program.display());
    fs::write(&broken, "").unwrap();

    let refused = shop.get(&bought.rotate_path).expect_status(502).json();
    fs::remove_file(&broken).unwrap();
    assert_eq!(refused["code"], "rotation_failed");
    assert_eq!(refused["retryable"], true);
    // Why is the operator's business.
    let said = refused["error"].as_str().unwrap();
    assert_eq!(
        said,
        "The exit could not be rotated; it works on with its present address"
    );
    assert!(shop.log().contains("the modem does not answer"), "{}", shop.log());
    assert_eq!(seen(&shop, &bought, &origin), own(1, 11));
    assert!(is_up(&shop, "NL-AMS/nl-1"));

    assert_eq!(rotate(&shop, &bought)["ip"], own(1, 12).to_string());
    assert_eq!(seen(&shop, &bought, &origin), own(1, 12));
}

#[test]
fn an_interface_is_redialled_by_a_call_to_the_page_behind_it() {
    let Some(world) = World::with_uplinks(2) else { return };
    let _modems = modems(&world, [1, 2]);
    let exit = |device| {
        format!("interface = \"{device}\"\nrotate = {{ http = \"http://192.168.8.1/redial\" }}\ndrain_seconds = 0")
    };
    let shop = world
        .shop()
        .network("NL-AMS")
        .exit("nl-1", &exit("wan1"))
        .network("DE-BER")
        .exit("de-1", &exit("wan2"))
        .start();
    let origin = world.origin();
    let (nl, de) = (shop.buy("NL-AMS"), shop.buy("DE-BER"));
    assert_eq!(rotate(&shop, &nl)["ip"], own(1, 12).to_string());
    assert_eq!(seen(&shop, &nl, &origin), own(1, 12));
    assert_eq!(seen(&shop, &de, &origin), own(2, 11));
    assert_eq!(rotate(&shop, &de)["ip"], own(2, 12).to_string());
    let told = rotate(&shop, &de);
    assert_eq!(told["ip"], own(2, 13).to_string());
    assert_eq!(told["previousIp"], own(2, 12).to_string());
    assert_eq!(told["changed"], true);
    assert_eq!(seen(&shop, &de, &origin), own(2, 13));
    assert_eq!(seen(&shop, &nl, &origin), own(1, 12));
}

/// Modems of one make behind two uplinks: each has its page at 192.168.8.1, so that only the device tells which is meant. Who
/// asks there for `/redial` gets the new address, once the device has it.
fn modems(world: &World, uplinks: [u8; 2]) -> Page {
    world.internet_has("192.168.8.1");
    for number in uplinks {
        let (wan, inside) = (format!("wan{number}"), format!("192.168.8.10{number}"));
        let table = 100 + u32::from(number);
        world.gateway.ip(&format!("addr add {inside}/24 dev {wan}"));
        world.gateway.ip(&format!(
            "route add 192.168.8.0/24 dev {wan} src {inside} table {table}"
        ));
        world.internet.ip(&format!("route add {inside} dev to{number}"));
    }
    let gateway = world.gateway.clone();
    let mut first_addresses = uplinks.map(|number| (number, 11));
    let address = "192.168.8.1:80".parse().unwrap();
    Page::start(&world.internet, address, "/redial", move |from| {
        let number = from.octets()[3] - 100;
        let known = first_addresses.iter_mut().find(|(uplink, _)| *uplink == number);
        let (_, host) = known.expect("a caller by one of the devices");
        // The next address becomes the device's first.
        gateway.ip(&format!("addr del 45.{number}.0.{host}/24 dev wan{number}"));
        *host += 1;
        own(number, *host)
    })
}

#[test]
fn a_prefix_gives_a_fresh_address_at_each_rotation() {
    let Some(world) = World::with_uplinks(1) else { return };
    let prefix: Ipv6Net = "2a0a:6400:1::/48".parse().unwrap();
    world.gateway.ip(&format!("-6 route add local {prefix} dev lo"));
    world.gateway.ip(&format!("-6 rule add from {prefix} lookup 101"));
    world.internet.ip(&format!("-6 route add {prefix} via 2a0a:1::11"));
    let shop = world
        .shop()
        .network("NL-AMS")
        .exit("nl-1", &format!("prefix = \"{prefix}\"\ndrain_seconds = 0"))
        .start();
    let origin = world.origin_v6();
    let bought = shop.buy("NL-AMS");
    let mut addresses = vec![seen(&shop, &bought, &origin)];
    for _ in 0..8 {
        let told = rotate(&shop, &bought);
        let address = seen(&shop, &bought, &origin);
        assert_eq!(told["ip"], address.to_string());
        assert_eq!(told["previousIp"], addresses[addresses.len() - 1].to_string());
        addresses.push(address);
    }
    assert!(
        addresses
            .iter()
            .all(|address| matches!(address, IpAddr::V6(own) if prefix.contains(own)))
    );
    let different: HashSet<_> = addresses.iter().collect();
    assert_eq!(different.len(), addresses.len(), "{addresses:?}");
}
