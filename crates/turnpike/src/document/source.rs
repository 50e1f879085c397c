//! From a file's text to values with their lines.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::table::{Entry, Table};
use super::value::{Content, Value};
use super::{Mistake, Place};

/// Reads a document. `file` is what mistakes call it.
pub(crate) fn parse(file: &str, text: &str) -> Result<Table, Mistake> {
    let source = Source {
        file: Arc::from(file),
        line_ends: text.match_indices('\n').map(|(at, _)| at).collect(),
    };
    let root = DeTable::parse(text).map_err(|error| source.not_toml(text, &error))?;
    source.table(root.get_ref(), "", &(0..0))
}

/// The elements of a TOML array in an environment variable; absent where it is none.
pub(super) fn parse_list(text: &str, place: &Place, key: &str) -> Option<Vec<Value>> {
    let document = format!("list = {text}");
    let root = DeTable::parse(&document).ok()?;
    let (name, list) = root.get_ref().iter().next()?;
    if name.get_ref() != "list" || root.get_ref().len() != 1 {
        return None;
    }
    let source = Source {
        file: Arc::from(""),
        line_ends: Vec::new(),
    };
    let Content::List(mut values) = source.value(list, key).ok()?.content else {
        return None;
    };
    for value in &mut values {
        value.place = place.clone();
    }
    Some(values)
}

struct Source {
    file: Arc<str>,
    line_ends: Vec<usize>,
}

impl Source {
    fn place(&self, span: &Range<usize>) -> Place {
        Place::Line {
            file: Arc::clone(&self.file),
            line: self.line_ends.partition_point(|end| *end < span.start) + 1,
        }
    }

    /// Never shows a value: it may be a secret that lacks its quotes.
    fn not_toml(&self, text: &str, error: &toml::de::Error) -> Mistake {
        let place = self.place(&error.span().unwrap_or_default());
        let what = error.message().trim().replace('\n', ", ");
        let key = match &place {
            Place::Line { line, .. } => text.lines().nth(line - 1).and_then(key_of),
            Place::Variable(_) => None,
        };
        place.wrong(key.unwrap_or("the file"), &format!("is not TOML: {what}"))
    }

    fn table(&self, table: &DeTable<'_>, path: &str, span: &Range<usize>) -> Result<Table, Mistake> {
        let mut entries = BTreeMap::new();
        for (name, value) in table {
            let key = if path.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{path}.{}", name.get_ref())
            };
            let entry = Entry {
                place: self.place(&name.span()),
                value: self.value(value, &key)?,
            };
            entries.insert(name.get_ref().to_string(), entry);
        }
        Ok(Table::new(self.place(span), path.to_owned(), entries))
    }

    fn value(&self, value: &Spanned<DeValue<'_>>, key: &str) -> Result<Value, Mistake> {
        let place = self.place(&value.span());
        let content = match value.get_ref() {
            DeValue::String(text) => Content::Text(text.to_string()),
            DeValue::Boolean(boolean) => Content::Boolean(*boolean),
            DeValue::Datetime(moment) => Content::Moment(moment.to_string()),
            DeValue::Float(float) => Content::Fraction(float.as_str().to_owned()),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(integer) => Content::Integer(integer),
                Err(_) => return Err(place.wrong(key, &format!("is a number beyond all bounds: {}", integer.as_str()))),
            },
            DeValue::Array(values) => Content::List(
                values
                    .iter()
                    .map(|value| self.value(value, key))
                    .collect::<Result<_, _>>()?,
            ),
            DeValue::Table(table) => Content::Table(self.table(table, key, &value.span())?),
        };
        Ok(Value {
            place,
            key: key.to_owned(),
            content,
        })
    }
}

/// The key or table header of a line, where it begins with one.
fn key_of(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.starts_with('[') {
        return Some(line);
    }
    let (key, _) = line.split_once('=')?;
    let is_key = |key: &str| key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    Some(key.trim()).filter(|key| !key.is_empty() && is_key(key))
}
