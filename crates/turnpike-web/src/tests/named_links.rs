//! Links for others: what each does, from where, and for how long; with a gateway that is played by the test.

use http::Method;
use serde_json::{Value, json};
use turnpike_shop::types::Span;

use super::links::{Gateway, ip};
use super::site::{Site, on_both_engines};
use super::world::{Reply, World, config};
use crate::WebConfig;

on_both_engines!(
    a_named_link_rotates_until_it_is_revoked,
    a_link_is_refused_from_elsewhere_with_a_sentence,
    a_link_believes_trusted_proxies_only_about_where_a_request_comes_from,
    a_status_link_tells_and_never_rotates,
    renewing_the_own_link_leaves_the_others_alone,
    what_is_no_link_is_told_by_its_field,
);

async fn subscription(world: &World) -> String {
    world.subscription().await["subscriptionId"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn path(link: &Value) -> &str {
    link["path"].as_str().unwrap()
}

async fn open(world: &World, link: &Value) -> Reply {
    world.ask(Method::GET, path(link)).send().await
}

async fn a_named_link_rotates_until_it_is_revoked(site: &Site) {
    let world = site.world().await;
    let id = subscription(&world).await;
    let van = world.link(&id, json!({"name": "the van"})).await;
    assert_eq!(van["url"], format!("https://shop.example{}", path(&van)));
    let gateway = Gateway::start(&world.shop, Ok((ip("127.0.0.12"), ip("127.0.0.11"))));
    for method in [Method::GET, Method::POST] {
        let reply = world.ask(method, path(&van)).send().await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["ip"]),
            (200, &json!("127.0.0.12"))
        );
        world.advance(Span::seconds(11));
    }
    // Who only looks does not rotate.
    assert_eq!(world.ask(Method::HEAD, path(&van)).send().await.status, 405);
    let ahead = world.ask(Method::GET, path(&van)).header("sec-purpose", "prefetch");
    assert_eq!(ahead.send().await.error(), (403, "prefetch".to_owned()));
    let order = json!({"op": "revoke-rotate-link", "subscriptionId": id, "linkId": van["linkId"]});
    for _ in 0..2 {
        assert_eq!(world.post(order.clone()).send().await.json(), json!({"ok": true}));
        assert_eq!(
            open(&world, &van).await.error(),
            (404, "unknown_rotate_link".to_owned())
        );
    }
    assert_eq!(gateway.rotated(), 2);
}

async fn a_link_is_refused_from_elsewhere_with_a_sentence(site: &Site) {
    let world = site.world().await;
    let id = subscription(&world).await;
    let allowed = json!(["198.51.100.0/24"]);
    let van = world
        .link(&id, json!({"name": "the van", "allowedAddresses": allowed}))
        .await;
    let board = json!({"name": "board", "kind": "status", "allowedAddresses": allowed});
    let board = world.link(&id, board).await;
    let gateway = Gateway::start(&world.shop, Ok((ip("127.0.0.12"), None)));
    for link in [&van, &board] {
        let refused = open(&world, link).await;
        assert_eq!(refused.error(), (403, "link_not_allowed_from".to_owned()));
        assert_eq!(
            refused.json()["error"],
            "Forbidden: this link does not work from 192.0.2.1; who made it can allow that address with a new link"
        );
        let welcome = world.ask(Method::GET, path(link)).from("::ffff:198.51.100.77");
        assert_eq!(welcome.send().await.status, 200);
    }
    assert_eq!(gateway.rotated(), 1);
}

async fn a_link_believes_trusted_proxies_only_about_where_a_request_comes_from(site: &Site) {
    let world = site
        .world_with(WebConfig {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..config()
        })
        .await;
    let id = subscription(&world).await;
    let wish = json!({"name": "board", "kind": "status", "allowedAddresses": ["198.51.100.1"]});
    let board = world.link(&id, wish).await;
    let by = |proxy: &str, said: &str| {
        world
            .ask(Method::GET, path(&board))
            .from(proxy)
            .header("x-forwarded-for", said)
            .send()
    };
    assert_eq!(by("10.0.0.1", "198.51.100.1").await.status, 200);
    assert_eq!(by("10.0.0.1", "198.51.100.2").await.status, 403);
    assert_eq!(by("10.0.0.1", "198.51.100.1, 198.51.100.2").await.status, 403);
    assert_eq!(by("192.0.2.1", "198.51.100.1").await.status, 403);
}

async fn a_status_link_tells_and_never_rotates(site: &Site) {
    let world = site.world().await;
    let bought = world.subscription().await;
    let id = bought["subscriptionId"].as_str().unwrap();
    let board = world.link(id, json!({"name": "board", "kind": "status"})).await;
    let gateway = Gateway::start(&world.shop, Ok((ip("127.0.0.12"), ip("127.0.0.11"))));
    let first = open(&world, &board).await.json();
    assert_eq!(
        (&first["exit"], &first["ip"], &first["rotatedAt"]),
        (&json!("unknown"), &Value::Null, &Value::Null)
    );
    let rotated = world
        .ask(Method::GET, bought["rotate"]["rotatePath"].as_str().unwrap())
        .send()
        .await;
    assert_eq!(rotated.status, 200);
    let told = open(&world, &board).await;
    let text = told.text();
    for secret in ["username", "password", "vpn"] {
        let secret = bought["credentials"][secret].as_str().unwrap_or(secret);
        assert!(!text.contains(secret), "{text}");
    }
    let told = told.json();
    assert_eq!(
        (&told["ip"], &told["nextAllowedAt"], &told["endsAt"]),
        (
            &json!("127.0.0.12"),
            &rotated.json()["nextAllowedAt"],
            &bought["activeUntil"]
        )
    );
    let bare = format!("{}?format=text", path(&board));
    assert_eq!(world.ask(Method::GET, &bare).send().await.text(), "127.0.0.12");
    assert_eq!(world.ask(Method::HEAD, path(&board)).send().await.status, 200);
    assert_eq!(world.ask(Method::POST, path(&board)).send().await.error().0, 405);
    let token = path(&board).trim_start_matches("/status/");
    for wrong in [
        format!("/r/{token}"),
        format!("/status/{token}x"),
        "/status/%ff".to_owned(),
    ] {
        let reply = world.ask(Method::GET, &wrong).send().await;
        assert_eq!(reply.error(), (404, "unknown_rotate_link".to_owned()), "{wrong}");
    }
    assert_eq!(gateway.rotated(), 1);
}

async fn renewing_the_own_link_leaves_the_others_alone(site: &Site) {
    let world = site.world().await;
    let bought = world.subscription().await;
    let id = bought["subscriptionId"].as_str().unwrap();
    let van = world.link(id, json!({"name": "the van"})).await;
    let _gateway = Gateway::start(&world.shop, Ok((ip("127.0.0.12"), None)));
    let order = json!({"op": "renew-rotate-link", "subscriptionId": id, "linkId": id});
    let renewed = world.post(order).send().await.json()["link"].clone();
    let listed = world.get("op=subscriptions").send().await.json();
    assert_eq!(listed["subscriptions"][0]["rotate"]["rotatePath"], renewed["path"]);
    assert_ne!(bought["rotate"]["rotatePath"], renewed["path"]);
    let old = json!({"path": bought["rotate"]["rotatePath"]});
    assert_eq!(open(&world, &old).await.error().0, 404);
    for link in [&van, &renewed] {
        assert_eq!(open(&world, link).await.status, 200);
        world.advance(Span::seconds(11));
    }
    let order = json!({"op": "revoke-rotate-link", "subscriptionId": id, "linkId": id});
    assert_eq!(world.post(order).send().await.error(), (409, "own_link".to_owned()));
}

async fn what_is_no_link_is_told_by_its_field(site: &Site) {
    let world = site.world().await;
    let id = subscription(&world).await;
    let refused = async |mut wish: Value| {
        if wish.get("op").is_none() {
            wish["op"] = json!("create-rotate-link");
        }
        wish["subscriptionId"] = json!(id);
        let reply = world.post(wish).send().await;
        let (status, code) = reply.error();
        let body = reply.json();
        (
            status,
            code,
            body["field"].as_str().unwrap_or_default().to_owned(),
            body["error"].clone(),
        )
    };
    for (wish, field) in [
        (json!({}), "name"),
        (json!({"name": 7}), "name"),
        (json!({"name": " "}), "name"),
        (json!({"name": "a", "kind": "both"}), "kind"),
        (
            json!({"name": "a", "allowedAddresses": "192.0.2.1"}),
            "allowedAddresses",
        ),
        (json!({"name": "a", "allowedAddresses": [7]}), "allowedAddresses"),
        (json!({"op": "renew-rotate-link"}), "linkId"),
        (json!({"op": "revoke-rotate-link", "linkId": "x"}), "linkId"),
    ] {
        let (status, code, named, _) = refused(wish.clone()).await;
        assert_eq!(
            (status, code.as_str(), named.as_str()),
            (400, "invalid_field", field),
            "{wish}"
        );
    }
    let (.., sentence) = refused(json!({"name": "a", "allowedAddresses": ["0.0.0.0/0"]})).await;
    assert_eq!(
        sentence,
        "Invalid allowedAddresses: 0.0.0.0/0 is too wide; name networks of /8 and longer, with IPv6 of /32 and longer"
    );
    let unknown = json!({"op": "renew-rotate-link", "linkId": "a".repeat(24)});
    let (status, code, field, _) = refused(unknown).await;
    assert_eq!(
        (status, code.as_str(), field.as_str()),
        (404, "link_not_found", "linkId")
    );
    let (status, code, ..) = refused(json!({"name": "main"})).await;
    assert_eq!((status, code.as_str()), (409, "link_name_taken"));
    assert_eq!(
        world.link(&id, json!({"name": "a", "kind": null})).await["kind"],
        "rotate"
    );
}
