//! What `/openapi.json` says of subscription URLs.

use serde_json::{Map, Value, json};

use super::format::Format;
use super::way::Protocol;
use crate::openapi::{Schemas, headers, request_id_parameter, responses};

/// The path's `get`.
pub(crate) fn described(schemas: &mut Schemas) -> Value {
    json!({
        "operationId": "profile",
        "summary": "The ports behind a subscription URL, as client programs read them",
        "description": "Without `format` the client's User-Agent tells which. Works for as long as the URL is not renewed; what has \
            ended is not listed. HEAD gives the header fields alone.",
        "security": [],
        "parameters": [
            { "name": "token", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 },
              "description": "The end of a subscriptionUrl." },
            { "name": "format", "in": "query", "required": false,
              "schema": { "type": "string", "enum": Format::ALL.map(Format::name) } },
            { "name": "protocol", "in": "query", "required": false,
              "schema": { "type": "string", "enum": Protocol::ALL.map(Protocol::name) },
              "description": "Only links and servers of this protocol, where the format can hold it." },
            request_id_parameter(),
        ],
        "responses": responses(
            json!({ "description": "The profile.", "headers": fields(), "content": content() }),
            &[400, 404, 405, 429, 500, 503],
            schemas,
        ),
    })
}

/// The media types of all formats.
fn content() -> Value {
    let mut content = Map::new();
    for format in Format::ALL {
        let media_type = format.content_type().split(';').next().unwrap_or_default();
        // A document's schema speaks of what the text means once it is read, and both of these are read as values.
        let schema = match media_type {
            "application/json" => json!({}),
            "text/yaml" => json!({ "type": "object" }),
            _ => json!({ "type": "string" }),
        };
        content.insert(media_type.to_owned(), json!({ "schema": schema }));
    }
    content.into()
}

fn fields() -> Value {
    let mut all = headers();
    for (name, what) in [
        (
            "Subscription-Userinfo",
            "Bytes used and allowed, and the end in Unix seconds; 0 where there is no bound.",
        ),
        (
            "Profile-Title",
            "What to call it; in base64, and said so, where it is not ASCII.",
        ),
        ("Profile-Update-Interval", "Hours until it should be loaded again."),
        ("Profile-Web-Page-Url", "The shop."),
    ] {
        all[name] = json!({ "description": what, "schema": { "type": "string" } });
    }
    all
}
