//! A table that is being read: whose keys must be known, and which gives each value once.

use std::collections::BTreeMap;

use super::value::{Content, Value};
use super::{Mistake, Place};

/// A table, its keys and where they stand.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    place: Place,
    /// The path of keys that leads here; empty for the document itself.
    path: String,
    entries: BTreeMap<String, Entry>,
}

/// A value under its key.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Where the key stands.
    pub(super) place: Place,
    pub(super) value: Value,
}

impl Table {
    pub(super) fn new(place: Place, path: String, entries: BTreeMap<String, Entry>) -> Self {
        Self { place, path, entries }
    }

    /// A document that says nothing.
    pub(crate) fn empty(file: &str) -> Self {
        let place = Place::Line {
            file: file.into(),
            line: 1,
        };
        Self::new(place, String::new(), BTreeMap::new())
    }

    /// Puts an environment variable's text at `path`, over whatever stands there.
    pub(crate) fn set(&mut self, path: &[String], variable: &str, text: String) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let place = Place::Variable(variable.into());
        let key = self.key(first);
        if rest.is_empty() {
            let value = Value {
                place: place.clone(),
                key,
                content: Content::Raw(text),
            };
            self.entries.insert(first.clone(), Entry { place, value });
            return;
        }
        let entry = self.entries.entry(first.clone()).or_insert_with(|| Entry {
            place: place.clone(),
            value: Value {
                place: place.clone(),
                key: key.clone(),
                content: Content::Table(Self::new(place.clone(), key.clone(), BTreeMap::new())),
            },
        });
        if !matches!(entry.value.content, Content::Table(_)) {
            entry.value.place = place.clone();
            entry.value.content = Content::Table(Self::new(place, key, BTreeMap::new()));
        }
        if let Content::Table(table) = &mut entry.value.content {
            table.set(rest, variable, text);
        }
    }

    /// The same table, proven to have no other keys than these.
    pub(crate) fn with_keys(self, known: &[&'static str]) -> Result<Self, Mistake> {
        // The first one in the file, for whoever mends it from top to bottom.
        let unknown = self.entries.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        let first = unknown.min_by_key(|(_, entry)| match &entry.place {
            Place::Line { line, .. } => *line,
            Place::Variable(_) => usize::MAX,
        });
        match first {
            None => Ok(self),
            Some((name, entry)) => Err(self.unknown(name, entry, known)),
        }
    }

    fn unknown(&self, name: &str, entry: &Entry, known: &[&'static str]) -> Mistake {
        let near = nearest(name, known);
        match &entry.place {
            Place::Line { .. } => {
                let hint = match near {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("the keys here are {}", known.join(", ")),
                };
                entry
                    .place
                    .wrong(&self.key(name), &format!("is not a known key; {hint}"))
            }
            Place::Variable(_) => {
                let spelled = |name: &str| format!("TURNPIKE__{}", self.key(name).replace('.', "__").to_uppercase());
                let hint = match near {
                    Some(near) => format!("did you mean {}?", spelled(near)),
                    None => format!(
                        "there are {}",
                        known.iter().map(|name| spelled(name)).collect::<Vec<_>>().join(", ")
                    ),
                };
                entry
                    .place
                    .wrong("", &format!("names no key of the configuration; {hint}"))
            }
        }
    }

    /// The value of a key, once.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key).map(|entry| entry.value)
    }

    /// The value of a key, read; absent where the key is.
    pub(crate) fn optional<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(Value) -> Result<T, Mistake>,
    ) -> Result<Option<T>, Mistake> {
        self.take(key).map(read).transpose()
    }

    /// The value of a key, read; `default` where the key is absent.
    pub(crate) fn or<T>(
        &mut self,
        key: &str,
        default: T,
        read: impl FnOnce(Value) -> Result<T, Mistake>,
    ) -> Result<T, Mistake> {
        Ok(self.optional(key, read)?.unwrap_or(default))
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&mut self, key: &str) -> Result<Value, Mistake> {
        self.take(key)
            .ok_or_else(|| self.wrong(&format!("needs the key {key}")))
    }

    /// The sentence that something is wrong with the table as a whole.
    pub(crate) fn wrong(&self, what: &str) -> Mistake {
        self.place.wrong(&self.path, what)
    }

    /// A section of the document; an empty one where it is absent.
    pub(crate) fn section(&mut self, name: &str, known: &[&'static str]) -> Result<Self, Mistake> {
        match self.take(name) {
            Some(value) => value.table()?.with_keys(known),
            None => Ok(Self::new(self.place.clone(), self.key(name), BTreeMap::new())),
        }
    }

    fn key(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }
}

/// The known word that a mistyped one was most likely meant to be.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&plain(name), &plain(known)), *known))
        .filter(|(distance, known)| *distance <= 1.max(known.len() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
