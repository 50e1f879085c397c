//! What went wrong, as the client is told: one table from refusals and mistakes to status, code and sentence.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use turnpike_shop::{Error as ShopError, Refusal};
use utoipa::ToSchema;

use crate::limit::{Exceeded, whole_seconds};
use crate::pages::texts;
use crate::response::False;
use crate::visit::{Money, Visit};

/// Why a request got no answer of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The shop said no, or could not say.
    #[error(transparent)]
    Shop(#[from] ShopError),
    /// The body is no JSON, or JSON that nobody should send.
    #[error("Invalid JSON body: {0}")]
    InvalidJson(String),
    /// The body is JSON but no object.
    #[error("Body must be an object")]
    BodyNotAnObject,
    /// The body is larger than it may be here, in bytes.
    #[error("the body is larger than {} KiB", most / 1_024)]
    BodyTooLarge { most: usize },
    /// `op` is absent, not known, or belongs to the other method.
    #[error("Missing or unknown op: {0}")]
    Operation(String),
    /// A field is absent or does not hold what it should.
    #[error("{} {field}: {rule}", if is_optional(field) { "Invalid" } else { "Missing or invalid" })]
    Field {
        /// The field's name.
        field: String,
        /// What it should hold.
        rule: String,
    },
    /// The `Idempotency-Key` header is no key.
    #[error("an Idempotency-Key is 1 to 255 printable ASCII characters, given once")]
    IdempotencyKey,
    /// No credentials came with the request.
    #[error("Unauthorized: send an API key in the x-api-key header, or a token as Authorization: Bearer")]
    NoCredentials,
    /// A rate limit.
    #[error("Rate limited: too many requests; try again in {} s", .0.standing.reset)]
    Limited(Exceeded),
    /// Too many wrong credentials from this address.
    #[error("Rate limited: too many wrong keys or tokens from this address; try again in {} s", .0.standing.reset)]
    TooManyBadCredentials(Exceeded),
    /// There is nothing at this path.
    #[error("there is nothing at this path")]
    NoSuchPath,
    /// There is something at this path, but not for this method.
    #[error("this path answers {allow} only")]
    Method {
        /// What it does answer to.
        allow: &'static str,
    },
    /// No subscription has this link.
    #[error("no subscription has this link")]
    UnknownRotateLink,
    /// Nobody has this subscription URL.
    #[error("there is no such subscription URL: it has been renewed, or a letter of it is missing")]
    UnknownSubscriptionUrl,
    /// A form that a page of another site has sent in the visitor's name.
    #[error("this form was sent by another site; open the page here and send it again")]
    FromElsewhere,
    /// A browser looked ahead; rotating on that would rotate for nobody.
    #[error("a prefetch does not rotate; open the link itself")]
    Prefetch,
    /// The request took longer than it may.
    #[error("the request took too long; try again, with the same Idempotency-Key where it has one")]
    Overdue,
    /// A defect.
    #[error("a handler panicked")]
    Panicked,
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::Shop(ShopError::Refused(refusal))
    }
}

/// What may be left out of a request; the contract's sentences differ for these.
fn is_optional(field: &str) -> bool {
    matches!(
        field,
        "couponCode"
            | "repeatCount"
            | "quantity"
            | "limit"
            | "cursor"
            | "format"
            | "kind"
            | "allowedAddresses"
            | "protocol"
            | "code"
            | "days"
            | "readOnly"
            | "expiresAt"
            | "operator"
            | "choices"
            | "lowBalanceCents"
            | "search"
            | "role"
            | "health"
            | "action"
            | "seen"
            | "popular"
            | "trial"
            | "maxConnections"
            | "maxSourceAddresses"
            | "mbitPerSecond"
            | "trafficGb"
            | "percentOff"
            | "centsOff"
            | "maxRedemptions"
            | "perAccount"
            | "validUntil"
    )
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    /// Whether the same request may succeed later.
    pub(crate) retryable: bool,
    pub(crate) retry_after: Option<u64>,
    pub(crate) field: Option<String>,
}

impl Row {
    const fn new(status: StatusCode, code: &'static str) -> Self {
        Self {
            status,
            code,
            retryable: false,
            retry_after: None,
            field: None,
        }
    }

    fn about(self, field: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..self
        }
    }

    fn later(self) -> Self {
        Self {
            retryable: true,
            ..self
        }
    }

    fn after(self, seconds: u64) -> Self {
        Self {
            retryable: true,
            retry_after: Some(seconds),
            ..self
        }
    }
}

/// The table. A new refusal without a row does not compile.
pub(crate) fn row(error: &ApiError) -> Row {
    use StatusCode as S;
    match error {
        ApiError::Shop(ShopError::Refused(refusal)) => refusal_row(refusal),
        ApiError::Shop(ShopError::Unavailable(_)) => Row::new(S::SERVICE_UNAVAILABLE, "unavailable").after(2),
        ApiError::Shop(ShopError::StorageFull(_)) => Row::new(S::SERVICE_UNAVAILABLE, "storage_full").after(60),
        ApiError::Shop(ShopError::Failed(_)) | ApiError::Panicked => Row::new(S::INTERNAL_SERVER_ERROR, "internal"),
        ApiError::InvalidJson(_) => Row::new(S::BAD_REQUEST, "invalid_json"),
        ApiError::BodyNotAnObject => Row::new(S::BAD_REQUEST, "body_not_object"),
        ApiError::BodyTooLarge { .. } => Row::new(S::PAYLOAD_TOO_LARGE, "body_too_large"),
        ApiError::Operation(_) => Row::new(S::BAD_REQUEST, "unknown_op").about("op"),
        ApiError::Field { field, .. } => Row::new(S::BAD_REQUEST, "invalid_field").about(field),
        ApiError::IdempotencyKey => Row::new(S::BAD_REQUEST, "invalid_idempotency_key").about("Idempotency-Key"),
        ApiError::NoCredentials => Row::new(S::UNAUTHORIZED, "unauthorized"),
        ApiError::Limited(exceeded) => Row::new(S::TOO_MANY_REQUESTS, "rate_limited").after(exceeded.standing.reset),
        ApiError::TooManyBadCredentials(exceeded) => {
            Row::new(S::TOO_MANY_REQUESTS, "too_many_bad_credentials").after(exceeded.standing.reset)
        }
        ApiError::NoSuchPath => Row::new(S::NOT_FOUND, "not_found"),
        ApiError::Method { .. } => Row::new(S::METHOD_NOT_ALLOWED, "method_not_allowed"),
        ApiError::UnknownRotateLink => Row::new(S::NOT_FOUND, "unknown_rotate_link"),
        ApiError::UnknownSubscriptionUrl => Row::new(S::NOT_FOUND, "unknown_subscription_url"),
        ApiError::FromElsewhere => Row::new(S::FORBIDDEN, "cross_site"),
        ApiError::Prefetch => Row::new(S::FORBIDDEN, "prefetch"),
        ApiError::Overdue => Row::new(S::SERVICE_UNAVAILABLE, "timeout").after(1),
    }
}

fn refusal_row(refusal: &Refusal) -> Row {
    use StatusCode as S;
    match refusal {
        Refusal::Unauthorized => Row::new(S::UNAUTHORIZED, "unauthorized"),
        Refusal::WrongLogin => Row::new(S::UNAUTHORIZED, "wrong_login"),
        Refusal::AccountSuspended => Row::new(S::FORBIDDEN, "account_suspended"),
        Refusal::ReadOnlyKey => Row::new(S::FORBIDDEN, "read_only_key"),
        Refusal::OperatorsOnly => Row::new(S::FORBIDDEN, "operators_only"),
        Refusal::NotAnOperator(_) => Row::new(S::FORBIDDEN, "not_an_operator").about("operator"),
        Refusal::TokenWanted => Row::new(S::FORBIDDEN, "token_wanted"),
        Refusal::TrialNotPermitted => Row::new(S::FORBIDDEN, "trial_not_permitted"),
        Refusal::SourceNotAllowed => Row::new(S::FORBIDDEN, "source_not_allowed"),
        Refusal::TrialUsed { retry_after } => {
            Row::new(S::FORBIDDEN, "trial_used").after(whole_seconds(retry_after.to_duration()))
        }
        Refusal::UnknownPlan => Row::new(S::BAD_REQUEST, "unknown_plan").about("planId"),
        Refusal::UnknownNetwork => Row::new(S::BAD_REQUEST, "unknown_network").about("targetNetwork"),
        Refusal::InvalidCoupon(_) => Row::new(S::BAD_REQUEST, "invalid_coupon").about("couponCode"),
        Refusal::InsufficientBalance { .. } => Row::new(S::PAYMENT_REQUIRED, "insufficient_balance"),
        Refusal::SubscriptionNotFound => Row::new(S::NOT_FOUND, "subscription_not_found").about("subscriptionId"),
        Refusal::PlanInactive => Row::new(S::CONFLICT, "plan_inactive").about("planId"),
        Refusal::NotARenewalPlan => Row::new(S::CONFLICT, "not_a_renewal_plan").about("planId"),
        Refusal::NoTrialOfPlan => Row::new(S::CONFLICT, "no_trial_of_plan").about("planId"),
        Refusal::SoldOut { .. } | Refusal::NoFreePort => Row::new(S::CONFLICT, "sold_out").later(),
        Refusal::RenewalTooLate => Row::new(S::CONFLICT, "renewal_too_late"),
        Refusal::SubscriptionEnded => Row::new(S::CONFLICT, "subscription_ended"),
        Refusal::SameNetwork => Row::new(S::CONFLICT, "same_network").about("targetNetwork"),
        Refusal::NetworkInactive => Row::new(S::CONFLICT, "network_inactive").about("targetNetwork"),
        Refusal::RotationUnavailable => Row::new(S::CONFLICT, "rotation_unavailable"),
        Refusal::LinkNotFound => Row::new(S::NOT_FOUND, "link_not_found").about("linkId"),
        Refusal::LinkNameTaken => Row::new(S::CONFLICT, "link_name_taken").about("name"),
        Refusal::TooManyLinks => Row::new(S::CONFLICT, "too_many_links"),
        Refusal::OwnLink => Row::new(S::CONFLICT, "own_link").about("linkId"),
        Refusal::LinkNotAllowedFrom(_) => Row::new(S::FORBIDDEN, "link_not_allowed_from"),
        Refusal::RotationCooldown { retry_after } => {
            Row::new(S::TOO_MANY_REQUESTS, "rotation_cooldown").after(whole_seconds(retry_after.to_duration()).max(1))
        }
        Refusal::RotationFailed => Row::new(S::BAD_GATEWAY, "rotation_failed").later(),
        Refusal::IdempotencyMismatch => Row::new(S::CONFLICT, "idempotency_mismatch").about("Idempotency-Key"),
        Refusal::IdempotencyInFlight => Row::new(S::CONFLICT, "idempotency_in_flight").after(1),
        Refusal::LoginThrottled { retry_after } => {
            Row::new(S::TOO_MANY_REQUESTS, "login_throttled").after(whole_seconds(retry_after.to_duration()).max(1))
        }
        Refusal::UnfitNote => Row::new(S::BAD_REQUEST, "unfit_note").about("userNote"),
        Refusal::WebhooksOff => Row::new(S::CONFLICT, "webhooks_off"),
        Refusal::UnfitUrl => Row::new(S::BAD_REQUEST, "unfit_url").about("url"),
        Refusal::TooManyWebhooks => Row::new(S::CONFLICT, "too_many_webhooks"),
        Refusal::WebhookNotFound => Row::new(S::NOT_FOUND, "webhook_not_found"),
        Refusal::WebhookDisabled => Row::new(S::CONFLICT, "webhook_disabled"),
        Refusal::TestsWaiting => Row::new(S::CONFLICT, "tests_waiting").later(),
        Refusal::DeliveryNotFound => Row::new(S::NOT_FOUND, "delivery_not_found"),
        Refusal::UnfitLowBalance => Row::new(S::BAD_REQUEST, "unfit_low_balance").about("lowBalanceCents"),
        Refusal::UnfitKeyName => Row::new(S::BAD_REQUEST, "unfit_key_name").about("name"),
        Refusal::CodeWanted => Row::new(S::UNAUTHORIZED, "code_wanted").about("code"),
        Refusal::WrongCode => Row::new(S::UNAUTHORIZED, "wrong_code").about("code"),
        Refusal::SecondFactorEnabled => Row::new(S::CONFLICT, "second_factor_enabled"),
        Refusal::NotInvited => Row::new(S::NOT_FOUND, "not_invited"),
        // What follows is for the command line and the operator's pages; customers' requests cannot reach it.
        Refusal::UnknownAccount(_) => Row::new(S::NOT_FOUND, "unknown_account"),
        Refusal::AccountExists(_) => Row::new(S::CONFLICT, "account_exists"),
        Refusal::MalformedEmail(_) => Row::new(S::BAD_REQUEST, "malformed_email").about("email"),
        Refusal::UnfitPassword => Row::new(S::BAD_REQUEST, "unfit_password").about("password"),
        Refusal::UnknownApiKey(_) => Row::new(S::NOT_FOUND, "unknown_api_key"),
        Refusal::OwnAccount => Row::new(S::CONFLICT, "own_account"),
        Refusal::UnfitReason => Row::new(S::BAD_REQUEST, "unfit_reason").about("reason"),
        Refusal::BookedAlready => Row::new(S::CONFLICT, "booked_already"),
        Refusal::CatalogueMoved => Row::new(S::CONFLICT, "catalogue_moved"),
        Refusal::ViewIsReadOnly => Row::new(S::FORBIDDEN, "view_is_read_only"),
        Refusal::UnknownExit => Row::new(S::NOT_FOUND, "unknown_exit"),
        Refusal::NoSuchNetwork(_) => Row::new(S::NOT_FOUND, "no_such_network"),
        Refusal::UnknownOrder => Row::new(S::NOT_FOUND, "unknown_order"),
        Refusal::NothingToRefund => Row::new(S::CONFLICT, "nothing_to_refund"),
        Refusal::RefundedAlready => Row::new(S::CONFLICT, "refunded_already"),
        Refusal::OverDebit { .. } => Row::new(S::CONFLICT, "over_debit"),
        Refusal::BeyondMoney(_) => Row::new(S::BAD_REQUEST, "beyond_money"),
        Refusal::Catalogue(_) => Row::new(S::BAD_REQUEST, "invalid_catalogue"),
    }
}

/// Every error's body.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorAnswer {
    ok: False,
    /// A sentence for a person.
    error: String,
    /// A word for a program; it does not change.
    #[schema(pattern = "^[a-z_]+$")]
    code: &'static str,
    /// To be named when asking for support; also in the `X-Request-Id` header and the log.
    request_id: String,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// How long to wait before that, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after_seconds: Option<u64>,
    /// Which field of the request it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
    /// On purchase, renew and trial: whether money moved. Null where it is not known, because the database went away at the
    /// very moment; sending the request again with the same Idempotency-Key then tells, and charges at most once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    charged: Option<Option<bool>>,
}

/// Whether the verb may have committed although it did not answer.
fn outcome_unknown(error: &ApiError) -> bool {
    match error {
        // The key's first request is still running, and what becomes of it is this one's answer too.
        ApiError::Shop(ShopError::Refused(Refusal::IdempotencyInFlight)) => true,
        // A full disk rolls the transaction back.
        ApiError::Shop(ShopError::Refused(_) | ShopError::StorageFull(_)) => false,
        ApiError::Shop(ShopError::Unavailable(_) | ShopError::Failed(_)) | ApiError::Overdue | ApiError::Panicked => {
            true
        }
        _ => false,
    }
}

fn charged(money: Money, error: &ApiError) -> Option<Option<bool>> {
    match money {
        Money::Never => None,
        Money::NotYet => Some(Some(false)),
        Money::Moves if outcome_unknown(error) => Some(None),
        Money::Moves => Some(Some(false)),
    }
}

/// The sentence for the client. What only operators can use stays in the log.
pub(crate) fn sentence(error: &ApiError) -> String {
    match error {
        ApiError::Shop(ShopError::Unavailable(_)) => {
            "the shop's database cannot be reached or is too busy; try again in a moment".to_owned()
        }
        ApiError::Shop(ShopError::StorageFull(_)) => {
            "the shop's disk is full; nothing was recorded; try again later".to_owned()
        }
        ApiError::Shop(ShopError::Failed(_)) | ApiError::Panicked => {
            "Internal error: something went wrong on our side; name the requestId to support".to_owned()
        }
        ApiError::Shop(ShopError::Refused(refusal)) => match contracts_words(refusal) {
            Some(words) => format!("{words}: {refusal}"),
            None => refusal.to_string(),
        },
        ApiError::InvalidJson(_)
        | ApiError::BodyNotAnObject
        | ApiError::BodyTooLarge { .. }
        | ApiError::Operation(_)
        | ApiError::Field { .. }
        | ApiError::IdempotencyKey
        | ApiError::NoCredentials
        | ApiError::Limited(_)
        | ApiError::TooManyBadCredentials(_)
        | ApiError::NoSuchPath
        | ApiError::Method { .. }
        | ApiError::UnknownRotateLink
        | ApiError::UnknownSubscriptionUrl
        | ApiError::FromElsewhere
        | ApiError::Prefetch
        | ApiError::Overdue => error.to_string(),
    }
}

/// How the contract names this refusal, where the shop's own sentence does not begin so. Clients that were written against the
/// contract may look for these words.
fn contracts_words(refusal: &Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::Unauthorized => Some("Unauthorized"),
        Refusal::InsufficientBalance { .. } => Some("Insufficient balance"),
        Refusal::AccountSuspended
        | Refusal::ReadOnlyKey
        | Refusal::TrialNotPermitted
        | Refusal::SourceNotAllowed
        | Refusal::LinkNotAllowedFrom(_)
        | Refusal::TrialUsed { .. } => Some("Forbidden"),
        Refusal::SubscriptionNotFound => Some("Subscription not found"),
        Refusal::UnknownPlan => Some("Missing or invalid planId"),
        Refusal::UnknownNetwork => Some("Missing or invalid targetNetwork"),
        Refusal::RotationCooldown { .. } | Refusal::LoginThrottled { .. } => Some("Rate limited"),
        _ => None,
    }
}

/// Logs a failure, once and with the request's id. Refusals are the customer's and are not logged as errors.
fn log(error: &ApiError, request_id: &str) {
    match error {
        ApiError::Shop(failure @ ShopError::Failed(_)) => {
            tracing::error!(request_id, error = %failure, "a request failed");
        }
        ApiError::Shop(failure @ (ShopError::Unavailable(_) | ShopError::StorageFull(_))) => {
            tracing::warn!(request_id, error = %failure, "the database could not be used");
        }
        ApiError::Panicked => tracing::error!(request_id, "a handler panicked"),
        ApiError::Overdue => tracing::warn!(request_id, "a request took too long"),
        _ => {}
    }
}

/// The error as a page tells it: its status and its sentence. Logged as an answer of the API would be.
pub(crate) fn told(error: &ApiError, visit: &Visit) -> (StatusCode, String) {
    log(error, &visit.request_id);
    let row = row(error);
    visit.notes().code = Some(row.code);
    (row.status, capitalised(texts::trouble(error)))
}

/// The error as an answer.
pub(crate) fn response(error: &ApiError, visit: &Visit) -> Response {
    log(error, &visit.request_id);
    let row = row(error);
    let money = {
        let mut notes = visit.notes();
        notes.code = Some(row.code);
        notes.money
    };
    let answer = ErrorAnswer {
        ok: False,
        error: capitalised(sentence(error)),
        code: row.code,
        request_id: visit.request_id.clone(),
        retryable: row.retryable,
        retry_after_seconds: row.retry_after,
        field: row.field,
        charged: charged(money, error),
    };
    let mut response = crate::response::json(row.status, &answer);
    let headers = response.headers_mut();
    if let Some(seconds) = row.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if row.status == StatusCode::UNAUTHORIZED {
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"turnpike\""),
        );
    }
    if let ApiError::Method { allow } = error {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// The shop's sentences are lower-case, so that the command line can put `error: ` before them.
fn capitalised(sentence: String) -> String {
    let mut letters = sentence.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => sentence,
    }
}

/// What a handler came to, as an answer.
pub(crate) fn settle(outcome: Result<Response<Body>, ApiError>, visit: &Visit) -> Response {
    outcome.unwrap_or_else(|error| response(&error, visit))
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
