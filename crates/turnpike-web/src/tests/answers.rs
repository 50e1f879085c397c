//! Every documented answer, as the contract shows it. Ids, secrets and ports are redacted; times are the clock's.

use http::Method;
use serde_json::{Value, json};
use turnpike_shop::refusals::Refusal;
use turnpike_shop::types::{Span, UnixMillis};

use super::site::{Site, on_both_engines};
use super::world::{ALICE, Reply};

on_both_engines!(
    plans,
    purchase_of_one,
    purchase_of_two_with_a_coupon,
    subscriptions_and_their_pages,
    renewal_plans,
    available_networks,
    renew,
    change_credentials,
    set_rotation_policy,
    switch_network,
    trial,
    rotate_links,
    status_link,
    allowed_addresses,
    refusals,
    renew_subscription_url,
    an_error,
);

/// The redactions that every answer with subscriptions needs.
macro_rules! assert_answer {
    ($name:literal, $value:expr) => {
        // Named, so that both engines are held to the same one.
        insta::assert_json_snapshot!($name, $value, {
            ".**.id" => "[id]",
            ".**.subscriptionId" => "[id]",
            ".subscriptionIds[]" => "[id]",
            ".**.username" => "[username]",
            ".**.password" => "[password]",
            ".**.vpn" => "[uuid]",
            ".**.http" => insta::dynamic_redaction(shape_of_url),
            ".**.socks5" => insta::dynamic_redaction(shape_of_url),
            ".**.protocols.vless" => insta::dynamic_redaction(shape_of_vless_url),
            ".**.protocols.shadowsocks" => insta::dynamic_redaction(shape_of_shadowsocks_url),
            ".**.rotatePath" => insta::dynamic_redaction(shape_of_link),
            ".**.linkId" => "[id]",
            ".**.path" => insta::dynamic_redaction(shape_of_link),
            ".**.url" => insta::dynamic_redaction(shape_of_link),
            ".**.subscriptionUrl" => insta::dynamic_redaction(shape_of_subscription_url),
            ".requestId" => "[request id]",
        })
    };
}

/// Checks what is redacted, so that a redaction does not hide nonsense.
fn shape_of_url(value: insta::internals::Content, _: insta::internals::ContentPath<'_>) -> String {
    let text = value.as_str().unwrap();
    let (scheme, rest) = text.split_once("://").unwrap();
    let (user, host) = rest.split_once('@').unwrap();
    let (name, password) = user.split_once(':').unwrap();
    assert!(!name.is_empty() && !password.is_empty(), "{text}");
    format!("{scheme}://[username]:[password]@{host}")
}

fn shape_of_vless_url(value: insta::internals::Content, _: insta::internals::ContentPath<'_>) -> String {
    let text = value.as_str().unwrap();
    let (id, rest) = text.strip_prefix("vless://").unwrap().split_once('@').unwrap();
    assert_eq!(id.parse::<uuid::Uuid>().unwrap().get_version_num(), 4, "{text}");
    format!("vless://[uuid]@{rest}")
}

fn shape_of_shadowsocks_url(value: insta::internals::Content, _: insta::internals::ContentPath<'_>) -> String {
    let text = value.as_str().unwrap();
    let (user, rest) = text.split_once('@').unwrap();
    let (method, key) = user.rsplit_once(':').unwrap();
    assert_eq!(key.strip_suffix("%3D%3D").unwrap().len(), 22, "{text}");
    format!("{method}:[password]%3D%3D@{rest}")
}

fn shape_of_link(value: insta::internals::Content, _: insta::internals::ContentPath<'_>) -> String {
    let (path, token) = value.as_str().unwrap().rsplit_once('/').unwrap();
    assert!(token.len() >= 22, "128 bits do not fit into {token}");
    format!("{path}/[token]")
}

fn shape_of_subscription_url(value: insta::internals::Content, _: insta::internals::ContentPath<'_>) -> &'static str {
    let token = value
        .as_str()
        .unwrap()
        .strip_prefix("https://shop.example/sub/")
        .unwrap();
    assert_eq!(token.len(), 49, "a letter, an id and 144 bits");
    "https://shop.example/sub/[token]"
}

async fn ok(reply: Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    reply.json()
}

async fn plans(site: &Site) {
    let world = site.world().await;
    assert_answer!("plans", ok(world.get("op=plans").send().await).await);
}

async fn purchase_of_one(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    let answer = ok(world.post(json!({"op": "purchase", "planId": plan})).send().await).await;
    assert_eq!(answer["subscription"], answer["subscriptions"][0]);
    assert_eq!(answer["subscriptionId"], answer["subscriptions"][0]["subscriptionId"]);
    assert_eq!(world.balance(ALICE).await, 50_000 - 1_200);
    assert_answer!("purchase_of_one", answer);
}

async fn purchase_of_two_with_a_coupon(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    let order = json!({"op": "purchase", "planId": plan, "couponCode": "MYCODE", "repeatCount": 3, "quantity": 2});
    let answer = ok(world.post(order).send().await).await;
    assert_eq!(answer["subscriptionIds"].as_array().unwrap().len(), 2);
    assert_eq!(world.balance(ALICE).await, 50_000 - 6_480);
    assert_answer!("purchase_of_two_with_a_coupon", answer);
}

async fn subscriptions_and_their_pages(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    let empty = ok(world.get("op=subscriptions").send().await).await;
    let own = empty["subscriptionUrl"].clone();
    assert_eq!(empty, json!({"ok": true, "subscriptions": [], "subscriptionUrl": own}));
    ok(world
        .post(json!({"op": "purchase", "planId": plan, "quantity": 3}))
        .send()
        .await)
    .await;
    let all = ok(world.get("op=subscriptions").send().await).await;
    assert_eq!(all["subscriptions"].as_array().unwrap().len(), 3);
    assert_eq!(all.get("nextCursor"), None);

    let first = ok(world.get("op=subscriptions&limit=2").send().await).await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = ok(world
        .get(&format!("op=subscriptions&limit=2&cursor={cursor}"))
        .send()
        .await)
    .await;
    let mut paged = first["subscriptions"].as_array().unwrap().clone();
    paged.extend(second["subscriptions"].as_array().unwrap().clone());
    assert_eq!(Value::from(paged), all["subscriptions"]);
    assert_eq!(second.get("nextCursor"), None);
    // Those of one purchase are equally old, so which of them is first is chance.
    let listed = all["subscriptions"].as_array().unwrap();
    let first_port = listed.iter().find(|one| one["label"] == "12001 - NL - Private");
    assert_answer!("subscriptions_and_their_pages", first_port.unwrap());
}

async fn renewal_plans(site: &Site) {
    let world = site.world().await;
    let id = world.subscription().await["subscriptionId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_answer!(
        "renewal_plans",
        ok(world.get(&format!("op=renewal-plans&subscriptionId={id}")).send().await).await
    );
}

async fn available_networks(site: &Site) {
    let world = site.world().await;
    let id = world.subscription().await["subscriptionId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_answer!(
        "available_networks",
        ok(world
            .get(&format!("op=available-networks&subscriptionId={id}"))
            .send()
            .await)
        .await
    );
}

async fn renew(site: &Site) {
    let world = site.world().await;
    let bought = world.subscription().await;
    let plan = world.plan("NL-AMS", "private").await;
    let order = json!({"op": "renew", "subscriptionId": bought["subscriptionId"], "planId": plan, "repeatCount": 3});
    assert_answer!("renew", ok(world.post(order).send().await).await);
}

async fn change_credentials(site: &Site) {
    let world = site.world().await;
    let bought = world.subscription().await;
    let order = json!({"op": "change-credentials", "subscriptionId": bought["subscriptionId"]});
    let changed = ok(world.post(order).send().await).await;
    assert_ne!(changed["password"], bought["credentials"]["password"]);
    let listed = ok(world.get("op=subscriptions").send().await).await;
    assert_eq!(
        listed["subscriptions"][0]["credentials"]["password"],
        changed["password"]
    );
    assert_answer!("change_credentials", changed);
}

async fn set_rotation_policy(site: &Site) {
    let world = site.world().await;
    let bought = world.subscription().await;
    let order = json!({"op": "set-rotation-policy", "subscriptionId": bought["subscriptionId"], "rotationPolicy": 10});
    assert_eq!(ok(world.post(order).send().await).await, json!({"ok": true}));
    let listed = ok(world.get("op=subscriptions").send().await).await;
    assert_eq!(listed["subscriptions"][0]["rotationPolicy"], 10);
}

async fn switch_network(site: &Site) {
    let world = site.world().await;
    let bought = world.subscription().await;
    let id = bought["subscriptionId"].as_str().unwrap();
    let target = world.other_network(id).await;
    let order = json!({"op": "switch-network", "subscriptionId": id, "targetNetwork": target});
    let switched = ok(world.post(order).send().await).await;
    assert_eq!(switched["subscription"]["credentials"], bought["credentials"]);
    assert_eq!(switched["subscription"]["activeUntil"], bought["activeUntil"]);
    assert_answer!("switch_network", switched);
}

async fn trial(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    let answer = ok(world.post(json!({"op": "trial", "planId": plan})).send().await).await;
    assert_eq!(world.balance(ALICE).await, 50_000);
    assert_answer!("trial", answer);
}

async fn rotate_links(site: &Site) {
    let world = site.world().await;
    let bought = world.subscription().await;
    let id = bought["subscriptionId"].as_str().unwrap();
    let van = world.link(id, json!({"name": "the van"})).await;
    world.advance(Span(1));
    let wish = json!({"name": "board", "kind": "status", "allowedAddresses": ["192.0.2.7/24", "2001:db8::1"]});
    let board = world.link(id, wish).await;
    let listed = ok(world.get(&format!("op=rotate-links&subscriptionId={id}")).send().await).await;
    assert_eq!(listed["links"][0]["linkId"], id);
    assert_eq!(listed["links"][0]["path"], bought["rotate"]["rotatePath"]);
    assert_eq!((&listed["links"][1], &listed["links"][2]), (&van, &board));
    assert_answer!("rotate_links", listed);
    let order = json!({"op": "renew-rotate-link", "subscriptionId": id, "linkId": van["linkId"]});
    let renewed = ok(world.post(order).send().await).await;
    assert_ne!(renewed["link"]["path"], van["path"]);
    assert_answer!("renew_rotate_link", renewed);
    let order = json!({"op": "revoke-rotate-link", "subscriptionId": id, "linkId": van["linkId"]});
    assert_eq!(ok(world.post(order).send().await).await, json!({"ok": true}));
}

async fn status_link(site: &Site) {
    let world = site.world().await;
    let bought = world.subscription().await;
    let wish = json!({"name": "board", "kind": "status"});
    let board = world.link(bought["subscriptionId"].as_str().unwrap(), wish).await;
    let path = board["path"].as_str().unwrap();
    assert_answer!("status_link", ok(world.ask(Method::GET, path).send().await).await);
}

async fn allowed_addresses(site: &Site) {
    let world = site.world().await;
    let id = world.subscription().await["subscriptionId"].clone();
    let query = format!("op=allowed-addresses&subscriptionId={}", id.as_str().unwrap());
    let seen = async || ok(world.get(&query).send().await).await;
    assert_eq!(seen().await, json!({"ok": true, "addresses": []}));
    let set = async |addresses: Value| {
        let order = json!({"op": "set-allowed-addresses", "subscriptionId": id, "addresses": addresses});
        world.post(order).send().await
    };
    let answer = ok(set(json!(["2001:db8::1", "192.0.2.7/24", "::ffff:198.51.100.1"])).await).await;
    assert_eq!(seen().await, answer);
    assert_answer!("allowed_addresses", answer);
    for wrong in [
        json!(null),
        json!("192.0.2.1"),
        json!(["x"]),
        json!(["10.0.0.0/7"]),
        json!([1]),
    ] {
        let reply = set(wrong.clone()).await;
        assert_eq!(reply.error(), (400, "invalid_field".to_owned()), "{wrong}");
        assert_eq!(reply.json()["field"], "addresses");
    }
    assert_eq!(ok(set(json!([])).await).await, json!({"ok": true, "addresses": []}));
}

async fn refusals(site: &Site) {
    let world = site.world().await;
    let id = world.subscription().await["subscriptionId"]
        .as_str()
        .unwrap()
        .to_owned();
    let query = format!("op=refusals&subscriptionId={id}");
    let seen = async || ok(world.get(&query).send().await).await;
    assert_eq!(seen().await, json!({"ok": true, "refusals": []}));
    let refusal = |number: i64, code: &str| Refusal {
        subscription: id.parse().unwrap(),
        number,
        first_at: UnixMillis(1_700_000_000_000),
        last_at: UnixMillis(1_700_000_000_000 + number),
        times: number,
        source: "203.0.113.7".to_owned(),
        protocol: "http".to_owned(),
        code: code.to_owned(),
        reason: "so it is mended".to_owned(),
    };
    let told = vec![refusal(1, "wrong_user"), refusal(2, "wrong_password")];
    turnpike_shop::refusals::record(&world.shop, told).await.unwrap();
    assert_answer!("refusals", seen().await);
}

async fn renew_subscription_url(site: &Site) {
    let world = site.world().await;
    let bought = world.subscription().await;
    let order = json!({"op": "renew-subscription-url", "subscriptionId": bought["subscriptionId"]});
    let renewed = ok(world.post(order).send().await).await;
    assert_ne!(renewed["subscriptionUrl"], bought["subscriptionUrl"]);
    assert_answer!("renew_subscription_url", renewed);
}

async fn an_error(site: &Site) {
    let world = site.world().await;
    let reply = world.post(json!({"op": "purchase"})).send().await;
    reply.error();
    assert_answer!("an_error", reply.json());
}
