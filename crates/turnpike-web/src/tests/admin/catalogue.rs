//! What is sold, by `/api/admin/…`: the whole as a file, and plans and coupons one by one.

use http::Method;
use serde_json::{Value, json};

use super::Desk;
use crate::tests::site::{Site, on_both_engines};

on_both_engines! {
    the_catalogue_is_changed_after_a_look_at_the_difference,
    plans_and_coupons_are_made_and_retired,
}

async fn the_catalogue_is_changed_after_a_look_at_the_difference(site: &Site) {
    let desk = Desk::new(site).await;
    let plans = desk.get("plans").await["plans"].as_array().unwrap().len();
    let text = desk.get("catalogue").await["text"].clone();
    assert_eq!(text, format!("{plans} plans"));
    desk.assert_logged("catalogue.export", "catalogue").await;
    let wrong = desk
        .ask(Method::PUT, "/api/admin/catalogue", json!({"text": "x"}))
        .await;
    assert_eq!(wrong.error(), (400, "invalid_catalogue".to_owned()));
    assert!(wrong.text().contains("line 1"), "{}", wrong.text());
    let looked = desk.send(Method::PUT, "catalogue", json!({"text": "nothing"})).await;
    assert_eq!(looked["applied"], false);
    assert!(looked["changes"].as_array().unwrap().len() > plans, "{looked}");
    assert_eq!(desk.get("plans").await["plans"].as_array().unwrap().len(), plans);
    // Something else changes it meanwhile.
    desk.send(
        Method::DELETE,
        &format!("plans/{}", code_of_one(&desk).await),
        Value::Null,
    )
    .await;
    let wish = json!({"text": "nothing", "seen": looked["seen"]});
    let moved = desk.refused(Method::PUT, "catalogue", wish).await;
    assert_eq!(moved, (409, "catalogue_moved".to_owned()));
    let looked = desk.send(Method::PUT, "catalogue", json!({"text": "nothing"})).await;
    let wish = json!({"text": "nothing", "seen": looked["seen"]});
    let applied = desk.send(Method::PUT, "catalogue", wish).await;
    assert_eq!(
        (&applied["applied"], &applied["changes"]),
        (&json!(true), &looked["changes"])
    );
    desk.assert_logged("catalogue.apply", "catalogue").await;
    assert_eq!(desk.get("plans").await["plans"], json!([]));
}

async fn code_of_one(desk: &Desk) -> String {
    let plans = desk.get("plans").await;
    plans["plans"][0]["code"].as_str().unwrap().to_owned()
}

async fn plans_and_coupons_are_made_and_retired(site: &Site) {
    let desk = Desk::new(site).await;
    let wish =
        json!({"network": "NL-AMS", "connectionType": "private", "duration": "7d", "priceCents": 700, "popular": true});
    let made = desk.send(Method::PUT, "plans/new-plan", wish.clone()).await;
    assert_eq!(
        (&made["changes"][0]["change"], &made["changes"][0]["name"]),
        (&json!("create"), &json!("new-plan"))
    );
    desk.assert_logged("catalogue.apply", "catalogue").await;
    let again = desk.send(Method::PUT, "plans/new-plan", wish.clone()).await;
    assert_eq!(again["changes"], json!([]));
    let plans = desk.get("plans").await;
    let plans = plans["plans"].as_array().unwrap();
    let plan = plans.iter().find(|plan| plan["code"] == "new-plan").unwrap();
    assert_eq!(
        (&plan["duration"], &plan["priceCents"], &plan["running"]),
        (&json!("7d"), &json!(700), &json!(0))
    );
    let gone = desk.send(Method::DELETE, "plans/new-plan", Value::Null).await;
    assert_eq!(gone["changes"][0]["change"], "deactivate");
    assert_eq!(
        desk.send(Method::DELETE, "plans/new-plan", Value::Null).await["changes"],
        json!([])
    );
    let other = desk.refused(Method::PUT, "plans/other", wish).await;
    assert_eq!(other, (400, "invalid_catalogue".to_owned()));
    let half = desk
        .refused(Method::PUT, "plans/new-plan", json!({"network": "NL-AMS"}))
        .await;
    assert_eq!(half, (400, "invalid_field".to_owned()));

    let made = desk.send(Method::PUT, "coupons/NEW", json!({"percentOff": 25})).await;
    assert_eq!(made["changes"][0]["kind"], "coupon");
    let coupons = desk.get("coupons").await;
    let coupons = coupons["coupons"].as_array().unwrap();
    let coupon = coupons.iter().find(|coupon| coupon["code"] == "NEW").unwrap();
    assert_eq!((&coupon["percentOff"], &coupon["redeemed"]), (&json!(25), &json!(0)));
    let gone = desk.send(Method::DELETE, "coupons/new", Value::Null).await;
    assert_eq!(gone["changes"][0]["change"], "deactivate");
    desk.assert_logged("catalogue.apply", "catalogue").await;
}
