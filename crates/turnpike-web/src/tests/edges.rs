//! What bad requests to the API get.

use serde_json::{Value, json};
use turnpike_shop::types::Span;

use super::site::{Site, on_both_engines};
use super::world::{ALICE, World};

on_both_engines!(
    fields_that_are_missing_or_wrong_are_named,
    ids_that_nobody_has_are_told_apart_as_the_contract_does,
    states_that_do_not_allow_it_get_409_and_money_402,
    an_operation_is_known_by_its_name_and_its_method,
    bodies_are_bounded_and_of_any_content_type,
    null_is_absent_and_unknown_fields_are_ignored,
    pages_have_bounds,
    an_ended_subscription_refuses_what_needs_a_running_one,
);

const UNKNOWN_ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";

async fn refused(world: &World, body: Value) -> (u16, String, Value) {
    let reply = world.post(body).send().await;
    let (status, code) = reply.error();
    (status, code, reply.json().get("field").cloned().unwrap_or_default())
}

async fn fields_that_are_missing_or_wrong_are_named(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    let before = world.balance(ALICE).await;
    for wrong in [
        json!(0),
        json!(101),
        json!(-1),
        json!(2.0),
        json!(1.5),
        json!("2"),
        json!(true),
        json!([1]),
        json!({}),
        json!(1e3),
    ] {
        for field in ["quantity", "repeatCount"] {
            let mut order = json!({"op": "purchase", "planId": plan});
            order[field] = wrong.clone();
            let got = refused(&world, order).await;
            assert_eq!(got, (400, "invalid_field".to_owned(), json!(field)), "{wrong}");
        }
    }
    for wrong in [
        json!(7),
        json!(""),
        json!(" "),
        json!("a\0b"),
        json!("a\nb"),
        json!("\u{85}"),
        json!("x".repeat(65)),
        json!(["MYCODE"]),
    ] {
        let order = json!({"op": "purchase", "planId": plan, "couponCode": wrong});
        let got = refused(&world, order).await;
        assert_eq!(got, (400, "invalid_field".to_owned(), json!("couponCode")), "{wrong}");
    }
    for wrong in [
        json!(1),
        json!(7),
        json!(-5),
        json!("10"),
        json!(10.0),
        json!(61),
        json!(256),
    ] {
        let order = json!({"op": "set-rotation-policy", "subscriptionId": UNKNOWN_ID, "rotationPolicy": wrong});
        let got = refused(&world, order).await;
        assert_eq!(
            got,
            (400, "invalid_field".to_owned(), json!("rotationPolicy")),
            "{wrong}"
        );
    }
    for wrong in [
        json!(null),
        json!(7),
        json!(""),
        json!("short"),
        json!("AAAAAAAAAAAAAAAAAAAAAAAA"),
        json!(["x"]),
        json!("aaaaaaaaaaaaaaaaaaaaaaaé"),
    ] {
        let cases = [
            ("planId", json!({"op": "purchase", "planId": wrong})),
            ("planId", json!({"op": "trial", "planId": wrong})),
            (
                "planId",
                json!({"op": "renew", "planId": wrong, "subscriptionId": UNKNOWN_ID}),
            ),
            (
                "subscriptionId",
                json!({"op": "renew", "subscriptionId": wrong, "planId": plan}),
            ),
            (
                "subscriptionId",
                json!({"op": "change-credentials", "subscriptionId": wrong}),
            ),
            (
                "subscriptionId",
                json!({"op": "set-rotation-policy", "subscriptionId": wrong, "rotationPolicy": 5}),
            ),
            (
                "subscriptionId",
                json!({"op": "switch-network", "subscriptionId": wrong, "targetNetwork": UNKNOWN_ID}),
            ),
            (
                "targetNetwork",
                json!({"op": "switch-network", "subscriptionId": UNKNOWN_ID, "targetNetwork": wrong}),
            ),
        ];
        for (field, order) in cases {
            assert_eq!(
                refused(&world, order.clone()).await,
                (400, "invalid_field".to_owned(), json!(field)),
                "{order}"
            );
        }
    }
    assert_eq!(world.balance(ALICE).await, before);
}

async fn ids_that_nobody_has_are_told_apart_as_the_contract_does(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    let mine = world.subscription().await["subscriptionId"].clone();
    let cases = [
        (json!({"op": "purchase", "planId": UNKNOWN_ID}), 400, "unknown_plan"),
        (json!({"op": "trial", "planId": UNKNOWN_ID}), 400, "unknown_plan"),
        (
            json!({"op": "renew", "subscriptionId": mine, "planId": UNKNOWN_ID}),
            400,
            "unknown_plan",
        ),
        (
            json!({"op": "renew", "subscriptionId": UNKNOWN_ID, "planId": plan}),
            404,
            "subscription_not_found",
        ),
        (
            json!({"op": "change-credentials", "subscriptionId": UNKNOWN_ID}),
            404,
            "subscription_not_found",
        ),
        (
            json!({"op": "switch-network", "subscriptionId": mine, "targetNetwork": UNKNOWN_ID}),
            400,
            "unknown_network",
        ),
        (
            json!({"op": "purchase", "planId": plan, "couponCode": "NOSUCH"}),
            400,
            "invalid_coupon",
        ),
        (
            json!({"op": "renew", "subscriptionId": mine, "planId": plan, "couponCode": "\u{1f600} ' OR 1=1 --"}),
            400,
            "invalid_coupon",
        ),
    ];
    for (order, status, code) in cases {
        let got = refused(&world, order.clone()).await;
        assert_eq!((got.0, got.1.as_str()), (status, code), "{order}");
    }
    for op in ["renewal-plans", "available-networks"] {
        let reply = world.get(&format!("op={op}&subscriptionId={UNKNOWN_ID}")).send().await;
        assert_eq!(reply.error(), (404, "subscription_not_found".to_owned()));
    }
}

async fn states_that_do_not_allow_it_get_409_and_money_402(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "private").await;
    let shared = world.plan("NL-AMS", "shared").await;
    let german = world.plan("DE-BER", "private").await;
    let mine = world.subscription().await["subscriptionId"].clone();
    let sharing = world
        .post(json!({"op": "purchase", "planId": shared}))
        .send()
        .await
        .json()["subscriptionId"]
        .clone();
    let cases = [
        (
            json!({"op": "purchase", "planId": plan, "quantity": 20}),
            409,
            "sold_out",
        ),
        (
            json!({"op": "purchase", "planId": plan, "repeatCount": 100}),
            402,
            "insufficient_balance",
        ),
        (
            json!({"op": "renew", "subscriptionId": mine, "planId": german}),
            409,
            "not_a_renewal_plan",
        ),
        (json!({"op": "trial", "planId": german}), 409, "no_trial_of_plan"),
        (
            json!({"op": "set-rotation-policy", "subscriptionId": sharing, "rotationPolicy": 5}),
            409,
            "rotation_unavailable",
        ),
    ];
    for (order, status, code) in cases {
        let reply = world.post(order.clone()).send().await;
        assert_eq!(reply.error(), (status, code.to_owned()), "{order}");
        let moves_money = !order["op"].as_str().unwrap().starts_with("set");
        assert_eq!(
            reply.json().get("charged"),
            moves_money.then_some(&json!(false)),
            "{order}"
        );
    }
    assert_eq!(world.balance(ALICE).await, 50_000 - 1_500);
    world.post(json!({"op": "trial", "planId": plan})).send().await;
    let again = world.post(json!({"op": "trial", "planId": plan})).send().await;
    assert_eq!(again.error(), (403, "trial_used".to_owned()));
    assert!(again.json()["retryAfterSeconds"].as_i64().unwrap() > 29 * 86_400);
}

async fn an_operation_is_known_by_its_name_and_its_method(site: &Site) {
    let world = site.world().await;
    for query in [
        "",
        "op=",
        "op=Plans",
        "op=purchase&planId=x",
        "op=trial",
        "plans",
        "op=plans%00",
        "OP=plans",
    ] {
        assert_eq!(
            world.get(query).send().await.error(),
            (400, "unknown_op".to_owned()),
            "{query}"
        );
    }
    for body in [
        json!({}),
        json!({"op": "plans"}),
        json!({"op": "subscriptions"}),
        json!({"op": 7}),
        json!({"op": null}),
        json!({"op": ["purchase"]}),
        json!({"op": "PURCHASE"}),
    ] {
        assert_eq!(
            world.post(body.clone()).send().await.error(),
            (400, "unknown_op".to_owned()),
            "{body}"
        );
    }
    let twice = world.get("op=plans&op=subscriptions").send().await;
    assert_eq!(twice.error(), (400, "invalid_field".to_owned()));
    assert_eq!(
        world.get("op=plans&colour=red&subscriptionId=x").send().await.status,
        200,
        "unknown fields are ignored"
    );
}

async fn bodies_are_bounded_and_of_any_content_type(site: &Site) {
    let world = site.world().await;
    let mut padded = json!({"op": "change-credentials", "subscriptionId": UNKNOWN_ID, "padding": ""}).to_string();
    let room = crate::json::MAX_BODY - padded.len();
    padded = padded.replace("\"padding\":\"\"", &format!("\"padding\":\"{}\"", "a".repeat(room)));
    assert_eq!(padded.len(), crate::json::MAX_BODY);
    assert_eq!(world.post_text(&padded).send().await.error().0, 404, "64 KiB are taken");
    let larger = padded.replacen('a', "aa", 1);
    assert_eq!(
        world.post_text(&larger).send().await.error(),
        (413, "body_too_large".to_owned())
    );
    let lying = world.post_text("{}").header("content-length", "99999999").send().await;
    assert_eq!(lying.error(), (413, "body_too_large".to_owned()));
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-8",
        "nonsense",
    ] {
        let body = json!({"op": "change-credentials", "subscriptionId": UNKNOWN_ID}).to_string();
        let reply = world.post_text(&body).header("content-type", kind).send().await;
        assert_eq!(reply.error().0, 404, "{kind}");
    }
    for (body, code) in [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[]", "body_not_object"),
        ("7", "body_not_object"),
        (r#"{"op":"renew","op":"renew"}"#, "invalid_json"),
    ] {
        assert_eq!(
            world.post_text(body).send().await.error(),
            (400, code.to_owned()),
            "{body}"
        );
    }
}

async fn null_is_absent_and_unknown_fields_are_ignored(site: &Site) {
    let world = site.world().await;
    let plan = world.plan("NL-AMS", "shared").await;
    let order = json!({"op": "purchase", "planId": plan, "couponCode": null, "quantity": null, "repeatCount": null, "price": 0, "accountId": "x"});
    assert_eq!(world.post(order).send().await.status, 200);
    assert_eq!(world.balance(ALICE).await, 50_000 - 300);
}

async fn pages_have_bounds(site: &Site) {
    let world = site.world().await;
    for query in [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=1.0",
        "limit=+1",
        "limit=x",
        "limit=",
        "limit=99999999999999999999",
    ] {
        let reply = world.get(&format!("op=subscriptions&{query}")).send().await;
        assert_eq!(
            (reply.error().0, &reply.json()["field"]),
            (400, &json!("limit")),
            "{query}"
        );
    }
    for cursor in ["x", "", UNKNOWN_ID] {
        let reply = world.get(&format!("op=subscriptions&cursor={cursor}")).send().await;
        assert_eq!(
            (reply.error().0, &reply.json()["field"]),
            (400, &json!("cursor")),
            "{cursor}"
        );
    }
}

async fn an_ended_subscription_refuses_what_needs_a_running_one(site: &Site) {
    let world = site.world().await;
    let mine = world.subscription().await["subscriptionId"].clone();
    world.advance(Span::days(31));
    for order in [
        json!({"op": "change-credentials", "subscriptionId": mine}),
        json!({"op": "set-rotation-policy", "subscriptionId": mine, "rotationPolicy": 5}),
    ] {
        assert_eq!(
            world.post(order.clone()).send().await.error(),
            (409, "subscription_ended".to_owned()),
            "{order}"
        );
    }
    let id = mine.as_str().unwrap();
    let networks = world
        .get(&format!("op=available-networks&subscriptionId={id}"))
        .send()
        .await;
    assert_eq!(networks.error(), (409, "subscription_ended".to_owned()));
    let plans = world.get(&format!("op=renewal-plans&subscriptionId={id}")).send().await;
    assert_eq!(plans.status, 200, "within its grace period it can be renewed");
}
