//! Request bodies: read up to a limit, parsed strictly, and hashed so that equal requests are known as equal.
//!
//! Stricter than `serde_json` alone: a key given twice is refused, since two readers could each believe another one, and so is
//! nesting that no request of ours needs.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;

/// The largest body that is read.
pub(crate) const MAX_BODY: usize = 64 * 1024;
/// The deepest nesting that is parsed; requests of ours have one level.
const MAX_DEPTH: usize = 16;

/// How much of a body that nobody wants is read, and for how long.
const MAX_DISCARDED: usize = 1024 * 1024;
const DISCARD_PATIENCE: Duration = Duration::from_secs(1);

/// A request's body, read at most once.
pub(crate) struct Incoming {
    body: Option<Body>,
    /// Its length, where that was announced.
    announced: Option<u64>,
    /// The client sends it only when it is asked to: the first read does that.
    waits_to_be_asked: bool,
}

impl Incoming {
    pub(crate) fn new(headers: &HeaderMap, body: Body) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            body: Some(body),
            announced: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            waits_to_be_asked: text(EXPECT).is_some_and(|what| what.eq_ignore_ascii_case("100-continue")),
        }
    }

    /// Reads it and parses it as one JSON object. `null` counts as absent, so such members are gone.
    pub(crate) async fn object(&mut self) -> Result<Map<String, Value>, ApiError> {
        if self.announced.is_some_and(|length| length > MAX_BODY as u64) {
            return Err(ApiError::BodyTooLarge { most: MAX_BODY });
        }
        let Some(body) = &mut self.body else {
            return Err(ApiError::InvalidJson("it has been read already".to_owned()));
        };
        self.waits_to_be_asked = false;
        let bytes = match Limited::new(body, MAX_BODY).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(ApiError::BodyTooLarge { most: MAX_BODY }),
            Err(_) => return Err(ApiError::InvalidJson("it broke off".to_owned())),
        };
        self.body = None;
        parse_object(&bytes)
    }

    /// Reads what a refusal has left unread, within bounds. A connection that is closed with bytes unread is reset, and the
    /// client may lose the very answer that says why. One that has not been asked for yet is not asked for now.
    pub(crate) async fn discard(self) {
        let Some(mut body) = self.body.filter(|_| !self.waits_to_be_asked) else {
            return;
        };
        let read = async {
            let mut left = MAX_DISCARDED;
            while let Some(Ok(frame)) = body.frame().await {
                let length = frame.data_ref().map_or(0, bytes::Bytes::len);
                match left.checked_sub(length) {
                    Some(less) => left = less,
                    None => return,
                }
            }
        };
        // Too slow or too much: then the connection is reset after all.
        let _ = tokio::time::timeout(DISCARD_PATIENCE, read).await;
    }
}

fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match parse(bytes).map_err(|error| ApiError::InvalidJson(error.to_string()))? {
        Value::Object(mut members) => {
            members.retain(|_, value| !value.is_null());
            Ok(members)
        }
        _ => Err(ApiError::BodyNotAnObject),
    }
}

fn parse(bytes: &[u8]) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Builds a [`Value`] and knows how deep it is.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} is given twice")));
            }
            let value = members.next_value_seed(inner)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// SHA-256 of a request's members in one order and one spelling, so that white space, the members' order and `null` make no
/// difference, and everything else does.
pub(crate) fn hash(op: &str, members: &Map<String, Value>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(op.as_bytes());
    hasher.update([0]);
    write_object(&mut hasher, members);
    hasher.finalize().into()
}

fn write(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(members) => write_object(hasher, members),
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                write(hasher, item);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        scalar => hasher.update(scalar.to_string().as_bytes()),
    }
}

fn write_object(hasher: &mut Sha256, members: &Map<String, Value>) {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    hasher.update(b"{");
    for (key, value) in sorted {
        hasher.update(Value::from(key.as_str()).to_string().as_bytes());
        hasher.update(b":");
        write(hasher, value);
        hasher.update(b",");
    }
    hasher.update(b"}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    fn refusal(body: &str) -> String {
        parse_object(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_object_is_taken_and_null_is_absent() {
        let members = parse_object(br#" {"op":"purchase","couponCode":null,"quantity":2} "#).unwrap();
        assert_eq!(Value::from(members), serde_json::json!({"op":"purchase","quantity":2}));
    }

    #[test]
    fn what_is_no_object_is_refused_as_such() {
        for body in ["[]", "1", "\"x\"", "null", "true", "[{\"op\":\"purchase\"}]"] {
            assert_eq!(refusal(body), "Body must be an object", "{body}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_as_such() {
        for body in [
            "",
            " ",
            "{",
            "}",
            "{]",
            "{\"op\"}",
            "{\"op\":}",
            "{\"op\":\"plans\",}",
            "{'op':'plans'}",
            "{op:1}",
            "NaN",
            "{\"a\":NaN}",
            "{\"a\":Infinity}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":.5}",
            "{\"a\":1e999}",
            "{} {}",
            "{}x",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\x\"}",
            "\u{feff}{}",
            "op=plans",
            "<op/>",
        ] {
            assert!(
                refusal(body).starts_with("Invalid JSON body: "),
                "{body}: {}",
                refusal(body)
            );
        }
        assert!(parse_object(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }

    #[test]
    fn a_key_given_twice_is_refused_at_any_depth_and_however_it_is_spelled() {
        for body in [
            r#"{"op":"purchase","op":"plans"}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":[{"b":1,"\u0062":2}]}"#,
            r#"{"quantity":null,"quantity":2}"#,
        ] {
            assert!(refusal(body).contains("is given twice"), "{body}: {}", refusal(body));
        }
    }

    #[test]
    fn nesting_ends_at_sixteen_levels() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(parse_object(nested(16).as_bytes()).is_ok());
        assert!(refusal(&nested(17)).contains("nested deeper than 16"));
        assert!(refusal(&"[".repeat(60_000)).contains("nested deeper than 16"));
        assert!(refusal(&"{\"a\":".repeat(10_000)).contains("nested deeper than 16"));
    }

    #[test]
    fn equal_requests_hash_alike_and_different_ones_do_not() {
        let of = |body: &str| hash("purchase", &parse_object(body.as_bytes()).unwrap());
        let first = of(r#"{"op":"purchase","planId":"x","quantity":2}"#);
        assert_eq!(
            first,
            of(r#" { "quantity" : 2, "planId":"\u0078", "op":"purchase", "couponCode":null } "#)
        );
        assert_ne!(first, of(r#"{"op":"purchase","planId":"x","quantity":3}"#));
        assert_ne!(first, of(r#"{"op":"purchase","planId":"x"}"#));
        assert_ne!(first, of(r#"{"op":"purchase","planId":"x","quantity":"2"}"#));
        assert_ne!(of(r#"{"a":["b"]}"#), of(r#"{"a":["b",""]}"#));
        assert_ne!(of(r#"{"a":"b,c"}"#), of(r#"{"a":"b","c":1}"#));
        assert_ne!(
            hash("purchase", &parse_object(b"{}").unwrap()),
            hash("renew", &parse_object(b"{}").unwrap())
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_object(&bytes);
        }

        #[test]
        fn json_that_the_common_parser_takes_is_taken_alike(text in "[\\[\\]{}\":,0-9a-c\\\\ ne.-]{0,40}") {
            if let Ok(ours) = parse(text.as_bytes()) {
                prop_assert_eq!(ours, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
