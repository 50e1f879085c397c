//! `/openapi.json`: the API described from the very types that parse its requests and make its answers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema as _, ToSchema};

use crate::api::{Op, Operation, Verb, v1, with_operation};
use crate::auth::{TokenAnswer, TokenRequest};
use crate::error::ErrorAnswer;
use crate::health::ReadyAnswer;
use crate::ip::IpAnswer;
use crate::link::RotateAnswer;
use crate::status_link::StatusAnswer;
use crate::sub;

/// The OpenAPI 3.1 document of the customer API, as `/openapi.json` gives it.
#[must_use]
pub fn document(public_url: &str) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = json!({
        "/api/proxy": {
            "get": read_operations(&mut schemas),
            "post": write_operations(&mut schemas),
        },
        "/api/auth/token": { "post": token(&mut schemas) },
        "/r/{token}": { "get": rotate(&mut schemas, "rotateByGet"), "post": rotate(&mut schemas, "rotateByPost") },
        "/status/{token}": { "get": status(&mut schemas) },
        "/sub/{token}": { "get": sub::described(&mut schemas) },
        "/ip": { "get": ip(&mut schemas) },
        "/healthz": { "get": alive(&mut schemas) },
        "/readyz": { "get": ready(&mut schemas) },
    });
    if let Some(paths) = paths.as_object_mut() {
        paths.extend(v1::paths(&mut schemas, false));
    }
    whole(public_url, "Turnpike", INTRODUCTION, paths, schemas)
}

/// The OpenAPI 3.1 document of the operators' API, as `/api/admin/openapi.json` gives it.
#[must_use]
pub fn admin_document(public_url: &str) -> Value {
    let mut schemas = Schemas::default();
    let paths = Value::Object(v1::paths(&mut schemas, true));
    whole(public_url, "Turnpike for operators", FOR_OPERATORS, paths, schemas)
}

fn whole(public_url: &str, title: &str, introduction: &str, paths: Value, schemas: Schemas) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": env!("CARGO_PKG_VERSION"),
            "description": introduction,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": public_url }],
        "paths": paths,
        "components": {
            "schemas": schemas.0,
            "securitySchemes": {
                "apiKey": { "type": "apiKey", "in": "header", "name": "x-api-key" },
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of /api/auth/token, or an API key. Not looked at where x-api-key is there.",
                },
            },
        },
    })
}

const INTRODUCTION: &str = "Buying and driving subscriptions has one path, /api/proxy; `op` names the operation, in the query of a GET or in \
the JSON object of a POST. What belongs to an account has paths of its own below /api/v1. \
Times are Unix milliseconds, money is whole cents, ids are 24 lowercase letters and digits. Unknown fields are ignored, `null` \
counts as absent, a key given twice is refused.\n\n\
Every answer has X-Request-Id (yours, where you send one of 1 to 64 letters, digits, dots, dashes or underscores) and, where a \
rate limit applies, RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers). Errors are `ok: false` with a \
sentence, a code that does not change, and the request's id.";

const FOR_OPERATORS: &str = "Running the shop, by API keys with the operator permission: a read-only one sees all and changes nothing. \
A token of /api/auth/token works too. What changes something stands in the audit log with the key and the address that asked. \
Times are Unix milliseconds, money is whole cents, ids are 24 lowercase letters and digits. Unknown fields are ignored, `null` \
counts as absent, a key given twice is refused. Errors, limits and request ids are those of the customers' API, /openapi.json.";

/// The schemas of the document, each under its type's name.
#[derive(Default)]
pub(crate) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// Adds a schema that was made by hand; a reference to it.
    pub(crate) fn insert(&mut self, name: &str, schema: Value) -> Value {
        self.0.insert(name.to_owned(), schema);
        reference(name)
    }

    /// Adds `T` and all it refers to; a reference to it.
    pub(crate) fn add<T: ToSchema>(&mut self) -> Value {
        let mut inner: Vec<(String, RefOr<Schema>)> = Vec::new();
        T::schemas(&mut inner);
        for (name, schema) in inner {
            self.0.insert(name, to_json(&schema));
        }
        let name = T::name().into_owned();
        self.0.insert(name.clone(), to_json(&T::schema()));
        reference(&name)
    }

    /// Adds the object that carries operation `O` in a POST: its fields, and `op`.
    fn add_request<O: Operation>(&mut self, op: Op) -> (String, Value) {
        let mut schema = to_json(&O::schema());
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("op".to_owned(), json!({ "type": "string", "enum": [op.name()] }));
        }
        if let Some(object) = schema.as_object_mut() {
            let required = object.entry("required").or_insert_with(|| json!([]));
            if let Some(required) = required.as_array_mut() {
                required.insert(0, json!("op"));
            }
        }
        let name = format!("{}Request", O::name());
        self.0.insert(name.clone(), schema);
        (name.clone(), reference(&name))
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

pub(crate) fn to_json(schema: &RefOr<Schema>) -> Value {
    // Schemas are plain data; writing them cannot fail.
    serde_json::to_value(schema).unwrap_or_default()
}

/// An operation of the one path that all share.
pub(crate) struct Described {
    pub(crate) name: &'static str,
    pub(crate) verb: Verb,
    pub(crate) moves_money: bool,
    /// The schema of its fields.
    pub(crate) request: Value,
    /// The name of its answer's schema.
    pub(crate) answer: String,
}

/// Every operation of the one path, in its order.
pub(crate) fn operations() -> Vec<Described> {
    Op::ALL
        .into_iter()
        .map(|op| {
            with_operation!(op, O => Described {
                name: op.name(),
                verb: op.verb(),
                moves_money: O::MOVES_MONEY,
                request: to_json(&O::schema()),
                answer: <O as Operation>::Answer::name().into_owned(),
            })
        })
        .collect()
}

fn by(verb: Verb) -> impl Iterator<Item = Op> {
    Op::ALL.into_iter().filter(move |op| op.verb() == verb)
}

fn answers(schemas: &mut Schemas, verb: Verb) -> Vec<Value> {
    let mut references: Vec<Value> = Vec::new();
    for op in by(verb) {
        let answer = with_operation!(op, O => schemas.add::<<O as Operation>::Answer>());
        // A trial answers as a purchase.
        if !references.contains(&answer) {
            references.push(answer);
        }
    }
    references
}

/// What each operation is, as a list for the description.
fn list(verb: Verb) -> String {
    by(verb)
        .map(|op| {
            let schema = with_operation!(op, O => to_json(&O::schema()));
            let what = schema
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            let fields: Vec<String> = schema
                .get("properties")
                .and_then(Value::as_object)
                .map(|properties| properties.keys().map(|name| format!("`{name}`")).collect())
                .unwrap_or_default();
            let fields = if fields.is_empty() {
                String::new()
            } else {
                format!(" Fields: {}.", fields.join(", "))
            };
            format!("- `{}`: {what}{fields}", op.name())
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn read_operations(schemas: &mut Schemas) -> Value {
    let names: Vec<&str> = by(Verb::Get).map(Op::name).collect();
    let mut parameters = vec![json!({
        "name": "op", "in": "query", "required": true,
        "schema": { "type": "string", "enum": names },
    })];
    let mut fields: BTreeMap<String, (Value, Vec<&str>)> = BTreeMap::new();
    for op in by(Verb::Get) {
        let schema = with_operation!(op, O => to_json(&O::schema()));
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        for (name, schema) in properties {
            fields
                .entry(name)
                .or_insert_with(|| (schema, Vec::new()))
                .1
                .push(op.name());
        }
    }
    for (name, (schema, ops)) in fields {
        parameters.push(json!({
            "name": name, "in": "query", "required": false, "schema": query_schema(schema),
            "description": format!("For {}.", ops.join(", ")),
        }));
    }
    parameters.push(request_id_parameter());
    json!({
        "operationId": "read",
        "summary": "Plans, subscriptions, and what can be done with them",
        "description": list(Verb::Get),
        "security": security(),
        "parameters": parameters,
        "responses": responses(ok(json!({ "oneOf": answers(schemas, Verb::Get) })), &[400, 401, 403, 404, 405, 409, 429, 500, 503], schemas),
    })
}

/// A query has no `null`.
pub(crate) fn query_schema(mut schema: Value) -> Value {
    let types = schema.get("type").and_then(Value::as_array).cloned();
    if let (Some(types), Some(object)) = (types, schema.as_object_mut())
        && let Some(only) = types.into_iter().find(|kind| kind != "null")
    {
        object.insert("type".to_owned(), only);
    }
    schema
}

fn write_operations(schemas: &mut Schemas) -> Value {
    let mut requests = Vec::new();
    let mut mapping = Map::new();
    for op in by(Verb::Post) {
        let (name, request) = with_operation!(op, O => schemas.add_request::<O>(op));
        mapping.insert(op.name().to_owned(), json!(format!("#/components/schemas/{name}")));
        requests.push(request);
    }
    json!({
        "operationId": "write",
        "summary": "Buy, renew and change subscriptions",
        "description": list(Verb::Post),
        "security": security(),
        "parameters": [
            {
                "name": "Idempotency-Key", "in": "header", "required": false,
                "description": "On purchase, renew and trial: the same key and body within 72 hours gives the same answer again \
                    (then with Idempotent-Replayed: true) and no second charge; another body gives 409.",
                "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x20-\\x7e]+$" },
            },
            request_id_parameter(),
        ],
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": {
                "oneOf": requests,
                "discriminator": { "propertyName": "op", "mapping": mapping },
            } } },
        },
        "responses": responses(
            ok(json!({ "anyOf": answers(schemas, Verb::Post) })),
            &[400, 401, 402, 403, 404, 405, 409, 413, 429, 500, 503],
            schemas,
        ),
    })
}

fn token(schemas: &mut Schemas) -> Value {
    let request = schemas.add::<TokenRequest>();
    let answer = schemas.add::<TokenAnswer>();
    json!({
        "operationId": "token",
        "summary": "A short-lived token for an e-mail address and a password",
        "description": "The token works for 15 minutes, and ends at once when the account is suspended or its password changed.",
        "security": [],
        "parameters": [request_id_parameter()],
        "requestBody": { "required": true, "content": { "application/json": { "schema": request } } },
        "responses": responses(ok(answer), &[400, 401, 403, 405, 413, 429, 500, 503], schemas),
    })
}

fn rotate(schemas: &mut Schemas, id: &str) -> Value {
    let answer = schemas.add::<RotateAnswer>();
    json!({
        "operationId": id,
        "summary": "Rotate now",
        "description": "Gives the subscription's exit a new public address and answers when it has it. HEAD and prefetches never rotate.",
        "security": [],
        "parameters": [
            { "name": "token", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 },
              "description": "The end of a subscription's rotatePath, or of another of its links to rotate." },
            format_parameter(),
            request_id_parameter(),
        ],
        "responses": responses(
            json!({ "description": "Rotated.", "headers": headers(), "content": {
                "application/json": { "schema": answer },
                "text/plain": { "schema": { "type": "string" } },
            } }),
            &[400, 403, 404, 405, 409, 429, 500, 502, 503],
            schemas,
        ),
    })
}

fn status(schemas: &mut Schemas) -> Value {
    let answer = schemas.add::<StatusAnswer>();
    json!({
        "operationId": "status",
        "summary": "How a subscription stands",
        "description": "For whoever holds a link of kind status. It changes nothing and shows no credentials.",
        "security": [],
        "parameters": [
            { "name": "token", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 },
              "description": "The end of the link's path." },
            format_parameter(),
            request_id_parameter(),
        ],
        "responses": responses(
            json!({ "description": "So it stands.", "headers": headers(), "content": {
                "application/json": { "schema": answer },
                "text/plain": { "schema": { "type": "string" } },
            } }),
            &[400, 403, 404, 405, 429, 500, 503],
            schemas,
        ),
    })
}

fn format_parameter() -> Value {
    json!({
        "name": "format", "in": "query", "required": false, "schema": { "type": "string", "enum": ["json", "text"] },
        "description": "text: the bare address, empty where it is not known.",
    })
}

fn ip(schemas: &mut Schemas) -> Value {
    let answer = schemas.add::<IpAnswer>();
    json!({
        "operationId": "ip",
        "summary": "The address that you come from",
        "description": "Plain text; JSON where Accept names application/json.",
        "security": [],
        "parameters": [request_id_parameter()],
        "responses": responses(
            json!({ "description": "The address.", "headers": headers(), "content": {
                "text/plain": { "schema": { "type": "string" } },
                "application/json": { "schema": answer },
            } }),
            &[405, 429, 500],
            schemas,
        ),
    })
}

fn alive(schemas: &mut Schemas) -> Value {
    json!({
        "operationId": "alive",
        "summary": "Whether the process runs",
        "security": [],
        "parameters": [request_id_parameter()],
        "responses": responses(
            json!({ "description": "It does.", "headers": headers(), "content": {
                "text/plain": { "schema": { "type": "string" } },
            } }),
            &[405, 500],
            schemas,
        ),
    })
}

fn ready(schemas: &mut Schemas) -> Value {
    let answer = schemas.add::<ReadyAnswer>();
    let content = json!({
        "text/plain": { "schema": { "type": "string" } },
        "application/json": { "schema": answer },
    });
    let report = |what: &str| json!({ "description": what, "headers": headers(), "content": content });
    let mut responses = responses(report("All checks are passed."), &[405, 429, 500], schemas);
    if let Some(responses) = responses.as_object_mut() {
        responses.insert("503".to_owned(), report("Some check is not."));
    }
    json!({
        "operationId": "ready",
        "summary": "Whether the process should be sent work: a line per check",
        "description": "Plain text; JSON where Accept names application/json.",
        "security": [],
        "parameters": [request_id_parameter()],
        "responses": responses,
    })
}

pub(crate) fn security() -> Value {
    json!([{ "apiKey": [] }, { "bearer": [] }])
}

pub(crate) fn request_id_parameter() -> Value {
    json!({
        "name": "X-Request-Id", "in": "header", "required": false,
        "description": "Your own id for this request, to be found again in the answer and in our log: 1 to 64 letters, digits, \
            dots, dashes or underscores. Another one is replaced by one of ours.",
        "schema": { "type": "string" },
    })
}

pub(crate) fn ok(schema: Value) -> Value {
    json!({ "description": "Done.", "headers": headers(), "content": { "application/json": { "schema": schema } } })
}

pub(crate) fn headers() -> Value {
    json!({
        "X-Request-Id": { "schema": { "type": "string" } },
        "RateLimit": { "description": "What is left of the limit.", "schema": { "type": "string" } },
        "RateLimit-Policy": { "description": "The limit.", "schema": { "type": "string" } },
    })
}

pub(crate) fn responses(success: Value, errors: &[u16], schemas: &mut Schemas) -> Value {
    let error = schemas.add::<ErrorAnswer>();
    let mut all = Map::new();
    all.insert("200".to_owned(), success);
    for status in errors {
        let mut headers = headers();
        let extra = match status {
            401 => Some("WWW-Authenticate"),
            405 => Some("Allow"),
            403 | 409 | 429 | 503 => Some("Retry-After"),
            _ => None,
        };
        if let (Some(name), Some(headers)) = (extra, headers.as_object_mut()) {
            headers.insert(name.to_owned(), json!({ "schema": { "type": "string" } }));
        }
        let response = json!({
            "description": meaning(*status),
            "headers": headers,
            "content": { "application/json": { "schema": error } },
        });
        all.insert(status.to_string(), response);
    }
    Value::Object(all)
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => {
            "Invalid JSON, a body that is no object, a missing or unknown op, or a field that does not hold what it should."
        }
        401 => "No valid API key or token.",
        402 => "Insufficient balance.",
        403 => "The key may not do this, or the account is suspended.",
        404 => "No such subscription, or not yours.",
        405 => "Another method than the path has.",
        409 => {
            "Sold out, an inactive plan or network, a subscription whose state does not allow it, or an Idempotency-Key used differently."
        }
        413 => "A body over 64 KiB.",
        429 => "Rate limited.",
        502 => "The exit could not be rotated; it works on with its present address.",
        503 => "The shop cannot answer just now; try again after Retry-After.",
        _ => "Internal error.",
    }
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
