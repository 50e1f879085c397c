//! What is secret stays out of logs, metrics, commands' output and the database, however much is logged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::json;
use testbed::client::Tunnel;
use testbed::http;
use testbed::on_both_engines;
use testbed::origin::Origin;
use testbed::turnpike::{Builder, Subscription, Turnpike};

on_both_engines!(secrets_are_nowhere_but_in_the_answers_that_give_them);

const LOGIN: &str = "canary-of-a-login";
const UPSTREAM: &str = "canary-of-an-upstream";
const ROTATE_URL: &str = "canary-of-a-rotate-url";

fn secrets_are_nowhere_but_in_the_answers_that_give_them(with: Builder) {
    let echo = Origin::echo();
    let mut shop = with
        .variable("RUST_LOG", "trace")
        .network("NL-AMS")
        .pools(1)
        .network("DE-BER")
        .exit("partner", &format!("upstream = \"socks5://user:{UPSTREAM}@127.0.0.1:1\"\nrotate = {{ http = \"http://127.0.0.1:1/?key={ROTATE_URL}\" }}"))
        .start();
    let bought = shop.buy("NL-AMS");
    let through_upstream = shop.buy("DE-BER");
    let token = token(&shop);
    use_it(&shop, &bought, &echo);
    Tunnel::by_connect(&through_upstream, echo.address()).expect_err("nobody listens there");
    assert_eq!(rotate(&shop, &through_upstream), 502);
    let changed = json!({"op": "change-credentials", "subscriptionId": bought.id});
    let changed = shop.order(&changed).expect_status(200).json();
    use_it(&shop, &shop.subscription(&bought.id), &echo);

    let master_key = fs::read(shop.home().join("turnpike.key")).unwrap();
    let master_key = String::from_utf8_lossy(master_key.trim_ascii()).into_owned();
    let mut secrets = vec![LOGIN.to_owned(), shop.key.clone(), token, master_key];
    for given in [&bought, &through_upstream] {
        let link = given.rotate_path.trim_start_matches("/r/").to_owned();
        secrets.push(subscription_token(&given.subscription_url));
        let basic = given.basic().trim_start_matches("Basic ").to_owned();
        secrets.extend([given.password.clone(), link, basic]);
    }
    secrets.push(subscription_token(&shop.subscription_url()));
    secrets.extend(["password", "vpn"].map(|field| changed[field].as_str().unwrap().to_owned()));
    // What operators configure may stand in their database, not in what others read.
    let configured = [UPSTREAM, ROTATE_URL].map(str::to_owned);

    let told = told(&mut shop);
    assert!(told.contains("TRACE"), "everything was logged");
    for secret in secrets.iter().chain(&configured) {
        assert_absent(secret, told.as_bytes(), "what was printed and logged");
    }
    let stored = database(&shop);
    for secret in &secrets {
        assert_absent(secret, &stored, "the database");
        // As dumps write bytes.
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_absent(&hex, &stored, "the database");
    }
}

/// Tunnels and a rotation, and the same with wrong secrets.
fn use_it(shop: &Turnpike, bought: &Subscription, echo: &Origin) {
    Tunnel::by_connect(bought, echo.address()).unwrap().echoes(b"hello");
    Tunnel::by_socks5(bought, echo.address()).unwrap().echoes(b"hello");
    assert_eq!(rotate(shop, bought), 200);
    for url in [&bought.subscription_url, &shop.subscription_url()] {
        let path = format!("/sub/{}", subscription_token(url));
        let _ = http::request(shop.api(), "GET", &path, &[], b"").expect_status(200);
        let _ = http::request(shop.api(), "GET", &format!("{path}x"), &[], b"").expect_status(404);
    }
    // Right but for the user name: a slip that must not show the password.
    let stranger = Subscription {
        username: "somebody".to_owned(),
        ..bought.clone()
    };
    Tunnel::by_connect(&stranger, echo.address()).expect_err("another's user name");
    Tunnel::by_socks5(&stranger, echo.address()).expect_err("another's user name");
    let mut nearly = (**shop).clone();
    nearly.key.push('x');
    assert_eq!(nearly.ask("plans").status, 401);
}

/// The secret part of a subscription URL.
fn subscription_token(url: &str) -> String {
    url.rsplit_once('/').unwrap().1.to_owned()
}

fn rotate(shop: &Turnpike, bought: &Subscription) -> u16 {
    http::request(shop.api(), "GET", &bought.rotate_path, &[], b"").status
}

/// A token for somebody with a password, after a first try with a slip in it.
fn token(shop: &Turnpike) -> String {
    const EMAIL: &str = "person@example.com";
    let mut create = shop.command(&["account", "create", EMAIL, "--password-stdin"]);
    let mut create = create.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    create.stdin.take().unwrap().write_all(LOGIN.as_bytes()).unwrap();
    assert!(create.wait().unwrap().success());
    let log_in = |password: &str| {
        let body = json!({"email": EMAIL, "password": password}).to_string();
        http::request(
            shop.api(),
            "POST",
            "/api/auth/token",
            &[("content-type", "application/json")],
            body.as_bytes(),
        )
    };
    assert_eq!(log_in(&format!("{LOGIN}x")).status, 401);
    log_in(LOGIN).expect_status(200).json()["token"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The log, the metrics, and what the commands print that are for looking.
fn told(shop: &mut Turnpike) -> String {
    let mut told = http::request(shop.metrics(), "GET", "/metrics", &[], b"")
        .expect_status(200)
        .body;
    for command in [
        &["account", "list"][..],
        &["account", "show", &shop.email],
        &["key", "list"],
        &["key", "list", "--json"],
        &["audit"],
        &["doctor"],
        &["doctor", "--json"],
    ] {
        // The doctor has something to say about the upstream that is down.
        let output = shop.try_run(command);
        told.push_str(&String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    }
    shop.stop();
    told + &shop.log()
}

/// All that the database holds, as it lies on the disk or as it is dumped.
fn database(shop: &Turnpike) -> Vec<u8> {
    match shop.postgres() {
        Some(database) => database.dump(),
        None => fs::read(shop.home().join("turnpike.db")).unwrap(),
    }
}

#[track_caller]
fn assert_absent(secret: &str, place: &[u8], name: &str) {
    assert!(secret.len() > 8, "{secret:?} could be anywhere by chance");
    let found = place
        .windows(secret.len())
        .position(|window| window == secret.as_bytes());
    if let Some(at) = found {
        let around = String::from_utf8_lossy(&place[at.saturating_sub(300)..(at + 100).min(place.len())]);
        panic!("{secret} stands in {name}: {around}");
    }
}
