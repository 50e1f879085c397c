//! What is bought, changed, ended or suspended takes effect on the subscription's port at once, and on nobody else's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's broken assumption should stop it"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;
use testbed::client::{Tunnel, curl, curled};
use testbed::clock::Clock;
use testbed::origin::Origin;
use testbed::turnpike::{Builder, Subscription, Turnpike};
use testbed::{eventually, on_both_engines};

/// Tunnels that have lost their right end within a second; another is for a machine that is busy with other tests.
const AT_ONCE: Duration = Duration::from_secs(2);

on_both_engines!(
    a_purchase_opens_its_ports_before_its_answer_leaves,
    changed_credentials_cut_what_the_old_ones_opened,
    a_suspension_closes_the_ports_until_it_is_lifted,
    an_allowed_address_needs_no_password_until_it_is_taken_off_the_list,
    a_switched_network_cuts_old_tunnels_and_keeps_port_and_credentials,
    the_end_of_a_subscription_cuts_its_tunnels_and_a_renewal_opens_its_port_again,
);

fn a_purchase_opens_its_ports_before_its_answer_leaves(with: Builder) {
    let shop = with.network("NL-AMS").pools(8).start();
    let echo = Origin::echo();
    let plan = shop.plan("NL-AMS", "private");
    for quantity in [1, 2, 1, 4] {
        let order = json!({"op": "purchase", "planId": plan, "quantity": quantity});
        let answer = shop.order(&order).expect_status(200).json();
        for bought in answer["subscriptions"].as_array().unwrap() {
            let bought = Subscription::from(bought);
            // No second try: the port is open when the answer is here.
            Tunnel::by_connect(&bought, echo.address()).unwrap().echoes(b"hello");
            Tunnel::by_socks5(&bought, echo.address()).unwrap().echoes(b"hello");
        }
    }
}

fn changed_credentials_cut_what_the_old_ones_opened(with: Builder) {
    let echo = Origin::echo();
    let shop = with.network("NL-AMS").pools(2).start();
    let old = shop.buy("NL-AMS");
    let mut neighbour = Neighbour::of(&shop, echo.address());
    let mut tunnels = both(&old, echo.address());

    let change = json!({"op": "change-credentials", "subscriptionId": old.id});
    let answer = shop.order(&change).expect_status(200).json();

    assert_cut(&mut tunnels);
    assert_refused(&old, echo.address());
    let new = shop.subscription(&old.id);
    assert_eq!((&new.username, new.port), (&old.username, old.port));
    assert_eq!(answer["password"], new.password.as_str());
    assert_ne!(new.password, old.password);
    both(&new, echo.address());
    neighbour.is_undisturbed();
}

fn a_suspension_closes_the_ports_until_it_is_lifted(with: Builder) {
    let echo = Origin::echo();
    let shop = with.network("NL-AMS").pools(2).start();
    let bought = shop.buy("NL-AMS");
    let mut neighbour = Neighbour::of(&shop, echo.address());
    let mut tunnels = both(&bought, echo.address());

    shop.run(&["account", "suspend", &shop.email]);

    assert_cut(&mut tunnels);
    assert_refused(&bought, echo.address());
    assert_eq!(shop.ask("plans").expect_status(403).json()["code"], "account_suspended");
    neighbour.is_undisturbed();

    shop.run(&["account", "resume", &shop.email]);
    eventually("the port is open again", || {
        Tunnel::by_connect(&bought, echo.address()).is_ok()
    });
    both(&bought, echo.address());
    let _ = shop.ask("plans").expect_status(200);
}

fn an_allowed_address_needs_no_password_until_it_is_taken_off_the_list(with: Builder) {
    const FRIEND: &str = "127.0.0.201";
    let (echo, origin) = (Origin::echo(), Origin::http());
    let shop = with
        .network("NL-AMS")
        .pool("nl-1", &["127.0.0.11"])
        .pool("nl-2", &["127.0.0.12"])
        .start();
    let bought = shop.buy("NL-AMS");
    let mut neighbour = Neighbour::of(&shop, echo.address());
    let allow = |addresses: &[&str]| {
        let order = json!({"op": "set-allowed-addresses", "subscriptionId": bought.id, "addresses": addresses});
        shop.order(&order).expect_status(200).json()["addresses"].clone()
    };
    let (url, port) = (origin.url("/"), bought.port);
    let ways: Vec<String> = ["http", "socks5", "socks5h", "socks4", "socks4a"]
        .iter()
        .map(|scheme| format!("{scheme}://{port}"))
        .collect();
    let by = |way: &str, source: &str| {
        let tried = curl(&["--interface", source, "--proxy", way, "--fail", &url]);
        tried.status.success().then(|| String::from_utf8(tried.stdout).unwrap())
    };
    let present = bought.address_at(&origin).to_string();

    assert_eq!(allow(&[FRIEND]), json!([FRIEND]));
    for way in &ways {
        assert_eq!(by(way, FRIEND), Some(present.clone()), "{way}");
        assert_eq!(by(way, "127.0.0.202"), None, "{way}");
    }
    let tunnelled = curled(&["--interface", FRIEND, "--proxytunnel", "--proxy", &ways[0], &url]);
    assert_eq!(tunnelled, present);

    // One that came without a password is cut when its address leaves the list, one that brought it stays.
    allow(&["127.0.0.1", FRIEND]);
    let mut guest = TcpStream::connect(port).unwrap();
    guest.set_read_timeout(Some(AT_ONCE)).unwrap();
    let destination = echo.address();
    write!(guest, "CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    guest.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut customer = both(&bought, destination);
    allow(&[FRIEND]);
    let end = guest.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
    assert!(
        matches!(end, Ok(_) | Err(std::io::ErrorKind::ConnectionReset)),
        "{end:?}"
    );
    for tunnel in &mut customer {
        tunnel.echoes(b"still here");
    }
    assert_eq!(by(&ways[0], FRIEND), Some(present));
    assert_eq!(allow(&[]), json!([]));
    for way in &ways {
        assert_eq!(by(way, FRIEND), None, "{way}");
    }
    both(&bought, destination);
    neighbour.is_undisturbed();
}

fn a_switched_network_cuts_old_tunnels_and_keeps_port_and_credentials(with: Builder) {
    let (echo, origin) = (Origin::echo(), Origin::http());
    let shop = with
        .network("NL-AMS")
        .pools(2)
        .network("DE-BER")
        .pool("de-1", &["127.0.0.21"])
        .start();
    let old = shop.buy("NL-AMS");
    let mut neighbour = Neighbour::of(&shop, echo.address());
    let mut tunnels = both(&old, echo.address());
    let before = old.address_at(&origin);
    let networks = shop
        .ask(&format!("available-networks&subscriptionId={}", old.id))
        .expect_status(200)
        .json();
    let berlin = networks["networks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|network| network["country"] == "DE")
        .unwrap();

    let switch = json!({"op": "switch-network", "subscriptionId": old.id, "targetNetwork": berlin["id"]});
    let new = Subscription::from(&shop.order(&switch).expect_status(200).json()["subscription"]);

    assert_cut(&mut tunnels);
    // The label that clients show tells the new country; everything else of the links stays.
    let moved = |link: &str| link.replace("%20NL%20", "%20DE%20");
    let expected = Subscription {
        vless: moved(&old.vless),
        shadowsocks: moved(&old.shadowsocks),
        ..old.clone()
    };
    assert_ne!(expected, old);
    assert_eq!(new, expected);
    assert_ne!(before, new.address_at(&origin));
    assert_eq!(new.address_at(&origin).to_string(), "127.0.0.21");
    neighbour.is_undisturbed();
    // The slot that was left is free again.
    let _ = shop.buy("NL-AMS");
}

fn the_end_of_a_subscription_cuts_its_tunnels_and_a_renewal_opens_its_port_again(with: Builder) {
    const MINUTE: &str = "duration = \"1m\"\nprice_cents = 10";
    let Some(clock) = Clock::new() else { return };
    let echo = Origin::echo();
    let shop = with
        .clock(&clock)
        .network_without_plans("NL-AMS")
        .plan("private", MINUTE)
        .pools(1)
        .network("DE-BER")
        .pools(1)
        .start();
    let bought = shop.buy("NL-AMS");
    let mut neighbour = Neighbour::in_network(&shop, "DE-BER", echo.address());
    let mut tunnels = both(&bought, echo.address());

    // The clock may be set forward by less than a minute; a larger jump is not believed at once.
    clock.set(Duration::from_secs(59));

    assert!(tunnels[0].closes_within(Duration::from_secs(5)).is_some());
    assert_cut(&mut tunnels[1..]);
    assert_refused(&bought, echo.address());
    neighbour.is_undisturbed();
    let listed = shop.ask("subscriptions").expect_status(200).json();
    assert_eq!(listed["subscriptions"][0]["status"], "expired");

    let plan = shop.plan("NL-AMS", "private");
    let renew = json!({"op": "renew", "subscriptionId": bought.id, "planId": plan, "repeatCount": 60});
    let _ = shop.order(&renew).expect_status(200);
    assert_eq!(shop.subscription(&bought.id).port, bought.port);
    both(&bought, echo.address());
}

/// Somebody else's tunnels, which stay open and exact whatever happens to others.
struct Neighbour {
    bought: Subscription,
    origin: SocketAddr,
    tunnels: [Tunnel; 2],
}

impl Neighbour {
    fn of(shop: &Turnpike, origin: SocketAddr) -> Self {
        Self::in_network(shop, "NL-AMS", origin)
    }

    fn in_network(shop: &Turnpike, network: &str, origin: SocketAddr) -> Self {
        let bought = shop.customer("neighbour@example.com", 5_000).buy(network);
        let tunnels = both(&bought, origin);
        Self {
            bought,
            origin,
            tunnels,
        }
    }

    #[track_caller]
    fn is_undisturbed(&mut self) {
        for tunnel in &mut self.tunnels {
            tunnel.echoes(b"still here");
        }
        both(&self.bought, self.origin);
    }
}

/// A tunnel by each protocol, tried.
#[track_caller]
fn both(subscription: &Subscription, origin: SocketAddr) -> [Tunnel; 2] {
    let tunnels = [
        Tunnel::by_connect(subscription, origin),
        Tunnel::by_socks5(subscription, origin),
    ];
    tunnels.map(|tunnel| {
        let mut tunnel = tunnel.expect("a tunnel");
        tunnel.echoes(b"hello");
        tunnel
    })
}

#[track_caller]
fn assert_cut(tunnels: &mut [Tunnel]) {
    for tunnel in tunnels {
        assert!(tunnel.closes_within(AT_ONCE).is_some(), "{tunnel:?} is still open");
    }
}

#[track_caller]
fn assert_refused(subscription: &Subscription, origin: SocketAddr) {
    Tunnel::by_connect(subscription, origin).expect_err("refused");
    Tunnel::by_socks5(subscription, origin).expect_err("refused");
}
