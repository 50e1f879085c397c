//! What to paste to try an operation: for curl, Python and JavaScript, without a library and without a secret.
//!
//! The key is read from the environment, so that nobody pastes one into a file.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use turnpike_shop::types::{ID_LENGTH, random_lowercase};

use super::{example, text};
use crate::api::v1::WANTS_TOKEN;

/// A request to be shown.
pub(crate) struct Sample {
    method: String,
    /// With its parameters in braces.
    path: String,
    query: Vec<(String, String)>,
    body: Option<Map<String, Value>>,
    /// The variable that holds what is shown, and how: absent where nothing is.
    shown: Option<Shown>,
    /// It can be sent again with the same `Idempotency-Key`.
    pub(crate) is_idempotent: bool,
}

#[derive(Clone, Copy)]
enum Shown {
    Key,
    Token,
}

/// Whose ids stand in examples: fields' names with values.
#[derive(Default)]
pub(crate) struct Ids(Vec<(&'static str, String)>);

impl Ids {
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name, value.into()));
    }

    fn of(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Sample {
    pub(super) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: Vec::new(),
            body: None,
            shown: Some(Shown::Key),
            is_idempotent: false,
        }
    }

    /// What the document says has to be shown.
    pub(super) fn credentials(&mut self, described: &Value) {
        let ways = described.get("security").and_then(Value::as_array);
        let has = |name: &str| ways.into_iter().flatten().any(|way| way.get(name).is_some());
        self.shown = match (has("apiKey"), described.get(WANTS_TOKEN).is_some()) {
            (_, true) => Some(Shown::Token),
            (true, false) => Some(Shown::Key),
            (false, false) => None,
        };
    }

    /// The parameters that are needed: those of the path are known by their braces.
    pub(super) fn parameters(&mut self, described: &Value) {
        let parameters = described.get("parameters").and_then(Value::as_array);
        for parameter in parameters.into_iter().flatten() {
            let (name, value) = (text(parameter, "name"), parameter.get("schema").map(example));
            let value = value.as_ref().and_then(Value::as_str).unwrap_or_default();
            match text(parameter, "in") {
                "path" => {
                    self.path = self
                        .path
                        .replace(&format!("{{{name}}}"), &format!("{{{name}={value}}}"))
                }
                "query" if parameter.get("required") == Some(&Value::Bool(true)) => {
                    self.query.push((name.to_owned(), value.to_owned()));
                }
                _ => {}
            }
        }
    }

    /// The fields that are needed, after `values`; where none is, all that there are.
    pub(super) fn fill(&mut self, request: &Value, mut values: Map<String, Value>) {
        let required = request.get("required").and_then(Value::as_array);
        let needed = |name: &str| required.is_none_or(|all| all.is_empty() || all.iter().any(|known| known == name));
        let properties = request.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            let is_read = self.method == "GET";
            // What narrows a list down is left to the reader.
            if needed(name) && !(is_read && required.is_none_or(Vec::is_empty)) {
                values.insert(name.clone(), example(schema));
            }
        }
        match self.method.as_str() {
            "GET" => self.query.extend(values.into_iter().map(|(name, value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name, value)
            })),
            _ => self.body = Some(values),
        }
    }

    fn url(&self, base: &str, ids: &Ids) -> String {
        let mut path = String::new();
        for (place, part) in self.path.split(['{', '}']).enumerate() {
            match part.split_once('=').filter(|_| place % 2 == 1) {
                Some((name, value)) => path.push_str(ids.of(name).unwrap_or(value)),
                None => path.push_str(part),
            }
        }
        let mut url = format!("{base}{path}");
        if !self.query.is_empty() {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in &self.query {
                query.append_pair(name, ids.of(name).unwrap_or(value));
            }
            let _ = write!(url, "?{}", query.finish());
        }
        url
    }

    fn filled_body(&self, ids: &Ids) -> Option<Value> {
        let mut body = self.body.clone()?;
        for (name, value) in &mut body {
            if name == "bookingId" {
                *value = Value::from(random_lowercase(ID_LENGTH));
            } else if let Some(id) = ids.of(name) {
                *value = Value::from(id);
            }
        }
        Some(Value::Object(body))
    }

    /// Header fields: the name, what stands before the variable, and the variable.
    fn header(&self) -> Option<(&'static str, &'static str, &'static str)> {
        match self.shown? {
            Shown::Key => Some(("x-api-key", "", "API_KEY")),
            Shown::Token => Some(("authorization", "Bearer ", "TOKEN")),
        }
    }

    /// A key of one's own for a purchase that can be sent again.
    fn order(&self) -> Option<String> {
        let op = self
            .body
            .as_ref()
            .and_then(|body| body.get("op"))
            .and_then(Value::as_str);
        op.filter(|_| self.is_idempotent).map(|op| format!("{op}-4711"))
    }

    /// For a shell.
    pub(crate) fn curl(&self, base: &str, ids: &Ids) -> String {
        let mut line = "curl -sS".to_owned();
        let body = self.filled_body(ids);
        if self.method != "GET" && !(self.method == "POST" && body.is_some()) {
            let _ = write!(line, " -X {}", self.method);
        }
        if let Some((name, before, variable)) = self.header() {
            let _ = write!(line, " -H \"{name}: {before}${variable}\"");
        }
        if let Some(order) = self.order() {
            let _ = write!(line, " -H \"idempotency-key: {order}\"");
        }
        if let Some(body) = body {
            let quoted = body.to_string().replace('\'', r"'\''");
            let _ = write!(line, " -H \"content-type: application/json\" \\\n     -d '{quoted}'");
        }
        let _ = write!(line, " \\\n     \"{}\"", self.url(base, ids));
        line
    }

    /// The inside of a dictionary or an object of header fields; `of_environment` says how the language reads a variable.
    fn headers(&self, has_body: bool, of_environment: impl Fn(&str) -> String) -> String {
        let mut headers = Vec::new();
        if let Some((name, before, variable)) = self.header() {
            let value = of_environment(variable);
            headers.push(match before {
                "" => format!("\"{name}\": {value}"),
                before => format!("\"{name}\": \"{before}\" + {value}"),
            });
        }
        if let Some(order) = self.order() {
            headers.push(format!("\"idempotency-key\": \"{order}\""));
        }
        if has_body {
            headers.push("\"content-type\": \"application/json\"".to_owned());
        }
        headers.join(", ")
    }

    /// For Python, by its own library.
    pub(crate) fn python(&self, base: &str, ids: &Ids) -> String {
        let body = self.filled_body(ids);
        let headers = self.headers(body.is_some(), |variable| format!("os.environ[\"{variable}\"]"));
        let mut text = "import json, os, urllib.request\n\nrequest = urllib.request.Request(\n".to_owned();
        let _ = writeln!(text, "    \"{}\",", self.url(base, ids));
        let _ = writeln!(text, "    method=\"{}\",", self.method);
        let _ = writeln!(text, "    headers={{{headers}}},");
        if let Some(body) = body {
            let _ = writeln!(text, "    data=json.dumps({}).encode(),", in_python(&body));
        }
        text.push_str(")\nwith urllib.request.urlopen(request) as answer:\n    print(json.load(answer))");
        text
    }

    /// For JavaScript: in Node, or in a browser's module with the variables replaced.
    pub(crate) fn javascript(&self, base: &str, ids: &Ids) -> String {
        let body = self.filled_body(ids);
        let headers = self.headers(body.is_some(), |variable| format!("process.env.{variable}"));
        let mut text = format!("const answer = await fetch(\"{}\", {{\n", self.url(base, ids));
        let _ = writeln!(text, "  method: \"{}\",", self.method);
        let _ = writeln!(text, "  headers: {{ {headers} }},");
        if let Some(body) = body {
            let _ = writeln!(text, "  body: JSON.stringify({body}),");
        }
        text.push_str("});\nconsole.log(await answer.json());");
        text
    }
}

/// A JSON value as Python writes it.
fn in_python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(in_python).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), in_python(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}
