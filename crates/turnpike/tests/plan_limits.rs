//! What a plan limits, as its customer sees it: in the API, at the port, and when there is no more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

use serde_json::{Value, json};
use testbed::client::{Tunnel, curl};
use testbed::origin::Origin;
use testbed::turnpike::{Builder, Subscription, Turnpike};
use testbed::{eventually, http, on_both_engines};

on_both_engines!(
    limits_are_seen_before_they_are_met_and_told_apart_when_they_are,
    used_up_traffic_ends_downloads_and_a_renewal_brings_more,
    curl_is_no_faster_than_the_plan,
);

const DAY: &str = "duration = \"1d\"\nprice_cents = 100\ntrial = \"1h\"\n";
const GIGABYTE: i64 = 1_000_000_000;
/// What the least trial gives.
const TRIAL: i64 = GIGABYTE / 10;

/// What curl says of a request through a proxy: the status or an empty text, the body, and its own exit code.
fn curled(proxy: &str, more: &[&str], url: &str) -> (String, String, i32) {
    let asked = ["--proxy", proxy, "--write-out", "\n%{http_code}", url];
    let output = curl(&[more, &asked].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.trim().to_owned(), output.status.code().unwrap())
}

fn row(shop: &Turnpike) -> Value {
    shop.ask("subscriptions").expect_status(200).json()["subscriptions"][0].clone()
}

fn assert_counted(shop: &Turnpike, reason: &str) {
    let metrics = http::request(shop.metrics(), "GET", "/metrics", &[], b"").expect_status(200);
    let line = format!("turnpike_refusals_total{{reason=\"{reason}\"}} ");
    assert!(metrics.body.contains(&line), "{line}");
}

fn limits_are_seen_before_they_are_met_and_told_apart_when_they_are(with: Builder) {
    let plan = format!("{DAY}max_connections = 2\nmax_source_addresses = 1\nmbit_per_second = 2000\ntraffic_gb = 5");
    let shop = with
        .network_without_plans("NL-AMS")
        .pools(1)
        .plan("private", &plan)
        .start();
    let limits = json!({
        "maxConnections": 2, "maxSourceAddresses": 1, "mbitPerSecond": 2_000, "trafficBytes": 5 * GIGABYTE
    });
    assert_eq!(
        shop.ask("plans").expect_status(200).json()["plans"][0]["limits"],
        limits
    );
    let bought = shop.buy("NL-AMS");
    assert_eq!(row(&shop)["limits"], limits);
    assert_eq!(
        row(&shop)["usage"],
        json!({"trafficBytes": 0, "trafficLeftBytes": 5 * GIGABYTE})
    );
    let renewal = format!("renewal-plans&subscriptionId={}", bought.id);
    assert_eq!(
        shop.ask(&renewal).expect_status(200).json()["renewalPlans"][0]["limits"],
        limits
    );

    let (origin, echo) = (Origin::http(), Origin::echo());
    let open = [
        Tunnel::by_connect(&bought, echo.address()).unwrap(),
        Tunnel::by_socks5(&bought, echo.address()).unwrap(),
    ];
    let (status, sentence, _) = curled(&bought.http, &[], &origin.url("/"));
    assert_eq!(status, "429");
    assert_eq!(
        sentence,
        "This subscription may have 2 connections at a time and has them: close some, or buy a plan with more."
    );
    let (_, _, code) = curled(&bought.socks5, &[], &origin.url("/"));
    assert_eq!(code, 97, "curl could not complete SOCKS5");
    drop(open);
    eventually("there is room again", || {
        curled(&bought.http, &[], &origin.url("/")).0 == "200"
    });

    let elsewhere = ["--interface", "127.0.0.2"];
    let (status, sentence, _) = curled(&bought.http, &elsewhere, &origin.url("/"));
    assert_eq!(status, "403");
    assert!(
        sentence.starts_with("This subscription may be used from 1 addresses at a time"),
        "{sentence}"
    );
    let stranger = format!("http://u:wrong@{}", bought.http.split_once('@').unwrap().1);
    assert_eq!(
        curled(&stranger, &elsewhere, &origin.url("/")).0,
        "407",
        "wrong credentials are told as such"
    );
    for reason in ["connections", "sources", "credentials"] {
        assert_counted(&shop, reason);
    }
}

fn used_up_traffic_ends_downloads_and_a_renewal_brings_more(with: Builder) {
    let plan = format!("{DAY}traffic_gb = 1");
    let mut shop = with
        .network_without_plans("NL-AMS")
        .pools(1)
        .plan("private", &plan)
        .start();
    let plan = shop.plan("NL-AMS", "private");
    let trial = json!({"op": "trial", "planId": plan});
    let given = shop.order(&trial).expect_status(200).json();
    let bought = Subscription::from(&given["subscription"]);
    assert_eq!(row(&shop)["limits"]["trafficBytes"], TRIAL);

    let origin = Origin::http();
    let big = origin.url("/bytes/60000000");
    let discard = ["--output", "/dev/null"];
    assert_eq!(
        curled(&bought.http, &discard, &big),
        ("200".to_owned(), String::new(), 0)
    );
    // Looked at a few times a second: what moves in between is given.
    eventually("the traffic is used up", || {
        curled(&bought.http, &discard, &big).0 == "402"
    });
    let (_, sentence, _) = curled(&bought.http, &[], &origin.url("/"));
    assert_eq!(
        sentence,
        "The traffic of this subscription is used up: renew it or buy more."
    );
    let (_, _, code) = curled(&bought.socks5, &[], &origin.url("/"));
    assert_eq!(code, 97, "curl could not complete SOCKS5");
    eventually("it is seen in the API", || row(&shop)["usage"]["trafficLeftBytes"] == 0);
    let used = row(&shop)["usage"]["trafficBytes"].as_i64().unwrap();
    assert!(used >= TRIAL, "{used}");
    assert_counted(&shop, "traffic");

    shop.stop();
    shop.serve();
    assert_eq!(
        curled(&bought.http, &[], &origin.url("/")).0,
        "402",
        "a restart forgets nothing"
    );

    let renewal = json!({"op": "renew", "subscriptionId": bought.id, "planId": plan});
    let _ = shop.order(&renewal).expect_status(200);
    assert_eq!(curled(&bought.http, &[], &origin.url("/")).0, "200");
    let row = row(&shop);
    assert_eq!(row["limits"]["trafficBytes"], TRIAL + GIGABYTE);
    let (used, left) = (&row["usage"]["trafficBytes"], &row["usage"]["trafficLeftBytes"]);
    assert_eq!(used.as_i64().unwrap() + left.as_i64().unwrap(), TRIAL + GIGABYTE);
    shop.audit();
}

/// How fast it is at all is for tests whose time is their own; here a busy machine may only make it slower.
fn curl_is_no_faster_than_the_plan(with: Builder) {
    let plan = format!("{DAY}mbit_per_second = 16");
    let shop = with
        .network_without_plans("NL-AMS")
        .pools(1)
        .plan("private", &plan)
        .start();
    let bought = shop.buy("NL-AMS");
    let origin = Origin::http();
    for proxy in [&bought.http, &bought.socks5] {
        let told = ["--output", "/dev/null", "--write-out", "%{speed_download}"];
        let output = curl(&[&told[..], &["--proxy", proxy, &origin.url("/bytes/4000000")]].concat());
        assert!(output.status.success());
        let speed: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
        assert!(
            speed > 0.0 && speed < 2_200_000.0,
            "{speed} bytes per second by {proxy}"
        );
    }
}
