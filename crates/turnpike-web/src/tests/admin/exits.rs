//! Exits by `/api/admin/…`.

use http::Method;
use serde_json::{Value, json};
use turnpike_shop::{exits, rotation};

use super::{Desk, NOBODY};
use crate::tests::site::{Site, on_both_engines};
use crate::tests::world::GATEWAY;

on_both_engines! {
    exits_are_steered_and_rotated_and_tested,
}

async fn exits_are_steered_and_rotated_and_tested(site: &Site) {
    let desk = Desk::new(site).await;
    let shop = &desk.world.shop;
    let (mut path, mut seen) = ("exits?limit=2".to_owned(), Vec::new());
    loop {
        let page = desk.get(&path).await;
        seen.extend(page["exits"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("exits?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    let can_rotate = seen.iter().find(|exit| exit["canRotate"] == true).unwrap();
    let id = can_rotate["exitId"].as_str().unwrap();
    let name = format!(
        "{}/{}",
        can_rotate["network"].as_str().unwrap(),
        can_rotate["name"].as_str().unwrap()
    );
    let standing = format!("exits/{id}/standing");
    for to in ["draining", "disabled", "open"] {
        let set = desk.send(Method::PUT, &standing, json!({"standing": to})).await;
        assert_eq!(set["exit"]["standing"], to);
        desk.assert_logged("exit.standing", &name).await;
    }
    let of_network = format!("networks/{}/standing", can_rotate["network"].as_str().unwrap());
    for to in ["draining", "disabled", "open"] {
        let set = desk.send(Method::PUT, &of_network, json!({"standing": to})).await;
        assert_eq!(set["changed"], set[to]);
        assert!(set[to].as_i64().unwrap() > 1, "{set}");
        assert_eq!(desk.get(&format!("exits/{id}")).await["exit"]["standing"], to);
    }
    let unknown = desk
        .refused(Method::PUT, "networks/no-such/standing", json!({"standing": "open"}))
        .await;
    assert_eq!(unknown, (404, "no_such_network".to_owned()));
    let gone = desk.refused(Method::PUT, &standing, json!({"standing": "gone"})).await;
    assert_eq!(gone, (400, "invalid_field".to_owned()));
    let gateway = async || {
        loop {
            let rotations = rotation::claim(shop, GATEWAY, 9).await.unwrap();
            let checks = exits::claim_checks(shop, GATEWAY).await.unwrap();
            for task in &rotations {
                let address = Some("198.51.100.77".parse().unwrap());
                rotation::finish(shop, &task.id, Ok((address, None))).await.unwrap();
            }
            for task in &checks {
                let why = "no carrier".to_owned();
                exits::finish_check(shop, task, Err(why)).await.unwrap();
            }
            if !rotations.is_empty() || !checks.is_empty() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let rotate = format!("exits/{id}/rotate");
    let (rotated, ()) = tokio::join!(desk.send(Method::POST, &rotate, json!({})), gateway());
    assert_eq!(rotated["address"], "198.51.100.77");
    desk.assert_logged("exit.rotate", &name).await;
    let soon = desk.refused(Method::POST, &rotate, json!({})).await;
    assert_eq!(soon, (429, "rotation_cooldown".to_owned()));
    let test = format!("exits/{id}/test");
    let (tested, ()) = tokio::join!(desk.send(Method::POST, &test, json!({})), gateway());
    desk.assert_logged("exit.test", &name).await;
    assert_eq!(
        (&tested["test"]["state"], &tested["test"]["detail"]),
        (&json!("fails"), &json!("no carrier"))
    );
    let whole = desk.get(&format!("exits/{id}")).await;
    assert_eq!(whole["rotations"][0]["address"], "198.51.100.77");
    assert_eq!(
        (&whole["way"], &whole["rotatesBy"]),
        (&json!("addresses"), &json!("pool"))
    );
    for (method, what, body) in [
        (Method::GET, "", Value::Null),
        (Method::PUT, "/standing", json!({"standing": "open"})),
        (Method::POST, "/rotate", json!({})),
        (Method::POST, "/test", json!({})),
    ] {
        let refused = desk.refused(method, &format!("exits/{NOBODY}{what}"), body).await;
        assert_eq!(refused, (404, "unknown_exit".to_owned()), "{what}");
    }
}
