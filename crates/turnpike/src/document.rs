//! A TOML document as an operator wrote it: every value knows where it stands, so that each mistake can say so.
//!
//! The configuration and the catalogue are read through this. It is stricter than deserialising: an unknown key is a mistake that
//! names the nearest known one, and a wrong value is named with its file, its line and its key, in one sentence.

mod duration;
mod source;
mod table;
mod value;

use std::fmt;
use std::sync::Arc;

pub(crate) use source::parse;
pub(crate) use table::{Table, nearest};
pub(crate) use value::Value;

/// What is wrong in a document, in one sentence that says where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake(String);

impl Mistake {
    /// A mistake about a document as a whole.
    pub(crate) fn new(sentence: String) -> Self {
        Self(sentence)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mistake {}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a line of a file, counted from 1.
    Line {
        /// The file, as the operator named it.
        file: Arc<str>,
        /// The line.
        line: usize,
    },
    /// In an environment variable.
    Variable(Arc<str>),
}

impl fmt::Display for Place {
    /// Within the sentence that names the file: `in line 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, .. } => write!(f, "in line {line}"),
            Self::Variable(name) => write!(f, "in {name}"),
        }
    }
}

impl Place {
    /// The sentence that something is wrong with `key` here.
    fn wrong(&self, key: &str, what: &str) -> Mistake {
        Mistake(match self {
            Self::Line { file, line } => format!("{file}, line {line}: {key} {what}"),
            Self::Variable(name) => format!("{name} (in the environment) {what}"),
        })
    }
}
