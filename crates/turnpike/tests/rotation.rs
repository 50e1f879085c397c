//! Rotate links and policies: a new address, told truthfully, and never by accident.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;
use testbed::client::Tunnel;
use testbed::clock::Clock;
use testbed::http::{self, Answer};
use testbed::origin::Origin;
use testbed::turnpike::{Builder, Subscription, Turnpike};
use testbed::{eventually, on_both_engines};

on_both_engines!(
    the_link_gives_another_address_and_tells_the_truth,
    the_cooldown_is_kept_and_told,
    looking_at_the_link_does_not_rotate,
    tunnels_keep_their_address_for_the_drain_time,
    what_cannot_rotate_says_so,
    the_policy_rotates_by_itself,
    a_link_for_others_rotates_until_it_is_revoked_and_a_status_link_never,
);

fn the_link_gives_another_address_and_tells_the_truth(with: Builder) {
    let origin = Origin::http();
    let shop = with
        .network("NL-AMS")
        .pool("nl-1", &["127.0.0.11", "127.0.0.12", "127.0.0.13"])
        .start();
    let bought = shop.buy("NL-AMS");
    let mut present = bought.address_at(&origin);
    for method in ["GET", "POST", "GET", "POST"] {
        let answer = rotate(&shop, method, &bought.rotate_path, &[]).expect_status(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        let told = answer.json();
        let next: IpAddr = told["ip"].as_str().unwrap().parse().unwrap();
        assert_eq!(told["previousIp"], present.to_string());
        assert_ne!(next, present);
        assert_eq!((&told["ok"], &told["changed"]), (&json!(true), &json!(true)));
        assert!(told["tookMs"].is_u64() && told["nextAllowedAt"].is_u64(), "{told}");
        assert_eq!(told.as_object().unwrap().len(), 6);
        assert_eq!(bought.address_at(&origin), next);
        present = next;
    }
    let bare = rotate(&shop, "GET", &format!("{}?format=text", bought.rotate_path), &[]).expect_status(200);
    assert_eq!(bare.header("content-type").unwrap(), "text/plain; charset=utf-8");
    assert_eq!(bare.body, bought.address_at(&origin).to_string());
    assert_ne!(bare.body, present.to_string());
}

fn the_cooldown_is_kept_and_told(with: Builder) {
    let origin = Origin::http();
    let shop = with
        .set("limits.rotation_cooldown_seconds", "600")
        .network("NL-AMS")
        .pools(2)
        .start();
    let [bought, other] = [shop.buy("NL-AMS"), shop.buy("NL-AMS")];
    let _ = rotate(&shop, "GET", &bought.rotate_path, &[]).expect_status(200);
    let present = bought.address_at(&origin);

    let refused = rotate(&shop, "GET", &bought.rotate_path, &[]).expect_status(429);
    let told = refused.json();
    assert_eq!(
        (&told["ok"], &told["code"]),
        (&json!(false), &json!("rotation_cooldown"))
    );
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((500..=600).contains(&seconds), "{seconds}");
    assert_eq!(told["retryAfterSeconds"], seconds);
    assert_eq!(bought.address_at(&origin), present);
    // It is this exit's cooldown, nobody else's.
    let _ = rotate(&shop, "GET", &other.rotate_path, &[]).expect_status(200);
}

fn looking_at_the_link_does_not_rotate(with: Builder) {
    let origin = Origin::http();
    let shop = with.network("NL-AMS").pools(1).start();
    let bought = shop.buy("NL-AMS");
    let present = bought.address_at(&origin);
    let link = &bought.rotate_path;
    assert_eq!(rotate(&shop, "HEAD", link, &[]).status, 405);
    assert_eq!(rotate(&shop, "OPTIONS", link, &[]).status, 405);
    for (name, value) in [
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
        ("X-Moz", "prefetch"),
        ("X-Purpose", "preview"),
    ] {
        assert_eq!(
            rotate(&shop, "GET", link, &[(name, value)]).status,
            403,
            "{name}: {value}"
        );
    }
    let half = &link[..link.len() - 1];
    for unknown in ["/r/", "/r/unknown", half, &format!("{link}A")] {
        assert_eq!(rotate(&shop, "GET", unknown, &[]).status, 404, "{unknown}");
    }
    assert_eq!(bought.address_at(&origin), present);
}

fn tunnels_keep_their_address_for_the_drain_time(with: Builder) {
    let (origin, echo) = (Origin::http(), Origin::echo());
    let shop = with
        .network("NL-AMS")
        .exit(
            "drains",
            "addresses = [\"127.0.0.11\", \"127.0.0.12\"]\ndrain_seconds = 3",
        )
        .network("DE-BER")
        .exit(
            "cuts",
            "addresses = [\"127.0.0.21\", \"127.0.0.22\"]\ndrain_seconds = 0",
        )
        .start();
    let [drains, cuts] = [shop.buy("NL-AMS"), shop.buy("DE-BER")];
    let mut tunnels = [&drains, &cuts].map(|bought| Tunnel::by_connect(bought, echo.address()).unwrap());
    for bought in [&drains, &cuts] {
        let present = bought.address_at(&origin);
        let _ = rotate(&shop, "GET", &bought.rotate_path, &[]).expect_status(200);
        assert_ne!(bought.address_at(&origin), present);
    }
    let [kept, cut] = &mut tunnels;
    assert!(cut.closes_within(Duration::from_secs(2)).is_some());
    kept.echoes(b"on the old address");
    assert!(kept.closes_within(Duration::from_secs(10)).is_some());
}

fn what_cannot_rotate_says_so(with: Builder) {
    let shop = with.network("NL-AMS").shared("nl-shared", "127.0.0.11", 5).start();
    let bought = shop.buy_shared("NL-AMS");
    let listed = shop.ask("subscriptions").expect_status(200).json();
    let told = &listed["subscriptions"][0]["rotate"];
    assert_eq!(told, &json!({"rotatePath": bought.rotate_path, "available": false}));
    let refused = rotate(&shop, "GET", &bought.rotate_path, &[]).expect_status(409);
    assert_eq!(refused.json()["code"], "rotation_unavailable");
    let refused = set_policy(&shop, &bought, 10).expect_status(409);
    assert_eq!(refused.json()["code"], "rotation_unavailable");
}

fn the_policy_rotates_by_itself(with: Builder) {
    const MINUTE: u64 = 60;
    let Some(clock) = Clock::new() else { return };
    let origin = Origin::http();
    // With the usual drain time, so that a request that meets the rotation is answered all the same.
    let shop = with
        .clock(&clock)
        .network("NL-AMS")
        .exit("nl-1", "addresses = [\"127.0.0.11\", \"127.0.0.12\"]")
        .exit("nl-2", "addresses = [\"127.0.0.13\", \"127.0.0.14\"]")
        .start();
    let [first, second] = [shop.buy("NL-AMS"), shop.buy("NL-AMS")];
    let before = [&first, &second].map(|bought| bought.address_at(&origin));
    assert_eq!(
        set_policy(&shop, &first, 5).expect_status(200).json(),
        json!({"ok": true})
    );

    // Five minutes, and as much again for the offset that keeps exits from rotating all at once.
    clock.set(Duration::from_secs(10 * MINUTE));
    eventually("the policy has rotated", || first.address_at(&origin) != before[0]);
    assert_eq!(second.address_at(&origin), before[1]);

    let _ = set_policy(&shop, &first, 0).expect_status(200);
    let present = first.address_at(&origin);
    let _ = set_policy(&shop, &second, 5).expect_status(200);
    clock.set(Duration::from_secs(30 * MINUTE));
    eventually("the other policy has rotated", || {
        second.address_at(&origin) != before[1]
    });
    assert_eq!(first.address_at(&origin), present);
}

fn a_link_for_others_rotates_until_it_is_revoked_and_a_status_link_never(with: Builder) {
    let origin = Origin::http();
    let shop = with
        .set("limits.rotation_cooldown_seconds", "0")
        .network("NL-AMS")
        .pool("nl-1", &["127.0.0.11", "127.0.0.12", "127.0.0.13"])
        .start();
    let bought = shop.buy("NL-AMS");
    let make = |wish: serde_json::Value| {
        let mut order = json!({"op": "create-rotate-link", "subscriptionId": bought.id});
        order.as_object_mut().unwrap().extend(wish.as_object().unwrap().clone());
        shop.order(&order).expect_status(200).json()["link"].clone()
    };
    let change = |op: &str, link: &serde_json::Value| {
        let order = json!({"op": op, "subscriptionId": bought.id, "linkId": link["linkId"]});
        shop.order(&order).expect_status(200).json()
    };
    let van = make(json!({"name": "the van", "allowedAddresses": ["127.0.0.0/8"]}));
    let elsewhere = make(json!({"name": "elsewhere", "allowedAddresses": ["192.0.2.0/24"]}));
    let board = make(json!({"name": "board", "kind": "status"}));
    let present = bought.address_at(&origin);

    let told = curl(&board["url"]);
    assert_eq!(
        (&told["ip"], &told["exit"], &told["status"]),
        (&json!(present), &json!("up"), &json!("active"))
    );
    assert_eq!(curl(&elsewhere["url"])["code"], "link_not_allowed_from");
    assert_eq!(bought.address_at(&origin), present);

    let told = curl(&van["url"]);
    assert_eq!((&told["ok"], &told["previousIp"]), (&json!(true), &json!(present)));
    let next = bought.address_at(&origin);
    assert_ne!(next, present);
    let told = curl(&board["url"]);
    assert_eq!((&told["ip"], &told["previousIp"]), (&json!(next), &json!(present)));
    assert!(told["rotatedAt"].is_i64(), "{told}");

    let renewed = change("renew-rotate-link", &van)["link"].clone();
    assert_eq!(curl(&van["url"])["code"], "unknown_rotate_link");
    assert_eq!(curl(&renewed["url"])["ok"], true);
    change("revoke-rotate-link", &renewed);
    assert_eq!(curl(&renewed["url"])["code"], "unknown_rotate_link");
    assert_eq!(curl(&json!(shop.url(&bought.rotate_path)))["ok"], true);
    let own = change("renew-rotate-link", &json!({"linkId": bought.id}));
    assert_eq!(
        curl(&json!(shop.url(&bought.rotate_path)))["code"],
        "unknown_rotate_link"
    );
    assert_eq!(
        shop.subscription(&bought.id).rotate_path,
        own["link"]["path"].as_str().unwrap()
    );
    let before = bought.address_at(&origin);
    assert_eq!(curl(&board["url"])["ip"], json!(before));
    assert_eq!(bought.address_at(&origin), before);
}

/// What curl shows at a link.
fn curl(url: &serde_json::Value) -> serde_json::Value {
    let mut curl = std::process::Command::new("curl");
    curl.args(["-sS", "--noproxy", "*", url.as_str().unwrap()]);
    let output = curl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_rotation_command_that_fails_says_so_and_leaves_the_exit_usable() {
    let origin = Origin::http();
    let shop = Turnpike::with()
        .network("NL-AMS")
        .exit(
            "fails",
            "addresses = [\"127.0.0.11\"]\nrotate = { command = [\"/bin/false\"] }",
        )
        .network("DE-BER")
        .exit(
            "works",
            "addresses = [\"127.0.0.21\"]\nrotate = { command = [\"/bin/true\"] }",
        )
        .start();
    let [fails, works] = [shop.buy("NL-AMS"), shop.buy("DE-BER")];
    let refused = rotate(&shop, "GET", &fails.rotate_path, &[]).expect_status(502);
    assert_eq!(refused.json()["code"], "rotation_failed");
    assert_eq!(fails.address_at(&origin).to_string(), "127.0.0.11");
    // The command went well and the address is still the same.
    let told = rotate(&shop, "GET", &works.rotate_path, &[]).expect_status(200).json();
    assert_eq!((&told["ip"], &told["changed"]), (&json!("127.0.0.21"), &json!(false)));
}

fn rotate(shop: &Turnpike, method: &str, link: &str, headers: &[(&str, &str)]) -> Answer {
    http::request(shop.api(), method, link, headers, b"")
}

fn set_policy(shop: &Turnpike, bought: &Subscription, minutes: u32) -> Answer {
    shop.order(&json!({"op": "set-rotation-policy", "subscriptionId": bought.id, "rotationPolicy": minutes}))
}
