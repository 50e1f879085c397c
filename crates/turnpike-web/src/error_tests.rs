#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::{IpAddr, Ipv4Addr};

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use turnpike_shop::CouponProblem;
use turnpike_shop::types::{Cents, Span};

use super::*;
use crate::limit::Standing;

fn visit(money: Money) -> Visit {
    let visit = Visit::new("r1".to_owned(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    visit.notes().money = money;
    visit
}

async fn answer(error: &ApiError, money: Money) -> (u16, http::HeaderMap, Value) {
    let response = response(error, &visit(money));
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (
        parts.status.as_u16(),
        parts.headers,
        serde_json::from_slice(&bytes).unwrap(),
    )
}

fn refused(refusal: Refusal) -> ApiError {
    refusal.into()
}

fn exceeded() -> Exceeded {
    Exceeded {
        standing: Standing {
            policy: "key",
            quota: 40,
            window: 2,
            remaining: 0,
            reset: 7,
        },
    }
}

fn not_allowed_from() -> Refusal {
    Refusal::LinkNotAllowedFrom(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn field(name: &str) -> ApiError {
    ApiError::Field {
        field: name.to_owned(),
        rule: "rule".to_owned(),
    }
}

/// The reference's "Gateway errors", row by row, and the design's fine print.
#[test]
fn every_documented_error_has_its_status() {
    let rows: Vec<(ApiError, u16, &str, Option<&str>)> = vec![
        (ApiError::InvalidJson("x".to_owned()), 400, "invalid_json", None),
        (ApiError::BodyNotAnObject, 400, "body_not_object", None),
        (ApiError::Operation("x".to_owned()), 400, "unknown_op", Some("op")),
        (field("planId"), 400, "invalid_field", Some("planId")),
        (field("repeatCount"), 400, "invalid_field", Some("repeatCount")),
        (
            ApiError::IdempotencyKey,
            400,
            "invalid_idempotency_key",
            Some("Idempotency-Key"),
        ),
        (refused(Refusal::UnknownPlan), 400, "unknown_plan", Some("planId")),
        (
            refused(Refusal::UnknownNetwork),
            400,
            "unknown_network",
            Some("targetNetwork"),
        ),
        (
            refused(Refusal::InvalidCoupon(CouponProblem::Expired)),
            400,
            "invalid_coupon",
            Some("couponCode"),
        ),
        (ApiError::NoCredentials, 401, "unauthorized", None),
        (refused(Refusal::Unauthorized), 401, "unauthorized", None),
        (refused(Refusal::WrongLogin), 401, "wrong_login", None),
        (refused(Refusal::UnfitNote), 400, "unfit_note", Some("userNote")),
        (refused(Refusal::UnfitKeyName), 400, "unfit_key_name", Some("name")),
        (refused(Refusal::CodeWanted), 401, "code_wanted", Some("code")),
        (refused(Refusal::WrongCode), 401, "wrong_code", Some("code")),
        (
            refused(Refusal::SecondFactorEnabled),
            409,
            "second_factor_enabled",
            None,
        ),
        (refused(Refusal::NotInvited), 404, "not_invited", None),
        (
            refused(Refusal::InsufficientBalance {
                balance: Cents(1),
                price: Cents(2),
            }),
            402,
            "insufficient_balance",
            None,
        ),
        (refused(Refusal::AccountSuspended), 403, "account_suspended", None),
        (refused(Refusal::ReadOnlyKey), 403, "read_only_key", None),
        (refused(Refusal::TrialNotPermitted), 403, "trial_not_permitted", None),
        (
            refused(Refusal::TrialUsed {
                retry_after: Span::days(3),
            }),
            403,
            "trial_used",
            None,
        ),
        (refused(Refusal::SourceNotAllowed), 403, "source_not_allowed", None),
        (ApiError::Prefetch, 403, "prefetch", None),
        (refused(not_allowed_from()), 403, "link_not_allowed_from", None),
        (refused(Refusal::LinkNotFound), 404, "link_not_found", Some("linkId")),
        (refused(Refusal::LinkNameTaken), 409, "link_name_taken", Some("name")),
        (refused(Refusal::TooManyLinks), 409, "too_many_links", None),
        (refused(Refusal::OwnLink), 409, "own_link", Some("linkId")),
        (
            refused(Refusal::SubscriptionNotFound),
            404,
            "subscription_not_found",
            Some("subscriptionId"),
        ),
        (ApiError::UnknownRotateLink, 404, "unknown_rotate_link", None),
        (ApiError::UnknownSubscriptionUrl, 404, "unknown_subscription_url", None),
        (ApiError::NoSuchPath, 404, "not_found", None),
        (ApiError::Method { allow: "GET" }, 405, "method_not_allowed", None),
        (refused(Refusal::RotationUnavailable), 409, "rotation_unavailable", None),
        (refused(Refusal::SoldOut { free: 1, wanted: 2 }), 409, "sold_out", None),
        (refused(Refusal::NoFreePort), 409, "sold_out", None),
        (refused(Refusal::PlanInactive), 409, "plan_inactive", Some("planId")),
        (
            refused(Refusal::NetworkInactive),
            409,
            "network_inactive",
            Some("targetNetwork"),
        ),
        (
            refused(Refusal::SameNetwork),
            409,
            "same_network",
            Some("targetNetwork"),
        ),
        (refused(Refusal::SubscriptionEnded), 409, "subscription_ended", None),
        (
            refused(Refusal::NotARenewalPlan),
            409,
            "not_a_renewal_plan",
            Some("planId"),
        ),
        (refused(Refusal::RenewalTooLate), 409, "renewal_too_late", None),
        (refused(Refusal::NoTrialOfPlan), 409, "no_trial_of_plan", Some("planId")),
        (
            refused(Refusal::IdempotencyMismatch),
            409,
            "idempotency_mismatch",
            Some("Idempotency-Key"),
        ),
        (
            refused(Refusal::IdempotencyInFlight),
            409,
            "idempotency_in_flight",
            None,
        ),
        (
            ApiError::BodyTooLarge {
                most: crate::json::MAX_BODY,
            },
            413,
            "body_too_large",
            None,
        ),
        (ApiError::Limited(exceeded()), 429, "rate_limited", None),
        (
            ApiError::TooManyBadCredentials(exceeded()),
            429,
            "too_many_bad_credentials",
            None,
        ),
        (
            refused(Refusal::RotationCooldown { retry_after: Span(1) }),
            429,
            "rotation_cooldown",
            None,
        ),
        (
            refused(Refusal::LoginThrottled {
                retry_after: Span(1_001),
            }),
            429,
            "login_throttled",
            None,
        ),
        (
            ApiError::Shop(ShopError::Failed("disk at /secret".to_owned())),
            500,
            "internal",
            None,
        ),
        (ApiError::Panicked, 500, "internal", None),
        (refused(Refusal::RotationFailed), 502, "rotation_failed", None),
        (
            ApiError::Shop(ShopError::Unavailable("10.0.0.5".to_owned())),
            503,
            "unavailable",
            None,
        ),
        (
            ApiError::Shop(ShopError::StorageFull("/var".to_owned())),
            503,
            "storage_full",
            None,
        ),
        (ApiError::Overdue, 503, "timeout", None),
    ];
    for (error, status, code, field) in rows {
        let row = row(&error);
        assert_eq!(
            (row.status.as_u16(), row.code, row.field.as_deref()),
            (status, code, field),
            "{error:?}"
        );
        let may_wait = matches!(status, 429 | 503);
        assert!(!may_wait || row.retry_after.is_some(), "{error:?} has Retry-After");
        assert!(row.retryable || row.retry_after.is_none(), "{error:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_one_sentence_a_code_and_the_requests_id() {
    let error = refused(Refusal::InsufficientBalance {
        balance: Cents(500),
        price: Cents(1_200),
    });
    let (status, _, body) = answer(&error, Money::Moves).await;
    assert_eq!(status, 402);
    assert_eq!(
        body,
        json!({
            "ok": false,
            "error": "Insufficient balance: the balance of 5.00 does not cover the price of 12.00; add 7.00 or more",
            "code": "insufficient_balance",
            "requestId": "r1",
            "retryable": false,
            "charged": false
        })
    );
}

#[tokio::test]
async fn a_limit_says_when_to_come_back_in_both_places() {
    let (status, headers, body) = answer(&ApiError::Limited(exceeded()), Money::Never).await;
    assert_eq!(status, 429);
    assert_eq!(headers.get("retry-after").unwrap(), "7");
    assert_eq!(body["retryAfterSeconds"], 7);
    assert_eq!(body["retryable"], true);
    assert_eq!(body.get("charged"), None);
}

#[tokio::test]
async fn charged_is_false_null_or_absent_but_never_a_guess() {
    let refusal = || refused(Refusal::NoFreePort);
    let lost = || ApiError::Shop(ShopError::Unavailable("gone".to_owned()));
    let cases = [
        (refusal(), Money::Never, None),
        (refusal(), Money::Moves, Some(Value::Bool(false))),
        (lost(), Money::Never, None),
        (lost(), Money::NotYet, Some(Value::Bool(false))),
        (lost(), Money::Moves, Some(Value::Null)),
        (ApiError::Overdue, Money::Moves, Some(Value::Null)),
        (refused(Refusal::IdempotencyInFlight), Money::Moves, Some(Value::Null)),
        (ApiError::Panicked, Money::Moves, Some(Value::Null)),
        (ApiError::NoCredentials, Money::NotYet, Some(Value::Bool(false))),
        (
            ApiError::Shop(ShopError::StorageFull("full".to_owned())),
            Money::Moves,
            Some(Value::Bool(false)),
        ),
    ];
    for (error, money, charged) in cases {
        let (_, _, body) = answer(&error, money).await;
        assert_eq!(body.get("charged").cloned(), charged, "{error:?} {money:?}");
    }
}

#[tokio::test]
async fn a_failure_tells_the_client_nothing_of_the_inside() {
    for error in [
        ApiError::Shop(ShopError::Failed("secret path".to_owned())),
        ApiError::Shop(ShopError::Unavailable("secret host".to_owned())),
        ApiError::Shop(ShopError::StorageFull("secret disk".to_owned())),
    ] {
        let (_, _, body) = answer(&error, Money::Never).await;
        assert!(!body.to_string().contains("secret"), "{body}");
    }
}

#[tokio::test]
async fn header_fields_that_a_status_needs_are_there() {
    let (_, headers, _) = answer(&ApiError::NoCredentials, Money::Never).await;
    assert!(headers.contains_key("www-authenticate"));
    let (_, headers, _) = answer(&ApiError::Method { allow: "GET, POST" }, Money::Never).await;
    assert_eq!(headers.get("allow").unwrap(), "GET, POST");
}

#[tokio::test]
async fn sentences_begin_with_the_contracts_words() {
    let balance = Refusal::InsufficientBalance {
        balance: Cents(1),
        price: Cents(2),
    };
    let retry_after = Span(1);
    for (error, words) in [
        (ApiError::InvalidJson("x".to_owned()), "Invalid JSON body"),
        (ApiError::BodyNotAnObject, "Body must be an object"),
        (ApiError::Operation("x".to_owned()), "Missing or unknown op"),
        (field("planId"), "Missing or invalid planId"),
        (refused(Refusal::UnknownPlan), "Missing or invalid planId"),
        (field("subscriptionId"), "Missing or invalid subscriptionId"),
        (field("targetNetwork"), "Missing or invalid targetNetwork"),
        (refused(Refusal::UnknownNetwork), "Missing or invalid targetNetwork"),
        (field("rotationPolicy"), "Missing or invalid rotationPolicy"),
        (field("repeatCount"), "Invalid repeatCount"),
        (field("quantity"), "Invalid quantity"),
        (ApiError::NoCredentials, "Unauthorized"),
        (refused(Refusal::Unauthorized), "Unauthorized"),
        (refused(balance), "Insufficient balance"),
        (refused(Refusal::AccountSuspended), "Forbidden"),
        (refused(Refusal::ReadOnlyKey), "Forbidden"),
        (refused(Refusal::TrialNotPermitted), "Forbidden"),
        (refused(Refusal::SourceNotAllowed), "Forbidden"),
        (refused(not_allowed_from()), "Forbidden"),
        (refused(Refusal::TrialUsed { retry_after }), "Forbidden"),
        (refused(Refusal::SubscriptionNotFound), "Subscription not found"),
        (refused(Refusal::SoldOut { free: 1, wanted: 2 }), "Sold out"),
        (refused(Refusal::NoFreePort), "Sold out"),
        (ApiError::Limited(exceeded()), "Rate limited"),
        (ApiError::TooManyBadCredentials(exceeded()), "Rate limited"),
        (refused(Refusal::RotationCooldown { retry_after }), "Rate limited"),
        (ApiError::Panicked, "Internal error"),
    ] {
        let (_, _, body) = answer(&error, Money::Never).await;
        let sentence = body["error"].as_str().unwrap();
        // A whole sentence, of which they are the beginning.
        assert!(sentence.starts_with(words), "{sentence}");
        assert_eq!(sentence.matches(words).count(), 1, "{sentence}");
    }
}
