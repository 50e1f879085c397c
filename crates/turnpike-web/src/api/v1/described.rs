//! The endpoints in `/openapi.json`, from the types that parse their requests and make their answers.

use serde_json::{Map, Value, json};

use super::{Endpoint, PLACES, has_body};
use crate::api::admin;
use crate::openapi::{Schemas, ok, query_schema, request_id_parameter, responses, security, to_json};
use crate::principal::Caller as _;

/// Where a key is understood, and refused. OpenAPI cannot say that: without `Authorization` there is 403, not 401.
pub(crate) const WANTS_TOKEN: &str = "x-wants-token";

/// Every path with its methods: those of operators or those of everybody.
pub(crate) fn paths(schemas: &mut Schemas, of_operators: bool) -> Map<String, Value> {
    PLACES
        .iter()
        .filter(|place| place.path.starts_with(admin::PREFIX) == of_operators)
        .map(|place| {
            let methods: Map<String, Value> = place
                .routes
                .iter()
                .map(|route| (route.method.as_str().to_lowercase(), (route.describe)(schemas)))
                .collect();
            (place.path.to_owned(), Value::Object(methods))
        })
        .collect()
}

pub(super) fn endpoint<E: Endpoint>(schemas: &mut Schemas) -> Value {
    let mut request = to_json(&E::schema());
    let description = request
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let is_required = |name: &str| {
        let required = request.get("required").and_then(Value::as_array);
        required.is_some_and(|required| required.iter().any(|known| known == name))
    };
    let properties: Vec<(String, Value, bool)> = request
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.clone(), schema.clone(), is_required(name)))
        .collect();
    let is_in_path = |name: &str| E::PATH.contains(&format!("{{{name}}}"));
    let mut parameters = Vec::new();
    for (name, schema, required) in &properties {
        let place = match (is_in_path(name), has_body(&E::METHOD)) {
            (true, _) => "path",
            (false, false) => "query",
            (false, true) => continue,
        };
        let mut schema = query_schema(schema.clone());
        let what = schema.as_object_mut().and_then(|object| object.remove("description"));
        let mut parameter = json!({ "name": name, "in": place, "required": *required, "schema": schema });
        if let (Some(what), Some(object)) = (what, parameter.as_object_mut()) {
            object.insert("description".to_owned(), what);
        }
        parameters.push(parameter);
    }
    parameters.push(request_id_parameter());
    let answer = schemas.add::<E::Answer>();
    let mut errors = vec![400, 401, 403, 405, 429, 500, 503];
    errors.extend(E::ERRORS);
    if has_body(&E::METHOD) {
        errors.push(413);
    }
    errors.sort_unstable();
    let mut described = json!({
        "operationId": E::NAME,
        "summary": description.split_once(['.', ';']).map_or(description.as_str(), |(first, _)| first),
        "description": description,
        "security": security(),
        "parameters": parameters,
        "responses": responses(ok(answer), &errors, schemas),
    });
    if E::Caller::WANTS_TOKEN
        && let Some(described) = described.as_object_mut()
    {
        described.insert(WANTS_TOKEN.to_owned(), Value::Bool(true));
    }
    if has_body(&E::METHOD) {
        for (name, _, _) in properties.iter().filter(|(name, _, _)| is_in_path(name)) {
            take_out(&mut request, name);
        }
        let example = example(&request);
        for (name, _, required) in &properties {
            if !required {
                allow_null(&mut request, name);
            }
        }
        let body = schemas.insert(&format!("{}Request", E::name()), request);
        let content = json!({ "application/json": { "schema": body, "example": example } });
        if let Some(described) = described.as_object_mut() {
            let body = json!({ "required": true, "content": content });
            described.insert("requestBody".to_owned(), body);
        }
    }
    described
}

fn take_out(request: &mut Value, name: &str) {
    if let Some(properties) = request.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove(name);
    }
    if let Some(required) = request.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|known| known != name);
    }
}

/// In a body, null says as much as nothing.
fn allow_null(request: &mut Value, name: &str) {
    let kind = request.pointer_mut(&format!("/properties/{name}/type"));
    if let Some(kind) = kind
        && let Value::String(only) = kind
    {
        *kind = json!([only.as_str(), "null"]);
    }
}

/// A value that fits a schema: its example or default, or the simplest of its type.
pub(crate) fn example(schema: &Value) -> Value {
    let given = schema
        .get("example")
        .or_else(|| schema.get("examples")?.get(0))
        .or_else(|| schema.get("default"))
        .or_else(|| schema.get("enum")?.get(0));
    if let Some(given) = given {
        return given.clone();
    }
    let kind = schema.get("type");
    let kind = kind.and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    match kind.unwrap_or_default() {
        "object" => schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.clone(), example(schema)))
            .collect(),
        "array" => Value::Array(schema.get("items").map(example).into_iter().collect()),
        "integer" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => Value::Bool(true),
        _ => json!("text"),
    }
}
