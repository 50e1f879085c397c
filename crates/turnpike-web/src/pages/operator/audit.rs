//! `/operator/audit`: what operators did.

use askama::Template;
use http::StatusCode;
use serde_json::Value;
use turnpike_shop::audit_log::{Entry, Place as At, Search, entries};
use turnpike_shop::types::UnixMillis;

use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::found::told;
use crate::pages::frame::{Frame, Place};
use crate::pages::texts::operator_texts;
use crate::pages::visitor::Operator;
use crate::pages::when::moment_exactly;

/// Rows of a page.
const ROWS: i64 = 50;
/// How much of an entry's details is shown.
const DETAIL_LENGTH: usize = 600;

#[derive(Template)]
#[template(path = "operator/audit.html")]
struct AuditPage {
    frame: Frame,
    /// How many rows these are, in words.
    told: String,
    rows: Vec<Row>,
    text: String,
    kinds: Vec<Kind>,
    /// Where the next page begins.
    next: Option<String>,
    /// Whether this is not the first page.
    is_later: bool,
}

struct Row {
    at: String,
    actor: String,
    /// By which key and from where; empty where he did it himself.
    by: String,
    action: String,
    subject: String,
    detail: String,
}

/// A choice of the filter.
struct Kind {
    word: &'static str,
    label: &'static str,
    is_chosen: bool,
}

/// What actions begin with.
fn kinds() -> [(&'static str, &'static str); 6] {
    let o = operator_texts();
    [
        ("account.", o.actions_accounts),
        ("key.", o.actions_keys),
        ("order.", o.actions_orders),
        ("exit.", o.actions_exits),
        ("catalogue.", o.actions_catalogue),
        ("view.", o.actions_view),
    ]
}

impl Row {
    fn of(entry: Entry) -> Self {
        Self {
            at: moment_exactly(entry.at),
            actor: entry.actor,
            by: match (entry.key, entry.source) {
                (Some(key), Some(source)) => format!("{} {key}, {source}", operator_texts().by_key),
                (None, Some(source)) => source,
                _ => String::new(),
            },
            action: entry.action,
            subject: entry.subject,
            detail: readable(&entry.detail),
        }
    }
}

/// JSON as `key: value, key: value`, and a catalogue's differences as `update plan x`; what is nested else stays JSON.
fn readable(detail: &str) -> String {
    let text = match serde_json::from_str(detail) {
        Ok(Value::Object(members)) => {
            let pair = |(key, value): (String, Value)| match value {
                Value::String(text) => format!("{key}: {text}"),
                other => format!("{key}: {other}"),
            };
            members.into_iter().map(pair).collect::<Vec<_>>().join(", ")
        }
        Ok(Value::Array(changes)) => changes.iter().map(change).collect::<Vec<_>>().join(", "),
        _ => detail.to_owned(),
    };
    match text.char_indices().nth(DETAIL_LENGTH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn change(change: &Value) -> String {
    let word = |key| change.get(key).and_then(Value::as_str);
    match (word("change"), word("kind"), word("name")) {
        (Some(what), Some(kind), Some(name)) => format!("{what} {kind} {name}"),
        _ => change.to_string(),
    }
}

/// `GET /operator/audit`
pub(crate) async fn list(_: Operator, desk: Desk) -> Outcome {
    let fields = &desk.fields;
    let kind = kinds()
        .iter()
        .map(|(word, _)| *word)
        .find(|word| *word == fields.text("action"));
    let after = place(fields.text("after"));
    let is_later = after.is_some();
    let search = Search {
        text: fields.text("q").to_owned(),
        action: kind.unwrap_or_default().to_owned(),
        after,
        limit: ROWS,
    };
    let (found, has_more) = entries(&desk.app.shop, search).await?;
    let next = found.last().filter(|_| has_more).map(|last| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("q", fields.text("q")), ("action", kind.unwrap_or_default())] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        let At { at, number, id } = &last.place;
        query.append_pair("after", &format!("{}.{number}.{id}", at.0));
        query.finish()
    });
    let page = AuditPage {
        told: told(found.len(), has_more || is_later),
        frame: desk.frame(Place::Audit, operator_texts().audit).await?,
        rows: found.into_iter().map(Row::of).collect(),
        text: fields.text("q").to_owned(),
        kinds: kinds()
            .into_iter()
            .map(|(word, label)| Kind {
                word,
                label,
                is_chosen: Some(word) == kind,
            })
            .collect(),
        next,
        is_later,
    };
    Ok(html(StatusCode::OK, &page))
}

/// What the link to the next page said; anything else begins at the beginning.
fn place(text: &str) -> Option<At> {
    let mut parts = text.splitn(3, '.');
    Some(At {
        at: UnixMillis(parts.next()?.parse().ok()?),
        number: parts.next()?.parse().ok()?,
        id: parts.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_read_by_people() {
        assert_eq!(
            readable("{\"cents\":-50,\"note\":\"a \\\"mistake\\\"\"}"),
            "cents: -50, note: a \"mistake\""
        );
        assert_eq!(readable("{}"), "");
        assert_eq!(
            readable(r#"[{"change":"update","kind":"plan","name":"x","detail":[]},1]"#),
            "update plan x, 1"
        );
        assert_eq!(readable("no JSON"), "no JSON");
        let long = readable(&"é".repeat(DETAIL_LENGTH + 1));
        assert_eq!(long.chars().count(), DETAIL_LENGTH + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_place_is_read_whole_or_not_at_all() {
        let at = place("5.2.abc").map(|at| (at.at, at.number, at.id));
        assert_eq!(at, Some((UnixMillis(5), 2, "abc".to_owned())));
        for other in ["", "5", "5.2", "x.2.abc", "5.x.abc"] {
            assert_eq!(place(other), None, "{other}");
        }
    }
}
