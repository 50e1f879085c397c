//! Subscription URLs over HTTP: what comes back, for whom, and what nobody gets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use turnpike_shop::routes;
use turnpike_shop::types::Span;

use super::site::{Site, on_both_engines};
use super::world::{ALICE, GATEWAY, Reply, World, config};
use crate::WebConfig;
use crate::sub::format::Format;
use crate::sub::way::Protocol;

on_both_engines!(
    every_format_comes_by_its_name,
    the_program_that_asks_gets_what_it_reads,
    clients_are_told_title_end_and_traffic,
    what_is_not_known_is_named,
    a_url_that_nobody_has_is_not_found,
    a_renewed_url_is_the_only_one_that_works,
    what_has_ended_is_not_listed_and_says_so,
    a_certificate_is_told_of_in_every_format,
);

/// The path of a URL on this server.
fn path(url: &Value) -> String {
    url.as_str()
        .unwrap()
        .strip_prefix("https://shop.example")
        .unwrap()
        .to_owned()
}

/// The paths of Alice's new subscription and of her account.
async fn paths(world: &World) -> (String, String) {
    let one = path(&world.subscription().await["subscriptionUrl"]);
    let listed = world.get("op=subscriptions").send().await.json();
    assert_eq!(path(&listed["subscriptions"][0]["subscriptionUrl"]), one);
    (one, path(&listed["subscriptionUrl"]))
}

async fn load(world: &World, path: &str) -> Reply {
    let reply = world.ask(Method::GET, path).send().await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply
}

fn decoded(reply: &Reply) -> String {
    String::from_utf8(STANDARD.decode(&reply.body).unwrap()).unwrap()
}

async fn every_format_comes_by_its_name(site: &Site) {
    let world = site.world().await;
    let (one, own) = paths(&world).await;
    for of in [&one, &own] {
        for format in Format::ALL {
            // No port here has a certificate.
            if format == Format::Https {
                continue;
            }
            let path = format!("{of}?format={}", format.name());
            let reply = load(&world, &path).await;
            assert_eq!(reply.header("content-type"), Some(format.content_type()));
            assert_eq!(reply.header("cache-control"), Some("no-store"));
            assert!(!reply.body.is_empty(), "{path}");
            let head = world.ask(Method::HEAD, &path).send().await;
            assert_eq!((head.status.as_u16(), head.text().as_str()), (200, ""), "{path}");
            for name in ["content-type", "subscription-userinfo", "content-disposition"] {
                assert_eq!(head.header(name), reply.header(name), "{path}");
            }
        }
        for protocol in Protocol::ALL {
            if protocol != Protocol::Https {
                let links = load(&world, &format!("{of}?format=links&protocol={}", protocol.name()))
                    .await
                    .text();
                assert_eq!(links.lines().count(), 1, "{links}");
            }
        }
    }
    // Clients add parameters of their own, and servers that know a format by another name are many.
    let plain = load(&world, &format!("{one}?format=links")).await.text();
    let more = load(&world, &format!("{one}?flag=meta&format=links&t=1")).await.text();
    assert_eq!(plain, more);
}

async fn the_program_that_asks_gets_what_it_reads(site: &Site) {
    let world = site.world().await;
    let (one, _) = paths(&world).await;
    for (agent, format) in [
        ("mihomo/1.19.13", "clash"),
        ("SFA/1.12.4 (Build 582; sing-box 1.12.4)", "sing-box-tun"),
        ("v2rayN/7.12", "base64"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "links"),
        ("shadowsocks-rust/1.25.0", "sip008"),
        ("", "base64"),
    ] {
        let told = world.ask(Method::GET, &one).header("user-agent", agent).send().await;
        let asked = load(&world, &format!("{one}?format={format}")).await;
        assert_eq!(told.body, asked.body, "{agent}");
        assert_eq!(told.header("content-type"), asked.header("content-type"), "{agent}");
        // What is asked for outright counts more.
        let both = world
            .ask(Method::GET, &format!("{one}?format=csv"))
            .header("user-agent", agent)
            .send()
            .await;
        assert_eq!(both.header("content-type"), Some("text/csv; charset=utf-8"));
    }
}

async fn clients_are_told_title_end_and_traffic(site: &Site) {
    let world = site.world().await;
    let bought = world.subscription().await;
    let one = path(&bought["subscriptionUrl"]);
    let id = bought["subscriptionId"].as_str().unwrap();
    let row = turnpike_shop::traffic::Row {
        subscription: id.parse().unwrap(),
        hour: super::world::NOW,
        up: 5,
        down: 70,
    };
    turnpike_shop::traffic::record(&world.shop, GATEWAY, "run", 1, &[row])
        .await
        .unwrap();
    let ends = bought["activeUntil"].as_i64().unwrap() / 1_000;
    let reply = load(&world, &one).await;
    for (name, value) in [
        (
            "subscription-userinfo",
            format!("upload=5; download=70; total=0; expire={ends}"),
        ),
        ("profile-title", "shop.example 12001 - NL - Private".to_owned()),
        ("profile-update-interval", "6".to_owned()),
        ("profile-web-page-url", "https://shop.example".to_owned()),
        (
            "content-disposition",
            "inline; filename=\"shop.example-12001-NL-Private.txt\"".to_owned(),
        ),
    ] {
        assert_eq!(reply.header(name), Some(value.as_str()));
    }
}

async fn what_is_not_known_is_named(site: &Site) {
    let world = site.world().await;
    let (one, _) = paths(&world).await;
    let refused = async |query: &str| {
        let reply = world.ask(Method::GET, &format!("{one}?{query}")).send().await;
        assert_eq!(reply.error(), (400, "invalid_field".to_owned()), "{query}");
        let answer = reply.json();
        (answer["field"].clone(), answer["error"].as_str().unwrap().to_owned())
    };
    let (field, sentence) = refused("format=yaml").await;
    assert_eq!(field, "format");
    for format in Format::ALL {
        assert!(sentence.contains(format.name()), "{sentence}");
    }
    let (field, sentence) = refused("protocol=vmess").await;
    assert_eq!(field, "protocol");
    assert!(
        sentence.contains("vless, shadowsocks, shadowsocks-aead, socks5, http, https"),
        "{sentence}"
    );
    for query in [
        "format=sip008&protocol=vless",
        "format=pac&protocol=vless",
        "format=outline&protocol=http",
    ] {
        assert_eq!(refused(query).await.0, "protocol");
    }
    for query in [
        "format=https",
        "format=links&protocol=https",
        "format=pac&protocol=https",
    ] {
        let (_, sentence) = refused(query).await;
        assert!(sentence.contains("certificate"), "{sentence}");
    }
    let reply = world.ask(Method::POST, &one).send().await;
    assert_eq!(reply.error().0, 405);
    assert_eq!(reply.header("allow"), Some("GET, HEAD"));
}

async fn a_url_that_nobody_has_is_not_found(site: &Site) {
    let world = site.world().await;
    let (one, own) = paths(&world).await;
    for real in [&one, &own] {
        for wrong in [
            format!("{real}A"),
            real[..real.len() - 1].to_owned(),
            format!("{}/sub/x", real.trim_start_matches('/')),
        ] {
            let wrong = format!("/{}", wrong.trim_start_matches('/'));
            assert_eq!(world.ask(Method::GET, &wrong).send().await.error().0, 404, "{wrong}");
        }
    }
    let mut alike = Vec::new();
    for token in ["abc", "%20", "%ff", "..%2f..", &"a".repeat(49), &"s".repeat(5_000)] {
        // What it is asked for makes no difference either.
        for query in ["", "?format=yaml"] {
            let reply = world.ask(Method::GET, &format!("/sub/{token}{query}")).send().await;
            assert_eq!(reply.error(), (404, "unknown_subscription_url".to_owned()), "{token}");
            let mut answer = reply.json();
            answer["requestId"] = json!("");
            alike.push(answer);
        }
    }
    alike.dedup();
    assert_eq!(alike.len(), 1);
    assert_eq!(alike[0].get("field"), None);
}

async fn a_renewed_url_is_the_only_one_that_works(site: &Site) {
    let world = site.world().await;
    let (one, own) = paths(&world).await;
    let id = world.get("op=subscriptions").send().await.json()["subscriptions"][0]["subscriptionId"].clone();
    let renew = async |order: Value| {
        let reply = world.post(order).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        path(&reply.json()["subscriptionUrl"])
    };
    let next = renew(json!({"op": "renew-subscription-url", "subscriptionId": id})).await;
    assert_eq!(world.ask(Method::GET, &one).send().await.status, 404);
    load(&world, &next).await;
    load(&world, &own).await;
    let next_own = renew(json!({"op": "renew-subscription-url", "subscriptionId": null})).await;
    assert_eq!(world.ask(Method::GET, &own).send().await.status, 404);
    load(&world, &next).await;
    load(&world, &next_own).await;
    let listed = world.get("op=subscriptions").send().await.json();
    assert_eq!(path(&listed["subscriptionUrl"]), next_own);
    assert_eq!(path(&listed["subscriptions"][0]["subscriptionUrl"]), next);
    for (wrong, status) in [(json!("x"), 400), (json!(7), 400), (json!("a".repeat(24)), 404)] {
        let order = json!({"op": "renew-subscription-url", "subscriptionId": wrong});
        assert_eq!(world.post(order).send().await.error().0, status, "{wrong}");
    }
}

async fn what_has_ended_is_not_listed_and_says_so(site: &Site) {
    let world = site.world().await;
    let (one, own) = paths(&world).await;
    let listed = async |path: &str| load(&world, &format!("{path}?format=links")).await.text();
    assert_eq!(listed(&own).await.lines().count(), 2);
    let told = async |path: &str| {
        let base64 = load(&world, path).await;
        let info = base64.header("subscription-userinfo").unwrap().to_owned();
        let expire: i64 = info.rsplit_once('=').unwrap().1.parse().unwrap();
        assert!(expire * 1_000 <= world.shop.now().0, "{info}");
        assert_eq!(load(&world, &format!("{path}?format=json")).await.json(), json!([]));
        let pac = load(&world, &format!("{path}?format=pac")).await.text();
        assert!(pac.contains("\"PROXY 127.0.0.1:1\"") && !pac.contains("12001"), "{pac}");
        for format in Format::ALL {
            load(&world, &format!("{path}?format={}", format.name())).await;
        }
        decoded(&base64)
    };
    world.suspend(ALICE).await;
    for path in [&one, &own] {
        assert_eq!(listed(path).await, "");
        assert!(told(path).await.ends_with("#Suspended%3A%20ask%20shop.example\n"));
    }
    world.resume(ALICE).await;
    assert_eq!(listed(&one).await.lines().count(), 2);
    world.advance(Span::days(31));
    for path in [&one, &own] {
        assert_eq!(listed(path).await, "");
        assert!(told(path).await.ends_with("#Ended%3A%20renew%20at%20shop.example\n"));
    }
}

async fn a_certificate_is_told_of_in_every_format(site: &Site) {
    let world = site.world().await;
    let (one, _) = paths(&world).await;
    routes::set_gateway_tls(&world.shop, GATEWAY, Some("proxy.example.net"))
        .await
        .unwrap();
    for (query, expected) in [
        ("format=links", "security=tls&sni=proxy.example.net"),
        ("format=links&protocol=https", "https://"),
        ("format=https", "https://"),
        ("format=sing-box", "\"server_name\": \"proxy.example.net\""),
        ("format=clash", "\"servername\":\"proxy.example.net\""),
        ("format=clash&protocol=https", "\"sni\":\"proxy.example.net\""),
        ("format=csv", ",https://"),
        ("format=json", "\"https\": \"https://"),
        ("format=pac", "return \"HTTPS proxy.example.com:12001\""),
    ] {
        let text = load(&world, &format!("{one}?{query}")).await.text();
        assert!(text.contains(expected), "{query}: {text}");
    }
}

/// On one engine, since no database is asked before it.
#[tokio::test]
async fn one_address_and_one_url_have_their_share() {
    let world = World::with(WebConfig {
        requests_per_second: 1,
        burst: 5,
        ..config()
    })
    .await;
    let (one, own) = paths(&world).await;
    let from = async |path: &str, address: &str| {
        let reply = world.ask(Method::GET, path).from(address).send().await;
        let policy = reply.header("ratelimit-policy").map(ToOwned::to_owned);
        (reply.status.as_u16(), policy.unwrap_or_default())
    };
    // The URL's own share is gone from wherever it is loaded; another URL has its own.
    let refused = async |path: &str, by: &str, address: &dyn Fn(usize) -> String| {
        for turn in 0..100 {
            let (status, policy) = from(path, &address(turn)).await;
            if status == 429 {
                assert!(policy.contains(&format!("\"{by}\"")), "{policy}");
                return;
            }
        }
        panic!("{path} is never refused");
    };
    refused(&one, "subscription-url", &|turn| format!("198.51.100.{turn}")).await;
    assert_eq!(from(&own, "203.0.113.1").await.0, 200);
    // Whoever tries out tokens has the share of an address.
    refused("/sub/guess", "subscription-url-address", &|_| "203.0.113.9".to_owned()).await;
    assert_eq!(from("/sub/guess", "203.0.113.10").await.0, 404);
}
