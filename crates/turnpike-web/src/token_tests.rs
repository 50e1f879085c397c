#![allow(clippy::unwrap_used, reason = "a test may panic")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use turnpike_shop::types::Role;

use super::*;

const KEY: [u8; 32] = [7; 32];
const NOW: UnixMillis = UnixMillis(1_762_592_000_000);

fn tokens() -> Tokens {
    Tokens::with_key(&KEY)
}

fn signed_in() -> SignedIn {
    SignedIn {
        account: "j97b2f6m1k4n8p3r5t7v9x0z".parse().unwrap(),
        version: 3,
        role: Role::Customer,
    }
}

fn claims() -> Value {
    let now = NOW.0 / 1_000;
    json!({
        "iss": "turnpike", "aud": "turnpike-api", "sub": "j97b2f6m1k4n8p3r5t7v9x0z",
        "iat": now, "exp": now + 900, "ver": 3,
    })
}

/// A token with any header and claims, well signed.
fn forged(header: &Value, claims: &Value, key: &[u8]) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let keyed = Hmac::<Sha256>::new_from_slice(key).unwrap();
    let signature = keyed.chain_update(&message).finalize().into_bytes();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn is_refused(token: &str) -> bool {
    matches!(tokens().open(token, NOW), Err(Refusal::Unauthorized))
}

#[test]
fn a_token_works_for_fifteen_minutes() {
    let (token, ends) = tokens().issue(&signed_in(), NOW).unwrap();
    assert_eq!(ends, NOW.plus(LIFETIME));
    let opened = tokens().open(&token, NOW).unwrap();
    assert_eq!(opened, (signed_in().account, 3));
    assert!(tokens().open(&token, UnixMillis(ends.0 - 1)).is_ok());
    assert!(tokens().open(&token, ends).is_err());
    assert!(
        tokens().open(&token, NOW.minus(Span::minutes(2))).is_err(),
        "from the future"
    );
}

#[test]
fn the_forger_of_these_tests_makes_valid_tokens() {
    let token = forged(&json!({"alg": "HS256", "typ": "at+jwt"}), &claims(), &KEY);
    assert!(tokens().open(&token, NOW).is_ok());
}

#[test]
fn another_algorithm_type_or_key_is_refused() {
    for header in [
        json!({"alg": "none", "typ": "at+jwt"}),
        json!({"alg": "None", "typ": "at+jwt"}),
        json!({"alg": "HS384", "typ": "at+jwt"}),
        json!({"alg": "RS256", "typ": "at+jwt"}),
        json!({"alg": "EdDSA", "typ": "at+jwt"}),
        json!({"typ": "at+jwt"}),
        json!({"alg": "HS256", "typ": "JWT"}),
        json!({"alg": "HS256"}),
    ] {
        assert!(is_refused(&forged(&header, &claims(), &KEY)), "{header}");
    }
    let header = json!({"alg": "HS256", "typ": "at+jwt"});
    assert!(is_refused(&forged(&header, &claims(), &[8; 32])));
    assert!(is_refused(&forged(&header, &claims(), b"")));
    let unsigned = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#),
        URL_SAFE_NO_PAD.encode(claims().to_string())
    );
    assert!(is_refused(&unsigned));
}

#[test]
fn every_claim_is_required_and_of_its_type() {
    let header = json!({"alg": "HS256", "typ": "at+jwt"});
    for claim in ["iss", "aud", "sub", "iat", "exp", "ver"] {
        let mut without = claims();
        without.as_object_mut().unwrap().remove(claim);
        assert!(is_refused(&forged(&header, &without, &KEY)), "without {claim}");
        for wrong in [
            json!(null),
            json!("x"),
            json!([]),
            json!({}),
            json!(true),
            json!(1.5),
            json!(-1),
        ] {
            // Any version is well-formed; whether it is the account's is the shop's to say.
            if claim == "ver" && wrong == json!(-1) {
                continue;
            }
            // A token can have been issued long ago; its end is what counts.
            if claim == "iat" && wrong == json!(-1) {
                continue;
            }
            let mut changed = claims();
            changed[claim] = wrong.clone();
            assert!(is_refused(&forged(&header, &changed, &KEY)), "{claim} = {wrong}");
        }
    }
}

#[test]
fn what_is_no_token_is_refused() {
    for token in [
        "",
        ".",
        "..",
        "a.b.c",
        "rk_",
        "null",
        &"a".repeat(100_000),
        "\u{0}\u{0}",
        "e30.e30.e30",
    ] {
        assert!(is_refused(token));
    }
    let (token, _) = tokens().issue(&signed_in(), NOW).unwrap();
    for cut in 1..token.len() {
        assert!(is_refused(&token[..cut]), "cut at {cut}");
    }
}
