//! From members of an object (or parameters of a query) to a typed request, naming the field that is wrong.
//!
//! `serde`'s own errors say what is wrong but not, as data, with which field; and a missing field's name is lost in a sentence.
//! This deserializer's error keeps it.

use std::fmt::{self, Display};

use serde::Deserializer;
use serde::de::value::StringDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, IntoDeserializer as _, MapAccess, Visitor};
use serde_json::{Map, Value, map};

use crate::error::ApiError;

/// The typed request in these members. Unknown ones are ignored.
pub(crate) fn request<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, ApiError> {
    T::deserialize(Fields(members)).map_err(ApiError::from)
}

struct Fields(Map<String, Value>);

impl<'de> Deserializer<'de> for Fields {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_map(Members {
            rest: self.0.into_iter(),
            value: None,
        })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Members {
    rest: map::IntoIter,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldError> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        let name: StringDeserializer<FieldError> = key.clone().into_deserializer();
        self.value = Some((key, value));
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, FieldError> {
        let Some((field, value)) = self.value.take() else {
            return Err(serde::de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(value).map_err(|error| FieldError {
            field,
            rule: error.to_string(),
        })
    }
}

/// A field and what it should have held.
#[derive(Debug)]
struct FieldError {
    field: String,
    rule: String,
}

impl Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.rule)
    }
}

impl std::error::Error for FieldError {}

impl serde::de::Error for FieldError {
    fn custom<T: Display>(message: T) -> Self {
        Self {
            field: String::new(),
            rule: message.to_string(),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            field: field.to_owned(),
            rule: "this operation needs it".to_owned(),
        }
    }
}

impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> Self {
        Self::Field {
            field: error.field,
            rule: error.rule,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "camelCase")]
    struct Sample {
        plan_id: String,
        quantity: Option<u8>,
    }

    fn parse(value: Value) -> Result<Sample, (String, String)> {
        let Value::Object(members) = value else {
            return Err((String::new(), String::new()));
        };
        request(members).map_err(|error| match error {
            ApiError::Field { field, rule } => (field, rule),
            other => (String::new(), other.to_string()),
        })
    }

    #[test]
    fn unknown_members_are_ignored() {
        let sample = parse(json!({"planId": "p", "colour": {"deep": [1, 2]}})).unwrap();
        assert_eq!(
            sample,
            Sample {
                plan_id: "p".to_owned(),
                quantity: None
            }
        );
    }

    #[test]
    fn the_field_that_is_missing_or_wrong_is_named() {
        assert_eq!(parse(json!({})).unwrap_err().0, "planId");
        assert_eq!(parse(json!({"planId": 7})).unwrap_err().0, "planId");
        assert_eq!(
            parse(json!({"planId": "p", "quantity": 300})).unwrap_err().0,
            "quantity"
        );
    }
}
