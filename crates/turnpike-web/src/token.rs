//! Short-lived tokens for signed-in accounts (JWT, RFC 7519; RFC 8725 for what must be refused).
//!
//! One algorithm, one type, every claim required, and the account's version inside: raising the version (a new password, a
//! suspension) voids all tokens at once.

mod hs256;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use turnpike_shop::account::SignedIn;
use turnpike_shop::types::{AccountId, Span, UnixMillis};
use turnpike_shop::{Error, Refusal, Shop};

/// How long a token works.
pub(crate) const LIFETIME: Span = Span::minutes(15);
/// A token from a machine whose clock is a little ahead.
const CLOCK_SKEW_SECONDS: i64 = 60;
const TYPE: &str = "at+jwt";
const ISSUER: &str = "turnpike";
const AUDIENCE: &str = "turnpike-api";
/// Ours are a third of this; nobody gets to make us decode more.
const MAX_LENGTH: usize = 1_024;

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: AccountId,
    iat: i64,
    exp: i64,
    /// The account's version.
    ver: i64,
}

/// Makes and opens tokens.
pub(crate) struct Tokens {
    sign: EncodingKey,
    verify: DecodingKey,
    validation: Validation,
}

impl Tokens {
    pub(crate) fn new(shop: &Shop) -> Self {
        Self::with_key(&shop.derived_key("api token"))
    }

    fn with_key(key: &[u8; 32]) -> Self {
        hs256::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The shop's clock says whether a token is over, below.
        validation.validate_exp = false;
        Self {
            sign: EncodingKey::from_secret(key),
            verify: DecodingKey::from_secret(key),
            validation,
        }
    }

    /// A token for who has just signed in, and when it ends.
    pub(crate) fn issue(&self, signed_in: &SignedIn, now: UnixMillis) -> Result<(String, UnixMillis), Error> {
        let issued = now.0.div_euclid(1_000);
        let expires = issued + LIFETIME.0 / 1_000;
        let header = Header {
            typ: Some(TYPE.to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: signed_in.account.clone(),
            iat: issued,
            exp: expires,
            ver: signed_in.version,
        };
        let token = jsonwebtoken::encode(&header, &claims, &self.sign)
            .map_err(|error| Error::Failed(format!("signing a token: {error}")))?;
        Ok((token, UnixMillis(expires.saturating_mul(1_000))))
    }

    /// The account and version that a token names. Whether the account still has that version is the shop's to say.
    pub(crate) fn open(&self, token: &str, now: UnixMillis) -> Result<(AccountId, i64), Refusal> {
        if token.len() > MAX_LENGTH {
            return Err(Refusal::Unauthorized);
        }
        let opened =
            jsonwebtoken::decode::<Claims>(token, &self.verify, &self.validation).map_err(|_| Refusal::Unauthorized)?;
        let claims = opened.claims;
        let now = now.0.div_euclid(1_000);
        let is_of_our_type = opened.header.typ.as_deref() == Some(TYPE);
        let is_running = claims.exp > now && claims.iat <= now.saturating_add(CLOCK_SKEW_SECONDS);
        if is_of_our_type && is_running {
            Ok((claims.sub, claims.ver))
        } else {
            Err(Refusal::Unauthorized)
        }
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
