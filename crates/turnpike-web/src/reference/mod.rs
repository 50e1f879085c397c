//! The API reference: what stands in the OpenAPI documents, in the order and shape in which people read it.
//!
//! It is made once, when the server starts. A page fills in whose it is: his ids, the server's address.

mod examples;
mod words;

use serde_json::{Map, Value};

use crate::api::{Verb, v1};
use crate::openapi::{self, operations};

pub(crate) use examples::{Ids, Sample};
pub(crate) use words::{Word, words};

/// A reference.
pub(crate) struct Reference {
    pub(crate) chapters: Vec<Chapter>,
    /// What answers hold, by name.
    pub(crate) parts: Vec<Part>,
}

/// Operations that belong together.
pub(crate) struct Chapter {
    /// What their paths begin with.
    pub(crate) title: &'static str,
    pub(crate) operations: Vec<Operation>,
}

/// Something that can be asked for.
pub(crate) struct Operation {
    /// Unique in the reference; what an address leads to.
    pub(crate) id: String,
    pub(crate) method: String,
    /// What it is called: its path, or its `op`.
    pub(crate) title: String,
    pub(crate) what: Vec<Word>,
    pub(crate) fields: Vec<Field>,
    pub(crate) answer: Vec<Field>,
    pub(crate) errors: Vec<(String, String)>,
    pub(crate) sample: Sample,
}

/// A field of a request or an answer.
pub(crate) struct Field {
    pub(crate) name: String,
    /// What it holds.
    pub(crate) kind: String,
    /// The [`Part`] that it holds.
    pub(crate) part: Option<String>,
    pub(crate) is_required: bool,
    pub(crate) what: Vec<Word>,
}

/// A part of answers.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) what: Vec<Word>,
    pub(crate) fields: Vec<Field>,
}

impl Reference {
    /// What customers can ask for.
    pub(crate) fn of_customers(public_url: &str) -> Self {
        let document = openapi::document(public_url);
        let chapters = vec![
            Chapter {
                title: "/api/proxy",
                operations: by_op(&document),
            },
            Chapter {
                title: "/api/auth",
                operations: by_path(&document, "/api/auth/"),
            },
            Chapter {
                title: "/api/v1",
                operations: by_path(&document, "/api/v1/"),
            },
        ];
        Self::with(&document, chapters)
    }

    /// What operators can ask for beside that.
    pub(crate) fn of_operators(public_url: &str) -> Self {
        let document = openapi::admin_document(public_url);
        let chapters = vec![Chapter {
            title: "/api/admin",
            operations: by_path(&document, "/api/admin/"),
        }];
        Self::with(&document, chapters)
    }

    /// With the parts that answers lead to, and those that these lead to.
    fn with(document: &Value, chapters: Vec<Chapter>) -> Self {
        let answers = chapters.iter().flat_map(|chapter| &chapter.operations);
        let mut wanted: Vec<String> = answers
            .flat_map(|operation| &operation.answer)
            .filter_map(|field| field.part.clone())
            .collect();
        let mut parts: Vec<Part> = Vec::new();
        while let Some(name) = wanted.pop() {
            if parts.iter().any(|known| known.name == name) {
                continue;
            }
            let schema = schema(document, &name);
            let part = Part {
                what: words(text(schema, "description")),
                fields: fields(schema),
                name,
            };
            wanted.extend(part.fields.iter().filter_map(|field| field.part.clone()));
            parts.push(part);
        }
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        Self { chapters, parts }
    }
}

/// The operations of the one path that all share.
fn by_op(document: &Value) -> Vec<Operation> {
    operations()
        .into_iter()
        .map(|described| {
            let method = match described.verb {
                Verb::Get => "GET",
                Verb::Post => "POST",
            };
            let pointer = format!("/paths/~1api~1proxy/{}", method.to_lowercase());
            let asked = document.pointer(&pointer).unwrap_or(&Value::Null);
            let mut sample = Sample::new(method, "/api/proxy");
            sample.is_idempotent = described.moves_money;
            let values = Map::from_iter([("op".to_owned(), Value::from(described.name))]);
            sample.fill(&described.request, values);
            Operation {
                id: format!("op-{}", described.name),
                method: method.to_owned(),
                title: format!("op={}", described.name),
                what: words(text(&described.request, "description")),
                fields: fields(&described.request),
                answer: fields(schema(document, &described.answer)),
                errors: errors(asked),
                sample,
            }
        })
        .collect()
}

/// The operations that have a path each.
fn by_path(document: &Value, beginning: &str) -> Vec<Operation> {
    let paths = document.get("paths").and_then(Value::as_object);
    let mut all = Vec::new();
    for (path, methods) in paths
        .into_iter()
        .flatten()
        .filter(|(path, _)| path.starts_with(beginning))
    {
        for (method, described) in methods.as_object().into_iter().flatten() {
            all.push(operation(document, path, &method.to_uppercase(), described));
        }
    }
    all
}

fn operation(document: &Value, path: &str, method: &str, described: &Value) -> Operation {
    let parameters = described.get("parameters").and_then(Value::as_array);
    let mut asked: Vec<Field> = parameters
        .into_iter()
        .flatten()
        // That every request may have; the introduction tells it.
        .filter(|parameter| text(parameter, "in") != "header")
        .map(|parameter| Field {
            what: words(text(parameter, "description")),
            is_required: parameter.get("required") == Some(&Value::Bool(true)),
            ..field(text(parameter, "name"), parameter.get("schema").unwrap_or(&Value::Null))
        })
        .collect();
    let mut sample = Sample::new(method, path);
    sample.credentials(described);
    sample.parameters(described);
    let content = described.pointer("/requestBody/content/application~1json");
    if let Some(body) = content.and_then(|content| content.get("schema")) {
        let body = resolved(document, body);
        asked.extend(fields(body));
        sample.fill(body, Map::new());
    }
    let answer = described.pointer("/responses/200/content/application~1json/schema");
    Operation {
        id: text(described, "operationId").to_owned(),
        method: method.to_owned(),
        title: path.to_owned(),
        what: words(text(described, "description")),
        fields: asked,
        answer: fields(resolved(document, answer.unwrap_or(&Value::Null))),
        errors: errors(described),
        sample,
    }
}

fn errors(described: &Value) -> Vec<(String, String)> {
    let responses = described.get("responses").and_then(Value::as_object);
    responses
        .into_iter()
        .flatten()
        .filter(|(status, _)| *status != "200")
        .map(|(status, response)| (status.clone(), text(response, "description").to_owned()))
        .collect()
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn schema<'d>(document: &'d Value, name: &str) -> &'d Value {
    let pointer = format!("/components/schemas/{name}");
    document.pointer(&pointer).unwrap_or(&Value::Null)
}

fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match part_of(value) {
        Some(name) => schema(document, &name),
        None => value,
    }
}

/// The name of what is referred to.
fn part_of(value: &Value) -> Option<String> {
    let target = value.get("$ref")?.as_str()?;
    target.rsplit('/').next().map(str::to_owned)
}

/// The members of an object, but for those that say nothing.
fn fields(object: &Value) -> Vec<Field> {
    let required = object.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|required| required.iter().any(|known| known == name));
    let properties = object.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "ok")
        .map(|(name, schema)| Field {
            is_required: is_required(name),
            ..field(name, schema)
        })
        .collect()
}

fn field(name: &str, schema: &Value) -> Field {
    let (kind, part) = kind(schema);
    Field {
        name: name.to_owned(),
        kind,
        part,
        is_required: false,
        what: words(text(schema, "description")),
    }
}

/// What a schema lets through, in words; and the part that it leads to.
fn kind(schema: &Value) -> (String, Option<String>) {
    if let Some(part) = part_of(schema) {
        return (String::new(), Some(part));
    }
    // A part that may be absent stands among alternatives.
    let alternatives = ["allOf", "oneOf", "anyOf"]
        .iter()
        .find_map(|name| schema.get(*name)?.as_array());
    if let Some(part) = alternatives.into_iter().flatten().find_map(part_of) {
        return (String::new(), Some(part));
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned))
            .collect();
        return (words.join(" | "), None);
    }
    let kind = schema.get("type");
    let kind = kind.and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    let bound = |name: &str| schema.get(name).map(Value::to_string);
    match kind.unwrap_or("any") {
        "array" => {
            let (kind, part) = schema.get("items").map(kind_of_items).unwrap_or_default();
            (format!("list {kind}").trim_end().to_owned(), part)
        }
        "integer" => match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => (format!("integer {least}–{most}"), None),
            (Some(least), None) => (format!("integer from {least}"), None),
            _ => ("integer".to_owned(), None),
        },
        other => (other.to_owned(), None),
    }
}

fn kind_of_items(items: &Value) -> (String, Option<String>) {
    let (kind, part) = kind(items);
    match part {
        Some(part) => (String::new(), Some(part)),
        None => (format!("of {kind}"), None),
    }
}

/// A value that fits a schema.
fn example(schema: &Value) -> Value {
    v1::example(schema)
}

#[cfg(test)]
mod tests;
