//! Who is asking: an API key or a token, and how to get a token.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use turnpike_shop::{Error as ShopError, Refusal, account, api_key};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, settle};
use crate::limit::Source;
use crate::principal::Principal;
use crate::response::True;
use crate::visit::Visit;
use crate::{fields, json, token};

/// What a request shows.
enum Credential<'a> {
    Key(&'a str),
    Token(&'a str),
}

/// An API key in `x-api-key` comes first; where both are there, `Authorization` is not looked at. An API key may also come
/// as a bearer token, since many clients know only that.
fn credential(headers: &HeaderMap) -> Result<Credential<'_>, ApiError> {
    if let Some(key) = headers.get("x-api-key") {
        let key = key.to_str().map_err(|_| Refusal::Unauthorized)?;
        return Ok(Credential::Key(key));
    }
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(ApiError::NoCredentials);
    };
    let value = value.to_str().map_err(|_| Refusal::Unauthorized)?;
    match value.split_once(' ') {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => {
            let secret = secret.trim();
            if secret.starts_with("rk_") {
                Ok(Credential::Key(secret))
            } else {
                Ok(Credential::Token(secret))
            }
        }
        _ => Err(ApiError::NoCredentials),
    }
}

/// Who is asking. Wrong credentials are counted per address, and an address that has shown too many is not listened to.
pub(crate) async fn authenticate(app: &App, visit: &Visit, headers: &HeaderMap) -> Result<Principal, ApiError> {
    let source = Source::from(visit.source);
    app.limits
        .bad_credentials
        .check(source)
        .map_err(ApiError::TooManyBadCredentials)?;
    let principal = match credential(headers)? {
        Credential::Key(key) => api_key::authenticate(&app.shop, key, visit.source)
            .await
            .map(Principal::Key),
        Credential::Token(token) => check_token(app, token).await.map(Principal::Account),
    };
    match principal {
        Ok(principal) => {
            visit.notes().account = Some(principal.account().clone());
            Ok(principal)
        }
        Err(error) => {
            if matches!(error, ShopError::Refused(Refusal::Unauthorized)) {
                app.limits.bad_credentials.note(source);
            }
            Err(error.into())
        }
    }
}

async fn check_token(app: &App, token: &str) -> Result<account::SignedIn, ShopError> {
    let (account, version) = app.tokens.open(token, app.shop.now())?;
    account::check_token(&app.shop, &account, version).await
}

/// An e-mail address and a password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct TokenRequest {
    /// The account's e-mail address.
    #[schema(max_length = 254, example = "ann@example.com")]
    email: String,
    /// Its password.
    #[schema(value_type = String, max_length = 256, example = "your password")]
    password: SecretString,
    /// The code that the account's authenticator shows, or a recovery code; only where the account has a second factor.
    #[serde(default, deserialize_with = "code")]
    #[schema(required = false, nullable = false, max_length = 64)]
    code: Option<String>,
}

fn code<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let code = String::deserialize(deserializer);
    code.map(Some)
        .map_err(|_| serde::de::Error::custom("it must be a text, the code that the authenticator shows"))
}

/// A token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenAnswer {
    ok: True,
    /// To be sent as `Authorization: Bearer …`.
    token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until it stops working.
    expires_in: i64,
    /// When that is, in Unix milliseconds.
    expires_at: i64,
}

/// `POST /api/auth/token`
pub(crate) async fn issue(
    State(app): State<Arc<App>>,
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let mut body = json::Incoming::new(&head.headers, body);
    let work = sign_in(&app, &visit, &head, &mut body);
    let outcome = app.in_time(app.config.request_deadline, work).await;
    body.discard().await;
    settle(outcome, &visit)
}

async fn sign_in(app: &App, visit: &Visit, head: &Parts, body: &mut json::Incoming) -> Result<Response, ApiError> {
    if head.method != Method::POST {
        return Err(ApiError::Method { allow: "POST" });
    }
    app.limit_address(visit)?;
    let TokenRequest { email, password, code } = fields::request(body.object().await?)?;
    let signed_in = account::sign_in(&app.shop, &email, password, code.as_deref(), visit.source).await?;
    visit.notes().account = Some(signed_in.account.clone());
    let (token, expires_at) = app.tokens.issue(&signed_in, app.shop.now())?;
    Ok(crate::response::json(
        StatusCode::OK,
        &TokenAnswer {
            ok: True,
            token,
            token_type: "Bearer",
            expires_in: token::LIFETIME.0 / 1_000,
            expires_at: expires_at.0,
        },
    ))
}
