//! One value, read as what it is expected to be.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::source::parse_list;
use super::{Mistake, Place, Table, duration};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(super) place: Place,
    /// Its full key, `gateway.ports`.
    pub(super) key: String,
    pub(super) content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Text(String),
    Integer(i64),
    /// As written; nothing here wants one.
    Fraction(String),
    Boolean(bool),
    /// A date or time, as written.
    Moment(String),
    List(Vec<Value>),
    Table(Table),
    /// An environment variable's text, which becomes what is asked for.
    Raw(String),
}

impl Value {
    /// The sentence that something is wrong with this value.
    pub(crate) fn wrong(&self, what: &str) -> Mistake {
        self.place.wrong(&self.key, what)
    }

    /// Where it stands.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    fn must_be(&self, what: &str) -> Mistake {
        self.wrong(&format!("must be {what}, not {self}"))
    }

    /// A text.
    pub(crate) fn text(&self) -> Result<&str, Mistake> {
        match &self.content {
            Content::Text(text) | Content::Raw(text) => Ok(text),
            _ => Err(self.must_be("a text in quotes")),
        }
    }

    /// A text that must not be shown, whatever is wrong with it.
    pub(crate) fn secret(&self) -> Result<&str, Mistake> {
        self.text().map_err(|_| self.wrong("must be a text in quotes"))
    }

    /// A text that spells something: `what` completes "must be …".
    pub(crate) fn parsed<T: FromStr>(&self, what: &str) -> Result<T, Mistake> {
        self.spelled(what, |text| text.parse().ok())
    }

    /// A text that `read` understands: `what` completes "must be …".
    pub(crate) fn spelled<T>(&self, what: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Mistake> {
        match &self.content {
            Content::Text(text) | Content::Raw(text) => read(text).ok_or_else(|| self.must_be(what)),
            _ => Err(self.must_be(what)),
        }
    }

    /// A length of time within bounds.
    pub(crate) fn duration(&self, bounds: RangeInclusive<Duration>) -> Result<Duration, Mistake> {
        let duration = self.spelled("a number with s, m, h or d, like \"90s\" or \"30d\"", duration::parse)?;
        if bounds.contains(&duration) {
            Ok(duration)
        } else {
            let (least, most) = (duration::in_units(*bounds.start()), duration::in_units(*bounds.end()));
            Err(self.must_be(&format!("from {least} to {most}")))
        }
    }

    /// A whole number within bounds.
    pub(crate) fn integer<T>(&self, bounds: RangeInclusive<T>) -> Result<T, Mistake>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        let number = match &self.content {
            Content::Integer(number) => Some(*number),
            Content::Raw(text) => text.trim().parse().ok(),
            _ => None,
        };
        number
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| self.must_be(&format!("a whole number from {} to {}", bounds.start(), bounds.end())))
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Result<bool, Mistake> {
        match &self.content {
            Content::Boolean(boolean) => Ok(*boolean),
            Content::Raw(text) => text.trim().parse().map_err(|_| self.must_be("true or false")),
            _ => Err(self.must_be("true or false")),
        }
    }

    /// A moment, as text: a TOML date or a text in quotes.
    pub(crate) fn moment(&self) -> Result<&str, Mistake> {
        match &self.content {
            Content::Moment(text) => Ok(text),
            _ => self.text(),
        }
    }

    /// A list; an environment variable holds a TOML array or elements with commas between them.
    pub(crate) fn list(self) -> Result<Vec<Self>, Mistake> {
        match self.content {
            Content::List(values) => Ok(values),
            Content::Raw(ref text) if text.trim_start().starts_with('[') => parse_list(text, &self.place, &self.key)
                .ok_or_else(|| self.must_be("a list, like [\"a\", \"b\"] or a,b")),
            Content::Raw(ref text) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| Self {
                    place: self.place.clone(),
                    key: self.key.clone(),
                    content: Content::Raw(part.to_owned()),
                })
                .collect()),
            _ => Err(self.must_be("a list in brackets, like [\"a\", \"b\"]")),
        }
    }

    /// The tables of an array, each written as `[[key]]`.
    pub(crate) fn tables(self) -> Result<Vec<Table>, Mistake> {
        let wrong = self.wrong(&format!(
            "must be written as [[{}]], since there can be several",
            self.key
        ));
        match self.content {
            Content::List(values) => values
                .into_iter()
                .map(|value| match value.content {
                    Content::Table(table) => Ok(table),
                    _ => Err(wrong.clone()),
                })
                .collect(),
            _ => Err(wrong),
        }
    }

    /// A table.
    pub(crate) fn table(self) -> Result<Table, Mistake> {
        match self.content {
            Content::Table(table) => Ok(table),
            Content::Raw(_) => Err(self.wrong("is a section and not a value; set one of its keys")),
            _ => Err(self.must_be(&format!("a table, like [{}]", self.key))),
        }
    }
}

impl fmt::Display for Value {
    /// As the operator wrote it, shortened; lists and tables by their kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Text(text) | Content::Raw(text) => {
                let shown: String = text.chars().take(60).collect();
                let dots = if shown.len() < text.len() { "…" } else { "" };
                write!(f, "\"{}{dots}\"", shown.escape_debug())
            }
            Content::Integer(number) => write!(f, "{number}"),
            Content::Fraction(text) | Content::Moment(text) => f.write_str(text),
            Content::Boolean(boolean) => write!(f, "{boolean}"),
            Content::List(_) => f.write_str("a list"),
            Content::Table(_) => f.write_str("a table"),
        }
    }
}
