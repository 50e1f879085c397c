//! What a plan limits and whom a port lets in without a password: the same inside TLS as outside.

use serde_json::json;
use testbed::authority::Authority;
use testbed::client::{Tunnel, curl};
use testbed::eventually;
use testbed::origin::Origin;
use testbed::turnpike::Turnpike;
use url::Url;

use crate::world::{EXIT, protocols};

#[test]
fn a_plan_limits_and_a_list_lets_in_as_outside() {
    let authority = Authority::new();
    authority.issue(&["127.0.0.1"], 2090);
    let shop = Turnpike::with()
        .certified(&authority)
        .network_without_plans("NL-AMS")
        .pool("nl-1", &[EXIT])
        .plan(
            "private",
            "duration = \"1d\"\nprice_cents = 100\nmax_connections = 1\nmbit_per_second = 16",
        )
        .start();
    let bought = shop.buy("NL-AMS");
    eventually("links tell of TLS", || protocols(&shop)["https"].is_string());
    let https = protocols(&shop)["https"].as_str().unwrap().to_owned();
    let (origin, echo, root) = (Origin::http(), Origin::echo(), authority.root());
    let seen = |proxy: &str, written: &str, path: &str| {
        let told = ["--proxy-cacert", &root, "--proxy", proxy, "--write-out", written];
        let output = curl(&[&told[..], &["--output", "/dev/null", &origin.url(path)]].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let status = |proxy: &str| seen(proxy, "%{http_code}", "/");

    let open = Tunnel::by_connect(&bought, echo.address()).unwrap();
    assert_eq!(status(&https), "429", "it is one too many");
    drop(open);
    eventually("there is room again", || status(&https) == "200");

    let speed: f64 = seen(&https, "%{speed_download}", "/bytes/4000000").parse().unwrap();
    assert!(speed > 0.0 && speed < 2_200_000.0, "{speed} bytes per second");

    let mut guest = Url::parse(&https).unwrap();
    guest.set_username("").unwrap();
    guest.set_password(None).unwrap();
    assert_eq!(status(guest.as_str()), "407");
    let order = json!({"op": "set-allowed-addresses", "subscriptionId": bought.id, "addresses": ["127.0.0.1"]});
    let _ = shop.order(&order).expect_status(200);
    assert_eq!(status(guest.as_str()), "200");
}
