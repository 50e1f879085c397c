//! Bodies that leave.

use std::borrow::Cow;
use std::marker::PhantomData;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub(crate) struct $name;

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bool($value)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::Boolean)
                    .enum_values(Some([$value]))
                    .into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

constants! {
    /// The `ok` of every answer.
    True = true;
    /// The `ok` of every error.
    False = false;
}

/// An answer that says no more than that it was done.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Done {
    ok: True,
}

/// What an operation answers.
pub(crate) trait Answer {
    /// With status 200.
    fn into_response(self) -> Response;
}

impl<T: Serialize> Answer for T {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self)
    }
}

/// JSON that was written already, in the shape of `T`.
pub(crate) struct Written<T> {
    text: String,
    shape: PhantomData<fn() -> T>,
}

impl<T> Written<T> {
    /// `text` must be the JSON of a `T`.
    pub(crate) fn new(text: String) -> Self {
        Self {
            text,
            shape: PhantomData,
        }
    }
}

impl<T> Answer for Written<T> {
    fn into_response(self) -> Response {
        with_type(StatusCode::OK, "application/json", self.text)
    }
}

impl<T: PartialSchema> PartialSchema for Written<T> {
    fn schema() -> RefOr<Schema> {
        T::schema()
    }
}

impl<T: ToSchema> ToSchema for Written<T> {
    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

/// `value` as JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => with_type(status, "application/json", body),
        Err(error) => {
            // None of our answers has a key that is no string, the one thing that cannot be written.
            tracing::error!(%error, "an answer could not be written as JSON");
            with_type(
                StatusCode::INTERNAL_SERVER_ERROR,
                "application/json",
                r#"{"ok":false,"error":"Internal error","code":"internal"}"#,
            )
        }
    }
}

/// `text` as plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<Body>) -> Response {
    with_type(status, "text/plain; charset=utf-8", text)
}

fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
